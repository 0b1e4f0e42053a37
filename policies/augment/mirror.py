"""The world's left and right swapped: pictures, positions and actions alike.

A table, an arm and cameras that are symmetrical about the arm's x-z plane look in a mirror like another scene of the
same task, in which everything that is done to the left is done to the right. Each demonstration then shows two places.
In contrast to ``flip``, which swaps pictures alone, the actions go with them.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from policies.data.batch import Batch
from robot.contract import Contract
from robot.errors import PixelarmError

# numbers that change their sign, of actions and of proprioception; others stay
ACTIONS = {"dx": 1.0, "dy": -1.0, "dz": 1.0, "dyaw": -1.0, "gripper": 1.0}
PROPRIO = {"eef_pos": (1.0, -1.0, 1.0), "gripper_opening": (1.0,), "eef_quat": (-1.0, 1.0, -1.0, 1.0)}


class Mirror:
    """Swaps left and right in every second row of a batch.

    Rows are drawn at random, so these are a random half; and which they are does not depend on the batch.

    Args:
        contract: of the batches; its actions are end-effector deltas, of position and perhaps of yaw.
    """

    def __init__(self, contract: Contract) -> None:
        unknown = [n for n in contract.action.names if n not in ACTIONS]
        unknown += [p.name for p in contract.proprio if p.name not in PROPRIO]
        if unknown:
            raise PixelarmError(
                f"algo.mirror: {', '.join(unknown)} of task {contract.task} have no known mirror image: set "
                "algo.mirror=false"
            )
        self.cameras = {c.name for c in contract.cameras}
        self.action = torch.tensor([ACTIONS[name] for name in contract.action.names])
        signs = {p.name: torch.tensor(PROPRIO[p.name]).repeat(contract.history) for p in contract.proprio}
        self.proprio = signs

    def __call__(self, batch: Batch) -> Batch:
        """The batch with rows 1, 3, 5, ... mirrored; the rest of it is as it was."""
        changed = {
            name: self._observations(value)
            for name in ("obs", "next_obs", "ahead_obs")
            if (value := getattr(batch, name)) is not None
        }
        for name in ("action", "actions", "proposal", "next_proposal"):
            value = getattr(batch, name)
            if value is not None:
                changed[name] = _every_second(value, value[1::2] * self.action.to(value.device))
        return replace(batch, **changed)

    def _observations(self, observations: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {name: self._one(name, value) for name, value in observations.items()}

    def _one(self, name: str, value: torch.Tensor) -> torch.Tensor:
        if name in self.cameras:
            return _every_second(value, value[1::2].flip(3))
        swapped = value[1::2] * self.proprio[name].to(value.device)
        return _every_second(value, _canonical(swapped) if name == "eef_quat" else swapped)


def _every_second(value: torch.Tensor, mirrored: torch.Tensor) -> torch.Tensor:
    changed = value.clone()
    changed[1::2] = mirrored
    return changed


def _canonical(quaternions: torch.Tensor) -> torch.Tensor:
    """``(B, history * 4)`` with the sign that ``robot.rotations.canonical`` gives each."""
    each = quaternions.unflatten(1, (-1, 4))
    axis, w = each[..., :3], each[..., 3:]
    leading = torch.where(w.abs() > 0.5, w, axis.gather(2, axis.abs().argmax(dim=2, keepdim=True)))
    return (each * torch.where(leading < 0.0, -1.0, 1.0)).flatten(1)
