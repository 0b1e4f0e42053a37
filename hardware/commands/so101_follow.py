"""``pixelarm so101 fold`` and ``follow``: what moves an arm, and only with ``--yes``."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import yaml
from tqdm import tqdm

from hardware.commands import so101_record
from hardware.feetech.arm import Arm
from hardware.feetech.leader import FollowStats, Leader, LeaderState, follow
from hardware.feetech.settings import JOINTS, Settings
from robot.errors import PixelarmError
from robot.files import require_file, write_json
from robot.kinematics.chain import Chain

ROWS = Path(__file__).resolve().parents[1] / "arms" / "kinematics" / "so101.yaml"
LOWEST_M = -0.01  # below the base's plane: where a table is
SAMPLES = 50  # of a way


def fold(args: argparse.Namespace) -> int:
    """Show the way to the rest pose; with --yes go there and let go."""
    settings = Settings.load(args.settings)
    with Arm.connect(
        args.port, args.calibration, settings, dry_run=not args.yes, timeout_s=args.timeout_ms / 1e3
    ) as arm:
        start = arm.read().position
        for line in way_words(start, settings):
            print(line)
        _require_clear(start, settings.rest)
        if not args.yes:
            print(
                "dry run: nothing was written to the servos. Clear the way, keep a hand near, and repeat it with --yes"
            )
            return 0
        total = float(np.abs(start - settings.rest).max())
        with tqdm(total=round(total, 2), desc="fold", unit="rad") as bar:
            arm.fold(lambda left: _show(bar, total - left))
    print("folded; the torque is off")
    return 0


def _show(bar: tqdm, done: float) -> None:
    bar.update(max(0.0, round(done - bar.n, 3)))


def way_words(start: np.ndarray, settings: Settings) -> list[str]:
    """Each joint's way to the rest pose, how long it takes, and how low the arm comes."""
    lines = [f"{name:<14}{a:>+7.2f} -> {b:>+6.2f} rad" for name, a, b in zip(JOINTS, start, settings.rest)]
    seconds = float(np.abs(start - settings.rest).max()) / settings.limits.fold_speed_rad_s
    low = lowest_m(start, settings.rest)
    return [*lines, f"takes about {seconds:.1f} s; the tip or a joint comes down to {low:.3f} m above the base's plane"]


def lowest_m(start: np.ndarray, end: np.ndarray) -> float:
    """The lowest point, m above the base's plane, of the tip and the joints while all joints go to ``end`` at the speed
    of the slowest-to-arrive; links have a thickness that is not in it."""
    chain = Chain.from_rows(yaml.safe_load(ROWS.read_text()), str(ROWS))
    furthest = float(np.abs(end - start).max())
    gone = np.linspace(0.0, furthest, SAMPLES)[:, None]
    way = start + np.clip(end - start, -gone, gone)
    return float(min(chain.frames(joints)[:, 2, 3].min() for joints in way))


def _require_clear(start: np.ndarray, rest: np.ndarray) -> None:
    low = lowest_m(start, rest)
    if low < LOWEST_M and low < lowest_m(start, start) - 0.005:
        raise PixelarmError(
            f"the straight way to the rest pose must stay above {LOWEST_M} m, and comes down to {low:.3f} m: it would "
            "push into the table. Bring the arm higher first"
        )


def follow_leader(args: argparse.Namespace) -> int:
    """Let the follower go where the leader is; without --yes everything but the writing."""
    if args.json:
        require_file(args.json)
    so101_record.check(args)
    settings, timeout_s = Settings.load(args.settings), args.timeout_ms / 1e3
    stats = FollowStats()
    with (
        so101_record.recording(args) as recorder,  # first: what is refused is refused before the torque comes
        Leader.connect(args.leader, args.leader_calibration, settings, args.release, timeout_s=timeout_s) as leader,
        Arm.connect(args.follower, args.follower_calibration, settings, not args.yes, timeout_s=timeout_s) as follower,
        tqdm(desc="follow", unit="tick") as bar,
    ):

        def on_tick(state: LeaderState, stats: FollowStats) -> None:
            bar.update(1)
            recorder.tick(state, stats.aligned)
            if stats.ticks % 30 == 0:
                bar.set_postfix_str("following" if stats.aligned else "going to the leader")

        try:
            follow(leader, follower, args.rate, args.seconds, on_tick, stats, recorder.put)
        finally:
            bar.close()
            print("\n".join(_follow_words(stats, args.yes)))
            if args.json:
                write_json(args.json, stats.to_dict())
    return 0


def _follow_words(stats: FollowStats, moved: bool) -> list[str]:
    found = stats.to_dict()
    delay, behind = found["delay_ms"], found["behind_rad"]
    lines = [
        f"{stats.ticks} ticks, {stats.late} late; from the leader's joints to the follower's goal p50 {delay['p50']}, "
        f"p99 {delay['p99']}, max {delay['max']} ms; goal behind the leader p50 {behind['p50']}, p99 {behind['p99']} "
        "rad",
    ]
    return lines + (
        ["the follower holds; `pixelarm so101 fold` lets it go"] if moved else ["dry run: nothing was moved"]
    )
