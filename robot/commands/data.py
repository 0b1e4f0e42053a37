"""``pixelarm data recover`` and ``view``: the verbs of ``pixelarm data`` that work where no simulator is installed.

The other verbs are in ``sim.commands.data``, which has these too.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from robot.dataset.recover import recover
from robot.dataset.view.page import view
from robot.errors import DatasetError, PixelarmError

MOST = 100  # episodes with films, of a page


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        allow_abbrev=False, prog="pixelarm data", description="Look after recorded episodes, on the robot's computer."
    )
    add_verbs(parser.add_subparsers(required=True, metavar="VERB"))
    args = parser.parse_args(argv)
    status: int = args.run(args)
    return status


def add_verbs(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Each sets ``run``, which takes the arguments and returns the exit status."""
    parser = verbs.add_parser(
        "recover",
        allow_abbrev=False,
        help="episodes of what a recorder that was killed has left",
        description="Make episodes of the logs that a killed recorder has left in a dataset's folder, and say of each "
        "what was kept and what was lost. What was going on joins FOLDER/recovered, marked as truncated, where nobody "
        "learns from it by accident; an episode whose outcome had been said goes where it belongs. Nothing is "
        "overwritten, and a folder in which somebody records is left alone.",
        epilog="example: pixelarm data recover runs/hands",
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="of the dataset")
    parser.set_defaults(run=lambda args: say_recovered(args.folder))
    _view_options(verbs)


def _view_options(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = verbs.add_parser(
        "view",
        allow_abbrev=False,
        help="one HTML page: films, curves, where episodes begin, what the data lack",
        description="Write FOLDER/view.html, which needs no server and no other file: of each episode its films, which "
        "play in step, its actions, gripper and who acted; a map of where episodes begin; and what the data lack. What "
        "an earlier call wrote is replaced.",
        epilog="example: pixelarm data view runs/hands",
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="of the dataset")
    parser.add_argument(
        "--episodes",
        type=int,
        default=MOST,
        metavar="N",
        help=f"films and curves of so many, evenly spread; all count in map and hints (default {MOST})",
    )
    parser.set_defaults(run=lambda args: write_view(args.folder, args.episodes))


def write_view(folder: Path, most: int) -> int:
    """Write the page and say where it is."""
    if most < 1:
        raise PixelarmError(f"--episodes must be at least 1, got {most}")
    path = view(folder, most)
    print(f"{path} ({path.stat().st_size / 1e6:.1f} MB): open it in a browser")
    return 0


def say_recovered(folder: Path) -> int:
    """Print what ``recover`` says. Raises DatasetError if there is no such folder."""
    if not folder.is_dir():
        raise DatasetError(f"{folder} is not a folder: give that of the dataset")
    found = recover(folder)
    print("\n".join(found) if found else f"{folder}: no recorder has left anything there")
    return 0
