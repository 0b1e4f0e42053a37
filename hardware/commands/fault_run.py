"""Runs the matrix: each fault in the middle of a motion, what answered and when, and what it took to go on."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from hardware.faults import holds
from hardware.faults.matrix import Fault
from hardware.faults.motion import Motion, after
from robot.errors import PixelarmError

MOVING_M_S = 0.04
READY_S = 30.0  # for a process to start
FRESH_S = 20.0  # for each stream to be fresh again
TRIES = 3  # scenes in which the policy may refuse to move
GIVE_UP = 3  # rows in a row that could not be started on fresh nodes either: the rest could not

UNKNOWN = Motion(None, 0.0, 0.0)


class Course(Protocol):
    """What a run of the matrix needs of the scene: ``hardware.ros.fault_scene``, ``hardware.faults.bus_scene``."""

    rules: list[tuple[float, str, str]]  # when, who said so (policy, arbiter, status), rule or "running"

    @property
    def tip(self) -> list[tuple[float, float, float, float]]: ...
    @property
    def status(self) -> dict[str, Any]: ...
    def use_worker(self, on: bool) -> None: ...
    def restart(self, name: str) -> None: ...
    def call(self, service: str) -> tuple[bool, str]: ...
    def clear_policy(self) -> tuple[bool, str]: ...
    def until(self, what: Callable[[], bool], timeout_s: float) -> bool: ...
    def press(self) -> None: ...
    def trouble(self) -> str: ...
    def naps(self) -> list[float]: ...
    def speed(self) -> float: ...
    def ros_s(self) -> float: ...
    def tail(self) -> str: ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class Outcome:
    """One row of the table."""

    fault: Fault
    rule: str = ""  # that answered first, of those that may
    after_s: float | None = None  # from the fault to it; of several holds the slowest; None: one did not come
    motion: Motion = UNKNOWN
    recovery: str = ""
    resumed: bool = False  # it went on before anybody cleared anything
    held_by: str = ""  # where the policy does not command again, whatever that took: why
    heard: tuple[str, ...] = ()  # every rule and mode that was said after it
    failure: str = ""  # why there is nothing of all this

    @property
    def recovered(self) -> bool:
        """The policy commands again, whatever that took."""
        return not self.failure and not self.held_by

    @property
    def verdict(self) -> str:
        """``ok``, or what is wrong."""
        fault = self.fault
        if self.failure:
            return self.failure
        if fault.rules and self.after_s is None:
            return "not answered"
        if fault.rules and self.after_s is not None and self.after_s > fault.within_s:
            return "answered late"
        if fault.rules and not (fault.between or fault.heals) and self.motion.rest_s is None:
            return "not at rest"
        if self.resumed and not fault.by_itself:
            return "went on by itself"
        if not self.recovered:
            return f"did not go on: {self.held_by}"
        return "ok" if self.resumed or fault.rules else "held for good"

    @property
    def safe(self) -> bool:
        """The arm was held in time, came to rest (or was held again at each miss), and went on: by itself only where
        it may. Where it never had to be held, it went on by itself."""
        return self.verdict == "ok"

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
            "resumed": self.resumed,
            "recovered": self.recovered,
            "verdict": self.verdict,
            "safe": self.safe,
            "heard": list(self.heard),
        }


class Stage:
    """The nodes that the rows run on: started when a row needs them, and ended when a row left them unfit."""

    def __init__(self, make: Callable[[], Course]) -> None:
        self._make = make
        self._scene: Course | None = None

    @property
    def fresh(self) -> bool:
        """The next row starts new ones."""
        return self._scene is None

    def scene(self) -> Course:
        if self._scene is None:
            self._scene = self._make()
        return self._scene

    def clear(self) -> None:
        scene, self._scene = self._scene, None
        if scene is not None:
            scene.close()


def run(make: Callable[[], Course], faults: Sequence[Fault], done: Callable[[Outcome], None]) -> list[Outcome]:
    """Each fault once, in order; ``done`` hears each outcome as it comes. ``make`` starts the nodes: at first, and anew
    after a row that failed or that the policy did not recover from. What goes wrong in a row is that row's outcome."""
    found: list[Outcome] = []
    stage, given_up = Stage(make), 0
    try:
        for fault in faults:
            if given_up < GIVE_UP:
                outcome = _row(stage, fault)
                given_up = given_up + 1 if outcome.failure.startswith("not started") else 0
            else:
                outcome = Outcome(fault, failure=f"not started: nor were the {GIVE_UP} rows before")
            found.append(outcome)
            done(outcome)
    finally:
        stage.clear()
    return found


