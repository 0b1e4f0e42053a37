"""A policy and an SO-101 in one process: what moves it, and what holds it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hardware.direct.session import Options, Session
from hardware.feetech import servos
from hardware.feetech.arm import Arm
from hardware.feetech.emulated.bus import EmulatedBus
from hardware.feetech.settings import SIMULATED, Settings
from hardware.simulated.so101_body import Angles
from robot import profile
from robot.arbiter.modes import FAULT, POLICY
from robot.errors import PixelarmError
from robot.profile import ArmProfile
from sim.arms.so101 import SO101
from sim.envs.config import TaskConfig
from sim.envs.make import configured_task

pytestmark = pytest.mark.serial

STEP = np.array([0.0, 0.01, 0.0, -1.0], np.float32)  # one centimetre to the left, ten times a second; open


class StubPolicy:
    """Says ``action`` again and again; ``slow_s`` is how long it thinks."""

    def __init__(self) -> None:
        self.contract = configured_task(TaskConfig("reach", 32, arm="so101")).contract
        self.action, self.slow_s, self.seen = STEP, 0.0, []

    def act(self, observation: dict[str, np.ndarray]) -> np.ndarray:
        time.sleep(self.slow_s)
        self.seen.append(observation)
        return self.action[None]


class NoiseCamera:
    """Ten pictures a second of nothing in particular."""

    def __init__(self) -> None:
        self.rng, self.going = np.random.default_rng(0), threading.Event()

    def start(self, heard: Callable[[np.ndarray, int], None], lost: Callable[[str], None]) -> None:
        self.going.set()

        def run() -> None:
            while self.going.is_set():
                heard(self.rng.integers(0, 255, (32, 32, 3), np.uint8), time.time_ns())
                time.sleep(0.1)

        threading.Thread(target=run, daemon=True).start()

    def stop(self) -> None:
        self.going.clear()


class Rig:
    """An emulated arm at home, a policy, cameras, and what was said."""

    def __init__(self, bus: EmulatedBus, options: Options) -> None:
        self.bus, self.policy, self.said = bus, StubPolicy(), []
        self.cameras = {camera.name: NoiseCamera() for camera in self.policy.contract.cameras}
        arm = ArmProfile.load(profile.find("sim_so101_bus", profile.shipped()))
        arm = replace(arm, enable=replace(arm.enable, timeout_s=0.3))
        self.body = Arm.connect(bus.path, None, bus.settings, not options.moves, timeout_s=0.2)
        self.session = Session(self.policy, arm, self.body, self.cameras, options, self.said.append)

    def until(self, what: Callable[[], Any], limit_s: float = 8.0) -> bool:
        end = time.monotonic() + limit_s
        while time.monotonic() < end:
            if what():
                return True
            time.sleep(0.01)
        return False

    def goals(self) -> list[int]:
        with self.bus.lock:
            return [servo.get(servos.GOAL_POSITION) for servo in self.bus.servos.values()]

    def rests(self) -> bool:
        """Half a second without another goal."""
        before = self.goals()
        time.sleep(0.5)
        return self.goals() == before

    def moves(self) -> bool:
        before = self.goals()
        return self.until(lambda: self.goals() != before, 2.0)


@pytest.fixture
def rig() -> Iterator[Callable[..., Rig]]:
    made: list[Any] = []

    def make(**options: Any) -> Rig:
        settings = Settings.load(SIMULATED)
        bus = EmulatedBus(settings)
        made.append(bus)
        angles = Angles(settings, (-0.17, 1.03))
        with bus.lock:
            for number, (servo, angle) in enumerate(zip(bus.servos.values(), (*SO101.home, 1.03))):
                offset = servo.get(servos.HOMING_OFFSET)
                servo.by_hand(angles.to_encoder(number, servo, angle) - offset)
        found = Rig(bus, Options(**{"moves": True, "enable": False, **options}))
        made.extend([found.body, found.session])
        return found

    yield make
    for one in reversed(made):
        one.stop() if isinstance(one, Session) else one.close()


def test_a_policy_moves_the_arm_and_a_stop_leaves_it_holding(rig):
    here = rig()
    here.session.start()
    assert here.until(lambda: here.session.arbiter.mode == POLICY) and here.moves()
    start = here.body.state.position.copy()
    assert here.until(lambda: abs(here.body.state.position - start).max() > 0.1)
    here.session.stop()
    assert here.rests()
    with here.bus.lock:
        assert all(servo.get(servos.TORQUE_ENABLE) == 1 for servo in here.bus.servos.values())
    stats = here.session.stats()
    assert stats["bus_ms"]["n"] > 10 and stats["commands"] > 1 and stats["bus_faults"] == 0


def test_what_the_policy_sees_is_what_the_arm_measured(rig):
    here = rig()
    here.policy.action = np.array([0.0, 0.0, 0.0, -1.0], np.float32)
    here.session.start()
    assert here.until(lambda: len(here.policy.seen) > 40)
    seen = here.policy.seen[-1]
    assert seen["gripper_opening"] == pytest.approx([0.086], abs=0.002)
    tip, _ = here.session.arm.read_chain().forward(here.body.state.position)
    assert seen["eef_pos"] == pytest.approx(tip, abs=1e-3)
    assert seen["agentview"].shape == (32, 32, 3)


def test_a_dry_run_writes_nothing(rig):
    here = rig(moves=False)
    before = here.goals()
    here.session.start()
    assert here.until(lambda: here.session.arbiter.commands > 20)
    assert here.goals() == before
    with here.bus.lock:
        assert all(servo.get(servos.TORQUE_ENABLE) == 0 for servo in here.bus.servos.values())


def test_the_deadman_lets_it_move_and_holds_it(rig):
    here = rig(enable=True)
    here.session.start()
    assert here.until(lambda: here.session.arbiter.mode == POLICY) and here.rests()
    pressing = threading.Event()

    def press() -> None:
        here.session.put_enable(False)  # it was seen up
        while not pressing.wait(0.05):
            here.session.put_enable(True)

    thread = threading.Thread(target=press)
    thread.start()
    moved = here.moves()
    pressing.set()
    thread.join()
    time.sleep(0.5)  # silence, then the way to rest
    held = here.session.arbiter.counts["enable"]
    assert moved and here.rests() and here.session.arbiter.counts["enable"] > held


@pytest.mark.parametrize("what", ["camera", "policy"])
def test_silence_holds_the_arm(rig, what):
    """A camera that ends, and a policy that thinks for ever."""
    here = rig()
    here.session.start()
    assert here.moves()
    if what == "camera":
        here.cameras["agentview"].stop()
    else:
        here.policy.slow_s = 1.5
    time.sleep(0.7)
    assert here.rests()
    here.policy.slow_s = 0.0


def test_a_servo_that_protects_itself_holds_until_somebody_recovers_it(rig):
    here = rig()
    here.session.start()
    assert here.moves()
    here.bus.order("overload elbow_flex")
    assert here.until(lambda: here.session.arbiter.mode == FAULT)
    assert here.rests() and "elbow_flex" in here.session.arbiter.words
    assert len(here.session.protections) == 1  # one event, however many cycles it lasts
    here.bus.order("power off")
    here.bus.order("power on")
    assert here.until(lambda: not here.session.recover()) and here.moves()


def test_a_port_that_goes_away_ends_the_session(rig):
    here = rig()
    here.session.start()
    assert here.moves()
    here.bus.unplug()
    assert here.until(lambda: not here.session.alive)
    assert any("the session ends, and the servos hold" in words for words in here.said)


def test_what_is_missing_is_said(rig):
    here = rig()
    here.session._said_s = -10.0
    for camera in here.cameras.values():
        camera.start = lambda heard, lost: None
    here.session.start()
    assert here.until(lambda: any(words.startswith("waits: ") and "agentview" in words for words in here.said))


def test_what_cannot_run_is_refused(rig):
    here = rig()
    session = here.session
    with pytest.raises(PixelarmError, match="eye_in_hand is not given: --camera eye_in_hand=/dev/video0"):
        Session(here.policy, session.arm, here.body, {"agentview": NoiseCamera()}, Options(), print)
    more = {**here.cameras, "side": NoiseCamera()}
    with pytest.raises(PixelarmError, match="it does not have side: leave it out"):
        Session(here.policy, session.arm, here.body, more, Options(), print)
    here.policy.slow_s = 0.09
    with pytest.raises(PixelarmError, match="inference takes .* longer than the 80 ms that the deadline of 80 ms"):
        Session(here.policy, session.arm, here.body, here.cameras, Options(), print)
