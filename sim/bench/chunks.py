"""``pixelarm bench chunks``: how smoothly an arm moves whose policy takes several control periods to think.

The control loop drives the simulated arm by chunks of a synthetic policy, on a clock of its own: inference takes
exactly as long as it is said to, and every machine measures the same. The policy follows a circle from where it sees
the arm, and its plans disagree a little from one to the next, as a learned policy's do.
"""

from __future__ import annotations

import argparse
import dataclasses
import heapq
import importlib.util
import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np

from robot import profile
from robot.contract import Contract
from robot.control.inference import Result, Worker, run_job
from robot.control.limits import LimitConfig, default_limits
from robot.control.loop import Command, ControlLoop, LoopConfig
from robot.control.schedule import Schedule
from robot.control.timing import Clock
from robot.errors import PixelarmError
from robot.files import require_folder
from sim.bench.harness import keep, provenance
from sim.envs.make import make_task
from sim.envs.task_world import build_world, reset_world

RATE_HZ, CHUNK, AGE_S = 20.0, 16, 0.015  # of the control loop, and from an observation's stamp to its arrival
SLICE_S = 0.010  # s of simulated time between samples of the arm's position
SKIPPED_S = 2.0  # at the start, while the arm comes to the circle
RADIUS_M, TURN_S = 0.08, 5.0  # of the circle, and for one round of it: 0.1 m/s
GAIN = 4.2  # a delta counts from where the arm is, which then goes one part in so many of it in a period
DISAGREE = 0.25  # standard deviation of a plan's own error, of its speed and (rad) of its direction
LONGEST_S = 1000.0  # of simulated time, see ``meant``
ACCELERATION, JERK = 4.0, 40.0  # m/s^2 and m/s^3, of the smooth limits, as sim_panda.yaml suggests


class SimulatedTime(Clock):
    """Time that moves only while somebody waits, through what is due meanwhile."""

    def __init__(self) -> None:
        super().__init__(now_ns=lambda: round(self.now_s * 1e9))
        self.now_s = 1.0
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0

    def steady(self) -> float:
        return self.now_s

    def notify(self) -> None:
        pass

    def at(self, time_s: float, event: Callable[[], None]) -> None:
        self._number += 1
        heapq.heappush(self._due, (time_s, self._number, event))

    def wait(self, predicate: Callable[[], bool], until_s: float) -> bool:
        while not predicate():
            if not self._due or self._due[0][0] > until_s:
                self.now_s = max(self.now_s, until_s)
                return predicate()
            time_s, _, event = heapq.heappop(self._due)
            self.now_s = max(self.now_s, time_s)
            event()
        return True


class SlowWorker:
    """A ``robot.control.inference.Worker`` whose policy takes ``seconds``; ``closed`` keeps it from being asked."""

    def __init__(
        self, act: Callable[[dict[str, np.ndarray]], np.ndarray], clock: SimulatedTime, seconds: float
    ) -> None:
        self._act, self._clock, self._seconds = act, clock, seconds
        self._jobs, self._thinking = 0, False
        self._done: list[Result] = []
        self.closed: Callable[[], bool] = lambda: False

    @property
    def busy(self) -> bool:
        return self._thinking or self.closed()

    @property
    def finished(self) -> bool:
        return bool(self._done)

    def submit(self, observation: dict[str, np.ndarray]) -> int:
        self._jobs, self._thinking = self._jobs + 1, True
        result = dataclasses.replace(run_job(self._jobs, self._act, observation), ms=1e3 * self._seconds)
        self._clock.at(self._clock.now_s + self._seconds, lambda: self._finish(result))
        return self._jobs

    def _finish(self, result: Result) -> None:
        self._thinking = False
        self._done.append(result)

    def take(self) -> Result | None:
        return self._done.pop(0) if self._done else None

    def close(self) -> None:
        pass


