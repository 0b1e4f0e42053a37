"""What a run's own log says: rewarded episodes, who acted, critics, entropy, cloning."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from policies.runs.metrics import read_log

EARLY = LATE = 0.2  # of the logged steps, at the beginning and at the end
AVERAGED = ("critic_loss", "q", "entropy", "alpha", "noise", "prior_acted", "bc_loss")


def read(run: Path) -> dict[str, float]:
    """Numbers of a run's log by name, those that it has: of training lines the mean over the early and over the late
    ones, ``NAME_early`` and ``NAME_late``.
    """
    trains, evals, before = (read_log(run, kind) for kind in ("train", "eval", "pretrain"))
    found: dict[str, float] = {}
    for record in before:
        found |= {name: float(record[name]) for name in ("cloning_loss", "auxiliary_loss") if name in record}
    if trains:
        first, last = trains[0]["step"], trains[-1]["step"]
        early = [line for line in trains if line["step"] <= first + EARLY * (last - first)]
        late = [line for line in trains if line["step"] >= last - LATE * (last - first)]
        found["steps"] = float(last)
        for name in ("train_success", *AVERAGED):
            found |= _both(name, early, late)
        found |= _growth(found)
    validated = [line for line in evals if "success" in line]
    if validated:
        best = max(validated, key=lambda line: line["success"])
        found |= {
            "validation_first": float(validated[0]["success"]),
            "validation_last": float(validated[-1]["success"]),
            "validation_best": float(best["success"]),
            "validation_n": float(validated[-1]["n"]),
        }
    if "train_success_late" in found and validated:
        end = [line["success"] for line in validated if line["step"] >= trains[-1]["step"] * (1 - LATE)]
        if end:
            found["exploring_gap"] = float(np.mean(end)) - found["train_success_late"]
    return found


def _both(name: str, early: Sequence[dict[str, Any]], late: Sequence[dict[str, Any]]) -> dict[str, float]:
    found = {}
    for when, lines in (("early", early), ("late", late)):
        numbers = [float(line[name]) for line in lines if line.get(name) is not None]
        if numbers:
            found[f"{name}_{when}"] = float(np.mean(numbers))
    return found


def _growth(found: dict[str, float]) -> dict[str, float]:
    """How many times its early size the critics' loss has at the end."""
    early, late = found.get("critic_loss_early"), found.get("critic_loss_late")
    return {"critic_loss_growth": late / early} if early and late is not None and early > 0 else {}
