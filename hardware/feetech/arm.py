"""The driver of an SO-101 over its own bus: read, write, hold, fold, close.

Whatever goes wrong, the arm holds: its servos keep their last goal and their torque by themselves, which this driver
never takes away except at the end of ``fold``. There is no watchdog on this bus: a driver that dies leaves the arm
where it was told to be, and a power supply that dies leaves it limp, which no program can change.

No servo's EEPROM is written.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

from hardware.feetech import inspection, limits, servos
from hardware.feetech.bus import Bus
from hardware.feetech.calibration import Calibration
from hardware.feetech.errors import BusError, Implausible, NotFolded, ServoFault, TorqueLost
from hardware.feetech.health import Health
from hardware.feetech.servos import ServoState
from hardware.feetech.settings import GRIPPER, JOINTS, Settings
from robot.errors import PixelarmError

TORQUE_CHECK_S = 0.25  # between two looks at whether the servos still have their torque; each takes the bus for 2 ms
STALE_S = 0.5  # a write must follow a read by so much at most
FOLD_PERIOD_S, FOLD_PATIENCE_S, FOLDED_RAD = 0.02, 3.0, 0.12
PLAUSIBLE_RAD, PLAUSIBLE_RAD_S = 0.3, 2 * servos.SERVO_SPEED  # how far a joint can have moved between two reads


@dataclass(frozen=True)
class JointState:
    """What the arm measured at one instant; arrays of five are in the order of ``JOINTS``, of six with the gripper."""

    position: np.ndarray  # (5,) rad, of the simulation model
    velocity: np.ndarray  # (5,) rad/s
    gripper: float  # 0 closed, 1 open
    current: np.ndarray  # (6,) A, signed
    load: np.ndarray  # (6,) share of the stall torque, signed
    temperature: np.ndarray  # (6,) °C
    voltage: np.ndarray  # (6,) V
    stamp: float  # s of the clock: half-way between question and whole answer


@dataclass(frozen=True)
class Clock:
    """Time as the driver sees it; tests give their own."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


