"""Drives Lift in the operator's page, as a person would: ``python .../demonstrate.py --out runs/hands``.

It presses and lets go of keys in headless Chromium over its DevTools protocol, or with ``--phone`` puts two thumbs on a
page of a phone's size; sees where the hand is ten times a second; and knows where the cube lies in each scene, as a
person sees it. What it records is what `pixelarm teleop --record` records of anybody.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
from live import Listener, Tab, opened_page

KEYS = (("KeyW", "KeyS"), ("KeyA", "KeyD"), ("KeyE", "KeyQ"))  # +x and -x, +y and -y, +z and -z of the base
SPEED_M_S = 0.35
HOVER_M, NEAR_M, LIFTED_M = 0.06, 0.008, 0.12
HELD_M = (0.02, 0.06)  # between the fingers: neither closed on nothing nor open
PATIENCE_S = 40.0  # of one episode
LEFT, RIGHT = 0, 1  # thumbs
FAR_M, LEAST = 0.06, 0.2  # the way at which a stick is pushed to its end; the least push, beyond its dead zone


class Eye:
    """Sees the hand."""

    def __init__(self) -> None:
        from geometry_msgs.msg import PoseStamped
        from sensor_msgs.msg import JointState

        self.hand, self.opening = np.zeros(3), 0.0  # m
        pose = (PoseStamped, "current_pose", self._on_pose, 1, False)
        self.listener = Listener("eye", [pose, (JointState, "joint_states", self._on_joints, 1, False)])

    def _on_pose(self, message: Any) -> None:
        point = message.pose.position
        self.hand = np.array([point.x, point.y, point.z])

    def _on_joints(self, message: Any) -> None:
        self.opening = float(np.abs(message.position[-2:]).sum())  # the Panda's two fingers


class Person:
    """Moves the hand until it is where it should be; says in ``do`` what its own hands do."""

    def __init__(self, tab: Tab, eye: Eye) -> None:
        self.tab, self.eye = tab, eye

    async def go(self, goal: np.ndarray, near_m: float, axes: tuple[int, ...] = (0, 1, 2)) -> None:
        """Move until the hand is ``near_m`` from ``goal`` along each of the axes; the arm is held, and rests, then."""
        raise NotImplementedError

    async def grip(self) -> None:
        """Press the gripper's button, and wait until it has closed."""
        raise NotImplementedError

    async def let_go(self) -> None:
        raise NotImplementedError

    async def say(self, outcome: str) -> None:
        """Press the button of an episode's outcome."""
        raise NotImplementedError

    async def lift(self, cube: np.ndarray) -> bool:
        """Take the cube and raise it; whether the hand is up and holds something."""
        await self.go(cube + (0.0, 0.0, HOVER_M), 0.02)
        await self.go(cube, NEAR_M, axes=(0, 1))
        await self.go(cube, NEAR_M)
        await self.grip()
        await self.go(cube + (0.0, 0.0, LIFTED_M), 0.03, axes=(2,))
        await asyncio.sleep(0.8)  # it stays up
        return bool(self.eye.hand[2] > cube[2] + LIFTED_M - 0.04 and HELD_M[0] < self.eye.opening < HELD_M[1])


class Typist(Person):
    """With keys."""

    def __init__(self, tab: Tab, eye: Eye) -> None:
        super().__init__(tab, eye)
        self.down = set[str]()

    async def hold(self, *codes: str) -> None:
        """These keys are down from now on, and no others."""
        for code in self.down - set(codes):
            await self.tab.key(code, False)
        for code in set(codes) - self.down:
            await self.tab.key(code, True)
        self.down = set(codes)

    async def go(self, goal: np.ndarray, near_m: float, axes: tuple[int, ...] = (0, 1, 2)) -> None:
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

    async def grip(self) -> None:
        await self.tab.key("Space", True)
        await asyncio.sleep(0.08)
        await self.tab.key("Space", False)
        await asyncio.sleep(0.6)

    async def let_go(self) -> None:
        await self.hold()

    async def say(self, outcome: str) -> None:
        await self.tab.evaluate(f"document.getElementById('order-{outcome}').click()")


