"""``pixelarm latency``: how fast this machine runs a policy bundle, without ROS and without an arm."""

from __future__ import annotations

import argparse
import dataclasses
import math
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robot import bundle, profile
from robot.commands.fake_arm import HOME, FakeArm, wide_limits
from robot.contract import Contract
from robot.control.digest import digest, stage_table
from robot.control.inference import Policy, warm_up
from robot.control.limits import default_limits
from robot.control.loop import ControlLoop, LoopConfig
from robot.errors import PixelarmError
from robot.files import require_file, write_json
from robot.profile import ArmProfile
from robot.profile.topics import CameraTopic
from robot.provenance import git_commit, hardware, versions

MARGIN, LEAST_MARGIN_MS = 0.2, 1.0
FORMULA = f"1000 * share / (p99 + margin), margin = max({MARGIN:g} * p99, {LEAST_MARGIN_MS:g} ms)"
ENOUGH = 100  # samples: a p99 of fewer is about their maximum
# a process that keeps one core busy, and ends when the one that started it is gone
BUSY = "import os; parent = os.getppid()\nwhile os.getppid() == parent: sum(range(100_000))"


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="pixelarm latency",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Measure on this machine, without ROS, how long a policy bundle takes: loading, the first\n"
        "inference, and each stage of the control loop, which is fed images of the contract's size at the\n"
        "contract's rate. Say the highest control rate that the machine can hold:\n\n"
        f"  highest rate in Hz = {FORMULA}\n\n"
        "p99 is of the whole way from an observation's stamp to the published command, in ms. The share is the part\n"
        "of a control period in which that must be done: the contract's deadline divided by its period. The machine\n"
        "holds a rate if p99 + margin is at most the deadline at that rate. Not in it: exposure and transport of the\n"
        "images (--sensor-ms), the driver, the arm.",
        epilog="exit code: 0, or 1 if this machine does not hold the contract's rate (or --rate)\n"
        "example: pixelarm latency runs/demo/bundle --seconds 30 --load 1 --json latency.json",
    )
    add = made.add_argument
    add("bundle", type=Path, help="policy bundle, as written by `pixelarm export`")
    add("--seconds", type=float, default=10.0, metavar="S", help="how long the loop runs (default: %(default)g)")
    add("--rate", type=float, metavar="HZ", help="control rate, with the deadline's share of it (default: contract's)")
    add("--threads", type=int, default=1, metavar="N", help="threads of an inference; deploy has 1 (default: 1)")
    add("--load", type=int, default=0, metavar="N", help="processes that keep a core busy meanwhile (default: 0)")
    add("--sensor-ms", type=float, default=0.0, metavar="MS", help="from an image's stamp to its arrival (default: 0)")
    add("--arm", metavar="ARM", help="profile whose cameras' images are decoded (default: raw, of the contract's size)")
    add("--json", type=Path, metavar="FILE", help="write everything measured there")
    return made


def main(argv: list[str]) -> int:
    args = parser().parse_args(argv)
    _check(args)
    start = time.perf_counter()
    policy: Policy = bundle.load(args.bundle, threads=args.threads)
    load_ms = (time.perf_counter() - start) * 1e3
    if args.rate:
        policy = AtRate(policy, at_rate(policy.contract, args.rate))
    policy.contract.require_arm()
    cameras = _cameras(args.arm, policy.contract) if args.arm else {}
    with busy(args.load):
        found = measure(policy, args.seconds, args.sensor_ms, cameras)
    found = {"bundle": str(args.bundle), "load_ms": round(load_ms, 3), **settings(args), **found}
    print(words(found))
    if args.json:
        write_json(args.json, found)
    return 0 if found["verdict"]["held"] else 1


def _cameras(name: str, contract: Contract) -> Mapping[str, CameraTopic]:
    arm = ArmProfile.load(profile.find(name, profile.shipped()))
    arm.require_contract(contract)
    return arm.cameras


