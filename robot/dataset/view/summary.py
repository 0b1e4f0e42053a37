"""What is kept of an episode for the page, so that the memory holds one episode's pictures at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from robot.contract import Contract
from robot.control.pictures import Pictures
from robot.dataset import acting
from robot.dataset.episodes import Episode
from robot.history import GAP

JERK = 0.5  # of an action's range, from one step to the next
REST = 0.02  # of an action's range: less is no motion


@dataclass(frozen=True)
class Summary:
    """One episode in numbers."""

    name: str
    steps: int
    seconds: float
    success: bool
    start: np.ndarray | None  # (3,) m, of the end effector
    objects: dict[str, np.ndarray]  # (3,) m when it began, where a simulator said them
    jerky: float  # share of the steps that change an arm's action by more than JERK of its range
    resting: float  # share of the steps with no motion and no change of the gripper
    gaps: int  # longer than 1.5 periods
    longest_gap_s: float
    who: dict[str, int]  # actions of each who acted; empty: not said
    pictures: list[str]  # what is wrong with them, one sentence a camera
    truncated: bool = False
    device: str = ""
    clipped: int = 0


def summarise(name: str, episode: Episode) -> Summary:
    seen = episode.observations.get("eef_pos")
    between_s = np.diff(episode.stamps) * 1e-9
    share = shares(episode.contract, episode.actions)
    arm, gripper = share[:, :-1], share[:, -1]
    changes = np.abs(np.diff(arm, axis=0)).max(axis=1, initial=0.0) / 2.0
    still = (np.abs(arm).max(axis=1, initial=0.0) < REST) & (np.abs(np.diff(gripper, prepend=gripper[:1])) < REST)
    return Summary(
        name=name,
        steps=len(episode),
        seconds=float(between_s.sum()),
        success=episode.success,
        start=None if seen is None else seen[0],
        objects={name: np.array(at) for name, at in episode.provenance.get("objects", {}).items()},
        jerky=float(np.mean(changes > JERK)) if len(changes) else 0.0,
        resting=float(np.mean(still)),
        gaps=int(np.sum(between_s > GAP * episode.contract.period_s)),
        longest_gap_s=float(between_s.max()),
        who={} if episode.source is None else acting.counts(episode.source),
        pictures=faults(episode),
        truncated=bool(episode.provenance.get("truncated")),
        device=str(episode.provenance.get("device", "")),
        clipped=int(episode.provenance.get("clipped", 0)),
    )


def shares(contract: Contract, actions: np.ndarray) -> np.ndarray:
    """Actions ``(N, A)`` as shares of their bounds, -1 to 1."""
    low, high = np.array(contract.action.low), np.array(contract.action.high)
    found: np.ndarray = 2.0 * (actions - low) / np.maximum(high - low, 1e-12) - 1.0
    return found


def faults(episode: Episode) -> list[str]:
    """Dark and frozen pictures, by the control loop's own rules: a sentence for each camera that has any."""
    found = []
    for camera in (c.name for c in episode.contract.cameras):
        watch, wrong = Pictures(simulated=True), []
        for t, picture in enumerate(episode.observations[camera]):
            measured = {n: values[t] for n, values in episode.observations.items() if n in ("eef_pos", "joint_pos")}
            wrong += [stop[0] for stop in (watch.check(camera, picture, measured),) if stop]
        for rule, word in (("dark_picture", "dark"), ("frozen_picture", "frozen")):
            if count := wrong.count(rule):
                found.append(f"{camera}: {count} of {len(episode) + 1} pictures are {word}")
    return found
