"""From a trained policy to a policy bundle: ONNX, checked against torch, with its contract and card."""

from __future__ import annotations

import argparse
import io
import time
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from policies.policy import Policy
from policies.rollout.acting import BundledPolicy, GreedyPolicy, load_policy
from policies.runs.checkpoint import read_json
from policies.runs.provenance import git_commit, hardware, versions
from policies.skills.fist import Fist
from robot import bundle, profile
from robot.contract import Contract
from robot.errors import BundleError, PixelarmError
from robot.files import require_folder
from sim.envs.make import make_env_for

TOLERANCE = 1e-4  # largest accepted difference between ONNX Runtime and torch, as a share of each action's half range


def to_onnx(policy: Policy) -> bytes:
    """The deployed policy as ONNX, with the contract's names."""
    network, contract = policy.deployed().eval(), policy.contract
    example = random_observation(contract, np.random.default_rng(0))
    arrays = tuple(torch.from_numpy(value)[None].expand(contract.history, *value.shape) for value in example.values())
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network,
            arrays,
            input_names=list(example),
            output_names=["action"],
            dynamo=True,
            verbose=False,
            optimize=True,
        )
    assert program is not None
    program.save(buffer)
    return buffer.getvalue()


def check_parity(exported: bundle.Policy, policy: Policy, observations: list[dict[str, np.ndarray]]) -> float:
    """Largest difference between the two over ``observations`` and whole chunks, as a share of each action's half
    range.

    Raises:
        BundleError: it is more than ``TOLERANCE``.
    """
    mine, reference = BundledPolicy(exported), GreedyPolicy(policy)
    half = (np.array(policy.contract.action.high) - np.array(policy.contract.action.low)) / 2
    # one after the other: histories too
    differences = [np.abs(mine.see(o)() - reference.see(o)()) / half for o in observations]
    worst = float(np.max(differences))  # of a NaN, NaN
    if not worst <= TOLERANCE:
        raise BundleError(
            f"the exported network differs from torch by {worst:.2e} of an action's half range, more than "
            f"{TOLERANCE:.0e}: not exported"
        )
    return worst


def sample_observations(
    contract: Contract, config: dict[str, Any], episodes: int = 3, seed: int = 0
) -> list[dict[str, np.ndarray]]:
    """Observations to compare on: some seen in the task under random actions, and some of pure noise."""
    env, rng = make_env_for(contract, config), np.random.default_rng(seed)
    found = [random_observation(contract, rng) for _ in range(16)]
    for episode in range(episodes):
        observation, _ = env.reset(seed=seed + episode)
        for _ in range(10):
            found.append(observation)
            observation, *_ = env.step(contract.clip_action(rng.uniform(contract.action.low, contract.action.high)))
    env.close()
    return found


def random_observation(contract: Contract, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Images of noise, and proprioception of N(0, 1), of one moment."""
    observation: dict[str, np.ndarray] = {
        c.name: rng.integers(0, 256, c.shape, dtype=np.uint8) for c in contract.cameras
    }
    return observation | {p.name: rng.normal(size=p.size).astype(np.float32) for p in contract.proprio}


def latency_ms(policy: bundle.Policy, calls: int = 200) -> dict[str, float]:
    """Inference time of one call on this machine."""
    answer = BundledPolicy(policy).answer
    seen = [random_observation(policy.contract, np.random.default_rng(0))] * policy.contract.history
    times = []
    for _ in range(calls + 20):
        start = time.perf_counter()
        answer(seen)
        times.append((time.perf_counter() - start) * 1e3)
    p50, p99 = np.percentile(times[20:], [50, 99])
    return {"p50": float(p50), "p99": float(p99), "calls": calls}


def export(run: Path, out: Path, evaluation: dict[str, Any] | None = None) -> tuple[Path, float]:
    """Write the bundle of a run's policy; returns its folder and the measured difference to torch.

    ``evaluation`` (success, n, low, high) goes onto the card, if it was measured.
    """
    folder = run if (run / "policy.json").exists() else run / "policy"
    made, config = load_policy(folder)
    about = read_json(folder / "policy.json")
    onnx = to_onnx(made)
    policy = bundle.Policy(onnx, made.contract, {})
    difference = check_parity(policy, made, sample_observations(made.contract, asdict(config)))
    card = {
        "task": made.contract.task,
        "recipe": config.experiment,
        "seed": config.seed,
        "config": asdict(config),
        "trained": {key: about.get(key) for key in ("step", "robot_minutes", "validation", "git")},
        "data": {
            "demonstrations": config.recipe.demos,
            "contract_hash": made.contract.hash,
            "states_looked_up": len(made.seen) if isinstance(made, Fist) else 0,
        },
        "success": evaluation,
        "parity": {"largest_difference": difference, "tolerance": TOLERANCE, "unit": "share of an action's half range"},
        "latency_ms": {**latency_ms(policy), "hardware": hardware()},
        "exported": {"git": git_commit(), "versions": versions()},
    }
    return bundle.write(out, onnx, made.contract, card), difference


def read_evaluation(path: Path) -> dict[str, Any]:
    """What the card says of a result of ``pixelarm eval --json``."""
    found, wanted = read_json(path), ("success", "n", "low", "high")
    if not all(key in found for key in wanted):
        raise PixelarmError(f"{path} is no result of `pixelarm eval --json`: it must hold {', '.join(wanted)}")
    return {key: found[key] for key in wanted}


def main(argv: list[str]) -> int:
    """``pixelarm export``."""
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="pixelarm export",
        description="Export a run's policy as a bundle (ONNX + contract + card). Refused when ONNX Runtime and torch "
        f"differ by more than {TOLERANCE:.0e} of an action's half range.",
        epilog="example: pixelarm export runs/ferm-lift-seed1 --out bundles/lift",
    )
    parser.add_argument(
        "run", type=Path, help="run folder of `pixelarm train`, or a policy folder in it (policy, last, cloned)"
    )
    parser.add_argument("--out", type=Path, help="bundle folder to write (default: RUN/bundle)")
    parser.add_argument(
        "--evaluation", type=Path, metavar="FILE", help="result of `pixelarm eval --json`, for the card"
    )
    args = parser.parse_args(argv)
    if not any((args.run / p).exists() for p in ("policy.json", "policy/policy.json")):
        raise PixelarmError(f"{args.run} holds no policy (policy/policy.json); give a run folder of `pixelarm train`")
    evaluation = read_evaluation(args.evaluation) if args.evaluation else None
    out = args.out or args.run / "bundle"
    bundle.require_new(out)
    require_folder(out.parent)
    out, difference = export(args.run, out, evaluation)
    arm = next(iter(profile.that_take(bundle.load(out).contract)), "PROFILE")
    print(f"wrote {out} (largest difference to torch {difference:.1e}); next: pixelarm deploy {out} --arm {arm}")
    return 0
