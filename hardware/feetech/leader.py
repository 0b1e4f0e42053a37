"""A leader arm: an SO-101 without torque, moved by a hand, whose joints are read; and a follower that goes with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from hardware.feetech import inspection, servos
from hardware.feetech.arm import Arm, Clock, JointState
from hardware.feetech.bus import Bus
from hardware.feetech.calibration import Calibration
from hardware.feetech.errors import ServoFault
from hardware.feetech.settings import Settings
from robot.control.timing import Samples
from robot.errors import PixelarmError

ALIGNED_RAD = 0.05  # a follower that has come so near to its leader follows at full speed from then on


@dataclass(frozen=True)
class LeaderState:
    """Where a hand holds the leader."""

    position: np.ndarray  # (5,) rad, of the simulation model
    gripper: float  # 0 closed, 1 open
    stamp: float  # s of the clock: half-way between question and whole answer


class Leader:
    """A connected leader. ``connect`` makes one."""

    def __init__(self, bus: Bus, calibration: Calibration, clock: Clock | None = None) -> None:
        self.bus, self.calibration, self.clock = bus, calibration, clock or Clock()
        self._ids = list(calibration.settings.names)

    @classmethod
    def connect(
        cls,
        port: str,
        calibration: Path | None = None,
        settings: Settings | None = None,
        release: bool = False,
        clock: Clock | None = None,
        timeout_s: float = 0.02,
    ) -> Leader:
        """Open the port and check every servo.

        Args:
            release: switch the torque off where it is on. Only for an arm that a hand supports: it drops.

        Raises:
            PixelarmError: the arm has torque and ``release`` is not given; others as of ``Arm.connect``.
        """
        bus, known, reports = inspection.connect(port, calibration, settings or Settings.load(), timeout_s)
        try:
            held = [report.name for report in reports.values() if report.torque]
            if held and not release:
                raise PixelarmError(
                    f"a leader is moved by a hand and must have no torque; on {port} {', '.join(held)} has. If this is "
                    "the leader, support it with a hand and release it (--release): without torque it drops"
                )
            if held:
                bus.write_surely(servos.TORQUE_ENABLE, dict.fromkeys(known.settings.names, 0))
            return cls(bus, known, clock)
        except BaseException:
            bus.close()
            raise

    def read(self) -> LeaderState:
        """The newest position; about 0.6 ms of bus time.

        Raises:
            PowerLost, ServoLost, Garbled, Unplugged: no whole answer; the next read may succeed.
            ServoFault: an encoder reports that it is broken.
        """
        before = self.clock.now()
        register = servos.PRESENT_POSITION
        answers = self.bus.sync_read(self._ids, register.address, register.size)
        stamp = (before + self.clock.now()) / 2
        broken = [id_ for id_, answer in answers.items() if answer.code & servos.ANGLE_BIT]
        if broken:
            raise ServoFault(
                f"{', '.join(map(self.bus.name, broken))} of the leader reports: "
                f"{servos.error_words(servos.ANGLE_BIT)}; {servos.error_advice(servos.ANGLE_BIT)}"
            )
        ticks = [register.decode(answer.parameters) for answer in answers.values()]
        return LeaderState(self.calibration.position(np.array(ticks[:-1])), self.calibration.gripper(ticks[-1]), stamp)

    def close(self) -> None:
        self.bus.close()

    def __enter__(self) -> Leader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass
class FollowStats:
    """How a follower kept up."""

    ticks: int = 0
    late: int = 0  # ticks that took longer than their period
    aligned: bool = False  # it has come to its leader once
    delay_ms: Samples = field(
        default_factory=Samples
    )  # from the leader's stamp to the goal handed to the follower's port
    behind_rad: Samples = field(default_factory=Samples)  # of the goal that lags most, once aligned

    def to_dict(self) -> dict[str, Any]:
        return {
            "ticks": self.ticks,
            "late": self.late,
            "aligned": self.aligned,
            "delay_ms": self.delay_ms.summary(),
            "behind_rad": self.behind_rad.summary(),
        }


def follow(
    leader: Leader,
    follower: Arm,
    rate_hz: float = 60.0,
    seconds: float = float("inf"),
    on_tick: Callable[[LeaderState, FollowStats], None] = lambda state, stats: None,
    stats: FollowStats | None = None,
    on_goal: Callable[[JointState, np.ndarray, float], None] = lambda state, goal, gripper: None,
) -> FollowStats:
    """Let ``follower`` go where ``leader`` is, within the follower's limits, for ``seconds``.

    At first it goes there at the speed of ``fold``, so that two arms that stand apart meet without a jump. Whatever
    goes wrong with either arm ends it, and the follower holds.

    Args:
        on_tick: called after each goal; an exception of its own ends it too.
        on_goal: called before ``on_tick`` with what the follower measured, and the goals that its servos got then.
        stats: what to count into, for whoever wants them though it ended with an error.
    """
    stats, clock, period = stats or FollowStats(), follower.clock, 1.0 / rate_hz
    end = due = clock.now()
    end += seconds
    try:
        while clock.now() < end:
            lead = leader.read()
            measured = follower.read()
            speed = np.inf if stats.aligned else follower.settings.limits.fold_speed_rad_s
            goal, opening = follower.write(lead.position, lead.gripper, speed)
            stats.delay_ms.add((clock.now() - lead.stamp) * 1e3)
            behind = float(np.abs(np.clip(lead.position, *follower.calibration.range_rad) - goal).max())
            if stats.aligned:
                stats.behind_rad.add(behind)
            stats.aligned = stats.aligned or behind < ALIGNED_RAD
            stats.ticks += 1
            on_goal(measured, goal, opening)
            on_tick(lead, stats)
            due += period
            if due < clock.now():
                stats.late += 1
                due = clock.now()
            clock.sleep(max(0.0, due - clock.now()))
    finally:
        follower.hold_quietly()
    return stats
