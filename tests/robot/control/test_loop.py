"""Every rule of the control loop fires, is counted and ends as written, on a clock that the test owns."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from loop_rig import CONTRACT, HERE, PERIOD, Rig, running

from robot.actions import Target
from robot.control.rules import RULES
from robot.errors import ContractMismatch, UnknownName


# ------------------------------------------------------------------ normal operation
def test_a_command_is_the_measured_position_plus_the_action() -> None:
    rig = running().run(1)
    _, command, hold = rig.sent[-1]
    np.testing.assert_allclose(command.target.position, HERE + np.float32([0.01, 0, 0]), atol=1e-6)
    assert (command.target.gripper, hold) == (1.0, False)


def test_actions_are_clipped_to_the_contract() -> None:
    rig = running()
    rig.action = np.float32([[0.5, 0, 0, 3.0]])
    _, command, _ = rig.run(1).sent[-1]
    np.testing.assert_allclose(command.target.position, HERE + np.float32([0.04, 0, 0]), atol=1e-6)
    assert command.target.gripper == 1.0


@pytest.mark.parametrize("delay_s", [0.005, 0.02, 0.04])
def test_latency_is_delay_plus_inference_with_no_wait(delay_s: float) -> None:
    """10 Hz images: without phase alignment the median wait alone would be 50 ms."""
    rig = Rig()
    rig.delay_s = delay_s
    rig.run(100)
    latency = rig.loop.stats()["latency_ms"]
    assert latency["n"] == 100 - rig.loop.holds
    assert rig.loop.holds <= 1  # before the first image
    assert latency["p99"] < delay_s * 1e3 + 10 + 1  # 10 ms inference
    assert np.diff([t for t, _, _ in rig.sent]) == pytest.approx(PERIOD, abs=0.011)


@pytest.mark.parametrize("delay_s", [0.015, 0.05, 0.065])
@pytest.mark.parametrize("phase_s", [0.0, 0.02, 0.045, 0.07, 0.09])
def test_a_change_of_the_cameras_phase_is_followed(phase_s: float, delay_s: float) -> None:
    """Images that suddenly come later in the period must not stay stale for the sake of the old phase."""
    rig = running(5)
    rig.delay_s, rig.pause_s = delay_s, phase_s
    rig.run(60)
    rig.loop.latency.raw.clear()
    rig.run(20)
    assert rig.loop.state == "running"
    assert max(rig.loop.latency.raw) < delay_s * 1e3 + 10 + 2


def test_stats_hold_what_a_report_needs() -> None:
    stats = running().loop.stats(raw=True)
    assert set(stats["rules"]) == set(RULES)
    assert set(stats["stages"]) >= {"wait", "assemble", "infer", "limits", "publish"}
    assert stats["latency_ms"]["n"] == len(stats["latency_samples_ms"]) == stats["commands"]
    assert stats["deadline_misses"] == 0


# -------------------------------------------------------------------- the arm's contract
def test_commands_wait_for_an_arms_contract_where_it_says_one() -> None:
    rig = Rig(compare_contract=True).run(4)
    assert (rig.sent, rig.fired(), rig.loop.state) == ([], {"arm_contract": 4}, "waiting")
    rig.loop.put_contract(CONTRACT)
    assert rig.run(4).loop.state == "running" and rig.fired() == {"arm_contract": 4}


def test_an_arm_of_another_scene_is_never_commanded() -> None:
    rig = Rig(compare_contract=True)
    with pytest.raises(
        ContractMismatch, match=r"the policy \(here\).*the arm \(there\)(.|\n)*task: 'lift' here, 'reach' there"
    ):
        rig.loop.put_contract(dataclasses.replace(CONTRACT, task="reach"))
    rig.run(4)
    assert (rig.sent, rig.fired()) == ([], {"arm_contract": 4})
    assert rig.loop.clear() == ""  # an operator cannot clear what does not fit
    assert rig.run(1).sent == []


def test_an_arm_that_becomes_another_holds_the_last_target() -> None:
    rig = running(compare_contract=False)
    with pytest.raises(ContractMismatch):
        rig.loop.put_contract(dataclasses.replace(CONTRACT, rate_hz=20))
    rig.run(3)
    assert rig.fired() == {"arm_contract": 3} and all(hold for _, _, hold in rig.sent)


def test_history_and_chunk_are_the_policys_own_choice() -> None:
    rig = Rig(contract=dataclasses.replace(CONTRACT, history=3, chunk=4), compare_contract=True)
    rig.loop.put_contract(CONTRACT)
    assert rig.run(4).loop.state == "running"


# -------------------------------------------------------------------------- holding
def test_nothing_is_published_before_the_first_command() -> None:
    rig = Rig()
    rig.silent = {"front", "wrist", "eef_pos", "gripper_opening"}
    rig.run(5)
    assert rig.sent == []
    assert rig.loop.state in ("waiting", "stopped")
    assert rig.fired() == {"missing_stream": 5}
    assert set(rig.loop.mailbox.silent) == rig.silent


def test_a_missing_stream_is_named_and_ticks_go_on() -> None:
    rig = Rig()
    rig.silent = {"wrist"}
    start = rig.clock.now_s
    rig.run(20)
    assert rig.fired() == {"missing_stream": 20}
    assert rig.loop.mailbox.silent == ["wrist"]
    assert rig.clock.now_s - start == pytest.approx(19 * PERIOD + 0.02, abs=0.02)  # fixed rate, plus the last grace


@pytest.mark.parametrize("stream", ["front", "eef_pos"])
def test_a_stream_that_stops_holds_the_last_target_and_recovers(stream: str) -> None:
    rig = running()
    rig.silent = {stream}
    rig.run(20)
    assert rig.loop.rules["stale_observation"] >= 18
    assert rig.loop.state == "stopped"  # more than slow_stop_after_s, not latched
    assert all(hold for _, _, hold in rig.sent[2:])
    assert len({id(command) for _, command, _ in rig.sent[2:]}) == 1  # the very same target and stamp
    assert rig.events.count("stale_observation") == 1  # said once, not at every tick
    rig.silent = set()
    rig.run(3)
    assert rig.loop.state == "running"
    assert rig.sent[-1][2] is False


def test_after_a_silence_the_next_image_is_used_at_once() -> None:
    rig = running()
    rig.silent = {"front", "wrist"}
    rig.run(10)
    rig.silent = set()
    before = rig.loop.latency.n
    rig.run(6)
    assert max(list(rig.loop.latency.raw)[before:]) < 15 + 10 + 1


def test_one_lost_image_is_bridged_by_holding_one_tick() -> None:
    rig = running()
    rig.clock.at(rig.clock.now_s + 0.05, lambda: rig.silent.add("front"))
    rig.clock.at(rig.clock.now_s + 0.15, lambda: rig.silent.clear())
    rig.run(6)
    assert sum(hold for _, _, hold in rig.sent) == 1
    assert rig.loop.rules["stale_observation"] + rig.loop.rules["repeated_observation"] == 1


def test_old_images_are_stale_even_if_they_arrive_regularly() -> None:
    rig = running()
    rig.delay_s = rig.proprio_delay_s = 0.15
    rig.run(10)
    assert rig.loop.rules["stale_observation"] >= 8


def test_a_camera_of_the_wrong_size_is_a_named_fault() -> None:
    rig = running()
    rig.image_shape = (8, 4, 3)
    rig.run(5)
    assert rig.loop.rules["wrong_shape"] >= 4
    assert rig.sent[-1][2] is True
    rig.image_shape = (8, 8, 3)
    rig.run(3)
    assert rig.loop.state == "running"


def test_a_wrong_dtype_is_a_fault_and_an_unknown_stream_an_error() -> None:
    rig = running()
    rig.loop.put_image("front", np.zeros((8, 8, 3), np.float32), rig.clock.now_ns())
    assert not rig.loop.mailbox.fresh
    with pytest.raises(UnknownName, match="front, gripper_opening, wrist"):
        rig.loop.put_image("side", np.zeros((8, 8, 3), np.uint8), 0)


def test_streams_far_apart_are_refused() -> None:
    """Proprioception 90 ms older than the images would pass max_age but not one period of skew at 20 Hz."""
    rig = Rig(contract=dataclasses.replace(CONTRACT, rate_hz=20, deadline_ms=45, max_age_ms=200))
    rig.silent = {"eef_pos"}
    rig.clock.at(
        rig.clock.now_s + 0.034, lambda: rig.loop.put_proprio("eef_pos", HERE, rig.clock.now_ns() - 90_000_000)
    )
    rig.run(2)
    assert rig.loop.rules["skew"] >= 1


@pytest.mark.parametrize("shift_s", [0.5, -5.0])
def test_stamps_of_another_clock_are_named(shift_s: float) -> None:
    rig = running()
    rig.stamp_shift_s = shift_s
    rig.run(5)
    assert rig.loop.rules["clock_domain"] >= 3
    assert rig.sent[-1][2] is True


@pytest.mark.parametrize("jump_s", [10.0, -10.0])
def test_a_clock_that_is_set_holds_and_recovers(jump_s: float) -> None:
    rig = running()
    rig.clock.offset_ns += round(jump_s * 1e9)
    rig.run(10)
    assert rig.loop.state == "running"
    assert rig.loop.holds <= 4
    assert max(rig.loop.latency.raw) < 100  # a jump never enters the latency


def test_a_repeated_message_is_dropped() -> None:
    rig = running()
    image, stamp = np.zeros((8, 8, 3), np.uint8), rig.clock.now_ns()
    rig.loop.put_image("front", image, stamp)
    rig.loop.put_image("front", image, stamp)
    assert rig.loop.rules["out_of_order"] == 1


# -------------------------------------------------------------------------- policy
def test_slow_inference_misses_the_deadline_and_its_result_is_dropped() -> None:
    rig = running()
    rig.worker.latency_s = 0.090
    rig.run(1)
    rig.worker.latency_s = 0.010
    assert rig.sent[-1][2] is True
    assert rig.loop.rules["deadline_missed"] == 1
    rig.run(2)
    assert rig.loop.rules["late_result"] == 1
    assert rig.sent[-1][2] is False
    assert rig.loop.stats()["deadline_misses"] == 1


def test_a_hung_policy_holds_at_the_fixed_rate_and_recovers() -> None:
    rig = running()
    rig.worker.latency_s = 1.0
    rig.run(1)
    rig.worker.latency_s = 0.010
    rig.run(5)
    assert rig.loop.rules["deadline_missed"] == 6
    assert [hold for _, _, hold in rig.sent] == [True] * 6
    rig.run(8)
    assert rig.loop.state == "running"
    assert rig.loop.rules["late_result"] == 1


def test_an_observation_older_than_the_deadline_is_not_even_tried() -> None:
    rig = running()
    rig.delay_s = 0.085  # younger than max_age_ms, older than deadline_ms
    rig.run(3)
    seen = len(rig.seen)
    rig.run(3)
    assert len(rig.seen) == seen
    assert rig.loop.rules["deadline_missed"] >= 4


def test_a_command_that_is_ready_too_late_is_not_sent() -> None:
    rig = running()
    through = rig.loop.limits.apply

    def slow(target: Target, context: Any) -> Any:
        rig.clock.now_s += 0.080
        return through(target, context)

    rig.loop.limits.apply = slow  # type: ignore[method-assign]
    rig.run(2)
    assert [hold for _, _, hold in rig.sent] == [True, True]
    assert rig.loop.rules["deadline_missed"] == 2


def test_no_command_is_later_than_its_deadline() -> None:
    rig = running(max_misses=0)
    rng = np.random.default_rng(0)
    for _ in range(200):
        rig.worker.latency_s = float(rng.uniform(0.0, 0.15))
        rig.run(1)
    assert rig.loop.rules["deadline_missed"] > 20
    assert max(rig.loop.latency.raw) <= CONTRACT.deadline_ms + 1e-6


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_policy_that_outputs_nan_is_not_obeyed(bad: float) -> None:
    rig = running()
    rig.action = np.float32([[bad, 0, 0, 0]])
    rig.run(3)
    assert rig.fired() == {"not_finite": 3}
    assert all(hold and np.isfinite(command.target.position).all() for _, command, hold in rig.sent)


def test_inference_errors_hold_then_latch_until_cleared() -> None:
    rig = running(max_errors=3)
    rig.action = ValueError("boom")  # type: ignore[assignment]
    rig.run(2)
    assert rig.loop.state == "holding"
    rig.run(1)
    assert rig.loop.state == "latched"
    rig.action = np.float32([[0.01, 0, 0, 1]])
    rig.run(3)
    assert rig.loop.state == "latched"
    assert rig.loop.clear() == ""
    rig.run(2)
    assert rig.loop.state == "running"


def test_a_wrong_action_shape_is_an_inference_error() -> None:
    rig = running()
    rig.action = np.zeros((1, 3), np.float32)
    rig.run(1)
    assert rig.fired() == {"inference_error": 1}
