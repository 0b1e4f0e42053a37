"""What an online run takes from another run: its policy as a frozen prior (``algo.prior=run recipe.prior=RUN``), or the
skills that it decides on (``algo.decides=skills recipe.skills=RUN``).
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import torch

from policies.config import TrainConfig
from policies.rl.pixel_policy import PixelPolicy
from policies.rollout.acting import load_policy
from policies.skills.config import SpirlConfig
from policies.skills.store import read_decisions
from robot.contract import Contract
from robot.errors import PixelarmError


def read_prior(cfg: TrainConfig, contract: Contract) -> dict[str, torch.Tensor]:
    """The weights of the prior that a recipe names, whose options become ``algo.prior_algo``; empty if it names none.

    Args:
        contract: of the policy that is to learn.

    Raises:
        PixelarmError: there is no such policy, or it is not of a kind that can propose.
        ContractMismatch: it is for another task, other cameras or other actions; each difference in words.
    """
    if not cfg.recipe.prior:
        return {}
    run = Path(cfg.recipe.prior)
    folder = next((f for f in (run, run / "policy") if (f / "policy.json").exists()), None)
    if folder is None:
        raise PixelarmError(f"recipe.prior={run} holds no policy (policy/policy.json); give a run of `pixelarm train`")
    policy, theirs = load_policy(folder, contract)
    if not isinstance(policy, PixelPolicy):
        raise PixelarmError(
            f"recipe.prior={run} is of the family {theirs.algo.family}, which does not propose one action at a time"
        )
    cfg.algo.prior_algo = asdict(theirs.algo)
    return policy.state_dict()


def read_decided(cfg: TrainConfig, contract: Contract) -> dict[str, torch.Tensor]:
    """The weights of the skills that an agent decides on, whose options become ``algo.skills_algo``; empty of others.

    Args:
        contract: of the policy that is to learn.

    Raises:
        PixelarmError: there are no such skills, or they have no prior.
        ContractMismatch: they observe or do something else; each difference in words.
    """
    if not isinstance(cfg.algo, SpirlConfig) or cfg.algo.decides != "skills":
        return {}
    tensors, theirs = read_decisions(Path(cfg.recipe.skills), contract)
    cfg.algo.skills_algo = asdict(theirs)
    return tensors
