"""``pixelarm leaderboard``: every recipe on every task, the same demonstrations, budgets and test scenes for all.

What is missing is recorded, trained and played; what is there is taken, and a run that was cut off goes on. So the same
command, repeated, ends with a whole table:

    OUT/demos/TASK-seed1/                 ten scripted demonstrations
    OUT/runs/RECIPE-TASK-seed1/           as of `pixelarm train`
    OUT/TASK/README.md                    a page: film, curves, tables, commands; and what `pixelarm compare` writes
    OUT/bundles/RECIPE-TASK-seed1/        the first recipe's policy, to compare with or to run
    OUT/leaderboard.html, .md, .json      one line a task; the HTML file holds all pages

With ``--records FOLDER`` each run also leaves a file of some kB there (``policies/runs/record.py``), which stands for
it where it is not there any more.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from policies.runs import checkpoint
from robot.errors import PixelarmError, UnknownName
from robot.files import require_folder

# robot minutes: how long a recipe may learn
MINUTES = {
    "reach": 8, "lift": 10, "pull": 10, "switch": 15, "drawer": 15, "door": 20, "move": 30, "stack": 60,
    "pick_place_can": 60, "nut_assembly_square": 60,
}  # fmt: skip
RECIPES = ("ferm_pp", "ferm_plus", "ibrl", "rlpd", "bc")  # the first is what the others are compared with
EPISODES = 100  # test scenes of each policy
RATE_HZ = 10.0  # of all these tasks


@dataclass(frozen=True)
class Cell:
    """One run of the table."""

    task: str
    recipe: str
    seed: int
    out: Path

    @property
    def demos(self) -> Path:
        return self.out / "demos" / f"{self.task}-seed{self.seed}"

    @property
    def run(self) -> Path:
        return self.out / "runs" / f"{self.recipe.replace('/', '-')}-{self.task}-seed{self.seed}"

    @property
    def finished(self) -> bool:
        """Whether it has learned to the end: a run writes its last policy then."""
        return (self.run / "last" / "policy.json").exists()

    def overrides(self, more: Sequence[str]) -> list[str]:
        """The options of its training."""
        from policies.training.compose import compose

        options = [
            f"experiment={self.recipe}", f"task={self.task}", f"demos={self.demos}", f"seed={self.seed}",
            f"run={self.run}", "trainer.patience=0", *more,
        ]  # fmt: skip
        learns = compose(options).recipe.steps > 0 and not any(o.startswith("recipe.steps=") for o in more)
        budget = [f"recipe.steps={round(MINUTES[self.task] * 60 * RATE_HZ)}"] if learns else []
        started = checkpoint.newest(self.run / "checkpoints" / "rank0") is not None
        return [*options, *budget, *(["resume=true"] if started else [])]


def cells(tasks: Sequence[str], recipes: Sequence[str], seeds: Sequence[int], out: Path) -> list[Cell]:
    """All runs, a seed of everything before the next seed: a table that is cut off has every task in it."""
    return [Cell(task, recipe, seed, out) for seed in seeds for task in tasks for recipe in recipes]


def learn(cell: Cell, demos: int, more: Sequence[str]) -> None:
    """Record and train what of a cell is missing."""
    from policies.training.compose import compose
    from policies.training.train import train
    from robot.dataset.episodes import episode_files
    from sim.demonstrations import collect
    from sim.envs.make import make_env

    cfg = compose(cell.overrides(more))
    missing = demos - len(episode_files(cell.demos))
    if missing > 0:
        env = make_env(cfg.task)
        collect(env, cell.demos, missing, cell.seed, append=cell.demos.exists())
        env.close()
    train(cfg)


def build(tasks: Sequence[str], recipes: Sequence[str], seeds: Sequence[int], out: Path, **options: Any) -> list[str]:
    """Run what is missing, and write the pages of all runs in ``out`` after each; returns, in words, what failed.

    Args:
        options: ``demos``, ``episodes``, ``overrides`` and ``records`` as on the command line; ``learning`` False
            trains nothing.
    """
    from policies.bench.leaderboard_pages import recorded, write_pages

    failures: list[str] = []
    everything = cells(tasks, recipes, seeds, out)
    order = [*RECIPES, *(recipe for recipe in recipes if recipe not in RECIPES)]
    records = options.get("records")
    there = {(source.task, source.experiment, source.seed) for source in recorded(records)}
    for number, cell in enumerate(everything, 1):
        if cell.finished or (cell.task, cell.recipe, cell.seed) in there or not options.get("learning", True):
            continue
        print(f"[{number}/{len(everything)}] {cell.recipe} on {cell.task}, seed {cell.seed}", flush=True)
        try:
            learn(cell, options["demos"], options["overrides"])
            write_pages(out, MINUTES, order, options["episodes"], [cell.task], records)
        except PixelarmError as error:  # the others can still run
            failures.append(f"{cell.run}: {error}")
    text = write_pages(out, MINUTES, order, options["episodes"], tasks, records)
    if not text and not failures:
        raise PixelarmError(f"no run in {out / 'runs'} has ended: nothing to show yet")
    print(text, end="")
    return failures


def main(argv: list[str]) -> int:
    """``pixelarm leaderboard``."""
    args = _parser().parse_args(argv)
    for task in args.tasks:
        if task not in MINUTES:
            raise UnknownName("task of the leaderboard", task, list(MINUTES))
    if min(args.episodes, args.demos, *args.seeds) < 1:
        raise PixelarmError("--episodes, --demos and --seeds must be at least 1")
    require_folder(args.out)
    if args.records:
        require_folder(args.records)
    failures = build(
        args.tasks, args.recipes, args.seeds, args.out,
        demos=args.demos, episodes=args.episodes, overrides=args.override, records=args.records,
        learning=not args.only_table,
    )  # fmt: skip
    print(f"wrote {args.out / 'leaderboard.html'} and leaderboard.md")
    if failures:
        raise PixelarmError("some runs failed, the same command tries them again:\n  - " + "\n  - ".join(failures))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="pixelarm leaderboard",
        description="Train every recipe on every task for the same robot minutes, from the same demonstrations, play "
        "the same test scenes, and write one table. Repeat the command after Ctrl-C: what is there is not done again.",
        epilog="example: pixelarm leaderboard --tasks reach --recipes bc ferm_pp --seeds 1",
    )
    minutes = ", ".join(f"{task} {m}" for task, m in MINUTES.items())
    parser.add_argument(
        "--tasks", nargs="+", default=list(MINUTES), help=f"with their robot minutes: {minutes} (default all)"
    )
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES), help=f"experiments ({', '.join(RECIPES)})")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3], help="training seeds (default 1 2 3)")
    parser.add_argument("--demos", type=int, default=10, help="demonstrations of each task and seed (default 10)")
    parser.add_argument(
        "--episodes", type=int, default=EPISODES, help=f"test scenes of each policy (default {EPISODES})"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/leaderboard"), help="folder (default runs/leaderboard)")
    parser.add_argument(
        "--records",
        type=Path,
        metavar="FOLDER",
        help="records of runs: what has one is not trained, and each run that ends adds its own (default: none)",
    )
    parser.add_argument(
        "--only-table", action="store_true", help="train nothing: the table of the runs and records that are there"
    )
    parser.add_argument(
        "--override", nargs="+", default=[], metavar="OPTION=VALUE", help="options of every training run"
    )
    return parser
