"""``pixelarm bench kitchen``: what the kitchen's scripted experts complete by the papers' protocol."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
from pathlib import Path

import numpy as np

from robot.errors import PixelarmError, UnknownName
from robot.files import require_folder
from sim.bench.harness import keep, one_thread, provenance
from sim.envs.task_env import TaskEnv
from sim.kitchen.experts import VariedExpert
from sim.kitchen.protocol import Score, score, table
from sim.kitchen.recording import disturbed
from sim.kitchen.splits import SPLITS
from sim.tasks.kitchen import Kitchen

TASKS = {split.task().name: split.task() for split in SPLITS.values()}  # the targets, and the plain kitchen


class Expert:
    """The task's own expert as a policy."""

    def __init__(self, env: TaskEnv) -> None:
        self.env, self.episodes = env, 0

    def reset(self) -> None:
        self.act = self.env.expert(self.episodes)
        self.episodes += 1

    def __call__(self, observation: dict[str, np.ndarray]) -> np.ndarray:
        return self.act()


class Varied(Expert):
    """The expert of the data, disturbed as it is there."""

    def reset(self) -> None:
        assert isinstance(self.env.task, Kitchen)
        self.rng = np.random.default_rng(self.episodes)
        self.expert = VariedExpert(self.rng, self.env.task)
        self.episodes += 1

    def __call__(self, observation: dict[str, np.ndarray]) -> np.ndarray:
        return disturbed(self.expert.act(self.env.world), self.expert, self.env, self.rng)


EXPERTS: dict[str, type[Expert]] = {"task": Expert, "varied": Varied}


def measure(name: str, expert: str, episodes: int) -> Score:
    """An expert on a task, seeds from 0, without pictures."""
    task = Kitchen(TASKS[name].subtasks)
    task.contract = dataclasses.replace(task.contract, cameras=())
    env = TaskEnv(task)
    found = score(env, EXPERTS[expert](env), range(episodes), title=f"{expert} expert, {name}")
    env.close()
    return found


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="pixelarm bench kitchen",
        description="Play the kitchen's scripted experts for 450 control steps an episode and count completed subtasks "
        "at 280 and 450 steps, ever and still, by FrankaKitchen's threshold and by half of it. 'task' is the task's "
        "own expert, 'varied' the one of `pixelarm data make`, with the noise that is executed there.",
    )
    parser.add_argument("--tasks", nargs="+", metavar="TASK", help=f"some of: {', '.join(TASKS)} (default: all)")
    parser.add_argument("--experts", nargs="+", choices=list(EXPERTS), default=list(EXPERTS), help="(default: both)")
    parser.add_argument("--seeds", type=int, default=100, help="episodes of each, seeds from 0 (default: 100)")
    parser.add_argument("--json", action="store_true", help="print the whole result as JSON instead of the tables")
    parser.add_argument("--out", type=Path, default=Path("runs/bench-kitchen"), help="folder for bench.json")
    args = parser.parse_args(argv)
    names = list(dict.fromkeys(args.tasks or TASKS))
    for name in names:
        if name not in TASKS:
            raise UnknownName("kitchen task with four subtasks", name, TASKS)
    if args.seeds < 1:
        raise PixelarmError(f"--seeds must be at least 1, got {args.seeds}")
    require_folder(args.out)
    one_thread()
    scores = {(name, expert): measure(name, expert, args.seeds) for name in names for expert in args.experts}
    result = {
        "suite": "kitchen",
        **provenance("pixelarm bench kitchen " + shlex.join(argv)),
        "scores": [{"task": name, "expert": expert, **found.to_dict()} for (name, expert), found in scores.items()],
    }
    if args.json:
        print(json.dumps(result, indent=1))
    else:
        print("\n\n".join(f"{name}, {expert} expert: {table([found])}" for (name, expert), found in scores.items()))
    keep(args.out, result)
    return 0
