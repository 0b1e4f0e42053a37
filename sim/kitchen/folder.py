"""A split as a folder: a dataset of pretraining data, and one of target demonstrations.

    OUT/
      pretraining/episode_000000.hdf5 ...
      target/episode_000000.hdf5 ...

Both have the contract of the split's task, so what is learned from one can go on with the other. A folder that was
begun is gone on with; nothing in it is ever replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from robot.contract import Contract
from robot.dataset.episodes import Header, episode_files, read_headers, write_index
from robot.errors import DatasetError
from robot.files import Claim
from sim.envs.task_world import build_world
from sim.kitchen.held_out import require_held_out
from sim.kitchen.making import MADE, Job, Maker, states_only
from sim.kitchen.objects import Objects
from sim.kitchen.splits import PRETRAINING, TARGET, split_named
from sim.kitchen.workers import work

Tick = Callable[[int], object]


def jobs_of(split: str, folder: Path, episodes: int, targets: int, seed: int) -> dict[str, list[Job]]:
    """Every episode that a split's folder shall hold, by role."""
    counts = {PRETRAINING: episodes, TARGET: targets if split_named(split).target else 0}
    return {
        role: [Job(split, role, seed, i, folder / role / f"episode_{i:06d}.hdf5") for i in range(count)]
        for role, count in counts.items()
        if count
    }


def missing(jobs: dict[str, list[Job]], split: str) -> list[Job]:
    """Those that are not made yet, once what is there has been checked.

    Raises:
        DatasetError: an episode that is there was made in another way, or moves the held-out object; it is named.
    """
    contract = states_only(split_named(split).task().contract)
    todo = []
    for role, wanted in jobs.items():
        folder = wanted[0].path.parent
        if episode_files(folder):
            _require_same(read_headers(folder), wanted[0], contract)
            _require_untouched(role, split, folder)
        todo += [job for job in wanted if not job.path.exists()]
    return todo


def _require_same(headers: list[Header], like: Job, contract: Contract) -> None:
    for header in headers:
        wanted = {**like.made, "index": int(header.path.stem.removeprefix("episode_"))}
        found = header.provenance.get(MADE)
        if found is None:
            raise DatasetError(f"{header.path} was not made by `pixelarm data make`; choose another folder")
        differ = [f"{name}: {found.get(name)!r} there, {value!r} here" for name, value in wanted.items()
                  if found.get(name) != value]  # fmt: skip
        differ += contract.diff(header.contract)
        if differ:
            raise DatasetError(
                f"{header.path} (there) was made in another way than is wanted (here): {'; '.join(differ)}. Nothing "
                "was written; choose another folder, or the same options to go on"
            )


def _require_untouched(role: str, split: str, folder: Path) -> None:
    held_out = split_named(split).held_out
    if role == PRETRAINING and held_out is not None:
        world = build_world(split_named(split).task())
        require_held_out(folder, held_out, Objects(world.model))


def make_split(jobs: dict[str, list[Job]], split: str, workers: int) -> Iterator[int]:
    """Make what is missing; yields the steps of each new episode. The folders are this process's own meanwhile."""
    todo = missing(jobs, split)
    with ExitStack() as stack:
        for wanted in jobs.values():
            claim = stack.enter_context(Claim(wanted[0].path.parent, "making data"))
            if cleared := claim.clear_partials():
                print(cleared)
        yield from work(Maker, todo, workers)
        for role, wanted in jobs.items():
            _require_untouched(role, split, wanted[0].path.parent)
            write_index(wanted[0].path.parent)