class Thumbs(Person):
    """With two thumbs on a phone: the left one on its stick, the right one on the other stick or on a button."""

    async def push(self, x: float, y: float, z: float) -> None:
        """Push the sticks, -1 to 1 along each axis of the base; pushed to 0 they hold the arm where it is."""
        left, right = await self.tab.centre("#left"), await self.tab.centre("#right")
        reach = 0.6 * 0.5 * await self.tab.evaluate("document.getElementById('left').getBoundingClientRect().width")
        away_left = (left[0] - reach * y, left[1] - reach * x)  # up is ahead
        await self.tab.fingers({LEFT: away_left, RIGHT: (right[0], right[1] - reach * z)})

    async def go(self, goal: np.ndarray, near_m: float, axes: tuple[int, ...] = (0, 1, 2)) -> None:
        end = time.monotonic() + 12.0
        while time.monotonic() < end:
            way = np.array([(goal - self.eye.hand)[axis] if axis in axes else 0.0 for axis in range(3)])
            if (np.abs(way) <= near_m).all():
                break
            push = np.clip(way / FAR_M, -1.0, 1.0)
            push = np.where(np.abs(way) > near_m, np.sign(way) * np.maximum(np.abs(push), LEAST), 0.0)
            await self.push(*push)
            await asyncio.sleep(0.05)
        await self.push(0.0, 0.0, 0.0)
        await asyncio.sleep(0.2)

    async def grip(self) -> None:
        left = self.tab.down[LEFT]
        await self.tab.fingers({LEFT: left})
        await self.tab.fingers({LEFT: left, RIGHT: await self.tab.centre("#gripper")})
        await asyncio.sleep(0.15)
        await self.tab.fingers({LEFT: left})
        await asyncio.sleep(0.6)

    async def let_go(self) -> None:
        await self.tab.fingers({})

    async def say(self, outcome: str) -> None:
        await self.tab.fingers({RIGHT: await self.tab.centre(f"#order-{outcome}")})
        await asyncio.sleep(0.08)
        await self.tab.fingers({})


async def scene_of(tab: Tab, before: int | None) -> int:
    """The seed that the page said last; 0 at first."""
    end, said = time.monotonic() + 20.0, ""
    while before is not None and time.monotonic() < end:
        said = await tab.evaluate("document.getElementById('said').textContent")
        if (found := re.findall(r"seed (\d+)", said)) and int(found[-1]) != before:
            return int(found[-1])
        await asyncio.sleep(0.1)
    assert before is None, f"the page said no new scene: {said}"
    return 0


async def demonstrate(out: Path, episodes: int, image_size: int, phone: bool) -> None:
    from sim.envs.config import TaskConfig
    from sim.envs.make import make_env

    env, eye = make_env(TaskConfig("lift", 32)), Eye()
    options = ["--image-size", str(image_size), "--record", str(out), "--speed", str(SPEED_M_S)]
    try:
        async with opened_page(*options, phone=phone) as tab:
            person = (Thumbs if phone else Typist)(tab, eye)
            seed, kept, tried = await scene_of(tab, None), 0, 0
            while kept < episodes and tried < 3 * episodes:
                env.reset(seed=seed)
                cube, tried = env.world.object_position("cube_main"), tried + 1
                try:
                    good = await asyncio.wait_for(person.lift(cube), PATIENCE_S)
                except asyncio.TimeoutError:
                    good = False
                await person.let_go()
                kept += good
                outcome = "success" if good else "discard"
                await person.say(outcome)
                load = f"load {os.getloadavg()[0]:.1f}"
                print(f"scene {seed}: {outcome}, {kept} of {tried} tried, {episodes} wanted; {load}", flush=True)
                seed = await scene_of(tab, seed)
                await asyncio.sleep(1.0)
    finally:
        env.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/hands"), help="dataset folder (default: %(default)s)")
    parser.add_argument("--episodes", type=int, default=20, help="to keep (default: %(default)s)")
    parser.add_argument("--image-size", type=int, default=64, help="pixels (default: %(default)s)")
    parser.add_argument("--phone", action="store_true", help="by touch, on a page of 390 x 844 pixels")
    arguments = parser.parse_args()
    asyncio.run(demonstrate(arguments.out, arguments.episodes, arguments.image_size, arguments.phone))
