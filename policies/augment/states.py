"""Random displacements of what is observed without a camera: of the arm beside its way, and of objects.

Demonstrations hold an arm close to its way, and show each object moved by just so much. A policy that learned from a
few of them knows neither how to come back to the way, nor what to do about an object that was moved a little less.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from policies.data.batch import Batch
from robot.contract import Contract
from robot.errors import PixelarmError

JOINTS, OBJECTS = "joint_pos", "object_state"  # fields of a contract: where the arm's joints are, and where objects are
FAR = 10.0  # times as far as the others are displaced, those that stray


def joints_in(contract: Contract) -> slice | None:
    """Where the joint positions are in a state, if the contract's actions are the velocities of the same joints."""
    start = 0
    for entry in contract.proprio:
        if entry.name == JOINTS and contract.action.kind == "joint_velocity":
            return slice(start, start + entry.size)
        start += entry.size
    return None


def where_objects_are(contract: Contract) -> torch.Tensor:
    """``(P,)`` float32 of proprioception: 1 where the positions of objects are, else 0."""
    of = [torch.full((entry.size,), float(entry.name == OBJECTS)) for entry in contract.proprio]
    return torch.cat([torch.zeros(0), *of])


def require_joints(contract: Contract) -> None:
    """Raise PixelarmError of a contract whose arm cannot be displaced: pictures show where it is, or its actions are
    not the velocities of the joints that are observed.
    """
    if joints_in(contract) is None or contract.cameras:
        raise PixelarmError(
            "algo.nudge displaces joint positions, which pictures would contradict, and takes them back by joint "
            f"velocities; the contract of {contract.task} has cameras, or not both of these: set algo.nudge=0"
        )


def require_objects(contract: Contract, option: str, instead: str) -> None:
    """Raise PixelarmError of a contract whose policy does not observe by themselves where objects are."""
    if contract.cameras or OBJECTS not in {entry.name for entry in contract.proprio}:
        raise PixelarmError(
            f"{option} is about {OBJECTS}, which a policy of {contract.task} does not observe by itself: set {instead}"
        )


def displaced(
    states: torch.Tensor,
    actions: torch.Tensor,
    joints: slice | None,
    nudge: float,
    contract: Contract,
    strays: float = 0.0,
) -> tuple[torch.Tensor, torch.Tensor]:
    """States with the arm beside where it was, and actions that take it back on the way.

    An arm that is displaced by d, and should be where it would have been, is labelled with a velocity that covers d
    less in the control step; of one that strays, each joint heads for the way as fast as the contract lets it.

    Args:
        states, actions: ``(B, F)`` and ``(B, A)`` in the contract's units.
        joints: of the states' numbers; None displaces nothing.
        nudge: rad, standard deviation; each row has its own share of it, from none to twice as much.
        strays: share of the rows that are displaced ``FAR`` times as far.
    """
    if not nudge or joints is None:
        return states, actions
    number = joints.stop - joints.start
    share = 2.0 * torch.rand(len(states), 1, device=states.device)
    if strays:
        share = torch.where(torch.rand_like(share) < strays, FAR * share, share)
    by = nudge * share * torch.randn(len(states), number, device=states.device)
    states, actions = states.clone(), actions.clone()
    states[:, joints] += by
    low, high = (actions.new_tensor(bound[:number]) for bound in (contract.action.low, contract.action.high))
    actions[:, :number] = (actions[:, :number] - by / contract.period_s).clamp(low, high)
    return states, actions


class Displacements:
    """Of a batch of demonstrated moments whose first action is that of the moment: the arm displaced by ``nudge`` (rad)
    and ``strays``, as ``displaced``, objects by ``object_noise`` (m or rad, standard deviation).

    Raises:
        PixelarmError: the contract does not say, or shows in pictures, where they are.
    """

    def __init__(self, contract: Contract, nudge: float, object_noise: float, strays: float = 0.0) -> None:
        self.contract, self.nudge, self.object_noise, self.strays = contract, nudge, object_noise, strays
        if nudge:
            require_joints(contract)
            if contract.history != 1:
                raise PixelarmError(f"algo.nudge needs algo.history=1, got {contract.history}: set algo.nudge=0")
        if object_noise:
            require_objects(contract, f"algo.object_noise={object_noise:g}", "it to 0")

    def __call__(self, batch: Batch) -> Batch:
        """The batch with other ``obs``, and other first ``actions`` if the arm is displaced."""
        obs, actions = dict(batch.obs), batch.actions
        if self.nudge and actions is not None:
            whole = slice(0, obs[JOINTS].shape[1])
            obs[JOINTS], first = displaced(obs[JOINTS], actions[:, 0], whole, self.nudge, self.contract, self.strays)
            actions = torch.cat([first[:, None], actions[:, 1:]], dim=1)
        if self.object_noise:
            obs[OBJECTS] = obs[OBJECTS] + self.object_noise * torch.randn_like(obs[OBJECTS])
        return replace(batch, obs=obs, actions=actions)
