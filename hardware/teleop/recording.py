"""Episodes of an operator, as `pixelarm collect` writes those of scripted experts.

An observation is taken at the contract's rate while the device is held; pauses are left out, since the arm rests in
them. The action between two observations is what the arm was told by the second of them, as a delta of the contract's
kind from what was measured at the first: the numbers by which a policy would have sent it there. It is clipped to the
contract's bounds, and how often that changed something is stored with the episode.

With ``everyone`` an episode holds what a policy did too, and says of each step who acted and what was proposed
(``robot.dataset.acting``): by the arbiter's status, and by the target of whoever had command, before the blend and the
limits. It begins when anybody moves the arm. Of a hold a second is kept.

A loop that is late finds the observations that came meanwhile, a hundred at most, each with what the arm was
told when it was complete. Each step goes into the episode's log as it comes (``robot.dataset.log``) and is nowhere
else, so that a process that is killed, or a power cut, loses a second of it at most: ``pixelarm data recover FOLDER``.
When its outcome is said the log becomes a file of its own, in a thread of its own. The loop never waits for a disk:
where one is full or too slow the episode ends, and that is said.
"""

from __future__ import annotations

import math
import queue
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hardware.teleop.desk import DISCARD, FAILURE, SUCCESS
from hardware.teleop.swapped import Known, first_pictures
from hardware.teleop.teleop import STATUS_LOST_S
from hardware.teleop.watch import Watch
from robot import rotations
from robot.actions import JOINT_POSITION, KINDS, PROPRIO, Reference, Target, delta, origin
from robot.arbiter import modes
from robot.arbiter.modes import COMMANDED_BY
from robot.contract import Contract
from robot.control.mailbox import Mailbox, ObservationSet
from robot.control.timing import Clock
from robot.dataset.acting import BLEND, HOLD, PERSON, POLICY
from robot.dataset.episodes import Recorder
from robot.dataset.log import EpisodeLog, left_over, read_log
from robot.dataset.recover import FAILURES, episode_of
from robot.errors import DatasetError, PixelarmError
from robot.profile import ArmProfile

MOST_STEPS = 6000  # of one episode: ten minutes at 10 Hz; it is in memory as it becomes a file
BACKLOG = 100  # observations that wait for a loop that is late: five seconds of 20 Hz, one of 100 Hz
LATE_MS = 500.0  # that a picture may be under way, beyond the contract's age: it is stored, nobody acts on it
HOLD_S = 1.0  # of a hold that is kept: a longer one is a pause
SOON = 0.75  # of a period between two observations: sooner is of a camera that is faster than the contract

Ended = tuple[str, int, dict[str, Any], EpisodeLog]  # outcome, steps, provenance, log


@dataclass(frozen=True)
class Heard:
    """An observation, and what was so when it was complete."""

    seen: ObservationSet
    commanded: Target | None  # what the arm was told last
    acts: int | None = None  # who moved it, by the arbiter's word; None: nobody
    wanted: Target | None = None  # by whoever had command
    held: bool = False  # whether the operator moved the arm then


def who_acts(status: dict[str, Any]) -> int | None:
    """Who moves the arm, by a status of the arbiter: a code of ``robot.dataset.acting``. None: nobody, it rests."""
    commander = COMMANDED_BY.get(status.get("mode", ""))
    if commander is None or status["rule"] == "released":  # an operator who lets go pauses
        return None
    if status["rule"]:
        return HOLD
    return BLEND if status["blending"] else {modes.POLICY: POLICY, modes.TELEOP: PERSON}[commander]


