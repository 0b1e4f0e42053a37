"""How a kitchen policy is scored: completed subtasks, as the papers count them and more strictly.

Every episode is played for 450 control steps, whatever happens in it. A subtask counts as completed at a limit

* ``ever``: its object was within the threshold of its goal at some step up to the limit. With 280 steps and the
  threshold of 0.3 this is what the papers report (FIST, SPiRL, SAILOR): completed subtasks out of 4, in any order.
* ``still``: it is at the step of the limit itself.

The loose threshold is FrankaKitchen's: 0.3 (rad, m). The slide cabinet, which opens by 0.37 m, is then done once it has
moved by 7 cm. The strict one is half of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from robot.errors import PixelarmError
from robot.stats import bootstrap_interval, rate
from sim.envs.task_env import TaskEnv
from sim.tasks.kitchen import THRESHOLD, Kitchen, distance

LIMITS = (280, 450)  # control steps: the papers', and one that lets slow demonstrations be imitated to their end
STRICT = 0.5 * THRESHOLD
THRESHOLDS = {"loose": THRESHOLD, "strict": STRICT}
WHEN = ("ever", "still")

ActionOf = Callable[[dict[str, np.ndarray]], np.ndarray]


@dataclass(frozen=True)
class Score:
    """What one policy did.

    ``distances`` ``(episodes, 451, subtasks)`` rad and m: of each object from its goal at the start and after each
    control step.
    """

    subtasks: tuple[str, ...]
    seeds: tuple[int, ...]
    distances: np.ndarray

    @property
    def executed(self) -> int:
        """Control steps of each episode."""
        return self.distances.shape[1] - 1

    def completed(self, limit: int, when: str, threshold: str) -> np.ndarray:
        """``(episodes, subtasks)`` bool: what is completed at a limit of control steps, ``ever`` or ``still``."""
        within = self.distances < THRESHOLDS[threshold]
        return within[:, : limit + 1].any(axis=1) if when == "ever" else within[:, limit]

    def to_dict(self) -> dict[str, Any]:
        """Completed subtasks of each episode, and rates of each subtask, for JSON."""
        found: dict[str, Any] = {"subtasks": self.subtasks, "seeds": self.seeds, "executed_steps": self.executed}
        for limit, when, threshold in _columns():
            done = self.completed(limit, when, threshold)
            found[f"{when}_{limit}_{threshold}"] = {
                "completed": done.sum(axis=1).tolist(),
                "mean_completed": float(done.sum(axis=1).mean()),
                **{subtask: rate(done[:, i].tolist()).to_dict() for i, subtask in enumerate(self.subtasks)},
            }
        return found


def counts_subtasks(env: object) -> bool:
    """Whether this protocol says something of an environment: a kitchen with several subtasks."""
    return isinstance(env, TaskEnv) and isinstance(env.task, Kitchen) and len(env.task.subtasks) > 1


def score(env: TaskEnv, act: ActionOf, seeds: Sequence[int], *, title: str = "subtasks", quiet: bool = False) -> Score:
    """Play every seed for 450 control steps.

    Args:
        env: of a kitchen task; its subtasks are counted.
        act: maps an observation to an action in contract units; its ``reset()``, if any, is called before an episode.
    """
    if not isinstance(env.task, Kitchen):
        raise PixelarmError(f"completed subtasks are counted in the kitchen; {env.task.name} has none")
    if not seeds:
        raise PixelarmError("a score needs at least one seed")
    played = [_play(env, act, seed) for seed in tqdm(seeds, desc=title, unit="episode", disable=quiet, leave=not quiet)]
    return Score(env.task.subtasks, tuple(seeds), np.stack(played))


def _play(env: TaskEnv, act: ActionOf, seed: int) -> np.ndarray:
    observation, _ = env.reset(seed=seed)
    if hasattr(act, "reset"):
        act.reset()
    rows = [_distances(env)]
    for _ in range(LIMITS[-1]):
        observation, *_ = env.step(act(observation))
        rows.append(_distances(env))
    return np.array(rows)


def _distances(env: TaskEnv) -> list[float]:
    assert isinstance(env.task, Kitchen)
    return [distance(env.world, subtask) for subtask in env.task.subtasks]


# --------------------------------------------------------------------------------------------------------------- tables
def _columns() -> list[tuple[int, str, str]]:
    return [(limit, when, threshold) for limit in LIMITS for threshold in THRESHOLDS for when in WHEN]


def table(scores: Sequence[Score]) -> str:
    """The scores of one policy, or of several training seeds of it on the same scenes, as Markdown.

    Completed subtasks have 95 % bootstrap intervals, over training seeds and episodes where there are several; the
    rates of each subtask have Wilson intervals over all episodes.
    """
    first = scores[0]
    for other in scores[1:]:
        if (other.subtasks, other.seeds) != (first.subtasks, first.seeds):
            raise PixelarmError("scores that are put together must be of the same subtasks and scenes")
    runs = f"{len(scores)} training seeds, " if len(scores) > 1 else ""
    n = len(first.seeds)
    lines = [
        f"{runs}n = {n} episodes of {first.executed} executed steps, seeds {first.seeds[0]} to {first.seeds[-1]}",
        "",
        f"| completed of {len(first.subtasks)} | ever, loose | still, loose | ever, strict | still, strict |",
        "|---|---|---|---|---|",
    ]
    for limit in LIMITS:
        cells = [_mean(scores, limit, when, threshold) for threshold in THRESHOLDS for when in WHEN]
        lines.append(f"| at {limit} steps | {' | '.join(cells)} |")
    lines += ["", "| subtask | ever, loose | still, loose | ever, strict | still, strict |", "|---|---|---|---|---|"]
    for i, subtask in enumerate(first.subtasks):
        for limit in LIMITS:
            cells = [_rate(scores, i, limit, when, threshold) for threshold in THRESHOLDS for when in WHEN]
            lines.append(f"| {subtask}, {limit} | {' | '.join(cells)} |")
    lines += [
        "",
        f"loose: within {THRESHOLD:g} (rad, m) of the goal, as FrankaKitchen counts; strict: within {STRICT:g}",
    ]
    return "\n".join(lines)


def _mean(scores: Sequence[Score], limit: int, when: str, threshold: str) -> str:
    counts = [score.completed(limit, when, threshold).sum(axis=1) for score in scores]
    low, high = bootstrap_interval(counts, resample_strata=len(counts) > 1)
    return f"{np.mean(counts):.2f} [{low:.2f}, {high:.2f}]"


def _rate(scores: Sequence[Score], subtask: int, limit: int, when: str, threshold: str) -> str:
    done = np.concatenate([score.completed(limit, when, threshold)[:, subtask] for score in scores])
    found = rate(done.tolist())
    return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"
