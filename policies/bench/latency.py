"""``pixelarm bench latency``: how long one decision of each policy takes, side by side on one core.

All policies are exported, and run by ONNX Runtime with one thread in one process that is pinned to one core. They take
turns: in each round every policy is asked once, in an order drawn anew, so what else the machine does meets all of them
alike, and differences are of the same round. Each finds the caches as the one before it left them, as a policy does
that is asked a few times a second. Warm-up rounds are not counted.

A decision begins with arrays of raw observations and ends with a chunk of actions. Images and proprioception are drawn
at random: these networks do the same work whatever the numbers are. Cameras, the driver and the safety limits are not
in it; `pixelarm latency` measures the whole control loop.
"""

from __future__ import annotations

import argparse
import os
import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from policies.export.onnx import export, random_observation, to_onnx
from policies.rollout.acting import BundledPolicy, Seen, load_policy
from policies.runs.find import read_source
from policies.skills.fist import Fist
from robot import bundle
from robot.errors import PixelarmError
from robot.files import require_folder, write_text
from robot.provenance import versions
from sim.bench.harness import BUSY, cores, keep, provenance

QUANTILES = (50, 95, 99)
ENOUGH = 100  # decisions: a p99 of fewer is about their maximum
OBSERVATIONS = 16  # different ones that each policy is asked about in turn


@dataclass
class Row:
    """One policy, ready to be asked.

    Attributes:
        states: demonstrations' states that it looks up at each decision; 0: it looks nothing up; None: nobody knows.
        alone: the row of the same policy with one state to look up, of which the difference is the retrieval.
        ms, cpu_ms: of each counted round, by the clock, and of the thread's processor time.
    """

    name: str
    policy: bundle.Policy
    states: int | None = 0
    alone: Row | None = None
    ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)

    @property
    def quantiles(self) -> dict[str, float]:
        """By the clock, ms."""
        return quantiles(self.ms)

    def minus(self, other: Row) -> float:
        """Median over rounds of the difference in ms."""
        return float(np.median(np.subtract(self.ms, other.ms)))

    def over(self, budget_ms: float) -> int:
        """How many decisions took longer than a budget."""
        return sum(ms > budget_ms for ms in self.ms)

    def within(self, budget_ms: float) -> bool:
        """Whether 99 of 100 decisions keep a budget."""
        return self.quantiles["p99"] <= budget_ms

    def to_dict(self, first: Row, budget_ms: float) -> dict[str, Any]:
        contract = self.policy.contract
        return {
            "name": self.name,
            "task": contract.task,
            "chunk": contract.chunk,
            "execute": contract.execute,
            "states_looked_up": self.states,
            "n": len(self.ms),
            "ms": self.quantiles,
            "cpu_ms": quantiles(self.cpu_ms),
            "minus_first_ms": self.minus(first),
            "retrieval_ms": None if self.alone is None else self.minus(self.alone),
            "over_budget": self.over(budget_ms),
            "within_budget": self.within(budget_ms),
            "samples_ms": [round(ms, 6) for ms in self.ms],
            "samples_cpu_ms": [round(ms, 6) for ms in self.cpu_ms],
        }


def quantiles(ms: Sequence[float]) -> dict[str, float]:
    """``QUANTILES`` by name, and the largest."""
    found = np.percentile(ms, QUANTILES)
    return {**{f"p{q}": float(value) for q, value in zip(QUANTILES, found)}, "max": max(ms)}


# -------------------------------------------------------------------------------------------------------- what is asked
def rows_of(paths: Sequence[Path], demonstrations: Sequence[int], scratch: Path) -> list[Row]:
    """A row for each bundle and run, and for each FIST run those of other numbers of states.

    Args:
        demonstrations: how many demonstrations' states each FIST run is to hold besides its own.
        scratch: where runs are exported to.

    Raises:
        PixelarmError: a path holds no policy, or there is no FIST run to give other numbers of demonstrations.
    """
    sources = [_source(path) for path in dict.fromkeys(paths)]
    names = [source.path.name for source in sources]
    rows = []
    fists = 0
    for number, source in enumerate(sources):
        name = source.path.name if names.count(source.path.name) == 1 else str(source.path)
        if source.kind == "bundle":
            policy = bundle.load(source.path)
            rows.append(Row(name, policy, states_of(policy.card)))
            continue
        folder, _ = export(source.path, scratch / str(number))
        policy = bundle.load(folder)
        row = Row(name, policy, states_of(policy.card))
        rows.append(row)
        made, _ = load_policy(source.path if source.kind == "policy" else source.path / "policy")
        if isinstance(made, Fist):
            fists += 1
            row.alone = Row(f"{name}, 1 state", _holding(made, 1), 1)
            rows += [row.alone, *scaled(made, name, demonstrations, row.alone)]
    if demonstrations and not fists:
        raise PixelarmError(
            "--demonstrations is of FIST runs, and there is none among these: give the run folder of one (of an "
            "exported bundle the states cannot be exchanged)"
        )
    return rows


