"""An arbiter with an arm and a clock that a test owns: the arm goes a fifth of the way to its target in each tick."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from robot import rotations
from robot.actions import JOINT_POSITION, JOINT_VELOCITY, POSE, Target
from robot.arbiter.arbiter import Arbiter
from robot.control.limits import LimitConfig, target_limits
from robot.profile.arbitration import ArbiterConfig

HERE = np.array([0.5, 0.0, 0.3])
DOWN = np.array([1.0, 0.0, 0.0, 0.0])
LIMITS = LimitConfig(
    max_reach_m=0.07, max_speed_m_s=1.0, speed_scale=1.0, box_low=(0, -1, 0), box_high=(1, 1, 1), expiry_s=0.5,
    max_turn_rad=0.5, max_turn_speed_rad_s=3.0, joint_low=(-2.0, -2.0), joint_high=(2.0, 2.0),
    max_joint_speed_rad_s=(3.0, 3.0), max_joint_reach_rad=0.3,
)  # fmt: skip
SMOOTH = {
    "max_acceleration_m_s2": 4.0, "max_jerk_m_s3": 80.0, "max_turn_acceleration_rad_s2": 20.0,
    "max_joint_acceleration_rad_s2": (10.0, 10.0), "max_joint_jerk_rad_s3": (200.0, 200.0),
}  # fmt: skip


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def steady(self) -> float:
        return self.now_s

    def now_ns(self) -> int:
        return round(self.now_s * 1e9) + 10**18


class Rig:
    def __init__(
        self,
        kind: str = POSE,
        limits: LimitConfig = LIMITS,
        config: ArbiterConfig | None = None,
        enable_timeout_s: float | None = None,
        jumps: bool = False,
        gate: bool = False,
        dry_run: bool = False,
    ) -> None:
        self.clock, self.config = Clock(), config or ArbiterConfig()
        self.events: list[tuple[str, str]] = []
        self.sent: list[tuple[Target, int, bool]] = []
        self.position, self.joints, self.sensing = HERE.copy(), np.zeros(2), True
        self.arbiter = Arbiter(
            target_limits(limits, kind, 2, self.config.period_s),
            kind,
            lambda target, stamp, hold: self.sent.append((target, stamp, hold)),
            self.config,
            enable_timeout_s,
            jumps,
            gate,
            self.clock,  # type: ignore[arg-type]
            lambda name, words: self.events.append((name, words)),
            dry_run,
        )
        self.sense()

    def sense(self) -> None:
        stamp = self.clock.now_ns()
        self.arbiter.put_state("eef_pos", self.position.copy(), stamp)
        self.arbiter.put_state("eef_quat", DOWN, stamp)
        self.arbiter.put_state("joint_pos", self.joints.copy(), stamp)

    def run(self, seconds: float, each: Callable[[], None] = lambda: None) -> list[tuple[Target, int, bool]]:
        """Ticks of so many seconds, ``each`` before every one; what was published in them."""
        before = len(self.sent)
        for _ in range(round(seconds * self.config.rate_hz)):
            self.clock.now_s += self.config.period_s
            if self.sensing:
                self.sense()
            each()
            self.arbiter.tick()
            self._follow()
        return self.sent[before:]

    def _follow(self) -> None:
        if not self.sent:
            return
        target = self.sent[-1][0]
        if target.position is not None:
            self.position += 0.2 * (target.position - self.position)
        elif target.joint_positions is not None:
            self.joints += 0.2 * (target.joint_positions - self.joints)
        elif target.joint_velocities is not None:
            self.joints += target.joint_velocities * self.config.period_s

    def policy(self, *offset: float, gripper: float | None = None) -> Callable[[], None]:
        """A policy that always wants to be ``offset`` from the start."""
        return lambda: self.say("policy", HERE + offset, gripper)

    def operator(self, *offset: float, held: bool = True) -> Callable[[], None]:
        def each() -> None:
            self.arbiter.put_operator(held)
            self.say("teleop", HERE + offset)

        return each

    def say(self, source: str, position: np.ndarray, gripper: float | None = None) -> None:
        kind, motion = self.arbiter.kind, {"position": position, "rotation": rotations.from_quaternion(DOWN)}
        if kind == JOINT_POSITION:
            motion = {"joint_positions": (position - HERE)[:2]}
        elif kind == JOINT_VELOCITY:
            motion = {"joint_velocities": (position - HERE)[:2]}
        self.arbiter.put_target(source, motion, self.clock.now_ns())
        if gripper is not None:
            self.arbiter.put_gripper(source, gripper)


def positions(sent: list[tuple[Target, int, bool]]) -> np.ndarray:
    return np.array([target.position for target, _, _ in sent])
