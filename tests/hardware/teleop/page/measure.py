"""Measures teleoperation with the simulated arm and a browser: ``python tests/hardware/teleop/page/measure.py``.

A key is pressed and let go in headless Chromium over its DevTools protocol; a listener of its own notes when the
commands on the arm's topic begin to change, and when they have changed for the last time. Times are of one clock, and
hold what the protocol takes to deliver the key.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from typing import Any

import numpy as np
from live import Listener, Tab, opened_page

from robot.provenance import git_commit, hardware

STILL_S = 0.25  # without a change: the target rests


class Ear:
    """Hears the arm's commands: when each came, and where it leads."""

    def __init__(self) -> None:
        from geometry_msgs.msg import PoseStamped

        self.changed_s: list[float] = []
        self._place: tuple[float, ...] = ()
        self.listener = Listener("ear", [(PoseStamped, "target_pose", self._on_target, 50, True)])

    def _on_target(self, message: Any) -> None:
        point = message.pose.position
        place = (point.x, point.y, point.z)
        if place != self._place:
            self.changed_s.append(time.monotonic())
        self._place = place


async def key_to_command(tab: Tab, ear: Ear, code: str, held_s: float) -> tuple[float, float] | None:
    """Press a key for so long: ms from the press to the first command that changes, and from the release to the last.
    None where the press was refused, since the arm's state was late.
    """
    before, pressed_s = len(ear.changed_s), time.monotonic()
    await tab.key(code, True)
    await asyncio.sleep(held_s)
    released_s = time.monotonic()
    await tab.key(code, False)
    while time.monotonic() - max(released_s, ear.changed_s[-1] if ear.changed_s else 0.0) < STILL_S:
        await asyncio.sleep(0.01)
    changed = ear.changed_s[before:]
    if not changed:
        print("refused:", await tab.evaluate("document.getElementById('why').textContent"))
        return None
    return (changed[0] - pressed_s) * 1e3, max(0.0, changed[-1] - released_s) * 1e3


def summary(values: list[float]) -> str:
    p50, p99 = np.percentile(values, [50, 99])
    return f"p50 {p50:.1f}, p99 {p99:.1f}, max {max(values):.1f} ms (n = {len(values)})"


async def measure(count: int, image_size: int, fps: float) -> None:
    ear = Ear()
    async with opened_page("--image-size", str(image_size), "--camera-fps", str(fps)) as tab:
        anew, kept, release, trips, pictures = [], [], [], [], []
        ways = ["KeyE", "KeyQ", "KeyA", "KeyD"]
        for i in range(count):
            found_ms = await key_to_command(tab, ear, ways[i % 4], 0.5)
            if found_ms is None:
                continue
            anew.append(found_ms[0])
            release.append(found_ms[1])
            trips.append(float(await tab.evaluate("document.body.dataset.roundTrip") or "nan"))
            pictures.append(await tab.evaluate("document.body.dataset.pictures"))
        await tab.key("ShiftLeft", True)  # one grip: no hand-over between keys
        await asyncio.sleep(0.6)
        for i in range(count):
            if (found_ms := await key_to_command(tab, ear, ways[i % 4], 0.3)) is not None:
                kept.append(found_ms[0])
                continue
            await tab.key("ShiftLeft", False)
            await tab.key("ShiftLeft", True)
            await asyncio.sleep(0.6)
        await tab.key("ShiftLeft", False)
        print("key that takes hold -> command:", summary(anew))
        print("key while held -> command:     ", summary(kept))
        print("release -> target at rest:     ", summary(release))
        print("round trip page - program:     ", summary(trips))
        rates = np.array([[float(n) for n in text.split(",")] for text in pictures if text])
        print("pictures drawn a second:       ", np.round(rates.mean(0), 1).tolist(), f"of {fps:g} sent by each camera")
        print(json.dumps({"git": git_commit(), **hardware(), "load": os.getloadavg()[0], "image_size": image_size}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100, help="key presses of each kind (default: %(default)s)")
    parser.add_argument("--image-size", type=int, default=128, help="pixels (default: %(default)s)")
    parser.add_argument(
        "--camera-fps", type=float, default=10.0, help="of the simulated cameras (default: %(default)g)"
    )
    arguments = parser.parse_args()
    asyncio.run(measure(arguments.count, arguments.image_size, arguments.camera_fps))
