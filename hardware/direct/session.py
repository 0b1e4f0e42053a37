"""One policy drives one SO-101 from this process: control loop, arbiter and bus, as over ROS, with calls for topics.

Each cycle of the bus (60 Hz) reads the joints, lets the arbiter tick, and writes what it says; the loop runs beside it
at the contract's rate, and its targets go to the arbiter as those of the source ``policy``. So the rules are those of
``robot.control`` and ``robot.arbiter``: whoever falls silent, the arm decelerates and holds. What differs from ROS: the
policy shares the process with the arbiter. If the process is killed the servos hold their last goals by themselves.
"""

from __future__ import annotations

import dataclasses
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from hardware.direct.cameras import Camera
from hardware.feetech.arm import Arm, JointState
from hardware.feetech.errors import Implausible, Unplugged
from robot import rotations
from robot.actions import JOINT_POSITION, Target
from robot.arbiter.arbiter import Arbiter
from robot.arbiter.modes import FAULT, IDLE, POLICY
from robot.control.config import LoopConfig, longest_inference_ms
from robot.control.inference import warm_up
from robot.control.limits import default_limits, target_limits
from robot.control.loop import Command, ControlLoop
from robot.control.pictures import Pictures
from robot.control.timing import Samples, pace
from robot.errors import PixelarmError
from robot.profile import ArmProfile

RECOVERY_S = 2.0  # that a recovery may take
SAY_S = 3.0  # between two lines of what it waits for
Say = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    """Of one session.

    Args:
        moves: else nothing is written to the servos.
        enable: the policy moves the arm only while ``Session.put_enable`` says so.
        speed_scale: share of the profile's greatest speeds; 0: as the profile says.
        jumps: a simulated arm, which is set elsewhere at each scene.
    """

    moves: bool = False
    enable: bool = True
    speed_scale: float = 0.0
    jumps: bool = False
    allow_slow: bool = False


