"""The control loop: fixed-rate ticks, inference beside them with a deadline, written rules for what goes wrong.

No ROS inside: a node (or a test with a clock of its own) hands in observations with ``put_image`` and ``put_proprio``
and gets commands through a callback. At each tick the loop takes the newest complete set of observations, asks the
policy for an action, turns it into a target for the arm's own controller (``robot.actions``), passes it through the
safety limits and publishes it.

A tick waits for its action until the deadline. Where the deadline is longer than a control period it does not wait:
inference then fills a ``robot.control.schedule`` beside the ticks, and each takes the action for its instant from it,
which is the stamp of what it observes. Either way ``contract.execute`` actions are carried out, one a tick, before the
policy is asked again.

When a rule of ``RULES`` fires, the loop *holds*: it publishes its last target again (never the measured position, and
nothing at all before the first command; velocities become zero, since an arm that is told its last velocity again goes
on moving), counts the rule and says why. Where the limits know accelerations, a hold publishes targets that come to
rest within them instead, except after an emergency stop. Holding ends by itself when good data return; an
emergency stop, repeated inference errors and many missed deadlines latch, until ``clear``.

Two clocks: stamps are compared with ``Clock.now_ns`` (the domain of the stamps, ROS time in the node); waiting and
receive times use ``Clock.steady``, which no one sets.
"""

from __future__ import annotations

import dataclasses
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from robot import actions, rotations
from robot.actions import Reference, Target
from robot.contract import Contract
from robot.control import inference
from robot.control.asking import Asking, Plans
from robot.control.config import LoopConfig, beside_the_ticks, longest_inference_ms, require_supported
from robot.control.inference import Policy, Worker
from robot.control.limits import Context, Limits
from robot.control.mailbox import Mailbox, ObservationSet
from robot.control.rules import LATCH_ANEW, RULES, Bars, Stop
from robot.control.schedule import Schedule
from robot.control.timing import Clock, Pacer, Samples, StageTimes


@dataclass(frozen=True, eq=False)
class Command:
    """What is published."""

    obs_stamp_ns: int  # stamp of the observation it answers
    target: Target


