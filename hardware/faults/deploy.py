"""``pixelarm deploy`` with what can go wrong inside of its process, for ``pixelarm faults`` alone.

It takes the same arguments, and orders from its standard input, one a line:

    late SECONDS    each inference takes so much longer; 0: as long as it takes
    clock SECONDS   the clock by which stamps are compared has jumped by so much; 0: it is right again
    disk full       no file can grow any more, as on a full disk; ``disk free``: they can
"""

from __future__ import annotations

import resource
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from robot.commands import deploy
from robot.control import inference
from robot.errors import PixelarmError


class Inside:
    """What is wrong at the moment."""

    def __init__(self) -> None:
        self.late_s = self.jump_s = 0.0

    def order(self, line: str) -> None:
        """Raises PixelarmError for what is no order."""
        what, _, how = line.strip().partition(" ")
        if what == "disk" and how in ("full", "free"):
            hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
            resource.setrlimit(resource.RLIMIT_FSIZE, (0 if how == "full" else hard, hard))
            return
        try:
            seconds = float(how)
        except ValueError:
            what = ""
        if what == "late":
            self.late_s = seconds
        elif what == "clock":
            self.jump_s = seconds
        else:
            raise PixelarmError(f"orders are late SECONDS, clock SECONDS and disk full or free; got {line.strip()!r}")

    def slowed(self, run_job: Callable[..., Any]) -> Callable[..., Any]:
        """``robot.control.inference.run_job``, which takes longer where it was told so."""

        def run(job: int, act: Callable[..., Any], observation: Any) -> Any:
            time.sleep(self.late_s)
            return run_job(job, act, observation)

        return run

    def jumped(self, now: Callable[[Any], Any], span: Callable[[float], Any]) -> Callable[[Any], Any]:
        """``rclpy.clock.Clock.now`` of a clock that was set; ``span`` makes a duration of seconds."""
        return lambda clock: now(clock) + span(self.jump_s)

    def listen(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.order(line)


def main(argv: list[str]) -> int:
    from rclpy.clock import Clock
    from rclpy.duration import Duration

    inside = Inside()
    inference.run_job = inside.slowed(inference.run_job)
    Clock.now = inside.jumped(Clock.now, lambda seconds: Duration(nanoseconds=round(seconds * 1e9)))
    threading.Thread(target=inside.listen, args=(sys.stdin,), name="orders", daemon=True).start()
    return deploy.main(argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
