"""Episodes that do not belong in their dataset: which contract is the others', where theirs differs, what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from robot.contract import Contract


class Described(Protocol):
    """An episode, or its header."""

    @property
    def contract(self) -> Contract: ...


def common_contract(items: Iterable[Described]) -> Contract | None:
    """The contract that most episodes have; of equals, the earliest's. None without any."""
    counted = Counter(item.contract for item in items).most_common(1)
    return counted[0][0] if counted else None


def misfit(path: Path, contract: Contract, other: Contract) -> str:
    """That an episode has another contract than its dataset, and where they differ."""
    return f"{path} has another contract (there) than the dataset (here): " + "; ".join(contract.diff(other))


def cure(wrong: Iterable[Path]) -> str:
    """What to do about episodes that do not belong among others, which are good."""
    files = list(wrong)
    folder, names = files[0].parent, ", ".join(path.name for path in files)
    return f"move {names} out of {folder}, then write the index anew: pixelarm dataset {folder} --reindex"