class Circling:
    """Deltas along a circle about ``centre``, from where the arm is seen.

    The gripper stays open, and its number says for which instant an action is meant.
    """

    def __init__(self, contract: Contract, centre: np.ndarray, seed: int, stamp_s: Callable[[], float]) -> None:
        self.contract, self.centre, self.stamp_s = contract, centre, stamp_s
        self.rng = np.random.default_rng(seed)

    def act(self, observation: dict[str, np.ndarray]) -> np.ndarray:
        """Actions ``(chunk, 4)``."""
        place, period_s = observation["eef_pos"][:2].astype(float) - self.centre[:2], self.contract.period_s
        faster, turned = 1.0 + DISAGREE * self.rng.normal(), DISAGREE * self.rng.normal()
        rotation = np.array([[np.cos(turned), -np.sin(turned)], [np.sin(turned), np.cos(turned)]])
        height, rows = float(self.centre[2] - observation["eef_pos"][2]), []
        for k in range(self.contract.chunk):
            radius = max(float(np.linalg.norm(place)), 1e-6)
            outwards = place / radius
            along = np.array([-outwards[1], outwards[0]]) * 2.0 * np.pi * RADIUS_M / TURN_S
            velocity = faster * rotation @ (along + outwards * np.clip(2.0 * (RADIUS_M - radius), -0.1, 0.1))
            rows.append([*(GAIN * period_s * velocity), 0.5 * height, meant(self.stamp_s() + k * period_s)])
            place = place + velocity * period_s
        return np.array(rows, np.float32)


def meant(instant_s: float) -> float:
    """An instant as the number of an open gripper, from 0 down to -1 after ``LONGEST_S``."""
    return -instant_s / LONGEST_S


@dataclass
class Trace:
    """What was sent and where the arm went, in simulated seconds."""

    period_s: float
    times: list[float] = field(default_factory=list)
    places: list[np.ndarray] = field(default_factory=list)  # (3,) m each, of the arm, every SLICE_S
    sent: list[np.ndarray] = field(default_factory=list)  # (3,) m each, targets, one a control period
    lateness: list[float] = field(default_factory=list)  # s from the instant of an action to that of its tick
    held: list[bool] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """Jerk in m/s^3 and what was missed, from ``SKIPPED_S`` on. The arm's jerk once of all samples, which holds the
        ripple of targets that step, and once of one sample a control period, which is the motion without it."""
        arm, first = np.array(self.places[round(SKIPPED_S / SLICE_S) :]), round(SKIPPED_S / self.period_s)
        held = self.held[first:]
        late = np.array(self.lateness[first:])[~np.array(held)]
        return {
            "arm_jerk": _sizes(jerk(arm, SLICE_S)),
            "motion_jerk": _sizes(jerk(arm[:: round(self.period_s / SLICE_S)], self.period_s)),
            "target_jerk": _sizes(jerk(np.array(self.sent[first:]), self.period_s)),
            "mean_speed_m_s": round(float(np.linalg.norm(np.diff(arm, axis=0), axis=1).mean() / SLICE_S), 4),
            "late_actions_executed": int((late > 0.5 * self.period_s + 1e-3).sum()),
            "missed_cycles": int(sum(held)),
            "cycles": len(held),
        }


def jerk(places: np.ndarray, step_s: float) -> np.ndarray:
    """Sizes ``(n - 3,)`` in m/s^3 of the third differences of positions ``(n, 3)`` m, ``step_s`` apart."""
    return np.linalg.norm(np.diff(places, n=3, axis=0), axis=1) / step_s**3


def _sizes(values: np.ndarray) -> dict[str, float]:
    return {"rms": round(float(np.sqrt(np.mean(values**2))), 2), "max": round(float(values.max()), 2)}


@dataclass(frozen=True)
class Way:
    """One way to execute chunks."""

    words: str
    fade_ms: float = 0.0
    waits: bool = False  # the policy is asked when its chunk is over, and the arm waits for it
    by_counter: bool = False  # a chunk begins with its first action whenever it comes
    smooth: bool = False  # the limits know acceleration and jerk


