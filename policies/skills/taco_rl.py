"""TACO-RL: latent plans that offline reinforcement learning chooses (Rosete-Beas et al. 2022, arXiv 2209.08959), from
states.

Plans are those of ``policies/skills/play_lmp.py`` with a decoder that does not see the goal. Of a stretch of L actions:

    recognition   q(u | s_0 .. s_{L-1}, a_0 .. a_{L-1}),  z = tanh(u)   what was done in it, each number from -1 to 1
    decoder       a_k = pi(s_k, z)
    actor         p(u | s, g)                                           what to do on the way to a goal, however far
    critics       Q_1, Q_2(s, g, z)                                     what that is worth

The first ``algo.plan_share`` of the updates learn plans; the actor is the proposal of plans and clones what was done:

    error of pi(s_k, z ~ q)  +  beta KL(q || p(. | s_0, s_L))  -  log p(u' | s_0, g)           u': u without a gradient

In the rest a plan's meaning stays: q learns no more, the decoder goes on with z', and the actor is improved,

    alpha log p(z | s_0, g) - min Q(s_0, g, z),  z ~ p        alpha adapts to an entropy of -dim(z) (arXiv 1812.05905)

The critics learn from the first update on, by conservative Q-learning (CQL, arXiv 2006.04779) on goals in hindsight,
where r is 1 if the stretch ends at the goal, and nothing is to be had beyond:

    y = reward r  +  (1 - r) gamma min Q'(s_L, g, z'),  z' ~ p(. | s_L, g)           Q': targets, which follow slowly
    sum over both of  (Q_i(s_0, g, z) - y)^2  +  c (logsumexp_j (Q_i(s_0, g, z_j) - log mu_j(z_j)) - Q_i(s_0, g, z) - d)

with z_j uniform, of p(. | s_0, g) and of p(. | s_L, g), mu_j their densities, and c adapted so that the bracket is 0.
In both phases w times the first action's error with the actor's own plan is added, which is not in the paper.

The policy asks the actor for its most likely plan at every control step. The goal is ``algo.goal_ahead`` steps after
the demonstrations' state that is nearest to the present one, or at that demonstration's end.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from policies.augment.states import OBJECTS
from policies.imitation.policy import mean_of_valid
from policies.networks.layers import mlp
from policies.policy import Observation
from policies.rl.averages import soft_update
from policies.skills.config import TacoRlConfig
from policies.skills.lookup import LooksUp
from policies.skills.policy import SkillPolicy
from policies.skills.skill import Gaussian, SkillVae
from policies.skills.windows import SkillBatch, SkillWindows
from robot.contract import Contract
from robot.dataset.episodes import Episode
from robot.errors import PixelarmError

CRITICS = 2
HEAVIEST = 1e6  # bound of the conservative term's weight


@dataclass(frozen=True)
class GoalBatch(SkillBatch):
    """Stretches with a goal each.

    Attributes:
        steps: ``(B,)`` int64, L.
        goals: ``(B, P)`` float32, in the contract's units.
        ahead: ``(B,)`` bool, whether the goal lies in the stretch's own future, and not somewhere else.
        reached: ``(B,)`` bool, whether it is where the stretch ends.
    """

    steps: torch.Tensor
    goals: torch.Tensor
    ahead: torch.Tensor
    reached: torch.Tensor

    def to(self, device: torch.device) -> GoalBatch:
        mine = (each.to(device) for each in (self.steps, self.goals, self.ahead, self.reached))
        return GoalBatch(*vars(super().to(device)).values(), *mine)


class GoalWindows(SkillWindows):
    """Stretches, each with a goal that is drawn in hindsight. One that would go on beyond its episode's end ends there,
    and goals beyond it are the last state, too.

    With ``algo.negatives`` the goal is elsewhere: of ``algo.similar_of`` random moments of any episode the one in which
    the arm is most like it is at the stretch's end, but none within ``algo.horizon`` steps of that.
    """

    def __init__(self, contract: Contract, episodes: Sequence[Episode], cfg: TacoRlConfig) -> None:
        super().__init__(contract, episodes, cfg.horizon, least=("shortest", cfg.shortest))
        self.cfg = cfg
        arm = [field for name, field in self.observations(0, len(self.states)).items() if name != OBJECTS]
        pose = torch.cat(arm, dim=1).numpy()
        self._pose = pose / np.maximum(pose.std(axis=0), cfg.state_floor) if len(pose) else pose

    def __getitems__(self, rows: Sequence[int]) -> GoalBatch:
        first = self._rows[np.asarray(rows, np.int64)]
        last, cfg, rng = self._last[first], self.cfg, np.random.default_rng([1, *first])
        steps = rng.integers(cfg.shortest, cfg.horizon + 1, len(first))
        end = np.minimum(first + steps, last)
        goal = np.minimum(first + steps * rng.geometric(cfg.goal_chance, len(first)), last)
        (elsewhere,) = np.nonzero(rng.random(len(first)) < cfg.negatives)
        other = self._similar(end[elsewhere], rng)
        elsewhere, other = elsewhere[other >= 0], other[other >= 0]
        goal[elsewhere] = other
        ahead = np.ones(len(first), bool)
        ahead[elsewhere] = False
        return GoalBatch(
            **vars(super().__getitems__(rows)),
            steps=torch.from_numpy(steps),
            goals=self.states[torch.from_numpy(goal)],
            ahead=torch.from_numpy(ahead),
            reached=torch.from_numpy(ahead & (goal == end)),
        )

    def _similar(self, at: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Moments ``(N,)`` in which the arm is as it is at those ``(N,)``; -1 where none was drawn that may be."""
        drawn = rng.integers(0, len(self.states), self.cfg.similar_of)
        away = np.square(self._pose[at][:, None] - self._pose[drawn][None]).sum(axis=-1)
        same = self._last[drawn][None] == self._last[at][:, None]
        away[same & (np.abs(drawn[None] - at[:, None]) <= self.cfg.horizon)] = np.inf
        best = away.argmin(axis=1)
        return np.where(np.isfinite(away.min(axis=1)), drawn[best], -1)


