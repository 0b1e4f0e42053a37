"""Measures the recorder of teleoperation: ``python tests/hardware/teleop/measure_recorder.py --minutes 5``.

Two made-up cameras of 84 x 84 pixels send 20 pictures a second each, stamped when they were due, an arm its pose, and
an operator holds all the time; episodes follow each other without a pause, so that each is made a file while the next
one is recorded. Pictures are a scene that moves under the noise of a sensor: a still one would compress too well, and
noise alone not at all. What the made-up source itself costs is measured before, without a recorder, and taken off.
Another process looks at the clock a hundred times a second meanwhile: what it is late (`machine_late_ms`) is other
jobs' doing, and no recorder's.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))

from hardware.teleop.desk import SUCCESS  # noqa: E402
from hardware.teleop.recording import Recording  # noqa: E402
from robot import profile  # noqa: E402
from robot.actions import Target  # noqa: E402
from robot.contract import Action, Camera, Contract, Proprio  # noqa: E402
from robot.control.timing import Clock, Samples  # noqa: E402
from robot.dataset.dataset import Dataset  # noqa: E402
from robot.files import write_json  # noqa: E402
from robot.provenance import git_commit, hardware  # noqa: E402

CAMERAS, SIZE, RATE_HZ, TICK_HZ = ("agentview", "eye_in_hand"), 84, 20.0, 100.0
NOISE = 2.0  # of 255, standard deviation
BEFORE_S = 5.0  # of the source alone
WITNESS = f"""
import json, select, sys, time
late = []
while not select.select([sys.stdin], [], [], 0)[0]:
    due = time.monotonic() + {1 / TICK_HZ}
    time.sleep({1 / TICK_HZ})
    late.append(1e3 * (time.monotonic() - due))
