"""The driver of an SO-101 as a node: what it says when the bus, a servo or the driver itself fails."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

pytest.importorskip("rclpy")

import rclpy
from std_msgs.msg import Bool, Float64MultiArray, String

from hardware.feetech.emulated.bus import EmulatedBus
from hardware.feetech.errors import Garbled, Implausible
from hardware.feetech.settings import Settings
from hardware.ros.so101_node import BusOptions, So101Node

pytestmark = [pytest.mark.ros, pytest.mark.serial]


@pytest.fixture
def bus() -> Iterator[EmulatedBus]:
    with EmulatedBus() as made:
        yield made


Make = Callable[..., So101Node]


@pytest.fixture
def make(bus: EmulatedBus, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    made: list[So101Node] = []
    rclpy.init()

    def start(cycle: Callable[[So101Node], None] | None = None, **options: bool) -> So101Node:
        if cycle is not None:
            monkeypatch.setattr(So101Node, "_cycle", cycle)
        made.append(So101Node(BusOptions(bus.path, None, Settings.load(), timeout_s=0.3, **options)))
        return made[-1]

    yield start
    for node in made:
        node.finish()
        node.destroy_node()
    rclpy.try_shutdown()


def said(node: So101Node, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """What it says from now on of being ready."""
    heard: list[bool] = []
    monkeypatch.setattr(node._ready, "publish", lambda message: heard.append(message.data))
    return heard


def until(what: Callable[[], object], limit_s: float = 10.0) -> bool:
    end = time.monotonic() + limit_s
    while not what() and time.monotonic() < end:
        time.sleep(0.01)
    return bool(what())


def test_an_arm_that_is_not_moved_says_so(make: Make) -> None:
    node, heard = make(moves=False), []  # type: ignore[var-annotated]
    from robot.ros.runtime import qos

    node.create_subscription(Bool, "so101/ready", lambda message: heard.append(message.data), qos(1, True, True))
    end = time.monotonic() + 10.0
    while not heard and time.monotonic() < end:
        rclpy.spin_once(node, timeout_sec=0.05)
    assert heard == [False]


def test_a_port_that_goes_away_ends_the_node(make: Make, bus: EmulatedBus, monkeypatch: pytest.MonkeyPatch) -> None:
    node = make(moves=True)
    heard = said(node, monkeypatch)
    bus.unplug()
    assert node.done.wait(10.0)
    assert (node.exit_code, heard) == (1, [False])


def test_a_bug_in_the_buss_thread_ends_the_node(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    broken: list[bool] = []

    def cycle(node: So101Node) -> None:
        if broken:
            raise ZeroDivisionError("nobody has thought of that")

    node = make(cycle, moves=True)
    heard = said(node, monkeypatch)
    broken.append(True)
    assert node.done.wait(10.0)
    assert (node.exit_code, heard) == (1, [False])


def test_an_arm_that_cannot_be_recovered_is_said_not_to_be_ready(
    make: Make, bus: EmulatedBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = make(lambda node: None, moves=True, simulated=True)
    heard = said(node, monkeypatch)
    fault = Implausible("it jumped")
    node._on_episode(String(data=json.dumps({"event": "reset", "seed": 1})))
    node.arm._fault = fault

    def failing() -> None:
        raise Garbled("no whole answer")

    monkeypatch.setattr(node.arm, "recover", failing)
    node._failed(fault)
    assert heard == [False] and node.faults == 1


def test_a_scene_that_was_set_up_anew_is_recovered_from_though_its_event_comes_late(
    make: Make, bus: EmulatedBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And though nobody sends commands."""
    node = make(moves=True, simulated=True)
    heard = said(node, monkeypatch)
    jumped_s = time.monotonic()
    with bus.lock:
        servo = bus.servos["shoulder_pan"]
        servo.encoder = servo._setpoint = servo.encoder + 600  # 0.9 rad at once
        servo.sense(0.0)
    assert until(lambda: heard == [False])
    assert until(lambda: node.arm.state is not None and node.arm.state.stamp > jumped_s)  # it is believed by now
    node._on_episode(String(data=json.dumps({"event": "reset", "seed": 1})))
    assert until(lambda: heard == [False, True])
    assert not node.arm.faulted


def test_a_command_and_its_time_are_one(make: Make) -> None:
    node = make(lambda node: None, moves=True)
    node._on_command(Float64MultiArray(data=[0.1] * 6))
    target = node._target
    assert target is not None
    np.testing.assert_array_equal(target[0], [0.1] * 6)
    assert abs(time.monotonic() - target[1]) < 60.0


def test_the_bus_is_closed_between_two_cycles(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    node, held = make(moves=True), []  # type: ignore[var-annotated]
    close = node.arm.close
    monkeypatch.setattr(node.arm, "close", lambda: (held.append(node._lock.locked()), close()))
    node.finish()
    assert held == [True]
