"""pixelarm from Python: environments, policies, demonstrations.

    import pixelarm

    env = pixelarm.make("lift")                       # an environment, see sim/envs/interface.py
    policy = pixelarm.load_policy("runs/demo/bundle") # called with an observation, returns an action
    observation, info = env.reset(seed=0)
    policy.reset()
    observation, reward, terminated, truncated, info = env.step(policy(observation))

Nothing heavy is imported before it is used: ``import pixelarm`` loads neither MuJoCo nor torch. It makes the tasks
known to gymnasium, where that is installed: ``gymnasium.make("pixelarm/lift", image_size=84)``,
``gymnasium.make("pixelarm/dmc", task="dmc/walker-walk")``.
"""

from __future__ import annotations

import ast
import importlib
import runpy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

# by its path, because the package robot may be hidden too
_packages = runpy.run_path(str(Path(__file__).resolve().parent / "robot" / "packages.py"))
_packages["require_ours"]("robot", "sim", "policies")

if TYPE_CHECKING:
    import numpy as np

    from robot import bundle
    from robot.contract import Contract
    from robot.dataset.dataset import Dataset
    from robot.dataset.episodes import Recorder
    from sim.envs.interface import Environment, VectorEnvironment

    __version__: str

__all__ = [
    "Contract",
    "Dataset",
    "Policy",
    "Recorder",
    "__version__",
    "load_bundle",
    "load_policy",
    "make",
    "make_vec",
]

_ELSEWHERE = {
    "Contract": "robot.contract",
    "Dataset": "robot.dataset.dataset",
    "Recorder": "robot.dataset.episodes",
}


class Policy(Protocol):
    """What ``load_policy`` returns. It remembers what it has seen: ``reset`` it at the start of each episode."""

    contract: Contract  # what it observes and does

    def reset(self) -> None:
        """The next observation is an episode's first."""

    def __call__(self, observation: dict[str, np.ndarray]) -> np.ndarray:
        """The action ``(size,)`` float32, in the contract's units, after one observation of an environment."""


# -------------------------------------------------------------------------------------------------------- environments
def make(task: str, **options: Any) -> Environment:
    """An environment of a task; needs the extra [sim].

    Args:
        task: a name of ``sim.tasks.TASKS`` ("lift", "stack", "kitchen", ...), or "dmc/DOMAIN-TASK" with the extra
            [dmc].
        options: ``image_size`` (pixels, 64), ``look``, ``hold_steps``, ``randomise``, ``actuation_delay_ms`` and the
            other fields of ``sim.envs.config.TaskConfig``; ``renderer`` and ``view_size`` (pixels of ``render``) of
            ``sim.envs.make.make_env``.

    Raises:
        UnknownName: a task, an option or a value that does not exist; the message lists those that do.
        MissingDependency: an extra is not installed.
    """
    with _extra("pixelarm.make", "sim"):
        from sim.envs.make import make as make_one
    return make_one(task, **options)


def make_vec(task: str, num_envs: int, **options: Any) -> VectorEnvironment:
    """``num_envs`` environments of a task side by side in worker processes; needs the extra [sim].

    The script that calls it needs ``if __name__ == "__main__":``, because worker processes import the script anew.

    Args:
        task: as of ``make``.
        options: as of ``make``; besides, ``workers`` (processes, by default one a core) and ``copy`` (True: fresh
            arrays).
    """
    with _extra("pixelarm.make_vec", "sim"):
        from sim.envs.make import make_vec as make_many
    return make_many(task, num_envs, **options)


# ------------------------------------------------------------------------------------------------------------ policies
def load_policy(path: str | Path) -> Policy:
    """A trained policy that acts on a CPU, from the folder of a run or from a bundle; needs the extra [train].

    Raises:
        PixelarmError: the folder is neither, or something in it was altered.
    """
    with _extra("pixelarm.load_policy", "train"):
        from policies.evaluation.evaluate import load_actor

        policy: Any = load_actor(path)[0]
    return policy


def load_bundle(path: str | Path, expect: Contract | None = None) -> bundle.Policy:
    """A policy bundle, verified and opened; needs no extra. ``act`` takes an observation, stacked over time where the
    contract's ``history`` is more than 1, and returns the actions of a chunk ``(chunk, size)``.

    Args:
        path: the folder that `pixelarm export` wrote.
        expect: refuse a bundle that was made for another contract.

    Raises:
        BundleError: incomplete, altered, or not loadable.
        ContractMismatch: not for ``expect``; the message names each difference.
    """
    from robot import bundle

    return bundle.load(path, expect)


# ------------------------------------------------------------------------------------------------------------- laziness
def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            value: Any = version("pixelarm")
        except PackageNotFoundError:  # a checkout that is on the path and not installed
            value = "unknown"
    elif name in _ELSEWHERE:
        value = getattr(importlib.import_module(_ELSEWHERE[name]), name)
    else:
        raise AttributeError(f"pixelarm has no {name!r}; it has {', '.join(__all__)}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


@contextmanager
def _extra(what: str, extra: str) -> Iterator[None]:
    """A package that an extra would bring, and that is absent, is said in words."""
    from robot.cli import EXTRAS
    from robot.errors import MissingDependency

    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {*EXTRAS["sim"], *EXTRAS[extra]}:
            raise  # not something to install: a fault of ours, or of the user's path
        raise MissingDependency(
            f"{what} needs the extra [{extra}] ({error.name} is not installed): pip install 'pixelarm[{extra}]'"
        ) from error


# ------------------------------------------------------------------------------------------------------------ gymnasium
def _task_names() -> list[str]:
    """The keys of ``sim.tasks.TASKS``, read from its source: importing it would import MuJoCo."""
    source = (Path(__file__).resolve().parent / "sim" / "tasks" / "__init__.py").read_text()
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.value, ast.Dict):
            return [str(key.value) for key in statement.value.keys if isinstance(key, ast.Constant)]
    return []


def _register() -> None:
    """Make the tasks known to gymnasium. Since its version 1.0 it finds no environments by itself,
    so this module is imported for it.
    """
    try:
        from gymnasium.envs.registration import register, registry
    except ModuleNotFoundError:  # the robot side alone
        return
    ids = {f"pixelarm/{task}": {"task": task} for task in _task_names()} | {"pixelarm/dmc": {}}
    for name, fixed in ids.items():
        if name not in registry:
            register(name, entry_point="pixelarm:make", vector_entry_point="pixelarm:make_vec", kwargs=fixed)


_register()
