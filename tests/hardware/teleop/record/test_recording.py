"""Episodes of an operator: what is observed, which actions are recovered, and that what is written can be read."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import measure_recorder
import numpy as np
import pytest
from recording_rig import DOWN, TOLD, Rig, contract

from hardware.teleop import recording
from hardware.teleop.desk import DISCARD, FAILURE, SUCCESS
from hardware.teleop.recording import FAILURES
from robot.actions import Reference, delta, target
from robot.contract import Action, Camera, Proprio
from robot.dataset import acting
from robot.dataset.dataset import Dataset
from robot.dataset.episodes import read_dataset
from robot.dataset.log import Logged, left_over, read_log
from robot.dataset.recover import recover
from robot.errors import ContractMismatch, PixelarmError


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Callable[..., Rig]]:
    made: list[Rig] = []

    def make(*arguments: Any) -> Rig:
        made.append(Rig(tmp_path / "hands", *arguments))
        return made[-1]

    yield make
    for one in made:
        one.recording.close()


def test_actions_are_deltas_from_what_was_measured(rig: Callable[..., Rig], tmp_path: Path) -> None:
    """Told 2 cm ahead of where it was, the arm gets 1 cm far: the action is 0.02, not 0.01."""
    made = rig()
    made.step((0.40, 0, 0.2), (0, 0, 0), held=False)  # nobody holds: no episode
    made.step((0.40, 0, 0.2), (0.40, 0, 0.2))
    made.step((0.41, 0, 0.2), (0.42, 0, 0.2))
    made.step((0.42, 0, 0.2), (0.46, 0, 0.2))  # 5 cm from 0.41: more than an action can say
    made.end(SUCCESS)
    (episode,) = read_dataset(tmp_path / "hands", contract())
    assert episode.actions == pytest.approx(np.array([[0.02, 0, 0, 1], [0.04, 0, 0, 1]]), abs=1e-6)
    assert episode.observations["eef_pos"][:, 0] == pytest.approx([0.40, 0.41, 0.42])
    assert episode.observations["agentview"][:, 0, 0, 0].tolist() == [2, 3, 4]
    assert episode.rewards.tolist() == [0, 1] and episode.terminated.tolist() == [False, True] and episode.success
    assert np.diff(episode.stamps).tolist() == [10**8, 10**8]
    assert episode.source is not None and episode.source.tolist() == [acting.PERSON] * 2
    assert episode.provenance["clipped"] == 1 and episode.provenance["gaps"] == 0


def test_a_loop_that_is_late_loses_nothing(rig: Callable[..., Rig], tmp_path: Path) -> None:
    """Four observations came while it slept, each with the command of its own time."""
    made = rig()
    made.step((0.40, 0, 0.2), (0.40, 0, 0.2))
    awake = made.recording.step
    made.recording.step = lambda held: None  # type: ignore[method-assign]
    for number in range(1, 5):
        made.step((0.40 + 0.01 * number, 0, 0.2), (0.40 + 0.01 * number + 0.001 * number, 0, 0.2))
    made.recording.step = awake  # type: ignore[method-assign]
    awake(True)
    made.end(SUCCESS)
    (episode,) = read_dataset(tmp_path / "hands", contract())
    assert episode.actions[:, 0] == pytest.approx([0.011, 0.012, 0.013, 0.014], abs=1e-6)
    assert episode.observations["agentview"][:, 0, 0, 0].tolist() == [1, 2, 3, 4, 5]


def test_what_waits_when_an_outcome_is_said_belongs_to_the_episode(rig: Callable[..., Rig], tmp_path: Path) -> None:
    made = rig()
    made.step((0.40, 0, 0.2), (0.40, 0, 0.2))
    made.recording.step = lambda held: None  # type: ignore[method-assign]
    for number in range(1, 4):
        made.step((0.40 + 0.01 * number, 0, 0.2), (0.40 + 0.01 * number, 0, 0.2))
    made.end(SUCCESS)
    (episode,) = read_dataset(tmp_path / "hands", contract())
    assert len(episode) == 3 and episode.observations["eef_pos"][-1, 0] == pytest.approx(0.43)


def test_a_button_let_go_while_the_loop_slept_counts_from_then_on(rig: Callable[..., Rig], tmp_path: Path) -> None:
    """What came in between was still driven: the newest alone begins a pause."""
    made = rig()
    made.step((0.40, 0, 0.2), (0.40, 0, 0.2))
    awake = made.recording.step
    made.recording.step = lambda held: None  # type: ignore[method-assign]
    for number in range(1, 4):
        made.step((0.40 + 0.01 * number, 0, 0.2), (0.40 + 0.01 * number, 0, 0.2))
    awake(False)
    made.recording.step = awake  # type: ignore[method-assign]
    for _ in range(3):
        made.step((0.43, 0, 0.2), (0.43, 0, 0.2), held=False)
    made.end(SUCCESS)
    (episode,) = read_dataset(tmp_path / "hands", contract())
    assert episode.observations["eef_pos"][:, 0] == pytest.approx([0.40, 0.41, 0.42, 0.43])


def test_what_waited_when_an_episode_ended_begins_no_other(rig: Callable[..., Rig], tmp_path: Path) -> None:
    made = rig()
    made.step((0.40, 0, 0.2), (0.40, 0, 0.2))
    made.step((0.41, 0, 0.2), (0.41, 0, 0.2))
    awake = made.recording.step
    made.recording.step = lambda held: None  # type: ignore[method-assign]
    made.step((0.42, 0, 0.2), (0.42, 0, 0.2))
    assert made.recording._heard
    made.recording.end(SUCCESS)
    awake(True)
    assert made.recording.report()["steps"] == 0 and made.recording._log is None
    made.recording.close()


def test_a_pause_is_left_out(rig: Callable[..., Rig], tmp_path: Path) -> None:
    """Let go for three observations: the step before the pause leads to where the arm rested at its end."""
    made = rig()
    made.step((0.40, 0, 0.2), (0.40, 0, 0.2))
    made.step((0.41, 0, 0.2), (0.42, 0, 0.2))
    made.step((0.42, 0, 0.2), (0.43, 0, 0.2), held=False)  # let go in between: what it did until then counts
    for _ in range(3):
        made.step((0.43, 0, 0.2), (0.43, 0, 0.2), held=False)
    made.step((0.431, 0, 0.2), (0.43, 0, 0.2))
    made.step((0.44, 0, 0.2), (0.45, 0, 0.2))
    made.end(SUCCESS)
    (episode,) = read_dataset(tmp_path / "hands")
    assert episode.observations["eef_pos"][:, 0] == pytest.approx([0.40, 0.41, 0.431, 0.44])
    assert episode.actions[:, 0] == pytest.approx([0.02, 0.02, 0.019], abs=1e-6)
    assert episode.provenance["gaps"] == 0


def test_outcomes(rig: Callable[..., Rig], tmp_path: Path) -> None:
    made = rig()
    made.recording.end(SUCCESS)
    assert "begins when you move the arm" in made.said[-1]
    for outcome in (SUCCESS, FAILURE, DISCARD):
        made.step((0.40, 0, 0.2), (0.40, 0, 0.2))
        made.step((0.41, 0, 0.2), (0.42, 0, 0.2))
        made.recording.end(outcome)
    made.step((0.40, 0, 0.2), (0.40, 0, 0.2))
    made.step((0.41, 0, 0.2), (0.42, 0, 0.2))
    made.recording.close()
    assert any("the open episode of 1 steps is in " in words for words in made.said)
    assert [len(Dataset(tmp_path / "hands")), len(Dataset(tmp_path / "hands" / FAILURES))] == [1, 1]
    assert not read_dataset(tmp_path / "hands" / FAILURES)[0].success


def test_observations_that_come_late_are_counted(rig: Callable[..., Rig], tmp_path: Path) -> None:
    made = rig()
    made.step((0.40, 0, 0.2), (0.40, 0, 0.2))
    made.clock.now_s += 0.1
    made.step((0.41, 0, 0.2), (0.42, 0, 0.2))
    made.end(SUCCESS)
    about = read_dataset(tmp_path / "hands")[0].provenance
    assert about["gaps"] == 1 and about["rate_hz"] == 5.0  # one step, 0.2 s


@pytest.mark.parametrize(
    ("period_ms", "kept_ms"),
    [
        (30, [90, 120, 90, 90, 120]),  # nearest to 100, 200, 300, 400 and 500 ms
        (50, [100] * 5),
        (98, [98] * 5),  # a little faster than the contract: none is left out
    ],
)
def test_a_camera_that_is_faster_than_the_contract_is_thinned_out_to_its_rate(
    rig: Callable[..., Rig], tmp_path: Path, period_ms: int, kept_ms: list[int]
) -> None:
    made = rig()
    for i in range(1 + -(-sum(kept_ms) // period_ms)):
        made.clock.now_s -= 0.1 - 0.001 * period_ms
        made.step((0.40 + 0.001 * i, 0, 0.2), (0.45, 0, 0.2))
    made.end(SUCCESS)
    assert np.diff(read_dataset(tmp_path / "hands")[0].stamps).tolist() == [10**6 * ms for ms in kept_ms]


def test_a_clock_that_began_anew_stops_no_recording(rig: Callable[..., Rig], tmp_path: Path) -> None:
    """A simulation that is started again counts from 0."""
    made = rig()
    for start_s in (100.0, 5.0):
        made.clock.now_s = start_s
        for i in range(3):
            made.step((0.40 + 0.01 * i, 0, 0.2), (0.42, 0, 0.2))
        made.recording.end(SUCCESS)
    made.recording.close()
    assert [len(episode) for episode in read_dataset(tmp_path / "hands")] == [2, 2]


def test_episodes_join_those_of_the_same_contract_alone(rig: Callable[..., Rig], tmp_path: Path) -> None:
    for _ in range(2):
        made = rig()
        made.step((0.40, 0, 0.2), (0.40, 0, 0.2))
        made.step((0.41, 0, 0.2), (0.42, 0, 0.2))
        made.end(SUCCESS)
    assert len(Dataset(tmp_path / "hands")) == 2
    with pytest.raises(ContractMismatch):
        rig(contract(task="another"))


def test_joint_actions_are_refused(rig: Callable[..., Rig]) -> None:
    joints = Action("joint_velocity", tuple("1234567g"), ("rad/s",) * 7 + ("1",), (-1,) * 8, (1,) * 8)
    proprio = (Proprio("joint_pos", 7, "rad", "joint"),)
    with pytest.raises(PixelarmError, match="choose a task whose actions are deltas"):
        rig(contract(action=joints, proprio=proprio))


@pytest.mark.parametrize("name", ["eef_delta_position", "eef_delta_pose", "eef_delta_position_yaw"])
def test_a_delta_is_the_inverse_of_its_target(name: str) -> None:
    size = {"eef_delta_position": 4, "eef_delta_pose": 7, "eef_delta_position_yaw": 5}[name]
    reference = Reference(np.array([0.4, 0.1, 0.2]), TOLD, None, TOLD)
    action = np.array([0.01, -0.02, 0.03, 0.1, -0.2, 0.15][: size - 1] + [-1.0])
    assert delta(name, reference, target(name, reference, action)) == pytest.approx(action, abs=1e-6)


def test_writing_does_not_hold_the_loop_up(rig: Callable[..., Rig]) -> None:
    made = rig()
    made.step((0.40, 0, 0.2), (0.40, 0, 0.2))
    made.step((0.41, 0, 0.2), (0.42, 0, 0.2))
    written = made.recording._write_one
    done: list[bool] = []

    def slow(*arguments: Any) -> str:
        while not done:
            time.sleep(0.01)
        return written(*arguments)

    made.recording._write_one = slow  # type: ignore[method-assign]
    made.recording.end(SUCCESS)  # returns at once
    assert made.recording.report()["steps"] == 0
    done.append(True)


def test_what_is_recorded_is_on_disk_and_not_in_memory(rig: Callable[..., Rig], tmp_path: Path) -> None:
    """The process that recorded is gone before the outcome was said: its log has the steps, and a recorder says so."""
    made = rig()
    for i in range(4):
        made.step((0.40 + 0.01 * i, 0, 0.2), (0.40 + 0.01 * i, 0, 0.2))
    held = [value for value in vars(made.recording).values() if isinstance(value, list) and value]
    assert not held
    made.recording.close()
    assert any("pixelarm data recover" in words for words in rig().said)
    logged = read_log(left_over(tmp_path / "hands")[0])
    assert [round(float(o["eef_pos"][0]), 2) for o in logged.observations] == [0.40, 0.41, 0.42, 0.43]


def test_a_full_disk_ends_the_episode_and_says_so_and_its_outcome_can_be_said(
    rig: Callable[..., Rig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = rig()
    for i in range(3):
        made.step((0.40 + 0.01 * i, 0, 0.2), (0.42, 0, 0.2))
    log = made.recording._log
    assert log is not None
    log.failure = "the disk is full"
    for i in range(3, 6):
        made.step((0.40 + 0.01 * i, 0, 0.2), (0.42, 0, 0.2))
    assert [words for words in made.said if "THE EPISODE ENDED: the disk is full" in words] == made.said[-1:]
    assert "THE EPISODE ENDED" in made.recording.report()["words"]
    made.end(SUCCESS)
    (episode,) = read_dataset(tmp_path / "hands")
    assert len(episode) == 2 and episode.success
    assert episode.provenance["ended_early"] == "the disk is full"


def test_an_episode_that_cannot_be_written_stays_in_its_log(
    rig: Callable[..., Rig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = rig()
    for i in range(3):
        made.step((0.40 + 0.01 * i, 0, 0.2), (0.42, 0, 0.2))

    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("robot.dataset.hdf5.write_bytes", full)
        made.end(SUCCESS)
    assert any("THE EPISODE OF 2 STEPS WAS NOT WRITTEN" in words for words in made.said)
    recover(tmp_path / "hands")
    (episode,) = read_dataset(tmp_path / "hands")  # its operator had said success
    assert episode.success and len(episode) == 2


def test_what_goes_wrong_is_said_while_it_is_recorded(rig: Callable[..., Rig], tmp_path: Path) -> None:
    made = rig()
    for i in range(4):
        made.step((0.40 + 0.01 * i, 0, 0.2), (0.42 + 0.01 * i, 0, 0.2))
    made.clock.now_s += 0.6
    made.recording.step(True)
    assert any(words.startswith("LOOK: 'agentview' has sent nothing new") for words in made.said)
    assert any("'agentview' has sent nothing new" in words for words in made.recording.report()["troubles"])
    made.step((0.44, 0, 0.2), (0.46, 0, 0.2))
    made.end(SUCCESS)
    assert any("episode_000000" in words and "silent agentview" in words for words in made.said), made.said
    about = read_dataset(tmp_path / "hands")[0].provenance
    assert about["gaps"] == 1 and "silent agentview" in about["troubles"]
    assert about["rate_hz"] == pytest.approx(4 / 1.0)  # steps of 0.1, 0.1, 0.1 and 0.7 s


def test_cameras_that_changed_places_since_the_first_episodes_are_said(rig: Callable[..., Rig], tmp_path: Path) -> None:
    two = contract(cameras=(Camera("agentview", 8, 8), Camera("eye_in_hand", 8, 8)))
    views = np.full((2, 8, 8, 3), 30, np.uint8)
    views[0, :4], views[1, :, :4] = 220, 220  # bright above; bright at the left

    def play(made: Rig, places: tuple[int, int]) -> None:
        for i in range(3):
            made.clock.now_s += 0.1
            stamp = made.clock.now_ns()
            for camera, place in zip(("agentview", "eye_in_hand"), places):
                made.recording.put_image(camera, views[place] + np.uint8(i), stamp)
            made.recording.put_state("eef_pos", np.array([0.4 + 0.01 * i, 0, 0.2]), stamp)
            made.recording.put_state("eef_quat", DOWN, stamp)
            made.recording.put_state("gripper_opening", np.array([0.08]), stamp)
            made.recording.step(True)
        made.end(SUCCESS)

    first = rig(two)
    play(first, (0, 1))
    assert not any("swapped" in words for words in first.said)
    second = rig(two)
    play(second, (1, 0))
    assert any("are they swapped?" in words for words in second.said)
    troubles = [one.provenance.get("troubles") for one in read_dataset(tmp_path / "hands")]
    assert troubles == [None, ["swapped agentview eye_in_hand"]]


def test_what_is_measured_of_the_recorder_adds_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two episodes of a second, 20 pictures a second of each camera."""
    monkeypatch.setattr(measure_recorder, "BEFORE_S", 0.1)
    found = measure_recorder.measure(tmp_path, minutes=2 / 60, episode_s=1.0)
    assert found["episodes"] == 2 == found["said"]["an episode was written"]  # of a busy machine more is said
    assert found["pictures_sent"] == 40 == found["pictures_kept"] + found["dropped"]
    kept = Dataset(tmp_path)
    assert found["pictures_kept"] == sum(len(episode) + 1 for episode in kept)
    assert found["mb"] == pytest.approx(sum(h.path.stat().st_size for h in kept.headers) / 1e6, abs=0.01)
    assert not list(tmp_path.glob(".recording/*"))


def test_an_episode_that_is_not_whole_on_disk_is_no_demonstration(
    rig: Callable[..., Rig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that stalls: what is there is not written as a success, and its log stays."""
    read = recording.read_log

    def half(path: Path) -> Logged:
        found = read(path)
        del found.actions[-1:], found.observations[-1:]
        return found

    monkeypatch.setattr(recording, "read_log", half)
    made = rig()
    for x in (0.40, 0.41, 0.42):
        made.step((x, 0, 0.2), (x, 0, 0.2))
    made.end(SUCCESS)
    assert any("THE EPISODE OF 2 STEPS WAS NOT WRITTEN: 1 of its steps are on disk" in words for words in made.said)
    assert len(left_over(tmp_path / "hands")) == 1 and not list((tmp_path / "hands").glob("episode_*"))