class GoalCritics(nn.Module):
    """Values of plans on the way to goals, of two networks that are begun apart."""

    def __init__(self, state: int, cfg: TacoRlConfig) -> None:
        super().__init__()
        made = (mlp(2 * state + cfg.latent, cfg.critic_hidden, 1, cfg.layers) for _ in range(CRITICS))
        self.members = nn.ModuleList(made)

    def forward(self, state: torch.Tensor, goal: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """``(critics, ..., B)`` of states ``(B, F)``, goals ``(B, F)`` and plans ``(..., B, latent)``."""
        both = torch.cat([state, goal], dim=-1).expand(*z.shape[:-1], -1)
        return torch.stack([member(torch.cat([both, z], dim=-1))[..., 0] for member in self.members])


class TacoRl(LooksUp, SkillPolicy):
    """See the module text, and ``policies.policy.FittedPolicy``.

    Attributes:
        planning: whether plans are learned at present, or the actor is improved.
    """

    cfg: TacoRlConfig

    def __init__(self, contract: Contract, cfg: TacoRlConfig, seed: int) -> None:
        super().__init__(contract, cfg)
        if cfg.negatives and OBJECTS not in {entry.name for entry in contract.proprio}:
            raise PixelarmError(
                f"algo.negatives={cfg.negatives:g} takes goals in which the arm is alike and objects are not, and a "
                f"policy of {contract.task} does not observe {OBJECTS}: set algo.negatives=0"
            )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.skill = SkillVae(self.size, contract.action.size, cfg)
            self.actor = mlp(2 * self.size, cfg.hidden, 2 * cfg.latent, cfg.layers)
            self.critics = GoalCritics(self.size, cfg)
        self.targets = copy.deepcopy(self.critics).requires_grad_(False)
        self.log_alpha = nn.Parameter(torch.tensor(math.log(cfg.alpha)))
        self.log_conservative = nn.Parameter(torch.tensor(math.log(cfg.conservative)), requires_grad=cfg.gap > 0)
        self.planning = True
        self.remember(self.size, self.size, cfg.goal_ahead or np.iinfo(np.int32).max)

    def rows(self, episodes: Sequence[Episode]) -> GoalWindows:
        """Stretches of ``algo.horizon`` actions, of which ``loss`` reads the first L, with their goals."""
        return GoalWindows(self.contract, episodes, self.cfg)

    def begin(self, made: int, updates: int) -> None:
        """See ``policies.policy.FittedPolicy``."""
        self.planning = made < self.cfg.plan_share * updates

    # -------------------------------------------------------------------------- learning
    def loss(self, batch: SkillBatch) -> dict[str, torch.Tensor]:
        """See the module text; the parts of "loss" by name. The target critics follow once each time."""
        assert isinstance(batch, GoalBatch)
        self.forget()
        soft_update(self.critics, self.targets, self.cfg.target_rate)
        states, wanted = self.scaled(batch.states), self.actions.to_network(batch.actions)
        at = torch.arange(len(states), device=states.device)
        start, end, goal = states[:, 0], states[at, batch.steps], self.scaled(batch.goals)
        recognised = self.skill.posterior(states[:, :-1], wanted, batch.steps)
        u = recognised.sample()
        if not self.planning:
            u = u.detach()
        shape = len(states), self.cfg.decoded
        k = (torch.rand(shape, device=states.device) * batch.steps[:, None]).long()  # each below its row's L
        at = at[:, None]
        decoded = self.skill.decode(states[at, k], u.tanh())
        losses = {"reconstruction": self.error(decoded, wanted[at, k], batch.valid[at, k])}
        total = losses["reconstruction"]
        if self.cfg.acting_weight:
            losses["acting_error"] = self.error(*self._as_it_acts(batch, goal))
            total = total + self.cfg.acting_weight * losses["acting_error"]
        here = self.propose(start, goal)
        if self.planning:
            losses["kl"] = recognised.kl_to(self.propose(start, end)).mean()
            losses["clone_nll"] = mean_of_valid(here.nll(u.detach()), batch.ahead) / self.cfg.latent
            total = total + self.cfg.kl_weight * losses["kl"] + losses["clone_nll"]
        else:
            improving, found = self.actor_loss(start, goal, here)
            total, losses = total + improving, {**losses, **found}
        with torch.no_grad():
            there = self.propose(end, goal)
            y = self.target(end, goal, there, batch.reached)
            others, densities = self.other_plans(here, there)
        critics, found = self.critic_loss(start, goal, u.detach().tanh(), y, others, densities)
        return {"loss": total + critics, **losses, **found}

    def propose(self, state: torch.Tensor, goal: torch.Tensor) -> Gaussian:
        """p(u) in states ``(B, F)`` on the way to goals ``(B, F)``."""
        return Gaussian(self.actor(torch.cat([state, goal], dim=-1)))

    def target(self, end: torch.Tensor, goal: torch.Tensor, there: Gaussian, reached: torch.Tensor) -> torch.Tensor:
        """y ``(B,)`` of stretches that end in states ``(B, F)``, where the actor proposes ``there``."""
        after = self.targets(end, goal, there.sample().tanh()).amin(dim=0)
        return torch.where(reached, self.cfg.reward, self.cfg.discount * after)

    def other_plans(self, here: Gaussian, there: Gaussian) -> tuple[torch.Tensor, torch.Tensor]:
        """Plans ``(3 samples, B, latent)``, and the logarithms of the densities they were drawn with ``(3 samples,
        B)``: uniform ones, and what the actor proposes where stretches begin and where they end.
        """
        shape = self.cfg.samples, *here.mean.shape
        plans = [2.0 * torch.rand(shape, device=here.mean.device) - 1.0]
        densities = [torch.full(shape[:-1], -self.cfg.latent * math.log(2.0), device=here.mean.device)]
        for proposed in (here, there):
            u = proposed.at(torch.randn(shape, device=here.mean.device))
            plans.append(u.tanh())
            densities.append(proposed.log_density_of_tanh(u))
        return torch.cat(plans), torch.cat(densities)

    def critic_loss(
        self,
        start: torch.Tensor,
        goal: torch.Tensor,
        z: torch.Tensor,
        y: torch.Tensor,
        others: torch.Tensor,
        densities: torch.Tensor,
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """What trains the critics and the conservative term's weight, and its parts by name.

        Args:
            start, goal: states ``(B, F)``.
            z: plans that were done ``(B, latent)``.
            y: what those are worth ``(B,)``.
            others, densities: as of ``other_plans``.
        """
        values = self.critics(start, goal, z)  # (critics, B)
        error = (values - y).square().mean(dim=1).sum()
        above = torch.logsumexp(self.critics(start, goal, others) - densities, dim=1).mean(dim=1)
        gap = above - values.mean(dim=1)  # (critics,)
        weight = self.log_conservative.exp().clamp(max=HEAVIEST)
        total = error + weight.detach() * gap.sum()
        if self.cfg.gap:
            total = total + weight * (self.cfg.gap - gap.detach().mean())
        losses = {"critic_error": error, "gap": gap.mean(), "conservative": weight, "value": values.mean()}
        return total, losses

    def actor_loss(
        self, start: torch.Tensor, goal: torch.Tensor, here: Gaussian
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """What improves the actor, which proposes ``here`` in states ``(B, F)``, and adapts alpha, and its parts by
        name; the critics have no gradient of it.
        """
        u = here.sample()
        density = here.log_density_of_tanh(u)
        judges = {name: weight.detach() for name, weight in self.critics.named_parameters()}
        values = torch.func.functional_call(self.critics, judges, (start, goal, u.tanh())).amin(dim=0)
        alpha = self.log_alpha.exp()
        actor = (alpha.detach() * density - values).mean()
        total = actor + alpha * (self.cfg.latent - density.detach()).mean()
        return total, {"actor_loss": actor, "actor_value": values.mean(), "entropy": -density.mean(), "alpha": alpha}

    def _as_it_acts(self, batch: GoalBatch, goal: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The first action ``(B, 1, A)`` by the actor's plan in a displaced state, the wanted one, both as the network
        has them, and whether it leads to the goal ``(B, 1)`` bool.
        """
        start, wanted = self.beside(batch)
        return self._plan_and_decode(start, goal)[:, None], wanted, batch.valid[:, :1] & batch.ahead[:, None]

    # ---------------------------------------------------------------------------- acting
    def _plan_and_decode(self, state: torch.Tensor, goal: torch.Tensor) -> torch.Tensor:
        """Actions ``(B, A)`` as the network has them, by the actor's most likely plan."""
        return self.skill.decode(state, self.propose(state, goal).mean.tanh())

    def forward(self, observations: Observation) -> torch.Tensor:
        """Actions ``(B, 1, A)`` in the contract's units."""
        state = self.normalizer(observations)
        rows = self.nearest(state)
        actions = self.actions.to_physical(self._plan_and_decode(state, self.ahead[rows]))
        return self.with_grip(actions, rows)[:, None]
