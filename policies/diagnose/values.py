"""Values against what truly came: Q(o, a) of executed actions, by control steps to go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from policies.diagnose.watch import Played

# control steps to go, first and last; 1: the step that succeeds
BINS = ((1, 2), (3, 5), (6, 10), (11, 20), (21, 40), (41, 80), (81, 10_000))
TENTHS = 10  # of an episode


@dataclass(frozen=True)
class Bin:
    """The steps of successes with so many steps to go."""

    first: int
    last: int
    n: int
    value: float  # mean Q, over critics too
    truth: float  # mean discounted return


@dataclass(frozen=True)
class Values:
    """What one snapshot's critics say of that snapshot's own episodes.

    Attributes:
        step: environment steps of training.
        episodes, successes: how many were played.
        bins: of the successes.
        failing: mean Q in each tenth of a failure, empty if there was none.
        at_start, at_end: mean Q minus the true return in the first third, and in the last five steps, of successes.
        of_failures: mean Q in the last fifth of failures as a share of the mean Q of all steps of successes.
    """

    step: int
    episodes: int
    successes: int
    bins: list[Bin]
    failing: list[float]
    at_start: float | None
    at_end: float | None
    of_failures: float | None


def returns(steps: int, discount: float) -> np.ndarray:
    """Discounted returns ``(steps,)`` of an episode whose last step is rewarded with 1, and no other."""
    return discount ** np.arange(steps - 1, -1, -1.0)


def summarise(step: int, discount: float, successes: Sequence[np.ndarray], failures: Sequence[np.ndarray]) -> Values:
    """``Values`` from Q along each success and each failure, ``(T,)`` each."""
    successes, failures = [q for q in successes if len(q)], [q for q in failures if len(q)]
    truths = [returns(len(q), discount) for q in successes]
    bins, wrong_first, wrong_last = [], [], []
    if successes:
        value, truth = np.concatenate(successes), np.concatenate(truths)
        to_go = np.concatenate([np.arange(len(q), 0, -1) for q in successes])
        for first, last in BINS:
            rows = (to_go >= first) & (to_go <= last)
            if rows.any():
                bins.append(Bin(first, last, int(rows.sum()), float(value[rows].mean()), float(truth[rows].mean())))
        wrong_first = [float((q - g)[: -(-len(q) // 3)].mean()) for q, g in zip(successes, truths)]
        wrong_last = [float((q - g)[-5:].mean()) for q, g in zip(successes, truths)]
    failing = np.mean([_tenths(q) for q in failures], axis=0).tolist() if failures else []
    share = None
    if successes and failures and np.concatenate(successes).mean() > 0:
        ends = np.mean([q[-max(1, len(q) // 5) :].mean() for q in failures])
        share = float(ends / np.concatenate(successes).mean())
    count = len(successes) + len(failures)
    return Values(step, count, len(successes), bins, failing, _mean(wrong_first), _mean(wrong_last), share)


def _tenths(q: np.ndarray) -> list[float]:
    """Means of ten equal parts; of a shorter episode, values in between."""
    places = (np.arange(TENTHS) + 0.5) / TENTHS * (len(q) - 1)
    if len(q) < TENTHS:
        return np.interp(places, np.arange(len(q)), q).tolist()
    return [float(part.mean()) for part in np.array_split(q, TENTHS)]


def _mean(numbers: list[float]) -> float | None:
    return float(np.mean(numbers)) if numbers else None


def along(agent: object, played: Played, rows: int = 64) -> np.ndarray | None:
    """Q of the executed actions of an episode whose observations were kept, ``(T,)``, the mean of all critics; None of
    an agent without values.
    """
    found = []
    for start in range(0, len(played.seen), rows):
        part = played.seen[start : start + rows]
        batch = {name: torch.cat([one[name] for one in part]) for name in part[0]}
        actions = torch.from_numpy(played.actions[start : start + rows])
        values = agent.values(batch, actions)  # type: ignore[attr-defined]
        if values is None:
            return None
        found.append(values.mean(dim=0).float().cpu().numpy())
    return np.concatenate(found) if found else np.zeros(0)
