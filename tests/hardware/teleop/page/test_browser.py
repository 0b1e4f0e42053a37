"""The operator's page in a real browser: what moves the arm, and what stops it."""

from __future__ import annotations

import asyncio
import io
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("aiohttp")
from browser import CHROMIUM, Browser, Tab, browser
from page_rig import Served, run, served

from hardware.teleop.desk import ORDERS, OUTCOMES, POLICY_ORDER

pytestmark = [
    pytest.mark.serial,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: sudo apt-get install chromium"),
]

PAD = """
globalThis.pad = {
  connected: true, axes: [0, -1, 0, 0], buttons: Array.from({length: 17}, () => ({pressed: false, value: 0})),
};
navigator.getGamepads = () => [pad]; true
"""
LONG_S = 30.0  # so that it is not the silence that stops the arm


@contextmanager
def ticking(made: Served) -> Iterator[None]:
    """The arm's loop, at 50 Hz."""
    ended = threading.Event()

    def tick() -> None:
        while not ended.wait(0.02):
            made.tick()

    thread = threading.Thread(target=tick)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@asynccontextmanager
async def opened(made: Served, folder: Path) -> AsyncIterator[tuple[Browser, Tab]]:
    with ticking(made):
        async with browser(folder) as found:
            tab = await found.open(made.access.urls[0])
            await tab.until("document.body.dataset.drives === 'true'", 20.0)
            yield found, tab


async def moves(made: Served, towards: tuple[float, float, float], seconds: float = 5.0) -> None:
    """Wait until the target has moved 5 mm that way."""
    end = time.monotonic() + seconds
    way = np.array(towards)
    while not (made.teleop.pressed and float((made.teleop.mapping.position - made.position) @ way) > 0.005):
        assert time.monotonic() < end, made.teleop.report()
        await asyncio.sleep(0.01)


async def stops(made: Served, seconds: float = 5.0) -> None:
    """Wait until the arm is let go, and see that it stays so."""
    end = time.monotonic() + seconds
    while made.teleop.pressed:
        assert time.monotonic() < end, made.teleop.report()
        await asyncio.sleep(0.005)
    for _ in range(20):
        await asyncio.sleep(0.01)
        assert not made.teleop.pressed


