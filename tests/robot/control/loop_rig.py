"""A control loop with sensors, a policy and a clock that a test owns."""

from __future__ import annotations

import dataclasses
import heapq
from collections.abc import Callable
from typing import Any

import numpy as np

from robot.contract import Action, Camera, Contract, Proprio
from robot.control.inference import Result, run_job
from robot.control.limits import LimitConfig, default_limits
from robot.control.loop import Command, ControlLoop, LoopConfig
from robot.control.rules import RULES

PERIOD = 0.1
HERE = np.array([0.5, 0.0, 0.3], np.float32)
CONTRACT = Contract(
    task="lift",
    cameras=(Camera("front", 8, 8), Camera("wrist", 8, 8)),
    proprio=(Proprio("eef_pos", 3, "m", "base"), Proprio("gripper_opening", 1, "m", "gripper")),
    action=Action(
        "eef_delta_position", ("dx", "dy", "dz", "g"), ("m", "m", "m", "1"), (-0.04,) * 3 + (-1,), (0.04,) * 3 + (1,)
    ),
    rate_hz=10,
    deadline_ms=80,
    max_age_ms=100,
)
LIMITS = LimitConfig(
    max_reach_m=0.07, max_speed_m_s=1.5, speed_scale=1.0, box_low=(0, -1, 0), box_high=(1, 1, 1), expiry_s=0.5,
    max_turn_rad=0.5, max_turn_speed_rad_s=9.0, joint_low=(-2.0, -2.0), joint_high=(2.0, 2.0),
    max_joint_speed_rad_s=(3.0, 3.0), max_joint_reach_rad=0.3,
)  # fmt: skip


class FakeClock:
    """Time that moves only while somebody waits, through the events that are due meanwhile."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.offset_ns = 1_000_000_000_000  # of the stamps' clock
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def steady(self) -> float:
        return self.now_s

    def now_ns(self) -> int:
        return round(self.now_s * 1e9) + self.offset_ns

    def notify(self) -> None:
        pass

    def at(self, time_s: float, event: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (time_s, self._count, event))

    def wait(self, predicate: Callable[[], bool], until_s: float) -> bool:
        while not predicate():
            if not self._events or self._events[0][0] > until_s:
                self.now_s = max(self.now_s, until_s)
                return predicate()
            time_s, _, event = heapq.heappop(self._events)
            self.now_s = max(self.now_s, time_s)
            event()
        return True


class FakeWorker:
    """Inference that takes ``latency_s`` of the fake clock."""

    def __init__(self, act: Callable[[dict[str, np.ndarray]], np.ndarray], clock: FakeClock) -> None:
        self.act, self.clock, self.latency_s = act, clock, 0.010
        self.busy, self.done, self.jobs = False, [], 0

    def submit(self, observation: dict[str, np.ndarray]) -> int:
        self.jobs += 1
        self.busy = True
        result = dataclasses.replace(run_job(self.jobs, self.act, observation), ms=self.latency_s * 1e3)
        self.clock.at(self.clock.now_s + self.latency_s, lambda: self._finish(result))
        return self.jobs

    def _finish(self, result: Result) -> None:
        self.busy = False
        self.done.append(result)

    @property
    def finished(self) -> bool:
        return bool(self.done)

    def take(self) -> Result | None:
        return self.done.pop(0) if self.done else None

    def close(self) -> None:
        pass


class Rig:
    """A loop with sensors at 10 Hz whose images arrive ``delay_s`` after their stamp."""

    def __init__(self, contract: Contract = CONTRACT, limits: LimitConfig = LIMITS, **config: Any) -> None:
        self.contract, self.clock = contract, FakeClock()
        self.action = np.tile(np.float32([0.01, 0.0, 0.0, 1.0]), (contract.chunk, 1))
        self.seen: list[dict[str, np.ndarray]] = []
        self.sent: list[tuple[float, Command, bool]] = []
        self.events: list[str] = []
        self.worker = FakeWorker(self.act, self.clock)
        self.measured: dict[str, np.ndarray] = {"eef_pos": HERE.copy(), "gripper_opening": np.array([0.08])}
        self.delay_s, self.proprio_delay_s, self.stamp_shift_s = 0.015, 0.001, 0.0
        self.pause_s = 0.0  # once: shifts the phase of the sensors
        self.silent: set[str] = set()
        self.image_shape: tuple[int, ...] = (8, 8, 3)
        self.frame = 0
        self.loop = ControlLoop(
            self,  # it has .contract and .act
            default_limits(limits, contract),
            lambda command, hold: self.sent.append((self.clock.now_s, command, hold)),
            LoopConfig(**config),
            self.clock,  # type: ignore[arg-type]
            on_event=lambda rule, words: self.events.append(rule),
            worker=self.worker,  # type: ignore[arg-type]
        )
        self.clock.at(self.clock.now_s + 0.033, self._expose)

    def act(self, observation: dict[str, np.ndarray]) -> np.ndarray:
        self.seen.append(observation)
        if isinstance(self.action, Exception):
            raise self.action
        return self.action

    def _expose(self) -> None:
        """Sensors look now; what they saw arrives later."""
        self.frame += 1
        number, measured = self.frame % 256, dict(self.measured)
        stamp = self.clock.now_ns() + round(self.stamp_shift_s * 1e9)
        for name in self.contract.cameras:
            if name.name not in self.silent:
                image = np.full(self.image_shape, number, np.uint8)
                arrive = self.clock.now_s + self.delay_s
                self.clock.at(arrive, lambda n=name.name, i=image: self.loop.put_image(n, i, stamp))
        for name, value in measured.items():
            if name not in self.silent:
                self.clock.at(
                    self.clock.now_s + self.proprio_delay_s, lambda n=name, v=value: self.loop.put_proprio(n, v, stamp)
                )
        self.clock.at(self.clock.now_s + PERIOD + self.pause_s, self._expose)
        self.pause_s = 0.0

    def run(self, ticks: int) -> Rig:
        for _ in range(ticks):
            self.loop.step()
        return self

    def fired(self) -> dict[str, int]:
        return {rule: n for rule, n in self.loop.rules.items() if n}


def running(ticks: int = 10, **settings: Any) -> Rig:
    """A rig in normal operation, its counters at a known state."""
    rig = Rig(**settings).run(ticks)
    assert rig.loop.state == "running"
    rig.sent.clear()
    rig.loop.rules.update(dict.fromkeys(RULES, 0))
    return rig