print(json.dumps(late))
"""
QUATERNION = np.array([1.0, 0.0, 0.0, 0.0])


def contract() -> Contract:
    return Contract(
        task="trial", cameras=tuple(Camera(name, SIZE, SIZE, fps=RATE_HZ) for name in CAMERAS),
        proprio=(Proprio("eef_pos", 3, "m", "base"), Proprio("gripper_opening", 1, "m", "gripper")),
        action=Action("eef_delta_position", ("dx", "dy", "dz", "gripper"), ("m", "m", "m", "1"),
                      (-0.04, -0.04, -0.04, -1), (0.04, 0.04, 0.04, 1)),
        rate_hz=RATE_HZ, deadline_ms=40, max_age_ms=100,
    )  # fmt: skip


class Scene:
    """Soft stripes that move, and noise. No two pictures are the same: what repeats would compress too well."""

    def __init__(self, moments: int = 64) -> None:
        self._rng = np.random.default_rng(0)
        y, x = np.mgrid[:SIZE, :SIZE] / SIZE
        phases = 2 * np.pi * np.arange(moments)[:, None, None] / moments
        soft = [127 + 80 * np.sin(phases + k * x + 3 * y) for k in (4.0, 7.0, 11.0)]
        self._soft = np.stack(soft, axis=-1).astype(np.int16)  # 47 to 207
        self._noise = self._rng.normal(0.0, NOISE, 1 << 22).round().astype(np.int16)

    def picture(self, number: int) -> np.ndarray:
        """``(SIZE, SIZE, 3)`` uint8."""
        soft = self._soft[number % len(self._soft)]
        at = int(self._rng.integers(len(self._noise) - soft.size))
        return (soft + self._noise[at : at + soft.size].reshape(soft.shape)).astype(np.uint8)


class Source:
    """Sends what is due, as the callbacks and the loop of the teleoperation node do."""

    def __init__(self) -> None:
        self.scene, self.sent = Scene(), 0  # sent by each camera
        self.late_ms = Samples()  # how late a tick came: another job, or the recorder, had the processor

    def run(self, seconds: float, put: Callable[[int, list[np.ndarray], int], None], tick: Callable[[], None]) -> None:
        """``put(number, pictures, stamp_ns)`` for each set of pictures, ``tick()`` at ``TICK_HZ``."""
        start = due = time.monotonic()
        start_ns, taken = time.time_ns(), 0
        while due - start < seconds:
            time.sleep(max(0.0, due - time.monotonic()))
            self.late_ms.add(1e3 * (time.monotonic() - due))
            while taken < (due - start) * RATE_HZ:
                pictures = [self.scene.picture(self.sent + 7 * shift) for shift in range(len(CAMERAS))]
                put(self.sent, pictures, start_ns + round(1e9 * taken / RATE_HZ))  # a camera is not late
                taken, self.sent = taken + 1, self.sent + 1
            tick()
            due += 1.0 / TICK_HZ


def measure(folder: Path, minutes: float, episode_s: float) -> dict[str, Any]:
    """What the recorder costs and loses; plain values."""
    source, said = Source(), Counter[str]()
    arm = profile.ArmProfile.load(profile.find("sim_panda", profile.shipped()))
    alone = _share(lambda: source.run(BEFORE_S, lambda *_: None, lambda: None))
    source.sent, source.late_ms = 0, Samples()
    recording = Recording(folder, arm, contract(), {"device": "made up"}, lambda w: said.update([_kind(w)]), Clock())
    held_ms, log_bytes = Samples(), []

    def timed(call: Callable[[], None]) -> None:
        start = time.perf_counter()
        call()
        held_ms.add(1e3 * (time.perf_counter() - start))

    def put(number: int, pictures: list[np.ndarray], stamp: int) -> None:
        at = np.array([0.4 + 0.05 * np.sin(number / 20), 0.0, 0.2])
        recording.put_command(Target(1.0, position=at, rotation=np.diag([1.0, -1.0, -1.0])))
        for name, value in (("eef_pos", at), ("eef_quat", QUATERNION), ("gripper_opening", np.array([0.08]))):
            recording.put_state(name, value, stamp)
        for camera, pixels in zip(CAMERAS, pictures):
            timed(lambda camera=camera, pixels=pixels: recording.put_image(camera, pixels, stamp))  # type: ignore[misc]

    def record() -> None:
        left_s = 60 * minutes
        while left_s > 0:
            source.run(min(left_s, episode_s), put, lambda: timed(lambda: recording.step(True)))
            log_bytes.append(sum(path.stat().st_size for path in folder.glob(".recording/*.log")))
            timed(lambda: recording.end(SUCCESS))
            left_s -= episode_s
        recording.close()

    machine_ms = Samples()
    with subprocess.Popen(
        [sys.executable, "-c", WITNESS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as witness:
        share = _share(record)
        for late in json.loads(witness.communicate()[0]):
            machine_ms.add(late)
    return _report(folder, source, said, minutes, {
        "cpu_share": round(share - alone, 4), "cpu_share_of_source": round(alone, 4), "held_ms": held_ms.summary(),
        "machine_late_ms": machine_ms.summary(),
        "log_mb": round(sum(log_bytes) / 1e6, 2),
    })  # fmt: skip


def _kind(words: str) -> str:
    """A sentence without its numbers: those that tell of one kind count together."""
    return "an episode was written" if words.startswith("episode_") else re.sub(r"\d+\.?\d*", "N", words)


def _share(work: Callable[[], None]) -> float:
    """Of one core, of all of this process' threads."""
    wall, cpu = time.monotonic(), time.process_time()
    work()
    return (time.process_time() - cpu) / (time.monotonic() - wall)


def _report(
    folder: Path, source: Source, said: Counter[str], minutes: float, measured: dict[str, Any]
) -> dict[str, Any]:
    episodes = Dataset(folder)
    kept = episodes.steps + len(episodes)  # observations: one more than actions
    size = sum(header.path.stat().st_size for header in episodes.headers)
    return {
        "minutes": minutes, "cameras": f"{len(CAMERAS)} of {SIZE} x {SIZE} at {RATE_HZ:g} Hz",
        "pictures_sent": source.sent, "pictures_kept": kept, "dropped": source.sent - kept,
        "episodes": len(episodes), "mb": round(size / 1e6, 2), "mb_a_minute": round(size / 1e6 / minutes, 2),
        **measured,
        "late_ms": source.late_ms.summary(), "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "said": dict(said), "git": git_commit(), "hardware": hardware(),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False, description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0, help="to record (default %(default)s)")
    parser.add_argument("--episode-s", type=float, default=60.0, help="length of an episode (default %(default)s)")
    parser.add_argument("--out", type=Path, help="write the numbers there, as JSON")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder) / "episodes", args.minutes, args.episode_s)
    print(json.dumps(found, indent=2))
    if args.out:
        write_json(args.out, found)


if __name__ == "__main__":
    main()
