"""``pixelarm data``: demonstrations of the kitchen in bulk, checked against their true states, drawn when wanted."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from tqdm import tqdm

from robot.commands.data import add_verbs
from robot.dataset.episodes import episode_files, read_episode, read_headers, write_index
from robot.errors import DatasetError, PixelarmError
from robot.files import Claim, require_folder
from sim.envs.config import LARGEST_IMAGE
from sim.envs.make import LOOKS
from sim.envs.task_world import build_world
from sim.kitchen.folder import jobs_of, make_split
from sim.kitchen.held_out import Moved, moved_in, require_held_out
from sim.kitchen.making import MADE
from sim.kitchen.objects import Objects
from sim.kitchen.pictures import Drawing, Painter, undrawn
from sim.kitchen.splits import PRETRAINING, SPLITS, TARGET, TARGETS, split_named
from sim.kitchen.workers import work
from sim.tasks.kitchen import SUBTASKS, Kitchen


def main(argv: list[str]) -> int:
    args = _parser().parse_args(argv)
    return args.run(args)


# ---------------------------------------------------------------------------------------------------------------- make
def make(args: argparse.Namespace) -> int:
    split_named(args.split)
    _at_least("--episodes", args.episodes, 1)
    _at_least("--seed", args.seed, 0)
    _at_least("--workers", args.workers, 1)
    if args.targets is not None:
        _at_least("--targets", args.targets, 1)
        if not split_named(args.split).target:
            raise PixelarmError(f"the split {args.split} has no target demonstrations: leave --targets out")
    require_folder(args.out)
    jobs = jobs_of(args.split, args.out, args.episodes, args.targets or TARGETS, args.seed)
    total = sum(map(len, jobs.values()))
    there = sum(job.path.exists() for wanted in jobs.values() for job in wanted)
    steps = 0
    with tqdm(total=total, initial=there, desc=args.split, unit="episode") as bar:
        for length in make_split(jobs, args.split, args.workers):
            steps += length
            bar.update()
    print(f"{total - there} new episodes, {steps} steps, {there} were there already")
    for wanted in jobs.values():
        print(_contents(wanted[0].path.parent))
    held_out = split_named(args.split).held_out
    if held_out:
        print(f"{held_out} is held out: its object never moves in {args.out / PRETRAINING}")
    return 0


def _contents(folder: Path) -> str:
    files = episode_files(folder)
    return f"{folder}: {len(files)} episodes, {sum(path.stat().st_size for path in files) / 1e6:.1f} MB"


def _at_least(option: str, value: int, least: int) -> None:
    if value < least:
        raise PixelarmError(f"{option} must be at least {least}, got {value}")


# --------------------------------------------------------------------------------------------------------------- check
def check(args: argparse.Namespace) -> int:
    """Say which objects move in which episodes, and refuse data in which a held-out one does."""
    folders = _datasets(args.folder)
    objects = Objects(build_world(Kitchen()).model)
    for folder in folders:
        files = episode_files(folder)
        moved = [found for path in files for found in moved_in(read_episode(path), path, objects)]
        print(f"{folder}: {len(files)} episodes")
        for subtask in SUBTASKS:
            print(_line(subtask, moved, len(files)))
    for folder in folders:
        made = read_headers(folder)[0].provenance.get(MADE, {})
        if made.get("role") == TARGET:
            continue
        wanted = args.held_out or getattr(SPLITS.get(made.get("split")), "held_out", None)
        if wanted is None:
            print(f"{folder}: nothing is held out; --held-out SUBTASK looks for one")
            continue
        require_held_out(folder, wanted, objects)
        print(f"{folder}: the object of {wanted}, which is held out, never moves")
    return 0


def _line(subtask: str, moved: list[Moved], episodes: int) -> str:
    furthest = [found.furthest for found in moved if found.subtask == subtask]
    most = f", furthest {max(furthest):.0%} of its way" if furthest else ""
    return f"  {subtask:<14} moves in {len(furthest):4d} of {episodes}{most}"


def _datasets(folder: Path) -> list[Path]:
    """The datasets of a split's folder, or the folder if it is a dataset itself."""
    if episode_files(folder):
        return [folder]
    found = [folder / role for role in (PRETRAINING, TARGET) if episode_files(folder / role)]
    if not found:
        raise DatasetError(
            f"{folder} holds neither episodes nor a folder {PRETRAINING} or {TARGET} of them; "
            "`pixelarm data make kitchen` makes some"
        )
    return found


# -------------------------------------------------------------------------------------------------------------- render
def render(args: argparse.Namespace) -> int:
    if not 1 <= args.size <= LARGEST_IMAGE:
        raise PixelarmError(f"--size must be 1 to {LARGEST_IMAGE} pixels, got {args.size}")
    _at_least("--workers", args.workers, 1)
    if args.out.resolve() == args.folder.resolve():
        raise PixelarmError(f"--out must be another folder than {args.folder}, whose states are kept as they are")
    drawing = Drawing(tuple(args.camera), args.size, args.look)
    for source in _datasets(args.folder):
        target = args.out if source == args.folder else args.out / source.name
        require_folder(target)
        _render(source, target, drawing, args.workers)
    return 0


