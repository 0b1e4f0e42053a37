"""Safety limits: a list of small filters that every target passes, on by default.

These are *software* limits; they lower the chance and the size of a mistake. They are no safety function: an
emergency stop that removes power, and whatever the arm's own controller enforces, must work without this program.

A filter takes a ``Target`` and what is known of the arm (``Context``) and returns the target, a changed target, or a
``Stop``; each counts how often it acted. ``default_limits`` makes the list for a contract's kind of action. Of every
target that it lets through it guarantees (``tests/robot/control/limits/test_limits.py``):

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
- ``|t - p| <= max_joint_speed_rad_s * period_s``, and ``max_joint_step_rad`` if it is given, with the same exception
  for an arm that was carried away.

Joint velocities:

- no joint is faster than ``max_joint_speed_rad_s``, nor than ``max_joint_step_rad / period_s`` if that is given;
- none leads over ``joint_margin_rad`` within a control period, and a joint that stands beyond it may only come back.

Joint targets know no box. They know the height of the arm, if its kinematics are given (see below).

Poses for an arm that takes joint positions: ``t`` is limited as a pose, solved for joints near ``p``
(``robot.control.limits.solved``), and these are limited as joint positions. The pose that is kept with them is the one
to which they lead: it may lie outside the box by the tolerance of the solution, or by what joints that were shortened
leave of a straight way.

Smooth motion
-------------

Where the profile gives accelerations (``max_acceleration_m_s2`` and ``max_jerk_m_s3``;
``max_turn_acceleration_rad_s2``; ``max_joint_acceleration_rad_s2`` and ``max_joint_jerk_rad_s3``), targets are steps of
motions. A motion begins at rest at the measured position, with the first command, and when the arm was carried away.
Let ``t`` be all that is published from there on, commands and holds, after three times the position where it began,
and ``d`` a difference of successive ones divided by ``period_s``. Then, up to rounding
(``tests/robot/control/limits/test_smooth.py``):

- ``|d t|``, ``|d d t|`` and ``|d d d t|`` keep the limits of speed, acceleration and jerk *without exception*: lengths
  of vectors for the end effector, each joint its own, and angular velocities in the base frame for its rotation. Of a
  joint velocity ``u``: ``|u|``, ``|d u|`` and ``|d d u|``. The jerk of a rotation is limited by
  ``max_turn_acceleration_rad_s2 / period_s``. An emergency stop, which stops at once, is no part of a motion;
- ``t`` lies in the box, or in the range of the joints; of a motion that began outside, a number that is outside lies
  between where it began and the nearest edge, and comes back. Of a joint velocity: an arm that follows it stays in the
  range;
- what stays wanted is reached exactly. From rest it is not passed, and each axis or joint takes the least time that
  its limits allow; in motion no joint, and no axis of a position, passes what it can stop before. The three axes of a
  position and of a turn have ``1 / sqrt(3)`` of the limits each, so that the lengths keep them. Joints, and x, y and z
  of a position, arrive one after another: a path is not straight. A turn from rest is the shortest one;
- a hold comes to rest within ``v * a / j`` and the way to stop from ``v``, ``v * (v / (2 a) + a / (2 j))`` (or ``v *
  sqrt(v / j)`` where ``v < a * a / j``), with v, a and j the limits: ``robot.control.limits.jerk_limited``;
- ``|t - m|`` is at most what it is above plus that distance; else the arm was carried away. Then the rule
  ``carried_away`` stops the motion, and if the arm is still away when it rests, the next command begins a new motion.

With ``min_height_m``, which needs smooth joints and a chain: the tip and every joint's frame that can move up or down
stay so high above the base's plane at every target, and on the way to rest from there. One that is lower when a motion
begins may only rise above that height, and an arm with one more than ``max_reach_m`` too low is not moved at all.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from robot.actions import JOINT_POSITION, KINDS, MEASURED, POSE
from robot.contract import Contract
from robot.control.limits.always import EmergencyStop, Enable, Expiry, Finite, GripperRange, Length
from robot.control.limits.base import Context, Limit, Limits
from robot.control.limits.config import LimitConfig
from robot.control.limits.height import Height
from robot.control.limits.jerk_limited import Bounds
from robot.control.limits.motion import JOINTS, POSITION, ROTATION, Reach, Speed, SpeedScale, VelocityLimit
from robot.control.limits.smooth import SmoothPosition, SmoothRotation, SmoothVelocity
from robot.control.limits.solved import Settle, Solve
from robot.control.limits.workspace import Box, JointRange
from robot.errors import PixelarmError
from robot.kinematics.chain import Chain
from robot.kinematics.inverse import Options

__all__ = ["Context", "Limit", "LimitConfig", "Limits", "default_limits", "target_limits"]


Shapes = dict[str, tuple[int, ...]]  # fields of a target -> their shapes
Made = tuple[Shapes, list[Limit]]


def default_limits(
    config: LimitConfig, contract: Contract, chain: Chain | None = None, inverse: Options | None = None
) -> Limits:
    """The list that every arm starts with, for the contract's kind of action.

    Args:
        chain: the arm's kinematics, of its joints in the order of its actions; ``min_height_m`` needs it.
        inverse: how to solve poses for the joints of an arm that takes joint positions alone; None: poses are
            published as they are.

    Raises:
        PixelarmError: the contract is not one for an arm, or the configuration lacks a number that this kind of action
            needs, or has one that needs a chain.
    """
    contract.require_arm()
    kind, action = KINDS[contract.action.kind], contract.action
    if kind.target == POSE:
        shapes, motion = _pose_limits(config, kind.turns, action.counts_from == MEASURED, contract.period_s)
    else:
        shapes, motion = _joints(config, action.kind, kind.target, action.size - 1, contract.period_s, chain)
    measured, needs = _measured(shapes), {}
    if kind.target == POSE and inverse is not None:
        assert chain is not None
        _require_solvable(config, action.kind, chain)
        height, n = _height(config, chain), len(chain.joints)
        joints = _joint_limits(config, contract.period_s, True, height, scaled=False)[1]
        motion += [Solve(chain, inverse, config.max_joint_reach_rad), *joints, Settle(chain)]
        measured["joint_positions"], needs = (n,), {"joint_pos": n}
    refuse: list[Limit] = [Finite(), Length(shapes, measured), EmergencyStop(), Enable(), Expiry(config.expiry_s)]
    return Limits([*refuse, GripperRange(), *motion], needs)


def target_limits(config: LimitConfig, target: str, joints: int, period_s: float, chain: Chain | None = None) -> Limits:
    """The list for targets of one kind (``robot.actions.TARGETS``) that come every ``period_s`` and count from nothing:
    a pose has a rotation. ``speed_scale`` is a share of the greatest speeds; accelerations stay, so that an arm at
    reduced speed stops as soon as ever. ``joints`` and ``chain`` are the arm's.

    Raises:
        PixelarmError: as ``default_limits``.
    """
    slower = dataclasses.replace(
        config,
        max_speed_m_s=config.max_speed_m_s * config.speed_scale,
        max_turn_speed_rad_s=config.max_turn_speed_rad_s * config.speed_scale,
        max_joint_speed_rad_s=tuple(v * config.speed_scale for v in config.max_joint_speed_rad_s),
        speed_scale=1.0,
    )
    if target == POSE:
        shapes, motion = _pose_limits(slower, True, True, period_s)
    else:
        shapes, motion = _joints(slower, target, target, joints, period_s, chain)
    # no enable and no emergency stop: they are causes of whoever owns the robot
    refuse: list[Limit] = [Finite(), Length(shapes, _measured(shapes)), Expiry(config.expiry_s)]
    return Limits([*refuse, GripperRange(), *motion])


def _measured(shapes: Shapes) -> Shapes:
    """What a target of these fields is compared with."""
    return {"joint_positions" if field == "joint_velocities" else field: shape for field, shape in shapes.items()}


def _require_solvable(config: LimitConfig, kind: str, chain: Chain) -> None:
    config.require_joints(kind, len(chain.joints))
    if config.max_acceleration_m_s2 is not None or config.max_turn_acceleration_rad_s2 is not None:
        raise PixelarmError(
            "limits max_acceleration_m_s2 and max_turn_acceleration_rad_s2 are for arms that are told poses; this one "
            "is told joint positions: give max_joint_acceleration_rad_s2 and max_joint_jerk_rad_s3 instead"
        )


def _pose_limits(config: LimitConfig, turns: bool, from_measured: bool, period_s: float) -> Made:
    reach, turn = config.max_reach_m, config.max_turn_rad
    near: list[Limit] = [Reach(POSITION, reach, "reach")]
    shapes: dict[str, tuple[int, ...]] = {"position": (3,)}
    slow: list[Limit] = []
    if turns:
        near.append(Reach(ROTATION, turn, "turn_reach"))
        slow.append(_slow_turn(config, period_s))
        shapes["rotation"] = (3, 3)
    low, high = np.asarray(config.box_low), np.asarray(config.box_high)
    box, scale = Box(low, high, reach), SpeedScale(config.speed_scale)
    # a motion is scaled from what it counts from: within reach of the arm if that is what is measured, else perhaps not
    scaled = [*near, scale] if from_measured else [scale, *near]
    if config.max_acceleration_m_s2 is None or config.max_jerk_m_s3 is None:
        return shapes, [*scaled, Speed(POSITION, config.max_speed_m_s, reach, period_s, "speed"), *slow, box]
    bounds = _of_each_axis(config.max_speed_m_s, config.max_acceleration_m_s2, config.max_jerk_m_s3)
    return shapes, [*scaled, box, SmoothPosition(POSITION, bounds, low, high, reach, period_s, "motion"), *slow]


def _slow_turn(config: LimitConfig, period_s: float) -> Limit:
    speed, acceleration, turn = config.max_turn_speed_rad_s, config.max_turn_acceleration_rad_s2, config.max_turn_rad
    if acceleration is None:
        return Speed(ROTATION, speed, turn, period_s, "turn_speed")
    return SmoothRotation(_of_each_axis(speed, acceleration, acceleration / period_s), turn, period_s, "turn_motion")


def _of_each_axis(*lengths: float) -> list[Bounds]:
    """Bounds of x, y and z by which vectors keep theirs."""
    return [Bounds(*(length / math.sqrt(3.0) for length in lengths))] * 3


def _joints(config: LimitConfig, kind: str, target: str, joints: int, period_s: float, chain: Chain | None) -> Made:
    config.require_joints(kind, joints)
    return _joint_limits(config, period_s, target == JOINT_POSITION, _height(config, chain))


def _joint_limits(
    config: LimitConfig, period_s: float, positions: bool, height: Height | None, scaled: bool = True
) -> Made:
    low, high, speed = (np.asarray(v) for v in (config.joint_low, config.joint_high, config.max_joint_speed_rad_s))
    reach, margin = config.max_joint_reach_rad, config.joint_margin_rad
    if config.max_joint_step_rad is not None:
        speed = np.minimum(speed, config.max_joint_step_rad / period_s)
    within = JointRange(low, high, margin, reach, period_s)
    shaped: list[Limit] = [Reach(JOINTS, reach, "joint_reach")] if positions else []
    shaped += [SpeedScale(config.speed_scale)] if scaled else []
    shaped += [] if positions else [VelocityLimit(speed)]
    shapes: dict[str, tuple[int, ...]] = {"joint_positions" if positions else "joint_velocities": low.shape}
    if not config.smooth_joints:
        slow = [Speed(JOINTS, speed, reach, period_s, "joint_speed")] if positions else []
        return shapes, [*shaped, *slow, within]
    numbers = zip(speed.tolist(), config.max_joint_acceleration_rad_s2, config.max_joint_jerk_rad_s3)
    bounds, inner = [Bounds(*n) for n in numbers], (low + margin, high - margin)
    smooth: Limit = (
        SmoothPosition(JOINTS, bounds, *inner, reach, period_s, "joint_motion", height)
        if positions
        else SmoothVelocity(bounds, *inner, reach, period_s, "joint_motion", height)
    )
    return shapes, [*shaped, within, *([height] if height else []), smooth]


def _height(config: LimitConfig, chain: Chain | None) -> Height | None:
    if config.min_height_m is None:
        return None
    if chain is None:
        raise PixelarmError(
            "limit min_height_m needs the arm's kinematics, and there are none: name their file in the arm's profile "
            "(key kinematics; 'pixelarm kinematics' writes one), or leave the limit out"
        )
    if len(chain.joints) != len(config.joint_low):
        raise PixelarmError(
            f"limit min_height_m: the kinematics have {len(chain.joints)} joints, and the limits are for "
            f"{len(config.joint_low)}"
        )
    return Height(chain, config.min_height_m, config.max_reach_m)
