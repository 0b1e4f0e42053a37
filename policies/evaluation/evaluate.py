"""Evaluation: fixed seeds, the same for every policy; success at any step and at the end; Wilson intervals; films.

An evaluation episode does not stop at the first success: the policy goes on for ``robot.stats.AFTER_STEPS`` more, and
"at the end" asks whether the task is still done then. A cube that was tossed up counts once, but not at the end.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from robot import bundle
from robot.contract import Contract
from robot.errors import PixelarmError
from robot.files import require_file, require_folder, write_json, write_results
from robot.stats import AFTER_STEPS, Rate, mcnemar, rate
from sim.envs.make import make_env_for
from sim.envs.task_env import TaskEnv
from sim.kitchen import protocol
from sim.physics.imperfections import Imperfections

EVAL_SEED = 10_000  # first seed of the test episodes: never used for training, demonstrations or validation
VALIDATION_SEED = 20_000  # first seed of the episodes looked at during training

ActionOf = Callable[[dict[str, np.ndarray]], np.ndarray]


@dataclass(frozen=True)
class Outcome:
    """One episode: ``steps`` until the first success, or all that were allowed."""

    seed: int
    success_once: bool
    success_end: bool
    steps: int
    total: float = 0.0  # sum of rewards


@dataclass
class Evaluation:
    outcomes: list[Outcome]
    films: dict[int, list[np.ndarray]] = field(default_factory=dict)  # seed -> frames
    after_steps: int = AFTER_STEPS  # control steps after the first success at which "at the end" was read

    @property
    def once(self) -> Rate:
        return rate([o.success_once for o in self.outcomes])

    @property
    def end(self) -> Rate:
        return rate([o.success_end for o in self.outcomes])

    @property
    def mean_return(self) -> float:
        return float(np.mean([o.total for o in self.outcomes]))

    def record(self, metric: str) -> dict[str, Any]:
        """What a training log keeps: the metric's value under its own name, and n."""
        found = {"metric": metric, "steps": float(np.mean([o.steps for o in self.outcomes]))}
        if metric == "success":
            return {**found, **self.once.to_dict()}
        return {**found, metric: self.mean_return, "n": len(self.outcomes)}

    def words(self, metric: str) -> str:
        if metric == "success":
            return str(self.once)
        returns = [o.total for o in self.outcomes]
        bounds = f"lowest {min(returns):.1f}, highest {max(returns):.1f}"
        return f"{metric} {self.mean_return:.1f} ({bounds}, n = {len(returns)})"

    def to_dict(self) -> dict[str, Any]:
        return {
            **self.once.to_dict(),
            "mean_return": self.mean_return,
            "at_end": self.end.to_dict(),
            "after_steps": self.after_steps,
            "mean_steps": float(np.mean([o.steps for o in self.outcomes])),
            "outcomes": [asdict(o) for o in self.outcomes],
        }


def so_far(outcomes: Sequence[Outcome], metric: str) -> str:
    """A progress bar's words."""
    if metric != "success":
        return f"{metric} {np.mean([o.total for o in outcomes]):.0f}"
    return f"{sum(o.success_once for o in outcomes)} of {len(outcomes)}"


def rollout(
    env: TaskEnv,
    act: ActionOf,
    seed: int,
    after_steps: int = AFTER_STEPS,
    film: list[np.ndarray] | None = None,
    limit: int = 0,
) -> Outcome:
    """Play one episode, of at most ``limit`` control steps, or of the task's own limit. ``act`` maps an observation to
    an action in contract units.
    """
    observation, info = env.reset(seed=seed)
    if hasattr(act, "reset"):
        act.reset()  # a policy that remembers forgets the episode before
    success, first, step, total = bool(info["success"]), None, 0, 0.0
    last = limit = limit or env.max_steps
    while step < last:
        if film is not None:
            film.append(env.render())
        observation, reward, _, _, info = env.step(act(observation))
        step += 1
        total += float(reward) if first is None else 0.0
        success = bool(info["success"])
        if success and first is None:
            first = step
            last = step + after_steps
    if film is not None:
        film.append(env.render())
    return Outcome(seed, first is not None, success, first if first is not None else limit, total)


def evaluate(
    env: TaskEnv,
    act: ActionOf,
    seeds: Sequence[int],
    *,
    after_steps: int = AFTER_STEPS,
    films: int = 0,
    title: str = "",
    quiet: bool = False,
    limit: int = 0,
) -> Evaluation:
    """Play every seed; keep the films of the first ``films`` successes and of as many failures. ``limit`` as of
    ``rollout``.
    """
    outcomes: list[Outcome] = []
    kept: dict[int, list[np.ndarray]] = {}
    count = {True: 0, False: 0}
    with tqdm(seeds, desc=title or "evaluate", unit="episode", disable=quiet, leave=bool(title)) as bar:
        for seed in bar:
            film: list[np.ndarray] | None = [] if films and min(count.values()) < films else None
            outcome = rollout(env, act, seed, after_steps, film, limit)
            outcomes.append(outcome)
            if film and count[outcome.success_once] < films:
                kept[seed] = film
                count[outcome.success_once] += 1
            bar.set_postfix_str(so_far(outcomes, env.metric), refresh=False)
    return Evaluation(outcomes, kept, after_steps)


