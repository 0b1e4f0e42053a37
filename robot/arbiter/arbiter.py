"""The arbiter: the one process that commands a robot, at its driver's rate, whoever wants to.

A policy and an operator's device send targets; the arbiter decides whose count, passes from one to the other without a
bump, puts every target through the safety limits and publishes it. Whatever dies, falls silent or goes wrong on the
other side, the arm decelerates and holds: the stream of commands does not depend on anybody who sends them.

No ROS inside, and no policy: messages come in through ``put_...``, orders through ``drive``, ``stop`` and ``clear``,
and ``tick`` is called at the rate of the profile. All of them may be called from any thread.
"""

from __future__ import annotations

import copy
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from robot.actions import Target
from robot.arbiter.following import TRIES, Following
from robot.arbiter.handover import Handover
from robot.arbiter.modes import COMMANDED_BY, FAULT, IDLE, INTERVENE, POLICY, RESET, TELEOP
from robot.arbiter.sources import Deadman, Source
from robot.arbiter.start import Journey
from robot.arbiter.state import State, needed, plain
from robot.arbiter.told import Told
from robot.control.limits import Context, Limits
from robot.control.mailbox import FUTURE_MS
from robot.control.rules import LATCH_ANEW, Stop
from robot.control.timing import Clock
from robot.profile.arbitration import ArbiterConfig

PATIENCE_S = 0.15  # of a hold that a policy asked for, before an arm is braked
LOST_AFTER = 10.0  # times its silence_s: then a silent commander has lost command


