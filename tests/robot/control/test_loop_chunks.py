"""The loop executes chunks by absolute time while inference runs beside the ticks, on a clock that the test owns.

In most tests the action for the instant of the image ``n`` moves by ``n`` times 0.1 mm, whichever chunk it comes from:
what is commanded says for which instant it was meant.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import test_loop_kinds as kinds
from loop_rig import CONTRACT, HERE, LIMITS, Rig

from robot import actions, rotations
from robot.actions import COMMANDED, MEASURED, Reference
from robot.control.config import longest_inference_ms
from robot.control.limits import LimitConfig
from robot.control.rules import RULES
from robot.errors import PixelarmError

STEP = 1e-4  # m
CHUNKED = dataclasses.replace(CONTRACT, chunk=8, deadline_ms=400.0)  # 10 Hz: two deadlines are eight actions
DELAY_S = 0.25  # the answer is used at the third tick after the observation's, 315 ms after its stamp


class ChunkRig(Rig):
    """Inference takes between two and three control periods."""

    def __init__(self, limits: LimitConfig = LIMITS, chunk: int = 8, **config: Any) -> None:
        super().__init__(dataclasses.replace(CHUNKED, chunk=chunk), limits, **{"fade_ms": 0.0, **config})
        self.worker.latency_s = DELAY_S
        self.asked: list[int] = []  # the image of each inference

    def act(self, observation: dict[str, np.ndarray]) -> np.ndarray:
        image = int(observation["front"][0, 0, 0])
        self.asked.append(image)
        if isinstance(self.action, Exception):
            raise self.action
        chunk = [[STEP * (image + k), 0.0, 0.0, -1.0] for k in range(self.contract.chunk)]
        return np.float32(chunk) + 0.0 * self.action[:1]

    def steps(self) -> list[tuple[int, int] | None]:
        """Of each message the image that it answers, and the image that its action was meant for; None of a hold."""
        first = self.clock.offset_ns + round(100.033e9)  # when the first image was exposed
        found: list[tuple[int, int] | None] = []
        for _, command, hold in self.sent:
            meant = round(float(command.target.position[0] - HERE[0]) / STEP)
            found.append(None if hold else (1 + round((command.obs_stamp_ns - first) / 1e8), meant))
        return found


def running(ticks: int = 20, **settings: Any) -> ChunkRig:
    rig = ChunkRig(**settings)
    rig.run(ticks)
    assert rig.loop.state == "running"
    rig.sent.clear()
    rig.loop.rules.update(dict.fromkeys(RULES, 0))
    return rig


# ------------------------------------------------------------------ normal operation
def test_inference_longer_than_a_period_commands_at_every_tick_and_never_a_late_action() -> None:
    rig = running()
    rig.run(60)
    steps = rig.steps()
    assert len(steps) == 60 and None not in steps
    assert all(meant == seen for seen, meant in steps)  # type: ignore[misc]
    assert [seen for seen, _ in steps] == list(range(steps[0][0], steps[0][0] + 60))  # type: ignore[index, misc]
    assert rig.fired() == {}
    assert set(np.diff(rig.asked[-10:])) == {3}


def test_the_dropped_parts_are_counted_and_the_latency_is_to_the_first_action() -> None:
    rig = running()
    before = rig.loop.stats()["schedule"]
    rig.run(60)  # 20 inferences, whose first three actions are over when they come
    after = rig.loop.stats()["schedule"]
    assert after["chunks"] - before["chunks"] == 20
    assert after["late_actions_dropped"] - before["late_actions_dropped"] == 60
    latency, stats = rig.loop.latency.summary(), rig.loop.stats()
    assert latency["n"] == after["chunks"] and latency["max"] <= CHUNKED.deadline_ms  # type: ignore[operator]
    assert (stats["deadline_ms"], stats["deadline_misses"]) == (400.0, 0)
    assert stats["stages"]["infer"]["p50"] == 250.0


def test_the_first_plan_begins_with_its_first_action() -> None:
    """The arm has waited for it, and its third action may lie far from where the arm is."""
    rig = ChunkRig()
    rig.run(12)
    steps = [step for step in rig.steps() if step is not None]
    assert [meant for _, meant in steps[:3]] == [rig.asked[0], rig.asked[0] + 1, rig.asked[0] + 2]
    assert steps[0][0] > rig.asked[0]
    assert rig.loop.rules["chunk_exhausted"] >= 3  # while it waited


def test_a_new_plan_fades_in() -> None:
    """Fade and period are 100 ms: half of either plan at the first tick, and the new one from then on."""
    rig = ChunkRig(fade_ms=100.0)
    plans: list[int] = []

    def act(observation: dict[str, np.ndarray]) -> np.ndarray:
        plans.append(len(plans))
        return np.tile(np.float32([0.01 * (len(plans) % 2), 0.0, 0.0, -1.0]), (8, 1))

    rig.worker.act = act
    rig.run(40)
    moved = [round(float(c.target.position[0] - HERE[0]), 4) for _, c, hold in rig.sent if not hold][-16:]
    first = moved.index(0.005)
    cycle = [0.005, 0.01, 0.01, 0.005, 0.0, 0.0]
    assert moved[first : first + 7] in ([*cycle, 0.005], [*cycle[3:], *cycle[:4]])


def test_a_lost_image_changes_no_instant() -> None:
    rig = running()
    rig.clock.at(rig.clock.now_s + 0.05, lambda: rig.silent.update(("front", "wrist", "eef_pos")))
    rig.clock.at(rig.clock.now_s + 0.15, lambda: rig.silent.clear())
    rig.run(6)
    steps = rig.steps()
    assert steps.count(None) == rig.loop.rules["stale_observation"] == 1  # its age decides, as in any loop
    assert all(step is None or step[0] == step[1] for step in steps)


def test_without_a_new_observation_the_action_for_now_counts_from_the_last_one() -> None:
    rig = running(max_age_ms=250.0)
    rig.clock.at(rig.clock.now_s + 0.05, lambda: rig.silent.update(("front", "wrist")))
    rig.clock.at(rig.clock.now_s + 0.15, lambda: rig.silent.clear())
    rig.run(6)
    steps = rig.steps()
    assert None not in steps and rig.fired() == {"repeated_observation": 1}
    meant = [step[1] for step in steps if step]
    assert meant == list(range(meant[0], meant[0] + 6))
    assert [step[1] - step[0] for step in steps if step].count(1) == 1


def test_history_is_one_of_control_periods_and_not_of_inferences() -> None:
    rig = Rig(contract=dataclasses.replace(CHUNKED, history=3))
    rig.worker.latency_s = DELAY_S
    rig.run(20)
    frames = [tuple(int(v) for v in seen["front"][:, 0, 0, 0]) for seen in rig.seen]
    assert len(frames) >= 5 and all((b - a, c - b) == (1, 1) for a, b, c in frames[1:])


@kinds.BY_KIND
def test_every_kind_of_action_means_in_a_chunk_what_it_means_alone(kind: str) -> None:
    made = dataclasses.replace(kinds.contract(kind), chunk=8, deadline_ms=400.0)
    rig = Rig(contract=made, home_xyzw=kinds.HOME)
    rig.worker.latency_s = DELAY_S
    rig.measured = {p.name: kinds.MEASURED[p.name].copy() for p in made.proprio}
    rig.action = np.tile(np.float32([kinds.ACTIONS[kind]]), (8, 1))
    rig.run(20)
    wanted = actions.target(
        kind, Reference.of(kinds.MEASURED, rotations.from_quaternion(np.array(kinds.HOME))), rig.action[0]
    )
    assert len(rig.sent) >= 12
    for _, command, hold in rig.sent:
        np.testing.assert_allclose(kinds.values(command.target), kinds.values(wanted), atol=1e-7)
        assert not hold


def test_deltas_count_at_each_tick_from_what_the_contract_says() -> None:
    """An arm that is blocked: 1 cm from where it is measured, or 1 cm further at each tick up to the leash of 5 cm."""
    ways = {}
    for counts_from in (MEASURED, COMMANDED):
        action = dataclasses.replace(CHUNKED.action, counts_from=counts_from)
        rig = Rig(contract=dataclasses.replace(CHUNKED, action=action))
        rig.worker.latency_s = DELAY_S
        rig.action = np.tile(np.float32([0.01, 0.0, 0.0, -1.0]), (8, 1))
        rig.run(14)
        ways[counts_from] = [round(float(c.target.position[0] - HERE[0]), 4) for _, c, _ in rig.sent]
    assert ways[MEASURED][:8] == [0.01] * 8
    assert ways[COMMANDED][:8] == [0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.06, 0.06]


# ------------------------------------------------------------------ the end of the buffer
def test_a_plan_that_ends_holds_by_its_own_rule_and_recovers() -> None:
    rig = running()
    rig.worker.latency_s = 2.0
    rig.run(20)
    holds = [step is None for step in rig.steps()]
    assert holds[:4] == [False] * 4 and holds[12:] == [True] * 8
    assert holds == sorted(holds)
    fired = rig.fired()
    assert fired["deadline_missed"] == 1  # one inference, one miss
    assert fired["chunk_exhausted"] == sum(holds) and set(fired) == {"deadline_missed", "chunk_exhausted"}
    assert "longer than 400 ms" in rig.loop._plans.exhausted.words  # type: ignore[union-attr]
    rig.worker.latency_s = DELAY_S
    rig.run(20)
    assert rig.loop.state == "running" and rig.loop.rules["late_result"] == 1


def test_after_a_stop_the_next_plan_begins_with_its_first_action() -> None:
    rig = running()
    rig.worker.latency_s = 2.0
    rig.run(12)
    rig.worker.latency_s = DELAY_S
    rig.sent.clear()
    rig.run(24)
    steps = [step for step in rig.steps() if step]
    assert steps[0][1] in rig.asked
    assert steps[0][0] - steps[0][1] == 3  # it waited for its inference
    first_of_next = next(i for i, (seen, meant) in enumerate(steps) if seen == meant)
    assert all(seen == meant for seen, meant in steps[first_of_next:])


def test_the_end_of_a_plan_decelerates_within_the_limits() -> None:
    """0.4 m/s, then at most 2 m/s^2 less each second: 0.2 m/s less at each tick of 0.1 s."""
    smooth = dataclasses.replace(LIMITS, max_acceleration_m_s2=2.0, max_jerk_m_s3=20.0)
    rig = ChunkRig(limits=smooth)
    rig.worker.act = lambda observation: np.tile(np.float32([0.04, 0.0, 0.0, -1.0]), (8, 1))
    for _ in range(30):
        rig.run(1)
        if rig.sent:
            rig.measured["eef_pos"] = np.minimum(rig.sent[-1][1].target.position, 0.9).astype(np.float32)
            rig.measured["eef_pos"][0] = min(rig.measured["eef_pos"][0], 0.9)
        if rig.loop.commands == 8:
            rig.worker.latency_s = 9.0
    x = [float(command.target.position[0]) for _, command, _ in rig.sent]
    holds = [hold for _, _, hold in rig.sent]
    end = holds.index(True)
    speed = np.diff(x) / 0.1
    assert rig.loop.rules["chunk_exhausted"] >= 8 and end >= 8
    assert speed[end - 2] > 0.15  # it was under way
    assert 0.0 < speed[end - 1] <= speed[end - 2] + 1e-9 and np.all(np.diff(speed[end - 1 :]) <= 1e-9)
    assert np.all(np.abs(np.diff(speed)) / 0.1 <= 2.0 + 1e-6)
    assert speed[-1] == 0.0 and rig.loop.limits.resting


# ------------------------------------------------------------------ the deadline
def test_an_answer_after_the_deadline_is_dropped_whole() -> None:
    rig = running()
    rig.worker.latency_s = 0.45
    rig.run(30)
    fired = rig.fired()
    assert fired["deadline_missed"] >= 4
    assert abs(fired["late_result"] - fired["deadline_missed"]) <= 1
    assert fired["chunk_exhausted"] > 10
    assert rig.loop.stats()["deadline_misses"] == fired["deadline_missed"]
    rig.loop.latency.raw.clear()
    rig.worker.latency_s = DELAY_S
    rig.run(30)
    assert max(rig.loop.latency.raw) <= 400.0 and rig.loop.state == "running"


def test_one_missed_deadline_is_bridged_by_a_chunk_that_is_long_enough() -> None:
    rig = running(chunk=16)
    rig.worker.latency_s = 0.42
    asked = len(rig.asked)
    while len(rig.asked) == asked:
        rig.run(1)
    rig.worker.latency_s = DELAY_S
    rig.run(20)
    assert rig.fired() == {"deadline_missed": 1, "late_result": 1}
    assert all(step and step[0] == step[1] for step in rig.steps())


@pytest.mark.parametrize(
    ("chunk", "deadline_ms", "words"),
    [
        (1, 120.0, "shorter than the period, 100 ms$"),
        (7, 400.0, "twice the deadline: 8 actions or more, and this policy returns 7"),
        (8, 401.0, "twice the deadline: 9 actions or more"),
    ],
)
def test_a_chunk_that_cannot_cover_the_deadline_is_refused(chunk: int, deadline_ms: float, words: str) -> None:
    with pytest.raises(PixelarmError, match=words):
        Rig(contract=dataclasses.replace(CONTRACT, chunk=chunk), deadline_ms=deadline_ms)


def test_a_deployment_may_have_another_deadline_than_the_contract() -> None:
    rig = Rig(contract=dataclasses.replace(CONTRACT, chunk=8), deadline_ms=400.0)
    rig.worker.latency_s = DELAY_S
    rig.run(20)
    assert rig.loop.state == "running" and rig.loop.stats()["deadline_ms"] == 400.0
    quick = Rig(deadline_ms=20.0)  # also a shorter one: images come 15 ms after their stamp, inference takes 10 ms
    quick.run(5)
    assert quick.loop.rules["deadline_missed"] >= 3 and quick.sent == []


def test_beside_the_ticks_an_answer_waits_for_the_next_one() -> None:
    """Of 400 ms at 10 Hz, 300 are left for inference; of a deadline within the period, all of it."""
    assert longest_inference_ms(CHUNKED, 400.0) == 300.0
    assert longest_inference_ms(CHUNKED, 80.0) == 80.0


@pytest.mark.parametrize("settings", [{"deadline_ms": -1.0}, {"deadline_ms": np.nan}, {"fade_ms": -1.0}])
def test_senseless_settings_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(PixelarmError, match=next(iter(settings))):
        Rig(contract=dataclasses.replace(CONTRACT, chunk=8), **settings)


# ------------------------------------------------------------------ what else holds the arm
def test_a_silent_stream_holds_and_the_plan_goes_on_by_time() -> None:
    rig = running()
    rig.silent = {"eef_pos"}
    rig.run(3)
    rig.silent = set()
    rig.run(5)
    steps = rig.steps()
    assert 1 <= steps.count(None) <= 4 and rig.loop.rules["stale_observation"] >= 1
    assert all(step is None or step[0] == step[1] for step in steps)  # nothing is made up for


@pytest.mark.parametrize("how", ["operator", "estop"])
def test_a_plan_from_before_an_operators_hold_is_never_executed(how: str) -> None:
    rig = running()
    rig.loop.hold(True) if how == "operator" else rig.loop.put_estop(True)
    rig.run(1)
    held, asked = rig.frame, len(rig.asked)
    rig.loop.put_estop(False)
    assert rig.loop.clear() == ""
    rig.run(16)
    steps = rig.steps()
    assert steps[0] is None and steps[1:4] == [None] * 3  # although the plan had actions for these instants
    assert all(meant >= held for _, meant in (step for step in steps if step))
    assert rig.loop.state == "running" and rig.asked[asked] >= held
    assert rig.loop.stats()["schedule"]["voided_chunks"] == 1  # the one that was being inferred


def test_nobody_asks_while_an_operator_holds() -> None:
    rig = running()
    rig.loop.hold(True)
    asked = len(rig.asked)
    rig.run(10)
    assert len(rig.asked) == asked


def test_a_deadman_that_is_pressed_starts_a_plan_that_waited() -> None:
    rig = ChunkRig(enable_timeout_s=5.0)
    rig.run(20)
    assert rig.sent == [] and rig.loop.rules["enable"] > 5
    rig.loop.put_enable(True)
    rig.run(5)
    steps = [step for step in rig.steps() if step]
    assert steps and steps[0][1] in rig.asked  # with its first action


def test_a_failed_inference_is_counted_and_the_plan_goes_on_until_it_latches() -> None:
    rig = running(max_errors=2)
    rig.action = ValueError("boom")  # type: ignore[assignment]
    rig.run(7)
    assert rig.loop.rules["inference_error"] == 1 and rig.loop.state == "running"
    assert all(step and step[0] == step[1] for step in rig.steps())
    rig.run(5)
    assert rig.loop.state == "latched" and rig.sent[-1][2] is True
    assert "boom" in rig.loop._latched.words  # type: ignore[union-attr]
    rig.action = np.zeros((1, 4), np.float32)
    assert rig.loop.clear() == ""
    rig.run(12)
    assert rig.loop.state == "running"


def test_a_plan_that_is_not_finite_is_not_obeyed() -> None:
    rig = running()
    rig.action = np.full((1, 4), np.nan, np.float32)
    rig.run(20)
    assert rig.loop.rules["not_finite"] >= 2
    assert all(np.isfinite(command.target.position).all() for _, command, _ in rig.sent)
    assert rig.sent[-1][2] is True and rig.loop.rule == "chunk_exhausted"
    assert "nan" in rig.loop._plans.exhausted.words  # type: ignore[union-attr]


def test_nothing_of_an_earlier_run_is_executed() -> None:
    rig = running()
    rig.run(1)
    asked = rig.asked[-1]
    rig.loop._run = lambda: None  # type: ignore[method-assign]  # no thread: the test ticks
    rig.loop.start()
    rig.sent.clear()
    rig.run(12)
    steps = [step for step in rig.steps() if step]
    assert steps[0][1] > asked and steps[0][1] in rig.asked  # a new plan from its beginning
    assert steps[0][0] - steps[0][1] == 3


def test_a_plan_that_was_asked_for_at_rest_does_not_begin_anew_once_the_arm_moved() -> None:
    rig = running(chunk=16)
    rig.silent = {"eef_pos"}
    rig.run(4)  # the inference in progress ends, and the arm rests
    rig.silent = set()
    asked = len(rig.asked)
    while len(rig.asked) == asked:
        rig.run(1)  # asked at rest, and a command of the older plan is sent
    rig.silent = {"eef_pos"}
    rig.run(3)  # at rest again when the answer comes
    rig.silent = set()
    rig.run(6)
    steps = rig.steps()
    assert steps[-1] is not None and all(step is None or step[0] == step[1] for step in steps)
