"""``pixelarm deploy``: run a policy bundle on an arm until Ctrl-C; ``ros2 launch`` starts the same node."""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen, TimeoutExpired
from typing import TYPE_CHECKING, Any

from robot import bundle, profile
from robot.contract import Contract
from robot.control.digest import digest
from robot.errors import PixelarmError
from robot.files import require_file
from robot.profile import ArmProfile
from robot.ros import runtime, shared_memory

if TYPE_CHECKING:
    from robot.ros.policy_node import PolicyNode

ARBITERS = ("own", "running", "none")


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="pixelarm deploy",
        description="Run a policy bundle on an arm through its ROS 2 driver, inside the contract's deadline and behind "
        "the safety limits of the arm's profile. Ctrl-C ends it; the arm comes to rest and holds.",
        epilog="example: pixelarm deploy runs/demo/bundle --arm sim_panda --stats runs/demo/deploy.json",
    )
    add = made.add_argument
    add("bundle", type=Path, help="policy bundle, as written by `pixelarm export`")
    add("--arm", default="sim_panda", help="arm profile: a name among hardware/arms, or a file (default: %(default)s)")
    add(
        "--dry-run",
        action=argparse.BooleanOptionalAction,
        help="command nothing, publish on ~/preview (default: as the profile)",
    )
    add(
        "--require-enable",
        action=argparse.BooleanOptionalAction,
        help="move only while a button is held (default: as the profile)",
    )
    add(
        "--arbiter",
        choices=ARBITERS,
        default="own",
        help="own: start one, the separate process that alone commands the arm and holds it if this one dies; running: "
        "use the one that `pixelarm arbiter` started; none: command the driver's topics from here (default: "
        "%(default)s)",
    )
    add("--speed-scale", type=float, metavar="S", help="shorten every motion, in (0, 1] (default: as the profile)")
    add("--max-age-ms", type=float, metavar="MS", help="oldest observation used (default: as the contract)")
    add("--deadline-ms", type=float, metavar="MS", help="from observation to command (default: as the contract)")
    add(
        "--inference-python",
        default="",
        metavar="PYTHON",
        help="run the network in a process of this interpreter: one with onnxruntime-gpu, say (default: in this one)",
    )
    add(
        "--provider",
        choices=(bundle.AUTO, *bundle.PROVIDERS),
        default=bundle.CPU,
        help="what runs the network; auto: the fastest that is there (default: %(default)s)",
    )
    add("--allow-slow", action="store_true", help="start even if inference was measured too slow for the deadline")
    add("--stats", type=Path, metavar="FILE", help="write counters and latencies there (JSON) when it ends")
    add(
        "--network", action="store_true", help="let other machines discover this node; without it ROS stays on this one"
    )
    add("--end-with-parent", action="store_true", help="end when the process that started it is gone")
    return made


def main(argv: list[str]) -> int:
    parent = os.getppid()  # first: one that dies later is noticed
    own, ros_args = runtime.split_ros_args(argv)
    args = parser().parse_args(own)
    overrides = _overrides(args)
    arm = ArmProfile.load(overrides["profile"])
    shared_memory.settle(arm.cameras.values())
    runtime.require_rclpy()
    runtime.settle_discovery(args.network)
    from robot.ros.policy_node import PolicyNode

    made: list[PolicyNode] = []

    def make() -> PolicyNode:
        made.append(PolicyNode(overrides))
        return made[-1]

    contract = bundle.read(args.bundle)[1]
    arbiter = start_arbiter(arm, contract, overrides, ros_args) if args.arbiter == "own" else None
    try:
        with ending_with(arbiter, made):
            return runtime.run(make, ros_args, parent if args.end_with_parent else 0)
    finally:  # also when the node failed
        if made and made[-1].final_stats:
            print(digest(made[-1].final_stats), flush=True)


