"""The page's server: who is let in, who drives, and that nothing malformed moves an arm. Over real sockets."""

from __future__ import annotations

import asyncio
import json
import random
import ssl
import stat
import string
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("aiohttp")
import aiohttp
from page_rig import Client, Served, page, run, served

from hardware.teleop import access
from hardware.teleop.access import Access
from hardware.teleop.input import SILENCE_S, parse, read
from hardware.teleop.web import LONGEST_MESSAGE, PAGE, Server
from robot.errors import MissingDependency, PixelarmError


@pytest.fixture
def made() -> Iterator[Served]:
    with served() as found:
        yield found


# --------------------------------------------------------------------------------------------------------- who comes in
def test_the_page_is_served_with_nothing_from_elsewhere(made: Served) -> None:
    async def look() -> None:
        async with aiohttp.ClientSession() as session:
            for file in ("", *(path.name for path in PAGE.iterdir())):
                async with session.get(f"{made.base}/{file}") as answer:
                    assert answer.status == 200
                    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
                    assert answer.headers["Cache-Control"] == "no-store"
                    assert made.access.token not in await answer.text()
            for file in ("web.py", "../web.py", "%2e%2e/web.py", ".", "socket"):
                async with session.get(f"{made.base}/{file}") as answer:
                    assert answer.status in (403, 404) or file == "."

    run(look())
    for path in PAGE.iterdir():
        assert "//" not in path.read_text().replace("// ", "").replace("://${location.host}", ""), path


@pytest.mark.parametrize("token", ["", "x", None, 7])
def test_a_wrong_token_is_turned_away(made: Served, token: object) -> None:
    async def knock() -> None:
        async with aiohttp.ClientSession() as session:
            async with session.ws_connect(f"{made.base}/socket", headers={"Origin": made.base}) as socket:
                await socket.send_json({"type": "hello", "token": token})
                message = await socket.receive(timeout=3)
                assert message.type == aiohttp.WSMsgType.CLOSE and socket.close_code == 1008

    run(knock())
    assert made.server.pages == [] and made.server.counts["turned_away"] == 1


def test_an_input_before_the_token_is_turned_away(made: Served) -> None:
    async def knock() -> None:
        async with aiohttp.ClientSession() as session:
            async with session.ws_connect(f"{made.base}/socket", headers={"Origin": made.base}) as socket:
                await socket.send_json({"type": "input", "held": False, "sequence": 0, "sent_ms": 0})
                assert (await socket.receive(timeout=3)).type == aiohttp.WSMsgType.CLOSE

    run(knock())
    assert made.teleop.receiver.counts["accepted"] == 0


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {},  # not a browser, or one that hides where it comes from
        {"Origin": "OURS", "Host": "evil.example"},  # a name that was made to point here
        {"Origin": "http://evil.example:PORT", "Host": "evil.example:PORT"},
    ],
    ids=["origin", "null", "no origin", "host", "rebound"],
)
def test_another_origin_or_host_is_turned_away(made: Served, headers: dict[str, str]) -> None:
    sent = {name: value.replace("OURS", made.base).replace("PORT", str(made.port)) for name, value in headers.items()}

    async def knock() -> None:
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect(f"{made.base}/socket", headers=sent)
            assert refused.value.status == 403
            if "Host" in sent:
                async with session.get(f"{made.base}/", headers=sent) as answer:
                    assert answer.status == 403

    run(knock())


def test_a_second_page_watches_and_may_only_stop(made: Served) -> None:
    async def both() -> None:
        async with page(made) as first, page(made) as second:
            assert (await first.status())["drives"]
            await second.say(False)
            await second.say(True, linear=[1, 0, 0])
            await second.send(type="order", order="command")
            await second.send(type="drive")
            status = await second.status(lambda found: found["refused"] == 4)
            assert not status["drives"] and status["driven"] and status["pages"] == 2
            assert made.tick() == (False, None)
            await second.send(type="order", order="stop")
            await first.send(type="order", order="clear")
            await first.status(lambda found: len(made.ordered) == 2)
        assert sorted(made.ordered) == ["clear", "stop"]

    run(both())


def test_who_watched_may_drive_once_nobody_does(made: Served) -> None:
    async def change() -> None:
        async with page(made) as second:
            pass
        async with page(made) as first:
            await first.status()
            async with page(made) as second:
                assert not (await second.status())["drives"]
                await first.socket.close()
                await second.status(lambda found: not found["driven"])
                await second.send(type="drive")
                assert (await second.status(lambda found: found["drives"]))["pages"] == 1

    run(change())


# --------------------------------------------------------------------------------------------------- what stops the arm
async def hold(client: Client, made: Served) -> None:
    """Hold until the target has moved 1 cm."""
    end = time.monotonic() + 5.0
    while made.moved() < 0.01:
        assert time.monotonic() < end, made.teleop.words
        if not made.teleop.pressed:
            await client.say(False)
        await client.say(True, linear=[1, 0, 0])
        await asyncio.sleep(0.02)
        made.tick()