def _source(path: Path) -> Any:
    if not path.exists():
        raise PixelarmError(f"{path} does not exist; give policy bundles, or run folders of `pixelarm train`")
    source = read_source(path)
    if source is None or source.contract is None:
        what = "neither a policy bundle nor a run of `pixelarm train`" if source is None else "a run without a policy"
        raise PixelarmError(f"{path} is {what}; give policy bundles, or run folders that hold a policy")
    return source


def states_of(card: dict[str, Any]) -> int | None:
    """Demonstrations' states that a bundle looks up, by its card; None if it looks up some and no card counts them."""
    known = card.get("data", {}).get("states_looked_up")
    if known is not None:
        return int(known)
    return None if card.get("config", {}).get("algo", {}).get("family") == "fist" else 0


def scaled(policy: Fist, name: str, demonstrations: Sequence[int], alone: Row) -> list[Row]:
    """The same policy with as many states as so many of its demonstrations have, on average: its own, over and over."""
    each = len(policy.seen) / int((policy.left == 0).sum())
    counts = {count: round(count * each) for count in demonstrations}
    return [
        Row(f"{name}, {count} demonstrations", _holding(policy, states), states, alone)
        for count, states in counts.items()
    ]


def _holding(policy: Fist, states: int) -> bundle.Policy:
    """A policy exported with another number of states to look up."""
    again = torch.arange(states) % len(policy.seen)
    tensors = policy.state_dict()
    other = Fist(policy.contract, policy.cfg, seed=0)
    other.load_state_dict({**tensors, **{name: tensors[name][again] for name in ("seen", "ahead", "left")}})
    return bundle.Policy(to_onnx(other.eval()), policy.contract, {})


# -------------------------------------------------------------------------------------------------------------- measure
@contextmanager
def pinned(core: int) -> Iterator[bool]:
    """Run on one core meanwhile, where the system can; says whether it does."""
    if not hasattr(os, "sched_setaffinity"):
        yield False
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield True
    finally:
        os.sched_setaffinity(0, before)


def measure(rows: Sequence[Row], rounds: int, warm_up: int, seed: int, quiet: bool = False) -> float:
    """Ask every policy once in each round, in random order; returns wall time over processor time of the rounds.

    Args:
        rounds: that are counted, after ``warm_up`` others.
    """
    rng = np.random.default_rng(seed)
    asked = [(BundledPolicy(row.policy).answer, observations_for(row.policy, rng), row) for row in rows]
    wall, cpu = time.perf_counter(), time.process_time()
    for number in tqdm(range(warm_up + rounds), desc="in turn", unit="round", disable=quiet, mininterval=1.0):
        if number == warm_up:
            wall, cpu = time.perf_counter(), time.process_time()
        for one in rng.permutation(len(asked)):
            answer, seen, row = asked[one]
            now = seen[number % OBSERVATIONS]
            start, busy = time.perf_counter_ns(), time.thread_time_ns()
            answer(now)
            busy, took = time.thread_time_ns() - busy, time.perf_counter_ns() - start
            if number >= warm_up:
                row.ms.append(took / 1e6)
                row.cpu_ms.append(busy / 1e6)
    return (time.perf_counter() - wall) / max(time.process_time() - cpu, 1e-9)


def observations_for(policy: bundle.Policy, rng: np.random.Generator) -> list[Seen]:
    """What a policy is asked about: random images, and proprioception of N(0, 1)."""
    return [
        [random_observation(policy.contract, rng) for _ in range(policy.contract.history)] for _ in range(OBSERVATIONS)
    ]


# --------------------------------------------------------------------------------------------------------------- tables
def table(rows: Sequence[Row], budget_ms: float) -> str:
    """The rows as Markdown."""
    heads = (
        "policy", "states", "executed", "p50", "p95", "p99", "max", "p99, cpu", "minus first", "retrieval",
    )  # fmt: skip
    lines = [
        f"ms a decision, n = {len(rows[0].ms)} each, in turn in random order; differences: medians over rounds",
        "",
        f"| {' | '.join(heads)} | p99 within {budget_ms:g} ms | over {budget_ms:g} ms |",
        "|---|" + "---:|" * (len(heads) + 1),
    ]
    for row in rows:
        states = "not on its card" if row.states is None else f"{row.states:,}" if row.states else "none"
        cells = [row.name, states, str(row.policy.contract.execute), *(f"{ms:.3f}" for ms in row.quantiles.values())]
        cells.append(f"{quantiles(row.cpu_ms)['p99']:.3f}")
        cells.append("" if row is rows[0] else f"{row.minus(rows[0]):+.3f}")
        cells.append("" if row.alone is None else f"{row.minus(row.alone):.3f}")
        cells += ["yes" if row.within(budget_ms) else "no", f"{row.over(budget_ms)} of {len(row.ms)}"]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "states: of demonstrations, that each decision looks up; executed: actions of each decision; cpu: by the "
        "thread's processor time, which other programs disturb less",
    ]
    if any(row.alone for row in rows):
        lines.append("retrieval: minus the same policy with one state to look up; a part of the decision")
    return "\n".join(lines)


