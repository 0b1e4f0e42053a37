"""Inverse kinematics: the joint positions whose tip has a wanted pose, near those that were commanded last.

Damped least squares (Nakamura & Hanafusa 1986; Wampler 1986), repeated. Each iteration solves

    min over dq of  |e_p - J_p dq|^2 / L^2 + w^2 |e_r - J_r dq|^2 + damping^2 |dq|^2     low <= q + dq <= high

with e the error of position (m) and rotation (axis times angle, rad), J the geometric Jacobian of ``robot.kinematics
.chain``, L the arm's length and w the weight of rotation. A joint whose limit the solution would pass is put at that
limit and leaves the solve (an active set).

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
STILL_RAD = 1e-7  # neither is one that moved no joint further
LARGEST_CHANGE = 0.5  # rad of a joint in one iteration: the Jacobian says little further away
NUDGE = 0.05  # rad of each joint, off a pose where the Jacobian says nothing
NEARER = 1e-6  # relative growth of the condition number that counts as nearer to a singularity


@dataclass(frozen=True)
class Options:
    """How inverse kinematics solves, and what it refuses."""

    damping: float = 1e-2  # share of a joint's motion that costs as much as the same share of the arm's length in error
    iterations: int = 10  # at most
    rotation_weight: float = 1.0  # 1 rad of error counts as much as this many arm's lengths; 0: position alone
    max_joint_step_rad: float = 0.2  # of any joint in one solve; a longer step is shortened, all joints by one share
    tolerance_m: float = 0.005  # a pose that no joints nearby reach this closely is refused
    # Condition numbers of the Jacobian with lengths in units of the arm's own. The defaults are MoveIt Servo's.
    slow_above: float = 17.0  # from here on, steps towards a singularity are shortened
    stop_above: float = 30.0  # and from here on, refused

    def __post_init__(self) -> None:
        for name in ("damping", "max_joint_step_rad", "tolerance_m"):
            if not 0 < getattr(self, name) < math.inf:
                raise PixelarmError(f"{name} must be positive and finite, got {getattr(self, name)}")
        if isinstance(self.iterations, bool) or not isinstance(self.iterations, int) or not 1 <= self.iterations <= 1000:
            raise PixelarmError(f"iterations must be a whole number from 1 to 1000, got {self.iterations}")
        if not 0 <= self.rotation_weight < math.inf:
            raise PixelarmError(f"rotation_weight must be finite and not negative, got {self.rotation_weight}")
        if not 1 <= self.slow_above < self.stop_above:  # stop_above may be inf
            raise PixelarmError(
                f"slow_above must be at least 1 and below stop_above, got {self.slow_above} and {self.stop_above}"
            )


@dataclass(frozen=True, eq=False)
class Result:
    """What one solve found."""

    joints: np.ndarray  # (n,) rad, to be commanded; the start's when the step is refused
    position_error_m: float  # from the tip at ``joints`` to the wanted position
    rotation_error_rad: float
    condition: float  # condition number at ``joints``, inf at a singularity
    share: float  # of the step that is taken: 1 all, 0 refused
    reason: str  # in words, why it was shortened or refused; empty otherwise

    @property
    def refused(self) -> bool:
        return self.share == 0.0


class _State(NamedTuple):
    """A chain at some joints, against the wanted pose. Lengths are in units of the arm's length."""

    joints: np.ndarray  # (n,) rad
    error: np.ndarray  # (6,) position, then axis times angle
    jacobian: np.ndarray  # (6, n)


def solve(
    chain: Chain, start: np.ndarray, position: np.ndarray, rotation: np.ndarray, options: Options = Options()
) -> Result:
    """Joint positions near ``start`` whose tip is at a wanted pose.

    Args:
        start: (n,) rad, the last commanded joint positions. A joint beyond its limit may only come back.
        position: (3,) m in the base's frame, wanted of the tip.
        rotation: (3, 3) in the base's frame, likewise.

    Returns:
        The joints to command, and in words why the step towards them was shortened or refused.
    """
    start = np.array(start, np.float64)
    if start.shape != chain.low.shape or not np.isfinite(start).all():
        raise ValueError(f"start must be {len(chain.low)} finite joint positions, got {start.tolist()}")
    solver = _Solver(chain, start, np.asarray(position, np.float64), np.asarray(rotation, np.float64), options)
    if not (np.isfinite(solver.position).all() and np.isfinite(solver.rotation).all()):
        return Result(start, math.nan, math.nan, solver.condition(solver.state(start)), 0.0, "the pose is not finite")
    return solver.result()