async def becomes(true: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait for it."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


def test_keys_pointer_pad_and_touch_move_the_target_and_letting_go_stops_it(tmp_path: Path) -> None:
    async def drive(made: Served) -> None:
        async with opened(made, tmp_path) as (_, tab):
            assert "token" not in await tab.evaluate("location.href")
            assert await tab.evaluate("document.querySelectorAll('#orders button').length") == 4  # stop has its own
            for code, way in (("KeyW", (1, 0, 0)), ("KeyD", (0, -1, 0)), ("KeyE", (0, 0, 1))):
                await tab.key(code, True)
                await moves(made, way)
                await tab.until("document.body.dataset.pressed === 'true'")
                await tab.key(code, False)
                await stops(made)
            await tab.key("ShiftLeft", True)  # held, and nothing moves
            await asyncio.sleep(0.2)
            assert made.teleop.pressed and made.moved() == 0
            await tab.key("Space", True)
            await asyncio.sleep(0.1)
            assert made.teleop.gripper == 1.0
            await tab.key("Space", False)
            made.desk.new_scene()  # its fingers are open: what was wanted of the old ones is forgotten
            await asyncio.sleep(0.3)
            assert made.teleop.gripper == -1.0
            await tab.key("Space", True)
            await asyncio.sleep(0.1)
            assert made.teleop.gripper == 1.0
            await tab.key("Space", False)
            await tab.key("ShiftLeft", False)
            await stops(made)
            x, y = await tab.centre("#top")
            await tab.mouse("mousePressed", x, y)
            await tab.mouse("mouseMoved", x, y - 30)  # up on the map is ahead
            await moves(made, (1, 0, 0))
            await tab.mouse("mouseReleased", x, y - 30)
            await stops(made)
            await tab.call("Emulation.setFocusEmulationEnabled", enabled=True)
            await tab.evaluate(PAD)
            await asyncio.sleep(0.1)
            await tab.evaluate("pad.buttons[5].pressed = true")
            await moves(made, (1, 0, 0))
            await tab.evaluate("pad.buttons[5].pressed = false")
            await stops(made)
            await tab.call("Emulation.setTouchEmulationEnabled", enabled=True)
            x, y = await tab.centre("#left")
            await tab.touch("touchStart", (x - 40, y))
            await moves(made, (0, 1, 0))
            await tab.touch("touchEnd")
            await stops(made)
            assert made.server.counts["refused"] == 0

    with served(LONG_S) as made:
        run(drive(made))


def test_a_phone_has_all_that_recording_needs_in_sight_and_no_button_moves_under_a_finger(tmp_path: Path) -> None:
    needed = ["#left", "#right", "#gripper", "#stop", "#top", "#scale"]
    needed += [f"#order-{name}" for name in (*ORDERS, *POLICY_ORDER, *OUTCOMES) if name != "stop"]

    async def touch(made: Served) -> None:
        made.desk.setting["orders"] = {**ORDERS, **POLICY_ORDER, **OUTCOMES}
        made.desk.orders = {**made.desk.orders, "success": lambda: made.ordered.append("success")}
        made.desk.recording = lambda: {"words": "recording, 3 steps", "troubles": []}
        async with opened(made, tmp_path) as (_, tab):
            await tab.become_phone()
            await tab.until("innerWidth === 390 && document.documentElement.scrollWidth === 390")
            await tab.until("document.getElementById('recording').textContent")
            before = {name: await tab.centre(name) for name in needed}  # raises for what cannot be touched
            thumb, gripper = before["#left"], before["#gripper"]
            await tab.fingers({0: thumb})
            await tab.until("document.body.dataset.pressed === 'true'")
            assert made.moved() == 0
            made.desk.recording = lambda: {"words": "recording, 4 steps", "troubles": ["no light"] * 3}
            await tab.until("document.getElementById('troubles').innerText")
            assert {name: await tab.centre(name) for name in needed if name != "#scale"} == {
                name: at for name, at in before.items() if name != "#scale"
            }
            await tab.fingers({0: thumb, 1: gripper})  # the other thumb
            await tab.fingers({1: gripper})
            await becomes(
                lambda: made.teleop.pressed and made.teleop.gripper == 1.0
            )  # its button holds as a stick does
            await tab.evaluate(
                "document.getElementById('gripper').dispatchEvent(new Event('contextmenu', {bubbles: true}))"
            )
            await asyncio.sleep(0.1)
            assert made.teleop.pressed  # a long touch
            await tab.fingers({})
            await stops(made)
            await tab.fingers({0: before["#order-success"]})
            await tab.fingers({})
            await becomes(lambda: made.ordered == ["success"])
            assert made.server.counts["refused"] == 0

    with served(LONG_S) as made:
        run(touch(made))


def test_leaving_the_page_with_a_key_down_stops_the_arm(tmp_path: Path) -> None:
    async def leave(made: Served) -> None:
        async with opened(made, tmp_path) as (found, tab):
            await tab.key("KeyW", True)
            await moves(made, (1, 0, 0))
            await tab.evaluate("window.dispatchEvent(new Event('blur'))")
            await stops(made)
            await tab.key("KeyW", True, repeat=True)  # the key is still down and repeats
            await stops(made)
            await tab.key("KeyW", False)

            await tab.key("KeyW", True)
            await moves(made, (1, 0, 0))
            await found.open("about:blank")  # in front of it: the page is hidden
            await tab.until("document.hidden", 3.0)
            await stops(made)
            await found.call("Target.activateTarget", targetId=tab.target)
            await tab.until("!document.hidden", 3.0)
            await stops(made)
            await tab.key("KeyW", False)

            await tab.key("KeyW", True)
            await moves(made, (1, 0, 0))
            await found.call("Target.closeTarget", targetId=tab.target)
            await stops(made)
            assert made.server.driver is None

    with served(LONG_S) as made:
        run(leave(made))


def test_a_page_or_a_browser_that_hangs_stops_the_arm(tmp_path: Path) -> None:
    async def hang(made: Served) -> None:
        async with opened(made, tmp_path) as (found, tab):
            await press(made, tab, "KeyW", (1, 0, 0))
            await tab.evaluate("(() => { const end = performance.now() + 600; while (performance.now() < end); })()")
            await stops(made)  # and does not go on
            await tab.key("KeyW", False)
            await press(made, tab, "KeyW", (1, 0, 0))
            found.signal(signal.SIGSTOP)  # no word, and no end of the connection: only the silence tells
            await stops(made)
            found.signal(signal.SIGCONT)
            await stops(made)

    with served() as made:
        run(hang(made))


async def press(made: Served, tab: Tab, code: str, way: tuple[float, float, float]) -> None:
    """Press a key until it moves the target: after 150 ms of silence, on a busy machine, it must be pressed anew."""
    for _ in range(10):
        await tab.key(code, True)
        with suppress(AssertionError):
            await moves(made, way, 0.5)
            return
        await tab.key(code, False)
    raise AssertionError(made.teleop.report())


def test_pictures_are_drawn_and_a_lost_connection_is_mended_without_moving(tmp_path: Path) -> None:
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (32, 24), (200, 30, 30)).save(file, "JPEG")

    async def watch(made: Served) -> None:
        async with opened(made, tmp_path) as (_, tab):
            made.frames.put("agentview", file.getvalue())
            await tab.until("document.querySelector('canvas.camera').width === 32")
            pixel = "Array.from(document.querySelector('canvas.camera').getContext('2d').getImageData(9, 9, 1, 1).data)"
            red, green, blue, _ = await tab.until(pixel)
            assert red > 150 and green < 80 and blue < 80
            await tab.key("KeyW", True)
            await moves(made, (1, 0, 0))
            made.server._loop.call_soon_threadsafe(lambda: made.server.driver.socket._writer.transport.abort())
            await stops(made)
            await tab.until("document.body.dataset.drives === 'true'", 8.0)
            await tab.until("Number(document.body.dataset.roundTrip) > 0")
            await tab.key("KeyW", True, repeat=True)
            await stops(made)  # it is back, and the key is still down

    with served(LONG_S) as made:
        run(watch(made))


def test_what_goes_wrong_with_a_recording_stands_in_red_until_it_is_over(tmp_path: Path) -> None:
    async def watch(made: Served) -> None:
        shown = "document.getElementById('troubles')"
        async with opened(made, tmp_path) as (_, tab):
            assert await tab.evaluate(f"getComputedStyle({shown}).display") == "none"
            made.desk.recording = lambda: {"words": "recording, 3 steps", "troubles": ["no light", "no arm"]}
            await tab.until(f"{shown}.innerText === 'no light\\nno arm'")
            assert await tab.evaluate(f"getComputedStyle({shown}).backgroundColor") == "rgb(210, 69, 69)"
            made.desk.recording = lambda: {"words": "recording, 4 steps", "troubles": []}
            await tab.until(f"getComputedStyle({shown}).display === 'none'")

    with served(LONG_S) as made:
        run(watch(made))
