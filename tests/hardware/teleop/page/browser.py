"""Chromium without a window, driven over its DevTools protocol: no package is needed but aiohttp."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--mute-audio",
    "--disable-extensions", "--disable-background-networking", "--remote-debugging-port=0", "--window-size=1000,900",
)  # fmt: skip
START_S = 30.0
PHONE = (390, 844)  # CSS pixels


class Refused(Exception):
    """The browser's answer to a command was an error."""


class Tab:
    """One tab, with its keyboard and pointer."""

    def __init__(self, browser: Browser, session: str, target: str) -> None:
        self._browser, self._session, self.target = browser, session, target
        self.down: dict[int, tuple[float, float]] = {}  # fingers on the screen

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return await self._browser.call(method, self._session, **parameters)

    async def evaluate(self, code: str) -> Any:
        answer = await self.call("Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise Refused(str(answer["exceptionDetails"]))
        return answer["result"].get("value")

    async def until(self, code: str, timeout_s: float = 10.0) -> Any:
        end = time.monotonic() + timeout_s
        while True:
            with suppress(Refused):  # the page is not there yet
                if value := await self.evaluate(code):
                    return value
            assert time.monotonic() < end, f"it did not come to pass: {code}"
            await asyncio.sleep(0.03)

    async def key(self, code: str, down: bool, repeat: bool = False) -> None:
        key = code.removeprefix("Key").lower() if code.startswith("Key") else code.removesuffix("Left")
        kind = "rawKeyDown" if down else "keyUp"
        await self.call("Input.dispatchKeyEvent", type=kind, code=code, key=key, autoRepeat=repeat)

    async def mouse(self, kind: str, x: float, y: float) -> None:
        held = 0 if kind == "mouseReleased" else 1
        await self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=held, clickCount=1)

    async def touch(self, kind: str, *points: tuple[float, float]) -> None:
        await self.call("Input.dispatchTouchEvent", type=kind, touchPoints=[{"x": x, "y": y} for x, y in points])

    async def become_phone(self) -> None:
        """A small upright screen that is touched."""
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=PHONE[0], height=PHONE[1], deviceScaleFactor=3, mobile=True
        )
        await self.call("Emulation.setTouchEmulationEnabled", enabled=True, maxTouchPoints=5)
        await self.call("Emulation.setFocusEmulationEnabled", enabled=True)

    async def fingers(self, down: dict[int, tuple[float, float]]) -> None:
        """These fingers are on the screen from now on, number -> place, and no others: put, moved or lifted."""
        lifted = {number: at for number, at in self.down.items() if number not in down}
        for kind, which in (
            ("touchEnd", lifted),  # those that are lifted, and no others
            ("touchStart" if down.keys() - self.down.keys() else "touchMove", down if down != self.down else {}),
        ):
            points = [{"id": number, "x": x, "y": y} for number, (x, y) in which.items()]
            if points:
                await self.call("Input.dispatchTouchEvent", type=kind, touchPoints=points)
        self.down = dict(down)

    async def centre(self, selector: str) -> tuple[float, float]:
        """Of what a finger can touch: raises if it is out of sight, or something lies over it."""
        found = await self.evaluate(
            f"(() => {{ const e = document.querySelector('{selector}'), b = e.getBoundingClientRect();"
            " const at = [b.left + b.width / 2, b.top + b.height / 2], top = document.elementFromPoint(...at);"
            " return top && (e === top || e.contains(top)) ? at : null; })()"
        )
        if found is None:
            raise Refused(f"{selector} cannot be touched: it is out of sight, or something lies over it")
        return found[0], found[1]


class Browser:
    """Commands to the whole browser."""

    def __init__(self, process: subprocess.Popen[bytes], socket: aiohttp.ClientWebSocketResponse) -> None:
        self.process, self._socket, self._numbers = process, socket, itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._reader = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        async for message in self._socket:
            found = message.json()
            waiting = self._waiting.pop(found.get("id", 0), None)
            if waiting is not None and not waiting.done():
                waiting.set_result(found)

    async def call(self, method: str, session: str = "", **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        message = {"id": number, "method": method, "params": parameters, **({"sessionId": session} if session else {})}
        await self._socket.send_json(message)
        answer = await asyncio.wait_for(self._waiting[number], 15.0)
        if "error" in answer:
            raise Refused(f"{method}: {answer['error']}")
        result: dict[str, Any] = answer["result"]
        return result

    async def open(self, url: str) -> Tab:
        target = (await self.call("Target.createTarget", url=url))["targetId"]
        session = (await self.call("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        return Tab(self, session, target)

    def signal(self, number: int) -> None:
        """To every process of the browser."""
        os.killpg(self.process.pid, number)


@asynccontextmanager
async def browser(folder: Path) -> AsyncIterator[Browser]:
    """A browser with a profile of its own in ``folder``."""
    assert CHROMIUM is not None
    command = [CHROMIUM, *OPTIONS, f"--user-data-dir={folder}", "about:blank"]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, stdout=quiet, stderr=quiet, start_new_session=True)
    try:
        port = folder / "DevToolsActivePort"
        end = time.monotonic() + START_S
        while not (port.exists() and port.read_text().count("\n")):
            assert process.poll() is None and time.monotonic() < end, "the browser did not start"
            await asyncio.sleep(0.05)
        number, path = port.read_text().split()
        async with aiohttp.ClientSession() as session:
            async with session.ws_connect(f"ws://127.0.0.1:{number}{path}", max_msg_size=2**24) as socket:
                made = Browser(process, socket)
                yield made
                made._reader.cancel()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGCONT)
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)
