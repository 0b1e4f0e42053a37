"""A leader is read, and a follower goes with it within its own limits; two emulated arms."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from hardware.feetech import servos
from hardware.feetech.arm import Arm, Clock
from hardware.feetech.emulated.bus import RANGES, EmulatedBus
from hardware.feetech.errors import ServoFault, ServoLost, Unplugged
from hardware.feetech.leader import FollowStats, Leader, LeaderState, follow
from hardware.feetech.settings import JOINTS
from robot.errors import PixelarmError

TIMEOUT_S = 0.5


@pytest.fixture
def hand(clock: Clock) -> Iterator[EmulatedBus]:
    """The leader's servos."""
    with EmulatedBus(now=clock.now) as bus:
        yield bus


@pytest.fixture
def leader(hand: EmulatedBus, clock: Clock) -> Iterator[Leader]:
    with Leader.connect(hand.path, clock=clock, timeout_s=TIMEOUT_S) as made:
        yield made


def move(bus: EmulatedBus, *offsets_rad: float, gripper: float = 0.5) -> None:
    """Put the leader's joints so far from their middles."""
    with bus.lock:
        for name, offset in zip(JOINTS, offsets_rad):
            bus.servos[name].by_hand(sum(RANGES[name]) / 2 + offset / servos.RAD_PER_TICK)
        low, high = RANGES["gripper"]
        bus.servos["gripper"].by_hand(low + gripper * (high - low))


def test_a_leader_is_read(leader: Leader, hand: EmulatedBus, clock: Clock) -> None:
    move(hand, 0.5, -1.0, 0.2, 0.0, 1.5, gripper=0.8)
    clock.sleep(3.0)
    state = leader.read()
    assert state.position == pytest.approx([0.5, -1.0, 0.2, 0.0, 1.5], abs=0.002)
    assert state.gripper == pytest.approx(0.8, abs=0.001)
    assert state.stamp == 3.0


def test_an_arm_that_holds_is_no_leader_unless_it_is_released(hand: EmulatedBus, clock: Clock) -> None:
    hand.servos["elbow_flex"].write(servos.TORQUE_ENABLE.address, b"\1")
    with pytest.raises(PixelarmError, match="elbow_flex has.*--release.*drops"):
        Leader.connect(hand.path, clock=clock, timeout_s=TIMEOUT_S)
    assert hand.servos["elbow_flex"].get(servos.TORQUE_ENABLE) == 1
    with Leader.connect(hand.path, release=True, clock=clock, timeout_s=TIMEOUT_S) as leader:
        leader.read()
    assert hand.servos["elbow_flex"].get(servos.TORQUE_ENABLE) == 0


def test_a_leader_says_what_is_wrong(leader: Leader, hand: EmulatedBus) -> None:
    hand.servos["wrist_roll"].forced_error = servos.ANGLE_BIT
    with pytest.raises(ServoFault, match=r"servo 5 \(wrist_roll\) of the leader reports: encoder fault"):
        leader.read()
    hand.servos["wrist_roll"].lost, leader.bus.timeout_s = True, 0.05
    with pytest.raises(ServoLost, match="wrist_roll"):
        leader.read()


# ----------------------------------------------------------------------------------------------------------- following
Connect = Callable[..., Arm]


def test_the_follower_goes_to_its_leader_slowly_and_then_with_it(
    leader: Leader, hand: EmulatedBus, connect: Connect, clock: Clock
) -> None:
    """0.8 rad apart at 0.5 rad/s: 1.6 s without a jump; then a wave of 0.3 rad whose 0.94 rad/s are below the limit."""
    follower, goals, leads = connect(), list[np.ndarray](), list[np.ndarray]()
    move(hand, 0.8, 0.0, 0.0, 0.0, 0.0)

    def on_tick(state: LeaderState, stats: FollowStats) -> None:
        assert follower._goal is not None
        goals.append(follower._goal[0])
        leads.append(state.position)
        if stats.aligned:
            move(hand, 0.8 + 0.3 * math.sin(math.pi * (clock.now() - 2.0)), 0.0, 0.0, 0.0, 0.0, gripper=0.9)

    move(hand, 0.8, 0.0, 0.0, 0.0, 0.0)
    clock.sleep(0.02)
    stats = follow(leader, follower, rate_hz=50.0, seconds=4.0, on_tick=on_tick)
    steps = np.abs(np.diff(np.array(goals), axis=0)).max(axis=1)
    first = next(n for n, goal in enumerate(goals) if abs(goal[0] - leads[n][0]) < 0.05)
    assert 70 <= first <= 82, "1.5 to 1.6 s at 50 Hz"
    assert steps[: first - 1].max() <= 0.5 / 50 + 1e-9
    assert steps.max() <= 1.5 / 50 + 1e-9, "the follower's own speed limit"
    assert stats.aligned and stats.ticks == 200 and stats.late == 0
    assert abs(goals[-1][0] - leads[-1][0]) < 0.01
    clock.sleep(0.5)
    assert follower.read().gripper == pytest.approx(0.9, abs=0.02)


def test_a_wild_leader_is_followed_within_the_step_limit(leader: Leader, hand: EmulatedBus, connect: Connect) -> None:
    follower, goals = connect(), list[np.ndarray]()
    dice = np.random.default_rng(0)

    def on_tick(state: LeaderState, stats: FollowStats) -> None:
        assert follower._goal is not None
        goals.append(follower._goal[0])
        move(hand, *dice.uniform(-1.5, 1.5, 5))

    follow(leader, follower, rate_hz=50.0, seconds=2.0, on_tick=on_tick)
    assert np.abs(np.diff(np.array(goals), axis=0)).max() <= 1.5 / 50 + 1e-9


@pytest.mark.parametrize("what", ["leader", "follower", "tick"])
def test_whatever_ends_it_the_follower_holds(
    what: str, leader: Leader, hand: EmulatedBus, emulated: EmulatedBus, connect: Connect
) -> None:
    follower, stats = connect(), FollowStats()

    def on_tick(state: LeaderState, stats: FollowStats) -> None:
        if stats.ticks == 10 and what == "leader":
            hand.unplug()
        if stats.ticks == 10 and what == "follower":
            emulated.servos["gripper"].forced_error = servos.OVERLOAD_BIT
        if stats.ticks == 10 and what == "tick":
            raise KeyboardInterrupt

    error = {"leader": Unplugged, "follower": ServoFault, "tick": KeyboardInterrupt}[what]
    with pytest.raises(error):
        follow(leader, follower, rate_hz=50.0, on_tick=on_tick, stats=stats)
    assert stats.ticks == 10 and stats.delay_ms.n == 10
    follower.bus.values([1], servos.LOCK)
    assert {servo.get(servos.TORQUE_ENABLE) for servo in emulated.servos.values()} == {1}


def test_a_dry_run_follows_without_writing(
    leader: Leader, hand: EmulatedBus, emulated: EmulatedBus, connect: Connect
) -> None:
    move(hand, 0.5, 0.0, 0.0, 0.0, 0.0)
    stats = follow(leader, connect(dry_run=True), rate_hz=50.0, seconds=1.0)
    assert stats.ticks == 50
    assert {servo.get(servos.TORQUE_ENABLE) for servo in emulated.servos.values()} == {0}
