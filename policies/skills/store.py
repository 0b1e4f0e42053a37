"""What is learned once and reused: a run of ``pixelarm pretrain``, read to begin another policy with."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from policies.config import TrainConfig
from policies.runs.checkpoint import read_policy, reading
from policies.skills.config import FistConfig
from robot.contract import Contract
from robot.errors import ContractMismatch, PixelarmError

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
