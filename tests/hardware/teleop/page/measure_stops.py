"""Measures how long the arm goes on when an operator's page falls silent: ``python .../page/measure_stops.py``.

The simulated arm, its arbiter, the program and headless Chromium, as a user starts them. A key drives the hand; then it
is let go, the page loses the focus, is hidden, hangs or is closed, or all processes of the browser are stopped, which a
cut network looks like too: no word, and no end of the connection. The page itself says when it is hidden and when it
hangs, since a browser takes its time until then. Two times are taken from there, of one clock: to the first command on
the arm's topic that goes back, and to when the hand moves by no more than 5 mm/s. A press that moved nothing, since the
arm's state was late, is counted as refused.
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

RESTS_M_S, MOVES_M_S = 0.005, 0.05
AFTER_S, MOVES_S = 1.2, 0.6
HANG = "(() => { const start = Date.now(); while (Date.now() < start + 800); return start; })()"
LISTEN = """(() => {
    const left = () => { window.leftAt ||= Date.now(); };
    document.addEventListener("visibilitychange", left);
    addEventListener("blur", left); // whichever the browser says first
})()"""


class Ears:
    """Commands, and how the hand moves; times are of this process, as messages come."""

    def __init__(self) -> None:
        from geometry_msgs.msg import PoseStamped

        self.targets: list[tuple[float, np.ndarray]] = []  # s, (3,) m
        self.motion: list[tuple[float, np.ndarray]] = []  # s, (3,) m/s
        self._tip, self._tip_s = np.zeros(3), 0.0
        Listener("ears", [
            (PoseStamped, "target_pose", self._on_target, 50, True),
            (PoseStamped, "sim_arm/tip", self._on_tip, 50, False),
        ])  # fmt: skip

    def _on_target(self, message: Any) -> None:
        point = message.pose.position
        self.targets.append((time.monotonic(), np.array([point.x, point.y, point.z])))

    def _on_tip(self, message: Any) -> None:
        point, stamp = message.pose.position, message.header.stamp
        at, at_s = np.array([point.x, point.y, point.z]), stamp.sec + 1e-9 * stamp.nanosec
        if self._tip_s and at_s > self._tip_s:
            self.motion.append((time.monotonic(), (at - self._tip) / (at_s - self._tip_s)))
        self._tip, self._tip_s = at, at_s

    def after(self, event_s: float) -> tuple[float, float] | None:
        """s from the event to the first command against the motion, and to rest; None: nothing moved then."""
        before = [velocity for at_s, velocity in self.motion if event_s - 0.1 < at_s <= event_s]
        if not before or np.linalg.norm(before[-1]) < MOVES_M_S:
            return None
        along = np.mean(before, axis=0)
        steps = zip(self.targets, self.targets[1:])
        back = [at_s for (_, a), (at_s, b) in steps if at_s > event_s and (b - a) @ along < 0]
        moving = [at_s for at_s, velocity in self.motion if at_s > event_s and np.linalg.norm(velocity) > RESTS_M_S]
        assert back, "nothing stopped the arm"
        return back[0] - event_s, max(moving, default=event_s) - event_s


async def one(tab: Tab, ears: Ears, event: Callable[[], Awaitable[Any]], code: str) -> tuple[float, float] | None:
    """ms from the event to the first command against the motion, and to rest. None: the press was refused, since the
    arm's state was late. An event that returns a number says when it was, ms since 1970."""
    ears.targets.clear()
    ears.motion.clear()
    await tab.key(code, True)
    await asyncio.sleep(MOVES_S)
    event_s, passed = time.monotonic(), asyncio.ensure_future(event())
    await asyncio.sleep(AFTER_S)
    if isinstance(at_ms := await passed, int | float):
        event_s = time.monotonic() - (time.time() - 1e-3 * at_ms)
    found = ears.after(event_s)
    return None if found is None else (1e3 * found[0], 1e3 * found[1])


async def measure(count: int) -> dict[str, list[tuple[float, float] | None]]:
    ears, found = Ears(), dict[str, list[tuple[float, float] | None]]()

    def keep(name: str, times: tuple[float, float] | None) -> None:
        found.setdefault(name, []).append(times)
        print(name, "refused" if times is None else [round(ms) for ms in times], flush=True)

    async with opened_page("--image-size", "64") as tab:
        browser = tab._browser
        await tab.evaluate(LISTEN)

        async def blur() -> None:
            await tab.evaluate("window.dispatchEvent(new Event('blur'))")

        async def hide() -> float:
            await browser.open("about:blank")
            return float(await tab.until("window.leftAt"))

        code = "KeyA"
        events: dict[str, Callable[[], Awaitable[Any]]] = {
            "the key is released": lambda: tab.key(code, False),
            "the page loses the focus": blur,
            "the page is hidden": hide,
            "the page hangs": lambda: tab.evaluate(HANG),
            "the browser is stopped": lambda: stopped(browser),
        }
        for _ in range(count):
            for name, event in events.items():
                keep(name, await one(tab, ears, event, code))
                await browser.call("Target.activateTarget", targetId=tab.target)
                await tab.evaluate("window.leftAt = 0")
                await tab.key(code, False)
                await asyncio.sleep(0.5)
                code = {"KeyA": "KeyD", "KeyD": "KeyA"}[code]  # to and fro, within the middle of the workspace
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
    print("| event | n | first command against the motion, p50 / max, ms | at rest, p50 / max, ms |\n|---|---|---|---|")
    for name, times in found.items():
        if moved := [t for t in times if t is not None]:
            cells = [f"{np.median(column):.0f} / {max(column):.0f}" for column in zip(*moved)]
            refused = f" ({len(times) - len(moved)} refused)" if len(moved) < len(times) else ""
            print(f"| {name} | {len(moved)}{refused} | {' | '.join(cells)} |")
    about = {"git": git_commit(), **hardware(), "load": os.getloadavg()[0]}
    print(json.dumps(about))
    if args.out:
        write_json(args.out, {**about, "ms": found})


if __name__ == "__main__":
    main()
