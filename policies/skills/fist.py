"""FIST: few-shot imitation with skill transition models (Hakhamaneshi et al. 2021, arXiv 2107.08981).

What a state is to it: of a contract without cameras, normalised proprioception; with cameras, features of pictures and
proprioception, by the encoder that reinforcement learning has too, which is learned with the skills.

Skills are learned from demonstrations of anything (``policies/skills/skill.py``), then fitted a little more to a few
demonstrations of a new task. At every control step the policy

1. looks up the demonstrations' state that is nearest to the present one: by the Euclidean distance of states, or,
   with ``algo.distance=learned``, of their embeddings; ``algo.haste`` prefers states that are sooner at the end,
2. takes the state H control steps later in that same demonstration (or its last one) as where to go,
3. asks the inverse skill dynamics for the skill z that leads there, and the decoder for its action now.

What is looked up belongs to the policy: it is stored with the weights and exported with them, as constants.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from policies.imitation.bc import mean_of
from policies.imitation.normalizers import ActionNormalizer
from policies.imitation.policy import Deployed, Eyes, mean_of_valid
from policies.policy import Observation
from policies.skills.config import FistConfig
from policies.skills.skill import Distance, Gaussian, SkillModel
from policies.skills.windows import SkillBatch, SkillWindows, require_proprio
from robot.contract import Contract
from robot.dataset.episodes import Episode
from robot.errors import PixelarmError

STORED = ("seen", "ahead", "left")  # what is looked up; their number of rows is that of the demonstrations' states
AT_A_TIME = 256  # moments of demonstrations that are encoded at once


class Fist(nn.Module):
    """See the module text, and ``policies.policy.FittedPolicy``.

    Attributes:
        seen, ahead: ``(M, F)`` float32, the demonstrations' states, and those H steps later.
        left: ``(M,)`` float32, control steps from there to the demonstration's end.
    """

    seen: torch.Tensor
    ahead: torch.Tensor
    left: torch.Tensor
    embedded: torch.Tensor

    def __init__(self, contract: Contract, cfg: FistConfig, seed: int) -> None:
        super().__init__()
        require_proprio(contract)
        self.contract, self.cfg = contract, cfg
        self.joints = joints_in(contract)
        if cfg.nudge and (self.joints is None or contract.cameras):
            raise PixelarmError(
                "algo.nudge displaces joint positions, which pictures would contradict, and takes them back by joint "
                f"velocities; the contract of {contract.task} has cameras, or not both of these: set algo.nudge=0"
            )
        self.actions = ActionNormalizer(contract, classify=True)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.eyes = Eyes(contract, cfg)
            size = self.eyes.size
            self.skill = SkillModel(size, len(self.eyes.normalizer.mean), contract.action.size, cfg)
            self.distance = Distance(size, cfg)
        self.register_buffer("seen", torch.zeros(0, size))
        self.register_buffer("ahead", torch.zeros(0, size))
        self.register_buffer("left", torch.zeros(0))
        # ``seen`` as ``embed`` has it; empty: not computed since the weights changed
        self.register_buffer("embedded", torch.zeros(0, cfg.embedding), persistent=False)

    # ------------------------------------------------------------------- demonstrations
    def rows(self, episodes: Sequence[Episode]) -> SkillWindows:
        """What ``loss`` learns from."""
        return SkillWindows(self.contract, episodes, self.cfg.horizon, self.cfg.decoded)

    def measure(self, windows: SkillWindows) -> None:
        """Take the statistics of demonstrations that states and actions are scaled by."""
        self.eyes.normalizer.fit(windows.all_states(), self.cfg.state_floor)
        self.actions.fit(windows.all_actions(), self.cfg.action_floor)

    def widen(self, windows: SkillWindows) -> None:
        """Scale what stood still in the data of the skills by demonstrations in which it moves."""
        self.eyes.normalizer.widen(windows.all_states(), self.cfg.state_floor)

    @torch.no_grad()
    def look_up(self, windows: SkillWindows) -> None:
        """From now on, look up the states of these demonstrations, as the encoder has them now. Raises PixelarmError if
        there are none.
        """
        number, device = len(windows.states), self.seen.device
        if not number:
            raise PixelarmError("a policy that looks demonstrations up needs at least one: give it demos=FOLDER")
        parts = (windows.observations(start, start + AT_A_TIME) for start in range(0, number, AT_A_TIME))
        self.seen = torch.cat([self.eyes({name: x.to(device) for name, x in part.items()}) for part in parts]).float()
        self.ahead, self.left = self.seen[windows.ahead().to(device)], windows.left().to(device)
        self._forget()

    def _forget(self) -> None:
        self.embedded = self.embedded[:0]

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        for name in STORED:  # as many rows as there are
            if f"{prefix}{name}" in state_dict:
                setattr(self, name, torch.empty_like(state_dict[f"{prefix}{name}"], device=self.seen.device))
        self._forget()
        super()._load_from_state_dict(state_dict, prefix, *args)

    # -------------------------------------------------------------------------- learning
    def loss(self, batch: SkillBatch) -> dict[str, torch.Tensor]:
        """See ``policies/skills/skill.py``; the parts of "loss" by name."""
        self._forget()
        proprio, wanted = self._scaled(batch.states), self.actions.to_network(batch.actions)
        start, end, *drawn = self._states(batch, proprio)
        posterior = self.skill.posterior(proprio[:, :-1], wanted)
        z = posterior.sample()
        rows = torch.arange(len(batch), device=z.device)[:, None]
        inverse, first = self.skill.inverse_dynamics(start, end), batch.valid[:, :1]
        decoded = self.skill.decode(torch.stack(drawn, dim=1), z)
        losses = {
            "reconstruction": self._error(decoded, wanted[rows, batch.drawn], batch.valid[rows, batch.drawn]),
            "kl": posterior.kl_to_unit().mean(),
            "inverse_nll": inverse.nll(z.detach()).mean() / self.cfg.latent,
            "inverse_error": self._error(*self._as_it_acts(batch, start, end), first),
            "contrast": self.distance.loss(start[batch.valid[:, -1]], end[batch.valid[:, -1]]),
        }
        total = losses["reconstruction"] + losses["inverse_nll"] + losses["contrast"]
        total = total + self.cfg.prior_weight * losses["kl"] + self.cfg.inverse_weight * losses["inverse_error"]
        return {"loss": total, **losses}

    def _scaled(self, proprio: torch.Tensor) -> torch.Tensor:
        return (proprio - self.eyes.normalizer.mean) / self.eyes.normalizer.std

    def _states(self, batch: SkillBatch, proprio: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """States ``(B, F)``: before the first action, after the last, and before those drawn; of random views.

        Args:
            proprio: ``(B, H + 1, P)``, scaled.
        """
        rows = torch.arange(len(batch), device=proprio.device)[:, None]
        number = 2 + self.cfg.decoded
        at = torch.cat([batch.drawn.new_tensor([[0, self.cfg.horizon]]).expand(len(batch), -1), batch.drawn], dim=1)
        shown = proprio[rows, at]
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
        actions = batch.actions[:, 0]
        if self.cfg.nudge:
            states, actions = displaced(batch.states[:, 0], actions, self.joints, self.cfg.nudge, self.contract)
            start = self._scaled(states)
        answer = self.skill.decode(start, self.skill.inverse_dynamics(start, end).mean)
        return answer[:, None], self.actions.to_network(actions)[:, None]

    def _error(self, answer: torch.Tensor, wanted: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """L1 of motions, cross-entropy of two-valued numbers: as ``policies.imitation.bc``."""
        classes = self.actions.two_valued
        grip = F.binary_cross_entropy_with_logits(answer, wanted.clamp(0.0, 1.0), reduction="none")
        motion = mean_of_valid(mean_of((answer - wanted).abs(), ~classes), valid)
        return motion + self.cfg.two_valued_weight * mean_of_valid(mean_of(grip, classes), valid)

    # ---------------------------------------------------------------------------- acting
    def embed(self, states: torch.Tensor) -> torch.Tensor:
        """States ``(B, F)`` to where their Euclidean distance is the one that looks up."""
        return self.distance(states) if self.cfg.distance == "learned" else states

    def nearest(self, states: torch.Tensor) -> torch.Tensor:
        """Rows ``(B,)`` of ``seen`` that are nearest to states ``(B, F)``."""
        if not len(self.seen):
            raise PixelarmError(
                "these skills have no demonstrations to look up, so they cannot act: `pixelarm adapt skills=RUN "
                "demos=FOLDER` gives them some"
            )
        if len(self.embedded) != len(self.seen):
            self.embedded = self.embed(self.seen).detach()
        away = (self.embed(states)[:, None] - self.embedded[None]).square().sum(dim=-1)
        return (away + self.cfg.haste * self.left).argmin(dim=1)

    def choose(self, states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """In states ``(B, F)`` the rows ``(B,)`` of ``seen`` that are looked up, and the skills ``(B, latent)``
        that lead to where those led.
        """
        rows = self.nearest(states)
        return rows, self.skill.inverse_dynamics(states, self.ahead[rows]).mean

    def done_in(self, proprio: torch.Tensor, actions: torch.Tensor) -> Gaussian:
        """Posterior of the skill that was done in stretches: proprioception ``(B, H, P)`` before each of the actions
        ``(B, H, A)``, both in the contract's units.
        """
        return self.skill.posterior(self._scaled(proprio), self.actions.to_network(actions))

    def forward(self, observations: Observation) -> torch.Tensor:
        """Actions ``(B, 1, A)`` in the contract's units."""
        state = self.eyes(observations).float()
        _, z = self.choose(state)
        return self.actions.to_physical(self.skill.decode(state, z))[:, None]

    @torch.no_grad()
    def act(self, observations: Observation, sample: bool) -> np.ndarray:
        """Actions ``(B, 1, A)`` float32 in the contract's units. ``sample`` changes nothing: it does not explore."""
        device = self.seen.device
        return self({name: value.to(device) for name, value in observations.items()}).cpu().numpy()

    @torch.no_grad()
    def deployed(self) -> nn.Module:
        """See ``policies.policy.Policy``; with what is looked up."""
        self.nearest(self.seen[:1])  # embeds them all: what is exported are constants
        return Deployed(self)


