"""The examination: every measurement of a diagnosis, in order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from tqdm import tqdm

from policies.diagnose import log, noise, sight, values
from policies.diagnose.census import SUCCESS, classify, closest, count
from policies.diagnose.subject import Subject
from policies.diagnose.watch import Act, Played, Watch
from policies.evaluation.evaluate import EVAL_SEED
from policies.policy import Observation, Policy
from policies.rl.pixel_policy import PixelPolicy
from policies.runs import snapshots
from robot.stats import Rate, rate

VALUED = 20  # episodes of each snapshot
KEPT = 50  # episodes of the census whose observations are kept: 25 kB a step
EXPERT_EPISODES = 60
EXPERT_SEED = 40_000  # first scene of the expert's episodes: neither trained nor tested on
FILMED = 2  # failures of each class
NOISE_FRAMES = 256


@dataclass
class Examined:
    """Everything that was measured, and notes on what could not be."""

    policy: str  # which one was played
    classes: list[tuple[int, str, int]] = field(default_factory=list)  # seed, class, steps
    closest: list[float | None] = field(default_factory=list)  # of each episode, see ``census.closest``; m
    films: dict[str, list[tuple[int, list[np.ndarray]]]] = field(default_factory=dict)  # class -> (seed, frames)
    values: list[values.Values] = field(default_factory=list)
    probes: list[sight.Probe] = field(default_factory=list)
    noise: list[noise.Dimension] = field(default_factory=list)
    log: dict[str, float] = field(default_factory=dict)
    numbers: dict[str, float | None] = field(default_factory=dict)  # those that findings judge
    notes: list[str] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        return count([name for _, name, _ in self.classes])

    @property
    def success(self) -> Rate:
        return rate([name == SUCCESS for _, name, _ in self.classes])

    def to_dict(self) -> dict[str, Any]:
        return {
            "policy": self.policy,
            "success": self.success.to_dict(),
            "census": self.counts,
            "episodes": [
                {"seed": seed, "class": name, "steps": steps, "closest_m": near}
                for (seed, name, steps), near in zip(self.classes, self.closest)
            ],
            "values": [asdict(one) for one in self.values],
            "sight": [asdict(one) for one in self.probes],
            "noise": [asdict(one) for one in self.noise],
            "log": self.log,
            "notes": self.notes,
        }


def examine(subject: Subject, episodes: int) -> Examined:
    """Measure all that can be measured of a run; only reads it."""
    env = subject.make_env()
    watch = Watch(env)
    policy, which = subject.policy()
    found = Examined(which)
    played = _census(found, watch, policy, episodes)
    _values(found, watch, subject, min(episodes, VALUED))
    _sight(found, watch, policy, played)
    _noise(found, subject, played)
    found.log = log.read(subject.folder)
    if not found.log:
        found.notes.append("the log holds no training lines")
    found.numbers = numbers_of(found, watch)
    env.close()
    return found


def _acts(policy: Any) -> Act:
    """The policy's actions in one episode, as evaluation carries them out."""
    left: list[np.ndarray] = []

    def act(seen: Observation) -> np.ndarray:
        if not left:
            left.extend(policy.act(seen, sample=False)[0][: policy.contract.execute])
        return left.pop(0)

    return act


def _census(found: Examined, watch: Watch, policy: Policy, episodes: int) -> list[Played]:
    """Play, sort, and film some failures of each class; returns the episodes whose observations were kept."""
    kept: list[Played] = []
    failures: dict[str, list[Played]] = {}
    history = policy.contract.history
    for index in tqdm(range(episodes), desc="census", unit="episode"):
        played = watch.play(_acts(policy), EVAL_SEED + index, history, keep=index < KEPT)
        name = classify(played.trace)
        found.classes.append((played.trace.seed, name, played.trace.steps))
        found.closest.append(closest(played.trace))
        if index < KEPT:
            kept.append(played)
        if name != SUCCESS and len(failures.setdefault(name, [])) < FILMED:
            failures[name].append(played)
    for name, those in failures.items():
        found.films[name] = [(one.trace.seed, watch.filmed(one)) for one in those]
    return kept