def _row(stage: Stage, fault: Fault) -> Outcome:
    """One fault; where nodes that have run others cannot begin, once more on new ones."""
    words = ""
    for _ in range(1 if stage.fresh else 2):
        try:
            _begin(stage.scene(), fault)
        except Exception as error:
            words = _words(error)
            stage.clear()
        else:
            break
    else:
        return Outcome(fault, failure=f"not started: {words}")
    try:
        outcome = _try(stage.scene(), fault)
    except Exception as error:
        outcome = Outcome(fault, failure=f"error: {_words(error)}")
    if not outcome.recovered:
        stage.clear()
    return outcome


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, PixelarmError) else f"{type(error).__name__}: {error}"


def _begin(scene: Course, fault: Fault) -> None:
    """Bring the arm into motion. Raises PixelarmError if that cannot be done."""
    scene.use_worker(fault.worker)
    for _ in range(TRIES):
        _prepare(scene)
        if scene.until(lambda: scene.speed() > MOVING_M_S and _commands(scene), 6.0):
            return
    raise PixelarmError(f"the policy does not move the arm; {scene.tail()}")


def _commands(scene: Course) -> bool:
    """The policy moves the arm, and nothing holds it."""
    return scene.status.get("mode") == "policy" and not scene.status["rule"]


def _try(scene: Course, fault: Fault) -> Outcome:
    start, stamped = time.monotonic(), scene.ros_s()
    fault.begin(scene)  # type: ignore[arg-type]  # each row acts on the scene that it was made for
    time.sleep(fault.lasts_s)
    end = time.monotonic()
    said = [(when, who, rule) for when, who, rule in sorted(scene.rules) if start <= when <= end]
    log = [(when, rule) for when, who, rule in said if who == "arbiter"]  # the status comes later than its log
    answers = [(when - start, rule) for when, _, rule in said if rule in fault.rules]
    after_s, rule = answers[0] if answers else (None, "")
    if fault.between:
        misses = [nap for nap in scene.naps() if start <= nap <= end]
        after_s = holds.slowest(misses, log, fault.within_s, end) if fault.rules else None
    over_s = holds.ended(log, start) - start if fault.heals else np.inf
    rows = np.array([row for row in scene.tip if -0.5 < row[0] - stamped < over_s])
    motion = after(stamped, rows[:, 0], rows[:, 1:]) if len(rows) else UNKNOWN
    fault.end(scene)  # type: ignore[arg-type]
    heard = tuple(dict.fromkeys(rule for _, _, rule in said))
    return Outcome(fault, rule, after_s, motion, *_recover(scene, fault), heard)


def _prepare(scene: Course) -> None:
    """A new scene, the arm at home, each stream fresh, and command given to the policy."""
    if not scene.until(lambda: scene.status.get("state_age_s") is not None, READY_S):
        raise PixelarmError(f"the nodes are not ready after {READY_S:g} s: {scene.tail()}")
    scene.call("arbiter/stop")
    scene.call("sim_arm/reset")
    scene.press()
    scene.until(lambda: scene.call("arbiter/clear")[0], 3.0)
    if not scene.until(lambda: not scene.trouble(), FRESH_S):
        raise PixelarmError(f"after {FRESH_S:g} s still: {scene.trouble()}; {scene.tail()}")
    if refusal := _give_command(scene):
        raise PixelarmError(f"the policy cannot have command: {refusal}; {scene.tail()}")


def _give_command(scene: Course) -> str:
    """Give command to the policy; returns why it could not have it, or an empty string."""
    said = [""]

    def given() -> bool:
        done, said[0] = scene.call("arbiter/policy")
        return done

    return "" if scene.until(given, 5.0) else said[0]


def _recover(scene: Course, fault: Fault) -> tuple[str, bool, str]:
    """What it took to go on, whether the policy went on by itself, and why it does not command again if so."""
    again = ""
    if fault.restarts:
        scene.restart(fault.name.split(":")[0])
        again = "start it again, "
        scene.until(lambda: not scene.trouble(), READY_S)
    if scene.until(lambda: _commands(scene), 1.5):
        return f"{again}by itself", True, ""
    scene.press()
    if scene.until(lambda: _commands(scene), 1.5):
        return f"{again}press the button anew", False, ""
    if "latched" in scene.trouble():
        scene.clear_policy()
        again += "clear the policy's hold, "
        if scene.until(lambda: _commands(scene), 1.5):
            return again.removesuffix(", "), False, ""
    scene.until(lambda: scene.call("arbiter/clear")[0], 3.0)
    scene.until(lambda: not scene.trouble(), FRESH_S)
    held_by = _give_command(scene)
    if not held_by and not scene.until(lambda: _commands(scene), 5.0):
        held_by = ": ".join(str(scene.status.get(key)) for key in ("mode", "rule", "words"))
    return f"{again}{'' if again else 'clear, '}give command", False, held_by
