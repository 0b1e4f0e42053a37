"""Inverse kinematics: the joint positions whose tip has a wanted pose, near those that were commanded last.

Damped least squares (Nakamura & Hanafusa 1986; Wampler 1986), repeated. Each iteration solves

    min over dq of  |e_p - J_p dq|^2 / l^2 + w^2 |e_r - J_r dq|^2 + damping^2 |dq|^2     low <= q + dq <= high

with e the error of position (m) and rotation (axis times angle, rad), J the geometric Jacobian of
``robot.kinematics.chain``, l the arm's mean lever (m) and w the weight of rotation. A joint whose limit the solution
would pass is put at that limit and leaves the solve (an active set); the largest step of a joint is such a limit too.

The mean lever is half of the arm's length: the tip is a whole length away from the first joint and none from the last.
In units of it linear and angular rows are about equally long, and condition numbers of long and short arms, in metres
or millimetres, can be compared.

Always start from the joints that were *commanded* last, never from those measured: sag under load and backlash in the
gears would come back as drift. Start from the measured ones only where a motion begins: at enable, after a fault.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from robot import rotations
from robot.errors import PixelarmError
from robot.kinematics.chain import Chain

CLOSE_M, CLOSE_RAD = 1e-6, 1e-6  # an error that is not worth another iteration
STILL_RAD = 1e-5  # neither is one that moved no joint further
MORE_DAMPING = 10.0  # times, after an iteration that brought the tip no nearer
SHARES = 4  # of the way to a distant pose that are tried, each half of the one before
HALF_TURN = 1e-2  # sine below which the axis of a turn of nearly pi needs more care
ROUNDING = 1e-14  # relative; below it an eigenvalue is zero
NUDGE = 0.05  # rad of each joint, off a pose where the Jacobian says nothing
NEARER = 1e-6  # relative growth of the condition number that counts as nearer to a singularity


@dataclass(frozen=True)
class Options:
    """How inverse kinematics solves, and what it refuses."""

    damping: float = 1e-2  # 1 rad of a joint's motion costs as much as an error of this many mean levers
    iterations: int = 6  # at most
    rotation_weight: float = 1.0  # 1 rad of error counts as much as this many mean levers; 0: position alone
    max_joint_step_rad: float = 0.2  # of each joint in one solve; what would need more is left to the next ones
    tolerance_m: float = 0.005  # a pose that no joints nearby reach this closely is refused
    posture_gain: float = 0.1  # share of the way back to the posture, in one solve and as far as the tip allows
    # Condition numbers of the Jacobian with lengths in mean levers. The defaults are MoveIt Servo's.
    slow_above: float = 17.0  # from here on, steps towards a singularity are shortened
    stop_above: float = 30.0  # and from here on, refused

    def __post_init__(self) -> None:
        for name in ("damping", "max_joint_step_rad", "tolerance_m"):
            if not 0 < getattr(self, name) < math.inf:
                raise PixelarmError(f"{name} must be positive and finite, got {getattr(self, name)}")
        if (
            isinstance(self.iterations, bool)
            or not isinstance(self.iterations, int)
            or not 1 <= self.iterations <= 1000
        ):
            raise PixelarmError(f"iterations must be a whole number from 1 to 1000, got {self.iterations}")
        if not 0 <= self.posture_gain <= 1:
            raise PixelarmError(f"posture_gain must lie in [0, 1], got {self.posture_gain}")
        if not 0 <= self.rotation_weight < math.inf:
            raise PixelarmError(f"rotation_weight must be finite and not negative, got {self.rotation_weight}")
        if not 1 <= self.slow_above < self.stop_above < math.inf:
            raise PixelarmError(
                f"slow_above must be at least 1 and below stop_above, which must be finite, got {self.slow_above} and "
                f"{self.stop_above}"
            )


@dataclass(frozen=True, eq=False)
class Result:
    """What one solve found."""

    joints: np.ndarray  # (n,) rad, to be commanded; the start's when the step is refused
    position_error_m: float  # from the tip at ``joints`` to the wanted position
    rotation_error_rad: float
    condition: float  # condition number at ``joints``, inf at a singularity
    refused: bool
    reason: str  # in words, why the step was shortened or refused; empty otherwise


DEFAULT = Options()


class _State(NamedTuple):
    """A chain at some joints, against the wanted pose. Lengths are in mean levers."""

    joints: np.ndarray  # (n,) rad
    error: np.ndarray  # (6,) position, then axis times angle
    jacobian: np.ndarray  # (6, n)


def solve(
    chain: Chain,
    start: np.ndarray,
    position: np.ndarray,
    rotation: np.ndarray,
    options: Options = DEFAULT,
    posture: np.ndarray | None = None,
) -> Result:
    """Joint positions near ``start`` whose tip is at a wanted pose.

    Args:
        start: (n,) rad, the last commanded joint positions. A joint beyond its limit may only come back.
        position: (3,) m in the base's frame, wanted of the tip.
        rotation: (3, 3) in the base's frame, likewise.
        posture: (n,) rad, where joints are drawn to that the pose leaves free: a seventh joint, say, which would drift
            in the course of many steps. Only a tip that moves draws them.

    Returns:
        The joints to command, and in words why the step towards them was shortened or refused.
    """
    start = np.array(start, np.float64)
    if start.shape != (len(chain.joints),) or not np.isfinite(start).all():
        raise ValueError(f"start must be {len(chain.joints)} finite joint positions, got {start.tolist()}")
    solver = _Solver(chain, start, np.asarray(position, np.float64), np.asarray(rotation, np.float64), options)
    if posture is not None:
        posture = np.asarray(posture, np.float64)
        if posture.shape != start.shape or not np.isfinite(posture).all():
            raise ValueError(f"posture must be {len(start)} finite joint positions, got {posture.tolist()}")
        # as strong as the damping: it moves what the pose leaves free, and next to nothing of the tip
        solver.pull = options.posture_gain * options.damping**2 * (posture - start)
    if not (np.isfinite(solver.position).all() and np.isfinite(solver.rotation).all()):
        return Result(
            start, math.nan, math.nan, solver.condition(solver.state(start)), True, "refused: the pose is not finite"
        )
    return solver.result()


class _Solver:
    """One solve: the chain, where it starts, what is wanted."""

    def __init__(
        self, chain: Chain, start: np.ndarray, position: np.ndarray, rotation: np.ndarray, options: Options
    ) -> None:
        self.chain, self.options, self.position, self.rotation = chain, options, position, rotation
        step = options.max_joint_step_rad
        self.low = np.maximum(np.minimum(chain.low, start), start - step)
        self.high = np.minimum(np.maximum(chain.high, start), start + step)
        self.start, self.lever = start, 0.5 * chain.length
        self.pull: np.ndarray | None = None  # (n,) of the first iteration, towards the posture
        self.weights = np.array([1.0] * 3 + [options.rotation_weight] * 3)
        # rows that must be followed: an arm of five joints has no motion for every turn of its tip
        self.tasks = 6 if options.rotation_weight > 0.0 and len(start) >= 6 else 3

    def state(self, joints: np.ndarray) -> _State:
        frames = self.chain.frames(joints)
        tip = frames[-1]
        error, jacobian = np.empty(6), self.chain.jacobian_of(frames)
        error[:3] = (self.position - tip[:3, 3]) / self.lever
        error[3:] = _turn(self.rotation.dot(tip[:3, :3].T))
        jacobian[:3] /= self.lever
        return _State(joints, error, jacobian)

    def errors(self, state: _State) -> tuple[float, float]:
        """Of position (m) and of rotation (rad)."""
        x, y, z, *turn = state.error.tolist()
        return math.hypot(x, y, z) * self.lever, math.hypot(*turn)

    def condition(self, state: _State) -> float:
        """Largest by smallest singular value of the Jacobian, of the rows that count."""
        rows = state.jacobian[: self.tasks]
        values = np.linalg.eigvalsh(rows.dot(rows.T))  # squares of the singular values, ascending
        largest, smallest = float(values[-1]), float(values[max(0, len(rows) - len(self.start))])
        return math.sqrt(largest / smallest) if smallest > ROUNDING * largest else math.inf

    # ------------------------------------------------------------------------------------------------ the step
    def result(self) -> Result:
        options = self.options
        first = self.state(self.start)
        condition = self.condition(first)
        begin, end = first, self.descend(first)
        if condition > options.stop_above and self.errors(end)[0] > options.tolerance_m:
            bent = self.state(self.nudged())
            other = self.descend(bent)
            if self.cost(other) < self.cost(end):
                begin, end = bent, other
        reason = self.held_back(end)
        missing = self.errors(end)[0]
        if reason and missing > options.tolerance_m:
            end = self.part_of_the_way(first, begin)
        if missing > options.tolerance_m and (not reason or end is first):
            found = f"no joints nearby reach the pose: {1e3 * missing:.1f} mm are missing"
            return self.refuse(first, condition, f"{found}, {1e3 * options.tolerance_m:g} are allowed")
        ahead = self.condition(end)
        if ahead > options.slow_above and ahead > condition * (1.0 + NEARER):
            nearness = f"the condition number would go from {condition:.1f} to {ahead:.1f}"
            if ahead >= options.stop_above:
                return self.refuse(first, condition, f"singularity: {nearness}, {options.stop_above:g} is the end")
            reason = f"shortened near a singularity: {nearness}, {options.stop_above:g} is the end"
            part = (options.stop_above - ahead) / (options.stop_above - options.slow_above)
            end = self.state(self.start + part * (end.joints - self.start))
            ahead = self.condition(end)
        return Result(end.joints, *self.errors(end), ahead, False, reason)

    def held_back(self, end: _State) -> str:
        """In words, which joint has moved as far as it may in one step; empty if none has."""
        step = self.options.max_joint_step_rad
        longest = int(np.argmax(np.abs(end.joints - self.start)))
        if abs(float(end.joints[longest] - self.start[longest])) < step * (1.0 - 1e-9):
            return ""
        return f"shortened: the joint {self.chain.joints[longest].name!r} may move {step:g} rad in one step"

    def part_of_the_way(self, first: _State, begin: _State) -> _State:
        """Towards a pose that is further than one step: as far along the straight way as the joints may move in one,
        iterated from ``begin``. It is ``first`` if no part of the way can be gone."""
        options, rotation = self.options, self.chain.forward(self.start)[1]
        needed = float(np.abs(np.linalg.solve(*self.normal(begin, options.damping))).max())  # rad, at first sight
        share = min(1.0, options.max_joint_step_rad / needed) if needed > 0.0 else 1.0
        for _ in range(SHARES):
            position = self.position - (1.0 - share) * self.lever * first.error[:3]
            turned = rotations.part_of_turn(rotation, self.rotation, share)
            part = _Solver(self.chain, self.start, position, turned, options)
            end = part.descend(part.state(begin.joints))
            moved = float(np.abs(end.joints - self.start).max())
            if part.errors(end)[0] <= options.tolerance_m and moved > STILL_RAD:
                return self.state(end.joints)
            share *= 0.5
        return first

    def refuse(self, first: _State, condition: float, reason: str) -> Result:
        return Result(first.joints, *self.errors(first), condition, True, f"refused: {reason}")

    def nudged(self) -> np.ndarray:
        """The start with each joint moved a little towards the middle of its range.

        At a singularity the Jacobian does not see how to leave: a stretched arm that is to come straight back must
        first bend.
        """
        up = self.chain.high - self.start >= self.start - self.chain.low
        return np.clip(self.start + np.where(up, NUDGE, -NUDGE), self.low, self.high)

    # ------------------------------------------------------------------------------------------------ least squares
    def descend(self, state: _State) -> _State:
        """Iterate from a state; each one that is kept is nearer to the wanted pose than the one before."""
        pull, damping = self.pull, self.options.damping
        for _ in range(self.options.iterations):
            metres, turn = self.errors(state)
            if metres < CLOSE_M and (turn < CLOSE_RAD or self.options.rotation_weight == 0.0):
                break
            change = self.change(state, damping, pull)
            pull = None  # what it moved the tip by, the next iterations put right
            # rounding may not lead over a limit
            after = self.state(np.minimum(np.maximum(state.joints + change, self.low), self.high))
            if self.cost(after) < self.cost(state):
                state = after
            else:
                damping *= MORE_DAMPING  # the Jacobian says little that far away: try a shorter step
            if float(np.abs(change).max()) < STILL_RAD:
                break
        return state

    def cost(self, state: _State) -> float:
        error = state.error * self.weights
        return float(error.dot(error))

    def normal(self, state: _State, damping: float) -> tuple[np.ndarray, np.ndarray]:
        """The normal equations of a damped step: a matrix ``(n, n)`` and the right side ``(n,)``."""
        weighted = state.jacobian * self.weights[:, None]
        normal = weighted.T.dot(weighted)
        normal.flat[:: len(normal) + 1] += damping**2
        return normal, weighted.T.dot(state.error * self.weights)

    def change(self, state: _State, damping: float, pull: np.ndarray | None) -> np.ndarray:
        """The damped least-squares step ``(n,)`` rad of one iteration, within the joints' limits."""
        normal, right = self.normal(state, damping)
        if pull is not None:
            right += pull
        change = np.linalg.solve(normal, right)
        low, high = self.low - state.joints, self.high - state.joints
        free = np.ones(len(change), bool)
        while True:
            over = np.where(free, np.maximum(low - change, change - high), 0.0)
            worst = int(np.argmax(over))
            if over[worst] <= 0.0:
                return change
            free[worst] = False
            change[worst] = low[worst] if change[worst] < low[worst] else high[worst]
            if not free.any():
                return change
            held = ~free  # at their limits; the others are solved for again
            rest = right[free] - normal[np.ix_(free, held)].dot(change[held])
            change[free] = np.linalg.solve(normal[np.ix_(free, free)], rest)


def _turn(rotation: np.ndarray) -> tuple[float, float, float] | np.ndarray:
    """Axis times angle (3,) of a rotation matrix, as ``rotations.to_axis_angle`` but faster."""
    a, b, c, d, e, f, g, h, i = rotation.ravel().tolist()
    x, y, z, cosine = 0.5 * (h - f), 0.5 * (c - g), 0.5 * (d - b), 0.5 * (a + e + i - 1.0)
    sine = math.hypot(x, y, z)
    if cosine < 0.0 and sine < HALF_TURN:
        return rotations.to_axis_angle(rotation)
    scale = math.atan2(sine, cosine) / sine if sine > 0.0 else 1.0
    return scale * x, scale * y, scale * z
