"""SAILOR: skills made predictable, and data retrieved by them (Nasiriany et al. 2022, arXiv 2210.11435), from states.

Skills are learned from stretches of H actions. mu is the mean of the posterior q(z | s_0 .. s_{H-1}, a_0 .. a_{H-1}),
mu' that of a stretch that begins up to ``algo.slowness_steps`` later, mu'' of one that begins t steps later, t up to
``algo.time_steps``:

    loss = error of pi(s_k, z ~ q)  +  1e-5 KL(q || N(0, I))  +  1e-3 |mu - mu'|^2
         + 0.1 |inverse(s_0, s_H) - mu|^2  +  1e-6 (time(mu, mu'') - t)^2

Squared distances are means over the numbers of a skill. When the skills are adapted, the prior data's stretches whose
mu is nearest to one of the demonstrations' are retrieved (``algo.retrieved`` of all), once, before the first update. A
policy learns which skill to use, told by a flag which of the two it learns from, half of each batch of either:

    loss += |policy(s_0, flag) - mu|^2  +  w error of pi(s_0, policy(s_0, flag))

mu has no gradient there; the last term is not in the paper, and trains the policy as it acts. It acts with the flag of
the demonstrations, and asks for a skill at every control step. Nothing of the data is part of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from policies.imitation.policy import mean_of_valid
from policies.networks.layers import mlp
from policies.policy import Observation
from policies.skills.config import SailorConfig
from policies.skills.policy import SkillPolicy
from policies.skills.skill import SkillVae
from policies.skills.windows import MixedBatch, Mixture, SkillBatch, SkillWindows
from robot.contract import Contract
from robot.dataset.episodes import Episode
from robot.errors import PixelarmError

AT_ONCE = 1024  # stretches that are embedded, or compared, at a time


class Predictors(nn.Module):
    """What makes skills predictable: both say something of the posterior's means, and shape them."""

    def __init__(self, state: int, cfg: SailorConfig) -> None:
        super().__init__()
        self.inverse = mlp(2 * state, cfg.hidden, cfg.latent, cfg.layers)
        self.time = mlp(2 * cfg.latent, cfg.hidden, 1, cfg.layers)

    def skill(self, start: torch.Tensor, end: torch.Tensor) -> torch.Tensor:
        """``(B, latent)`` of what leads from states ``(B, F)`` to states ``(B, F)`` H control steps later."""
        return self.inverse(torch.cat([start, end], dim=-1))

    def steps(self, first: torch.Tensor, later: torch.Tensor) -> torch.Tensor:
        """``(B,)`` control steps between stretches of skills ``(B, latent)``."""
        return self.time(torch.cat([first, later], dim=-1))[:, 0]


