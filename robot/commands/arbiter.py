"""``pixelarm arbiter``: the process that alone commands a robot; policies and operators send their targets to it."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from robot import profile
from robot.actions import TARGETS
from robot.errors import PixelarmError
from robot.files import require_file
from robot.profile import ArmProfile
from robot.ros import runtime


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="pixelarm arbiter",
        description="Own a robot's command topics: take targets from a policy or an operator's device, decide whose "
        "count, and publish them at the driver's rate behind the safety limits of the arm's profile. Whatever the "
        "others do, the arm decelerates and holds. `pixelarm deploy` starts one by itself.",
        epilog="example: pixelarm arbiter --arm sim_panda, and in another terminal: pixelarm deploy runs/demo/bundle "
        "--arm sim_panda --arbiter running; then: ros2 service call /arbiter/policy std_srvs/srv/Trigger",
    )
    add = made.add_argument
    add("--arm", default="sim_panda", help="arm profile: a name among hardware/arms, or a file (default: %(default)s)")
    add("--target", choices=TARGETS, help="what the arm is told (default: the first that its profile has)")
    add("--command", choices=("nobody", "policy", "teleop"), default="nobody", help="who gets command once the arm is "
        "heard (default: %(default)s, until a service gives it)")  # fmt: skip
    add("--dry-run", action=argparse.BooleanOptionalAction, help="publish on ~/preview only (default: as the profile)")
    add(
        "--require-enable",
        action=argparse.BooleanOptionalAction,
        help="a policy moves the arm only while a button is held (default: as the profile)",
    )
    add(
        "--jumps",
        action=argparse.BooleanOptionalAction,
        help="an arm that is somewhere else from one message to the next is no fault (default: for a simulated one)",
    )
    add("--speed-scale", type=float, metavar="S", help="share of the greatest speeds, in (0, 1] (default: the profile)")
    add("--stats", type=Path, metavar="FILE", help="write counters and times there (JSON) when it ends")
    add("--network", action="store_true", help="let other machines discover this node; else ROS stays on this one")
    add("--end-with-parent", action="store_true", help="end when the process that started it is gone")
    return made


def main(argv: list[str]) -> int:
    parent = os.getppid()  # first: one that dies later is noticed
    own, ros_args = runtime.split_ros_args(argv)
    args = parser().parse_args(own)
    overrides = _overrides(args) | {"parent": parent if args.end_with_parent else 0}
    runtime.require_rclpy()
    runtime.settle_discovery(args.network)
    from robot.ros.arbiter_node import ArbiterNode

    runtime.go_first()  # before ROS starts its threads
    return runtime.run(lambda: ArbiterNode(overrides), ros_args)


def _overrides(args: argparse.Namespace) -> dict[str, Any]:
    path = profile.find(args.arm, profile.shipped())
    ArmProfile.load(path)  # a mistake in it is reported before ROS starts
    if args.speed_scale is not None and not 0 < args.speed_scale <= 1:
        raise PixelarmError(f"--speed-scale must lie in (0, 1], got {args.speed_scale}")
    if args.stats:
        require_file(args.stats)
    wanted = {
        "target": args.target,
        "dry_run": args.dry_run,
        "require_enable": args.require_enable,
        "jumps": args.jumps,
        "speed_scale": args.speed_scale,
        "stats_path": str(args.stats) if args.stats else None,
    }
    given = {name: value for name, value in wanted.items() if value is not None}
    return {"profile": str(path), "command": args.command, **given}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