def _render(source: Path, target: Path, drawing: Drawing, workers: int) -> None:
    headers = read_headers(source)
    task = headers[0].contract.task
    painter = Painter(task, drawing)
    with Claim(target, "drawing"):
        jobs = undrawn(source, target, headers, painter)
        painter.world.close()
        start = partial(Painter, task, drawing)
        with tqdm(total=len(headers), initial=len(headers) - len(jobs), desc=source.name, unit="episode") as bar:
            for _ in work(start, jobs, workers):
                bar.update()
        write_index(target)
    print(f"{_contents(target)}, cameras {', '.join(painter.cameras)}")


# -------------------------------------------------------------------------------------------------------------- parser
def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="pixelarm data",
        description="Demonstrations of the kitchen in bulk, as states: make them, check what they move, draw them; and "
        "of anybody's, what a killed recorder has left, and a page to look at them.",
        epilog="examples:\n"
        "  pixelarm data make kitchen --split no-kettle --episodes 600 --out runs/no-kettle\n"
        "  pixelarm data check runs/no-kettle\n"
        "  pixelarm data render runs/no-kettle --size 64 --out runs/no-kettle-64\n\n"
        "`pixelarm data make --help`, and so on, explains each.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    _make_options(verbs)
    _check_options(verbs)
    _render_options(verbs)
    add_verbs(verbs)
    return parser


def _make_options(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    splits = "\n".join(f"  {name:<14} {split.words}{_target_words(split.target)}" for name, split in SPLITS.items())
    parser = verbs.add_parser(
        "make",
        allow_abbrev=False,
        help="play a scripted expert that does nothing twice in the same way, and keep its states",
        description="Play the kitchen's randomised expert and keep its states: order of the subtasks, speed, side of "
        "approach, waypoints and start are drawn; noise is executed that the stored actions do not have. Repeat the "
        "command to go on after an interruption, or with more --episodes; nothing is ever replaced. The data follow "
        "from --split and --seed, with any number of workers.",
        epilog=f"splits:\n{splits}\n\nexample:\n  pixelarm data make kitchen --split no-kettle --episodes 600 --out "
        "runs/no-kettle",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=["kitchen"], help="whose data")
    parser.add_argument("--split", default="mixed", help="one of those below (default mixed)")
    parser.add_argument("--episodes", type=int, default=600, help="pretraining demonstrations (default 600)")
    parser.add_argument("--targets", type=int, help=f"target demonstrations (default {TARGETS}, where a split has any)")
    parser.add_argument("--seed", type=int, default=1, help="of the data (default 1)")
    parser.add_argument("--workers", type=int, default=2, help="processes (default 2)")
    parser.add_argument("--out", type=Path, required=True, help="folder: pretraining/ and target/ are made in it")
    parser.set_defaults(run=make)


def _target_words(target: tuple[str, ...]) -> str:
    return f"; target: {', '.join(target)}" if target else ""


def _check_options(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = verbs.add_parser(
        "check",
        allow_abbrev=False,
        help="which objects move in which episodes, by their true states",
        description="Count in how many episodes each object moves by a tenth of the way to its goal or more. "
        "Pretraining data in which a held-out object moves are refused, each such episode named.",
        epilog="example: pixelarm data check runs/no-kettle",
    )
    parser.add_argument("folder", type=Path, help="what `pixelarm data make` made, or one dataset of it")
    parser.add_argument(
        "--held-out", metavar="SUBTASK", help=f"one of: {', '.join(SUBTASKS)} (default: the one of the data's split)"
    )
    parser.set_defaults(run=check)


def _render_options(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = verbs.add_parser(
        "render",
        allow_abbrev=False,
        help="draw the pictures of stored states, by any camera and at any size",
        description="Draw what the cameras would have recorded, into a dataset that `pixelarm train` reads. Repeat the "
        "command to go on after an interruption; nothing is ever replaced.",
        epilog="example: pixelarm data render runs/no-kettle --size 64 --out runs/no-kettle-64",
    )
    parser.add_argument("folder", type=Path, help="what `pixelarm data make` made, or one dataset of it")
    parser.add_argument(
        "--camera",
        nargs="+",
        default=[],
        metavar="NAME",
        help="of the contract or of the scene (default: agentview and eye_in_hand, which training wants)",
    )
    parser.add_argument("--size", type=int, default=64, help="height and width in pixels (default 64)")
    parser.add_argument("--look", default=LOOKS[0], help=f"of the pictures: {', '.join(LOOKS)} (default {LOOKS[0]})")
    parser.add_argument("--workers", type=int, default=2, help="processes (default 2)")
    parser.add_argument("--out", type=Path, required=True, help="another folder")
    parser.set_defaults(run=render)
