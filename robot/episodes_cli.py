"""``pixelarm dataset``: look at recorded episodes and check every one of them."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from robot.episodes import episode_files, read_episode, write_index
from robot.errors import DatasetError


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="pixelarm dataset",
        description="Check every episode of a dataset folder (or one file) and list what it holds.",
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
    bad, steps, contract = 0, 0, None
    for file in files:
        try:
            episode = read_episode(file)
        except DatasetError as error:
            bad += 1
            print(f"BAD  {error}")
            continue
        contract, steps = episode.contract, steps + len(episode)
        seconds = (episode.stamps[-1] - episode.stamps[0]) / 1e9
        gap = np.diff(episode.stamps).max() / 1e6
        print(
            f"ok   {file.name}  {len(episode):4d} steps  {seconds:5.1f} s  longest gap {gap:4.0f} ms  "
            f"{'success' if episode.success else 'failure'}  {episode.provenance.get('device', '?')}"
        )
    print(
        f"{len(files) - bad} of {len(files)} episodes readable, {steps} steps",
        f"contract {contract.hash}" if contract else "",
    )
    if args.contract and contract:
        print("\n" + contract.to_yaml())
    if args.reindex and not args.path.is_file() and not bad:
        print(f"wrote {write_index(args.path)}")
    return 1 if bad else 0