def load_actor(path: str | Path, expect: Contract | None = None) -> tuple[ActionOf, Contract, dict[str, Any]]:
    """A policy to evaluate, from a bundle folder or from a run folder;
    with its contract and its training configuration.
    """
    path = Path(path)
    if (path / bundle.POLICY).exists() or (path / bundle.CARD).exists():
        from policies.rollout.acting import BundledPolicy

        policy = bundle.load(path, expect)
        return BundledPolicy(policy), policy.contract, policy.card.get("config", {})
    folder = next((f for f in (path, path / "policy") if (f / "policy.json").exists()), None)
    if not path.exists():
        raise PixelarmError(f"{path} does not exist; give a policy bundle, or a run folder of `pixelarm train`")
    if folder is None:
        raise PixelarmError(f"{path} is neither a policy bundle (policy.onnx) nor a training run (policy/policy.json)")
    from policies.rollout.acting import GreedyPolicy, load_policy

    made, config = load_policy(folder, expect)
    return GreedyPolicy(made), made.contract, asdict(config)


def _executed(act: Any, args: argparse.Namespace) -> ActionOf:
    """A policy that executes its chunks as its contract says, or as the command does."""
    if args.execute is None and args.inference_ms == 0.0:
        return act
    from policies.rollout.chunked import Chunked

    return Chunked(act, args.execute, args.inference_ms)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="pixelarm eval",
        description="Play a policy on fixed seeds and report success with its 95 % Wilson interval, or the return "
        "where a task has no success.",
        epilog="example: pixelarm eval runs/demo/bundle --episodes 50 --video runs/demo/films",
    )
    parser.add_argument("policy", type=Path, help="policy bundle, or run folder of `pixelarm train`")
    parser.add_argument("--episodes", type=int, default=50, help="how many seeds (default 50)")
    parser.add_argument(
        "--seed-start", type=int, default=EVAL_SEED, help=f"first seed (default {EVAL_SEED}, the test seeds)"
    )
    parser.add_argument("--against", type=Path, help="a second policy on the same seeds, compared in pairs")
    parser.add_argument(
        "--execute", type=int, metavar="K", help="of each chunk carry out K actions (default: as the contract says)"
    )
    parser.add_argument(
        "--inference-ms",
        type=float,
        default=0.0,
        metavar="MS",
        help="the policy's chunks come so late, and are executed by time as on an arm (default 0)",
    )
    for name, words in (
        ("gravity-error", "an arm whose gravity compensation is so much too little, such as 0.05"),
        ("joint-friction", "an arm with so much dry friction, a share of each joint's greatest torque, such as 0.02"),
        ("backlash-m", "an arm with so much play, m, such as 0.004"),
    ):
        parser.add_argument(f"--{name}", type=float, default=0.0, metavar="X", help=f"{words} (default 0)")
    parser.add_argument("--video", type=Path, metavar="FOLDER", help="write films of up to 3 successes and 3 failures")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every outcome as JSON")
    return parser


def _check(args: argparse.Namespace) -> None:
    """Refuse before anything slow what cannot work."""
    if args.episodes < 1:
        raise PixelarmError(f"--episodes must be at least 1, got {args.episodes}")
    if args.seed_start < 0:
        raise PixelarmError(f"--seed-start must be at least 0, got {args.seed_start}")
    if args.json:
        require_file(args.json)
    if args.video:
        require_folder(args.video)


def main(argv: list[str]) -> int:
    """``pixelarm eval``."""
    args = _parser().parse_args(argv)
    _check(args)
    errors = Imperfections(args.gravity_error, args.joint_friction, args.backlash_m)
    seeds = range(args.seed_start, args.seed_start + args.episodes)
    act, contract, config = load_actor(args.policy)
    act = _executed(act, args)
    rival = _executed(load_actor(args.against, expect=contract)[0], args) if args.against else None
    env = make_env_for(contract, config, errors)
    result = evaluate(env, act, seeds, films=3 if args.video else 0, title=str(args.policy))
    report: dict[str, Any] = {
        "policy": str(args.policy),
        "seeds": [seeds[0], seeds[-1]],
        "execute": contract.execute if args.execute is None else args.execute,
        "inference_ms": args.inference_ms,
        "imperfections": asdict(errors),
        **result.to_dict(),
    }
    if env.metric == "return":
        print(f"{result.words('return')}, seeds {seeds[0]} to {seeds[-1]}")
    else:
        print(f"success at any step {result.once}")
        print(f"success at the end  {result.end}, {AFTER_STEPS} steps after the first success")
        print(f"95 % Wilson intervals, seeds {seeds[0]} to {seeds[-1]}")
    if protocol.counts_subtasks(env):
        subtasks = protocol.score(env, act, seeds, title="completed subtasks")
        report["subtasks"] = subtasks.to_dict()
        print(f"\ncompleted subtasks, {protocol.table([subtasks])}\n")
    if rival is not None:
        other = evaluate(env, rival, seeds, title=str(args.against))
        here, there, p = mcnemar([o.success_once for o in result.outcomes], [o.success_once for o in other.outcomes])
        report["against"] = {
            "policy": str(args.against),
            **other.to_dict(),
            "only_first": here,
            "only_second": there,
            "p": p,
        }
        print(
            f"{args.against}: {other.once}\n"
            f"only the first succeeded {here} times, only the second {there} times (exact McNemar p = {p:.3f})"
        )
    env.close()
    writes: dict[Path, Callable[[], object]] = {args.json: lambda: write_json(args.json, report)} if args.json else {}
    if args.video:
        writes[args.video] = lambda: write_films(args.video, result, contract.rate_hz)
    write_results(writes)
    return 0


def write_films(folder: Path, evaluation: Evaluation, fps: float) -> None:
    """Films of an evaluation, named by outcome and seed."""
    from robot.dataset.video import write_video

    for outcome in evaluation.outcomes:
        if outcome.seed in evaluation.films:
            name = f"{'success' if outcome.success_once else 'failure'}_{outcome.seed}.mp4"
            print(f"wrote {write_video(folder / name, evaluation.films[outcome.seed], fps)}")
