"""Datasets of several tasks in one folder, to learn from all of them at once: ``FOLDER/lift``, ``FOLDER/door``, ..."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from robot.contract import Contract
from robot.dataset.episodes import Header, episode_files, read_headers
from robot.errors import ContractMismatch

Item = TypeVar("Item")


def datasets_in(folder: str | Path) -> list[Path]:
    """The folder itself if it is a dataset, else the datasets directly in it, by name."""
    folder = Path(folder)
    if episode_files(folder):
        return [folder]
    return sorted(found for found in folder.glob("*") if found.is_dir() and episode_files(found))


def take_turns(lists: Iterable[list[Item]]) -> list[Item]:
    """The first of each, then the second of each, and so on, so that the first few are of all tasks."""
    every = list(lists)
    return [items[i] for i in range(max(map(len, every), default=0)) for items in every if i < len(items)]


def files_of(folder: str | Path) -> list[Path]:
    """The episode files of all datasets in a folder, which take turns."""
    return take_turns(episode_files(dataset) for dataset in datasets_in(folder))


def headers_of(folder: str | Path) -> list[Header]:
    """What those say of themselves, in the same order.

    Raises:
        DatasetError: there is no dataset, or as ``read_headers``.
        ContractMismatch: two of them differ in more than the task; each difference is named.
    """
    datasets = datasets_in(folder)
    if not datasets:
        return read_headers(folder)  # says what is missing
    headers = [read_headers(dataset) for dataset in datasets]
    first = headers[0][0].contract
    for dataset, (one, *_) in zip(datasets, headers):
        try:
            for_task(first, one.contract.task).require_equal(one.contract, str(datasets[0]), str(dataset))
        except ContractMismatch as error:
            raise ContractMismatch(
                f"{error}\ndatasets that are learned from together may differ in nothing but their task: move "
                f"{dataset} elsewhere, or record its task alike"
            ) from error
    return take_turns(headers)


def for_task(contract: Contract, task: str) -> Contract:
    """The same contract, of another task."""
    return dataclasses.replace(contract, task=task)
