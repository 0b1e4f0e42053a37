"""Episodes of an operator, as `pixelarm collect` writes those of scripted experts.

An observation is taken at the contract's rate while the device is held; pauses are left out, since the arm rests in
them. The action between two observations is what the arm was told by the second of them, as a delta of the contract's
kind from what was measured at the first: the numbers by which a policy would have sent it there. It is clipped to the
contract's bounds, and how often that changed something is stored with the episode.

Each step goes into the episode's log as it comes (``robot.dataset.log``), so that a process that is killed, or a power
cut, loses a second of it at most: ``pixelarm dataset FOLDER --recover``. When its outcome is said it is written as a
file of its own, in a thread of its own.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hardware.teleop.desk import DISCARD, FAILURE, SUCCESS
from robot import rotations
from robot.actions import KINDS, PROPRIO, Reference, Target, delta, origin
from robot.contract import Contract
from robot.control.mailbox import Mailbox, ObservationSet
from robot.control.rules import Stop
from robot.control.timing import Clock
from robot.dataset.episodes import Recorder
from robot.dataset.log import EpisodeLog, left_over
from robot.errors import PixelarmError
from robot.profile import ArmProfile

FAILURES = "failures"  # folder beside the demonstrations: nobody learns from them by accident
MOST_STEPS = 6000  # of one episode in memory: ten minutes at 10 Hz
SOON = 0.75  # of a period after the last observation: sooner is of a camera that is faster than the contract
GAP = 1.5  # periods between two observations in a motion

# outcome, observations, actions, provenance, log
Ended = tuple[str, list[ObservationSet], list[np.ndarray], dict[str, Any], EpisodeLog]


class Recording:
    """See the module text. Any thread may call it, but ``step``, which belongs to the loop.

    Args:
        say: takes a sentence for the operator.
        provenance: of every episode.
    """

    def __init__(
        self,
        folder: Path,
        arm: ArmProfile,
        contract: Contract,
        provenance: dict[str, Any],
        say: Callable[[str], None],
        clock: Clock,
    ) -> None:
        arm.require_contract(contract)
        if not KINDS[contract.action.kind].deltas:
            raise PixelarmError(
                f"episodes of {contract.action.kind} actions cannot be recorded from an operator's poses: choose a "
                "task whose actions are deltas of the end effector"
            )
        self.arm, self.contract, self.provenance, self._say = arm, contract, provenance, say
        self.scene: int | None = None  # seed of a simulated one
        beside = {name: PROPRIO[name].size or 0 for name in ("eef_pos", "eef_quat")}
        beside = {name: size for name, size in beside.items() if name not in {p.name for p in contract.proprio}}
        self._mailbox = Mailbox(contract, clock, contract.max_age_ms + 1e3 * contract.period_s, beside=beside)
        self._names = {p.name for p in contract.proprio} | set(beside)
        self._home = None if arm.home_xyzw is None else rotations.from_quaternion(np.array(arm.home_xyzw))
        self._commanded: Target | None = None
        self._clear()
        self.kept = self.failed = 0
        self._lock = threading.RLock()
        self._folder, self._log_failed = folder, ""
        if logs := left_over(folder):
            say(
                f"{len(logs)} episodes were cut off here: `pixelarm dataset {folder} --recover` makes files of them, "
                "when nobody records"
            )
        self._recorders = {SUCCESS: self._recorder(folder)}  # now: a folder that does not fit is refused
        self._queue: queue.Queue[Ended | None] = queue.Queue()
        self._writer = threading.Thread(target=self._write, name="recording", daemon=True)
        self._writer.start()

    def _recorder(self, folder: Path) -> Recorder:
        return Recorder(folder, self.contract, self.provenance, append=True)

    def _clear(self) -> None:
        self._seen: list[ObservationSet] = []
        self._actions: list[np.ndarray] = []
        self._moving = False  # held at the last observation
        self._clipped = self._gaps = 0
        self._before: Target | None = None  # as commanded at the last observation
        self._log: EpisodeLog | None = None

    # ----------------------------------------------------------------------------------------------------------- heard
    def put_image(self, camera: str, pixels: np.ndarray, stamp_ns: int) -> None:
        """``(H, W, 3)`` uint8 as the camera sent it; a camera that the contract lacks is left aside."""
        wanted = next((c for c in self.contract.cameras if c.name == camera), None)
        if wanted is not None:
            fitted = self.arm.cameras[camera].fit(pixels, height=wanted.height, width=wanted.width)
            self._mailbox.put_image(camera, fitted, stamp_ns)

    def put_state(self, name: str, value: np.ndarray, stamp_ns: int) -> None:
        """Measured proprioception, by the names of ``robot.actions.PROPRIO``."""
        if name in self._names:
            self._mailbox.put_proprio(name, value, stamp_ns)

    def put_command(self, target: Target) -> None:
        """The pose, and the gripper, that the arm was told last."""
        with self._lock:
            self._commanded = target

    # ------------------------------------------------------------------------------------------------------------ step
    def step(self, held: bool) -> None:
        """Take the next observation if there is one; ``held``: the operator moves the arm now."""
        with self._lock:
            if not self._mailbox.fresh:
                return
            seen = self._mailbox.newest()
            if isinstance(seen, Stop) or not self._due(seen):
                return
            if not self._seen:
                if held:
                    self._seen, self._moving, self._before = [seen], True, self._commanded
                    self._open_log(seen)
                return
            if self._moving and len(self._actions) < MOST_STEPS:
                self._act(seen)
            else:
                self._seen[-1] = seen  # the arm rested since
                if self._log is not None:
                    self._log.later(seen.values, seen.stamp_ns)
            self._moving, self._before = held, self._commanded

    def _due(self, seen: ObservationSet) -> bool:
        period_ns = 1e9 * self.contract.period_s
        return not self._seen or seen.stamp_ns - self._seen[-1].stamp_ns > SOON * period_ns

    def _act(self, seen: ObservationSet) -> None:
        """The action that led from the last observation to this one."""
        measured = Reference.of(self._seen[-1].measured, self._home)
        rotation = None if not KINDS[self.contract.action.kind].turns else measured.rotation
        wanted = self._commanded or Target(-1.0, position=measured.position, rotation=rotation)
        counted = origin(self.contract.action.counts_from, measured, self._before)
        action = delta(self.contract.action.kind, counted, wanted)
        clipped = self.contract.clip_action(action)
        self._clipped += not np.allclose(action, clipped, atol=1e-6)
        passed_s = (seen.stamp_ns - self._seen[-1].stamp_ns) * 1e-9
        self._gaps += passed_s > GAP * self.contract.period_s
        self._actions.append(clipped)
        self._seen.append(seen)
        if self._log is not None:
            self._log.step(clipped, seen.values, seen.stamp_ns)
            if self._log.failure and self._log.failure != self._log_failed:
                self._log_failed = self._log.failure
                self._say(self._log_failed)

    def _open_log(self, seen: ObservationSet) -> None:
        provenance = self.provenance if self.scene is None else {**self.provenance, "seed": self.scene}
        self._log = EpisodeLog(self._folder, self.contract, provenance)
        self._log.first(seen.values, seen.stamp_ns)

    # ------------------------------------------------------------------------------------------------------------- end
    def end(self, outcome: str) -> None:
        """End the episode, if there is one, with one of ``hardware.teleop.desk.OUTCOMES``."""
        with self._lock:
            if not self._actions or self._log is None:
                if self._log is not None:
                    self._log.remove()
                self._clear()
                self._say("no episode: it begins when you move the arm")
                return
            seen, actions, extra, log = self._seen, self._actions, self._extra(), self._log
            self._clear()
        if outcome == DISCARD:
            log.remove()
            self._say(f"{len(actions)} steps were discarded")
            return
        self._queue.put((outcome, seen, actions, extra, log))

    def _extra(self) -> dict[str, Any]:
        passed_s = (self._seen[-1].stamp_ns - self._seen[0].stamp_ns) * 1e-9
        scene = {} if self.scene is None else {"seed": self.scene}
        log: dict[str, Any] = {} if self._log is None else {"log": self._log.name}
        return {**scene, **log, "clipped": int(self._clipped), "gaps": int(self._gaps), "seconds": round(passed_s, 2)}

    def _write(self) -> None:
        while (item := self._queue.get()) is not None:
            try:
                self._say(self._write_one(*item))
            except (PixelarmError, OSError) as error:
                self._say(f"the episode was not written: {error}")

    def _write_one(
        self,
        outcome: str,
        seen: list[ObservationSet],
        actions: list[np.ndarray],
        extra: dict[str, Any],
        log: EpisodeLog,
    ) -> str:
        log.end(outcome, extra)  # said and on disk: whatever happens now, it is kept
        if outcome not in self._recorders:
            self._recorders[outcome] = self._recorder(self._folder / FAILURES)
        recorder, last = self._recorders[outcome], len(actions) - 1
        recorder.start(seen[0].values, seen[0].stamp_ns, extra)
        for i, action in enumerate(actions):
            ended = i == last and outcome == SUCCESS
            recorder.add(action, float(ended), ended, seen[i + 1].values, seen[i + 1].stamp_ns)
        path = recorder.end(success=outcome == SUCCESS)
        log.remove()
        self.kept, self.failed = self.kept + (outcome == SUCCESS), self.failed + (outcome == FAILURE)
        rough = f", {extra['gaps']} gaps" if extra["gaps"] else ""
        return f"{path.name}: {outcome}, {len(actions)} steps{rough}"

    def close(self) -> None:
        """Write what was ended; the log of an episode that is open stays, and that is said."""
        with self._lock:
            if self._log is not None and self._actions:
                self._log.close()
                self._say(
                    f"the open episode of {len(self._actions)} steps is in {self._log.path}: `pixelarm dataset "
                    f"{self._folder} --recover` makes a file of it"
                )
            elif self._log is not None:
                self._log.remove()
            self._log = None
        self._queue.put(None)
        self._writer.join(timeout=30.0)
        for recorder in self._recorders.values():
            recorder.__exit__(None)

    def report(self) -> dict[str, Any]:
        """For the operator."""
        with self._lock:
            steps = len(self._actions)
        state = f"recording, {steps} steps" if steps else "recording begins when you move the arm"
        return {"words": f"{state}; {self.kept} kept, {self.failed} failures", "steps": steps, "kept": self.kept}
