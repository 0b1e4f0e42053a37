"""``pixelarm bench experts``: the scripted expert of every table task with every arm, over many seeds."""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from robot.errors import PixelarmError, UnknownName
from robot.files import require_folder
from robot.stats import wilson
from sim.arms import ARMS
from sim.bench.harness import keep, one_thread, provenance
from sim.bench.tasks import SUCCEEDS, measure_expert
from sim.envs.config import TaskConfig
from sim.envs.make import configured_task, takes_arms
from sim.envs.task_env import ACTUATION_DELAY_MS
from sim.tasks import TASKS

REFUSED = "refused"

Results = dict[str, dict[str, dict[str, Any]]]  # task -> arm -> what was measured, or why it is refused


def measure(tasks: Sequence[str], arms: Sequence[str], episodes: int) -> Results:
    """Every task with every arm on seeds from 0, as ``sim.bench.tasks.measure_expert`` has it.

    Where an arm cannot do a task, such as one whose gripper cannot hold the object, there is the reason instead.
    """
    found: Results = {task: {} for task in tasks}
    with tqdm(total=len(tasks) * len(arms) * episodes, unit="episode") as bar:
        for task in tasks:
            for arm in arms:
                bar.set_description(f"{task}, {arm}")
                try:
                    scene = configured_task(TaskConfig(task, arm=arm))
                except PixelarmError as reason:
                    found[task][arm] = {REFUSED: str(reason)}
                    bar.update(episodes)
                    continue
                found[task][arm] = measure_expert(scene, range(episodes), bar.update)
    return found


def table(found: Results) -> str:
    """A row a task, a column an arm: successes of n with their 95 % Wilson interval; below it what misses the target
    and what is refused.
    """
    arms = list(next(iter(found.values())))
    width = max(map(len, found)) + 2
    lines = [f"{'':<{width}}" + "".join(f"{arm:<21}" for arm in arms)]
    lines += [f"{task:<{width}}" + "".join(f"{cell(found[task][arm]):<21}" for arm in arms) for task in found]
    pairs = [(task, arm, one) for task, row in found.items() for arm, one in row.items()]
    for task, arm, one in pairs:
        if REFUSED in one:
            lines.append(f"{task} with {arm} is refused: {one[REFUSED]}")
        elif not one["reached"]:
            lines.append(f"{task} with {arm} MISSED the target; seeds that failed: {one['failed_seeds']}")
    return "\n".join(line.rstrip() for line in lines) + f"\ntarget: an expert solves {SUCCEEDS:.0%}"


def cell(one: Mapping[str, Any]) -> str:
    """One task with one arm, such as "98/100 [0.93, 0.99]"."""
    if REFUSED in one:
        return REFUSED
    found = wilson(round(one["success"] * one["n"]), one["n"])
    return f"{found.successes}/{found.n} [{found.low:.2f}, {found.high:.2f}]"


def main(argv: list[str]) -> int:
    table_tasks = [name for name in TASKS if takes_arms(name)]
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="pixelarm bench experts",
        description="Play the scripted expert of every table task with every arm on fixed seeds.",
    )
    parser.add_argument("--tasks", nargs="+", metavar="TASK", help=f"some of: {', '.join(table_tasks)} (default: all)")
    parser.add_argument("--arms", nargs="+", metavar="ARM", help=f"some of: {', '.join(ARMS)} (default: all)")
    parser.add_argument(
        "--episodes", type=int, default=100, help="of each task with each arm, seeds from 0 (default: 100)"
    )
    parser.add_argument("--json", action="store_true", help="print the whole result as JSON instead of the table")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/bench-experts"), help="folder for bench.json (default: %(default)s)"
    )
    args = parser.parse_args(argv)
    tasks = _known("task", args.tasks, table_tasks)
    arms = _known("arm", args.arms, list(ARMS))
    if args.episodes < 1:
        raise PixelarmError(f"--episodes must be at least 1, got {args.episodes}")
    require_folder(args.out)
    one_thread()
    found = measure(tasks, arms, args.episodes)
    result = {
        "suite": "experts",
        **provenance("pixelarm bench experts " + shlex.join(argv)),
        "seeds": [0, args.episodes - 1],
        "actuation_delay_ms": ACTUATION_DELAY_MS,
        "target": SUCCEEDS,
        "tasks": found,
    }
    print(json.dumps(result, indent=1) if args.json else table(found))
    keep(args.out, result)
    return 0


def _known(what: str, wanted: Sequence[str] | None, known: Sequence[str]) -> list[str]:
    """The wanted names, each once; all that are known if none was asked for."""
    names = list(dict.fromkeys(wanted or known))
    for name in names:
        if name not in known:
            raise UnknownName(what, name, known)
    return names