class ControlLoop:
    """See the module text. ``publish(command, hold)`` is called from the loop's thread."""

    def __init__(
        self,
        policy: Policy,
        limits: Limits,
        publish: Callable[[Command, bool], None],
        config: LoopConfig | None = None,
        clock: Clock | None = None,
        on_event: Callable[[str, str], None] | None = None,
        worker: Worker | None = None,
    ) -> None:
        self.policy, self.contract, self.limits = policy, policy.contract, limits
        self.config = config or LoopConfig()
        self.clock = clock or Clock()
        self._publish, self._on_event = publish, on_event or (lambda rule, words: None)
        require_supported(self.contract, self.config)
        self._home_rotation = rotations.from_quaternion(np.array(home)) if (home := self.config.home_xyzw) else None
        self.max_age_ms = self.config.max_age_ms or self.contract.max_age_ms
        self.deadline_ms = self.config.deadline_ms or self.contract.deadline_ms
        self.rules = dict.fromkeys(RULES, 0)
        self.mailbox = Mailbox(self.contract, self.clock, self.max_age_ms, self._count, limits.needs)
        self.put_image, self.put_proprio = self.mailbox.put_image, self.mailbox.put_proprio
        self.stages = StageTimes(self.clock.steady)
        self._worker = worker or Worker(policy.act, self.clock)
        self._asking = Asking(self.contract, self.config, self._worker, self.clock, self.stages, self._count)
        fade_s = self.config.fade_ms * 1e-3 if (beside := beside_the_ticks(self.contract, self.deadline_ms)) else 0.0
        self.schedule = Schedule(self.contract.action.kind, self.contract.period_s, fade_s)
        self._plans = Plans(self._asking, self.schedule) if beside else None
        self._pacer = Pacer(self.contract.period_s, lead_s=self.config.grace_ms / 4e3)
        self._last: Command | None = None
        self._silent_ticks = 2  # ticks without a fresh set; from two on, the next arrival sets the phase
        self._estopped: Stop | None = None  # latched by the emergency stop
        self._operator_hold = self._estop = False
        self.bars = Bars()  # what must not be while anything is commanded
        self.bars.put("arm_contract", RULES["arm_contract"] if self.config.compare_contract else "")
        self._enable_s: float | None = None  # when the deadman was last seen held
        self._hold_since: float | None = None
        self._anew = False  # a rule of LATCH_ANEW has held since the last command
        self._rule = ""
        self.ticks = self.commands = self.holds = 0
        self.latency = Samples()  # ms from the oldest observation stamp to command published
        self.warm: dict[str, Any] | None = None
        self._thread: threading.Thread | None = None
        self._stopping = False

    def _count(self, rule: str) -> None:
        self.rules[rule] += 1
        self._asking.note(rule)

    @property
    def _latched(self) -> Stop | None:
        return self._estopped or self._asking.failed

    # ------------------------------------------------------------- operators
    def put_enable(self, held: bool) -> None:
        """A message of the deadman device."""
        self._enable_s = self.clock.steady() if held else None

    def put_estop(self, pressed: bool) -> None:
        """State of the emergency stop. Pressing latches; releasing alone does not restart the arm, ``clear`` does."""
        self._estop = pressed
        if pressed:
            self._estopped = Stop("estop", "the emergency stop was pressed; release it, then clear the hold")

    def put_contract(self, arm: Contract) -> None:
        """What the arm says of itself; commands wait for it. Raises ContractMismatch, and holds, unless it fits."""
        mine, theirs = self.contract.recorded(), arm.recorded()
        # the arm is told targets: what deltas count from is settled here
        counts_from = mine.action.counts_from
        theirs = dataclasses.replace(theirs, action=dataclasses.replace(theirs.action, counts_from=counts_from))
        self.bars.put("arm_contract", "; ".join(mine.diff(theirs)))
        mine.require_equal(theirs, here="the policy", there="the arm")

    def hold(self, on: bool) -> None:
        self._operator_hold = on

    def clear(self) -> str:
        """End an operator's hold and what is latched; returns why it could not, or an empty string."""
        if self._estop:
            return "the emergency stop is still pressed"
        self._operator_hold = False
        self._estopped = None
        self._asking.clear()
        return ""

    @property
    def state(self) -> str:
        """``waiting`` (for a first command), ``running``, ``holding``, ``stopped`` (held long), ``latched``,
        ``inactive``.
        """
        if self._stopping:
            return "inactive"
        if self._latched:
            return "latched"
        if self._hold_since is not None and self.clock.steady() - self._hold_since >= self.config.slow_stop_after_s:
            return "stopped"
        if self._last is None:
            return "waiting"
        return "running" if self._hold_since is None else "holding"

    @property
    def rule(self) -> str:
        """The rule that holds the arm now, empty while running."""
        return self._rule

    # -------------------------------------------------------------- start-up
    def warm_up(self, runs: int = 30) -> dict[str, Any]:
        """Measure the policy on this machine before anything moves; see ``robot.control.inference.warm_up``."""
        self.warm = inference.warm_up(self.policy, runs, longest_inference_ms(self.contract, self.deadline_ms))
        return self.warm

    def start(self) -> None:
        """Tick in a thread until ``stop``. Nothing of an earlier run is commanded again."""
        self.clear()
        self._last, self._hold_since, self._rule = None, None, ""
        self._asking.forget()
        self.schedule.clear()
        if self._plans is not None:
            self._plans.void()
        self._silent_ticks, self._stopping = 2, False
        self._thread = threading.Thread(target=self._run, name="control-loop", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop ticking; returns when the tick in progress has ended and the arm has been told to hold, and where the
        limits know accelerations, has been told to come to rest."""
        self._stopping = True
        self.clock.notify()
        if self._thread is None:
            return
        if self._thread is not threading.current_thread():
            self._thread.join(timeout=2.0)
        self._thread = None
        self._publish_hold()
        while self._last is not None and not self.limits.resting:
            self.clock.wait(lambda: False, self.clock.steady() + self.contract.period_s)
            self._publish_hold()

    def _publish_hold(self) -> None:
        """Publish what follows the last target, if there is one, in a hold; see ``Limits.hold``."""
        if self._last is None:
            return
        held = self.limits.hold(self._last.target, at_once=self._estop or self._rule == "estop")
        if held is not self._last.target:
            self._last = dataclasses.replace(self._last, target=held)
        self._publish(self._last, True)

    def close(self) -> None:
        self.stop()
        self._worker.close()

    def _run(self) -> None:
        self._pacer.start(self.clock.steady())
        while not self._stopping:
            self.step()

    # ------------------------------------------------------------------ tick
    def step(self) -> None:
        """Wait until the next tick is due, tick, and settle when the one after is due."""
        if self._pacer.due_s is None:
            self._pacer.start(self.clock.steady())
        assert self._pacer.due_s is not None
        silent = self._silent_ticks >= 2  # then nothing new was being commanded: the first arrival sets the phase
        self.clock.wait(lambda: self._stopping or (silent and self.mailbox.fresh), self._pacer.due_s)
        if self._stopping:
            return
        if silent and self.mailbox.fresh:
            self._pacer.synchronise(self.clock.steady())
        due = self._pacer.due_s
        arrival = self._tick(due)
        following = self._pacer.next(self.clock.steady(), arrival)
        if following - due > 1.5 * self.contract.period_s:
            self._count("tick_overrun")

    def _tick(self, due_s: float) -> float | None:
        """One tick; returns when its observation arrived if that should steer the phase."""
        self.ticks += 1
        with self.stages.measure("wait"):
            fresh = self.clock.wait(lambda: self._stopping or self.mailbox.fresh, due_s + self.config.grace_ms * 1e-3)
        self._silent_ticks = 0 if fresh else self._silent_ticks + 1
        start = self.clock.steady()
        with self.stages.measure("assemble"):
            if self._plans is None:
                self._asking.drop_late()
            found = self.mailbox.newest()
        outcome = self._decide(found, start)
        if outcome is not None:
            self._hold(outcome)
        if not fresh or self.mailbox.steps != 1:
            return None  # nothing to follow, or sensors faster than the loop
        if isinstance(found, Stop) and found.rule == "stale_observation":
            self._silent_ticks = 2  # it may have grown stale by waiting for this tick: use the next one as it arrives
        return self.mailbox.arrival_s

    def _decide(self, found: ObservationSet | Stop, start_s: float) -> Stop | None:
        """Publish a command that answers ``found``, or say which rule forbids it."""
        if self._plans is not None:
            return self._planned(self._plans, found, start_s)
        blocked = self._blocked()
        if blocked is not None:
            return blocked
        if isinstance(found, Stop):
            return self._rest_of_chunk(found) if found.rule == "repeated_observation" else found
        planned = self.schedule.rest(found.stamp_ns, self.contract.execute) if self._hold_since is None else None
        if planned is not None:
            self._asking.see(found)  # the policy's history goes on, whether it is asked or not
            return self._send(planned, found)
        deadline_s = start_s + (self.deadline_ms - found.age_ms) * 1e-3
        answer = self._asking.by(found, deadline_s)
        if isinstance(answer, Stop):
            return self._rest_of_chunk(answer, found) if answer.rule == "deadline_missed" else answer
        if self.contract.chunk > 1:
            self.schedule.merge(found.stamp_ns, answer, found.stamp_ns)
        outcome = self._send(answer[0], found, deadline_s)
        if outcome is None:
            self._add_latency(found.age_ms + (self.clock.steady() - start_s) * 1e3)
        return outcome

    def _planned(self, plans: Plans, found: ObservationSet | Stop, start_s: float) -> Stop | None:
        """As ``_decide``, of what inference beside the ticks has planned."""
        fresh, now_ns = None if isinstance(found, Stop) else found, self.clock.now_ns()
        instant, ordered = self._instant(fresh), self._blocked()
        waiting = self._last is None or (self._hold_since is not None and self.limits.resting)
        answered_ns = plans.update(instant, None if ordered else fresh, waiting)
        unusable = found if isinstance(found, Stop) and found.rule != "repeated_observation" else None
        stop = self._blocked() or unusable  # now also blocked by too many inferences in a row that failed
        if stop is not None:
            return stop
        action, seen = self.schedule.at(instant), fresh or self.mailbox.last
        if action is None or seen is None:
            return plans.exhausted
        if isinstance(found, Stop):
            self._count(found.rule)
        outcome = self._send(action, seen)
        if outcome is None:
            plans.moved()
            if answered_ns is not None:
                self._add_latency((now_ns - answered_ns) * 1e-6 + (self.clock.steady() - start_s) * 1e3)
        return outcome

    def _instant(self, fresh: ObservationSet | None) -> int:
        """The instant that this tick executes: the stamp of what it observes, or where that would be by now."""
        if fresh is not None:
            return fresh.stamp_ns
        return self.clock.now_ns() - round(1e6 * self.mailbox.last.age_ms if self.mailbox.last else 0.0)

    def _blocked(self) -> Stop | None:
        """What somebody ordered, whatever the sensors and the policy say."""
        ordered = Stop("operator_hold", RULES["operator_hold"]) if self._operator_hold else None
        return self._latched or ordered or self.bars.first

    # --------------------------------------------------------------- command
    def _send(self, action: np.ndarray, found: ObservationSet, deadline_s: float = math.inf) -> Stop | None:
        """Publish an action ``(size,)`` that counts from the state measured in ``found``."""
        with self.stages.measure("limits"):
            verdict = self._blocked() or self._limited(action, found)  # ordered during inference?
        if isinstance(verdict, Stop):
            return verdict
        if self.clock.steady() > deadline_s:
            return Stop("deadline_missed", "the command was ready only after its deadline")
        with self.stages.measure("publish"):
            self._publish(verdict, False)
        if self._rule:
            self._on_event("running", f"commanding again; {self._rule} had held the arm")
        self._last, self._hold_since, self._rule, self._anew = verdict, None, "", False
        self.commands += 1
        return None

    def _add_latency(self, ms: float) -> None:
        """From an observation to the command that answers it; the others answer none of their own."""
        self.latency.add(ms)
        if ms > self.deadline_ms:
            self._count("deadline_missed")  # it left the process late; counted, since it cannot be called back

    def _limited(self, action: np.ndarray, found: ObservationSet) -> Command | Stop:
        measured = Reference.of(found.measured, self._home_rotation)
        origin = actions.origin(self.contract.action.counts_from, measured, self._latched_target())
        target = actions.target(self.contract.action.kind, origin, self.contract.clip_action(action))
        timeout, seen = self.config.enable_timeout_s, self._enable_s
        context = Context(
            measured=measured,
            origin=origin,
            previous=None if self._last is None else self._last.target,
            stamp_ns=found.stamp_ns,
            now_ns=self.clock.now_ns(),
            enabled=timeout is None or (seen is not None and self.clock.steady() - seen <= timeout),
            estopped=self._estop,
        )
        verdict = self.limits.apply(target, context)
        if isinstance(verdict, Stop):
            return dataclasses.replace(verdict, rule="not_finite") if verdict.rule == "finite" else verdict
        return Command(found.stamp_ns, verdict)

    def _latched_target(self) -> Target | None:
        """The last target that actions may count from: none after a hold in which the arm may have been moved."""
        if self._last is None or self._anew or self.state == "stopped":
            return None
        return self._last.target

    def _rest_of_chunk(self, why: Stop, found: ObservationSet | None = None) -> Stop | None:
        """Bridge a missed inference with the part of the last chunk meant for now; ``why`` when there is none."""
        action, seen = self.schedule.at(self._instant(found)), found or self.mailbox.last
        if action is None or seen is None:
            return why
        self._count(why.rule)
        return self._send(action, seen)

    def _hold(self, stop: Stop) -> None:
        self._count(stop.rule)
        self.holds += 1
        self._anew = self._anew or stop.rule in LATCH_ANEW or self._latched is not None
        if self._hold_since is None:
            self._hold_since = self.clock.steady()
        if stop.rule != self._rule:
            self._on_event(stop.rule, stop.words)
        self._rule = stop.rule
        if self._anew or self.state == "stopped":  # nothing is resumed that was planned for another place
            self.schedule.clear()
            if self._plans is not None:
                self._plans.void(but_waiting=True)
        self._publish_hold()

    # ---------------------------------------------------------------- report
    def stats(self, raw: bool = False) -> dict[str, Any]:
        """Counters and times since the loop was made; with ``raw`` also every kept latency sample in ms."""
        report: dict[str, Any] = {
            "state": self.state,
            "latency_ms": self.latency.summary(),
            "deadline_ms": self.deadline_ms,
            "deadline_misses": self.rules["deadline_missed"],
            "ticks": self.ticks,
            "commands": self.commands,
            "holds": self.holds,
            "rules": dict(self.rules),
            "limits": self.limits.counts(),
            "stages": self.stages.to_dict(),
            "warm_up_ms": self.warm,
            "contract_hash": self.contract.hash,
            "schedule": self.schedule.counts(),
        }
        if raw:
            report["latency_samples_ms"] = [round(v, 3) for v in self.latency.raw]
        return report