FADE_MS = LoopConfig.fade_ms
WAYS = (
    Way("synchronous: ask, wait, execute the chunk", waits=True, by_counter=True),
    Way("beside, each chunk from its first action", by_counter=True),
    Way("beside, by time, no fade"),
    Way("beside, by time, fade", fade_ms=FADE_MS),
    Way("synchronous, smooth limits", waits=True, by_counter=True, smooth=True),
    Way("beside, by time, fade, smooth limits", fade_ms=FADE_MS, smooth=True),
)


class ByCounter(Schedule):
    """What the schedule is measured against: a chunk begins with its first action, whenever it comes."""

    def merge(self, begins_ns: int, chunk: np.ndarray, now_ns: int) -> None:
        super().merge(now_ns, chunk, now_ns)


class Bench:
    """The simulated arm and one way to drive it for ``seconds``."""

    def __init__(self, way: Way, inference_ms: float, seed: int) -> None:
        task = make_task("reach", image_size=32)
        contract = dataclasses.replace(task.contract, rate_hz=RATE_HZ, cameras=(), max_age_ms=100.0)
        task.contract = contract
        self.world = build_world(task)
        reset_world(self.world, task, seed)
        self.clock, self.trace = SimulatedTime(), Trace(contract.period_s)
        self.stamp_s = self.clock.now_s
        chunked = dataclasses.replace(contract, chunk=CHUNK)
        policy = Circling(chunked, self.world.eef_position(), seed, lambda: self.stamp_s)
        worker = SlowWorker(policy.act, self.clock, 1e-3 * inference_ms)
        deadline_ms = 0.5 * CHUNK * 1e3 * contract.period_s  # the longest that the chunk covers
        self.loop = ControlLoop(
            policy, default_limits(self._limits(way), chunked), self._publish,
            LoopConfig(deadline_ms=deadline_ms, fade_ms=way.fade_ms), self.clock, worker=cast(Worker, worker),
        )  # fmt: skip
        if way.by_counter:
            self.loop.schedule.__class__ = ByCounter
        if way.waits:
            worker.closed = lambda: self.loop.schedule.at(round(1e9 * (self.stamp_s + contract.period_s))) is not None
        self.clock.at(self.clock.now_s, self._advance)
        self.clock.at(self.clock.now_s, self._expose)

    def _limits(self, way: Way) -> LimitConfig:
        limits = profile.ArmProfile.load(profile.find("sim_panda", profile.shipped())).limits
        if not way.smooth:
            return limits
        return dataclasses.replace(limits, max_acceleration_m_s2=ACCELERATION, max_jerk_m_s3=JERK)

    def run(self, seconds: float) -> Trace:
        while len(self.trace.times) * SLICE_S < seconds:
            self.loop.step()
        self.world.close()
        return self.trace

    def _advance(self) -> None:
        """Physics, and what the arm is seen to do."""
        self.trace.times.append(self.clock.now_s)
        self.trace.places.append(self.world.eef_position())
        self.world.advance(round(SLICE_S / self.world.timestep))
        self.clock.at(self.clock.now_s + SLICE_S, self._advance)

    def _expose(self) -> None:
        stamp_s, stamp_ns, seen = self.clock.now_s, self.clock.now_ns(), self.world.proprio()

        def arrive() -> None:
            self.stamp_s = stamp_s
            for name, value in seen.items():
                self.loop.put_proprio(name, value, stamp_ns)

        self.clock.at(stamp_s + AGE_S, arrive)
        self.clock.at(stamp_s + 1.0 / RATE_HZ, self._expose)

    def _publish(self, command: Command, hold: bool) -> None:
        target = command.target
        assert target.position is not None
        self.trace.sent.append(np.array(target.position))
        self.trace.lateness.append(1e-9 * command.obs_stamp_ns + LONGEST_S * target.gripper)
        self.trace.held.append(hold)
        self.world.follow(target)


