"""``pixelarm bench sim``: what a control step with pictures costs here,
and in the simulators this one is built from.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib.util
import io
import json
import logging
import math
import shlex
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from tqdm import tqdm

from robot.contract import Action, Contract
from robot.errors import PixelarmError, UnknownName
from robot.files import require_folder
from sim.bench.harness import Row, Subject, Unit, cores, keep, one_thread, provenance, table
from sim.rendering import gl
from sim.tasks import TASKS, make_task
from sim.tasks.common.base import Task

AGAINST = ("stock",)
PIXELS = 84  # the size that most papers on learning from pixels use
RATE_HZ = 20.0  # robosuite's default control rate
HORIZON = 1000  # control steps an episode, robosuite's default
SLICES = 5  # of the time for each number of workers
SIZES = (32, 64, 84, 128, 256)
INEXACT = ("fewer_collisions", "fast_physics")  # the terms that change how a scene moves
# robosuite's OSC_POSE moves 0.05 m and 0.5 rad at most a step (its default)
POSE = Action(
    kind="eef_delta_pose",
    names=("dx", "dy", "dz", "rx", "ry", "rz", "gripper"),
    units=("m", "m", "m", "rad", "rad", "rad", "1"),
    low=(-0.05,) * 3 + (-0.5,) * 3 + (-1.0,),
    high=(0.05,) * 3 + (0.5,) * 3 + (1.0,),
)
JOINT_KINDS = ("joint_position", "joint_velocity")
KITCHEN = "kitchen"


# ----------------------------------------------------------------------------------------------------- what is measured
def our_task(name: str, pixels: int = PIXELS, cameras: int = 1, exact: bool = False) -> Task:
    """A task as robosuite would have it: 20 Hz, pose deltas, its horizon; exact physics leaves robosuite's model as it
    is.

    A task whose arm takes joint velocities keeps its own rate and action."""
    task: Any = make_task(name, image_size=pixels)
    if exact:
        terms = tuple(term for term in task.recipe.terms if term not in INEXACT)
        task.recipe = dataclasses.replace(task.recipe, terms=terms)
    contract: Contract = dataclasses.replace(task.contract, cameras=task.contract.cameras[:cameras])
    if contract.action.kind not in JOINT_KINDS:
        contract = dataclasses.replace(contract, rate_hz=RATE_HZ, action=POSE)
    task.contract, task.max_steps = contract, HORIZON
    return task


def ours(reset: bool = False, **options: Any) -> Unit:
    """Steps with random actions, or resets, of our environment, with its pictures."""
    from sim.envs.task_env import TaskEnv

    env = TaskEnv(our_task(**options), actuation_delay_ms=(0.0, 0.0))
    return unit_of(env, np.array(env.contract.action.high), reset)


def stock(name: str, pixels: int = PIXELS, cameras: int = 1, reset: bool = False) -> Unit:
    """The same of robosuite: its environment with its defaults, camera observations and the same cameras."""
    logging.disable(logging.WARNING)  # robosuite greets each process with half a page of advice
    robosuite = gl.import_robosuite()
    task = make_task(name)
    names = [task.camera_in_scene[camera.name] for camera in task.contract.cameras[:cameras]]
    env = robosuite.make(
        task.recipe.environment,
        robots=task.arm.robosuite,
        has_renderer=False,
        has_offscreen_renderer=True,
        use_camera_obs=True,
        camera_names=names,
        camera_heights=pixels,
        camera_widths=pixels,
        control_freq=RATE_HZ,
        horizon=HORIZON,
        seed=0,
    )
    return unit_of(env, env.action_spec[1], reset)


def stock_kitchen(pixels: int = PIXELS) -> Unit:
    """A step and a picture of gymnasium-robotics' FrankaKitchen."""
    import gymnasium

    with contextlib.redirect_stderr(io.StringIO()):  # news about other environments than the kitchen
        import gymnasium_robotics
    gymnasium.register_envs(gymnasium_robotics)
    env = gymnasium.make(
        "FrankaKitchen-v1", render_mode="rgb_array", width=pixels, height=pixels, disable_env_checker=True
    )
    env.reset(seed=0)
    high, rng = env.action_space.high, np.random.default_rng(0)

    def step() -> None:
        if any(env.step((high * rng.uniform(-1, 1, high.shape)).astype(np.float32))[2:4]):
            env.reset()
        env.render()

    return step


