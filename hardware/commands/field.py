"""``pixelarm field``: the same policy in the shapes in which others run one, side by side, beside a load."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from hardware.faults.processes import NodeProcess
from hardware.faults.smoothness import jerk_rms, missed_cycles
from robot.contract import Contract
from robot.errors import PixelarmError
from robot.files import write_text
from robot.ros import runtime

SHAPES = {
    "pixelarm": "pixelarm deploy: control loop and arbiter",
    "callback": "a node that infers in an image's callback",
    "loop": "a synchronous loop: observe, infer, send, sleep (LeRobot's shape)",
}
SCENE_S = 6.0  # of each scene


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="pixelarm field",
        description="Run one bundle on the simulated arm in three shapes, in turn: with pixelarm's control loop and "
        "arbiter, in a plain rclpy callback, and in a synchronous loop. Prints how old an observation is when the "
        "command that answers it reaches the driver, how many control cycles got none, and how smoothly the arm moved.",
        epilog="example: pixelarm field runs/demo/bundle --load 2 --seconds 60",
    )
    add = made.add_argument
    add("bundle", type=Path, help="policy bundle of one observation and one pose")
    add("--arm", default="sim_panda", help="profile of a simulated arm that takes poses (default: %(default)s)")
    add("--seconds", type=float, default=60.0, help="of each shape in each round (default: %(default)s)")
    add("--rounds", type=int, default=1, help="each with the shapes in another order (default: %(default)s)")
    add("--load", type=int, default=0, help="busy loops beside it (default: %(default)s)")
    add("--json", type=Path, metavar="FILE", help="write the figures there")
    return made


def _spin() -> None:
    while True:
        pass


def main(argv: list[str]) -> int:
    args = parser().parse_args(argv)
    if not args.bundle.is_dir():
        raise PixelarmError(f"there is no policy bundle at {args.bundle}; `pixelarm export` writes one")
    if args.seconds <= 0 or args.rounds < 1 or args.load < 0:
        raise PixelarmError("--seconds must be positive, --rounds at least 1 and --load not negative")
    runtime.require_rclpy()
    runtime.settle_discovery()
    import rclpy
    from tqdm import tqdm

    rclpy.init()
    rows: dict[str, list[dict[str, Any]]] = {shape: [] for shape in SHAPES}
    names = list(SHAPES)
    order = [names[(i + r) % len(names)] for r in range(args.rounds) for i in range(len(names))]
    try:
        for shape in tqdm(order, desc="shapes", unit="run"):
            rows[shape].append(_measure(args, shape))
    finally:
        rclpy.try_shutdown()
    print(table(rows))
    if args.json:
        write_text(args.json, json.dumps({"load": args.load, "seconds": args.seconds, "rows": rows}, indent=1) + "\n")
    return 0


def _measure(args: argparse.Namespace, shape: str) -> dict[str, Any]:
    from hardware.ros.field_watch import FieldWatch, first_of_each
    from robot import bundle, profile
    from robot.profile import ArmProfile

    contract = bundle.read(args.bundle)[1]
    arm = ArmProfile.load(profile.find(args.arm, profile.shipped()))
    if arm.target_pose is None:
        raise PixelarmError(f"the profile {arm.name!r} takes no poses; sim_panda does")
    size, task = str(contract.cameras[0].height), contract.task
    watch = FieldWatch(arm)
    load = [multiprocessing.get_context("spawn").Process(target=_spin, daemon=True) for _ in range(args.load)]
    nodes = [NodeProcess("arm", ["hardware.commands.sim_arm", "--task", task, "--arm", args.arm, "--image-size", size],
                         lambda *_: None)]  # fmt: skip
    mine = ["robot.commands.deploy", str(args.bundle), "--arm", args.arm]
    theirs = ["hardware.ros.field_loops", str(args.bundle), "--arm", args.arm, "--shape", shape]
    nodes.append(NodeProcess("policy", mine if shape == "pixelarm" else theirs, lambda *_: None))
    try:
        end = time.monotonic() + 40.0
        while len(watch.commands) < 20:
            if time.monotonic() > end:
                raise PixelarmError(f"{shape}: no commands came; {' | '.join(nodes[1].lines[-3:])}")
            time.sleep(0.1)
        for process in load:
            process.start()
        return _watch(args.seconds, watch, contract, first_of_each)
    finally:
        for process in load:
            if process.pid is not None:
                process.kill()
        for node in reversed(nodes):
            node.end()
        watch.close()


def _watch(seconds: float, watch: Any, contract: Contract, first_of_each: Any) -> dict[str, Any]:
    period_s = contract.period_s
    ages, jerks, missed, cycles = [], [], 0, 0
    for _ in range(max(1, round(seconds / SCENE_S))):
        watch.reset()
        time.sleep(1.0)  # what answers the scene before is none of this one's
        watch.commands.clear()
        watch.tip.clear()
        time.sleep(SCENE_S - 1.0)
        found, tip = first_of_each(list(watch.commands)), np.array(watch.tip)
        ages += found[:, 1].tolist()
        missed += missed_cycles(found[:, 0], period_s) if len(found) > 1 else round((SCENE_S - 1.0) / period_s)
        cycles += round((SCENE_S - 1.0) / period_s)
        jerks.append(jerk_rms(tip[:, 0], tip[:, 1:]))
    p50, p99 = (float(v) for v in np.percentile(ages, [50, 99])) if ages else (float("nan"),) * 2
    return {
        "age_ms": {"p50": round(p50, 1), "p99": round(p99, 1), "max": round(max(ages, default=float("nan")), 1)},
        "too_old": sum(age > contract.max_age_ms for age in ages),
        "missed": missed,
        "cycles": cycles,
        "jerk_rms_m_s3": round(float(np.nanmedian(jerks)), 1),
        "ages_ms": [round(age, 2) for age in ages],
    }


def table(rows: dict[str, list[dict[str, Any]]]) -> str:
    """One line a shape, over all rounds."""
    heads = f"{'p50':>7} {'p99':>7} {'max':>7} {'too old':>14} {'cycles missed':>15} {'jerk, m/s3':>11}"
    lines = ["observation to driver, ms; commands that answer one older than the contract allows", f"{'':10} {heads}"]
    for shape, runs in rows.items():
        ages = [age for run in runs for age in run["ages_ms"]]
        if not ages:
            continue
        p50, p99 = np.percentile(ages, [50, 99])
        missed = f"{sum(run['missed'] for run in runs)} of {sum(run['cycles'] for run in runs)}"
        jerk = float(np.median([run["jerk_rms_m_s3"] for run in runs]))
        old = f"{sum(run['too_old'] for run in runs)} of {len(ages)}"
        numbers = f"{p50:7.1f} {p99:7.1f} {max(ages):7.1f} {old:>14} {missed:>15} {jerk:11.1f}"
        lines.append(f"{shape:10} {numbers}   {SHAPES[shape]}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
