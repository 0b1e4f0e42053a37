"""``pixelarm sim-bus``: an emulated SO-101 behind a pseudo-terminal, to rehearse with what ``pixelarm so101`` does."""

from __future__ import annotations

import argparse
import math
import os
import select
import signal
import sys
import time
from importlib.util import find_spec
from pathlib import Path

from hardware.feetech.emulated.bus import ORDERS, RANGES, Body, EmulatedBus, require_free
from hardware.feetech.settings import JOINTS, Settings
from robot.errors import MissingDependency, PixelarmError
from robot.files import require_file

TICK_S = 0.01
WAVE_RAD, WAVE_S = 0.3, 4.0  # what the hand of --hand does with each joint


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="pixelarm sim-bus",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Six emulated servos of an SO-101 behind a pseudo-terminal. The first line says which port to\n"
        "give to `pixelarm so101`. Ctrl-C ends it. While it runs it takes orders, one a line:\n\n  "
        + ORDERS.replace("overload NAME, ", "overload NAME,\n  "),
        epilog="example: pixelarm sim-bus --calibration so101.json --latency-ms 1",
    )
    add = made.add_argument
    add("--calibration", type=Path, metavar="FILE", help="write the calibration file that LeRobot would have written")
    add("--link", type=Path, metavar="PATH", help="make a link to the port there, and remove it at the end")
    add("--settings", type=Path, metavar="FILE", help="numbers of the arm (default: hardware/feetech/so101.yaml)")
    add("--latency-ms", type=float, default=1.0, metavar="MS", help="before each answer (default: %(default)g)")
    add("--lose", type=float, default=0.0, metavar="SHARE", help="of all answers, lost (default: 0)")
    add("--corrupt", type=float, default=0.0, metavar="SHARE", help="of all answers, one byte changed (default: 0)")
    add("--seed", type=int, default=0, help="of what is lost and changed (default: 0)")
    add("--model", action="store_true", help="the arm's MuJoCo model behind the servos: weight, and a fall when limp")
    add("--hand", action="store_true", help="a hand moves the limp joints slowly to and fro, as that of a leader")
    return made


def main(argv: list[str]) -> int:
    args = parser().parse_args(argv)
    _check(args)
    settings = Settings.load(args.settings)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends like Ctrl-C: the link is removed
    bus = EmulatedBus(settings, args.seed, args.latency_ms / 1e3, body=_body(args.model, settings))
    bus.faults.lost, bus.faults.corrupt = args.lose, args.corrupt
    try:
        if args.calibration:
            bus.write_calibration(args.calibration)
        if args.link:
            bus.link(args.link)
        print(f"port: {bus.path}", flush=True)
        print(f"try: pixelarm so101 check --port {args.link or bus.path}; orders: {ORDERS}", flush=True)
        _serve(bus, args.hand)
    finally:
        bus.close()
    return 0


def _check(args: argparse.Namespace) -> None:
    for name, value, high in (
        ("--latency-ms", args.latency_ms, 1000.0),
        ("--lose", args.lose, 1.0),
        ("--corrupt", args.corrupt, 1.0),
    ):
        if not 0.0 <= value <= high:
            raise PixelarmError(f"{name} must lie between 0 and {high:g}, got {value:g}")
    if args.model and args.hand:
        raise PixelarmError("--model and --hand do not go together: the model's joints fall, no hand holds them")
    if args.link:
        require_free(args.link)
    if args.calibration:
        require_file(args.calibration)


def _body(model: bool, settings: Settings) -> Body | None:
    if not model:
        return None
    if find_spec("mujoco") is None:
        raise MissingDependency("--model needs MuJoCo: pip install 'pixelarm[sim]', or leave it out")
    from hardware.simulated.so101_body import So101Body

    return So101Body(settings)


def _serve(bus: EmulatedBus, hand: bool) -> None:
    """Take orders and move the hand, until Ctrl-C; orders may end before."""
    listening, start, pending = True, time.monotonic(), b""
    while True:
        if listening and select.select([0], [], [], 0.0)[0]:
            data = os.read(0, 4096)  # not sys.stdin, in whose buffer a second line would wait unseen
            listening = bool(data)
            *lines, pending = (pending + data).split(b"\n")
            for line in filter(bytes.strip, lines):
                _order(bus, line.decode(errors="replace"))
        if hand:
            _wave(bus, time.monotonic() - start)
        time.sleep(TICK_S)


def _order(bus: EmulatedBus, line: str) -> None:
    try:
        print(bus.order(line), flush=True)
    except PixelarmError as error:
        print(error, file=sys.stderr, flush=True)


def _wave(bus: EmulatedBus, seconds: float) -> None:
    """Each joint on a sine of its own, from the middle of its range."""
    with bus.lock:
        bus.advance()
        for number, name in enumerate(JOINTS):
            phase = 2.0 * math.pi * (seconds / WAVE_S + number / len(JOINTS))
            low, high = RANGES[name]
            bus.servos[name].by_hand((low + high) / 2 + WAVE_RAD / (2.0 * math.pi) * 4096 * math.sin(phase))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
