"""The operator's page: one page of files beside this one, and one WebSocket, served by aiohttp in a thread of its own.

Messages of a page, each a JSON object with ``type`` (``docs/how-to/teleop.md`` has the words for users):

``hello``  first, with ``token``; ``input``  see ``hardware.teleop.input.Input``; ``order``  one of the desk's;
``drive``  to drive where nobody does; ``ping``  with ``at``, sent back; ``seen``  the ``frame`` that was drawn last

One page drives, the others watch, and may order a stop. What is malformed, unknown or out of range is refused and
counted, and if it comes from the page that drives, the arm is let go. Answers: ``welcome``, ``status`` at 10 Hz and
``pong`` as text, pictures as bytes: camera (1), number of the frame (4, big-endian), JPEG.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from hardware.teleop.access import Access
from hardware.teleop.desk import STOP, Desk
from hardware.teleop.input import parse, read
from robot.errors import PixelarmError

PAGE = Path(__file__).parent / "page"
KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
LONGEST_MESSAGE = 2048  # bytes
HELLO_S = 5.0  # in which a page must show its token
STATUS_S = 0.1
ALIVE_S = 2.0  # between pings of a connection; without an answer it is closed
MOST_PAGES, MOST_STRANGERS = 8, 16
ON_THE_WAY = 2  # pictures that a page has not drawn yet; more are not sent: the newest comes next
HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Page:
    """One connection that has shown the token."""

    def __init__(self, server: Server, socket: web.WebSocketResponse) -> None:
        self.server, self.socket = server, socket
        self.sent = self.seen = 0  # pictures
        self.fresh = asyncio.Event()  # there is a picture, or room for one
        self.refused = ""

    @property
    def drives(self) -> bool:
        return self.server.driver is self

    async def hear(self, text: str) -> None:
        """Carry out one message; raises PixelarmError for what is none."""
        message = read(text)
        kind = message.pop("type", None)
        if kind == "input":
            given = parse(message)
            if not self.drives:
                raise PixelarmError("this page only watches")
            self.server.desk.receiver.put(given)
        elif kind == "order":
            self._order(_only(message, "order"))
        elif kind == "drive":
            _only(message)
            self.server.take(self)
        elif kind == "ping":
            await self.socket.send_json({"type": "pong", "at": _count(_only(message, "at"))})
        elif kind == "seen":
            self.seen = max(self.seen, _count(_only(message, "frame")))
            self.fresh.set()
        else:
            raise PixelarmError(f"there is no message of type {str(kind)[:20]!r}")

    def _order(self, name: Any) -> None:
        desk = self.server.desk
        if not isinstance(name, str) or name not in desk.orders:
            raise PixelarmError(f"there is no order {str(name)[:20]!r}")
        if not self.drives and name != STOP:
            raise PixelarmError("this page only watches")
        desk.order(name)

    def status(self) -> dict[str, Any]:
        server = self.server
        return {
            "type": "status", "drives": self.drives, "driven": server.driver is not None, "pages": len(server.pages),
            "refused": server.counts["refused"], "last_refused": self.refused, **server.desk.report(),
        }  # fmt: skip

    async def show(self) -> None:
        """Send the status again and again."""
        while not self.socket.closed:
            await self.socket.send_json(self.status())
            await asyncio.sleep(STATUS_S)

    async def film(self) -> None:
        """Send the newest pictures, as fast as the page draws them."""
        frames, last = self.server.desk.frames, dict.fromkeys(self.server.desk.frames.names, 0)
        while not self.socket.closed:
            await self.fresh.wait()
            self.fresh.clear()
            for index, name in enumerate(frames.names):
                frame = frames.newest.get(name)
                if frame is None or frame.number == last[name] or self.sent - self.seen >= ON_THE_WAY * len(last):
                    continue
                last[name] = frame.number
                self.sent += 1
                await self.socket.send_bytes(bytes([index]) + self.sent.to_bytes(4, "big") + frame.jpeg)


class Server:
    """See the module text. ``start`` and ``stop`` it; ``driver`` is the page that drives.

    Args:
        address: to listen on; ``access`` says under which names that is reached.
        context: for https.
    """

    def __init__(
        self, desk: Desk, access: Access, address: str, port: int, context: ssl.SSLContext | None = None
    ) -> None:
        self.desk, self.access, self._address, self._port, self._context = desk, access, address, port, context
        self.pages: list[Page] = []
        self.driver: Page | None = None
        self.counts: Counter[str] = Counter()  # refused: messages; turned_away: connections
        self._strangers = 0  # connections that have not shown the token yet
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="page", daemon=True)
        self._listening, self._problem = threading.Event(), ""

    def start(self) -> None:
        """Raises PixelarmError where the port cannot be had."""
        logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
        self._thread.start()
        self._listening.wait()
        if self._problem:
            raise PixelarmError(self._problem)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join(timeout=5.0)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._listening.set()
            self._loop.close()

    async def _serve(self) -> None:
        self._ending = asyncio.Event()
        app = web.Application(middlewares=[self._guard], client_max_size=1024)
        app.router.add_get("/socket", self._on_socket)
        app.router.add_get("/{name:[a-z.]*}", self._on_file)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._address, self._port, ssl_context=self._context).start()
        except OSError as error:
            self._problem = (
                f"the page cannot be served on {self._address}:{self._port} ({error}): choose another --port"
            )
            await runner.cleanup()
            return
        self._listening.set()
        await self._ending.wait()
        for page in list(self.pages):
            await page.socket.close(code=WSCloseCode.GOING_AWAY, message=b"the program ends")
        await runner.cleanup()

    def _wake_pages(self) -> None:
        def wake() -> None:
            for page in self.pages:
                page.fresh.set()

        self._loop.call_soon_threadsafe(wake)

    # --------------------------------------------------------------------------------------------------------- requests
    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if not self.access.is_ours(request.headers.get("Host"), request.headers.get("Origin")):
            self.counts["turned_away"] += 1
            return web.Response(status=403, text="not under this name")
        return await handler(request)

    async def _on_file(self, request: web.Request) -> web.Response:
        file = PAGE / (request.match_info["name"] or "index.html")
        if file.suffix not in KINDS or file.parent != PAGE or not file.is_file():
            return web.Response(status=404, text="there is no such file")
        host = request.headers["Host"]
        socket = f"{'wss' if self.access.scheme == 'https' else 'ws'}://{host}"
        policy = f"default-src 'none'; script-src 'self'; style-src 'self'; img-src blob: data:; connect-src {socket}; "
        headers = {**HEADERS, "Content-Security-Policy": f"{policy}base-uri 'none'; frame-ancestors 'none'"}
        return web.Response(body=file.read_bytes(), content_type=KINDS[file.suffix], charset="utf-8", headers=headers)

    async def _on_socket(self, request: web.Request) -> web.StreamResponse:
        if not self.access.is_ours(request.headers.get("Host"), request.headers.get("Origin", "")):
            self.counts["turned_away"] += 1
            return web.Response(status=403, text="not from this page")
        if self._strangers >= MOST_STRANGERS:
            return web.Response(status=503, text="too many connections")
        socket = web.WebSocketResponse(max_msg_size=LONGEST_MESSAGE, heartbeat=ALIVE_S, compress=False)
        await socket.prepare(request)
        _no_delay(request)
        self._strangers += 1
        try:
            known = await self._has_token(socket)
        finally:
            self._strangers -= 1
        if not known:
            self.counts["turned_away"] += 1
            await socket.close(code=WSCloseCode.POLICY_VIOLATION, message=b"wrong or missing token")
        elif len(self.pages) >= MOST_PAGES:
            await socket.close(code=WSCloseCode.TRY_AGAIN_LATER, message=b"too many pages")
        else:
            await self._attend(Page(self, socket))
        return socket

    async def _has_token(self, socket: web.WebSocketResponse) -> bool:
        try:
            first = await socket.receive(timeout=HELLO_S)
            message = read(first.data) if first.type == WSMsgType.TEXT else {}
        except (PixelarmError, TimeoutError, asyncio.TimeoutError):
            return False
        return message.get("type") == "hello" and self.access.fits(message.get("token"))

    async def _attend(self, page: Page) -> None:
        """Hear a page until it leaves."""
        self.pages.append(page)
        self.desk.frames.watchers.add(self._wake_pages)
        if self.driver is None:
            self.take(page)
        tasks = [asyncio.ensure_future(page.show()), asyncio.ensure_future(page.film())]
        try:
            await page.socket.send_json({"type": "welcome", "drives": page.drives, "setting": self.desk.setting})
            page.fresh.set()
            async for message in page.socket:
                try:
                    if message.type != WSMsgType.TEXT:
                        raise PixelarmError("a message must be text")
                    await page.hear(message.data)
                except PixelarmError as error:
                    self._refuse(page, str(error))
        except (ConnectionError, RuntimeError):
            pass  # it left while something was sent
        finally:
            self._leave(page)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _refuse(self, page: Page, words: str) -> None:
        self.counts["refused"] += 1
        page.refused = words
        if page.drives:
            self.desk.receiver.release()

    def _leave(self, page: Page) -> None:
        self.pages.remove(page)
        if not self.pages:
            self.desk.frames.watchers.clear()  # pictures that nobody sees are not made
        if self.driver is page:
            self.driver = None
            self.desk.receiver.forget()

    def take(self, page: Page) -> None:
        """Let a page drive; raises PixelarmError if another one does."""
        if self.driver is page:
            return
        if self.driver is not None:
            raise PixelarmError("another page drives: close it first")
        self.driver = page
        self.desk.receiver.forget()


def _only(message: dict[str, Any], *names: str) -> Any:
    """The value of the only key that may be there; None where there may be none."""
    if set(message) != set(names):
        raise PixelarmError(f"expected {', '.join(names) or 'nothing more'}, got {', '.join(message)[:60]}")
    return message[names[0]] if names else None


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**53:
        raise PixelarmError("expected a whole number")
    return value


def _no_delay(request: web.Request) -> None:
    """Small messages go out at once."""
    found = request.transport.get_extra_info("socket") if request.transport else None
    if found is not None:
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
