"""FIST: few-shot imitation with skill transition models (Hakhamaneshi et al. 2021, arXiv 2107.08981).

What a state is to it: of a contract without cameras, normalised proprioception; with cameras, features of pictures and
proprioception, by the encoder that reinforcement learning has too, which is learned with the skills.

Skills are learned from demonstrations of anything (``policies/skills/skill.py``), then fitted a little more to a few
demonstrations of a new task. At every control step the policy

1. looks up the demonstrations' state that is nearest to the present one: by the Euclidean distance of states, or,
   with ``algo.distance=learned``, of their embeddings; ``algo.haste`` prefers states that are sooner at the end,
2. takes the state H control steps later in that same demonstration (or its last one) as where to go,
3. asks the inverse skill dynamics for the skill z that leads there, and the decoder for its action now; whether the
   gripper is to be open or closed it reads from the looked-up demonstration, one control step on (``algo.grip``), and
   with ``algo.objects=demonstrated`` where objects are, too.

What is looked up belongs to the policy: it is stored with the weights and exported with them, as constants.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from policies.augment.states import require_objects
from policies.imitation.policy import Eyes
from policies.policy import Observation
from policies.skills.config import OBSERVED, FistConfig
from policies.skills.lookup import LooksUp
from policies.skills.policy import SkillPolicy
from policies.skills.skill import Distance, Gaussian, SkillModel
from policies.skills.windows import MixedBatch, Mixture, SkillBatch, SkillWindows
from robot.contract import Contract
from robot.dataset.episodes import Episode


class Fist(LooksUp, SkillPolicy):
    """See the module text, and ``policies.policy.FittedPolicy``."""

    cfg: FistConfig

    def __init__(self, contract: Contract, cfg: FistConfig, seed: int) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            super().__init__(contract, cfg, Eyes(contract, cfg))
            proprio = len(self.normalizer.mean)
            self.skill = SkillModel(self.size, contract.action.size, cfg, proprio=proprio, prior=cfg.state_prior)
            self.distance = Distance(self.size, cfg)
        if cfg.object_noise:
            require_objects(contract, f"algo.object_noise={cfg.object_noise:g}", "it to 0")
        if cfg.objects != OBSERVED:
            require_objects(contract, f"algo.objects={cfg.objects}", f"algo.objects={OBSERVED}")
        self.remember(self.size, cfg.embedding, cfg.horizon)

    def rows(self, episodes: Sequence[Episode]) -> SkillWindows:
        """Stretches, of which ``algo.decoded`` steps are drawn."""
        return SkillWindows(self.contract, episodes, self.cfg.horizon, self.cfg.decoded)

    def beside_prior(self, rows: SkillWindows, prior: SkillWindows | None) -> SkillWindows | Mixture:
        """What the skills are fine-tuned to: the demonstrations, and beside them ``algo.rehearsed`` of each batch of
        what they were learned from.
        """
        return rows if prior is None else Mixture(rows, prior, self.cfg.rehearsed)

    def loss(self, batch: SkillBatch | MixedBatch) -> dict[str, torch.Tensor]:
        """See ``policies/skills/skill.py``; the parts of "loss" by name."""
        self.forget()
        batch = batch.stretches if isinstance(batch, MixedBatch) else batch
        proprio, wanted = self.scaled(batch.states), self.actions.to_network(batch.actions)
        start, end, *drawn = self._states(batch, proprio)
        posterior = self.skill.posterior(proprio[:, :-1], wanted)
        z = posterior.sample()
        rows = torch.arange(len(batch), device=z.device)[:, None]
        inverse, first = self.skill.inverse_dynamics(start, end), batch.valid[:, :1]
        decoded = self.skill.decode(torch.stack(drawn, dim=1), z)
        losses = {
            "reconstruction": self.error(decoded, wanted[rows, batch.drawn], batch.valid[rows, batch.drawn]),
            "kl": posterior.kl_to_unit().mean(),
            "inverse_nll": inverse.nll(z.detach()).mean() / self.cfg.latent,
            "inverse_error": self.error(*self._as_it_acts(batch, start, end), first),
            "contrast": self.distance.loss(start[batch.valid[:, -1]], end[batch.valid[:, -1]]),
        }
        total = losses["reconstruction"] + losses["inverse_nll"] + losses["contrast"]
        total = total + self.cfg.prior_weight * losses["kl"] + self.cfg.inverse_weight * losses["inverse_error"]
        if self.skill.prior is not None:
            losses["prior_nll"] = Gaussian(self.skill.prior(start)).nll(z.detach()).mean() / self.cfg.latent
            total = total + losses["prior_nll"]
        return {"loss": total, **losses}

    def _states(self, batch: SkillBatch, proprio: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """States ``(B, F)``: before the first action, after the last, and before those drawn; of random views.

        Args:
            proprio: ``(B, H + 1, P)``, scaled.
        """
        rows = torch.arange(len(batch), device=proprio.device)[:, None]
        number = 2 + self.cfg.decoded
        at = torch.cat([batch.drawn.new_tensor([[0, self.cfg.horizon]]).expand(len(batch), -1), batch.drawn], dim=1)
        shown = self._jittered(proprio[rows, at])
        if not self.contract.cameras:
            return shown.unbind(dim=1)
        views = torch.Generator(proprio.device).manual_seed(int(torch.randint(2**62, ())))
        images = {name: seen.flatten(0, 1) for name, seen in batch.pictures.items()}
        return self.eyes.join(images, shown.flatten(0, 1), views).unflatten(0, (len(batch), number)).unbind(dim=1)

    def _as_it_acts(
        self, batch: SkillBatch, start: torch.Tensor, end: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The first action ``(B, 1, A)`` by the inverse dynamics' skill, in a displaced state if the arm is nudged, and
        the wanted one, both as the network has them.
        """
        nudged, wanted = self.beside(batch)
        if self.cfg.nudge:
            start = self._jittered(nudged)
        answer = self.skill.decode(start, self.skill.inverse_dynamics(start, end).mean)
        return answer[:, None], wanted

    def _jittered(self, states: torch.Tensor) -> torch.Tensor:
        """Scaled states ``(..., P)`` with every object a little elsewhere, in each of them anew."""
        if not self.cfg.object_noise:
            return states
        noise = self.cfg.object_noise * self.of_objects / self.normalizer.std
        return states + noise * torch.randn_like(states)

    # ---------------------------------------------------------------------------- acting
    def embed(self, states: torch.Tensor) -> torch.Tensor:
        """States ``(B, F)`` to where their Euclidean distance is the one that looks up."""
        return self.distance(states) if self.cfg.distance == "learned" else super().embed(states)

    def choose(self, states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """In states ``(B, F)`` the rows ``(B,)`` of ``seen`` that are looked up, and the skills ``(B, latent)``
        that lead to where those led.
        """
        rows = self.nearest(states)
        return rows, self.skill.inverse_dynamics(self.with_objects(states, rows), self.ahead[rows]).mean

    def done_in(self, proprio: torch.Tensor, actions: torch.Tensor) -> Gaussian:
        """Posterior of the skill that was done in stretches: proprioception ``(B, H, P)`` before each of the actions
        ``(B, H, A)``, both in the contract's units.
        """
        return self.skill.posterior(self.scaled(proprio), self.actions.to_network(actions))

    def forward(self, observations: Observation) -> torch.Tensor:
        """Actions ``(B, 1, A)`` in the contract's units."""
        state = self.eyes(observations).float()
        rows, z = self.choose(state)
        action = self.skill.decode(self.with_objects(state, rows), z)
        return self.with_grip(self.actions.to_physical(action), rows)[:, None]

    def with_objects(self, states: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """States ``(B, F)`` with every object where it is in the looked-up ones, if ``algo.objects`` says so."""
        if self.cfg.objects == OBSERVED:
            return states
        return torch.where(self.of_objects > 0, self.seen[rows], states)