# ------------------------------------------------------------------------------------------------------------- output
def table(found: dict[str, Any]) -> str:
    """For a terminal."""
    columns = {"arm": "arm_jerk", "arm, once a period": "motion_jerk", "targets": "target_jerk"}
    head = "".join(f"{name:<20}" for name in columns)
    lines = [f"{'jerk, m/s^3, RMS / max':<44}{head}mean m/s   late actions   missed cycles"]
    for words, row in found.items():
        jerks = (row[key] for key in columns.values())
        cells = "".join(f"{sizes['rms']:.1f} / {sizes['max']:.1f}".ljust(20) for sizes in jerks)
        counts = f"{row['late_actions_executed']:<15}{row['missed_cycles']} of {row['cycles']}"
        lines.append(f"{words:<44}{cells}{row['mean_speed_m_s']:<11.3f}{counts}")
    return "\n".join(lines)


def plot(traces: dict[str, Trace], path: Path, seconds: float = 4.0) -> None:
    """Speed and jerk of the arm, a column a way; nothing without matplotlib."""
    if importlib.util.find_spec("matplotlib") is None:
        return
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, len(traces), figsize=(4.2 * len(traces), 4.6), sharex=True, sharey="row")
    first, count = round(SKIPPED_S / SLICE_S), round(seconds / SLICE_S)
    for (words, trace), (above, below) in zip(traces.items(), axes.T):
        places = np.array(trace.places[first : first + count])
        times = np.arange(count) * SLICE_S
        above.plot(times[1:], np.linalg.norm(np.diff(places, axis=0), axis=1) / SLICE_S, color="#2b6cb0", lw=1.2)
        below.plot(times[3:], jerk(places, SLICE_S), color="#c05621", lw=0.8)
        above.set_title(words, fontsize=9)
        below.set_xlabel("s")
    axes[0, 0].set_ylabel("speed of the arm, m/s")
    axes[1, 0].set_ylabel("jerk of the arm, m/s³")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="pixelarm bench chunks",
        description=f"Drive the simulated Panda along a circle at {RATE_HZ:g} Hz by chunks of {CHUNK} actions whose "
        "inference takes several periods: jerk, late actions and missed cycles of each way to execute them. Time is "
        "simulated.",
    )
    parser.add_argument("--inference-ms", type=float, default=300.0, help="of each chunk (default 300)")
    parser.add_argument("--seconds", type=float, default=60.0, help="simulated, of each way (default 60)")
    parser.add_argument("--seed", type=int, default=0, help="of the scene and of the plans' errors (default 0)")
    parser.add_argument("--json", action="store_true", help="print the whole result as JSON instead of the table")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/bench-chunks"),
        help="folder for bench.json and chunks.png (default %(default)s)",
    )
    args = parser.parse_args(argv)
    longest_ms = 500.0 * CHUNK / RATE_HZ - 1e3 / RATE_HZ - 1e3 * AGE_S
    if not 0.0 <= args.inference_ms < longest_ms:
        raise PixelarmError(
            f"--inference-ms must lie in [0, {longest_ms:g}), which chunks cover; got {args.inference_ms}"
        )
    if not SKIPPED_S + 4.0 <= args.seconds <= 0.5 * LONGEST_S:
        limits = f"[{SKIPPED_S + 4.0:g}, {0.5 * LONGEST_S:g}]"
        raise PixelarmError(f"--seconds must lie in {limits}, got {args.seconds}")
    require_folder(args.out)
    traces = {way.words: Bench(way, args.inference_ms, args.seed).run(args.seconds) for way in WAYS}
    ways = {words: trace.summary() for words, trace in traces.items()}
    result = {
        "suite": "chunks",
        **provenance("pixelarm bench chunks " + shlex.join(argv)),
        "inference_ms": args.inference_ms,
        "rate_hz": RATE_HZ,
        "chunk": CHUNK,
        "fade_ms": FADE_MS,
        "seconds": args.seconds,
        "seed": args.seed,
        "ways": ways,
    }
    print(json.dumps(result, indent=1) if args.json else table(ways))
    shown = {WAYS[i].words: traces[WAYS[i].words] for i in (0, 3, 5)}
    keep(args.out, result, "chunks.png", lambda: plot(shown, args.out / "chunks.png"))
    return 0
