"""``pixelarm bench demo``: what stepping and drawing cost the main job, in stock robosuite and in the environment it
uses.

Before: Lift as ``robosuite.make`` gives it, with the demo's two cameras, control rate and position deltas and
robosuite's own
physics, drawing and resets. After: ``make("lift")``, as the demo makes it. Both are measured in turn; the sum weighs
them with the steps and resets of a real demo. That the faster scene is the same task is checked with the scripted
expert on the same seeds.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from robot.errors import PixelarmError
from robot.files import require_folder
from robot.stats import Rate, mcnemar, rate
from sim.bench.harness import Row, Sample, Subject, Unit, cores, keep, one_thread, provenance, table
from sim.bench.stock import HORIZON, INEXACT, unit_of
from sim.bench.tasks import Tick, play_all, without_terms
from sim.envs.make import make
from sim.envs.task_world import build_world, reset_world
from sim.rendering import gl
from sim.tasks import make_task
from sim.tasks.common.tabletop import MAX_DELTA

TASK, PIXELS = "lift", 64
TARGET = 5.0  # the ratio to reach, for the sum
SEED = 10_000  # first seed of the episodes that the demo is judged on
EPISODES, STOCK_EPISODES = 50, 20


class Work(NamedTuple):
    """How often the demo steps (with both images) and resets."""

    steps: int
    resets: int


# `pixelarm demo`, seed 1 in docs/results: recorded demonstrations; online learning to step 4000; eight validations of
# 30 episodes; 50 test episodes of the learned policy and 50 of the cloned one. Its films and its episodes over ROS 2
# are left out.
WORK = {
    "collection": Work(175, 10),
    "online": Work(4000, 191),
    "validation": Work(4884, 240),
    "evaluation": Work(3150, 100),
}


# ----------------------------------------------------------------------------------------------------- what is measured
def after(reset: bool = False) -> Unit:
    """Steps with random actions, or resets, of the demo's environment."""
    env: Any = make(TASK, image_size=PIXELS)
    env.task.max_steps = HORIZON  # resets are measured apart
    return unit_of(env, np.array(env.contract.action.high), reset)


def before(reset: bool = False) -> Unit:
    """The same of robosuite's."""
    logging.disable(logging.WARNING)  # robosuite greets each process with half a page of advice
    env = stock_lift()
    return unit_of(env, env.action_spec[1], reset)


def stock_lift(images: bool = True) -> Any:
    """robosuite's Lift with the demo's contract: 10 Hz, position deltas of the same size,
    and its two cameras or none.
    """
    robosuite = gl.import_robosuite()
    from robosuite.controllers import load_composite_controller_config

    task = make_task(TASK, image_size=PIXELS)
    controller = load_composite_controller_config(robot=task.arm.robosuite)
    controller["body_parts"]["right"] |= {
        "type": "OSC_POSITION",
        "output_max": [MAX_DELTA] * 3,
        "output_min": [-MAX_DELTA] * 3,
    }
    return robosuite.make(
        task.recipe.environment,
        robots=task.arm.robosuite,
        controller_configs=controller,
        has_renderer=False,
        has_offscreen_renderer=images,
        use_camera_obs=images,
        camera_names=list(task.camera_in_scene.values()),
        camera_heights=PIXELS,
        camera_widths=PIXELS,
        control_freq=task.contract.rate_hz,
        horizon=HORIZON,
        seed=0,
    )


def measure_cost(seconds: float, rounds: int, core: int) -> list[Row]:
    """Step, reset, and their sum over a demo."""
    steps, resets = sum(work.steps for work in WORK.values()), sum(work.resets for work in WORK.values())
    step = Row("step", f"Lift, 10 Hz, two {PIXELS}x{PIXELS} cameras", "step")
    reset = Row("reset", f"Lift, two {PIXELS}x{PIXELS} cameras", "reset")
    whole = Row("whole", f"{steps:,} steps and {resets:,} resets", "demo", TARGET)
    with tqdm(total=2 * rounds, desc="in turn", unit="round") as bar:
        for row in (step, reset):
            bar.set_postfix_str(row.unit)
            options = {"reset": row is reset}
            with Subject(after, core, **options) as ours, Subject(before, core, **options) as stock:
                row.run(ours, stock, rounds, seconds, bar.update)
    for mine, a, b in ((whole.ours, step.ours, reset.ours), (whole.stock, step.stock, reset.stock)):
        mine += [total(Work(steps, resets), *pair) for pair in zip(a, b)]
    return [step, reset, whole]


def total(work: Work, step: Sample, reset: Sample) -> Sample:
    """One demo's worth of both, from a round of each."""
    cpu = work.steps * step.cpu_s / step.count + work.resets * reset.cpu_s / reset.count
    wall = work.steps * step.wall_s / step.count + work.resets * reset.wall_s / reset.count
    return Sample(1, cpu, wall)


def minutes(samples: Sequence[Sample]) -> float:
    """Of one core for one demo, the median of the rounds."""
    return median(sample.cpu_s for sample in samples) / 60


