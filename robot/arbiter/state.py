"""What the arm measures, as far as the arbiter needs it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection

import numpy as np

from robot import rotations
from robot.actions import JOINT_VELOCITY, POSE, Reference, Target
from robot.control.mailbox import OTHER_CLOCK_MS
from robot.control.rules import Stop

JUMPS = {"eef_pos": 0.1, "joint_pos": 0.3}  # m and rad, further than any arm goes between two messages of its state
CONFIRMED = 5  # messages in a row that say the same new place: then the arm, or what is said of it, really is another
NEEDS = {POSE: ("eef_pos", "eef_quat")}  # kind of target -> proprioception; of joints it is joint_pos
TRAIL_NS = 15_000_000  # a velocity is of so long: states that come each millisecond differ by their noise
SELDOM_NS = 90_000_000  # and no longer: two states further apart say no velocity
FASTEST_M_S = 3.0  # what is faster was set down elsewhere


def needed(kind: str) -> tuple[str, ...]:
    """Names of the proprioception that targets of ``kind`` are compared with."""
    return NEEDS.get(kind, ("joint_pos",))


class State:
    """The newest values of ``names``, and how old the oldest of them is by the time of arrival."""

    def __init__(self, names: Collection[str]) -> None:
        self.names = tuple(names)
        self._values: dict[str, np.ndarray] = {}
        self._heard_s: dict[str, float] = {}
        self._stamps: dict[str, int] = {}
        self.fault = ""  # why the last message could not be used
        self.jumped = ""  # a jump that was confirmed: words
        self._candidates: dict[str, tuple[np.ndarray, int]] = {}  # where it is said to have jumped, and how often
        self._trail: deque[tuple[int, np.ndarray]] = deque()  # stamps and positions of the end effector

    def put(self, name: str, value: np.ndarray, stamp_ns: int, now_s: float) -> None:
        """A value that is not newer than the last counts as none: a stream that repeats itself is frozen. One that is
        much older is of a clock that was set back."""
        behind_ms = (self._stamps[name] - stamp_ns) * 1e-6 if name in self._stamps else -1.0
        if name not in self.names or 0.0 <= behind_ms <= OTHER_CLOCK_MS:
            return
        if not np.isfinite(value).all():
            self.fault = f"{name} is not finite"
            return
        if not self._plausible(name, value):
            return
        self._values[name], self._stamps[name], self._heard_s[name] = value, stamp_ns, now_s
        self.fault = ""
        if name == "eef_pos":
            self._remember(value, stamp_ns)

    def _remember(self, value: np.ndarray, stamp_ns: int) -> None:
        trail = self._trail
        if trail:
            passed_s, step = 1e-9 * (stamp_ns - trail[-1][0]), value - trail[-1][1]
            if passed_s <= 0.0 or np.linalg.norm(step) > FASTEST_M_S * passed_s:
                trail.clear()
        trail.append((stamp_ns, value))
        while len(trail) > 2 and stamp_ns - trail[1][0] >= TRAIL_NS:
            trail.popleft()

    def _plausible(self, name: str, value: np.ndarray) -> bool:
        """One value that jumps is dropped; several that agree are believed, and said in ``jumped``."""
        bound, last = JUMPS.get(name, np.inf), self._values.get(name)
        if last is None or last.shape != value.shape or not np.abs(value - last).max() > bound:
            self._candidates.pop(name, None)
            return True
        candidate, times = self._candidates.get(name, (value, 0))
        times = times + 1 if np.abs(value - candidate).max() <= bound else 1
        self._candidates[name] = (value, times)
        far = float(np.abs(value - last).max())
        self.fault = f"{name} jumped by {far:.2f} {'m' if name == 'eef_pos' else 'rad'}"
        if times < CONFIRMED:
            return False
        self.jumped = f"{self.fault} between two messages: joints under other names, or another arm?"
        self._candidates.pop(name)
        return True

    def age_s(self, now_s: float) -> float:
        """Infinite until everything was heard once."""
        return max((now_s - self._heard_s.get(name, -math.inf) for name in self.names), default=0.0)

    @property
    def missing(self) -> list[str]:
        return [name for name in self.names if name not in self._values]

    @property
    def reference(self) -> Reference:
        return Reference.of(self._values)

    @property
    def motion(self) -> tuple[np.ndarray, float] | None:
        """The velocity of the end effector, ``(3,)`` m/s, and when it was measured, s on the arm's clock. None: it is
        not measured, or states have come too seldom."""
        if len(self._trail) < 2 or self._trail[-1][0] - self._trail[0][0] > SELDOM_NS:
            return None
        (before_ns, before), (now_ns, now) = self._trail[0], self._trail[-1]
        return (now - before) / (1e-9 * (now_ns - before_ns)), 1e-9 * now_ns

    def target(self, kind: str, gripper: float) -> Target:
        """The target that leaves the arm where it is."""
        if kind == POSE:
            rotation = rotations.from_quaternion(self._values["eef_quat"])
            return Target(gripper, position=self._values["eef_pos"].copy(), rotation=rotation)
        joints = self._values["joint_pos"]
        if kind == JOINT_VELOCITY:
            return Target(gripper, joint_velocities=np.zeros_like(joints))
        return Target(gripper, joint_positions=joints.copy())

    def stopped(self, age_s: float, lost_s: float, now_s: float) -> Stop | None:
        """The rule by which what is measured forbids motion; ``state_lost`` where it is a fault."""
        if self.missing:
            return Stop("state_missing", f"the arm has not said {', '.join(self.missing)} yet")
        age = self.age_s(now_s)
        if age <= age_s:
            return None
        why = f" ({self.fault})" if self.fault else ""
        words = f"what the arm measures is {age:.2f} s old; at most {age_s:g} s are allowed{why}"
        return Stop("state_lost" if age > lost_s else "stale_state", words)


def plain(target: Target) -> dict[str, list[float] | None]:
    """The motion of a target as plain numbers: ``position`` and ``xyzw``, or joints."""
    turn = None if target.rotation is None else rotations.to_quaternion(target.rotation)
    parts = {"position": target.position, "xyzw": turn, "joint_positions": target.joint_positions}
    parts["joint_velocities"] = target.joint_velocities
    return {name: None if value is None else [round(float(v), 6) for v in value] for name, value in parts.items()}
