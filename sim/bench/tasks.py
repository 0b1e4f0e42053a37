"""``pixelarm bench tasks``: the scripted expert of every task over many seeds,
and its pictures in both looks on both renderers.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from robot.errors import MissingDependency, PixelarmError, UnknownName
from robot.files import require_folder
from robot.stats import Rate, rate
from sim.bench.harness import keep, one_thread, provenance
from sim.envs.task_env import ACTUATION_DELAY_MS, TaskEnv
from sim.envs.task_world import build_world, reset_world
from sim.tasks import TASKS, make_task
from sim.tasks.common.base import Task

PIXELS = 84  # the size that most papers on learning from pixels use
SUCCEEDS = 0.95  # the share of seeds that an expert has to solve
AGREE = 3.0  # of 255: the mean absolute difference that two renderers' pictures of one scene have to stay under
BLANK = 5.0  # of 255: a picture whose standard deviation is smaller shows nothing
PICTURE_SEEDS = 5  # scenes that are drawn of each task
LOOKS: dict[str, tuple[str, ...]] = {
    "plain": (),
    "textured": ("plain_look",),
}  # look -> the recipe's terms it does without
DRAWN_BY = {"opengl": "OpenGL", "raycast": "ray-caster"}

Tick = Callable[[], object]
Images = dict[tuple[str, str], np.ndarray]  # (look, renderer) -> the first scene's first camera


# ------------------------------------------------------------------------------------------------------------- experts
def play(env: TaskEnv, seed: int) -> tuple[bool, int]:
    """One episode of the task's scripted expert: whether it succeeded, and its control steps."""
    _, info = env.reset(seed=seed)
    expert, steps, done = env.expert(seed), 0, False
    while not done:
        _, _, terminated, truncated, info = env.step(expert())
        steps, done = steps + 1, terminated or truncated
    return bool(info["success"]), steps


def without_cameras(task: Task) -> Task:
    """The same task with nothing to draw: its episodes are the same, and cheap."""
    task.contract = dataclasses.replace(task.contract, cameras=())
    return task


def without_terms(task: Task, *terms: str) -> Task:
    """The task with a recipe that leaves some of its terms out."""
    kept = tuple(term for term in task.recipe.terms if term not in terms)
    task.recipe = dataclasses.replace(task.recipe, terms=kept)
    return task


def play_all(task: Task, seeds: Sequence[int], tick: Tick) -> tuple[list[bool], list[int]]:
    """The expert's successes and steps, seed by seed, with the environment's actuation delay and without pictures."""
    env = TaskEnv(without_cameras(task))
    outcomes = []
    for seed in seeds:
        outcomes.append(play(env, seed))
        tick()
    env.close()
    successes, steps = zip(*outcomes)
    return list(successes), list(steps)


def measure_expert(task: Task, seeds: Sequence[int], tick: Tick) -> dict[str, Any]:
    """Success with its interval, mean steps of an episode (a failure takes all there are),
    and the seeds that failed.
    """
    successes, steps = play_all(task, seeds, tick)
    found = rate(successes)
    return {
        **found.to_dict(),
        "mean_steps": float(np.mean(steps)),
        "failed_seeds": [seed for seed, success in zip(seeds, successes) if not success],
        "target": SUCCEEDS,
        "reached": found.value >= SUCCEEDS,
    }


# ------------------------------------------------------------------------------------------------------------ pictures
def measure_pictures(name: str, tick: Tick) -> tuple[dict[str, Any], Images]:
    """How far apart the renderers are in the plain look, and what each makes of the textured one.

    Returns:
        What was measured, with differences of 255 by camera and seed; and pictures to look at, without those refused.

    Raises:
        MissingDependency: one of the renderers is not here.
    """
    images: Images = {}
    differences: dict[str, list[float]] = {camera.name: [] for camera in make_task(name).contract.cameras}
    refused, shown = "", True
    for look, terms in LOOKS.items():
        task = without_terms(make_task(name, image_size=PIXELS), *terms)
        worlds = {kind: build_world(task, kind) for kind in DRAWN_BY}
        for seed in range(PICTURE_SEEDS):
            for world in worlds.values():
                reset_world(world, task, seed)
            for camera in differences:
                drawn = worlds["opengl"].render(camera)
                shown = shown and bool(drawn.std() > BLANK)
                images.setdefault((look, "opengl"), drawn)
                try:
                    cast = worlds["raycast"].render(camera)
                except MissingDependency:
                    raise
                except PixelarmError as refusal:
                    if look == "plain":
                        raise
                    refused = str(refusal)
                    continue
                images.setdefault((look, "raycast"), cast)
                if look == "plain":
                    differences[camera].append(float(np.abs(drawn.astype(float) - cast).mean()))
            tick()
        for world in worlds.values():
            world.close()
    largest = max(max(values) for values in differences.values())
    found = {
        "difference": differences,
        "target": AGREE,
        "opengl_draws_both_looks": shown,
        "raycast_refuses_textures": refused,
        "reached": largest < AGREE and shown and bool(refused),
    }
    return found, images


