"""``pixelarm replay``: which action comes when, and what does not begin."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robot.commands import replay
from robot.commands.replay import EpisodePolicy
from robot.contract import Action, Contract, Proprio
from robot.dataset.episodes import Episode, Recorder
from robot.errors import DatasetError, PixelarmError
from robot.ros import runtime

CONTRACT = Contract(
    task="lift",
    cameras=(),
    proprio=(Proprio("eef_pos", 3, "m", "base"),),
    action=Action("eef_delta_position", ("x", "y", "z", "gripper"), ("m", "m", "m", "1"), (-0.04,) * 3 + (-1.0,),
                  (0.04,) * 3 + (1.0,), "base"),
    rate_hz=10.0,
    deadline_ms=80.0,
    max_age_ms=100.0,
)  # fmt: skip
HOME = np.array([0.4, 0.0, 0.1], np.float32)
ACTIONS = np.array([[0.01, 0, 0, -1], [0.02, 0, 0, -1], [0, 0.03, 0, 1]], np.float32)


def episode(**parts: Any) -> Episode:
    n = len(ACTIONS)
    made = Episode(CONTRACT, {"eef_pos": np.tile(HOME, (n + 1, 1))}, ACTIONS, np.zeros(n, np.float32),
                   np.zeros(n, bool), np.arange(1, n + 2), True)  # fmt: skip
    return dataclasses.replace(made, **parts)


def seen(x: float = 0.4) -> dict[str, np.ndarray]:
    return {"eef_pos": np.array([x, 0.0, 0.1], np.float32)}


def test_the_actions_come_in_order_and_then_none_moves_the_arm() -> None:
    policy = EpisodePolicy(episode())
    for _ in range(40):  # measured before anything moves
        assert policy.act(seen(9.9)).shape == (1, 4)
    policy.begin()
    played = [policy.act(seen())[0] for _ in range(3)]
    np.testing.assert_allclose(played, ACTIONS, atol=1e-6)
    assert not policy.ended
    np.testing.assert_array_equal(policy.act(seen()), [[0, 0, 0, 1]])  # it stays, and keeps the gripper closed
    assert policy.ended


def test_the_last_joint_positions_are_said_again() -> None:
    action = dataclasses.replace(CONTRACT.action, kind="joint_position", names=("a", "b", "c", "gripper"),
                                 units=("rad", "rad", "rad", "1"))  # fmt: skip
    policy = EpisodePolicy(episode(contract=dataclasses.replace(CONTRACT, action=action)))
    policy.begin()
    played = [policy.act(seen())[0] for _ in range(4)]
    np.testing.assert_array_equal(played[3], ACTIONS[-1])


def test_it_begins_where_it_was_recorded_or_not_at_all() -> None:
    policy = EpisodePolicy(episode())
    policy.begin()
    with pytest.raises(PixelarmError, match=r"eef_pos is 0\.06 m from where the episode began, and may be 0\.05 m"):
        policy.act(seen(0.46))
    assert "bring the arm there first" in policy.refusal
    policy.begin()
    assert policy.refusal == ""
    policy.act(seen(0.44))
    policy.act(seen(0.60))  # where it goes is its own affair


def test_deltas_lead_to_the_recorded_targets() -> None:
    """At 0.41 instead of 0.40 m, a delta of 0.01 is none, and one of 0.02 is 0.01."""
    policy = EpisodePolicy(episode())
    policy.begin()
    np.testing.assert_allclose(policy.act(seen(0.41))[0], [0.0, 0, 0, -1], atol=1e-6)
    np.testing.assert_allclose(policy.act(seen(0.41))[0], [0.01, 0, 0, -1], atol=1e-6)
    counts = dataclasses.replace(CONTRACT.action, counts_from="commanded")
    policy = EpisodePolicy(episode(contract=dataclasses.replace(CONTRACT, action=counts)))
    policy.begin()
    np.testing.assert_array_equal(policy.act(seen(0.41))[0], ACTIONS[0])  # the last target is where it was


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    with Recorder(tmp_path / "demos", CONTRACT, {"device": "hand"}) as recorder:
        for _ in range(2):
            recorder.start({"eef_pos": HOME}, 1)
            for i, action in enumerate(ACTIONS):
                recorder.add(action, 0.0, False, {"eef_pos": HOME}, i + 2)
            recorder.end(True)
    return tmp_path / "demos"


def test_an_episode_is_chosen_by_its_number(dataset: Path) -> None:
    np.testing.assert_array_equal(replay.read(dataset, -1).actions, ACTIONS)
    with pytest.raises(PixelarmError, match="holds episodes 0 to 1, and no episode 2"):
        replay.read(dataset, 2)


def test_what_cannot_be_played_is_refused_before_ros_starts(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "require_rclpy", lambda: pytest.fail("ROS is started"))
    with pytest.raises(DatasetError):
        replay.main([str(tmp_path / "nothing")])
    with pytest.raises(PixelarmError, match="the arm profile 'sim_kitchen' takes"):
        replay.main([str(dataset), "--arm", "sim_kitchen"])
    with pytest.raises(PixelarmError, match="--dry-run and --require-enable are the arbiter's"):
        replay.main([str(dataset), "--arbiter", "running", "--dry-run"])


def test_an_action_that_did_not_leave_comes_once_more() -> None:
    policy, sent = EpisodePolicy(episode()), [7]
    policy.begin(lambda: sent[0])
    np.testing.assert_allclose(policy.act(seen())[0], ACTIONS[0], atol=1e-6)
    np.testing.assert_allclose(policy.act(seen())[0], ACTIONS[0], atol=1e-6)  # its deadline was missed
    sent[0] += 1
    np.testing.assert_allclose(policy.act(seen())[0], ACTIONS[1], atol=1e-6)


def test_a_hand_that_is_turned_is_no_start() -> None:
    turned = {"eef_pos": np.tile(HOME, (4, 1)), "eef_quat": np.tile(np.float32([1, 0, 0, 0]), (4, 1))}
    policy = EpisodePolicy(episode(observations=turned))
    policy.begin()
    with pytest.raises(PixelarmError, match=r"eef_quat is 0.50 rad from where the episode began, and may be 0.2 rad"):
        policy.act({**seen(), "eef_quat": np.float32([np.cos(0.25), 0, np.sin(0.25), 0])})
    policy.begin()
    policy.act({**seen(), "eef_quat": np.float32([-1, 0, 0, 0])})  # the same rotation
    assert not policy.refusal
