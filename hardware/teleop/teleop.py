"""Teleoperation without ROS: a device's inputs, the arm's state and the arbiter's status in, the next target out.

``tick`` is called at ``RATE_HZ``, and at once when the operator wants something else. It says whether the operator
holds, which is for the arbiter's deadman, and where the arm should go. Only a press begins a motion: after anything
that stopped it (a fault, a silent arbiter, an old state) the device must be let go first.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from hardware.teleop.input import SILENCE_S, Input, Receiver
from hardware.teleop.mapping import Mapping, Shape
from robot import rotations
from robot.actions import JOINT_POSITION, POSE, Target
from robot.arbiter.modes import COMMANDED_BY, POLICY, TELEOP
from robot.arbiter.state import State
from robot.control.limits import Context
from robot.control.limits.solved import Settle, Solve
from robot.control.rules import Stop
from robot.errors import PixelarmError
from robot.profile import ArmProfile

RATE_HZ = 50.0
STATUS_LOST_S = 0.5  # without a status for so long, the arbiter is dead
HAND_OVER_S = 0.5  # after a press, in which the arbiter must say that the operator holds, and has command


def kind_of(arm: ArmProfile) -> str:
    """The kind of target (``robot.actions.TARGETS``) by which an arm is teleoperated: poses, or joints solved for them.

    Raises:
        PixelarmError: the arm takes neither.
    """
    if POSE in arm.outputs and "eef_pos" in arm.proprio:
        return POSE
    if arm.solves:
        return JOINT_POSITION
    raise PixelarmError(
        f"the arm profile {arm.name!r} cannot be teleoperated: that needs target_pose and a measured pose (eef_pose or "
        "kinematics), or target_joint_position with kinematics and joint_state"
    )


class Teleop:
    """See the module text. Every method may be called from any thread."""

    def __init__(self, arm: ArmProfile, shape: Shape, steady: Callable[[], float]) -> None:
        self.arm, self.kind, self._steady = arm, kind_of(arm), steady
        self.receiver = Receiver(steady, min(SILENCE_S, arm.arbiter.teleop_silence_s))
        self.mapping = Mapping(shape)
        names = ("eef_pos", "eef_quat", *(("joint_pos",) if self.kind == JOINT_POSITION else ()))
        self.state = State(names)
        self.status: dict[str, Any] = {}  # the arbiter's, as it came last
        self.words = ""  # why nothing is commanded
        self.unreachable = 0  # poses that no joints reach
        chain = arm.read_chain() if self.kind == JOINT_POSITION else None
        self._chain = chain
        self._solve = Solve(chain, arm.inverse, arm.limits.max_joint_reach_rad) if chain else None
        self._settle = Settle(chain) if chain else None
        self._status_s = -math.inf
        self._since_s: float | None = None  # when the press that moves the arm began
        self._ticked_s = 0.0
        self._spent = ""  # what ended this press, if that was not its release
        self._target: Target | None = None
        self._gripper: float | None = None  # as the operator wants it; None: as the arm was told last
        self._old_gripper: float | None = None  # what the device says from before it had command: no wish
        self._lock = threading.RLock()

    # ----------------------------------------------------------------------------------------------------------- heard
    def put_state(self, name: str, value: np.ndarray, stamp_ns: int) -> None:
        """Measured proprioception, by the names of ``robot.actions.PROPRIO``."""
        with self._lock:
            self.state.put(name, value, stamp_ns, self._steady())

    def fault_state(self, name: str, words: str) -> None:
        """A message of the arm's state that could not be used."""
        with self._lock:
            self.state.fault = words

    def put_status(self, status: dict[str, Any]) -> None:
        """What ``robot.arbiter.arbiter.Arbiter.status`` said."""
        with self._lock:
            self.status, self._status_s = status, self._steady()

    def set_turns(self, turns: bool) -> None:
        """Whether the arm follows rotations."""
        with self._lock:
            self.mapping.turns = turns

    # ------------------------------------------------------------------------------------------------------------ tick
    def tick(self) -> tuple[bool, Target | None]:
        """Whether the operator holds, and the target to send now; a press without one waits, with the arm held."""
        with self._lock:
            now_s = self._steady()
            given = self.receiver.held()
            if not self._commands:
                self._forget_gripper()
            if given is None:
                self._since_s, self._spent, self.words = None, "", self.receiver.words
                return False, None
            blocked = self._blocked(now_s)
            if blocked or self._spent:
                self._since_s, self._spent = None, blocked or self._spent
                self.words = blocked or f"{self._spent}; it is over: let go, then press anew"
                return False, None
            self.words = ""
            self._want_gripper(given.gripper)
            if self._since_s is None:
                self._press(now_s)
            elif self._commands and self.receiver.waits:
                self.words = "the device is late: the arm waits for it"
                return True, None
            elif self._commands:
                self._move(given, now_s - self._ticked_s)
            self._ticked_s = now_s
            assert self._target is not None
            self._target = self._target.replace(gripper=self.gripper)
            return True, self._target

    def _forget_gripper(self) -> None:
        """Somebody else commands, and may hold something: the arbiter passes the gripper to the operator at the end of
        its blend, and what the operator wanted before would drop it then."""
        self._gripper = None
        if self._since_s is None:  # what changes from the press on is meant
            self._old_gripper = self.receiver.gripper

    def begin_anew(self) -> None:
        """A simulated scene was set up anew, with open fingers: nobody wants them as they were before."""
        with self._lock:
            self._gripper, self._old_gripper = -1.0, self.receiver.gripper

    def _want_gripper(self, said: float | None) -> None:
        if said is None:
            self._old_gripper = None
        if self._commands and said is not None and said != self._old_gripper:
            self._gripper, self._old_gripper = said, None

    @property
    def gripper(self) -> float:
        """As wanted: -1 opens, +1 closes."""
        if self._gripper is not None:
            return self._gripper
        said = self.status.get("gripper")
        return -1.0 if said is None else float(said)

    @property
    def _commands(self) -> bool:
        return COMMANDED_BY.get(self.status.get("mode", "")) == TELEOP

    @property
    def pressed(self) -> bool:
        """The operator holds, and the arbiter is told so."""
        return self._since_s is not None

    def _blocked(self, now_s: float) -> str:
        """Why nothing may be commanded, in words."""
        config = self.arm.arbiter
        found = self.state.stopped(config.state_age_s, config.state_lost_s, now_s)
        if found:
            return found.words
        if now_s - self._status_s > STATUS_LOST_S:
            return "the arbiter says nothing: is it running?"
        if not self._commands and self.status["mode"] != POLICY:
            return f"the operator does not have command: {self.status.get('words') or self.status['mode']}"
        if self._since_s is None or now_s - self._since_s <= HAND_OVER_S:
            return ""
        if not self.status.get("operator", True):
            return "the arbiter has let go, since it did not hear for too long that the device is held"
        return "" if self._commands else "the policy has command, and the arbiter does not hand over"

    def _press(self, now_s: float) -> None:
        """Begin where the arm was told to be, if it is there, else where it is."""
        start, shape = self._commanded() or self.state.target(self.kind, self.gripper), self.mapping.shape
        position, rotation = self._pose(start)
        measured = self.state.reference
        assert measured.position is not None and measured.rotation is not None
        away = float(np.linalg.norm(position - measured.position))
        if away > shape.leash_m or rotations.angle_between(rotation, measured.rotation) > shape.leash_rad:
            start = self.state.target(self.kind, self.gripper)
            position, rotation = self._pose(start)
        self._target, self._since_s = start, now_s
        self.mapping.press(position, rotation)

    def _pose(self, target: Target) -> tuple[np.ndarray, np.ndarray]:
        if target.joint_positions is not None:
            assert self._chain is not None
            return self._chain.forward(target.joint_positions)
        assert target.position is not None and target.rotation is not None
        return target.position, target.rotation

    def _commanded(self) -> Target | None:
        """What the arbiter told the arm last."""
        said = self.status.get("target") or {}
        if self.kind == JOINT_POSITION:
            joints = said.get("joint_positions")
            return None if joints is None else Target(self.gripper, joint_positions=np.array(joints))
        if said.get("position") is None or said.get("xyzw") is None:
            return None
        rotation = rotations.from_quaternion(np.array(said["xyzw"]))
        return Target(self.gripper, position=np.array(said["position"]), rotation=rotation)

    def _move(self, given: Input, seconds: float) -> None:
        measured = self.state.reference
        assert measured.position is not None and measured.rotation is not None
        mapping = self.mapping
        mapping.step(given, measured.position, measured.rotation, seconds)
        wanted = Target(self.gripper, position=mapping.position, rotation=mapping.rotation)
        if self._solve is None or self._settle is None:
            self._target = wanted
            return
        context = Context(measured, previous=self._target)
        solved = self._solve.apply(wanted, context)
        if isinstance(solved, Stop):  # the last target stands
            self.unreachable += 1
            assert self._target is not None
            mapping.settle(self._pose(self._target)[0])
            return
        settled = self._settle.apply(solved, context)
        assert not isinstance(settled, Stop) and settled.position is not None
        mapping.settle(settled.position)
        self._target = Target(self.gripper, joint_positions=settled.joint_positions)

    # ---------------------------------------------------------------------------------------------------------- report
    def report(self) -> dict[str, Any]:
        """What an operator sees: plain values, metres and radians."""
        with self._lock:
            now_s, measured = self._steady(), self.state.reference
            known = not self.state.missing
            silent = now_s - self._status_s > STATUS_LOST_S
            return {
                "pressed": self.pressed,
                "words": self.words,
                "arbiter": None if silent else self.status,
                "measured": _plain(measured.position),
                "target": _plain(self.mapping.position) if self.pressed else None,
                "gripper": self.gripper,
                "turns": self.mapping.turns,
                "state_age_s": round(self.state.age_s(now_s), 3) if known else None,
                "held_back": {**self.mapping.counts, "unreachable": self.unreachable},
                "inputs": dict(self.receiver.counts),
            }


def _plain(vector: np.ndarray | None) -> list[float] | None:
    return None if vector is None else [round(float(v), 4) for v in vector]