def plot(images: dict[str, Images], folder: Path) -> Path | None:
    """A row a task, a column for each look on each renderer, as one picture; None without matplotlib or pictures."""
    if not images or importlib.util.find_spec("matplotlib") is None:
        return None
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    columns = [(look, kind) for look in LOOKS for kind in DRAWN_BY]
    size = (1.8 * len(columns), 1.8 * len(images) + 0.4)
    figure, grid = pyplot.subplots(len(images), len(columns), figsize=size, squeeze=False, layout="constrained")
    for axes, (look, kind) in zip(grid[0], columns):
        axes.set_title(f"{look}, {DRAWN_BY[kind]}", fontsize=9)
    for row, (name, pictures) in zip(grid, images.items()):
        row[0].set_ylabel(name, fontsize=9)
        for axes, (look, kind) in zip(row, columns):
            axes.set(xticks=[], yticks=[], box_aspect=1)
            if (look, kind) in pictures:
                axes.imshow(pictures[look, kind])
            else:
                axes.text(0.5, 0.5, "refused in words", ha="center", va="center", transform=axes.transAxes, fontsize=8)
    path = folder / "tasks.png"
    figure.savefig(path, dpi=100)
    pyplot.close(figure)
    return path


# ------------------------------------------------------------------------------------------------------------ the whole
def measure(names: Sequence[str], seeds: int) -> tuple[dict[str, Any], dict[str, Images], dict[str, str]]:
    """Results by task, pictures by task, and what could not be measured with the reason."""
    tasks: dict[str, Any] = {}
    images: dict[str, Images] = {}
    absent: dict[str, str] = {}
    with tqdm(total=len(names) * (seeds + PICTURE_SEEDS * len(LOOKS)), unit="scene") as bar:
        for name in names:
            bar.set_description(f"{name}, expert")
            tasks[name] = {"expert": measure_expert(make_task(name), range(seeds), bar.update)}
            if absent:
                continue
            bar.set_description(f"{name}, pictures")
            try:
                tasks[name]["pictures"], images[name] = measure_pictures(name, bar.update)
            except MissingDependency as missing:
                absent["pictures"] = str(missing)
    return tasks, images, absent


def table(tasks: dict[str, Any], absent: dict[str, str]) -> str:
    """For a terminal: experts, then the pictures' mean difference (largest of the scenes)
    and what became of the textured look.
    """
    width = max(map(len, tasks)) + 2
    lines = [f"{'':<{width}}{'expert succeeds':<36}{'steps':>6}   OpenGL against ray-caster, of 255: mean (largest)"]
    for name, found in tasks.items():
        expert = found["expert"]
        success = Rate(round(expert["success"] * expert["n"]), expert["n"], expert["low"], expert["high"])
        line = f"{name:<{width}}{success!s:<36}{expert['mean_steps']:>6.1f}"
        if "pictures" in found:
            each = found["pictures"]["difference"].items()
            line += "   " + ", ".join(f"{camera} {np.mean(d):.2f} ({max(d):.2f})" for camera, d in each)
        misses = [what for what in found if not found[what]["reached"]]
        lines.append(line + (f"   MISSED: {', '.join(misses)}" if misses else ""))
    lines.append(
        f"targets: an expert solves {SUCCEEDS:.0%}; pictures differ by less than {AGREE:g}, and the textured look is "
        f"drawn by OpenGL and "
        "refused in words by the ray-caster"
    )
    return "\n".join(lines + [f"{what} not available: {why}" for what, why in absent.items()])


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="pixelarm bench tasks",
        description="Play every task's scripted expert on fixed seeds, and draw every task in both looks with both "
        "renderers.",
        epilog="The first pictures on a machine wait for the ray-caster's kernels to be compiled: up to a minute a "
        "task.",
    )
    parser.add_argument("--tasks", nargs="+", metavar="TASK", help=f"some of: {', '.join(TASKS)} (default: all)")
    parser.add_argument("--seeds", type=int, default=100, help="episodes of each expert, seeds from 0 (default: 100)")
    parser.add_argument("--json", action="store_true", help="print the whole result as JSON instead of the table")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/bench-tasks"), help="folder for bench.json and tasks.png"
    )
    args = parser.parse_args(argv)
    names = list(dict.fromkeys(args.tasks or TASKS))
    for name in names:
        if name not in TASKS:
            raise UnknownName("task", name, TASKS)
    if args.seeds < 1:
        raise PixelarmError(f"--seeds must be at least 1, got {args.seeds}")
    require_folder(args.out)
    one_thread()
    tasks, images, absent = measure(names, args.seeds)
    result = {
        "suite": "tasks",
        **provenance("pixelarm bench tasks " + shlex.join(argv)),
        "seeds": [0, args.seeds - 1],
        "actuation_delay_ms": ACTUATION_DELAY_MS,
        "picture_seeds": [0, PICTURE_SEEDS - 1],
        "pixels": PIXELS,
        "tasks": tasks,
        "absent": absent,
    }
    print(json.dumps(result, indent=1) if args.json else table(tasks, absent))
    keep(args.out, result, "tasks.png", lambda: plot(images, args.out))
    return 0