def _check(args: argparse.Namespace) -> None:
    """Refuse what makes no sense before anything is loaded."""
    cores = hardware()["cores"]
    if not args.bundle.is_dir():
        raise PixelarmError(f"there is no policy bundle at {args.bundle}; `pixelarm export` writes one")
    for name, value, low, high in (
        ("--seconds", args.seconds, 1, 3600),
        ("--rate", 1.0 if args.rate is None else args.rate, 0.1, 1000),
        ("--threads", args.threads, 1, cores),
        ("--load", args.load, 0, 4 * cores),
        ("--sensor-ms", args.sensor_ms, 0, 1000),
    ):
        if not low <= value <= high:
            raise PixelarmError(f"{name} must lie between {low:g} and {high:g} on this machine, got {value:g}")
    if args.json:
        require_file(args.json)


def settings(args: argparse.Namespace) -> dict[str, Any]:
    """What was asked for, and where it ran."""
    packages = versions(("pixelarm", "numpy", "onnxruntime"))
    asked = {
        "arm": args.arm,
        "threads": args.threads,
        "load": args.load,
        "sensor_ms": args.sensor_ms,
        "seconds": args.seconds,
    }
    return {**asked, "hardware": hardware(), "versions": packages, "git": git_commit()}


# ------------------------------------------------------------------------------------------------------------- measure
@dataclass
class AtRate:
    """A policy run at another rate than its own."""

    policy: Policy
    contract: Contract

    def act(self, observation: dict[str, np.ndarray]) -> np.ndarray:
        return self.policy.act(observation)


def at_rate(contract: Contract, rate_hz: float) -> Contract:
    """The contract at another rate: deadline and largest age keep their shares of the period."""
    stretch = contract.rate_hz / rate_hz
    return dataclasses.replace(
        contract,
        rate_hz=rate_hz,
        deadline_ms=contract.deadline_ms * stretch,
        max_age_ms=contract.max_age_ms * stretch,
        cameras=tuple(dataclasses.replace(c, fps=rate_hz) for c in contract.cameras),
    )


def paced(contract: Contract, inference_ms: float) -> Contract:
    """The contract itself, or at a lower rate where an inference usually takes over half of its deadline: a loop that
    misses deadlines drops the slow answers, and what is left would look fast.
    """
    room = contract.deadline_ms / (2.0 * max(inference_ms, 1e-3))
    return contract if room >= 1.0 else at_rate(contract, contract.rate_hz * room)


def measure(
    policy: Policy, seconds: float, sensor_ms: float = 0.0, cameras: Mapping[str, CameraTopic] | None = None
) -> dict[str, Any]:
    """Run a policy in the control loop for ``seconds``, and compare with the deadline of its contract; ``sensor_ms``
    and ``cameras`` as of ``FakeArm``.

    Raises:
        PixelarmError: not one command was sent; the message has the rules that fired.
    """
    wanted, warm = policy.contract, warm_up(policy)
    contract = paced(wanted, warm["p50"])
    limits = default_limits(wide_limits(contract), contract)
    loop = ControlLoop(AtRate(policy, contract), limits, lambda command, hold: None, LoopConfig(home_xyzw=HOME))
    arm = FakeArm(loop, sensor_ms, cameras)
    try:
        loop.start()
        arm.run(max(2, round(seconds * contract.rate_hz)))
    finally:
        loop.close()
    stats = {**loop.stats(raw=True), "warm_up_ms": warm}
    samples = stats.pop("latency_samples_ms")
    if not samples:
        raise PixelarmError(
            f"no command was sent at {contract.rate_hz:g} Hz within {contract.deadline_ms:g} ms; an inference takes "
            f"{warm['p50']} ms (p50). Try a lower --rate.\n{digest(stats)}"
        )
    stats["stages"] = {**arm.stages.to_dict(), **stats["stages"]}
    about = {key: getattr(wanted, key) for key in ("task", "arm", "rate_hz", "deadline_ms", "history", "chunk")}
    missed = stats["deadline_misses"] - sum(ms > contract.deadline_ms for ms in samples)
    missed += stats["rules"]["stale_observation"]
    return {
        "contract": {**about, "action": wanted.action.kind},
        "paced_hz": round(contract.rate_hz, 3),
        **stats,
        "verdict": verdict(samples, missed, wanted.rate_hz, wanted.deadline_ms),
    }