def start_arbiter(
    arm: ArmProfile, contract: Contract, overrides: dict[str, Any], ros_args: Sequence[str]
) -> Popen[bytes]:
    """The arbiter as a process of its own, that outlives this one by as long as the arm takes to rest."""
    told = arm.told(contract.action.kind)
    options = ["--arm", overrides["profile"], "--target", told, "--command", "policy", "--end-with-parent"]
    for name in ("dry_run", "require_enable"):
        if name in overrides:
            options.append(f"--{'' if overrides[name] else 'no-'}{name.replace('_', '-')}")
    # the policy shortens its motions already: the arbiter holds it to the same share of the greatest speeds
    options += ["--speed-scale", str(overrides["speed_scale"])] if "speed_scale" in overrides else []
    command = [sys.executable, "-m", "robot.commands.arbiter", *options, *ros_args]
    return Popen(command, start_new_session=True)  # Ctrl-C ends this process first, and this one ends the arbiter


@contextmanager
def ending_with(arbiter: Popen[bytes] | None, made: Sequence[PolicyNode]) -> Iterator[None]:
    """The node of ``made`` ends with its arbiter, and the arbiter afterwards; None: it is another's."""
    if arbiter is None:
        yield
        return
    threading.Thread(target=_end_with, args=(arbiter, made), daemon=True).start()
    try:
        yield
    finally:
        _end(arbiter)


def _end_with(arbiter: Popen[bytes], made: Sequence[PolicyNode]) -> None:
    """A policy whose arbiter has ended commands nothing any more: it ends too."""
    arbiter.wait()
    while not made:
        time.sleep(0.1)
    made[-1].exit_code = made[-1].exit_code or 2
    made[-1].done.set()


def _end(arbiter: Popen[bytes]) -> None:
    """As Ctrl-C does; but one that is still starting, and has commanded nothing, says nothing."""
    arbiter.terminate()
    try:
        arbiter.wait(timeout=5.0)
    except TimeoutExpired:
        arbiter.kill()


def _overrides(args: argparse.Namespace) -> dict[str, Any]:
    """The node's parameters; what was not asked for stays with the profile and the contract."""
    path = profile.find(args.arm, profile.shipped())
    arm = ArmProfile.load(path)  # a mistake in it, or a bundle for another arm, is reported before ROS starts
    if not args.bundle.is_dir():
        raise PixelarmError(f"there is no policy bundle at {args.bundle}; `pixelarm export` writes one")
    if args.speed_scale is not None and not 0 < args.speed_scale <= 1:
        raise PixelarmError(f"--speed-scale must lie in (0, 1], got {args.speed_scale}")
    if args.max_age_ms is not None and not 0 < args.max_age_ms <= 10_000:
        raise PixelarmError(f"--max-age-ms must lie in (0, 10000], got {args.max_age_ms}")
    if args.deadline_ms is not None and not 0 < args.deadline_ms <= 10_000:
        raise PixelarmError(f"--deadline-ms must lie in (0, 10000], got {args.deadline_ms}")
    if args.stats:
        require_file(args.stats)
    arm.require_contract(bundle.read(args.bundle)[1])
    return overrides_of(args)


def overrides_of(args: argparse.Namespace) -> dict[str, Any]:
    """Parameters of the node by arguments that were checked."""
    if args.arbiter == "running" and (args.dry_run, args.require_enable) != (None, None):
        raise PixelarmError("--dry-run and --require-enable are the arbiter's: give them to `pixelarm arbiter`")
    wanted = {
        "inference_python": args.inference_python or None,
        "provider": args.provider,
        "dry_run": args.dry_run,
        "require_enable": args.require_enable,
        "speed_scale": args.speed_scale,
        "max_age_ms": args.max_age_ms,
        "deadline_ms": args.deadline_ms,
        "stats_path": str(args.stats) if args.stats else None,
    }
    if args.arbiter == "running":
        wanted["dry_run"] = False  # the arbiter that runs decides
    given = {name: value for name, value in wanted.items() if value is not None}
    fixed = {"autostart": True, "allow_slow": args.allow_slow, "arbiter": args.arbiter != "none"}
    path = profile.find(args.arm, profile.shipped())
    return {"bundle": str(args.bundle), "profile": str(path), **fixed, **given}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
