"""``pixelarm data recover``: the verbs of ``pixelarm data`` that work where no simulator is installed.

The other verbs are in ``sim.commands.data``, which has these too.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from robot.dataset.recover import recover
from robot.errors import DatasetError


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


def say_recovered(folder: Path) -> int:
    """Print what ``recover`` says. Raises DatasetError if there is no such folder."""
    if not folder.is_dir():
        raise DatasetError(f"{folder} is not a folder: give that of the dataset")
    found = recover(folder)
    print("\n".join(found) if found else f"{folder}: no recorder has left anything there")
    return 0
