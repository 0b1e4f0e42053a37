"""``pixelarm dataset``: look at recorded episodes and check every one of them."""

from __future__ import annotations

import argparse
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from robot.contract import Contract
from robot.dataset import recording
from robot.dataset.episodes import Episode, episode_files, read_episode, read_header, write_index
from robot.dataset.log import left_over
from robot.dataset.strays import common_contract, cure, misfit
from robot.errors import DatasetError


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="pixelarm dataset",
        description="Check every episode of a dataset folder (or one file), that all have one contract, and list them.",
    )
    parser.add_argument("path", type=Path, help="dataset folder, or one episode_*.hdf5")
    parser.add_argument("--contract", action="store_true", help="also print the contract")
    parser.add_argument(
        "--reindex", action="store_true", help="rebuild dataset.hdf5, the file robomimic opens, from the episodes"
    )
    args = parser.parse_args(argv)
    files = [args.path] if args.path.is_file() else episode_files(args.path)
    if not files:
        raise DatasetError(f"{args.path} is not a dataset (no episode_*.hdf5 in it); `pixelarm collect` records one")
    contract = _contract_of(files)
    good, bad = _list(files, contract)
    print(
        f"{len(good)} of {len(files)} episodes are good, {sum(len(episode) for episode in good.values())} steps",
        f"contract {contract.hash}" if contract else "",
    )
    _print_recordings(good)
    if args.contract and contract:
        print("\n" + contract.to_yaml())
    if good and bad:
        print(cure(bad))
    elif args.reindex and not args.path.is_file() and good:
        print(f"wrote {write_index(args.path)}")
    if not args.path.is_file() and (logs := left_over(args.path)):
        print(f"{len(logs)} episodes were cut off: `pixelarm data recover {args.path}` makes files of them")
    return 1 if bad else 0


def _contract_of(files: list[Path]) -> Contract | None:
    """The contract that most of the files have."""
    headers = []
    for file in files:
        with suppress(DatasetError):
            headers.append(read_header(file))
    return common_contract(headers)


def _list(files: list[Path], contract: Contract | None) -> tuple[dict[Path, Episode], list[Path]]:
    """A line for each file; the episodes that are good, without their images, and the files that are not."""
    good: dict[Path, Episode] = {}
    bad = []
    for file in files:
        try:
            episode = read_episode(file)
            if contract and episode.contract != contract:
                raise DatasetError(misfit(file, contract, episode.contract))
        except DatasetError as error:
            bad.append(file)
            print(f"BAD  {error}")
            continue
        seconds = (episode.stamps[-1] - episode.stamps[0]) / 1e9
        gap = np.diff(episode.stamps).max() / 1e6
        print(
            f"ok   {file.name}  {len(episode):4d} steps  {seconds:5.1f} s  longest gap {gap:4.0f} ms  "
            f"{'success' if episode.success else 'failure'}  {episode.provenance.get('device', '?')}"
        )
        episode.observations.clear()
        good[file] = episode
    return good, bad


def _print_recordings(good: dict[Path, Episode]) -> None:
    """How the episodes were recorded, and which of them otherwise than the first."""
    recorded = {file: recording.of(episode.provenance) for file, episode in good.items()}
    first: dict[str, Any] = next(iter(recorded.values()), {})
    if first:
        print("recorded with " + ", ".join(f"{name} {value}" for name, value in sorted(first.items())))
    for file, other in recorded.items():
        found = recording.differences(first, other)
        if found:
            words = "; ".join(recording.words(name, *values) for name, values in found.items())
            print(f"note: {file.name} (there) was recorded in another way than the first (here): {words}")