def unit_of(env: Any, high: np.ndarray, reset: bool) -> Unit:
    """A step with random actions up to ``high``, or a reset, of an environment."""
    env.reset()
    if reset:
        return env.reset
    rng = np.random.default_rng(0)

    def step() -> None:
        done = env.step(high * rng.uniform(-1, 1, high.shape))[2:-1]  # (terminated, truncated), or robosuite's (done,)
        if any(done):
            env.reset()

    return step


def kitchen_absent() -> str:
    """Why FrankaKitchen cannot be measured here, or nothing."""
    if importlib.util.find_spec("gymnasium_robotics") is None:
        return "gymnasium-robotics is not installed"
    return ""


# ------------------------------------------------------------------------------------------------------------ the parts
def measure_rows(task: str, against: bool, seconds: float, rounds: int, core: int) -> tuple[list[Row], dict[str, str]]:
    """The table: rows, and what could not be measured with the reason."""
    name, absent = task.replace("_", " ").capitalize(), {}
    comparable = against
    if against and hasattr(make_task(task), "build"):
        comparable, absent[f"stock robosuite's {name}"] = False, "this task's scene is our own"
    exact, fast = {"name": task, "exact": True}, {"name": task}
    targets = {"one": 15.0, "two": 18.0, "fast": 24.0, "reset": 100.0} if task == "lift" else {}
    plan: list[tuple[str, str, str, dict[str, Any], dict[str, Any]]] = [
        ("one", f"{name}, one {PIXELS}x{PIXELS} camera, exact", "step", exact, {}),
        ("two", f"{name}, two cameras, exact", "step", {**exact, "cameras": 2}, {"cameras": 2}),
        ("fast", f"{name}, one camera, fast physics", "step", fast, {}),
        ("reset", f"{name}, reset with one camera, fast physics", "reset", {**fast, "reset": True}, {"reset": True}),
    ]
    subjects: list[tuple[Row, Any, dict[str, Any], Any, dict[str, Any]]] = [
        (Row(key, what, unit, targets.get(key)), ours, mine, stock if comparable else None, {"name": task, **theirs})
        for key, what, unit, mine, theirs in plan
    ]
    why = kitchen_absent()
    if why:
        absent["FrankaKitchen"] = why
    else:
        row = Row("kitchen", f"FrankaKitchen, one {PIXELS}x{PIXELS} camera, fast physics", "step", 120.0)
        subjects.append((row, ours, {"name": KITCHEN}, stock_kitchen if against else None, {}))
    with tqdm(total=len(subjects) * rounds, desc="in turn", unit="round") as bar:
        for row, make, mine, make_stock, theirs in subjects:
            bar.set_postfix_str(row.what)
            with Subject(make, core, **mine) as a:
                if make_stock is None:
                    row.run(a, None, rounds, seconds, bar.update)
                    continue
                with Subject(make_stock, core, **theirs) as b:
                    row.run(a, b, rounds, seconds, bar.update)
    return [row for row, *_ in subjects], absent


def measure_sizes(task: str, against: bool, seconds: float, core: int) -> list[dict[str, Any]]:
    """Steps per processor second with one camera, exact physics, at several image sizes."""
    against = against and not hasattr(make_task(task), "build")
    found = []
    for pixels in tqdm(SIZES, desc="image sizes", unit="size"):
        entry: dict[str, Any] = {"pixels": pixels}
        with Subject(ours, core, name=task, pixels=pixels, exact=True) as subject:
            entry["ours_per_cpu_s"] = subject.measure(seconds).rate
        if against:
            with Subject(stock, core, name=task, pixels=pixels) as subject:
                entry["stock_per_cpu_s"] = subject.measure(seconds).rate
        found.append(entry)
    return found


