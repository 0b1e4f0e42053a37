"""A contract's ``execute``: so many actions of an answer are carried out before the policy is asked again."""

import dataclasses

import numpy as np
import pytest
from loop_rig import CONTRACT, HERE, Rig, running

from robot.contract import Contract
from robot.control.schedule import Schedule
from robot.errors import PixelarmError

CHUNKS = dataclasses.replace(CONTRACT, chunk=4, execute=3)
STEPS = np.float32([[0.01 * k, 0, 0, 0] for k in range(4)])


def started(contract: Contract) -> Rig:
    """A loop before its first command: at its first tick nothing has been seen yet."""
    rig = Rig(contract=contract)
    rig.action = np.resize(STEPS, (contract.chunk, 4))
    return rig.run(1)


def offsets(rig: Rig) -> list[float]:
    """How far each command lies ahead of the measured position, m."""
    return [round(float(command.target.position[0] - HERE[0]), 3) for _, command, _ in rig.sent]


def test_entries_follow_each_other_and_then_the_policy_is_asked_again() -> None:
    rig = started(CHUNKS)
    rig.run(7)
    assert offsets(rig) == [0.0, 0.01, 0.02, 0.0, 0.01, 0.02, 0.0]
    assert [int(seen["front"][0, 0, 0]) for seen in rig.seen] == [1, 4, 7]
    assert rig.fired() == {"missing_stream": 1} and rig.loop.commands == 7


def test_with_execute_one_the_policy_is_asked_at_every_tick() -> None:
    rig = started(dataclasses.replace(CONTRACT, chunk=4))
    assert offsets(rig.run(4)) == [0.0] * 4 and len(rig.seen) == 4


def test_each_entry_counts_from_where_the_arm_is_by_then() -> None:
    rig = started(CHUNKS)
    rig.run(1)
    rig.measured["eef_pos"] = HERE + np.float32([0.02, 0, 0])
    rig.run(2)
    assert offsets(rig) == [0.0, 0.03, 0.04]  # 0.02 moved, and then entries 1 and 2


def test_history_goes_on_while_the_policy_is_not_asked() -> None:
    rig = started(dataclasses.replace(CHUNKS, history=2)).run(7)
    assert [tuple(int(v) for v in seen["front"][:, 0, 0, 0]) for seen in rig.seen] == [(1, 1), (3, 4), (6, 7)]


def test_after_a_hold_the_policy_is_asked_again() -> None:
    rig = started(CHUNKS)
    rig.run(1)
    rig.loop.hold(True)
    rig.run(1)
    rig.loop.clear()
    rig.run(1)
    assert [hold for _, _, hold in rig.sent] == [False, True, False]
    assert offsets(rig) == [0.0, 0.0, 0.0] and len(rig.seen) == 2


def test_a_late_answer_is_bridged_with_what_was_not_to_be_executed() -> None:
    rig = running(10, contract=CHUNKS)  # the next tick asks
    rig.action = STEPS
    rig.run(3)
    rig.worker.latency_s = 1.0
    rig.run(2)
    assert offsets(rig)[:4] == [0.0, 0.01, 0.02, 0.03]  # entry 3 of the last answer, then nothing is left
    assert [hold for _, _, hold in rig.sent] == [False] * 4 + [True]
    assert rig.fired()["deadline_missed"] == 2


@pytest.mark.parametrize(
    ("after_ms", "goes_on"),
    [(0, False), (96, True), (104, True), (205, True), (249, True), (299, False), (310, False), (-100, False)],
)
def test_an_entry_belongs_to_a_moment(after_ms: int, goes_on: bool) -> None:
    """At 10 Hz entry k is meant for 100 k ms, and an observation is answered with what is planned for its stamp."""
    schedule = Schedule("eef_delta_position", 0.1)
    schedule.merge(1_000, STEPS, 1_000)
    assert (schedule.rest(1_000 + after_ms * 1_000_000, 3) is not None) == goes_on


def test_execute_is_at_most_the_chunk_and_left_out_where_it_is_one() -> None:
    with pytest.raises(PixelarmError, match="execute must be at most chunk, which is 4, got 5"):
        dataclasses.replace(CHUNKS, execute=5)
    with pytest.raises(PixelarmError, match="execute must be at least 1, got 0"):
        dataclasses.replace(CHUNKS, execute=0)
    assert "execute" not in CONTRACT.for_policy(chunk=4).to_dict()  # and so it has the hash it had before there was one
    assert Contract.from_text(CHUNKS.to_yaml()) == CHUNKS and CHUNKS.to_dict()["execute"] == 3
    assert CHUNKS.recorded() == CONTRACT
