"""The control loop's operator, history, chunks and start-up, on a clock that the test owns."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from loop_rig import CONTRACT, HERE, LIMITS, Rig, running

from robot.contract import Proprio
from robot.control.inference import warm_up
from robot.control.limits import default_limits
from robot.control.loop import Command, ControlLoop
from robot.errors import PixelarmError


# ------------------------------------------------------------------------- operator
def test_estop_latches_until_released_and_cleared() -> None:
    rig = running()
    rig.loop.put_estop(True)
    rig.run(2)
    assert rig.loop.rules["estop"] == 2
    assert "still pressed" in rig.loop.clear()
    rig.loop.put_estop(False)
    rig.run(2)
    assert rig.loop.rules["estop"] == 4  # released, not cleared: still no motion
    assert rig.loop.clear() == ""
    assert rig.run(2).loop.state == "running"


def test_an_order_given_during_inference_still_counts() -> None:
    for order, rule in ((lambda loop: loop.put_estop(True), "estop"), (lambda loop: loop.hold(True), "operator_hold")):
        rig = running()
        rig.worker.latency_s = 0.030
        rig.clock.wait(lambda r=rig: r.loop.mailbox.fresh, rig.clock.now_s + 1)
        rig.clock.at(rig.clock.now_s + 0.010, lambda o=order, r=rig: o(r.loop))
        rig.run(1)
        assert rig.fired() == {rule: 1}
        assert rig.sent[-1][2] is True


def test_operator_hold() -> None:
    rig = running()
    rig.loop.hold(True)
    rig.run(2)
    assert rig.fired() == {"operator_hold": 2}
    rig.loop.hold(False)
    assert rig.run(2).loop.state == "running"


def test_deadman_released_or_silent_holds() -> None:
    rig = Rig(enable_timeout_s=0.2)
    rig.run(3)
    assert rig.sent == []  # never pressed: nothing was ever commanded
    rig.loop.put_enable(True)
    rig.run(1)
    assert rig.sent[-1][2] is False
    rig.loop.put_enable(False)
    rig.run(1)
    assert rig.sent[-1][2] is True
    rig.loop.put_enable(True)
    rig.run(1)
    assert rig.sent[-1][2] is False
    rig.run(4)  # 0.4 s without a message
    assert rig.sent[-1][2] is True
    assert rig.loop.rules["enable"] >= 4


def test_limits_act_and_are_counted() -> None:
    rig = running(limits=dataclasses.replace(LIMITS, max_reach_m=0.005))
    rig.run(2)
    assert rig.loop.stats()["limits"]["reach"] >= 2
    assert np.linalg.norm(rig.sent[-1][1].target.position - HERE) == pytest.approx(0.005, abs=1e-6)


def test_an_arm_outside_its_workspace_is_not_moved() -> None:
    rig = running()
    rig.measured["eef_pos"] = np.array([0.5, 0.0, -0.2])
    rig.run(3)
    assert rig.loop.rules["box"] >= 2
    assert rig.sent[-1][2] is True


# ------------------------------------------------------------------ history and chunks
def test_history_is_stacked_one_tick_apart() -> None:
    rig = Rig(contract=dataclasses.replace(CONTRACT, history=3)).run(6)
    frames = [tuple(int(v) for v in seen["front"][:, 0, 0, 0]) for seen in rig.seen]
    assert rig.seen[0]["front"].shape == (3, 8, 8, 3)
    assert rig.seen[0]["eef_pos"].shape == (3, 3)
    assert frames[:4] == [(1, 1, 1), (1, 1, 2), (1, 2, 3), (2, 3, 4)]


def test_history_starts_anew_after_a_gap() -> None:
    rig = Rig(contract=dataclasses.replace(CONTRACT, history=2)).run(4)
    rig.silent = {"front", "wrist"}
    rig.run(5)
    rig.silent = set()
    before = len(rig.seen)
    rig.run(4)
    first = rig.seen[before]["front"][:, 0, 0, 0]
    assert first[0] == first[1]


def test_a_chunk_bridges_missed_deadlines_by_time() -> None:
    """Action k of a chunk is meant for the observation's stamp + k periods."""
    rig = running(contract=dataclasses.replace(CONTRACT, chunk=4))
    rig.action = np.float32([[0.01 * k, 0, 0, 0] for k in range(4)])
    rig.run(1)
    rig.worker.latency_s = 1.0
    rig.run(5)
    offsets = [round(float(command.target.position[0] - HERE[0]), 3) for _, command, _ in rig.sent]
    holds = [hold for _, _, hold in rig.sent]
    assert offsets[:4] == [0.0, 0.01, 0.02, 0.03]
    assert holds == [False] * 4 + [True] * 2
    assert rig.loop.rules["deadline_missed"] == 5