class Arm:
    """A connected SO-101. ``connect`` makes one; as a context manager it is closed at the end, and goes on holding.

    A dry run reads, checks and computes everything, and writes nothing at all to the servos. One thread at a time.
    """

    def __init__(self, bus: Bus, calibration: Calibration, dry_run: bool = True, clock: Clock | None = None) -> None:
        self.bus, self.calibration, self.dry_run = bus, calibration, dry_run
        self.settings: Settings = calibration.settings
        self.clock = clock or Clock()
        self.state: JointState | None = None  # of the last read
        self._ids = list(self.settings.names)
        self._health = Health(self.settings)
        self._goal: tuple[np.ndarray, float] | None = None  # joints (5,) rad and gripper
        self._goal_s = self._torque_s = -np.inf  # when they were written; when torque was last seen on
        self._lead = limits.GRIPPER_LEAD[1]  # how far the jaw's goal may be from where it is
        self._fault: Exception | None = None
        self._doubt = False  # a question failed: look at the torque before anything else

    @classmethod
    def connect(
        cls,
        port: str,
        calibration: Path | None = None,
        settings: Settings | None = None,
        dry_run: bool = True,
        clock: Clock | None = None,
        timeout_s: float = 0.02,
    ) -> Arm:
        """Open the port, check every servo, and, unless it is a dry run, let the arm hold where it is.

        Args:
            calibration: LeRobot's file, which must say what the servos' memory says; None: trust the memory.
            timeout_s: of one question, beyond the time of its bytes.

        Raises:
            PortError, PowerLost, ServoLost, DuplicateId, WrongServo, ServoFault, CalibrationMismatch: see there.
        """
        bus, known, _ = inspection.connect(port, calibration, settings or Settings.load(), timeout_s)
        try:
            arm = cls(bus, known, dry_run, clock)
            arm.read()
            if not dry_run:
                arm.enable()
            return arm
        except BaseException:
            bus.close()
            raise

    @property
    def fault(self) -> Exception | None:
        """Why ``write`` refuses until ``recover``; None: it does not."""
        return self._fault

    @property
    def faulted(self) -> bool:
        """A servo protected itself, say: ``write`` refuses until ``recover``."""
        return self._fault is not None

    # ------------------------------------------------------------------------------------------------------------ read
    def read(self) -> JointState:
        """The newest state; about 1.5 ms of bus time.

        Raises:
            PowerLost, ServoLost, Garbled, Unplugged: no whole answer; the next read may succeed.
            ServoFault: a servo protects itself or is beyond a limit. ``state`` has the numbers. The arm holds, and
                ``write`` refuses until ``recover``.
            TorqueLost, Implausible: likewise.
        """
        try:
            measured, bits, stamp = self._measure_plausibly()
            state = self._to_state(measured, stamp)
            self.state = state
            self._require_torque(stamp)
            self._health.judge(measured, bits, stamp)
            return state
        except (ServoFault, TorqueLost, Implausible) as error:
            self._fault = error
            self._yield(error)
            raise
        except BusError:
            self._doubt = True
            self.hold_quietly()
            raise

    def _measure(self) -> tuple[list[ServoState], list[int], float]:
        before = self.clock.now()
        answers = self.bus.sync_read(self._ids, servos.STATE_START, servos.STATE_SIZE)
        stamp = (before + self.clock.now()) / 2
        measured = [ServoState.from_block(answer.parameters) for answer in answers.values()]
        return measured, [answer.code | one.status for answer, one in zip(answers.values(), measured)], stamp

    def _to_state(self, measured: list[ServoState], stamp: float) -> JointState:
        joints, jaw = measured[:-1], measured[-1]
        return JointState(
            position=self.calibration.position(np.array([one.ticks for one in joints])),
            velocity=self.calibration.velocity(np.array([one.speed for one in joints], float)),
            gripper=self.calibration.gripper(jaw.ticks),
            current=np.array([one.current for one in measured]),
            load=np.array([one.load for one in measured]),
            temperature=np.array([one.temperature for one in measured]),
            voltage=np.array([one.voltage for one in measured]),
            stamp=stamp,
        )

    def _measure_plausibly(self) -> tuple[list[ServoState], list[int], float]:
        """A damaged answer passes the checksum once in 256 times: a jump is read again before it is believed."""
        for _ in range(2):
            measured, bits, stamp = self._measure()
            words = self._jump(measured, stamp)
            if not words:
                return measured, bits, stamp
        raise Implausible(
            f"{words}: its horn slipped, or the encoder passed the end of a turn. The arm holds. Check the joint by "
            "hand with the power off, and calibrate again"
        )

    def _jump(self, measured: list[ServoState], stamp: float) -> str:
        """In words, the first joint that went further than it can since the last read; empty if none did."""
        last = self.state
        if last is None:
            return ""
        position = self.calibration.position(np.array([one.ticks for one in measured[:-1]]))
        seconds = stamp - last.stamp
        for name, now, before in zip(JOINTS, position, last.position):
            if abs(now - before) > PLAUSIBLE_RAD + PLAUSIBLE_RAD_S * seconds:
                return (
                    f"{name} must move by less than {PLAUSIBLE_RAD_S:.0f} rad/s, and went from {before:.2f} to "
                    f"{now:.2f} rad in {seconds:.3f} s"
                )
        return ""

    def _require_torque(self, now: float) -> None:
        """Servos that were switched on must still be; one that restarted answers, and is limp."""
        if self._goal is None or self.dry_run or (not self._doubt and now - self._torque_s < TORQUE_CHECK_S):
            return
        limp = [id_ for id_, on in self.bus.values(self._ids, servos.TORQUE_ENABLE).items() if on != 1]
        if limp:
            raise TorqueLost(
                f"{', '.join(map(self.bus.name, limp))} must have torque and has none: the power dipped and it "
                "restarted, or another program switched it off. It is limp: support the arm, then start again"
            )
        self._torque_s, self._doubt = now, False

    # ----------------------------------------------------------------------------------------------------------- write
    def write(
        self, position: np.ndarray, gripper: float | None = None, speed_rad_s: float = np.inf
    ) -> tuple[np.ndarray, float]:
        """Move the goals towards a position by at most one step; repeat after each ``read``.

        Args:
            position: ``(5,)`` rad of the model.
            gripper: 0 closed to 1 open; None: as it is.
            speed_rad_s: below the limit of the settings.

        Returns:
            The goals that the servos got, ``(5,)`` rad and gripper, which are often not yet what was wanted.

        Raises:
            PixelarmError: numbers that are not finite, no ``read`` within the last 0.5 s, a fault that has not been
                recovered from. Nothing is written then.
            Unplugged: the port went away.
        """
        position = np.asarray(position, float)
        opening = self._goals()[1] if gripper is None else float(gripper)
        if position.shape != (len(JOINTS),) or not np.isfinite([*position.ravel(), opening]).all():
            raise PixelarmError(
                f"a goal must be {len(JOINTS)} finite numbers in rad and a finite opening; got {position}, {opening}. "
                "The arm holds its last goal"
            )
        if self._fault is not None:
            raise PixelarmError(f"the arm holds after a fault, call recover() first: {self._fault}") from self._fault
        state, now = self._fresh(), self.clock.now()
        last, jaw = self._goals()
        elapsed = now - self._goal_s if np.isfinite(self._goal_s) else 0.0
        joints = limits.next_joints(
            position, last, state.position, elapsed, self.calibration.range_rad, self.settings.limits, speed_rad_s
        )
        self._lead = limits.next_lead(self._lead, state.current[-1], elapsed, self.settings.gripper)
        jaw = limits.next_gripper(opening, jaw, state.gripper, self._lead, elapsed, self.settings.gripper)
        self._send(joints, jaw)
        self._goal_s = now
        return joints, jaw

    def _fresh(self) -> JointState:
        age = np.inf if self.state is None else self.clock.now() - self.state.stamp
        if self.state is None or age > STALE_S:
            raise PixelarmError(f"read() must come at most {STALE_S} s before write(), it came {age:.1f} s before")
        return self.state

    def _goals(self) -> tuple[np.ndarray, float]:
        """What was commanded last; before that, where the arm is."""
        if self._goal is not None:
            return self._goal
        state = self._fresh()
        return state.position, state.gripper

    def _ticks(self, joints: np.ndarray, jaw: float) -> dict[int, int]:
        ticks = [*(int(t) for t in self.calibration.ticks(joints)), self.calibration.gripper_ticks(jaw)]
        return dict(zip(self._ids, ticks))

    def _send(self, joints: np.ndarray, jaw: float) -> None:
        if not self.dry_run:
            self.bus.sync_write(servos.GOAL_POSITION, self._ticks(joints, jaw))
        self._goal = (joints, jaw)

    # ------------------------------------------------------------------------------------------------------------ hold
    def enable(self) -> None:
        """Torque on, with goals where the arm is: nothing moves. An arm that holds already keeps its goals.

        Raises:
            PixelarmError: this is a dry run.
            Garbled: a servo did not take what was written.
        """
        if self.dry_run:
            raise PixelarmError(
                "a dry run switches nothing on: connect with dry_run=False to let the arm hold and move"
            )
        state = self._fresh()
        joints, jaw = state.position, state.gripper
        if all(on == 1 for on in self.bus.values(self._ids, servos.TORQUE_ENABLE).values()):
            ticks = list(self.bus.values(self._ids, servos.GOAL_POSITION).values())
            goal = self.calibration.position(np.array(ticks[:-1]))
            if np.all(np.abs(goal - joints) < self.settings.limits.max_lead_rad):
                joints, jaw = goal, self.calibration.gripper(ticks[-1])
        # nobody confirms a write: what a servo does not hold yet when the torque comes, it would jump to or push with
        speed = int(np.ceil(self.settings.limits.max_speed_rad_s / servos.RAD_PER_TICK))
        torque = round(self.settings.gripper.max_torque / servos.TORQUE_LIMIT.unit)
        self.bus.write_surely(servos.GOAL_SPEED, dict.fromkeys(self._ids[:-1], speed))
        self.bus.write_surely(servos.TORQUE_LIMIT, {self.settings.ids[GRIPPER]: torque})
        self.bus.write_surely(servos.GOAL_POSITION, self._ticks(joints, jaw))
        self.bus.write_surely(servos.TORQUE_ENABLE, dict.fromkeys(self._ids, 1))
        self._goal, self._goal_s, self._doubt = (joints, jaw), self.clock.now(), True
        self._require_torque(self._goal_s)

    def hold(self) -> None:
        """Tell the servos their last goals again, whatever has happened. Before the first goal, nothing."""
        if self._goal is not None:
            self._send(*self._goal)

    def hold_quietly(self) -> None:
        """``hold``, for whoever has another error to tell of already."""
        with suppress(BusError):
            self.hold()

    def recover(self) -> JointState:
        """After a fault: read, and if all is well again, let the arm hold where it is and ``write`` go on.

        Raises:
            PixelarmError: as ``read`` and ``enable``; the fault stays.
        """
        self.state = None
        self._health = Health(self.settings)
        self._goal = None  # goals from before are not gone back to
        state = self.read()
        if not self.dry_run:
            self.enable()
        self._fault = None
        return state

    def _yield(self, error: Exception) -> None:
        """Hold; the servo that pushes too hard gets where it is as its goal, so that it stops pushing."""
        if self._goal is None or self.state is None:
            return
        joints, jaw = self._goal[0].copy(), self._goal[1]
        for name in self._health.pushing if isinstance(error, ServoFault) else ():
            if name == GRIPPER:
                jaw = self.state.gripper
            else:
                joints[JOINTS.index(name)] = self.state.position[JOINTS.index(name)]
        with suppress(BusError):
            self._send(joints, jaw)

    # ----------------------------------------------------------------------------------------------------- fold, close
    def fold(self, progress: Callable[[float], None] = lambda left_rad: None) -> None:
        """Move slowly to the rest pose, then switch the torque off. The only way in which this driver does that.

        Args:
            progress: called at each step with the way that is left, in rad of the joint that has most of it.

        Raises:
            PixelarmError: this is a dry run.
            NotFolded: the arm did not come to the rest pose; it holds.
            BusError: as ``read``; the arm holds.
        """
        if self.dry_run:
            raise PixelarmError("a dry run does not fold: connect with dry_run=False")
        rest, speed = self.settings.rest, self.settings.limits.fold_speed_rad_s
        way = float(np.abs(self.read().position - rest).max())
        end = self.clock.now() + way / speed + FOLD_PATIENCE_S
        while True:
            state = self.read()
            goal, _ = self.write(rest, speed_rad_s=speed)
            left = np.abs(state.position - rest)
            progress(float(left.max()))
            if np.allclose(goal, np.clip(rest, *self.calibration.range_rad)) and left.max() < FOLDED_RAD:
                break
            if self.clock.now() > end:
                name = JOINTS[int(left.argmax())]
                raise NotFolded(
                    f"{name} must come within {FOLDED_RAD} rad of its rest pose before the torque goes off, and is "
                    f"still {left.max():.2f} rad away: something is in its way. The arm holds; clear the way and fold "
                    "again"
                )
            self.clock.sleep(FOLD_PERIOD_S)
        self.bus.write_surely(servos.TORQUE_ENABLE, dict.fromkeys(self._ids, 0))
        self._goal = None

    def close(self) -> None:
        """Give the port back. The torque stays on, and the arm holds; only ``fold`` lets it go."""
        self.hold_quietly()
        self.bus.close()

    def __enter__(self) -> Arm:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
