"""Measures how long the arm goes on when an operator's page falls silent: ``python .../page/measure_stops.py``.

The simulated arm, its arbiter, the program and headless Chromium, as a user starts them. A key drives the hand; then it
is let go, the page loses the focus, is hidden, hangs or is closed, or all processes of the browser are stopped, which a
cut network looks like too: no word, and no end of the connection. Two times are taken from there, of one clock: to the
last command on the arm's topic that changes, and to when the hand moves by no more than 5 mm/s (its speed at the key is
some 0.3 m/s).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path[:0] = [str(Path(__file__).parent)]

from live import Listener, opened_page  # noqa: E402

from browser import Browser, Tab  # noqa: E402  # isort: skip
from robot.files import write_json  # noqa: E402
from robot.provenance import git_commit, hardware  # noqa: E402

RESTS_M_S, AFTER_S, MOVES_S = 0.005, 1.2, 0.6
HANG = "(() => { const end = performance.now() + 800; while (performance.now() < end); })()"


class Ears:
    """When commands changed, and when the hand moved."""

    def __init__(self) -> None:
        from geometry_msgs.msg import PoseStamped

        self.changed_s: list[float] = []
        self.moving_s: list[float] = []
        self._place: tuple[float, ...] = ()
        self._tip, self._tip_s = np.zeros(3), 0.0
        Listener("ears", [
            (PoseStamped, "target_pose", self._on_target, 50, True),
            (PoseStamped, "sim_arm/tip", self._on_tip, 50, False),
        ])  # fmt: skip

    def _on_target(self, message: Any) -> None:
        point = message.pose.position
        if (place := (point.x, point.y, point.z)) != self._place:
            self.changed_s.append(time.monotonic())
            self._place = place

    def _on_tip(self, message: Any) -> None:
        point, stamp = message.pose.position, message.header.stamp
        at, at_s = np.array([point.x, point.y, point.z]), stamp.sec + 1e-9 * stamp.nanosec
        if self._tip_s and np.linalg.norm(at - self._tip) > RESTS_M_S * (at_s - self._tip_s):
            self.moving_s.append(time.monotonic())
        self._tip, self._tip_s = at, at_s


async def one(tab: Tab, ears: Ears, event: Callable[[], Awaitable[Any]], code: str) -> tuple[float, float] | None:
    """ms from the event to the last change of a command, and to rest. None: the press was refused, since the arm's
    state was late."""
    await tab.key(code, True)
    await asyncio.sleep(MOVES_S)
    started_s = time.monotonic()
    if not ears.moving_s or started_s - ears.moving_s[-1] > 0.1:
        await tab.key(code, False)
        return None
    asked = asyncio.ensure_future(event())
    await asyncio.sleep(AFTER_S)
    await asked
    last = [max(times, default=started_s) for times in (ears.changed_s, ears.moving_s)]
    return tuple(1e3 * max(0.0, at - started_s) for at in last)  # type: ignore[return-value]


async def measure(count: int) -> dict[str, list[tuple[float, float]]]:
    ears, found = Ears(), dict[str, list[tuple[float, float]]]()

    def keep(name: str, times: tuple[float, float] | None) -> None:
        found.setdefault(name, []).extend([] if times is None else [times])
        print(name, "refused" if times is None else [round(ms) for ms in times], flush=True)

    async with opened_page("--image-size", "64") as tab:
        browser = tab._browser
        for i in range(count):
            code = ("KeyA", "KeyD")[i % 2]

            async def blur() -> None:
                await tab.evaluate("window.dispatchEvent(new Event('blur'))")

            events: dict[str, Callable[[], Awaitable[Any]]] = {
                "the key is released": lambda code=code: tab.key(code, False),  # type: ignore[misc]
                "the page loses the focus": blur,
                "the page is hidden": lambda: browser.open("about:blank"),
                "the page hangs": lambda: tab.evaluate(HANG),
                "the browser is stopped": lambda: stopped(browser),
            }
            for name, event in events.items():
                keep(name, await one(tab, ears, event, code))
                await browser.call("Target.activateTarget", targetId=tab.target)
                await tab.key(code, False)
                await asyncio.sleep(0.5)
    for _ in range(max(1, count // 3)):
        async with opened_page("--image-size", "64") as tab:
            close = lambda tab=tab: tab._browser.call("Target.closeTarget", targetId=tab.target)  # noqa: E731
            keep("the page is closed", await one(tab, ears, close, "KeyA"))
    return found


async def stopped(browser: Browser) -> None:
    browser.signal(signal.SIGSTOP)
    await asyncio.sleep(0.9)
    browser.signal(signal.SIGCONT)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=12, help="of each event (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="write the numbers there, as JSON")
    args = parser.parse_args()
    found = asyncio.run(measure(args.count))
    print("| event | n | last command that changes, p50 / max, ms | at rest, p50 / max, ms |\n|---|---|---|---|")
    for name, times in found.items():
        if times:
            cells = [f"{np.median(column):.0f} / {max(column):.0f}" for column in zip(*times)]
            print(f"| {name} | {len(times)} | {' | '.join(cells)} |")
    about = {"git": git_commit(), **hardware(), "load": os.getloadavg()[0]}
    print(json.dumps(about))
    if args.out:
        write_json(args.out, {**about, "ms": found})


if __name__ == "__main__":
    main()