class Recording:
    """See the module text. Any thread may call it, but ``step``, which belongs to the loop.

    Args:
        say: takes a sentence for the operator.
        provenance: of every episode.
        everyone: what a policy does is recorded too.
        joints: commands are joint positions, and so may be the contract's actions.
    """

    def __init__(
        self,
        folder: Path,
        arm: ArmProfile,
        contract: Contract,
        provenance: dict[str, Any],
        say: Callable[[str], None],
        clock: Clock,
        everyone: bool = False,
        joints: bool = False,
    ) -> None:
        arm.require_contract(contract)
        if not (KINDS[contract.action.kind].deltas or (joints and contract.action.kind == JOINT_POSITION)):
            raise PixelarmError(
                f"episodes of {contract.action.kind} actions cannot be recorded from an operator's poses: choose a "
                "task whose actions are deltas of the end effector"
            )
        self.arm, self.contract, self.provenance, self._say = arm, contract, provenance, say
        self.scene: int | None = None  # seed of a simulated one
        self._everyone, self._steady = everyone, clock.steady
        self._status: dict[str, Any] = {}  # of the arbiter
        self._status_s = -math.inf
        self._wanted: dict[str, Target] = {}  # by each commander
        self._held = False  # when the loop looked last
        self._until_rest = False  # of ``everyone``: no episode begins before the arbiter says that nobody has command
        beside = {name: PROPRIO[name].size or 0 for name in ("eef_pos", "eef_quat")}
        beside = {name: size for name, size in beside.items() if name not in {p.name for p in contract.proprio}}
        self._mailbox = Mailbox(contract, clock, contract.max_age_ms + LATE_MS, beside=beside)
        self._heard: deque[Heard] = deque(maxlen=BACKLOG)
        self._names = {p.name for p in contract.proprio} | set(beside)
        known = Known(first_pictures(folder, contract))
        self._watch = Watch(contract, self._names, clock.steady, say, arm.contract is not None, known)
        self._home = None if arm.home_xyzw is None else rotations.from_quaternion(np.array(arm.home_xyzw))
        self._commanded: Target | None = None
        self._lock = threading.RLock()
        self._clear()
        self.kept = self.failed = 0
        self._folder = folder
        if logs := left_over(folder):
            say(
                f"{len(logs)} episodes were cut off here: `pixelarm data recover {folder}` makes files of them, when "
                "nobody records"
            )
        self._recorders = {SUCCESS: self._recorder(folder)}  # now: a folder that does not fit is refused
        self._queue: queue.Queue[Ended | None] = queue.Queue()
        self._writer = threading.Thread(target=self._write, name="recording", daemon=True)
        self._writer.start()

    def _recorder(self, folder: Path) -> Recorder:
        return Recorder(folder, self.contract, self.provenance, append=True)

    def _clear(self) -> None:
        self._heard.clear()
        self._last: ObservationSet | None = None  # the newest of the open episode
        self._first_ns = self._due_ns = self._newest_ns = 0
        self._steps = 0
        self._acts: int | None = None  # who moved the arm at the last observation
        self._holds = 0  # observations of a hold, one after the other
        self._clipped = 0
        self._before: Target | None = None  # as commanded at the last observation
        self._log: EpisodeLog | None = None
        self._over = ""  # why the open episode takes no further steps

    # ----------------------------------------------------------------------------------------------------------- heard
    def put_image(self, camera: str, pixels: np.ndarray, stamp_ns: int) -> None:
        """``(H, W, 3)`` uint8 as the camera sent it; a camera that the contract lacks is left aside."""
        wanted = next((c for c in self.contract.cameras if c.name == camera), None)
        if wanted is not None:
            fitted = self.arm.cameras[camera].fit(pixels, height=wanted.height, width=wanted.width)
            self._mailbox.put_image(camera, fitted, stamp_ns)
            self._watch.put_image(camera, fitted, stamp_ns)
            self._gather()

    def put_state(self, name: str, value: np.ndarray, stamp_ns: int) -> None:
        """Measured proprioception, by the names of ``robot.actions.PROPRIO``."""
        if name in self._names:
            self._mailbox.put_proprio(name, value, stamp_ns)
            self._watch.put_state(name, value, stamp_ns)
            self._gather()

    def put_command(self, target: Target) -> None:
        """The pose, and the gripper, that the arm was told last."""
        with self._lock:
            self._commanded = target

    def put_status(self, status: dict[str, Any]) -> None:
        """What ``robot.arbiter.arbiter.Arbiter.status`` said."""
        with self._lock:
            self._status, self._status_s = status, self._steady()
            self._until_rest &= who_acts(status) is not None

    def put_wanted(self, source: str, target: Target) -> None:
        """Where a commander wants the arm, before the blend and the limits."""
        with self._lock:
            self._wanted[source] = target

    def _gather(self) -> None:
        """An observation waits for the loop as soon as its parts are there: a loop that is late loses none."""
        with self._lock:
            if self._mailbox.fresh and isinstance(seen := self._mailbox.newest(), ObservationSet):
                status = self._status if self._steady() - self._status_s <= STATUS_LOST_S else {}
                wanted = self._wanted.get(COMMANDED_BY.get(status.get("mode", ""), ""))
                self._heard.append(Heard(seen, self._commanded, who_acts(status), wanted, self._held))

    # ------------------------------------------------------------------------------------------------------------ step
    def step(self, held: bool) -> None:
        """Take the observations that are there; ``held``: the operator moves the arm now."""
        self._watch.tick()
        with self._lock:
            self._held = held
            self._take_all()

    def _take_all(self) -> None:
        while self._heard:
            heard = self._heard.popleft()
            held = heard.held if self._heard else self._held  # the newest one is of now
            if self._due(heard.seen):
                self._take(heard, heard.acts if self._everyone else PERSON if held else None)

    def _take(self, heard: Heard, acts: int | None) -> None:
        """``acts``: who moves the arm; None: nobody, or nobody whose steps are wanted."""
        seen = heard.seen
        if self._last is None or self._log is None:
            if acts not in (None, HOLD) and not self._until_rest:
                self._acts = acts
                self._begin(heard)
            return
        if self._over or self._ended(self._log):
            return
        self._holds = self._holds + 1 if acts == HOLD else 0
        if self._holds > HOLD_S * self.contract.rate_hz:
            acts = None
        if self._acts is None:
            self._log.later(seen.values, seen.stamp_ns)  # the arm rested since
        else:
            self._act(heard, self._acts if acts is None else acts, self._last, self._log)
        self._last, self._acts, self._before = seen, acts, heard.commanded
        self._due_next(seen)

    def _due(self, seen: ObservationSet) -> bool:
        """Of what comes faster than the contract wants, those nearest to its rate: so many in the long run."""
        period, before = round(1e9 * self.contract.period_s), self._newest_ns
        self._newest_ns = seen.stamp_ns
        if self._last is None:
            return True
        passed, between = seen.stamp_ns - self._last.stamp_ns, seen.stamp_ns - before
        wanted = seen.stamp_ns + between // 2 > self._due_ns or between > SOON * period
        return wanted and passed > (1 - SOON) * period

    def _due_next(self, taken: ObservationSet) -> None:
        period = round(1e9 * self.contract.period_s)
        self._due_ns = period + max(self._due_ns, taken.stamp_ns - period // 2)  # after a silence it counts anew

    def _ended(self, log: EpisodeLog) -> bool:
        """Whether the open episode can take no further step; that is said once."""
        most = f"{MOST_STEPS} steps are the most of an episode" if self._steps >= MOST_STEPS else ""
        self._over = log.failure or most
        if self._over:
            self._say(f"THE EPISODE ENDED: {self._over}. What came before is kept: say its outcome, then go on")
        return bool(self._over)

    def _begin(self, heard: Heard) -> None:
        seen = heard.seen
        scene = {} if self.scene is None else {"seed": self.scene}
        self._log = EpisodeLog(self._folder, self.contract, {**self.provenance, **scene})
        self._log.first(seen.values, seen.stamp_ns)
        self._watch.begin(seen.values)
        self._last, self._first_ns, self._before = seen, seen.stamp_ns, heard.commanded
        self._due_ns = seen.stamp_ns
        self._due_next(seen)

    def _act(self, heard: Heard, acts: int, last: ObservationSet, log: EpisodeLog) -> None:
        """The action that led from the last observation to this one."""
        seen, measured = heard.seen, Reference.of(last.measured, self._home)
        action = self._action(measured, heard.commanded)
        clipped = self.contract.clip_action(action)
        proposed = None
        if self._everyone:  # in a hold nobody proposes another thing than what the arm was told
            proposed = action if acts == HOLD or heard.wanted is None else self._action(measured, heard.wanted)
        if log.step(clipped, seen.values, seen.stamp_ns, source=acts, proposed=proposed):
            self._steps += 1
            self._clipped += not np.allclose(action, clipped, atol=1e-6)
            self._watch.step((seen.stamp_ns - last.stamp_ns) * 1e-9)

    def _action(self, measured: Reference, told: Target | None) -> np.ndarray:
        """The action that tells an arm, measured so, this; None: nothing was told, and it stays."""
        kind = self.contract.action.kind
        if kind == JOINT_POSITION:
            joints = measured.joint_positions if told is None else told.joint_positions
            assert joints is not None
            return np.append(joints, -1.0 if told is None else told.gripper)
        rotation = None if not KINDS[kind].turns else measured.rotation
        wanted = told or Target(-1.0, position=measured.position, rotation=rotation)
        if rotation is not None and wanted.rotation is None:  # a commander that leaves the orientation as it is
            wanted = wanted.replace(rotation=rotation)
        return delta(kind, origin(self.contract.action.counts_from, measured, self._before), wanted)

    # ------------------------------------------------------------------------------------------------------------- end
    def end(self, outcome: str) -> None:
        """End the episode, if there is one, with one of ``hardware.teleop.desk.OUTCOMES``."""
        with self._lock:
            self._take_all()
            log, steps, about = self._log, self._steps, self._about()
            self._clear()
            self._until_rest = self._everyone
        if not steps:
            self._say("no episode: it begins when you move the arm")
            outcome = DISCARD
        elif outcome == DISCARD:
            self._say(f"{steps} steps were discarded")
        if log is not None:
            self._queue.put((outcome, steps, about, log))

    def _about(self) -> dict[str, Any]:
        passed_s = (self._last.stamp_ns - self._first_ns) * 1e-9 if self._last else 0.0
        over = {"ended_early": self._over} if self._over else {}
        return {**over, "clipped": int(self._clipped), **self._watch.end(), "seconds": round(passed_s, 2)}

    def _write(self) -> None:
        while (item := self._queue.get()) is not None:
            outcome, steps, about, log = item
            try:
                if outcome == DISCARD:
                    log.remove()
                else:
                    self._say(self._write_one(outcome, about, log, steps))
            except (PixelarmError, OSError) as error:
                self._say(
                    f"THE EPISODE OF {steps} STEPS WAS NOT WRITTEN: {error}. It is in {log.path}: `pixelarm data "
                    f"recover {self._folder}`, when nobody records"
                )

    def _write_one(self, outcome: str, about: dict[str, Any], log: EpisodeLog, steps: int) -> str:
        log.end(outcome, about)  # said and on disk: whatever happens now, it is kept
        found = read_log(log.path)
        if len(found.actions) < steps:  # an episode without its end is no demonstration, and its log is all there is
            raise DatasetError(f"{len(found.actions)} of its steps are on disk")
        found.outcome, found.provenance = outcome, {**found.provenance, **about}  # where a disk was too full for that
        if outcome not in self._recorders:
            self._recorders[outcome] = self._recorder(self._folder / FAILURES)
        path = self._recorders[outcome].keep(episode_of(found))
        log.remove()
        self._watch.know(found.observations[0])
        self.kept, self.failed = self.kept + (outcome == SUCCESS), self.failed + (outcome == FAILURE)
        rough = f", {about['gaps']} gaps" if about["gaps"] else ""
        rough += f"; LOOK: {', '.join(about['troubles'])}" if about.get("troubles") else ""
        return f"{path.name}: {outcome}, {len(found.actions)} steps{rough}"

    def close(self) -> None:
        """Write what was ended; the log of an episode that is open stays, and that is said."""
        with self._lock:
            self._take_all()
            log, steps = self._log, self._steps
            self._clear()
        if log is not None and steps:
            log.close()
            self._say(
                f"the open episode of {steps} steps is in {log.path}: `pixelarm data recover {self._folder}` makes a "
                "file of it"
            )
        elif log is not None:
            log.remove()
        self._queue.put(None)
        self._writer.join(timeout=30.0)
        for recorder in self._recorders.values():
            recorder.__exit__(None)

    def report(self) -> dict[str, Any]:
        """For the operator."""
        with self._lock:
            steps, over = self._steps, self._over
        state = f"recording, {steps} steps" if steps else "recording begins when you move the arm"
        state = f"THE EPISODE ENDED: {over}; say its outcome" if over else state
        words = f"{state}; {self.kept} kept, {self.failed} failures"
        return {"words": words, "steps": steps, "kept": self.kept, **self._watch.report()}
