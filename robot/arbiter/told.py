"""What a robot was told last, and what it is told while it is held."""

from __future__ import annotations

import numpy as np

from robot.actions import JOINT_VELOCITY, LEASH_M, LEASH_RAD, POSE, Target
from robot.arbiter.brake import Brake
from robot.arbiter.state import State
from robot.control.limits import Limits
from robot.control.limits.motion import JOINTS, POSITION, ROTATION
from robot.profile.arbitration import ArbiterConfig

TILT_RAD = 0.02  # of its last target's rotation a hand that is braked keeps: that may be what holds it up
MOVED_M, MOVED_RAD = 2 * LEASH_M, 2 * LEASH_RAD  # from the last target to where the arm is: it was moved, or reset


class Told:
    """The last target, ``None`` before the first and after a fault was cleared; and the gripper's last value."""

    def __init__(self, limits: Limits, kind: str, config: ArbiterConfig, state: State) -> None:
        self._limits, self._kind, self._config, self._state = limits, kind, config, state
        self.last: Target | None = None
        self.gripper = -1.0
        self.anew = False  # the arm may have been moved since: what comes next begins where it is
        self.holding = True  # nothing has moved it since the last hold
        self._since_s, self._tried = 0.0, True  # when this hold began, and whether it has begun to brake
        self._interrupted = False  # since no state came for too long
        poses = kind == POSE and not limits.brakes
        self._brake = Brake(config.lag_s) if poses and config.lag_s is not None else None

    def sent(self, target: Target) -> None:
        """A command that is no hold."""
        self.last, self.gripper, self.anew, self.holding = target, target.gripper, False, False
        self._let_go()
        self._tried = self._brake is None

    def forget(self) -> None:
        """The arm may stand anywhere. Its gripper is told what it was told, or it would drop what it holds."""
        self.last = None
        self._let_go()

    @property
    def rests(self) -> bool:
        """The arm was told to come to rest, and has been told the whole way there."""
        return self.last is None or (self.holding and self._limits.resting and not self._braking)

    @property
    def away(self) -> bool:
        """Whether the arm stands further from its last target than any lag: somebody moved it."""
        last, there = self.last, self._state.reference
        if last is None:
            return False
        if last.position is not None and there.position is not None:
            return float(np.linalg.norm(last.position - there.position)) > MOVED_M
        if last.joint_positions is not None and there.joint_positions is not None:
            return float(np.abs(last.joint_positions - there.joint_positions).max()) > MOVED_RAD
        return False

    @property
    def start(self) -> Target:
        """What the next command is approached from: where the arm was told to be, or where it is."""
        if self.last is None or self.anew:
            return self._state.target(self._kind, self.gripper)
        return self.last

    def stay(self) -> Target:
        """Told to stay where it is measured; what comes next begins there."""
        self.anew = True
        self._let_go()
        self.last = self._limits.hold(self._state.target(self._kind, self.gripper), at_once=True)
        return self.last  # ``hold``: so that the limits know that it rests there

    @property
    def _braking(self) -> bool:
        return self._brake is not None and self._brake.on

    def _let_go(self) -> None:
        if self._brake is not None:
            self._brake.end()
            self._tried, self._interrupted = True, False

    def hold(self, now_s: float, fresh: bool, stay: bool, at_once: bool, patience_s: float = 0.0) -> Target | None:
        """The next target of a hold, None: say nothing.

        Args:
            now_s: of a steady clock.
            fresh: what the arm measures is no older than ``state_age_s``.
            stay: tell it to stay where it is, whatever it was told before.
            at_once: an emergency stop: no way to rest, and no brake.
            patience_s: of a hold, before an arm that trails its target is braked.
        """
        if self.last is None:
            return None
        running, self.holding = not self.holding, True
        if running:
            self._since_s = now_s
        if at_once and self._braking:
            return self.stay()
        if fresh and (stay or (not running and self._limits.resting and not self._braking and self.away)):
            return self.stay()
        patient = now_s - self._since_s < patience_s
        if fresh and not patient and not at_once and (braked := self._braked(now_s)):
            return braked
        if not fresh and not running and self._limits.resting:
            return None  # a driver that comes back may find the arm elsewhere
        self.last = self._limits.hold(self._near(fresh) if running else self.last, at_once)
        return self.last

    def _braked(self, now_s: float) -> Target | None:
        """The target while an arm that trails it comes to rest, None: it rests, or is not such an arm."""
        brake, here, motion = self._brake, self._state.reference, self._state.motion
        assert self.last is not None
        if brake is None or here.position is None or here.rotation is None:
            return None
        if brake.too_old(self._state.age_s(now_s)):  # to be led by; it may come again
            if brake.on:
                brake.end()
                self._tried, self._interrupted = False, True
            return None
        if motion is None:  # it was set down elsewhere, or its states come too seldom
            if not brake.on:
                return None
            made, self._tried = self.stay(), False
            return made
        velocity, at_s = motion
        if not self._tried:
            self._tried = True
            assert self.last.position is not None
            if brake.begin(velocity, self.last.position - here.position, now_s) and self.last.rotation is not None:
                rotation = ROTATION.towards(here.rotation, self.last.rotation, TILT_RAD)
                self.last = self.last.replace(rotation=rotation)
        interrupted, self._interrupted = self._interrupted, False
        if not brake.on:  # the target of a brake that was interrupted is behind the arm
            return self.stay() if interrupted else None
        lead = brake.lead(velocity, at_s, now_s)
        self._tried = not brake.lost
        if lead is not None:
            lead *= min(1.0, self._config.hold_m / max(float(np.linalg.norm(lead)), 1e-9))
            target = self._limits.contain(self.last.replace(position=here.position + lead), here)
            self.last = self._limits.hold(target, at_once=True)
        return self.last

    def _near(self, fresh: bool) -> Target:
        """The last target, or what of the way there is near the arm; see ``ArbiterConfig.hold_m``."""
        assert self.last is not None
        if self._limits.brakes or not fresh or self._kind == JOINT_VELOCITY:
            return self.last
        measured, parts = self._state.reference, {}
        near = ((POSITION, self._config.hold_m), (ROTATION, self._config.hold_rad), (JOINTS, self._config.hold_rad))
        for quantity, distance in near:
            start, goal = getattr(measured, quantity.field), getattr(self.last, quantity.field)
            if start is not None and goal is not None:
                parts[quantity.field] = quantity.towards(start, goal, distance)
        return self.last.replace(**parts)