class Session:
    """See the module text. ``start`` gives command to the policy as soon as everything is there; ``stop`` ends it.

    Args:
        policy: of a bundle.
        body: connected.
        cameras: for each of the contract's, by name.
        say: takes a line for whoever stands beside the arm.

    Raises:
        PixelarmError: the bundle is not for this arm, a camera is missing, or inference is too slow here.
    """

    def __init__(
        self, policy: Any, arm: ArmProfile, body: Arm, cameras: Mapping[str, Camera], options: Options, say: Say
    ) -> None:
        contract = policy.contract
        arm.require_contract(contract)
        require_cameras([c.name for c in contract.cameras], cameras)
        self.arm, self.body, self.cameras, self.options, self._say = arm, body, cameras, options, say
        limits = arm.limits
        if options.speed_scale:
            limits = dataclasses.replace(limits, speed_scale=options.speed_scale)
        chain = arm.read_chain()
        assert chain is not None
        self._chain = chain
        self.loop = ControlLoop(
            policy,
            default_limits(limits.without_motion(), contract, chain, arm.inverse if arm.solves else None),
            self._from_policy,
            LoopConfig(home_xyzw=arm.home_xyzw, max_misses=0 if options.allow_slow else LoopConfig.max_misses),
            on_event=partial(self._event, "policy"),
        )
        self.arbiter = Arbiter(
            target_limits(limits, JOINT_POSITION, len(arm.joint_names), arm.arbiter.period_s, chain),
            JOINT_POSITION,
            self._to_body,
            arm.arbiter,
            arm.enable.timeout_s if options.enable else None,
            options.jumps,
            True,
            on_event=partial(self._event, "arbiter"),
            dry_run=not options.moves,
        )
        self._names = {p.name for p in contract.proprio} | set(self.loop.limits.needs)
        self._pictures = Pictures(options.jumps)
        self._measured: dict[str, np.ndarray] = {}
        self._wanted: Target | None = None  # what the arbiter said in this cycle
        self._begin, self._running, self.failure = False, False, ""
        self._said_s = time.monotonic()  # when it was last said what is waited for
        self.bus, self.intervals, self.latency = Samples(), Samples(), Samples()  # ms
        self.faults, self.protections = 0, list[str]()  # cycles without an answer; why servos protected themselves
        self.on_commanded: Callable[[], None] = lambda: None  # called when the policy's target goes to the arm
        self._answered_ns = 0
        self._protected = False  # a servo protects itself, and that was counted
        self._recovering, self._recovered = threading.Event(), threading.Event()
        self.loop.warm = require_fast(policy, options.allow_slow)

    # ------------------------------------------------------------------------------------------------- start and stop
    def start(self) -> None:
        """Read, look, and command once everything is there."""
        self._running = self._begin = True
        for name, camera in self.cameras.items():
            camera.start(partial(self._on_image, name), partial(self._lost, name))
        self._thread = threading.Thread(target=self._run, name="bus", daemon=True)
        self._thread.start()
        self.loop.start()

    def stop(self) -> None:
        """Come to rest, hold, and let the cameras go; the torque stays on. Safe to call twice."""
        if not self._running:
            return
        self._begin = False
        self.loop.stop()
        self.arbiter.stop()
        time.sleep(2 * self.arm.arbiter.period_s)
        until = time.monotonic() + 1.0
        while not self.arbiter.rests and time.monotonic() < until:
            time.sleep(self.arm.arbiter.period_s)
        self._running = False
        self._thread.join(timeout=2.0)
        self.loop.close()
        for camera in self.cameras.values():
            camera.stop()

    @property
    def alive(self) -> bool:
        """The bus is there, and is read."""
        return self._running and not self.failure

    def put_enable(self, held: bool) -> None:
        """The deadman of whoever stands beside the arm."""
        self.arbiter.put_enable(held)

    def go_on(self, within_s: float = 3.0) -> None:
        """Give command to the policy as soon as everything is there, if it has lost it; end a fault before that."""
        end = time.monotonic() + within_s
        while self._running and (self.body.faulted or self.arbiter.mode == FAULT) and time.monotonic() < end:
            if self.recover():
                time.sleep(0.1)
        self._begin = True

    def recover(self) -> str:
        """After a fault whose cause is gone: let the arm hold where it is, and go on. Returns why it could not."""
        if self.body.faulted:
            self._recovered.clear()
            self._recovering.set()
            if not self._recovered.wait(RECOVERY_S):
                self._recovering.clear()
                return f"the arm does not recover: {self.body.fault}"
        refusal = self.arbiter.clear() or self.loop.clear()
        self._begin = self._begin or not refusal
        return refusal

    # ----------------------------------------------------------------------------------------------------------- heard
    def _on_image(self, name: str, pixels: np.ndarray, stamp_ns: int) -> None:
        try:
            wanted = next(c for c in self.loop.contract.cameras if c.name == name)
            fitted = self.arm.cameras[name].fit(pixels, height=wanted.height, width=wanted.width)
        except PixelarmError as error:
            self.loop.mailbox.fault(name, f"{name!r}: {error}")
            return
        found = self._pictures.check(name, fitted, self._measured)
        if found is not None:
            self.loop.mailbox.fault(name, found[1], found[0])
            return
        self.loop.put_image(name, fitted, stamp_ns)

    def _lost(self, name: str, words: str) -> None:
        self.loop.mailbox.fault(name, words)
        self._say(words)

    def _on_state(self, state: JointState) -> None:
        stamp_ns = time.time_ns() - round((time.monotonic() - state.stamp) * 1e9)
        position, rotation = self._chain.forward(state.position)
        gripper = self.arm.gripper_state
        values = {
            "joint_pos": state.position,
            "joint_vel": state.velocity,
            "eef_pos": position,
            "eef_quat": rotations.canonical(rotations.to_quaternion(rotation)),
            "gripper_opening": np.array([gripper.offset + gripper.scale * state.gripper]),
        }
        self._measured = {"joint_pos": values["joint_pos"], "eef_pos": values["eef_pos"]}
        for name, value in values.items():
            if name in self._names:
                self.loop.put_proprio(name, value, stamp_ns)
            self.arbiter.put_state(name, value, stamp_ns)

    # --------------------------------------------------------------------------------------------------------- commands
    def _from_policy(self, command: Command, hold: bool) -> None:
        """From the loop's thread."""
        if hold:
            if self.loop.rule != "not_in_command":
                self.arbiter.put_hold(POLICY, self.loop.rule)
            return
        joints = command.target.joint_positions
        assert joints is not None
        self.arbiter.put_gripper(POLICY, float(command.target.gripper))
        self.arbiter.put_target(POLICY, {"joint_positions": joints}, command.obs_stamp_ns)

    def _to_body(self, target: Target, stamp_ns: int, hold: bool) -> None:
        """From the arbiter's tick."""
        self._wanted = target
        if not hold:
            self.on_commanded()
        if not hold and stamp_ns != self._answered_ns:
            self._answered_ns = stamp_ns
            self.latency.add((time.time_ns() - stamp_ns) * 1e-6)

    def _event(self, who: str, rule: str, words: str) -> None:
        self._say(f"{who}: {words if rule == 'running' else f'{rule}: {words}'}")

    # -------------------------------------------------------------------------------------------------------------- bus
    def _run(self) -> None:
        """The bus's thread. It must not die in silence."""
        try:
            pace(self.arm.arbiter.period_s, lambda: self._running, self._cycle, self.bus, self.intervals)
        except Unplugged as error:
            self.failure = str(error)
        except Exception as error:
            self.failure = "".join(traceback.format_exception(error))
        if self.failure:
            self._say(f"the session ends, and the servos hold: {self.failure}")

    def _cycle(self) -> None:
        try:
            recovering = self._recovering.is_set()
            if recovering or self._was_set_elsewhere:
                self.body.recover()
            self._on_state(self.body.read())
        except Unplugged:
            raise
        except PixelarmError as error:
            self._failed(error)
        else:
            self._protected = False
            self.arbiter.put_cause("driver", "", "bus")
            if recovering:  # now: whoever waits for it asks the arbiter next
                self._recovering.clear()
                self._recovered.set()
        self._look()
        self._wanted = None
        self.arbiter.tick()
        if self._wanted is not None and self.options.moves and not self.body.faulted:
            self._write(self._wanted)

    @property
    def _was_set_elsewhere(self) -> bool:
        return self.options.jumps and isinstance(self.body.fault, Implausible)

    def _write(self, target: Target) -> None:
        assert target.joint_positions is not None
        try:
            self.body.write(target.joint_positions, self.arm.gripper_command.value(float(target.gripper)))
        except Unplugged:
            raise
        except PixelarmError as error:
            self._failed(error)

    def _failed(self, error: PixelarmError) -> None:
        """Of the bus: the next cycle may succeed. Of a servo: the arm holds until ``recover``."""
        if self._was_set_elsewhere:
            return
        self.faults += 1
        if self.body.faulted and not self._protected:
            self._protected = True
            self.protections.append(str(error))
        if self.body.faulted:
            self.arbiter.put_cause("driver", str(error), "bus")

    def _look(self) -> None:
        """What the policy and the arbiter know of each other, and whether the policy can have command."""
        mode = self.arbiter.mode
        self.loop.bars.put("not_in_command", "" if mode == POLICY else f"the arbiter's mode is {mode}")
        trouble = self.loop.bars.but("not_in_command") or self.loop.mailbox.trouble
        latched = f"latched ({self.loop.rule})" if self.loop.state == "latched" else ""
        self.arbiter.put_ready(POLICY, latched or ("" if trouble is None else trouble.words))
        if self._begin and mode == IDLE:
            self._give_command()

    def _give_command(self) -> None:
        """Once everything is there; every few seconds, why it is not."""
        refusal, now_s = self.arbiter.drive(POLICY), time.monotonic()
        self._begin = bool(refusal)
        if refusal and now_s - self._said_s > SAY_S:
            self._said_s = now_s
            self._say(f"waits: {refusal}")

    # ----------------------------------------------------------------------------------------------------------- report
    def stats(self) -> dict[str, Any]:
        return {
            "arm": self.arm.name,
            "moved": self.options.moves,
            **self.loop.stats(),
            "command_latency_ms": self.latency.summary(),
            "bus_ms": self.bus.summary(),
            "interval_ms": self.intervals.summary(),
            "bus_faults": self.faults,
            "protections": self.protections,
            "arbiter": self.arbiter.status(),
        }


