"""The operator's page served over a real socket, with an arm that is made up and real time."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import aiohttp
import numpy as np
from teleop_rig import DOWN, HERE, arm

from hardware.teleop.access import Access
from hardware.teleop.desk import ORDERS, Desk, Frames
from hardware.teleop.input import SILENCE_S
from hardware.teleop.mapping import Shape
from hardware.teleop.teleop import Teleop
from hardware.teleop.web import Server


class Served:
    """A server on a free port of loopback. ``tick`` asks what the arm would be told now.

    ``silence_s``: long where something else than silence is to stop the arm, however busy the machine is.
    """

    def __init__(self, silence_s: float) -> None:
        profile = arm()
        shape = Shape.of(profile.limits)
        self.teleop = Teleop(profile, shape, time.monotonic)
        self.teleop.receiver.silence_s = silence_s
        self.teleop.receiver.forget()
        self.ordered: list[str] = []
        orders: dict[str, Callable[[], None]] = {name: (lambda name=name: self.ordered.append(name)) for name in ORDERS}  # type: ignore[misc]
        setting = {
            "arm": profile.name, "cameras": ["agentview"], "orders": ORDERS, "leash_m": shape.leash_m,
            "box_low": shape.box_low.tolist(), "box_high": shape.box_high.tolist(),
        }  # fmt: skip
        self.frames = Frames(["agentview"])
        self.desk = Desk(self.teleop, self.frames, orders, setting)
        self.port = free_port()
        self.access = Access.made(self.port)
        self.server = Server(self.desk, self.access, "127.0.0.1", self.port)
        self.base, self.position = f"http://127.0.0.1:{self.port}", HERE.copy()

    def tick(self) -> tuple[bool, Any]:
        stamp = time.time_ns()
        self.teleop.put_state("eef_pos", self.position, stamp)
        self.teleop.put_state("eef_quat", DOWN, stamp)
        self.teleop.put_status({"mode": "teleop", "rule": "released", "words": "", "gripper": None})
        return self.teleop.tick()

    def until(self, what: Callable[[], bool], timeout_s: float = 3.0) -> float:
        """Tick until something holds; the seconds that it took."""
        start = time.monotonic()
        while time.monotonic() - start < timeout_s:
            self.tick()
            if what():
                return time.monotonic() - start
            time.sleep(0.01)
        raise AssertionError("it did not come to pass")

    def moved(self) -> float:
        """How far the target is from where the arm stands, in m."""
        return float(np.linalg.norm(self.teleop.mapping.position - self.position)) if self.teleop.pressed else 0.0


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def served(silence_s: float = SILENCE_S) -> Iterator[Served]:
    made = Served(silence_s)
    made.server.start()
    try:
        yield made
    finally:
        made.server.stop()


class Client:
    """A page without a browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket, self._sequence = socket, itertools.count()

    async def send(self, **message: Any) -> None:
        await self.socket.send_json(message)

    async def say(self, held: bool, **wanted: Any) -> None:
        sent = time.monotonic() * 1e3
        await self.send(type="input", held=held, sequence=next(self._sequence), sent_ms=sent, **wanted)

    async def status(self, which: Callable[[dict[str, Any]], bool] = lambda found: True) -> dict[str, Any]:
        """The next status for which something holds."""
        async with asyncio.timeout(3.0):
            async for message in self.socket:
                if message.type == aiohttp.WSMsgType.TEXT:
                    found: dict[str, Any] = message.json()
                    if found["type"] == "status" and which(found):
                        return found
        raise AssertionError(f"the connection was closed: {self.socket.close_code}")


@asynccontextmanager
async def page(made: Served, token: str | None = None, origin: str | None = None, **headers: str):
    async with aiohttp.ClientSession() as session:
        sent = {"Origin": made.base if origin is None else origin, **headers}
        async with session.ws_connect(f"{made.base}/socket", headers=sent) as socket:
            client = Client(socket)
            await client.send(type="hello", token=made.access.token if token is None else token)
            yield client


def run(what: Coroutine[Any, Any, None]) -> None:
    asyncio.run(what)
