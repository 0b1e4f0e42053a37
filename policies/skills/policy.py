"""What all policies of skills share: how states and actions are scaled, what an error is, and how they act."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from policies.augment.states import displaced, joints_in, require_joints
from policies.imitation.bc import mean_of
from policies.imitation.normalizers import ActionNormalizer
from policies.imitation.policy import Deployed, Eyes, mean_of_valid
from policies.networks.normalizers import ProprioNormalizer
from policies.policy import Observation
from policies.skills.config import SkillConfig
from policies.skills.windows import SkillBatch, SkillWindows, require_proprio, require_states
from robot.contract import Contract
from robot.dataset.episodes import Episode


class SkillPolicy(nn.Module):
    """A policy that acts through skills; a family brings ``loss`` and ``forward``.

    See ``policies.policy.FittedPolicy``.

    Args:
        eyes: from observations to states; None: of a family that reads proprioception alone.

    Attributes:
        joints: where the joint positions are in a state, if actions are the velocities of the same joints.
    """

    def __init__(self, contract: Contract, cfg: SkillConfig, eyes: Eyes | None = None) -> None:
        super().__init__()
        require_proprio(contract)
        if eyes is None:
            require_states(contract)
        self.contract, self.cfg = contract, cfg
        self.joints = joints_in(contract)
        if cfg.nudge:
            require_joints(contract)
        self.eyes = eyes or Eyes(contract, cfg)
        self.actions = ActionNormalizer(contract, classify=True)

    @property
    def size(self) -> int:
        """F, numbers of a state."""
        return self.eyes.size

    @property
    def normalizer(self) -> ProprioNormalizer:
        """Of proprioception."""
        return self.eyes.normalizer

    # ------------------------------------------------------------------- demonstrations
    def rows(self, episodes: Sequence[Episode]) -> SkillWindows:
        """What ``loss`` learns from."""
        return SkillWindows(self.contract, episodes, self.cfg.horizon)

    def measure(self, windows: SkillWindows) -> None:
        """Take the statistics of demonstrations that proprioception and actions are scaled by."""
        self.normalizer.fit(windows.all_states(), self.cfg.state_floor)
        self.actions.fit(windows.all_actions(), self.cfg.action_floor)

    def widen(self, windows: SkillWindows) -> None:
        """Scale what stood still in the data of the skills by demonstrations in which it moves."""
        self.normalizer.widen(windows.all_states(), self.cfg.state_floor)

    def scaled(self, proprio: torch.Tensor) -> torch.Tensor:
        """Proprioception ``(..., P)`` in the contract's units as the networks have it; without cameras, states."""
        return (proprio - self.normalizer.mean) / self.normalizer.std

    # -------------------------------------------------------------------------- learning
    def error(self, answer: torch.Tensor, wanted: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """L1 of motions, cross-entropy of two-valued numbers: as ``policies.imitation.bc``."""
        classes = self.actions.two_valued
        grip = F.binary_cross_entropy_with_logits(answer, wanted.clamp(0.0, 1.0), reduction="none")
        motion = mean_of_valid(mean_of((answer - wanted).abs(), ~classes), valid)
        return motion + self.cfg.two_valued_weight * mean_of_valid(mean_of(grip, classes), valid)

    def beside(self, batch: SkillBatch) -> tuple[torch.Tensor, torch.Tensor]:
        """Where stretches begin, the arm displaced by ``algo.nudge``: states ``(B, F)``, and their first action ``(B,
        1, A)``, both as the networks have them.
        """
        states, actions = displaced(
            batch.states[:, 0], batch.actions[:, 0], self.joints, self.cfg.nudge, self.contract, self.cfg.strays
        )
        return self.scaled(states), self.actions.to_network(actions)[:, None]

    # ---------------------------------------------------------------------------- acting
    def forward(self, observations: Observation) -> torch.Tensor:
        """Actions ``(B, 1, A)`` in the contract's units."""
        raise NotImplementedError

    @torch.no_grad()
    def act(self, observations: Observation, sample: bool) -> np.ndarray:
        """Actions ``(B, 1, A)`` float32 in the contract's units. ``sample`` changes nothing: it does not explore."""
        device = self.normalizer.mean.device
        return self({name: value.to(device) for name, value in observations.items()}).cpu().numpy()

    def deployed(self) -> nn.Module:
        """See ``policies.policy.Policy``."""
        return Deployed(self)
