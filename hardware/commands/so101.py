"""``pixelarm so101``: look at an SO-101 over its own bus, read it, fold it, let it follow a leader."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from hardware.commands import so101_follow, so101_look, so101_record, so101_run, so101_serve
from robot.errors import PixelarmError

PARTS: dict[str, tuple[Callable[[argparse.Namespace], int], str]] = {
    "check": (so101_look.check, "ids, firmware, supply, temperatures, calibration, bus time; moves and writes nothing"),
    "read": (so101_look.read, "joints, currents and temperatures as they change; moves and writes nothing"),
    "fold": (so101_follow.fold, "go slowly to the rest pose, then let go; without --yes it shows the way only"),
    "serve": (so101_serve.serve, "a driver of ROS 2 for it (profile so101_bus); without --yes it only listens"),
    "run": (so101_run.run, "a policy on it, without ROS; --simulated rehearses; without --yes nothing moves"),
    "follow": (so101_follow.follow_leader, "let an arm follow a leader arm; without --yes nothing is written to it"),
}
EPILOG = """\
pixelarm so101 check --port PORT [--calibration FILE] [--reads N] [--json FILE]
pixelarm so101 read --port PORT [--calibration FILE] [--rate HZ] [--seconds S]
pixelarm so101 fold --port PORT [--calibration FILE] [--yes]
pixelarm so101 serve --port PORT [--calibration FILE] [--rate HZ] [--yes]
pixelarm so101 run BUNDLE --port PORT --camera NAME=DEVICE ... [--calibration FILE] [--yes]
pixelarm so101 run BUNDLE --simulated [--episodes N]
pixelarm so101 follow --leader PORT --follower PORT [--leader-calibration FILE] [--follower-calibration FILE]
                      [--rate HZ] [--seconds S] [--release] [--yes] [--json FILE]
                      [--record FOLDER --contract WHAT [--camera NAME=DEVICE ...]]

`pixelarm sim-bus` is an emulated arm to try them on. `pixelarm so101 check --help` explains one of them.
Only fold, serve, run and follow write to the servos that they move, with --yes. Whatever goes wrong, the arm holds:
only fold switches the torque off. A leader's torque goes off with --release alone."""


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="pixelarm so101",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="An SO-101 over its own serial bus, without ROS.",
        epilog=EPILOG,
    )
    parts = made.add_subparsers(dest="part", metavar="check|read|fold|serve|run|follow", required=True)
    made_parts = {
        name: parts.add_parser(name, allow_abbrev=False, help=text, description=text)
        for name, (_, text) in PARTS.items()
    }
    for name in ("check", "read", "fold", "serve"):
        _one_arm(made_parts[name])
    _check(made_parts["check"])
    _paced(made_parts["read"], 10.0, 50.0)
    made_parts["fold"].add_argument("--yes", action="store_true", help="really move; support the arm at the end")
    _serve(made_parts["serve"])
    so101_run.arguments(made_parts["run"])
    _follow(made_parts["follow"])
    for part in made_parts.values():
        part.add_argument(
            "--settings", type=Path, metavar="FILE", help="numbers of the arm (default: so101.yaml, shipped)"
        )
        part.add_argument(
            "--timeout-ms", type=float, default=20.0, metavar="MS",
            help="how long to wait for an answer, before it is asked for again (default: %(default)g)",
        )  # fmt: skip
    return made


def _one_arm(part: argparse.ArgumentParser) -> None:
    part.add_argument("--port", required=True, metavar="PORT", help="serial port of the arm, such as /dev/ttyACM0")
    part.add_argument(
        "--calibration", type=Path, metavar="FILE", help="LeRobot's file, compared with the servos' memory"
    )


def _check(part: argparse.ArgumentParser) -> None:
    part.add_argument(
        "--reads", type=int, default=200, metavar="N", help="to measure the bus by (default: %(default)s)"
    )
    part.add_argument("--json", type=Path, metavar="FILE", help="write everything found there")


def _paced(part: argparse.ArgumentParser, rate: float, most: float) -> None:
    part.add_argument("--rate", type=float, default=rate, metavar="HZ", help=f"at most {most:g} (default: %(default)g)")
    part.add_argument("--seconds", type=float, default=float("inf"), metavar="S", help="default: until Ctrl-C")


def _serve(part: argparse.ArgumentParser) -> None:
    part.add_argument("--rate", type=float, default=60.0, metavar="HZ", help="of the bus (default: %(default)g)")
    part.add_argument("--yes", action="store_true", help="really move the arm")
    part.add_argument("--simulated", action="store_true", help="an emulated bus: fast, and set back at each scene")
    part.add_argument("--network", action="store_true", help="let other machines discover it")


def _follow(part: argparse.ArgumentParser) -> None:
    for arm in ("leader", "follower"):
        part.add_argument(f"--{arm}", required=True, metavar="PORT", help=f"serial port of the {arm}")
        part.add_argument(f"--{arm}-calibration", type=Path, metavar="FILE", help=f"LeRobot's file of the {arm}")
    _paced(part, 60.0, 200.0)
    part.add_argument(
        "--release", action="store_true", help="switch the leader's torque off first: it drops, support it"
    )
    part.add_argument("--yes", action="store_true", help="really move the follower")
    part.add_argument("--json", type=Path, metavar="FILE", help="write what was measured there")
    so101_record.arguments(part)


def main(argv: list[str]) -> int:
    args = parser().parse_args(argv)
    for name, low, high in (
        ("timeout_ms", 1.0, 1000.0),
        ("rate", 0.1, 200.0),
        ("seconds", 0.0, float("inf")),
        ("reads", 10, 1e6),
    ):
        value = getattr(args, name, None)
        if value is not None and not low <= value <= high:
            raise PixelarmError(f"--{name.replace('_', '-')} must lie between {low:g} and {high:g}, got {value:g}")
    return PARTS[args.part][0](args)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