class _Solver:
    """One solve: the chain, where it starts, what is wanted."""

    def __init__(
        self, chain: Chain, start: np.ndarray, position: np.ndarray, rotation: np.ndarray, options: Options
    ) -> None:
        self.chain, self.options, self.position, self.rotation = chain, options, position, rotation
        self.low, self.high = np.minimum(chain.low, start), np.maximum(chain.high, start)
        self.start = start
        self.tasks = 6 if options.rotation_weight > 0.0 else 3  # rows that count

    def state(self, joints: np.ndarray) -> _State:
        frames = self.chain.frames(joints)
        tip = frames[-1]
        error, jacobian = np.empty(6), self.chain.jacobian_of(frames)
        error[:3] = (self.position - tip[:3, 3]) / self.chain.length
        error[3:] = _turn(self.rotation.dot(tip[:3, :3].T))
        jacobian[:3] /= self.chain.length
        return _State(joints, error, jacobian)

    def errors(self, state: _State) -> tuple[float, float]:
        """Of position (m) and of rotation (rad)."""
        x, y, z, *turn = state.error.tolist()
        return math.hypot(x, y, z) * self.chain.length, math.hypot(*turn)

    def condition(self, state: _State) -> float:
        """Largest by smallest singular value of the Jacobian, by the eigenvalues of its smaller product with itself."""
        rows = state.jacobian[: self.tasks]
        product = rows.dot(rows.T) if rows.shape[0] <= rows.shape[1] else rows.T.dot(rows)
        values = np.linalg.eigvalsh(product)
        return math.sqrt(values[-1] / values[0]) if values[0] > 0.0 else math.inf

    # ------------------------------------------------------------------------------------------------ the step
    def result(self) -> Result:
        options = self.options
        first = self.state(self.start)
        condition = self.condition(first)
        end = self.descend(first)
        if condition > options.stop_above and self.errors(end)[0] > options.tolerance_m:
            end = min(end, self.descend(self.state(self.nudged())), key=self.errors)
        missing = self.errors(end)[0]
        if missing > options.tolerance_m:
            why = f"no joints nearby reach the pose: {1e3 * missing:.1f} mm are missing"
            return self.refuse(first, condition, f"{why}, {1e3 * options.tolerance_m:g} are allowed")
        return self.limited(first, condition, end)

    def limited(self, first: _State, condition: float, end: _State) -> Result:
        """The step from ``first`` to ``end`` as far as its length and the singularities allow."""
        options, way = self.options, end.joints - self.start
        share, reason = 1.0, ""
        longest = int(np.argmax(np.abs(way)))
        if abs(way[longest]) > options.max_joint_step_rad:
            share = options.max_joint_step_rad / abs(float(way[longest]))
            name, limit = self.chain.joints[longest].name, options.max_joint_step_rad
            reason = f"shortened: the joint {name!r} would move {abs(way[longest]):.3f} rad, {limit:g} are allowed"
            end = self.state(self.start + share * way)
        ahead = self.condition(end)
        if ahead > options.slow_above and ahead > condition * (1.0 + NEARER):
            part = max(0.0, (options.stop_above - ahead) / (options.stop_above - options.slow_above))
            nearness = f"near a singularity: the condition number would go from {condition:.1f} to {ahead:.1f}"
            if part == 0.0:
                return self.refuse(first, condition, f"{nearness}, {options.stop_above:g} are allowed")
            share, reason = share * part, f"shortened {nearness}, full steps end at {options.slow_above:g}"
            end = self.state(self.start + share * way)
            ahead = self.condition(end)
        return Result(end.joints, *self.errors(end), ahead, share, reason)

    def refuse(self, first: _State, condition: float, reason: str) -> Result:
        return Result(first.joints, *self.errors(first), condition, 0.0, f"refused: {reason}")

    def nudged(self) -> np.ndarray:
        """The start with each joint moved a little towards the middle of its range.

        At a singularity the Jacobian does not see how to leave: a stretched arm that is to come straight back must
        first bend.
        """
        with np.errstate(invalid="ignore"):
            up = ~(self.start > 0.5 * (self.low + self.high))  # also without limits, whose middle is nan
        return np.clip(self.start + np.where(up, NUDGE, -NUDGE), self.low, self.high)

    # ------------------------------------------------------------------------------------------------ least squares
    def descend(self, state: _State) -> _State:
        for _ in range(self.options.iterations):
            metres, turn = self.errors(state)
            if metres < CLOSE_M and (turn < CLOSE_RAD or self.tasks == 3):
                break
            change = self.change(state)
            largest = float(np.abs(change).max())
            if largest > LARGEST_CHANGE:
                change *= LARGEST_CHANGE / largest
            # rounding may not lead over a limit
            state = self.state(np.minimum(np.maximum(state.joints + change, self.low), self.high))
            if largest < STILL_RAD:
                break
        return state

    def change(self, state: _State) -> np.ndarray:
        """The damped least-squares step ``(n,)`` rad of one iteration, within the joints' limits."""
        weighted, error = state.jacobian, state.error
        weighted = np.concatenate([weighted[:3], weighted[3:] * self.options.rotation_weight])
        error = np.concatenate([error[:3], error[3:] * self.options.rotation_weight])
        normal, pull = weighted.T.dot(weighted), weighted.T.dot(error)
        normal.flat[:: len(pull) + 1] += self.options.damping**2
        change = np.linalg.solve(normal, pull)
        low, high = self.low - state.joints, self.high - state.joints
        free = (change >= low) & (change <= high)
        while not free.all():
            change = np.minimum(np.maximum(change, low), high)
            if not free.any():
                break
            held = ~free  # these stay at their limits; the others are solved for again
            rest = pull[free] - normal[np.ix_(free, held)].dot(change[held])
            change[free] = np.linalg.solve(normal[np.ix_(free, free)], rest)
            over = free & ((change < low) | (change > high))
            if not over.any():
                break
            free &= ~over
        return change


def _turn(rotation: np.ndarray) -> tuple[float, float, float] | np.ndarray:
    """Axis times angle (3,) of a rotation matrix, as ``rotations.to_axis_angle`` but faster below a quarter turn."""
    a, b, c, d, e, f, g, h, i = rotation.ravel().tolist()
    x, y, z, cosine = 0.5 * (h - f), 0.5 * (c - g), 0.5 * (d - b), 0.5 * (a + e + i - 1.0)
    if cosine <= 0.0:
        return rotations.to_axis_angle(rotation)
    sine = math.hypot(x, y, z)
    scale = math.atan2(sine, cosine) / sine if sine > 0.0 else 1.0
    return scale * x, scale * y, scale * z