# --------------------------------------------------------------------------------------------------------- same success
class StockWorld:
    """robosuite's environment, as far as Lift's expert looks at a world. Positions ``(3,)`` m, world frame."""

    def __init__(self, env: Any, site: str) -> None:
        self._data, self._site = env.sim.data._data, site

    def object_position(self, body: str) -> np.ndarray:
        return self._data.body(body).xpos.copy()

    def eef_position(self) -> np.ndarray:
        return self._data.site(self._site).xpos.copy()


def play_stock(seeds: Sequence[int], tick: Tick) -> list[bool]:
    """The expert's successes in stock robosuite on the scenes that these seeds are here, without an actuation delay."""
    task = make_task(TASK)
    scenes, outcomes = build_world(without_terms(task, *INEXACT)), []
    with _quiet():
        env = stock_lift(images=False)
        for seed in seeds:
            reset_world(scenes, task, seed)
            env.reset()
            env.sim.data._data.qpos[:] = scenes.data.qpos
            env.sim.forward()
            expert: Any = task.expert(np.random.default_rng(seed))
            success, seen, steps = False, StockWorld(env, task.arm.site), 0
            while not success and steps < task.max_steps:
                action = expert.act(seen)
                env.step(np.append(action[:3] / MAX_DELTA, action[3]))
                success, steps = bool(env._check_success()), steps + 1
            outcomes.append(success)
            tick()
        env.close()
    return outcomes


@contextmanager
def _quiet() -> Iterator[None]:
    """robosuite logs a warning at each reset."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(level)


def measure_success() -> dict[str, Any]:
    """The expert in the demo's scene, in the same with exact physics (paired), and in stock robosuite."""
    seeds, few = range(SEED, SEED + EPISODES), range(SEED, SEED + STOCK_EPISODES)
    with tqdm(total=2 * len(seeds) + len(few), desc="same success", unit="episode") as bar:
        fast, _ = play_all(make_task(TASK), seeds, bar.update)
        exact, _ = play_all(without_terms(make_task(TASK), *INEXACT), seeds, bar.update)
        stock = play_stock(few, bar.update)
    only_fast, only_exact, p = mcnemar(fast, exact)
    return {
        "seeds": [seeds[0], seeds[-1]],
        "fast": rate(fast).to_dict(),
        "exact": rate(exact).to_dict(),
        "paired": {"only_fast": only_fast, "only_exact": only_exact, "mcnemar_p": p},
        "stock": rate(stock).to_dict(),
    }


# ------------------------------------------------------------------------------------------------------------ the whole
def words(whole: Row, success: dict[str, Any]) -> str:
    """What the table's last row means in minutes, and the comparison of successes."""

    def shown(name: str) -> str:
        found = success[name]
        return str(Rate(round(found["success"] * found["n"]), found["n"], found["low"], found["high"]))

    paired = success["paired"]
    return "\n".join(
        [
            f"a demo's stepping, drawing and resets: {minutes(whole.stock):.1f} minutes of one core before, "
            f"{minutes(whole.ours):.2f} after",
            f"scripted expert: {shown('fast')} as the demo runs it, {shown('exact')} with exact physics on the same "
            f"seeds",
            f"  only the first {paired['only_fast']}, only the second {paired['only_exact']} (exact McNemar p = "
            f"{paired['mcnemar_p']:.3g}); {shown('stock')} in stock robosuite",
        ]
    )


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="pixelarm bench demo",
        description="Measure what stepping and drawing cost the demo, in turn with stock robosuite, and that the task "
        "is the same.",
    )
    parser.add_argument(
        "--seconds", type=float, default=20.0, help="measuring time of each side of a row (default: 20)"
    )
    parser.add_argument("--rounds", type=int, default=5, help="turns of each side within that time (default: 5)")
    parser.add_argument("--json", action="store_true", help="print the whole result as JSON instead of the table")
    parser.add_argument("--out", type=Path, default=Path("runs/bench-demo"), help="folder for bench.json")
    args = parser.parse_args(argv)
    if not 0 < args.seconds < math.inf or args.rounds < 1:
        raise PixelarmError(
            f"--seconds must be positive and --rounds at least 1, got {args.seconds:g} and {args.rounds}"
        )
    require_folder(args.out)
    one_thread()
    rows = measure_cost(args.seconds, args.rounds, cores()[-1])
    success = measure_success()
    result = {
        "suite": "demo",
        **provenance("pixelarm bench demo " + shlex.join(argv)),
        "seconds": args.seconds,
        "rounds": args.rounds,
        "work": {part: work._asdict() for part, work in WORK.items()},
        "rows": [row.to_dict() for row in rows],
        "minutes": {"before": minutes(rows[-1].stock), "after": minutes(rows[-1].ours)},
        "success": success,
    }
    print(json.dumps(result, indent=1) if args.json else table(rows, {}) + "\n" + words(rows[-1], success))
    keep(args.out, result)
    return 0
