"""Looking demonstrations up: the state of theirs that is nearest to the present one, and where that led."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from policies.augment.states import require_objects, where_objects_are
from policies.imitation.normalizers import ActionNormalizer
from policies.imitation.policy import Eyes
from policies.skills.windows import SkillWindows
from robot.contract import Contract
from robot.errors import PixelarmError

# what is looked up; their number of rows is that of the demonstrations' states
STORED = ("seen", "ahead", "left", "next_actions")
AT_A_TIME = 256  # moments of demonstrations that are encoded at once


class LooksUp(nn.Module):
    """What a ``SkillPolicy`` has besides when demonstrations are a part of it: ``class Mine(LooksUp, SkillPolicy)``.

    They are stored with its weights, and exported with them as constants.

    Attributes:
        seen, ahead: ``(M, F)`` float32, the demonstrations' states, and those some control steps later.
        left: ``(M,)`` float32, control steps from there to the demonstration's end.
        next_actions: ``(M, A)`` float32, the demonstrations' actions one control step later, in the contract's units.
    """

    seen: torch.Tensor
    ahead: torch.Tensor
    left: torch.Tensor
    next_actions: torch.Tensor
    embedded: torch.Tensor
    weights: torch.Tensor
    cfg: Any
    contract: Contract
    eyes: Eyes  # of SkillPolicy
    actions: ActionNormalizer  # of SkillPolicy

    def remember(self, size: int, embedding: int, lead: int) -> None:
        """Make room for demonstrations; once, in the constructor.

        Args:
            size: F, numbers of a state.
            embedding: of what ``embed`` makes of it.
            lead: control steps from a state to where it led.
        """
        self.lead = lead
        if self.cfg.object_tolerance:
            require_objects(self.contract, f"algo.object_tolerance={self.cfg.object_tolerance:g}", "it to 0")
        self.register_buffer("seen", torch.zeros(0, size))
        self.register_buffer("ahead", torch.zeros(0, size))
        self.register_buffer("left", torch.zeros(0))
        self.register_buffer("next_actions", torch.zeros(0, self.contract.action.size))
        self.register_buffer("weights", weights(self.contract, size, self.cfg.object_weight), persistent=False)
        self.register_buffer("of_objects", where_objects_are(self.contract), persistent=False)
        # ``seen`` as ``embed`` has it; empty: not computed since the weights changed
        self.register_buffer("embedded", torch.zeros(0, embedding), persistent=False)

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
        self.ahead, self.left = self.seen[windows.ahead(self.lead).to(device)], windows.left().to(device)
        self.next_actions = windows.actions[windows.ahead(1)].to(device)
        self.forget()

    def forget(self) -> None:
        """What was embedded is of other weights."""
        self.embedded = self.embedded[:0]

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        for name in STORED:  # as many rows as there are
            if f"{prefix}{name}" in state_dict:
                setattr(self, name, torch.empty_like(state_dict[f"{prefix}{name}"], device=self.seen.device))
        self.forget()
        super()._load_from_state_dict(state_dict, prefix, *args)

    def embed(self, states: torch.Tensor) -> torch.Tensor:
        """States ``(B, F)`` to where their Euclidean distance is the one that looks up."""
        return states * self.weights

    def nearest(self, states: torch.Tensor) -> torch.Tensor:
        """Rows ``(B,)`` of ``seen`` that are nearest to states ``(B, F)``; ``algo.haste`` prefers those
        that are sooner at their demonstration's end.
        """
        if not len(self.seen):
            raise PixelarmError(
                "these skills have no demonstrations to look up, so they cannot act: `pixelarm adapt skills=RUN "
                "demos=FOLDER` gives them some"
            )
        if len(self.embedded) != len(self.seen):
            self.embedded = self.embed(self.seen).detach()
        away = self.embed(states)[:, None] - self.embedded[None]
        if self.cfg.object_tolerance:
            same = self.cfg.object_tolerance * self.embed(self.of_objects / self.normalizer.std)
            away = (away.abs() - same).clamp(min=0.0)
        return (away.square().sum(dim=-1) + self.cfg.haste * self.left).argmin(dim=1)

    def with_grip(self, actions: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Actions ``(B, A)`` in the contract's units, whose two-valued numbers, the gripper's, are those that the
        looked-up demonstrations have next, if ``algo.grip`` says so.

        A decoder that is not sure whether to close stays open; nothing then moves, and the next observation is the
        same.
        """
        if self.cfg.grip == "decoded":
            return actions
        return torch.where(self.actions.two_valued, self.next_actions[rows], actions)

    @torch.no_grad()
    def deployed(self) -> nn.Module:
        """See ``policies.policy.Policy``; with what is looked up."""
        self.nearest(self.seen[:1])  # embeds them all: what is exported are constants
        return super().deployed()


def weights(contract: Contract, size: int, of_objects: float) -> torch.Tensor:
    """What states ``(..., size)`` are multiplied by before they are compared: ``of_objects`` where objects are, else 1.
    Raises PixelarmError if there is such a weight, and no object that it could be of.
    """
    if of_objects == 1.0:
        return torch.ones(size)
    require_objects(contract, f"algo.object_weight={of_objects:g}", "algo.object_weight=1")
    return 1.0 + (of_objects - 1.0) * where_objects_are(contract)