def _values(found: Examined, watch: Watch, subject: Subject, episodes: int) -> None:
    if not subject.learns_online:
        found.notes.append(
            f"there are no critics: policies of the family {subject.cfg.algo.family} are fitted to demonstrations, so "
            "there are no values to look at, and no exploration"
        )
        return
    if not subject.networks:
        found.notes.append("there are no values to look at: this run holds neither snapshots nor checkpoints")
    elif not (subject.folder / snapshots.FOLDER).exists():
        found.notes.append(
            "this run has no snapshots: it is from an earlier version, or has made less than a sixteenth of its steps. "
            "Values are those of its newest checkpoint, earlier ones are missing"
        )
    for step, agent in subject.agents():
        ends: dict[bool, list[np.ndarray]] = {True: [], False: []}
        for index in tqdm(range(episodes), desc=f"values at step {step}", unit="episode"):
            played = watch.play(_acts(agent.policy), EVAL_SEED + index, agent.contract.history, keep=True)
            q = values.along(agent, played)
            if q is None:
                found.notes.append("this kind of agent has no value of an action")
                return
            ends[played.trace.success].append(q)
        found.values.append(values.summarise(step, subject.cfg.algo.discount, ends[True], ends[False]))
    if found.values and not found.values[-1].successes:
        found.notes.append(
            f"none of {episodes} episodes of the newest networks succeeded: their values are shown along failures "
            "alone, and are not judged"
        )


def _sight(found: Examined, watch: Watch, policy: Policy, played: list[Played]) -> None:
    if not isinstance(policy, PixelPolicy):
        found.notes.append(f"sight is not measured: {type(policy).__name__} has no encoder that is known here")
        return
    frames, rng = sight.Frames(), np.random.default_rng(0)
    for one in played:
        frames.add(one, rng)
    for one in _expert_episodes(watch, policy.contract.history):
        frames.add(one, rng)
    found.probes = sight.probes(policy, frames)


def _expert_episodes(watch: Watch, history: int) -> Iterator[Played]:
    for seed in tqdm(range(EXPERT_SEED, EXPERT_SEED + EXPERT_EPISODES), desc="sight: expert", unit="episode"):
        yield watch.play(_expert(watch, seed), seed, history, keep=True)


def _expert(watch: Watch, seed: int) -> Act:
    made: list[Any] = []

    def act(seen: Observation) -> np.ndarray:
        if not made:  # an expert is made after the reset
            made.append(watch.env.expert(seed))
        return made[0]()

    return act


def _noise(found: Examined, subject: Subject, played: list[Played]) -> None:
    seen = [observation for one in played for observation in one.seen]
    picks = np.unique(np.linspace(0, len(seen) - 1, min(NOISE_FRAMES, len(seen))).round().astype(int)) if seen else []
    for _, agent in subject.agents(newest_only=True):
        found.noise = noise.measure(agent, [seen[i] for i in picks])


def numbers_of(found: Examined, watch: Watch) -> dict[str, float | None]:
    """What ``findings.RULES`` judge, by their keys."""
    n = len(found.classes)
    numbers: dict[str, float | None] = {**found.log, "success": found.success.value}
    numbers |= {f"share {name}": hits / n for name, hits in found.counts.items() if name != SUCCESS and hits}
    if found.values:
        last = found.values[-1]
        ends = {"value_at_start": last.at_start, "value_at_end": last.at_end, "value_of_failures": last.of_failures}
        numbers |= ends
    errors = {probe.name: probe.error_cm for probe in found.probes}
    if watch.grasps:
        numbers["aim_to_grasp_cm"] = errors.get("aim at the manipuland")
    else:
        numbers["aim_to_touch_cm"] = errors.get("aim at the manipuland", errors.get("aim at the goal"))
    motions = [dimension.std for dimension in found.noise if dimension.name != "gripper"]
    numbers["noise_largest"] = max(motions, default=None)
    return numbers
