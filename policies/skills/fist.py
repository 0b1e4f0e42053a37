"""FIST: few-shot imitation with skill transition models (Hakhamaneshi et al. 2021, arXiv 2107.08981), from states.

Skills are learned from demonstrations of anything (``policies/skills/skill.py``), then fitted a little more to a few
demonstrations of a new task. At every control step the policy

1. looks up the demonstrations' state that is nearest to the present one: by the Euclidean distance of scaled states,
   or, with ``algo.distance=learned``, of their embeddings; ``algo.haste`` prefers states that are sooner at the end,
2. takes the state H control steps later in that same demonstration (or its last one) as where to go,
3. asks the inverse skill dynamics for the skill z that leads there, and the decoder for its action now.

What is looked up belongs to the policy: it is stored with the weights and exported with them, as constants.
"""

from __future__ import annotations

import torch

from policies.policy import Observation
from policies.skills.config import FistConfig
from policies.skills.lookup import LooksUp
from policies.skills.policy import SkillPolicy
from policies.skills.skill import Distance, SkillModel
from policies.skills.windows import SkillBatch
from robot.contract import Contract


class Fist(LooksUp, SkillPolicy):
    """See the module text, and ``policies.policy.FittedPolicy``."""

    cfg: FistConfig

    def __init__(self, contract: Contract, cfg: FistConfig, seed: int) -> None:
        super().__init__(contract, cfg)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.skill = SkillModel(self.size, contract.action.size, cfg)
            self.distance = Distance(self.size, cfg)
        self.remember(self.size, cfg.embedding, cfg.horizon)

    def loss(self, batch: SkillBatch) -> dict[str, torch.Tensor]:
        """See ``policies/skills/skill.py``; the parts of "loss" by name."""
        self.forget()
        states, wanted = self.scaled(batch.states), self.actions.to_network(batch.actions)
        before, start, end = states[:, :-1], states[:, 0], states[:, -1]
        posterior = self.skill.posterior(before, wanted)
        z = posterior.sample()
        rows = torch.arange(len(states), device=states.device)[:, None]
        k = torch.randint(self.cfg.horizon, (len(states), self.cfg.decoded), device=states.device)
        inverse, first = self.skill.inverse_dynamics(start, end), batch.valid[:, :1]
        losses = {
            "reconstruction": self.error(self.skill.decode(before[rows, k], z), wanted[rows, k], batch.valid[rows, k]),
            "kl": posterior.kl_to_unit().mean(),
            "inverse_nll": inverse.nll(z.detach()).mean() / self.cfg.latent,
            "inverse_error": self.error(*self._as_it_acts(batch, end), first),
            "contrast": self.distance.loss(start[batch.valid[:, -1]], end[batch.valid[:, -1]]),
        }
        total = losses["reconstruction"] + losses["inverse_nll"] + losses["contrast"]
        total = total + self.cfg.prior_weight * losses["kl"] + self.cfg.inverse_weight * losses["inverse_error"]
        return {"loss": total, **losses}

    def _as_it_acts(self, batch: SkillBatch, end: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The first action ``(B, 1, A)`` by the inverse dynamics' skill in a displaced state, and the wanted one,
        both as the network has them.
        """
        start, wanted = self.beside(batch)
        answer = self.skill.decode(start, self.skill.inverse_dynamics(start, end).mean)
        return answer[:, None], wanted

    # ---------------------------------------------------------------------------- acting
    def embed(self, states: torch.Tensor) -> torch.Tensor:
        """Normalised states ``(B, F)`` to where their Euclidean distance is the one that looks up."""
        return self.distance(states) if self.cfg.distance == "learned" else states

    def forward(self, observations: Observation) -> torch.Tensor:
        """Actions ``(B, 1, A)`` in the contract's units."""
        state = self.normalizer(observations)
        goal = self.ahead[self.nearest(state)]
        z = self.skill.inverse_dynamics(state, goal).mean
        return self.actions.to_physical(self.skill.decode(state, z))[:, None]