# -------------------------------------------------------------------------------------------------------------- command
def main(argv: list[str]) -> int:
    args = _parser().parse_args(argv)
    for option, low in (("decisions", 1), ("warm_up", 0), ("seed", 0)):
        if getattr(args, option) < low:
            raise PixelarmError(f"--{option.replace('_', '-')} must be at least {low}, got {getattr(args, option)}")
    if not args.budget_ms > 0.0:
        raise PixelarmError(f"--budget-ms must be more than 0, got {args.budget_ms:g}")
    if any(count < 1 for count in args.demonstrations):
        raise PixelarmError(f"--demonstrations must be at least 1 each, got {min(args.demonstrations)}")
    require_folder(args.out)
    core = cores()[-1]
    with TemporaryDirectory() as scratch:
        rows = rows_of(args.policies, args.demonstrations, Path(scratch))
    with pinned(core) as alone:
        busy = measure(rows, args.decisions, args.warm_up, args.seed)
    made = provenance("pixelarm bench latency " + shlex.join(argv))
    text = "\n".join([table(rows, args.budget_ms), "", *_notes(made, core if alone else None, busy, args.decisions)])
    print(text)
    write_text(args.out / "latency.md", text + "\n")
    found = {
        "suite": "latency",
        **made,
        "versions": {**made["versions"], **versions(("torch", "onnxruntime"))},
        "core": core if alone else None,
        "threads": 1,
        "warm_up": args.warm_up,
        "seed": args.seed,
        "budget_ms": args.budget_ms,
        "wall_over_cpu": busy,
        "policies": [row.to_dict(rows[0], args.budget_ms) for row in rows],
    }
    keep(args.out, found)
    return 0


def _notes(made: dict[str, Any], core: int | None, busy: float, decisions: int) -> list[str]:
    where = "not pinned to a core, which this system cannot do" if core is None else f"pinned to core {core}"
    lines = [
        f"{made['hardware']['cpu']}, {made['hardware']['cores']} cores, {where}; one thread; commit {made['git']}",
    ]
    if busy > BUSY:
        lines.append(
            f"the machine was busy with something else (wall time {busy:.1f} times the processor time): p99 and max "
            "are not the policies' alone"
        )
    if decisions < ENOUGH:
        lines.append(f"only {decisions} decisions: a p99 needs {ENOUGH}, so give more --decisions")
    return lines


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="pixelarm bench latency",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Measure how long one decision of each policy takes, from arrays of raw observations to actions,\n"
        "as exported (ONNX Runtime, one thread), in one process on one core. The policies take turns in random\n"
        "order, so that differences are of the same moment. Observations are random: these networks do the same\n"
        "work whatever the numbers are. Of FIST runs a row with one state to look up comes with them, and the\n"
        "difference from it is what looking up takes. `pixelarm latency` measures the whole control loop instead.",
        epilog="examples:\n"
        "  pixelarm bench latency runs/kettle runs/kettle-bc --budget-ms 10\n"
        "  pixelarm bench latency runs/kettle --demonstrations 10 100 1000 --out runs/bench-latency-scale",
    )
    add = parser.add_argument
    add("policies", type=Path, nargs="+", metavar="POLICY", help="policy bundles, or runs, which are exported first")
    add("--decisions", type=int, metavar="N", default=1000, help="of each policy (default: 1000)")
    add("--warm-up", type=int, metavar="N", default=50, help="decisions before those, not counted (default: 50)")
    add("--budget-ms", type=float, metavar="MS", default=10.0, help="what a decision may take (default: 10)")
    add(
        "--demonstrations", type=int, nargs="+", metavar="N", default=[],
        help="measure each FIST run with the states of so many demonstrations, too (default: its own alone)",
    )  # fmt: skip
    add("--seed", type=int, metavar="N", default=0, help="of observations and order (default: 0)")
    add(
        "--out", type=Path, metavar="FOLDER", default=Path("runs/bench-latency"),
        help="of latency.md and bench.json (default: %(default)s)",
    )  # fmt: skip
    return parser