def measure_workers(task: str, seconds: float, counts: list[int]) -> list[dict[str, Any]]:
    """Steps per second of wall time of the vector environment, two environments a worker, fast physics, one camera: the
    median of several slices of time, because here all cores are in use and whatever else runs takes its share."""
    from sim.envs.vector import VectorEnv

    found = []
    for workers in tqdm(counts, desc="workers", unit="count"):
        with VectorEnv(our_task(task), 2 * workers, workers=workers, actuation_delay_ms=(0.0, 0.0)) as envs:
            envs.reset(seed=0)
            high, rng, rates, total = np.array(envs.contract.action.high, np.float32), np.random.default_rng(0), [], 0
            for _ in range(SLICES):
                start, steps = time.perf_counter(), 0
                while time.perf_counter() - start < seconds / SLICES:
                    envs.step(high * rng.uniform(-1, 1, (envs.num_envs, high.size)))
                    steps += envs.num_envs
                rates.append(steps / (time.perf_counter() - start))
                total += steps
            found.append({"workers": workers, "per_wall_s": median(rates), "rates": rates, "n": total})
    return found


def worker_counts(available: int) -> list[int]:
    """1, 2, 4, ... up to the cores there are, and all of them."""
    doubling = [2**k for k in range(available.bit_length())]
    return sorted({*doubling, available})


def plot(result: dict[str, Any], folder: Path) -> Path | None:
    """Steps/s against the number of workers and against the image size, as one picture; None without matplotlib."""
    if importlib.util.find_spec("matplotlib") is None:
        return None
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    workers = [entry["workers"] for entry in result["workers"]]
    rates = [entry["per_wall_s"] for entry in result["workers"]]
    left.plot(workers, rates, "o-", label="measured")
    left.plot(
        workers, [rates[0] * count for count in workers], ":", color="grey", label="one worker times their number"
    )
    left.set(xlabel="worker processes", ylabel="control steps / s", xticks=workers, ylim=(0, None))
    left.set_title(f"{PIXELS}x{PIXELS}, fast physics, {result['hardware']['cores']} cores", fontsize=10)
    for side in ("ours", "stock"):
        entries = [entry for entry in result["sizes"] if f"{side}_per_cpu_s" in entry]
        if entries:
            sizes = [entry["pixels"] for entry in entries]
            right.plot(sizes, [entry[f"{side}_per_cpu_s"] for entry in entries], "o-", label=side)
    right.set(
        xlabel="pixels a side, one camera", ylabel="control steps / s of one core", yscale="log", xticks=list(SIZES)
    )
    right.set_title("exact physics", fontsize=10)
    for which in (right.yaxis.set_major_formatter, right.yaxis.set_minor_formatter):
        which("{x:.0f}")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend()
    path = folder / "bench.png"
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    return path


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="pixelarm bench sim",
        description="Measure steps with pictures on one core, in turn with the simulator this one is built from.",
    )
    parser.add_argument("--against", metavar="WHAT", help="measure this too, in turn, and print ratios: stock")
    parser.add_argument("--task", default="lift", help="the task to measure (default: lift)")
    parser.add_argument(
        "--seconds", type=float, default=10.0, help="measuring time of each side of a row (default: 10)"
    )
    parser.add_argument("--rounds", type=int, default=5, help="turns of each side within that time (default: 5)")
    parser.add_argument("--json", action="store_true", help="print the whole result as JSON instead of the table")
    parser.add_argument("--out", type=Path, default=Path("runs/bench-sim"), help="folder for bench.json and bench.png")
    args = parser.parse_args(argv)
    if args.against is not None and args.against not in AGAINST:
        raise UnknownName("thing to measure against", args.against, AGAINST)
    if args.task not in TASKS:
        raise UnknownName("task", args.task, TASKS)
    if not 0 < args.seconds < math.inf or args.rounds < 1:
        raise PixelarmError(
            f"--seconds must be positive and --rounds at least 1, got {args.seconds:g} and {args.rounds}"
        )
    require_folder(args.out)
    one_thread()
    available = cores()
    rows, absent = measure_rows(args.task, args.against is not None, args.seconds, args.rounds, available[-1])
    each = args.seconds / args.rounds
    result = {
        "suite": "sim",
        **provenance("pixelarm bench sim " + shlex.join(argv)),
        "task": args.task,
        "seconds": args.seconds,
        "rounds": args.rounds,
        "rows": [row.to_dict() for row in rows],
        "absent": absent,
        "sizes": measure_sizes(args.task, args.against is not None, each, available[-1]),
        "workers": measure_workers(args.task, args.seconds, worker_counts(len(available))),
    }
    print(json.dumps(result, indent=1) if args.json else table(rows, absent))
    keep(args.out, result, "bench.png", lambda: plot(result, args.out))
    return 0
