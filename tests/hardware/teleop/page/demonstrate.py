"""Drives Lift in the operator's page with keys, as a person would: ``python .../demonstrate.py --out runs/hands``.

It presses and lets go of keys in headless Chromium over its DevTools protocol, sees where the hand is ten times a
second, and knows where the cube lies in each scene, as a person sees it. What it records is what `pixelarm teleop
--record` records of anybody.
"""

from __future__ import annotations

import argparse
import asyncio
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

KEYS = (("KeyW", "KeyS"), ("KeyA", "KeyD"), ("KeyE", "KeyQ"))  # +x and -x, +y and -y, +z and -z of the base
SPEED_M_S = 0.35
HOVER_M, NEAR_M, LIFTED_M, HELD_M = 0.06, 0.008, 0.12, 0.02
PATIENCE_S = 40.0  # of one episode


class Eye:
    """Sees the hand."""

    def __init__(self) -> None:
        import rclpy
        from geometry_msgs.msg import PoseStamped
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.node import Node
        from sensor_msgs.msg import JointState

        from robot.ros.runtime import qos

        rclpy.init()
        self.node, self.executor = Node("eye"), SingleThreadedExecutor()
        self.hand, self.opening = np.zeros(3), 0.0  # m
        self.executor.add_node(self.node)
        self.node.create_subscription(PoseStamped, "current_pose", self._on_pose, qos(1))
        self.node.create_subscription(JointState, "joint_states", self._on_joints, qos(1))
        threading.Thread(target=self.executor.spin, daemon=True).start()

    def _on_pose(self, message: Any) -> None:
        point = message.pose.position
        self.hand = np.array([point.x, point.y, point.z])

    def _on_joints(self, message: Any) -> None:
        self.opening = float(np.abs(message.position[-2:]).sum())  # the Panda's two fingers


class Person:
    """Presses keys until the hand is where it should be."""

    def __init__(self, tab: Tab, eye: Eye) -> None:
        self.tab, self.eye, self.down = tab, eye, set[str]()

    async def hold(self, *codes: str) -> None:
        """These keys are down from now on, and no others."""
        for code in self.down - set(codes):
            await self.tab.key(code, False)
        for code in set(codes) - self.down:
            await self.tab.key(code, True)
        self.down = set(codes)

    async def go(self, goal: np.ndarray, near_m: float, axes: tuple[int, ...] = (0, 1, 2)) -> None:
        """Keep keys down until the hand is ``near_m`` from ``goal`` along each of the axes."""
        end = time.monotonic() + 12.0
        while time.monotonic() < end:
            way = goal - self.eye.hand
            away = [axis for axis in axes if abs(way[axis]) > near_m]
            if not away:
                break
            await self.hold("ShiftLeft", *(KEYS[axis][0 if way[axis] > 0 else 1] for axis in away))
            # near the goal a short touch: the picture that it answers is up to a tenth of a second old
            await asyncio.sleep(0.05 if max(abs(way[axis]) for axis in away) > 0.03 else 0.03)
            if max(abs(way[axis]) for axis in away) <= 0.03:
                await self.hold("ShiftLeft")
                await asyncio.sleep(0.12)
        await self.hold("ShiftLeft")

    async def press(self, code: str) -> None:
        await self.tab.key(code, True)
        await asyncio.sleep(0.08)
        await self.tab.key(code, False)

    async def lift(self, cube: np.ndarray) -> bool:
        """Take the cube and raise it; whether the hand is up and holds something."""
        await self.go(cube + (0.0, 0.0, HOVER_M), 0.02)
        await self.go(cube, NEAR_M, axes=(0, 1))
        await self.go(cube, NEAR_M)
        await self.press("Space")
        await asyncio.sleep(0.6)
        await self.go(cube + (0.0, 0.0, LIFTED_M), 0.03, axes=(2,))
        await asyncio.sleep(0.8)  # it stays up
        return bool(self.eye.hand[2] > cube[2] + LIFTED_M - 0.04 and self.eye.opening > HELD_M)


async def scene_of(tab: Tab, before: int | None) -> int:
    """The seed that the page said last; 0 at first."""
    end = time.monotonic() + 20.0
    while before is not None and time.monotonic() < end:
        said = await tab.evaluate("document.getElementById('said').textContent")
        if (found := re.findall(r"seed (\d+)", said)) and int(found[-1]) != before:
            return int(found[-1])
        await asyncio.sleep(0.1)
    assert before is None, "the page said no new scene"
    return 0


async def demonstrate(out: Path, episodes: int, image_size: int) -> None:
    from sim.envs.config import TaskConfig
    from sim.envs.make import make_env

    env = make_env(TaskConfig("lift", 32))
    port, eye, folder = free_port(), Eye(), Path(tempfile.mkdtemp())
    command = [sys.executable, "-m", "hardware.commands.teleop", "--task", "lift", "--port", str(port)]
    command += ["--image-size", str(image_size), "--record", str(out), "--speed", str(SPEED_M_S)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url = re.search(r"http://\S+", await asyncio.to_thread(process.stdout.readline))
        assert url is not None
        async with browser(folder) as found:
            tab = await found.open(url[0])
            await tab.until("document.body.dataset.mode === 'teleop'", 90.0)
            await asyncio.sleep(3.0)
            person, seed, kept, tried = Person(tab, eye), await scene_of(tab, None), 0, 0
            while kept < episodes and tried < 3 * episodes:
                env.reset(seed=seed)
                cube, tried = env.world.object_position("cube_main"), tried + 1
                try:
                    good = await asyncio.wait_for(person.lift(cube), PATIENCE_S)
                except asyncio.TimeoutError:
                    good = False
                await person.hold()
                kept += good
                outcome = "success" if good else "discard"
                await tab.evaluate(f"document.getElementById('order-{outcome}').click()")
                print(f"scene {seed}: {outcome}, {kept} of {episodes}", flush=True)
                seed = await scene_of(tab, seed)
                await asyncio.sleep(1.0)
    finally:
        process.terminate()
        process.wait(20)
        env.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/hands"), help="dataset folder (default: %(default)s)")
    parser.add_argument("--episodes", type=int, default=20, help="to keep (default: %(default)s)")
    parser.add_argument("--image-size", type=int, default=64, help="pixels (default: %(default)s)")
    arguments = parser.parse_args()
    asyncio.run(demonstrate(arguments.out, arguments.episodes, arguments.image_size))
