"""What is learned once and reused: a run of ``pixelarm pretrain``, read to begin another policy with."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

from policies.config import TrainConfig
from policies.runs.checkpoint import read_json, read_policy, reading
from policies.runs.provenance import made_with
from policies.skills.config import FistConfig
from robot.contract import Contract
from robot.dataset.several import files_of
from robot.errors import ContractMismatch, DatasetError, PixelarmError
from robot.files import write_json

ABOUT = "skills.json"  # in a run of skills: what data they are from

LEARN = "`pixelarm pretrain experiment=spirl_skills`"


def read_skills(run: Path) -> tuple[dict[str, Any], TrainConfig, Contract]:
    """Weights and scales, configuration and contract of a pretrained run.

    Raises:
        PixelarmError: there is none.
    """
    folder = next((f for f in (run, run / "policy") if (f / "policy.json").exists()), None)
    if folder is None:
        raise PixelarmError(f"skills={run} holds no skills (policy/policy.json); `pixelarm pretrain` learns some")
    tensors, config, contract, _ = read_policy(folder)
    return tensors, config, contract


def load_skills(policy: Any, run: Path) -> None:
    """Begin ``policy`` with the weights and scales of pretrained skills.

    Raises:
        PixelarmError: there are none, or they are of another shape or family.
        ContractMismatch: they observe or do something else; the task and ``execute`` alone may be others.
    """
    tensors, config, contract = read_skills(run)
    _require_same(policy.contract, contract, run)
    if config.algo.family != policy.cfg.family:
        raise PixelarmError(f"the skills of {run} are of the family {config.algo.family}, not {policy.cfg.family}")
    with reading(run, "its weights do not fit these options: adapt with those that the skills were learned with"):
        policy.load_state_dict(tensors)


def read_decisions(run: Path, contract: Contract) -> tuple[dict[str, Any], FistConfig]:
    """Weights, scales and options of skills to decide on, for a policy with ``contract``.

    Raises:
        PixelarmError: there are none, or they have no prior.
        ContractMismatch: as ``load_skills``.
    """
    tensors, config, theirs = read_skills(run)
    if not isinstance(config.algo, FistConfig):
        raise PixelarmError(
            f"recipe.skills={run} is of the family {config.algo.family}, which has no skills to decide on: give a run "
            f"of {LEARN}"
        )
    _require_same(contract, theirs, run)
    if not config.algo.state_prior:
        raise PixelarmError(
            f"the skills of {run} have no prior p(z | s), from which the policy is not to stray: learn others with "
            f"{LEARN}, or with algo.state_prior=true"
        )
    return tensors, config.algo


def _require_same(mine: Contract, theirs: Contract, run: Path) -> None:
    """Raise ContractMismatch of skills that observe or do something else; the task and ``execute`` may differ."""
    theirs = dataclasses.replace(theirs, task=mine.task, execute=mine.execute)
    try:
        mine.require_equal(theirs, here="this policy", there=f"the skills of {run}")
    except ContractMismatch as error:
        raise ContractMismatch(
            f"{error}\nskills can be reused for another task, but not for other observations, "
            "actions or rates: pretrain others"
        ) from error


# ------------------------------------------------------------------------------------------ what they were learned from
def write_data_of(run: Path, data: Path, episodes: int, held_out: str) -> None:
    """Keep in a run of skills that they were learned from the first ``episodes`` of a dataset."""
    about = {"data": str(data), "episodes": episodes, "digest": digest(data, episodes), "held_out": held_out or None}
    write_json(run / ABOUT, {**about, **made_with()})


def data_of(run: Path) -> dict[str, Any]:
    """What ``write_data_of`` has kept: "data", "episodes", "digest", "held_out".

    Raises:
        PixelarmError: nothing, or not all of it.
    """
    about = read_json(run / ABOUT) if (run / ABOUT).exists() else {}
    if not {"data", "episodes", "digest"} <= about.keys():
        raise PixelarmError(
            f"skills={run} does not say which data it was learned from ({ABOUT}), and this policy learns from some of "
            "them again; learn the skills with `pixelarm pretrain`"
        )
    return about


def require_data_of(run: Path, folder: Path) -> None:
    """Refuse a folder that is not, or no longer, the data of a run of skills; a copy of them elsewhere is.

    Raises:
        DatasetError: there are none, fewer, or others.
    """
    about = data_of(run)
    there, wanted = len(files_of(folder)), about["episodes"]
    if there < wanted:
        raise DatasetError(
            f"recipe.prior_data={folder} holds {there} of the {wanted} episodes that the skills of {run} were learned "
            "from, and this policy learns from some of them again: say where they are with recipe.prior_data=FOLDER"
        )
    if digest(folder, wanted) != about["digest"]:
        raise DatasetError(
            f"recipe.prior_data={folder} is not what the skills of {run} were learned from: its first {wanted} "
            "episodes are others, or were changed since. Say where those are with recipe.prior_data=FOLDER, or learn "
            "skills from these"
        )


def digest(folder: Path, episodes: int) -> str:
    """SHA-256 of the first ``episodes`` files of a dataset, or of several in one folder, hexadecimal."""
    found = hashlib.sha256()
    for path in files_of(folder)[:episodes]:
        found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()