@pytest.mark.parametrize("how", ["released", "closed", "silent", "malformed", "binary"])
def test_what_stops_the_arm(how: str) -> None:
    async def stop(made: Served) -> None:
        async with page(made) as client:
            await hold(client, made)
            if how == "released":
                await client.say(False)
            elif how == "closed":
                await client.socket.close()
            elif how == "malformed":
                await client.socket.send_str("{}")
            elif how == "binary":
                await client.socket.send_bytes(b"\x00")
            made.until(lambda: not made.teleop.pressed, 3.0)
            if how in ("malformed", "binary"):  # and it stays so while the device goes on holding
                for _ in range(5):
                    await client.say(True, linear=[1, 0, 0])
                    await asyncio.sleep(0.02)
                    assert made.tick() == (False, None)

    with served(SILENCE_S if how == "silent" else 30.0) as made:
        run(stop(made))


def test_a_page_that_comes_back_with_a_key_down_moves_nothing(made: Served) -> None:
    async def again() -> None:
        async with page(made) as client:
            await hold(client, made)
        async with page(made) as client:
            for _ in range(15):
                await client.say(True, linear=[1, 0, 0])
                await asyncio.sleep(0.02)
                assert made.tick() == (False, None)
            await hold(client, made)

    run(again())


def test_an_oversized_message_ends_the_connection(made: Served) -> None:
    async def shout() -> None:
        async with page(made) as client:
            await hold(client, made)
            await client.socket.send_str(json.dumps({"type": "input", "junk": "x" * LONGEST_MESSAGE}))
            await asyncio.sleep(0.1)
            assert made.tick() == (False, None) and made.server.pages == []

    run(shout())


# ------------------------------------------------------------------------------------------------------------ messages
GOOD = {"held": True, "sequence": 1, "sent_ms": 5.0}
BAD = [
    "", "[]", "nul", "{", '{"type": "input"}', '{"a": 1, "a": 2}', "[" * 1500, '{"x": NaN}', '{"x": Infinity}',
    *(
        json.dumps({**GOOD, **change})
        for change in (
            {"unknown": 1}, {"held": 1}, {"held": "true"}, {"sequence": -1}, {"sequence": 1.5}, {"sequence": True},
            {"sequence": 10**30}, {"sent_ms": -1}, {"sent_ms": "5"}, {"linear": [1, 0]}, {"linear": [1.01, 0, 0]},
            {"linear": [0, 0, "1"]}, {"linear": {"0": 1}}, {"linear": [True, 0, 0]}, {"angular": [0, 0, -2]},
            {"drag": [2, 0, 0]}, {"drag": [0, 0, 0], "linear": [1, 0, 0]}, {"gripper": 2}, {"gripper": [1]},
            {"frame": "world"}, {"frame": ["base"]}, {"scale": 0.1}, {"scale": 1.5}, {"linear": None},
        )
    ),
    '{"held": true, "sequence": 1, "sent_ms": 1e999}',
    '{"held": true, "sequence": 1, "sent_ms": 5, "linear": [1e308, 0, 0]}',
]  # fmt: skip


@pytest.mark.parametrize("text", BAD, ids=range(len(BAD)))
def test_a_message_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(PixelarmError):
        parse(read(text))


def test_a_good_message_is_read_whole() -> None:
    more = {"drag": [0.1, 0, 0], "gripper": -1, "frame": "tool", "scale": 0.2, "angular": [0, 0, 1]}
    given = parse(read(json.dumps({**GOOD, **more})))
    assert (given.held, given.sequence, given.sent_ms, given.drag, given.gripper) == (True, 1, 5.0, (0.1, 0, 0), -1.0)
    assert (given.frame, given.scale, given.angular, given.linear) == ("tool", 0.2, (0, 0, 1), (0, 0, 0))


def fuzzed(random_: random.Random) -> str:
    """Like a message, with something wrong: no text of these is an input that holds."""
    message = {"type": "input", **GOOD, "linear": [1, 0, 0], "sequence": random_.randrange(1000)}
    choice = random_.randrange(5)
    if choice == 0:
        return "".join(random_.choices(string.printable, k=random_.randrange(200)))
    if choice == 1:
        text = json.dumps(message)
        return text[: random_.randrange(len(text))]
    if choice == 2:
        wrong = random_.choice([None, [], {}, "x", -5, 1e300, True, [[1], 2, 3], float("nan")])
        return json.dumps({**message, random_.choice(["held", "linear", "sent_ms", "frame"]): wrong, "extra": wrong})
    if choice == 3:
        return json.dumps({**message, "".join(random_.choices(string.ascii_letters, k=5)): random_.random()})
    return json.dumps({**message, "type": random_.choice(["", "Input", "orders", "drive ", None, 3, ["input"]])})


