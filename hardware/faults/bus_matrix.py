"""Faults on purpose of an SO-101 over its own bus: what is done to bus, servos, cable and power."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from hardware.faults.matrix import JUMP_S, LASTS_S, LATE_FOR_S, LATE_S, Fault, camera_rows
from hardware.feetech.arm import TORQUE_CHECK_S
from hardware.feetech.bus import question_s
from hardware.feetech.servos import OVERLOAD_BIT, VOLTAGE_BIT
from robot.contract import Contract
from robot.profile import ArmProfile

SHARE = 0.02  # of answers that are lost or damaged now and then
HOT_C = 75.0  # beyond every limit
SILENT = "wrist_flex"  # the servo that falls silent: the arm beyond it hangs on its cable
STRUCK = "gripper"  # the one that protects itself


class BusScene(Protocol):
    """What a fault can do to a session (``hardware.faults.bus_scene``)."""

    def misbehave(self, **what: str) -> None: ...
    def answers(self, **shares: float) -> None: ...
    def servo(self, name: str, **what: float) -> None: ...
    def restart_servo(self, name: str) -> None: ...
    def power(self, on: bool) -> None: ...
    def unplug(self) -> None: ...
    def late(self, seconds: float) -> None: ...
    def button(self, held: bool | None) -> None: ...
    def busy(self, loops: int) -> None: ...


class BusFault(Fault):
    """A row of this matrix; the fields are those of every row."""

    def begin(self, scene: BusScene) -> None:  # type: ignore[override]
        self._act(scene, True)

    def end(self, scene: BusScene) -> None:  # type: ignore[override]
        self._act(scene, False)

    def _act(self, scene: BusScene, on: bool) -> None:
        if self.cameras:
            scene.misbehave(**({"camera": self.cameras[0], "how": self.what} if on else {}))
        else:
            ACTS[self.name](scene, on)


def bus_matrix(profile: ArmProfile, contract: Contract, timeout_s: float) -> list[Fault]:
    """The faults that can be tried; ``timeout_s`` is how long the driver waits for an answer.

    A bus without answers is noticed when the last state is too old, and said after the question in progress: until it
    is answered nothing is written, and the servos hold.
    """
    two, times = 2.0 * contract.period_s, profile.arbiter
    silent = times.state_age_s + question_s(timeout_s, len(profile.joint_names) + 1) + two
    old, missed = ("stale_state", "stale_observation"), ("deadline_missed", "chunk_exhausted")
    late_s = contract.deadline_ms * 1e-3 + (contract.chunk + 2) * contract.period_s
    found = [
        *(f for f in camera_rows(contract) if f.what != "swapped"),
        Fault("policy: late", f"each inference takes {LATE_S:g} s longer", missed, late_s, lasts_s=LATE_FOR_S),
        Fault("button: released", "the space bar is let go", ("enable",), two),
        Fault("button: silent", "the terminal says nothing any more", ("enable",), profile.enable.timeout_s + two,
              by_itself=False),
        Fault("bus: seldom", f"{SHARE:.0%} of answers are lost, as many damaged", (), 0.0),
        Fault("bus: lost", "no answer comes", old, silent),
        Fault("bus: corrupt", "each answer has a byte changed", old, silent),
        Fault("bus: noise", "a few random bytes come before each answer: the parser finds the answer", (), 0.0),
        Fault("bus: late", f"each answer is {JUMP_S / 5:g} s late", old, silent),
        Fault("servo: silent", f"the cable of {SILENT} is out", old, silent),
        Fault("servo: overload", f"{STRUCK} says that it protects itself", ("driver",), two, by_itself=False),
        Fault("servo: voltage", f"{STRUCK} says that its supply is too low", ("driver",), two, by_itself=False),
        Fault("servo: hot", f"{STRUCK} says {HOT_C:g} degrees", ("driver",), two, by_itself=False),
        Fault("servo: restarts", f"{SILENT} restarts, and is limp", ("driver",), TORQUE_CHECK_S + two,
              by_itself=False),
        Fault("power: off", f"the servos' supply is off for {LASTS_S:g} s", old, silent, by_itself=False),
        Fault("cable: unplugged", "the adapter is pulled, and plugged in again", ("unplugged",), two, by_itself=False,
              restarts=True),
        Fault("load: busy", "four busy loops beside it", (), 0.0),
    ]  # fmt: skip
    return [BusFault(**vars(fault)) for fault in found]


ACTS: dict[str, Callable[[BusScene, bool], None]] = {
    "policy: late": lambda scene, on: scene.late(LATE_S if on else 0.0),
    "button: released": lambda scene, on: scene.button(not on),
    "button: silent": lambda scene, on: scene.button(None if on else True),
    "bus: seldom": lambda scene, on: scene.answers(lost=SHARE * on, corrupt=SHARE * on),
    "bus: lost": lambda scene, on: scene.answers(lost=float(on)),
    "bus: corrupt": lambda scene, on: scene.answers(corrupt=float(on)),
    "bus: noise": lambda scene, on: scene.answers(noise=float(on)),
    "bus: late": lambda scene, on: scene.answers(late=float(on), late_s=JUMP_S / 5),
    "servo: silent": lambda scene, on: scene.servo(SILENT, lost=on),
    "servo: overload": lambda scene, on: scene.servo(STRUCK, forced_error=OVERLOAD_BIT * on),
    "servo: voltage": lambda scene, on: scene.servo(STRUCK, forced_error=VOLTAGE_BIT * on),
    "servo: hot": lambda scene, on: scene.servo(STRUCK, temperature=HOT_C if on else 25.0),
    "servo: restarts": lambda scene, on: scene.restart_servo(SILENT) if on else None,
    "power: off": lambda scene, on: scene.power(not on),
    "cable: unplugged": lambda scene, on: scene.unplug() if on else None,
    "load: busy": lambda scene, on: scene.busy(4 if on else 0),
}