class Sailor(SkillPolicy):
    """See the module text, and ``policies.policy.FittedPolicy``.

    Attributes:
        adapted: bool, whether there is a policy yet, or skills alone.
    """

    cfg: SailorConfig
    adapted: torch.Tensor

    def __init__(self, contract: Contract, cfg: SailorConfig, seed: int) -> None:
        super().__init__(contract, cfg)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.skill = SkillVae(self.size, contract.action.size, cfg)
            self.predictors = Predictors(self.size, cfg)
            self.choice = mlp(self.size + 1, cfg.hidden, cfg.latent, cfg.layers)
        self.register_buffer("adapted", torch.tensor(False))

    # ------------------------------------------------------------------------------ rows
    def rows(self, episodes: Sequence[Episode]) -> SkillWindows:
        """Stretches that reach as far as the later ones that they are compared with."""
        reach = max(self.cfg.slowness_steps, self.cfg.time_steps)
        return SkillWindows(self.contract, episodes, self.cfg.horizon + reach, least=("horizon", self.cfg.horizon))

    @torch.no_grad()
    def beside_prior(self, rows: SkillWindows, prior: SkillWindows | None) -> Mixture:
        """What the policy learns from: the demonstrations, and ``algo.retrieved`` of the prior data's stretches; from
        now on it is one that acts. Stretches that an episode's end cuts short are not retrieved, nor looked for.

        Raises:
            PixelarmError: there is nothing to compare.
        """
        self.adapted.fill_(True)
        if prior is None:
            return Mixture(rows, None)
        (_, wanted), (whole, found) = self._skills_of(rows), self._skills_of(prior)
        if not len(wanted) or not len(found):
            raise PixelarmError(
                f"no stretch of algo.horizon={self.cfg.horizon} actions that are all examples to follow in the "
                f"{'demonstrations' if len(found) else 'prior data'}: nothing can be retrieved"
            )
        return Mixture(rows, prior.only(whole[nearest_share(found, wanted, self.cfg.retrieved)]))

    def _skills_of(self, windows: SkillWindows) -> tuple[np.ndarray, torch.Tensor]:
        """The whole stretches' rows ``(N,)`` int64, and their skills ``(N, latent)``."""
        device, rows, skills = self.normalizer.mean.device, [], []
        for first in tqdm(range(0, len(windows), AT_ONCE), desc="skills of what is compared", leave=False):
            at = np.arange(first, min(first + AT_ONCE, len(windows)))
            batch = windows.__getitems__(at)  # type: ignore[arg-type]
            whole = batch.valid[:, : self.cfg.horizon].all(dim=1)
            rows.append(at[whole.numpy()])
            states, actions = self._stretches(batch.to(device))
            skills.append(self.skill.posterior(*self._from(states, actions, 0)).mean[whole.to(device)])
        if not rows:
            return np.zeros(0, np.int64), torch.zeros(0, self.cfg.latent)
        return np.concatenate(rows), torch.cat(skills)

    # -------------------------------------------------------------------------- learning
    def loss(self, batch: SkillBatch | MixedBatch) -> dict[str, torch.Tensor]:
        """See the module text; the parts of "loss" by name. Of a ``SkillBatch`` it is that of skills alone."""
        stretches = batch.stretches if isinstance(batch, MixedBatch) else batch
        losses, mean = self._of_skills(stretches)
        cfg = self.cfg
        total = losses["reconstruction"] + cfg.prior_weight * losses["kl"] + cfg.slowness_weight * losses["slowness"]
        total = total + cfg.inverse_weight * losses["inverse"] + cfg.time_weight * losses["time"]
        if isinstance(batch, MixedBatch):
            losses |= self._of_policy(batch, mean.detach())
            total = total + losses["skill_error"] + cfg.acting_weight * losses["acting_error"]
        return {"loss": total, **losses}

    def _of_skills(self, batch: SkillBatch) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """The five terms without their weights, and the posterior's means ``(B, latent)``."""
        horizon, (states, wanted) = self.cfg.horizon, self._stretches(batch)
        going_on = batch.valid.long().cumprod(dim=1).sum(dim=1)  # actions from the first on that all are examples
        soon, soon_there = later(going_on - horizon, self.cfg.slowness_steps)
        far, far_there = later(going_on - horizon, self.cfg.time_steps)
        three = [self._from(states, wanted, offset) for offset in (0, soon, far)]
        all_three = self.skill.posterior(torch.cat([s for s, _ in three]), torch.cat([a for _, a in three]))
        mean, soon_mean, far_mean = all_three.mean.chunk(3)
        z = all_three.sample()[: len(batch)]
        rows = torch.arange(len(batch), device=states.device)[:, None]
        k = torch.randint(horizon, (len(batch), self.cfg.decoded), device=states.device)
        expected = self.predictors.skill(states[:, 0], states[:, horizon])
        between = self.predictors.steps(mean, far_mean)
        losses = {
            "reconstruction": self.error(self.skill.decode(states[rows, k], z), wanted[rows, k], batch.valid[rows, k]),
            "kl": all_three.kl_to_unit()[: len(batch)].mean(),
            "slowness": mean_of_valid((mean - soon_mean).square().mean(dim=-1), soon_there),
            "inverse": mean_of_valid((expected - mean).square().mean(dim=-1), going_on >= horizon),
            "time": mean_of_valid((between - far).square(), far_there),
        }
        return losses, mean

    def _of_policy(self, batch: MixedBatch, mean: torch.Tensor) -> dict[str, torch.Tensor]:
        """How far the policy's skills are from ``mean`` ``(B, latent)``, and the first actions that they lead to."""
        states, valid = self.scaled(batch.stretches.states[:, 0]), batch.stretches.valid[:, 0]
        start, wanted = self.beside(batch.stretches)
        away = (self.choose(states, batch.target) - mean).square().mean(dim=-1)
        answer = self.skill.decode(start, self.choose(start, batch.target))
        return {
            "skill_error": mean_of_valid(away, valid),
            "acting_error": self.error(answer[:, None], wanted, valid[:, None]),
        }

    def _stretches(self, batch: SkillBatch) -> tuple[torch.Tensor, torch.Tensor]:
        """States and actions as the networks have them."""
        return self.scaled(batch.states), self.actions.to_network(batch.actions)

    def _from(
        self, states: torch.Tensor, actions: torch.Tensor, offset: torch.Tensor | int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The H states ``(B, H, F)`` and actions ``(B, H, A)`` from an offset ``(B,)`` on."""
        if isinstance(offset, int):
            return states[:, offset : offset + self.cfg.horizon], actions[:, offset : offset + self.cfg.horizon]
        at = offset[:, None] + torch.arange(self.cfg.horizon, device=states.device)
        rows = torch.arange(len(states), device=states.device)[:, None]
        return states[rows, at], actions[rows, at]

    # ---------------------------------------------------------------------------- acting
    def choose(self, states: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Skills ``(B, latent)`` in normalised states ``(B, F)``; ``target`` ``(B,)`` bool: as the demonstrations do,
        and not as the prior data.
        """
        return self.choice(torch.cat([states, target[:, None].to(states.dtype)], dim=-1))

    def forward(self, observations: Observation) -> torch.Tensor:
        """Actions ``(B, 1, A)`` in the contract's units."""
        state = self.normalizer(observations)
        z = self.choose(state, torch.ones_like(state[:, 0], dtype=torch.bool))
        return self.actions.to_physical(self.skill.decode(state, z))[:, None]

    def act(self, observations: Observation, sample: bool) -> np.ndarray:
        """See ``SkillPolicy.act``. Raises PixelarmError if there are skills alone."""
        self._require_policy()
        return super().act(observations, sample)

    def deployed(self) -> nn.Module:
        """See ``policies.policy.Policy``. Raises PixelarmError if there are skills alone."""
        self._require_policy()
        return super().deployed()

    def _require_policy(self) -> None:
        if not self.adapted:
            raise PixelarmError(
                "these skills have no policy that chooses them, so they cannot act: `pixelarm adapt skills=RUN "
                "demos=FOLDER` learns one"
            )


def later(room: torch.Tensor, most: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Offsets of later stretches ``(B,)`` int64, uniform from 1 to ``most`` or to ``room`` ``(B,)`` if that is less,
    and which of them there are, ``(B,)`` bool: not those whose room is below 1; their offset is 1 and means nothing.
    """
    upto = room.clamp(min=1, max=most)
    return 1 + (torch.rand(len(room), device=room.device) * upto).long(), room >= 1


def nearest_share(found: torch.Tensor, wanted: torch.Tensor, share: float) -> np.ndarray:
    """Rows, in order, of the given share of skills ``found`` ``(N, D)``, at least one, whose Euclidean distance to one
    of ``wanted`` ``(M, D)`` is least; the earlier of equals.
    """
    exact = "donot_use_mm_for_euclid_dist"  # equal skills are at distance 0
    away = torch.cat([torch.cdist(part, wanted, compute_mode=exact).amin(dim=1) for part in found.split(AT_ONCE)])
    number = max(1, round(share * len(found)))
    return torch.argsort(away, stable=True)[:number].sort().values.cpu().numpy()