# --------------------------------------------------------------------------- start-up
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"deadline_ms": 120.0}, "shorter than the period, 100 ms"),
        ({"proprio": (Proprio("gripper_opening", 1, "m", "g"),)}, "eef_pos"),
        ({"action": dataclasses.replace(CONTRACT.action, kind="joint_velocity")}, "joint_velocity"),
    ],
)
def test_what_the_loop_cannot_do_is_refused_at_start_up(change: dict[str, Any], words: str) -> None:
    with pytest.raises(PixelarmError, match=words):
        Rig(contract=dataclasses.replace(CONTRACT, **change))


def test_warm_up_measures_and_checks_the_policy() -> None:
    rig = Rig()
    warm = rig.loop.warm_up(20)
    assert warm["n"] == 20 and warm["p99"] >= warm["p50"] >= 0
    assert set(rig.seen[0]) == {"front", "wrist", "eef_pos", "gripper_opening"}
    rig.action = np.float32([[np.nan, 0, 0, 0]])
    with pytest.raises(PixelarmError, match="not finite"):
        rig.loop.warm_up(20)
    rig.action = np.zeros((2, 4), np.float32)
    with pytest.raises(PixelarmError, match="shape"):
        rig.loop.warm_up(20)


def test_one_stall_of_the_machine_is_not_a_slow_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [0.0]
    monkeypatch.setattr("robot.control.inference.time.perf_counter", lambda: now_s[0])

    class Stalls:
        contract = CONTRACT
        calls = 0

        def __init__(self, *slow: int) -> None:
            self.slow = slow

        def act(self, observation: dict[str, np.ndarray]) -> np.ndarray:
            self.calls += 1
            now_s[0] += 0.05 if self.calls in self.slow else 0.001
            return np.zeros((1, 4), np.float32)

    once, twice = Stalls(5), Stalls(5, 15)
    assert warm_up(once, 9, longest_ms=40.0)["p99"] < 40 and once.calls == 20
    assert warm_up(twice, 9, longest_ms=40.0)["p99"] > 40 and twice.calls == 20
    assert warm_up(Stalls(5), 9)["p99"] > 40


def test_the_real_thread_starts_and_stops() -> None:
    """The only test on real time: one command through the real clock and worker, then a clean stop."""

    class Still:
        contract = CONTRACT

        def act(self, observation: dict[str, np.ndarray]) -> np.ndarray:
            return np.zeros((1, 4), np.float32)

    sent: list[Command] = []
    loop = ControlLoop(Still(), default_limits(LIMITS, CONTRACT), lambda command, hold: sent.append(command))
    loop.start()
    for _ in range(200):
        stamp = loop.clock.now_ns()
        for name in ("front", "wrist"):
            loop.put_image(name, np.zeros((8, 8, 3), np.uint8), stamp)
        loop.put_proprio("eef_pos", HERE, stamp)
        loop.put_proprio("gripper_opening", np.array([0.08]), stamp)
        if loop.clock.wait(lambda: bool(sent), loop.clock.steady() + 0.05):
            break
    loop.close()
    assert sent
    ticks = loop.ticks
    assert loop._thread is None and loop.ticks == ticks


def test_a_policy_that_is_too_slow_here_is_held_until_somebody_clears_it() -> None:
    rig = running(max_misses=5, misses_of=20)
    for tick in range(20):  # one of five is late: that is forgiven
        rig.worker.latency_s = 0.1 if tick % 5 == 0 else 0.01
        rig.run(1)
    assert rig.loop.state == "running" and rig.loop.rules["too_slow"] == 0
    rig.worker.latency_s = 0.15
    rig.run(10)
    assert rig.loop.state == "latched" and rig.loop.rule == "too_slow"
    rig.worker.latency_s = 0.01
    rig.run(20)
    assert rig.loop.rule == "too_slow"
    assert rig.loop.clear() == ""
    rig.run(2)
    assert rig.loop.state == "running"
