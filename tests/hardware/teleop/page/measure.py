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
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
ROOT = HERE.parents[3]
sys.path[:0] = [str(ROOT), str(HERE), str(HERE.parent)]
os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 101))

from browser import Tab, browser  # noqa: E402
from page_rig import free_port  # noqa: E402

from robot.provenance import git_commit, hardware  # noqa: E402

STILL_S = 0.25  # without a change: the target rests


class Ear:
    """Hears the arm's commands: when each came, and where it leads."""

    def __init__(self) -> None:
        import rclpy
        from geometry_msgs.msg import PoseStamped
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.node import Node

        from robot.ros.runtime import qos

        rclpy.init()
        self.node, self.executor = Node("ear"), SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self.changed_s: list[float] = []
        self._place: tuple[float, ...] = ()
        self.node.create_subscription(PoseStamped, "target_pose", self._on_target, qos(50, True))
        threading.Thread(target=self.executor.spin, daemon=True).start()

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


async def measure(count: int, image_size: int) -> None:
    port = free_port()
    command = [sys.executable, "-m", "hardware.commands.teleop", "--task", "lift", "--port", str(port)]
    command += ["--image-size", str(image_size)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    ear, folder = Ear(), Path(tempfile.mkdtemp())
    try:
        assert process.stdout is not None
        url = re.search(r"http://\S+", await asyncio.to_thread(process.stdout.readline))
        assert url is not None
        async with browser(folder) as found:
            tab = await found.open(url[0])
            await tab.until("document.body.dataset.mode === 'teleop'", 90.0)
            await asyncio.sleep(3.0)
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
            print("pictures drawn a second:       ", np.round(rates.mean(0), 1).tolist(), "of 10 sent by each camera")
            print(json.dumps({"git": git_commit(), **hardware(), "load": os.getloadavg()[0], "image_size": image_size}))
    finally:
        process.terminate()
        process.wait(20)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100, help="key presses of each kind (default: %(default)s)")
    parser.add_argument("--image-size", type=int, default=128, help="pixels (default: %(default)s)")
    arguments = parser.parse_args()
    asyncio.run(measure(arguments.count, arguments.image_size))
