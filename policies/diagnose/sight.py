"""Sight: how well positions can be read, linearly, from what a frozen encoder makes of the pictures.

A ridge regression (Hoerl and Kennard 1970) is the probe: what it finds is there for an actor to find. Episodes, not
frames, are set aside: frames of one episode show the same scene.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from policies.diagnose.watch import Played, Trace
from policies.policy import Observation
from policies.rl.pixel_policy import PixelPolicy

STRENGTHS = np.logspace(-4, 4, 17)  # of the regularisation, times the mean eigenvalue of the features' Gram matrix
SCENES = 10  # episodes below which nothing can be said
NEAR = 0.08  # m from the hand: where a grasp, or putting down, is aimed
PER_EPISODE = 10  # frames evenly spread over an episode, and as many more of those near the manipuland

# what is read: name -> what it is, for the page
PROBES = {
    "manipuland": "what the task moves",
    "goal": "where it belongs",
    "hand": "the hand",
    "aim at the manipuland": f"from the hand to what the task moves, within {100 * NEAR:.0f} cm and not held",
    "aim at the goal": f"from the hand to where it belongs, within {100 * NEAR:.0f} cm across",
}


@dataclass
class Frames:
    """What the probes learn from: N frames, each with its episode and the true positions in it."""

    seen: list[Observation] = field(default_factory=list)
    episodes: list[int] = field(default_factory=list)
    positions: list[dict[str, np.ndarray]] = field(
        default_factory=list
    )  # of ``PROBES``: (3,) m each, where there is one

    def add(self, played: Played, rng: np.random.Generator) -> None:
        """Some frames of an episode whose observations were kept."""
        trace, episode = played.trace, len(set(self.episodes))
        for state in chosen(trace, rng):
            self.seen.append(played.seen[state])
            self.episodes.append(episode)
            self.positions.append(positions(trace, state))


def chosen(trace: Trace, rng: np.random.Generator) -> list[int]:
    """States of an episode before whose steps to look: evenly spread ones, and some with the manipuland near."""
    if not trace.steps:
        return []
    even = np.linspace(0, trace.steps - 1, min(PER_EPISODE, trace.steps)).round().astype(int)
    near = [t for t in range(trace.steps) if "aim at the manipuland" in positions(trace, t)]
    more = rng.choice(near, PER_EPISODE, replace=False) if len(near) > PER_EPISODE else near
    return sorted({int(t) for t in (*even, *more)})


def positions(trace: Trace, state: int) -> dict[str, np.ndarray]:
    """The true positions in one state, those of ``PROBES`` that it has."""
    hand = trace.hand[state]
    found = {"hand": hand}
    if trace.manipuland is not None:
        found["manipuland"] = trace.manipuland[state]
        aim = trace.manipuland[state] - hand
        if np.linalg.norm(aim) < NEAR and not trace.held[state]:
            found["aim at the manipuland"] = aim
    if trace.goal is not None:
        found["goal"] = trace.goal[state]
        aim = trace.goal[state] - hand
        if np.linalg.norm(aim[:2]) < NEAR:
            found["aim at the goal"] = aim
    return found


@dataclass(frozen=True)
class Probe:
    """Median distance between the true and the read position on held-out episodes, and of guessing the mean; cm."""

    name: str
    error_cm: float
    mean_cm: float
    frames: int  # held out
    scenes: int  # of all frames


@torch.no_grad()
def look(policy: PixelPolicy, seen: Sequence[Observation], rows: int = 64) -> np.ndarray:
    """The encoder's features ``(N, F)`` float32 of N observations, each a batch of one."""
    found = []
    for start in range(0, len(seen), rows):
        part = seen[start : start + rows]
        batch = {name: torch.cat([one[name] for one in part]) for name in policy.encoder.cameras}
        found.append(policy.encoder(policy.encoder.stack(policy.views(batch))).float().numpy())
    return np.concatenate(found)


def probes(policy: PixelPolicy, frames: Frames) -> list[Probe]:
    """One probe for each position that occurs in ``SCENES`` episodes or more."""
    if not frames.seen:
        return []
    features, episodes = look(policy, frames.seen), np.array(frames.episodes)
    found = []
    for name in PROBES:
        rows = np.array([name in one for one in frames.positions])
        if len(np.unique(episodes[rows])) >= SCENES:
            truth = np.stack([one[name] for one in frames.positions if name in one])
            found.append(probe(name, features[rows], truth, episodes[rows]))
    return found


def probe(name: str, features: np.ndarray, truth: np.ndarray, episodes: np.ndarray) -> Probe:
    """Read ``truth`` ``(N, 3)`` m from ``features`` ``(N, F)``: three fifths of the episodes ``(N,)`` to learn from,
    one to choose the regularisation on, one to judge by.
    """
    scenes = np.unique(episodes)
    np.random.default_rng(0).shuffle(scenes)
    fifth = len(scenes) // 5
    test, choosing = np.isin(episodes, scenes[:fifth]), np.isin(episodes, scenes[fifth : 2 * fifth])
    fit = ~test & ~choosing
    read = ridge(features.astype(np.float64), truth, fit, choosing)
    guess = np.broadcast_to(truth[fit].mean(axis=0), truth.shape)
    error, mean = (100.0 * _median_distance(truth, guessed, test) for guessed in (read, guess))
    return Probe(name, error, mean, int(test.sum()), len(scenes))


def ridge(features: np.ndarray, truth: np.ndarray, fit: np.ndarray, chosen_on: np.ndarray) -> np.ndarray:
    """Predictions ``(N, D)`` of all rows, by the weights learned on the rows ``fit``, of the strength that errs least
    on the rows ``chosen_on``.

    Args:
        features: ``(N, F)``.
        truth: ``(N, D)``.
        fit, chosen_on: ``(N,)`` bool.
    """
    spread = features[fit].std(axis=0)
    scaled = (features - features[fit].mean(axis=0)) / np.where(spread > 1e-6, spread, 1.0)
    middle = truth[fit].mean(axis=0)
    # rows are fewer than features: the Gram matrix of the rows is the smaller one, and serves all strengths
    gram = scaled @ scaled[fit].T
    values, vectors = np.linalg.eigh(gram[fit])
    turned, target = gram @ vectors, vectors.T @ (truth[fit] - middle)
    best, least = np.empty_like(truth), np.inf
    for strength in STRENGTHS * max(values.mean(), 1e-12):
        read = middle + turned @ (target / (np.maximum(values, 0.0) + strength)[:, None])
        error = _median_distance(truth, read, chosen_on)
        if error < least:
            best, least = read, error
    return best


def _median_distance(truth: np.ndarray, read: np.ndarray, rows: np.ndarray) -> float:
    return float(np.median(np.linalg.norm((truth - read)[rows], axis=1)))
