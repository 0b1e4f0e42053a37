"""Runs the matrix: each fault in the middle of a motion, what answered and when, and what it took to go on."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hardware.faults.matrix import Fault
from hardware.faults.motion import Motion, after
from hardware.ros.fault_scene import FaultScene
from robot.errors import PixelarmError

MOVING_M_S = 0.04
WATCH_S = 2.0  # after a fault
READY_S = 30.0
TRIES = 3  # scenes in which the policy may refuse to move


@dataclass(frozen=True)
class Outcome:
    """One row of the table."""

    fault: Fault
    rule: str  # that answered first, of those that may
    after_s: float | None  # from the fault to it
    motion: Motion
    recovery: str
    recovered: bool
    heard: tuple[str, ...]  # every rule and mode that was said after it

    @property
    def safe(self) -> bool:
        """The arm was held in time; or it never had to be, and went on."""
        if not self.fault.rules:
            return self.recovered
        return self.after_s is not None and self.after_s <= self.fault.within_s and self.motion.rest_s is not None

    def row(self) -> dict[str, Any]:
        rest, answered = self.motion.rest_s, self.after_s
        return {
            "fault": self.fault.name,
            "what": self.fault.words,
            "rule": self.rule,
            "after_ms": None if answered is None else round(answered * 1e3),
            "within_ms": round(self.fault.within_s * 1e3),
            "rest_ms": None if rest is None else round(rest * 1e3),
            "peak_m_s": round(self.motion.peak_m_s, 3),
            "travel_mm": round(self.motion.travel_m * 1e3),
            "recovery": self.recovery,
            "recovered": self.recovered,
            "safe": self.safe,
            "heard": list(self.heard),
        }


def run(scene: FaultScene, faults: Sequence[Fault], done: Callable[[Outcome], None]) -> list[Outcome]:
    """Each fault once, in order. Raises PixelarmError where the policy never moves the arm."""
    found = []
    for fault in faults:
        found.append(_try(scene, fault))
        done(found[-1])
    return found


def _try(scene: FaultScene, fault: Fault) -> Outcome:
    for _ in range(TRIES):
        _prepare(scene)
        if scene.until(lambda: scene.speed() > MOVING_M_S and not scene.status["rule"], 6.0):
            break
    else:
        raise PixelarmError(f"before {fault.name!r}: the policy does not move the arm; {scene.tail()}")
    start, stamped = time.monotonic(), scene.ros_s()
    fault.begin(scene)
    time.sleep(WATCH_S)
    answers = [(when - start, rule) for when, _, rule in sorted(scene.rules) if when >= start and rule in fault.rules]
    others = tuple(dict.fromkeys(rule for when, _, rule in sorted(scene.rules) if when >= start))
    rows = np.array([row for row in scene.tip if row[0] > stamped - 0.5])
    motion = after(stamped, rows[:, 0], rows[:, 1:]) if len(rows) else Motion(None, 0.0, 0.0)
    fault.end(scene)
    recovery, recovered = _recover(scene, fault)
    first = answers[0] if answers else (None, "")
    return Outcome(fault, first[1], first[0], motion, recovery, recovered, others)


def _prepare(scene: FaultScene) -> None:
    """A new scene, the arm at home, and command given to the policy."""
    if not scene.until(lambda: bool(scene.status) and scene.status["state_age_s"] is not None, READY_S):
        raise PixelarmError(f"the nodes are not ready after {READY_S:g} s: {scene.tail()}")
    scene.call("arbiter/stop")
    scene.call("sim_arm/reset")
    scene.button(False)  # only a new press takes hold
    time.sleep(0.7)
    scene.button(True)
    scene.until(lambda: scene.call("arbiter/clear")[0], 3.0)
    if not scene.until(lambda: scene.call("arbiter/policy")[0], 5.0):
        raise PixelarmError(f"the policy cannot have command: {scene.call('arbiter/policy')[1]}; {scene.tail()}")


def _recover(scene: FaultScene, fault: Fault) -> tuple[str, bool]:
    """What it took to go on, and whether the policy commands again."""
    if fault.restarts:
        name = fault.name.split(":")[0]
        if name == "policy":
            scene.policy.end()
            scene.policy = scene.start_policy()
        else:
            scene.arbiter.end()
            scene.status = {}
            scene.arbiter = scene.start_arbiter()
        scene.until(lambda: bool(scene.status), READY_S)
        time.sleep(2.0)
        scene.call("arbiter/stop")
        scene.call("arbiter/policy")
        return "start it again, give command", scene.until(lambda: not scene.status.get("rule", "x"), 15.0)
    if scene.until(lambda: not scene.status["rule"] and scene.status["mode"] == "policy", 1.5):
        return "by itself", True
    scene.call("arbiter/clear")
    scene.call("arbiter/policy")
    return "clear, give command", scene.until(lambda: not scene.status["rule"], 5.0)
