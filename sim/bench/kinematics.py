"""``pixelarm bench kinematics``: how exactly and how fast inverse kinematics follows a tip that walks about home."""

from __future__ import annotations

import argparse
import json
import shlex
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from robot.errors import PixelarmError, UnknownName
from robot.files import require_folder
from robot.kinematics.chain import Chain
from robot.kinematics.inverse import Options, Result, solve
from sim.bench.harness import keep, provenance
from sim.commands.kinematics import arm_and_chain
from sim.commands.kinematics import names as arm_names

STEP, HALF_CUBE = 0.02, 0.08  # m
REPEATS = 500  # of forward kinematics and the Jacobian
SOFT_ROTATION = 0.02  # weight of rotation for an arm of fewer than six joints


@dataclass
class Walk:
    """What was found on the way, one entry a step."""

    results: list[Result] = field(default_factory=list)
    joint_steps: list[float] = field(default_factory=list)  # rad, of the joint that moved most
    cpu_ms: list[float] = field(default_factory=list)  # of the solve, on the processor
    wall_ms: list[float] = field(default_factory=list)  # of the solve, on the clock

    def summary(self) -> dict[str, Any]:
        """Percentiles of errors and times, and how often steps were shortened or refused."""
        words = Counter("refused" if r.refused else "shortened" for r in self.results if r.reason)
        return {
            "position_error_mm": _percentiles([1e3 * r.position_error_m for r in self.results]),
            "rotation_error_deg": _percentiles([np.degrees(r.rotation_error_rad) for r in self.results]),
            "joint_step_rad": _percentiles(self.joint_steps),
            "condition": _percentiles([r.condition for r in self.results]),
            "solve_cpu_ms": _percentiles(self.cpu_ms),
            "solve_wall_ms": _percentiles(self.wall_ms),
            "shortened": words["shortened"],
            "refused": words["refused"],
            "n": len(self.results),
        }


def goals(centre: np.ndarray, steps: int, seed: int) -> Iterator[np.ndarray]:
    """Positions (3,) m, each ``STEP`` from the one before in a random direction, within a cube about ``centre``."""
    rng, goal = np.random.default_rng(seed), centre
    for _ in range(steps):
        while True:
            direction = rng.normal(size=3)
            candidate = goal + STEP * direction / np.linalg.norm(direction)
            if (np.abs(candidate - centre) <= HALF_CUBE).all():
                break
        goal = candidate
        yield goal


def walk(chain: Chain, home: np.ndarray, options: Options, steps: int, seed: int) -> Walk:
    """Follow random steps about home, the tip's rotation kept, each solve from the joints that the last one gave."""
    centre, rotation = chain.forward(home)
    joints, found = home, Walk()
    for goal in goals(centre, steps, seed):
        wall, cpu = time.perf_counter(), time.thread_time()
        result = solve(chain, joints, goal, rotation, options, posture=home)
        found.cpu_ms.append(1e3 * (time.thread_time() - cpu))
        found.wall_ms.append(1e3 * (time.perf_counter() - wall))
        found.joint_steps.append(float(np.abs(result.joints - joints).max()))
        found.results.append(result)
        joints = result.joints
    return found


def measure(chain: Chain, home: np.ndarray, steps: int, seed: int) -> dict[str, Any]:
    """What ``walk`` found, and the times of forward kinematics and the Jacobian."""
    options = Options() if len(chain.joints) >= 6 else Options(rotation_weight=SOFT_ROTATION)
    found = walk(chain, home, options, steps, seed).summary()
    found["forward_cpu_ms"] = _percentiles(_times(lambda: chain.forward(home)))
    found["jacobian_cpu_ms"] = _percentiles(_times(lambda: chain.jacobian(home)))
    return found


def _times(unit: Callable[[], object]) -> list[float]:
    found = []
    for _ in range(REPEATS):
        start = time.thread_time()
        unit()
        found.append(1e3 * (time.thread_time() - start))
    return found


def _percentiles(values: list[float]) -> dict[str, float]:
    p50, p99 = np.percentile(values, [50, 99]).tolist()
    return {"p50": p50, "p99": p99, "max": float(max(values))}


def table(arms: dict[str, Any]) -> str:
    """For a terminal: p50 / p99, but for the last columns."""
    columns = {
        "position, mm": ("position_error_mm", ".4f"),
        "rotation, deg": ("rotation_error_deg", ".4f"),
        "joint step, rad": ("joint_step_rad", ".3f"),
        "solve, ms on the cpu": ("solve_cpu_ms", ".3f"),
        "ms on the clock": ("solve_wall_ms", ".3f"),
        "forward, ms": ("forward_cpu_ms", ".3f"),
        "Jacobian, ms": ("jacobian_cpu_ms", ".3f"),
    }
    lines = [f"{'p50 / p99':<15}" + "".join(f"{name:<22}" for name in columns) + "shortened, refused, of"]
    for name, found in arms.items():
        cells = [f"{found[key]['p50']:{form}} / {found[key]['p99']:{form}}" for key, form in columns.values()]
        counts = f"{found['shortened']}, {found['refused']}, {found['n']}"
        lines.append(f"{name:<15}" + "".join(f"{cell:<22}" for cell in cells) + counts)
    return "\n".join(lines)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="pixelarm bench kinematics",
        description=f"Follow random steps of {1e3 * STEP:g} mm in a cube of {2e3 * HALF_CUBE:g} mm about an arm's home "
        "with inverse kinematics: its errors, and what a solve costs.",
    )
    parser.add_argument("--arms", nargs="+", metavar="ARM", help=f"some of: {', '.join(arm_names())} (default: all)")
    parser.add_argument("--steps", type=int, default=1000, help="steps of each arm (default: 1000)")
    parser.add_argument("--seed", type=int, default=0, help="of the directions (default: 0)")
    parser.add_argument("--json", action="store_true", help="print the whole result as JSON instead of the table")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/bench-kinematics"), help="folder for bench.json (default: %(default)s)"
    )
    args = parser.parse_args(argv)
    names = list(dict.fromkeys(args.arms or arm_names()))
    for name in names:
        if name not in arm_names():
            raise UnknownName("arm", name, arm_names())
    if args.steps < 1:
        raise PixelarmError(f"--steps must be at least 1, got {args.steps}")
    require_folder(args.out)
    arms = {}
    for name in names:
        arm, chain = arm_and_chain(name)
        arms[name] = measure(chain, np.array(arm.home), args.steps, args.seed)
    result = {
        "suite": "kinematics",
        **provenance("pixelarm bench kinematics " + shlex.join(argv)),
        "step_m": STEP,
        "cube_m": 2 * HALF_CUBE,
        "seed": args.seed,
        "arms": arms,
    }
    print(json.dumps(result, indent=1) if args.json else table(arms))
    keep(args.out, result)
    return 0