def require_fast(policy: Any, allow_slow: bool) -> dict[str, Any]:
    """Measure a policy (``robot.control.inference.warm_up``); refuse one that is too slow here, unless allowed."""
    deadline_ms = policy.contract.deadline_ms
    longest = longest_inference_ms(policy.contract, deadline_ms)
    warm = warm_up(policy, longest_ms=longest)
    if warm["p99"] > longest and not allow_slow:
        raise PixelarmError(
            f"inference takes {warm['p99']} ms (p99 of {warm['n']}) on this machine, longer than the {longest:g} ms "
            f"that the deadline of {deadline_ms:g} ms leaves; use a smaller network or a faster machine, or accept "
            "missed deadlines with --allow-slow"
        )
    return warm


def require_cameras(wanted: list[str], given: Mapping[str, Camera]) -> None:
    """Raise PixelarmError unless these are the cameras that a policy sees: before anything moves."""
    missing, more = sorted(set(wanted) - set(given)), sorted(set(given) - set(wanted))
    seen = f"the contract has {', '.join(wanted) or 'no camera'}"
    if missing:
        raise PixelarmError(f"{seen}; {', '.join(missing)} is not given: --camera {missing[0]}=/dev/video0")
    if more:
        raise PixelarmError(f"{seen}; it does not have {', '.join(more)}: leave it out")