def joints_in(contract: Contract) -> slice | None:
    """Where the joint positions are in a state, if the contract's actions are the velocities of the same joints."""
    start = 0
    for entry in contract.proprio:
        if entry.name == "joint_pos" and contract.action.kind == "joint_velocity":
            return slice(start, start + entry.size)
        start += entry.size
    return None


def displaced(
    states: torch.Tensor, actions: torch.Tensor, joints: slice | None, nudge: float, contract: Contract
) -> tuple[torch.Tensor, torch.Tensor]:
    """States with the arm beside where it was, and actions that take it back on the way.

    Demonstrations hold the arm within a centimetre of its way at objects, so they say little about how to come back to
    it. Joint velocities do: an arm that is displaced by d, and should be where it would have been, is labelled with a
    velocity that covers d less in the control step.

    Args:
        states, actions: ``(B, F)`` and ``(B, A)`` in the contract's units.
        nudge: rad, standard deviation; each row has its own share of it, from none to twice as much.
    """
    if not nudge or joints is None:
        return states, actions
    number = joints.stop - joints.start
    share = 2.0 * torch.rand(len(states), 1, device=states.device)
    by = nudge * share * torch.randn(len(states), number, device=states.device)
    states, actions = states.clone(), actions.clone()
    states[:, joints] += by
    low, high = (actions.new_tensor(bound[:number]) for bound in (contract.action.low, contract.action.high))
    actions[:, :number] = (actions[:, :number] - by / contract.period_s).clamp(low, high)
    return states, actions
