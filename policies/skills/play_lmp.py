"""Play-LMP: latent plans from play (Lynch et al. 2019, arXiv 1903.01973), from states.

A conditional variational autoencoder of stretches of demonstrations whose goal is where they end. Of a stretch of L
actions, L drawn from ``algo.shortest`` to ``algo.horizon``, with g = s_L:

    plan recognition   q(z | s_0 .. s_{L-1}, a_0 .. a_{L-1})   what was done in the stretch
    plan proposal      p(z | s_0, g)                           what may be done to come from s_0 to g
    decoder            a_k = pi(s_k, g, z)                     closed loop: it sees the state at each step

    loss = error of pi(s_k, g, z ~ q)  +  beta KL(q || p)  +  w error of pi(s_0, g, mean of p)

The divergence trains both of its sides. The last term is not in the paper: it is FIST's here, and trains the proposal
as it is used.

The paper's user shows a goal. Here the demonstrations do, as in ``policies/skills/fist.py``: at every control step, the
state ``algo.goal_ahead`` steps after the demonstrations' state that is nearest to the present one, or the last one of
that demonstration. A plan lasts one control step, and is the proposal's mean.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from policies.policy import Observation
from policies.skills.config import PlayLmpConfig
from policies.skills.lookup import LooksUp
from policies.skills.policy import SkillPolicy
from policies.skills.skill import SkillModel
from policies.skills.windows import SkillBatch, SkillWindows
from robot.contract import Contract
from robot.dataset.episodes import Episode


class PlayLmp(LooksUp, SkillPolicy):
    """See the module text, and ``policies.policy.FittedPolicy``."""

    cfg: PlayLmpConfig

    def __init__(self, contract: Contract, cfg: PlayLmpConfig, seed: int) -> None:
        super().__init__(contract, cfg)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.skill = SkillModel(self.size, contract.action.size, cfg, goal=self.size)
        self.remember(self.size, self.size, cfg.goal_ahead)

    def rows(self, episodes: Sequence[Episode]) -> SkillWindows:
        """Stretches of ``algo.horizon`` actions, of which ``loss`` reads the first L."""
        return SkillWindows(self.contract, episodes, self.cfg.horizon, least=("shortest", self.cfg.shortest))

    def loss(self, batch: SkillBatch) -> dict[str, torch.Tensor]:
        """See the module text; the parts of "loss" by name."""
        self.forget()
        steps = self.draw_steps(batch)
        states, wanted = self.scaled(batch.states), self.actions.to_network(batch.actions)
        rows = torch.arange(len(states), device=states.device)
        goal = states[rows, steps]
        recognised = self.skill.posterior(states[:, :-1], wanted, steps)
        proposed = self.skill.inverse_dynamics(states[:, 0], goal)
        shape = len(states), self.cfg.decoded
        k = (torch.rand(shape, device=states.device) * steps[:, None]).long()  # each below its row's L
        at = rows[:, None]
        answer = self.decode(states[at, k], goal, recognised.sample())
        losses = {
            "reconstruction": self.error(answer, wanted[at, k], batch.valid[at, k]),
            "kl": recognised.kl_to(proposed).mean(),
            "proposal_error": self.error(*self._as_it_acts(batch, goal), batch.valid[:, :1]),
        }
        total = losses["reconstruction"] + self.cfg.kl_weight * losses["kl"]
        return {"loss": total + self.cfg.proposal_weight * losses["proposal_error"], **losses}

    def draw_steps(self, batch: SkillBatch) -> torch.Tensor:
        """L of each stretch, ``(B,)`` int64, uniform from ``algo.shortest`` to ``algo.horizon``. One that would go on
        beyond its episode's end has the last state as its goal, however near that is.
        """
        number, device = len(batch), batch.states.device
        return torch.randint(self.cfg.shortest, self.cfg.horizon + 1, (number,), device=device)

    def decode(self, states: torch.Tensor, goal: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """Actions ``(B, A)`` in states ``(B, F)``, or ``(B, K, A)`` in ``(B, K, F)``, on the way to ``goal`` ``(B,
        F)`` by the plan ``(B, latent)``.
        """
        if states.dim() == 3:
            goal = goal[:, None].expand(-1, states.shape[1], -1)
        return self.skill.decode(torch.cat([states, goal], dim=-1), z)

    def _as_it_acts(self, batch: SkillBatch, goal: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The first action ``(B, 1, A)`` by the proposal's plan in a displaced state, and the wanted one, both as the
        network has them.
        """
        start, wanted = self.beside(batch)
        return self._plan_and_decode(start, goal)[:, None], wanted

    def _plan_and_decode(self, state: torch.Tensor, goal: torch.Tensor) -> torch.Tensor:
        """Actions ``(B, A)`` as the network has them, by the mean of the proposal."""
        return self.decode(state, goal, self.skill.inverse_dynamics(state, goal).mean)

    def forward(self, observations: Observation) -> torch.Tensor:
        """Actions ``(B, 1, A)`` in the contract's units."""
        state = self.normalizer(observations)
        rows = self.nearest(state)
        actions = self.actions.to_physical(self._plan_and_decode(state, self.ahead[rows]))
        return self.with_grip(actions, rows)[:, None]