def test_ten_thousand_fuzzed_messages_move_nothing(made: Served) -> None:
    async def fuzz() -> None:
        random_, sent = random.Random(0), 10_000
        async with page(made) as client:
            await client.say(False)  # so that one input that holds would move the arm
            await client.status()
            for i in range(sent):
                await client.socket.send_str(fuzzed(random_))
                if i % 500 == 0:
                    assert made.tick() == (False, None)
                    await asyncio.sleep(0)
            async with asyncio.timeout(15):
                await client.status(lambda found: found["refused"] >= sent)
            assert made.tick() == (False, None) and made.ordered == []
            assert made.server.counts["refused"] == sent and made.teleop.receiver.counts["accepted"] == 1
            await hold(client, made)  # and the page is still there

    run(fuzz())


async def picture(client: Client, seconds: float) -> bytes | None:
    """The next picture; None if none comes in so long."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        try:
            message = await client.socket.receive(timeout=left)
        except asyncio.TimeoutError:
            return None
        if message.type == aiohttp.WSMsgType.BINARY:
            return bytes(message.data)
    return None


def test_pictures_are_sent_as_fast_as_they_are_drawn_and_no_faster(made: Served) -> None:
    async def watch() -> None:
        async with page(made) as client:
            await client.status()
            for number in range(2):
                made.frames.put("agentview", b"picture %d" % number)
                assert await picture(client, 3.0) == bytes([0, 0, 0, 0, number + 1]) + b"picture %d" % number
            for number in range(2, 10):
                made.frames.put("agentview", b"picture %d" % number)
                await asyncio.sleep(0.01)
            assert await picture(client, 0.4) is None  # two are on the way
            await client.send(type="seen", frame=1)
            assert await picture(client, 3.0) == b"\x00\x00\x00\x00\x03picture 9"  # the newest; others are gone

    run(watch())


# ---------------------------------------------------------------------------------------------------------- the network
def test_a_port_in_use_is_said_in_words(made: Served) -> None:
    with pytest.raises(PixelarmError, match="choose another --port"):
        Server(made.desk, made.access, "127.0.0.1", made.port).start()


def test_tokens_are_new_each_time_and_behind_the_hash() -> None:
    first, second = Access.made(80), Access.made(80)
    assert first.token != second.token and len(first.token) >= 24
    assert first.urls[0] == f"http://127.0.0.1:80/#token={first.token}"


def test_the_certificate_is_made_here_and_its_key_is_private(tmp_path: Path) -> None:
    import shutil

    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    context, shown = access.certificate(("127.0.0.1", "pad.local"), tmp_path / "tls")
    assert isinstance(context, ssl.SSLContext) and shown.count(":") == 31
    assert stat.S_IMODE((tmp_path / "tls" / "key.pem").stat().st_mode) == 0o600
    assert access.certificate(("127.0.0.1", "pad.local"), tmp_path / "tls")[1] == shown  # kept
    assert access.certificate(("127.0.0.1", "other.local"), tmp_path / "tls")[1] != shown  # made for other names


def test_without_openssl_the_words_say_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(MissingDependency, match="leave --lan out"):
        access.certificate(("127.0.0.1",), tmp_path)


def test_the_page_over_https(tmp_path: Path, made: Served) -> None:
    from page_rig import free_port

    context, _ = access.certificate(("127.0.0.1",), tmp_path)
    port = free_port()
    allowed = Access.made(port, ("127.0.0.1",), "https")
    server = Server(made.desk, allowed, "127.0.0.1", port, context)
    server.start()

    async def look() -> None:
        trusting = ssl.create_default_context(cafile=str(tmp_path / "certificate.pem"))
        async with aiohttp.ClientSession() as session:
            async with session.get(f"https://127.0.0.1:{port}/", ssl=trusting) as answer:
                assert f"connect-src wss://127.0.0.1:{port}" in answer.headers["Content-Security-Policy"]
            headers = {"Origin": f"https://127.0.0.1:{port}"}
            async with session.ws_connect(f"https://127.0.0.1:{port}/socket", ssl=trusting, headers=headers) as socket:
                await socket.send_json({"type": "hello", "token": allowed.token})
                assert (await socket.receive_json(timeout=3))["type"] in ("welcome", "status")

    try:
        run(look())
    finally:
        server.stop()


def test_a_drag_of_the_page_moves_the_target_to_it() -> None:
    async def drag(made: Served) -> None:
        async with page(made) as client:
            await client.say(False)
            end = time.monotonic() + 5.0
            while abs(made.moved() - 0.02) > 1e-6:
                assert time.monotonic() < end, made.teleop.words
                await client.say(True, drag=[0, 0.02, 0])
                await asyncio.sleep(0.02)
                made.tick()
            assert made.teleop.mapping.position - made.position == pytest.approx(np.array([0, 0.02, 0]), abs=1e-6)

    with served(30.0) as made:
        run(drag(made))
