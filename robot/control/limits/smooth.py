"""Filters that limit acceleration and jerk: targets become steps of a motion, and a hold becomes a way to rest.

Every number of a target follows its own motion to rest at what is wanted (``robot.control.limits.jerk_limited``),
planned anew at each target. Published targets are samples of that motion, one each control period, so that their finite
differences keep the bounds of its velocity, acceleration and jerk. A goal in a range can only be approached as fast as
the motion can stop there: the range needs no rule of its own.

A target may be made and not published, and a hold may come between. A filter therefore keeps two states, of the target
that was published last and of the one that it made last, and sees in ``Context.previous`` which of them came true.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from robot import rotations
from robot.actions import Reference, Target
from robot.control.limits.base import Context
from robot.control.limits.height import Height
from robot.control.limits.jerk_limited import Bounds, State, approach, brake, braking_distance, longest_braking
from robot.control.limits.motion import JOINTS, POSITION, ROTATION, Quantity
from robot.control.rules import Stop

LAG_PERIODS = 2  # an arm that follows velocities is at most so late: its own delay, and the age of the observation


@dataclass(frozen=True, eq=False)
class Moving:
    """A published value and the motion that it is a sample of."""

    value: np.ndarray  # as the target has it
    axes: tuple[State, ...]  # of each number of the motion

    @property
    def rests(self) -> bool:
        return all(axis.rests for axis in self.axes)

    @property
    def positions(self) -> np.ndarray:
        return np.array([axis.position for axis in self.axes])


class Smooth(ABC):
    """What the filters have in common.

    Args:
        quantity: what is limited.
        bounds: of each of its numbers.
        reach: furthest that what is wanted lies from what is measured; one number, or one for each joint.
        period_s: of the control loop.
        name: of the filter.
    """

    def __init__(self, quantity: Quantity, bounds: Sequence[Bounds], reach: float, period_s: float, name: str) -> None:
        self.field, self.quantity, self.bounds = quantity.field, quantity, tuple(bounds)
        self.reach, self.period_s = reach, period_s
        # how far beyond its goal each number may be, since a motion takes its way to come to rest; and all together
        self.slack = np.array([longest_braking(b) for b in self.bounds])
        self.slack_length = float(np.linalg.norm(self.slack))
        self.name, self.count = name, 0
        self._published: Moving | None = None  # as far as is known
        self._made: Moving | None = None
        self._away = False  # the last target found the arm far from the one before

    def apply(self, target: Target, context: Context) -> Target | Stop:
        wanted, measured = getattr(target, self.field), context.measured
        now = None if context.previous is None else self._recognised(context.previous)
        made = self._towards(now or self._begin(measured), wanted, measured)
        words = self._too_far(made, measured)
        if words and not (self._away and (now is None or now.rests)):
            self._away = True
            self.count += 1
            return Stop("carried_away", words)
        if words:
            made = self._towards(self._begin(measured), wanted, measured)
        self._away = False
        if np.array_equal(made.value, wanted):
            self._made = replace(made, value=wanted)
            return target
        self.count, self._made = self.count + 1, made
        return target.replace(**{self.field: made.value})

    def brake(self, held: Target, previous: Target, at_once: bool) -> Target:
        """See ``Limits.hold``."""
        now = self._recognised(previous)
        made = self._at_rest(now) if at_once or now.rests else self._braked(now)
        value = getattr(held, self.field)
        if np.array_equal(made.value, value):
            self._made = replace(made, value=value)
            return held
        self._made = made
        return held.replace(**{self.field: made.value})

    @property
    def resting(self) -> bool:
        return self._made is None or self._made.rests

    def _recognised(self, previous: Target) -> Moving:
        """The motion of which ``previous`` is a sample; of a target that this filter never made, one that rests.

        The very array says which one it is, since two steps of a motion may be equal.
        """
        value = getattr(previous, self.field)
        known = [moving for moving in (self._made, self._published) if moving is not None]
        same = [moving for moving in known if moving.value is value]
        same += [moving for moving in known if np.array_equal(moving.value, value)]  # it may have been copied
        self._published = same[0] if same else self._unknown(value)
        return self._published

    def _step(self, now: Moving, goals: Sequence[float]) -> tuple[State, ...]:
        return tuple(approach(axis, goal, b, self.period_s) for axis, goal, b in zip(now.axes, goals, self.bounds))

    def _stop(self, now: Moving) -> tuple[State, ...]:
        return tuple(brake(axis, b, self.period_s) for axis, b in zip(now.axes, self.bounds))

    @abstractmethod
    def _begin(self, measured: Reference) -> Moving:
        """At rest where the arm is."""

    @abstractmethod
    def _unknown(self, value: np.ndarray) -> Moving:
        """At rest at a value."""

    @abstractmethod
    def _towards(self, now: Moving, wanted: np.ndarray, measured: Reference) -> Moving:
        """One period further on the way to ``wanted``."""

    @abstractmethod
    def _braked(self, now: Moving) -> Moving:
        """One period further on the way to rest."""

    @abstractmethod
    def _at_rest(self, now: Moving) -> Moving:
        """Rest without a way."""

    @abstractmethod
    def _too_far(self, made: Moving, measured: Reference) -> str:
        """Words, if the arm is so far from a target that something moved it."""


class SmoothPosition(Smooth):
    """Positions of the end effector, or of joints: the numbers of the target are those of the motion.

    ``low`` and ``high`` are the range that what is wanted lies in; ``height`` of joints, if it is limited.
    """

    def __init__(
        self,
        quantity: Quantity,
        bounds: Sequence[Bounds],
        low: np.ndarray,
        high: np.ndarray,
        reach: float,
        period_s: float,
        name: str,
        height: Height | None = None,
    ) -> None:
        super().__init__(quantity, bounds, reach, period_s, name)
        assert quantity in (POSITION, JOINTS)
        self.low, self.high, self.height = low, high, height

    def _begin(self, measured: Reference) -> Moving:
        return self._unknown(getattr(measured, self.field))

    def _unknown(self, value: np.ndarray) -> Moving:
        return Moving(np.array(value, np.float64), tuple(State(float(v)) for v in value))

    def _towards(self, now: Moving, wanted: np.ndarray, measured: Reference) -> Moving:
        made = self._of(self._step(now, wanted.tolist()))
        if self.height is None or self.height.allows(now, made, self._braked):
            return made
        return self._braked(now)

    def _braked(self, now: Moving) -> Moving:
        return self._of(self._stop(now))

    def _of(self, axes: tuple[State, ...]) -> Moving:
        return Moving(np.array([axis.position for axis in axes]), axes)

    def _at_rest(self, now: Moving) -> Moving:
        return self._unknown(now.value)

    def _too_far(self, made: Moving, measured: Reference) -> str:
        where = getattr(measured, self.field)
        outside = np.abs(where - np.clip(where, self.low, self.high))
        if self.quantity is POSITION:
            bound: float | np.ndarray = self.reach + float(np.linalg.norm(outside)) + self.slack_length
        else:
            bound = self.reach + outside + self.slack
        if self.quantity.towards(where, made.value, bound) is made.value:
            return ""
        unit = "m" if self.quantity is POSITION else "rad"
        return (
            f"the arm is at {np.round(where, 3).tolist()} {unit} and its target at {np.round(made.value, 3).tolist()} "
            f"{unit}, further away than {np.round(bound, 3)} {unit}: something moved or blocks it"
        )


@dataclass(frozen=True, eq=False)
class Turning(Moving):
    frame: np.ndarray  # (3, 3), its rows are the axes of the motion, in the base frame


class SmoothRotation(Smooth):
    """Orientations: the motion is that of an angular velocity, towards what is left of the turn.

    Turns do not commute, so that three axes at once lead beside the goal and have to be corrected. A motion that begins
    at rest therefore takes the axis of its turn as its first axis, and keeps its axes until it rests again: towards a
    goal that stays put only one of them turns.
    """

    def __init__(self, bounds: Sequence[Bounds], reach: float, period_s: float, name: str) -> None:
        super().__init__(ROTATION, bounds, reach, period_s, name)

    def _begin(self, measured: Reference) -> Moving:
        assert measured.rotation is not None
        return self._unknown(measured.rotation)

    def _unknown(self, value: np.ndarray) -> Turning:
        return Turning(np.array(value, np.float64), (State(0.0),) * 3, np.eye(3))

    def _towards(self, now: Moving, wanted: np.ndarray, measured: Reference) -> Moving:
        assert isinstance(now, Turning)
        left = rotations.to_axis_angle(wanted @ now.value.T)
        if now.rests and left.any():
            now = Turning(now.value, now.axes, _frame_along(left))
        made = self._turned(now, self._step(now, (now.frame @ left).tolist()))
        # there: exactly what was wanted, and not the product of many turns
        there = made.rests and np.allclose(made.value, wanted, 0.0, 1e-12)
        return Turning(wanted, made.axes, made.frame) if there else made

    def _braked(self, now: Moving) -> Moving:
        return self._turned(now, self._stop(now))

    def _turned(self, now: Moving, axes: tuple[State, ...]) -> Turning:
        assert isinstance(now, Turning)
        turn = np.array([axis.position for axis in axes]) @ now.frame
        value = rotations.from_axis_angle(turn) @ now.value if turn.any() else now.value
        return Turning(value, tuple(axis._replace(position=0.0) for axis in axes), now.frame)

    def _at_rest(self, now: Moving) -> Moving:
        return self._unknown(now.value)

    def _too_far(self, made: Moving, measured: Reference) -> str:
        assert measured.rotation is not None
        angle, bound = rotations.angle_between(measured.rotation, made.value), self.reach + self.slack_length
        if angle <= bound:
            return ""
        return (
            f"the arm is turned {angle:.3f} rad away from its target, more than {bound:.3f} rad: something moved or "
            f"blocks it"
        )


def _frame_along(vector: np.ndarray) -> np.ndarray:
    """Three orthogonal unit vectors, the first along ``vector``."""
    first = vector / np.linalg.norm(vector)
    second = np.cross(first, np.eye(3)[int(np.argmin(np.abs(first)))])
    second /= np.linalg.norm(second)
    return np.array([first, second, np.cross(first, second)])


@dataclass(frozen=True, eq=False)
class Driven(Moving):
    sent: tuple[np.ndarray, ...]  # the last ``LAG_PERIODS`` values, this one too


class SmoothVelocity(Smooth):
    """Joint velocities: each is a step of the motion of joint positions, divided by the period.

    The motion follows the measured positions, to which the last ``LAG_PERIODS`` velocities may still have to be added:
    a joint keeps the way to come to rest within its range from where it is *and* from where it was sent.
    """

    def __init__(
        self,
        bounds: Sequence[Bounds],
        low: np.ndarray,
        high: np.ndarray,
        reach: float,
        period_s: float,
        name: str,
        height: Height | None = None,
    ) -> None:
        super().__init__(Quantity("joint_velocities", JOINTS.share, JOINTS.part), bounds, reach, period_s, name)
        self.low, self.high, self.height = low.tolist(), high.tolist(), height

    def _begin(self, measured: Reference) -> Moving:
        assert measured.joint_positions is not None
        return self._resting_at(measured.joint_positions)

    def _unknown(self, value: np.ndarray) -> Moving:
        return self._resting_at(np.full(len(value), np.nan))  # ``_towards`` takes what is measured

    def _resting_at(self, positions: np.ndarray) -> Moving:
        nothing = np.zeros(len(positions))
        return Driven(nothing, tuple(State(float(v)) for v in positions), (nothing,) * LAG_PERIODS)

    def _towards(self, now: Moving, wanted: np.ndarray, measured: Reference) -> Moving:
        assert measured.joint_positions is not None
        assert isinstance(now, Driven)
        seen = measured.joint_positions.tolist()
        now = replace(now, axes=tuple(map(self._followed, now.axes, seen, *np.array(now.sent).tolist())))
        steps = zip(now.axes, wanted.tolist(), seen, self.bounds, self.low, self.high)
        made = self._of(now, tuple(self._joint(*step) for step in steps))
        if self.height is None or self.height.allows(now, made, self._braked):
            return made
        return self._braked(now)

    def _followed(self, axis: State, seen: float, *sent: float) -> State:
        """The position of a motion that the arm follows: as far from what is measured as was sent lately."""
        ways, way = [0.0], 0.0
        for velocity in reversed(sent):
            way += self.period_s * velocity
            ways.append(way)
        low, high = seen + min(ways), seen + max(ways)
        return axis if low <= axis.position <= high else axis._replace(position=high if axis.position > high else low)

    def _joint(self, axis: State, wanted: float, seen: float, bounds: Bounds, low: float, high: float) -> State:
        """Towards the edge of the range that lies in the direction of ``wanted``, no faster than ``wanted``."""
        left = high - max(axis.position, seen) if wanted > 0.0 else low - min(axis.position, seen)
        stop = braking_distance(axis, bounds)
        if wanted == 0.0 or (stop >= left if wanted > 0.0 else stop <= left):
            return brake(axis, bounds, self.period_s)
        slower = bounds._replace(speed=min(abs(wanted), bounds.speed))
        far = abs(stop) + longest_braking(bounds) + 2.0 * slower.speed * self.period_s
        left = min(max(left, -2.0 * far), 2.0 * far)  # a joint without a limit
        return approach(axis, axis.position + left, slower, self.period_s)

    def _of(self, now: Moving, axes: tuple[State, ...]) -> Moving:
        assert isinstance(now, Driven)
        value = np.array([after.position - before.position for after, before in zip(axes, now.axes)]) / self.period_s
        return Driven(value, axes, (*now.sent[1:], value))

    def _braked(self, now: Moving) -> Moving:
        return self._of(now, self._stop(now))

    @property
    def resting(self) -> bool:
        return self._made is None or (self._made.rests and not self._made.value.any())  # a last step leads to rest

    def _at_rest(self, now: Moving) -> Moving:
        return self._of(now, tuple(State(axis.position) for axis in now.axes))

    def _too_far(self, made: Moving, measured: Reference) -> str:
        return ""  # a motion follows what is measured
