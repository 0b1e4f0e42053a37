"""The run whose reuse is shown: its policy, the demonstrations that it looks up, and the data its skills are from."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from policies.config import TrainConfig
from policies.rollout.acting import load_policy
from policies.runs.find import read_source
from policies.skills.fist import Fist
from policies.skills.store import read_skills
from policies.training.fit import read_episodes
from policies.training.skills import pretraining_folder
from robot.contract import Contract
from robot.dataset.episodes import Episode
from robot.errors import PixelarmError
from sim.envs.make import make_env_for
from sim.envs.task_env import TaskEnv
from sim.tasks.kitchen import Kitchen

# largest difference of a state that is the same, recomputed: of a scaled one; and of features of pictures, of their
# standard deviation, which a GPU may have computed in half precision
SAME, SAME_FEATURES = 1e-3, 0.1


@dataclass(frozen=True)
class Library:
    """The demonstrations that a policy looks up, one after the other: M moments of them.

    Attributes:
        demonstration, moment: ``(M,)`` int64, which one a row of ``Fist.seen`` is of, and its control step there.
    """

    episodes: tuple[Episode, ...]
    demonstration: np.ndarray
    moment: np.ndarray

    def last(self, demonstration: int) -> int:
        """The last moment of one."""
        return len(self.episodes[demonstration])


def library_of(episodes: Sequence[Episode]) -> Library:
    """Demonstrations in the order in which ``Fist.look_up`` was given them."""
    lengths = [len(episode) + 1 for episode in episodes]
    return Library(
        tuple(episodes),
        np.repeat(np.arange(len(lengths)), lengths),
        np.concatenate([np.arange(length) for length in lengths]),
    )


@dataclass(frozen=True)
class Subject:
    """A run folder, its policy on a CPU, and what that was made of.

    Attributes:
        skills: the contract and the folder of the data that its skills were learned from; None if there are none, or
            the data are not there, and then ``note`` says so.
    """

    folder: Path
    cfg: TrainConfig
    policy: Fist
    library: Library
    skills: tuple[Contract, Path] | None
    note: str = ""

    def make_env(self) -> TaskEnv:
        """What its policy is judged in."""
        env = make_env_for(self.policy.contract, asdict(self.cfg))
        if not isinstance(env, TaskEnv) or not isinstance(env.task, Kitchen):
            raise PixelarmError(
                f"the subtasks and pictures of this report are the kitchen's, and {self.folder} is of the task "
                f"{self.policy.contract.task}: give a policy of a kitchen task"
            )
        return env


def subject_of(folder: Path, demos: Path | None = None, data: Path | None = None) -> Subject:
    """The FIST policy of a run, with its demonstrations.

    Args:
        demos: the demonstrations, if they are no longer where the run had them.
        data: the same of the data that the skills were learned from.

    Raises:
        PixelarmError: there is no run, its policy looks nothing up, or its demonstrations are others; and what to give.
    """
    policy, cfg = fist_of(folder)
    where = demos or Path(cfg.demos)
    contract = policy.contract.recorded()
    if not where.is_dir():
        raise PixelarmError(
            f"{where}, the demonstrations that this policy looks up, is not there: name their folder with --demos"
        )
    episodes = read_episodes(where, contract)[: cfg.recipe.demos]
    require_same(policy, episodes, where)
    skills, note = data_of(cfg, data)
    return Subject(folder, cfg, policy, library_of(episodes), skills, note)


def fist_of(folder: Path) -> tuple[Fist, TrainConfig]:
    """The policy of a run, on a CPU, and the run's configuration.

    Raises:
        PixelarmError: it is no run, no FIST policy, or one that has no demonstrations.
    """
    if not folder.exists():
        raise PixelarmError(f"{folder} does not exist; give a run folder of `pixelarm adapt` or `pixelarm train`")
    source = read_source(folder)
    if source is not None and source.kind == "bundle":
        raise PixelarmError(
            f"{folder} is a policy bundle, which answers with actions alone: give the run folder that it was exported "
            "from, such as one of `pixelarm adapt`"
        )
    there = next((f for f in (folder, folder / "policy") if (f / "policy.json").exists()), None)
    if source is None or there is None:
        what = "no run of `pixelarm adapt` or `pixelarm train`" if source is None else "a run that has no policy yet"
        raise PixelarmError(f"{folder} is {what}; a FIST policy is wanted, with the demonstrations that it looks up")
    policy, cfg = load_policy(there)
    if not isinstance(policy, Fist):
        raise PixelarmError(
            f"{folder} holds a policy of the family {cfg.algo.family}, which looks no demonstrations up, so nothing "
            "can be shown of what it reuses: give a FIST policy (experiment=fist)"
        )
    if not len(policy.seen):
        raise PixelarmError(
            f"{folder} holds skills alone, without demonstrations to look up: `pixelarm adapt skills={folder} "
            "demos=FOLDER` makes a policy of them"
        )
    return policy, cfg


def require_same(policy: Fist, episodes: Sequence[Episode], where: Path) -> None:
    """Raise PixelarmError unless these are the demonstrations that the policy looks up, in their order."""
    windows = policy.rows(episodes)
    same = torch.equal(windows.left(), policy.left)
    if same:
        again = copy.deepcopy(policy)
        again.look_up(windows)
        least = SAME_FEATURES * float(policy.seen.std()) if policy.contract.cameras else SAME
        same = bool((again.seen - policy.seen).abs().max() <= least)
    if not same:
        raise PixelarmError(
            f"the first {len(episodes)} demonstrations of {where} ({len(windows.states)} states) are not the "
            f"{len(policy.left)} states that this policy looks up: name the folder that it was fitted to with --demos"
        )


def data_of(cfg: TrainConfig, data: Path | None) -> tuple[tuple[Contract, Path] | None, str]:
    """The contract and the folder of the data that a run's skills were learned from, in the end: a run may have begun
    with one that had begun with skills. Or None, and why.
    """
    if not cfg.recipe.skills:
        return None, "this policy was fitted to its demonstrations alone: no skills were learned before"
    theirs = cfg
    while theirs.recipe.skills:
        begun = theirs.recipe.skills
        try:
            _, theirs, contract = read_skills(Path(begun))
        except PixelarmError as error:
            return None, f"the data that the skills are from are not shown: {error}"
    folder = pretraining_folder(data) if data else Path(theirs.demos)
    if not folder.is_dir():
        return None, f"{folder}, the data that the skills were learned from, is not there: name it with --data"
    return (contract.recorded(), folder), ""
