"""``pixelarm field``: the same policy in the shapes in which others run one, side by side, beside a load."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hardware.faults import subject
from hardware.faults.processes import Load, NodeProcess, ended_by_sigterm
from hardware.faults.smoothness import jerk_rms, missed_cycles
from robot.contract import Contract
from robot.errors import PixelarmError
from robot.files import write_text
from robot.profile import ArmProfile
from robot.ros import runtime

if TYPE_CHECKING:
    from hardware.ros.field_watch import FieldWatch

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


def main(argv: list[str]) -> int:
    args = parser().parse_args(argv)
    arm, contract = subject.load(args.bundle, args.arm)
    subject.require_comparable(arm, contract)
    if args.seconds <= 0 or args.rounds < 1 or args.load < 0:
        raise PixelarmError("--seconds must be positive, --rounds at least 1 and --load not negative")
    runtime.require_rclpy()
    runtime.settle_discovery()
    rows: dict[str, list[dict[str, Any]]] = {shape: [] for shape in SHAPES}
    with ended_by_sigterm():
        _measure_all(args, arm, contract, rows)
    print(table(rows))
    if args.json:
        write_text(args.json, json.dumps({"load": args.load, "seconds": args.seconds, "rows": rows}, indent=1) + "\n")
    return 0


def _measure_all(
    args: argparse.Namespace, arm: ArmProfile, contract: Contract, rows: dict[str, list[dict[str, Any]]]
) -> None:
    """Each shape in each round, in turn, into ``rows``."""
    import rclpy
    from rclpy.signals import SignalHandlerOptions
    from tqdm import tqdm

    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    names = list(SHAPES)
    order = [names[(i + r) % len(names)] for r in range(args.rounds) for i in range(len(names))]
    try:
        for shape in tqdm(order, desc="shapes", unit="run"):
            rows[shape].append(_measure(args, shape, arm, contract))
    finally:
        rclpy.try_shutdown()


def _measure(args: argparse.Namespace, shape: str, arm: ArmProfile, contract: Contract) -> dict[str, Any]:
    from hardware.ros.field_watch import FieldWatch

    size = str(contract.cameras[0].height)
    scene = ["hardware.commands.sim_arm", "--task", contract.task, "--arm", args.arm, "--image-size", size]
    mine = ["robot.commands.deploy", str(args.bundle), "--arm", args.arm]
    theirs = ["hardware.ros.field_loops", str(args.bundle), "--arm", args.arm, "--shape", shape]
    watch, load, nodes = FieldWatch(arm), Load(), list[NodeProcess]()
    try:
        for name, module in (("arm", scene), ("policy", mine if shape == "pixelarm" else theirs)):
            nodes.append(NodeProcess(name, module, lambda *_: None))
        end = time.monotonic() + 40.0
        while len(watch.commands) < 20:
            if time.monotonic() > end:
                raise PixelarmError(f"{shape}: no commands came; {' | '.join(nodes[1].lines[-3:])}")
            time.sleep(0.1)
        load.run(args.load)
        return watched(args.seconds, watch, contract)
    finally:
        load.run(0)
        for node in reversed(nodes):
            node.end()
        watch.close()


def watched(seconds: float, watch: FieldWatch, contract: Contract) -> dict[str, Any]:
    """The figures of one shape, from scenes that are set up one after another for ``seconds``; None: not measured.

    Raises:
        PixelarmError: the simulated arm sets up no new scene.
    """
    from hardware.ros.field_watch import first_of_each

    period_s = contract.period_s
    ages, jerks, missed, cycles = [], [], 0, 0
    for _ in range(max(1, round(seconds / SCENE_S))):
        if not watch.reset():
            raise PixelarmError("the simulated arm set up no new scene: its service sim_arm/reset did not succeed")
        time.sleep(1.0)  # what answers the scene before is none of this one's
        watch.commands.clear()
        watch.tip.clear()
        time.sleep(SCENE_S - 1.0)
        found, tip = first_of_each(list(watch.commands)), np.array(watch.tip).reshape(-1, 4)
        ages += found[:, 1].tolist()
        missed += missed_cycles(found[:, 0], period_s) if len(found) > 1 else round((SCENE_S - 1.0) / period_s)
        cycles += round((SCENE_S - 1.0) / period_s)
        jerks.append(jerk_rms(tip[:, 0], tip[:, 1:]))
    p50, p99 = np.percentile(ages, [50, 99]).round(1).tolist() if ages else (None, None)
    known = [jerk for jerk in jerks if np.isfinite(jerk)]
    return {
        "age_ms": {"p50": p50, "p99": p99, "max": round(max(ages), 1) if ages else None},
        "too_old": sum(age > contract.max_age_ms for age in ages),
        "missed": missed,
        "cycles": cycles,
        "jerk_rms_m_s3": round(float(np.median(known)), 1) if known else None,
        "ages_ms": [round(age, 2) for age in ages],
    }


def table(rows: dict[str, list[dict[str, Any]]]) -> str:
    """One line a shape, over all rounds."""
    heads = f"{'p50':>7} {'p99':>7} {'max':>7} {'too old':>14} {'cycles missed':>15} {'jerk, m/s3':>11}"
    lines = ["observation to driver, ms; commands that answer one older than the contract allows", f"{'':10} {heads}"]
    for shape, runs in rows.items():
        ages = [age for run in runs for age in run["ages_ms"]]
        if not ages:
            lines.append(f"{shape:10} no command answered an observation   {SHAPES[shape]}")
            continue
        p50, p99 = np.percentile(ages, [50, 99])
        missed = f"{sum(run['missed'] for run in runs)} of {sum(run['cycles'] for run in runs)}"
        jerks = [run["jerk_rms_m_s3"] for run in runs if run["jerk_rms_m_s3"] is not None]
        jerk = f"{np.median(jerks):.1f}" if jerks else "-"
        old = f"{sum(run['too_old'] for run in runs)} of {len(ages)}"
        numbers = f"{p50:7.1f} {p99:7.1f} {max(ages):7.1f} {old:>14} {missed:>15} {jerk:>11}"
        lines.append(f"{shape:10} {numbers}   {SHAPES[shape]}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