class Arbiter:
    """See the module text.

    Args:
        limits: of this robot (``robot.control.limits.target_limits``).
        kind: of targets that the robot takes, one of ``robot.actions.TARGETS``.
        publish: called from ``tick`` with the target, the stamp of the observation that it answers (ns), and whether
            it is a hold.
        config: times of the driver.
        enable_timeout_s: a policy may move the arm only while the enable button is held, and it counts as released
            after so much silence; None: no button is needed.
        jumps: the arm may be somewhere else from one message to the next, as a simulated one at a reset; else that is
            a fault.
        gate: command is only given to a policy that says it is ready, and to an arm that stands within its limits.
        dry_run: nothing that is published moves the arm: that it does not follow is then no fault. Targets still begin
            anew where it is.
        on_event: hears ``(rule or mode, words)`` whenever either changes.
    """

    def __init__(
        self,
        limits: Limits,
        kind: str,
        publish: Callable[[Target, int, bool], None],
        config: ArbiterConfig,
        enable_timeout_s: float | None = None,
        jumps: bool = False,
        gate: bool = False,
        clock: Clock | None = None,
        on_event: Callable[[str, str], None] = lambda name, words: None,
        dry_run: bool = False,
    ) -> None:
        self.limits, self.kind, self.config, self.clock = limits, kind, config, clock or Clock()
        self._publish, self._on_event, self._jumps = publish, on_event, jumps
        self._gate, self._dry_run = gate, dry_run
        self.state = State(needed(kind))
        self.sources = {POLICY: Source(POLICY, config.silence_s), TELEOP: Source(TELEOP, config.teleop_silence_s)}
        self._operator = Deadman(config.teleop_silence_s)
        self._enable = None if enable_timeout_s is None else Deadman(enable_timeout_s)
        self._handover, self._journey = Handover(config.blend_s), Journey(config.start)
        self._following = Following(config)
        self.mode, self.rule, self.words = IDLE, "idle", "nobody was given command yet"
        self.counts: Counter[str] = Counter()  # how often each rule held the arm, in ticks
        self.ticks = self.commands = 0
        self._since_s = 0.0  # when this mode began, or the deadman was pressed in it
        self._told = Told(limits, kind, config, self.state)
        self._stamp_ns = 0  # of the last command
        self._causes: dict[tuple[str, str], str] = {}  # of a fault, those that are still there -> words
        self._lock = threading.RLock()

    # -------------------------------------------------------------------------------------------------- what is heard
    def put_state(self, name: str, value: np.ndarray, stamp_ns: int) -> None:
        """Measured proprioception, by the names of ``robot.actions.PROPRIO``."""
        with self._lock:
            self.state.put(name, value, stamp_ns, self.clock.steady())
            if self.state.jumped:
                words, self.state.jumped, self._told.anew = self.state.jumped, "", True
                if not self._jumps and self.mode not in (IDLE, FAULT):
                    self._enter(FAULT, "state_jump", words)

    def fault_state(self, words: str) -> None:
        """A message of the arm's state that could not be used."""
        with self._lock:
            self.state.fault = words

    def put_target(self, source: str, motion: dict[str, np.ndarray], stamp_ns: int = 0) -> None:
        """A target of ``policy`` or ``teleop``: fields of a ``Target``. A stamp of 0 is now."""
        with self._lock:
            if not self._fits(motion):
                self.counts["malformed"] += 1
                words = f"{source} sent {', '.join(motion) or 'nothing'}, and the arm takes {self.kind}: dropped"
                self._on_event("malformed", words)
                return
            now_ns = self.clock.now_ns()
            if stamp_ns - now_ns > FUTURE_MS * 1e6:
                self.counts["clock_domain"] += 1
                ahead_s = (stamp_ns - now_ns) * 1e-9
                self._on_event("clock_domain", f"a target of {source} is stamped {ahead_s:.2f} s ahead: dropped")
            elif not self.sources[source].put(motion, stamp_ns or now_ns, self.clock.steady()):
                self.counts["out_of_order"] += 1

    def _fits(self, motion: dict[str, np.ndarray]) -> bool:
        try:
            return Target(0.0, **motion).kind == self.kind
        except (TypeError, ValueError):
            return False

    def put_gripper(self, source: str, value: float) -> None:
        """-1 opens, +1 closes."""
        with self._lock:
            if np.isfinite(value):
                self.sources[source].gripper = float(value)
            else:
                self.counts["malformed"] += 1

    def put_hold(self, source: str, words: str) -> None:
        """The source holds the arm itself, and says why: its own rule."""
        with self._lock:
            self.sources[source].hold(words, self.clock.steady())

    def put_ready(self, source: str, words: str) -> None:
        """A source without command says why it could not command now; empty: it could."""
        with self._lock:
            self.sources[source].say_ready(words, self.clock.steady())

    def put_operator(self, held: bool) -> None:
        """The deadman of the operator's device; to be said at 20 Hz or more."""
        with self._lock:
            now = self.clock.steady()
            before = self._operator.held(now)
            self._operator.put(held, now)
            if before != self._operator.held(now):
                self._pressed() if not before else self._let_go()

    def put_enable(self, held: bool) -> None:
        """The enable button that lets a policy move the arm."""
        with self._lock:
            if self._enable is not None:
                self._enable.put(held, self.clock.steady())

    def put_cause(self, rule: str, words: str, where: str = "") -> None:
        """A cause of a fault (``estop``, ``second_publisher``, ``driver``) is there, or with empty words gone.

        ``where`` tells causes of one rule apart: a topic.
        """
        with self._lock:
            if not words:
                self._causes.pop((rule, where), None)
                return
            self._causes[rule, where] = words
            untouched = self.mode == IDLE and self._told.last is None  # then it is only a reason not to begin
            if self.mode != FAULT and not untouched:
                self._enter(FAULT, rule, words)

    @property
    def rests(self) -> bool:
        """The arm was told to come to rest, and has been told the whole way there."""
        with self._lock:
            return self._told.rests

    # ------------------------------------------------------------------------------------------------------- orders
    def drive(self, mode: str) -> str:
        """Give command to ``policy`` or ``teleop``, or ``reset`` the arm; returns why not, or an empty string."""
        with self._lock:
            if self.mode == FAULT:
                return f"there is a fault ({self.rule}: {self.words}): remove its cause, then clear it"
            refusal = self._unready()
            if mode == POLICY and self._operator.held(self.clock.steady()):
                refusal = refusal or "the operator holds the deadman: let it go first"
            if mode == RESET:
                refusal = refusal or self._journey.refusal(self.kind)
            if self._gate and mode == POLICY:
                refusal = refusal or self.sources[POLICY].refusal(self.clock.steady()) or self._misplaced()
            if not refusal:
                self._enter(mode, "waiting", f"{mode} has command")
            return refusal

    def stop(self) -> None:
        """Take command from whoever has it: the arm comes to rest and holds."""
        with self._lock:
            if self.mode != FAULT:
                self._enter(IDLE, "idle", "stopped on request")

    def clear(self) -> str:
        """End a fault whose cause is gone; returns why it could not, or an empty string. Nobody has command then."""
        with self._lock:
            if self.mode != FAULT:
                return ""
            refusal = self._unready() or ("" if self.rests else "the arm is still coming to rest")
            if not refusal:
                self._told.forget()
                self._enter(IDLE, "idle", "the fault was cleared")
            return refusal

    def _unready(self) -> str:
        """Why nothing may move now, in words."""
        if self._causes:
            return "; ".join(self._causes.values())
        found = self.state.stopped(self.config.state_age_s, self.config.state_lost_s, self.clock.steady())
        return found.words if found else ""

    def _misplaced(self) -> str:
        """Why an arm that stands where it does may not be moved, by the limits."""
        stay, now_ns = self.state.target(self.kind, self._told.gripper), self.clock.now_ns()
        # a copy: its filters remember what they let through
        verdict = copy.deepcopy(self.limits).apply(stay, Context(self.state.reference, None, None, now_ns, now_ns))
        return verdict.words if isinstance(verdict, Stop) else ""

    # --------------------------------------------------------------------------------------------------------- modes
    def _enter(self, mode: str, rule: str, words: str) -> None:
        self.mode, self._since_s = mode, self.clock.steady()
        self._journey.begin(self._since_s)
        self.rule, self.words = rule, words
        self._on_event(mode, words)

    def _pressed(self) -> None:
        if self.mode == POLICY:
            self._enter(INTERVENE, "waiting", "the operator took over")
        elif self.mode == TELEOP:
            self._since_s = self.clock.steady()  # a target from before the press is of another place

    def _let_go(self) -> None:
        if self.mode == INTERVENE:
            self._enter(POLICY, "waiting", "the operator handed back")

    # ---------------------------------------------------------------------------------------------------------- tick
    def tick(self) -> None:
        """Publish the next command, or the next step of a hold."""
        with self._lock:
            self.ticks += 1
            now_s = self.clock.steady()
            found = self._forbidden(now_s) or self._left_behind(now_s) or self._limited(now_s)
            if isinstance(found, Stop):
                self._hold(found, now_s)
            else:
                self._send(found)

    def _forbidden(self, now_s: float) -> Stop | None:
        """Why nobody may move the arm now; changes the mode where command is lost."""
        if self.mode == FAULT:
            return Stop(self.rule, self.words)
        stopped = self.state.stopped(self.config.state_age_s, self.config.state_lost_s, now_s)
        if self.mode == IDLE:
            return Stop("idle", self.words)
        if stopped is not None:
            if stopped.rule == "state_lost":
                self._enter(FAULT, stopped.rule, stopped.words)
            return stopped
        if self.mode == RESET:
            if blocked := self._not_enabled(now_s):
                self._journey.begin(now_s)  # its patience is for the way
                return blocked
            return self._arrived(now_s)
        return self._let_down(self.sources[COMMANDED_BY[self.mode]], now_s)

    def _let_down(self, source: Source, now_s: float) -> Stop | None:
        """What a commander lacks to be obeyed."""
        if source.name == TELEOP and not self._operator.held(now_s):
            silent = self._operator.silent(now_s)
            words = "the operator's device fell silent" if silent else "the operator let the deadman go"
            if self.mode == INTERVENE and silent:  # nobody decided that the policy may go on
                self._enter(IDLE, "idle", f"{words} while it had command")
            return Stop("released", words)
        if source.name == POLICY and (blocked := self._not_enabled(now_s)):
            return blocked
        silent_s = source.silent_s(now_s)
        if source.heard_s <= self._since_s:
            waited_s = now_s - self._since_s
            return Stop("waiting", f"{source.name} has command for {waited_s:.1f} s and sent no target")
        if silent_s <= source.silence_s:
            return Stop("source_holds", f"{source.name} holds the arm: {source.holds}") if source.holds else None
        words = f"{source.name} is silent for {silent_s:.2f} s; at most {source.silence_s:g} s are allowed"
        if silent_s > LOST_AFTER * source.silence_s:
            self._enter(IDLE, "idle", f"{source.name} has lost command: silent for {silent_s:.1f} s")
            return Stop("command_lost", words)
        return Stop("silent", words)

    def _not_enabled(self, now_s: float) -> Stop | None:
        if self._enable is None or self._enable.held(now_s):
            return None
        return Stop("enable", "the enable button is released or silent")

    def _left_behind(self, now_s: float) -> Stop | None:
        words = self._following.check(self._told.last, self.state.reference, now_s)
        if not words:
            return None
        self._told.stay()
        if self._following.tries >= TRIES and not self._dry_run:
            self._enter(FAULT, "not_followed", words)
        return Stop("not_followed", words)

    def _arrived(self, now_s: float) -> Stop | None:
        done = self._journey.ended(self.state.reference, now_s)
        if done is not None:
            self._enter(IDLE, "idle", done.words)
        return done

    def _limited(self, now_s: float) -> tuple[Target, int] | Stop:
        """The target to publish, and its stamp."""
        told = self._told
        if self.rule and told.rests and told.away:
            told.forget()  # a motion begins where the arm is now
        if self.mode == RESET:
            wanted, stamp_ns = self._journey.target(told.gripper), self.clock.now_ns()
        else:
            source = self.sources[COMMANDED_BY[self.mode]]
            wanted, stamp_ns = self._whole(source.target(told.gripper)), source.stamp_ns
        if self.rule:  # whatever held the arm: what comes now is approached
            self._handover.begin(told.start)
        context = Context(self.state.reference, None, told.last, stamp_ns, self.clock.now_ns())
        verdict = self.limits.apply(self._handover.apply(wanted, now_s), context)
        return verdict if isinstance(verdict, Stop) else (verdict, stamp_ns)

    def _whole(self, target: Target) -> Target:
        """A position without a rotation keeps the orientation that the arm was told last, or has."""
        if target.position is None or target.rotation is not None:
            return target
        return target.replace(rotation=(self._told.last or self._told.start).rotation)

    def _send(self, command: tuple[Target, int]) -> None:
        target, self._stamp_ns = command
        begins, self.rule, self.words = bool(self.rule), "", ""
        self._told.sent(target)
        self.commands += 1
        self._publish(target, self._stamp_ns, False)
        if begins:  # after it: whoever hears of it may ask for the status
            self._on_event("running", f"{self.mode} commands")

    def _hold(self, stop: Stop, now_s: float) -> None:
        self.counts[stop.rule] += 1
        self._told.anew = self._told.anew or stop.rule in LATCH_ANEW
        if self.mode not in (IDLE, FAULT):
            changed, self.rule, self.words = stop.rule != self.rule, stop.rule, stop.words
            if changed:
                self._on_event(stop.rule, stop.words)
        causes = {rule for rule, _ in self._causes} | {self.rule}  # whichever of them came first
        # two who publish would make an arm tremble between them: the one who noticed falls silent once it rests
        if "second_publisher" in causes and self.limits.resting:
            self._told.holding = True  # limits without accelerations rest at once: nothing is left to be told
            return
        fresh = self.state.stopped(self.config.state_age_s, self.config.state_lost_s, now_s) is None
        # a driver that goes on after a protective stop goes where it was told last: tell it to stay
        stay, at_once = "driver" in causes, "estop" in causes
        # a policy that has no answer for a moment goes on in the next one: braking each time would not let it
        patience_s = PATIENCE_S if self.mode == POLICY and stop.rule == "source_holds" else 0.0
        target = self._told.hold(now_s, fresh, stay, at_once, patience_s)
        if target is not None:
            self._publish(target, self._stamp_ns, True)

    # -------------------------------------------------------------------------------------------------------- report
    def status(self) -> dict[str, Any]:
        """Who has command, what holds the arm, and all counters."""
        with self._lock:
            now_s = self.clock.steady()
            ages = {name: round(s.silent_s(now_s), 3) for name, s in self.sources.items() if s.motion is not None}
            return {
                "mode": self.mode,
                "rule": self.rule,
                "words": self.words,
                "blending": self._handover.busy and not self.rule,
                "operator": self._operator.held(now_s),
                "gripper": None if self._told.last is None else self._told.gripper,
                "target": None if self._told.last is None else plain(self._told.last),
                "silent_s": ages,
                "state_age_s": None if self.state.missing else round(self.state.age_s(now_s), 3),
                "ticks": self.ticks,
                "commands": self.commands,
                "rules": dict(self.counts),
                "limits": {name: n for name, n in self.limits.counts().items() if n},
            }
