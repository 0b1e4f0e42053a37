"""Safety limits: a list of small filters that every target passes, on by default.

These are *software* limits; they lower the chance and the size of a mistake. They are no safety function: an
emergency stop that removes power, and whatever the arm's own controller enforces, must work without this program.

A filter takes a ``Target`` and what is known of the arm (``Context``) and returns the target, a changed target, or a
``Stop``; each counts how often it acted. ``default_limits`` makes the list for a contract's kind of action. Of every
target that it lets through it guarantees (``tests/robot/control/test_limits.py``):

End-effector targets, with ``m`` the measured position, ``p`` the last target and ``box`` the workspace:

- the position ``t`` is finite and inside the box;
- ``|t - m| <= max_reach_m + distance(m, box)``, and the arm is at most ``max_reach_m`` outside its box;
- ``|t - p| <= max_speed_m_s * period_s + max(0, |p - m| - max_reach_m)``: a target moves no faster than the
  limit, except to come back to an arm that was carried away from it (by a hand, a reset or an obstacle), which only
  lowers the force;
- the same of its rotation, with angles, ``max_turn_rad`` and ``max_turn_speed_rad_s``, and no box.

Joint positions:

- every joint of ``t`` lies between ``joint_low`` and ``joint_high``, ``joint_margin_rad`` away from both;
- ``|t - m| <= max_joint_reach_rad`` plus what ``m`` lies beyond that range, and no arm is moved with a joint further
  than ``max_joint_reach_rad`` outside ``joint_low`` and ``joint_high``;
- ``|t - p| <= max_joint_speed_rad_s * period_s``, with the same exception for an arm that was carried away.

Joint velocities:

- no joint is faster than ``max_joint_speed_rad_s``;
- none leads over ``joint_margin_rad`` within a control period, and a joint that stands beyond it may only come back.

Joint targets know no box: that needs the arm's kinematics, which are not here.
"""

from __future__ import annotations

import numpy as np

from robot.actions import JOINT_POSITION, KINDS, MEASURED, POSE
from robot.contract import Contract
from robot.control.limits.always import EmergencyStop, Enable, Expiry, Finite, GripperRange, Length
from robot.control.limits.base import Context, Limit, Limits
from robot.control.limits.config import LimitConfig
from robot.control.limits.motion import JOINTS, POSITION, ROTATION, Reach, Speed, SpeedScale, VelocityLimit
from robot.control.limits.workspace import Box, JointRange

__all__ = ["Context", "Limit", "LimitConfig", "Limits", "default_limits"]


def default_limits(config: LimitConfig, contract: Contract) -> Limits:
    """The list that every arm starts with, for the contract's kind of action.

    Raises:
        PixelarmError: the contract is not one for an arm, or the configuration lacks a number that this kind of action
            needs.
    """
    contract.require_arm()
    kind = KINDS[contract.action.kind]
    if kind.target == POSE:
        shapes, motion = _pose_limits(config, contract, kind.turns)
    else:
        config.require_joints(contract.action.kind, contract.action.size - 1)
        shapes, motion = _joint_limits(config, contract, kind.target == JOINT_POSITION)
    measured = {"joint_positions" if field == "joint_velocities" else field: shape for field, shape in shapes.items()}
    refuse: list[Limit] = [Finite(), Length(shapes, measured), EmergencyStop(), Enable()]
    return Limits([*refuse, GripperRange(), *motion, Expiry(config.expiry_s)])


def _pose_limits(
    config: LimitConfig, contract: Contract, turns: bool
) -> tuple[dict[str, tuple[int, ...]], list[Limit]]:
    reach, turn, period_s = config.max_reach_m, config.max_turn_rad, contract.period_s
    near: list[Limit] = [Reach(POSITION, reach, "reach")]
    slow: list[Limit] = [Speed(POSITION, config.max_speed_m_s, reach, period_s, "speed")]
    shapes: dict[str, tuple[int, ...]] = {"position": (3,)}
    if turns:
        near.append(Reach(ROTATION, turn, "turn_reach"))
        slow.append(Speed(ROTATION, config.max_turn_speed_rad_s, turn, period_s, "turn_speed"))
        shapes["rotation"] = (3, 3)
    box = Box(np.asarray(config.box_low), np.asarray(config.box_high), reach)
    scale = SpeedScale(config.speed_scale)
    # a motion is scaled from what it counts from: within reach of the arm if that is what is measured, else perhaps not
    scaled = [*near, scale] if contract.action.counts_from == MEASURED else [scale, *near]
    return shapes, [*scaled, *slow, box]


def _joint_limits(
    config: LimitConfig, contract: Contract, positions: bool
) -> tuple[dict[str, tuple[int, ...]], list[Limit]]:
    low, high, speed = (np.asarray(v) for v in (config.joint_low, config.joint_high, config.max_joint_speed_rad_s))
    reach, scale = config.max_joint_reach_rad, SpeedScale(config.speed_scale)
    within = JointRange(low, high, config.joint_margin_rad, reach, contract.period_s)
    if not positions:
        return {"joint_velocities": low.shape}, [scale, VelocityLimit(speed), within]
    near = Reach(JOINTS, reach, "joint_reach")
    slow = Speed(JOINTS, speed, reach, contract.period_s, "joint_speed")
    return {"joint_positions": low.shape}, [near, scale, slow, within]
