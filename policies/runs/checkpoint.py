"""Checkpoints: a folder of safetensors and JSON that explains itself. No pickles.

``checkpoints/step_000001000/`` holds ``agent.safetensors``, ``state.json`` (counters, random states, configuration,
contract, versions), ``environment.safetensors`` and the replay memory as plain arrays. A checkpoint is written under
another name and renamed, so the newest folder that exists is whole.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from policies.config import TrainConfig
from policies.policy import family_of
from robot.contract import Contract
from robot.errors import PixelarmError
from robot.files import write_json

FORMAT = "pixelarm-checkpoint/3"  # 3: options of a family under algo; history is the policy's
_NAME, _STEP = "step_{:09d}", re.compile(r"step_(\d{9,})$")


def write(folder: Path, step: int, fill: Any, keep: int = 2) -> Path:
    """Call ``fill(partial_folder)``, then make it the checkpoint of ``step`` and remove all but the ``keep`` newest;
    0: all stay.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target, partial = folder_of(folder, step), folder / f".partial-{step}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        fill(partial)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        kept = newest(folder)
        raise PixelarmError(
            f"checkpoint {target} could not be written: {error.strerror or error}; "
            + (f"{kept} is whole" if kept else "there is none before it")
        ) from error
    shutil.rmtree(target, ignore_errors=True)
    os.replace(partial, target)
    for old in steps(folder)[:-keep]:
        shutil.rmtree(folder_of(folder, old), ignore_errors=True)
    return target


def steps(folder: Path) -> list[int]:
    """Steps of the checkpoints in a folder, in order."""
    named = (_STEP.match(found.name) for found in folder.glob("step_*"))
    return sorted(int(match[1]) for match in named if match)


def folder_of(folder: Path, step: int) -> Path:
    """Where the checkpoint of a step lies."""
    return folder / _NAME.format(step)


def newest(folder: Path) -> Path | None:
    found = steps(folder)
    return folder_of(folder, found[-1]) if found else None


def ended(run: Path) -> bool:
    """Whether a run has come to its end: its last policy is there. One of no updates has no checkpoints."""
    return (run / "last" / "policy.json").exists()


def save_tensors(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Write a safetensors file. Raises OSError, as every other way to write does."""
    try:
        save_file({k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}, path)
    except SafetensorError as error:  # it has the system's number in its words alone
        found = re.search(r"\(os error (\d+)\)", str(error))
        if found is None:
            raise
        number = int(found[1])
        raise OSError(number, os.strerror(number), str(path)) from error
    path.chmod(0o644)  # safetensors writes for the owner's eyes alone


def load_tensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise PixelarmError(f"{path} is not a readable safetensors file: {error}") from error


def save_policy(
    folder: Path, tensors: dict[str, torch.Tensor], cfg: TrainConfig, contract: Contract, about: dict[str, Any]
) -> None:
    """A policy that can act but not learn on: ``policy.safetensors`` and ``policy.json``. Replaces what is there."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / ".policy.safetensors"
    save_tensors(partial, tensors)
    description = {
        "format": FORMAT,
        "config": asdict(cfg),
        "contract": contract.to_dict(),
        "contract_hash": contract.hash,
        **about,
    }
    os.replace(partial, folder / "policy.safetensors")
    write_json(folder / "policy.json", description)


def read_policy(folder: Path) -> tuple[dict[str, torch.Tensor], TrainConfig, Contract, dict[str, Any]]:
    """What ``save_policy`` wrote. Raises PixelarmError when the folder holds no policy, or a damaged one."""
    about = read_json(folder / "policy.json")
    if about.get("format") != FORMAT:
        raise PixelarmError(
            f"{folder / 'policy.json'} has format {about.get('format')!r}, this version reads {FORMAT!r}: train anew, "
            f"or use the "
            "version of pixelarm that wrote it (its commit stands in the same file, under git). Exported bundles still "
            "run"
        )
    missing = [key for key in ("contract", "config") if key not in about]
    if missing:
        raise PixelarmError(f"{folder / 'policy.json'} lacks {' and '.join(missing)}: the policy cannot be used")
    contract = Contract.from_dict(about["contract"])
    return load_tensors(folder / "policy.safetensors"), config_from_dict(about["config"]), contract, about


@contextmanager
def reading(folder: Path, cure: str) -> Iterator[None]:
    """While files that belong together are read: what shows that they do not is said in words, with the cure."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (KeyError, TypeError, ValueError, RuntimeError, FileNotFoundError, EOFError) as error:
        what = " ".join(str(error).split())  # torch's words go over several lines
        raise PixelarmError(f"{folder} is damaged ({type(error).__name__}: {what}); {cure}") from error


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file; anything else is refused in words."""
    try:
        data = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise PixelarmError(f"{path} does not exist") from error
    except OSError as error:
        raise PixelarmError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise PixelarmError(f"{path} is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise PixelarmError(f"{path} must hold a JSON object {{...}}, got {type(data).__name__}")
    return data


def config_from_dict(data: dict[str, Any]) -> TrainConfig:
    """Plain data as the typed configuration; an unknown field or a wrong type is named."""
    schema = OmegaConf.structured(TrainConfig(algo=family_of(data.get("algo")).options()()))
    try:
        config = OmegaConf.to_object(OmegaConf.merge(schema, data))
    except OmegaConfBaseException as error:
        raise PixelarmError(f"this is not a configuration of this version: {error}") from error
    assert isinstance(config, TrainConfig)
    config.task.actuation_delay_ms = tuple(config.task.actuation_delay_ms)  # type: ignore[assignment]
    config.task.observation_delay_ms = tuple(config.task.observation_delay_ms)  # type: ignore[assignment]
    return config