def verdict(samples: list[float], missed: int, rate_hz: float, deadline_ms: float) -> dict[str, Any]:
    """What a machine can hold, by ``FORMULA``.

    Args:
        samples: ms from observation to command.
        missed: observations without a command in time; each counts as slower than every sample.
        rate_hz: that is wanted, with its ``deadline_ms``.

    Returns:
        ``share``, ``p99_ms``, ``margin_ms``, ``highest_hz`` (None where the p99 is among the missed) and ``held``.
    """
    share = round(deadline_ms * rate_hz / 1e3, 4)
    p99 = float(np.percentile(samples, 99))
    if missed > 0:
        ordered = [*sorted(samples), *[math.inf] * missed]
        p99 = ordered[math.ceil(0.99 * len(ordered)) - 1]
    if math.isinf(p99):
        return {"share": share, "p99_ms": None, "margin_ms": None, "highest_hz": None, "held": False}
    margin = max(MARGIN * p99, LEAST_MARGIN_MS)
    return {
        "share": share,
        "p99_ms": round(p99, 3),
        "margin_ms": round(margin, 3),
        "highest_hz": round(1e3 * share / (p99 + margin), 1),
        "held": p99 + margin <= deadline_ms,
    }


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """Keep as many cores busy meanwhile."""
    started = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


# -------------------------------------------------------------------------------------------------------------- report
def words(found: dict[str, Any]) -> str:
    """What the command prints."""
    contract, warm, machine = found["contract"], found["warm_up_ms"], found["hardware"]
    lines = [
        f"{found['bundle']}: task {contract['task']}, arm {contract['arm']}, {contract['action']}, "
        f"{contract['rate_hz']:g} Hz, deadline {contract['deadline_ms']:.4g} ms",
        f"{machine['cpu']}, {machine['cores']} cores; threads {found['threads']}, busy processes beside "
        f"{found['load']}, images {'as ' + found['arm'] + ' sends them, ' if found['arm'] else ''}"
        f"{found['sensor_ms']:g} ms on their way",
        f"loading {found['load_ms']} ms; first inference {warm['first']} ms, then p50 {warm['p50']}, "
        f"p95 {warm['p95']}, p99 {warm['p99']}, max {warm['max']} ms of {warm['n']}",
        f"paced at {found['paced_hz']:g} Hz: {found['commands']} commands in {found['ticks']} ticks, held in "
        f"{found['holds']}, deadline missed {found['deadline_misses']} times",
        stage_table(found["stages"], found["latency_ms"]),
    ]
    if found["latency_ms"]["n"] < ENOUGH:
        lines.append(f"only {found['latency_ms']['n']} samples: a p99 needs {ENOUGH}, so give more --seconds")
    return "\n".join([*lines, *_verdict_words(found["verdict"], contract)])


def _verdict_words(found: dict[str, Any], contract: dict[str, Any]) -> list[str]:
    rate, deadline = contract["rate_hz"], contract["deadline_ms"]
    if found["highest_hz"] is None:
        return [
            f"this machine does not hold {rate:g} Hz: over 1 % of the observations had no command in time. Try a lower "
            "--rate to see what it can hold"
        ]
    does = "holds" if found["held"] else "does not hold"
    return [
        f"highest control rate: {found['highest_hz']:g} Hz = 1000 * {found['share']:g} / (p99 {found['p99_ms']} ms + "
        f"margin {found['margin_ms']} ms); --rate {found['highest_hz']:g} tries it",
        f"this machine {does} {rate:g} Hz: it needs {found['p99_ms'] + found['margin_ms']:.1f} ms of the deadline's "
        f"{deadline:.4g} ms",
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
