"""Datasets of several tasks in one folder: their order, and which differences they may have."""

import dataclasses

import numpy as np
import pytest

from robot.contract import Action, Camera, Contract
from robot.dataset.episodes import Recorder
from robot.dataset.several import datasets_in, files_of, headers_of, take_turns
from robot.errors import ContractMismatch, DatasetError

CONTRACT = Contract(
    task="lift", cameras=(Camera("agentview", 8, 8),), proprio=(),
    action=Action("eef_delta_position", ("dx", "dy", "dz", "gripper"), ("m", "m", "m", "1"), (-1,) * 4, (1,) * 4),
    rate_hz=10, deadline_ms=80, max_age_ms=100,
)  # fmt: skip


def record(folder, contract, episodes):
    with Recorder(folder, contract, {"device": "test"}) as recorder:
        for seed in range(episodes):
            pictures = {camera.name: np.zeros(camera.shape, np.uint8) for camera in contract.cameras}
            recorder.start(pictures, 0, {"seed": seed})
            recorder.add(np.zeros(4), 0.0, False, pictures, 100)
            recorder.end(success=True)


@pytest.fixture
def two_tasks(tmp_path):
    """Two demonstrations of Lift and three of Move."""
    record(tmp_path / "both/lift", CONTRACT, 2)
    record(tmp_path / "both/move", dataclasses.replace(CONTRACT, task="move"), 3)
    return tmp_path / "both"


def test_they_take_turns():
    assert take_turns([["a", "b", "c"], [], [None], ["d", "e"]]) == ["a", None, "d", "b", "e", "c"]


def test_a_dataset_is_one_of_one(two_tasks):
    alone = two_tasks / "lift"
    assert datasets_in(alone) == [alone]
    assert [header.path for header in headers_of(alone)] == files_of(alone) == sorted(alone.glob("episode_*.hdf5"))


def test_folders_that_are_no_datasets_are_left_out(two_tasks, tmp_path):
    (two_tasks / "notes").mkdir()
    (two_tasks / "notes.txt").write_text("")
    assert [dataset.name for dataset in datasets_in(two_tasks)] == ["lift", "move"]
    assert datasets_in(tmp_path / "nowhere") == []


def test_headers_are_those_of_the_files(two_tasks):
    headers = headers_of(two_tasks)
    assert [header.path for header in headers] == files_of(two_tasks)
    assert [header.contract.task for header in headers] == ["lift", "move", "lift", "move", "move"]


def test_what_differs_beside_the_task_is_named(two_tasks):
    record(two_tasks / "big", dataclasses.replace(CONTRACT, task="reach", cameras=(Camera("agentview", 9, 9),)), 1)
    with pytest.raises(ContractMismatch, match=r"(?s)agentview.*nothing but their task: move .*lift"):
        headers_of(two_tasks)


def test_nothing_there_is_said(tmp_path):
    with pytest.raises(DatasetError, match="is not a dataset"):
        headers_of(tmp_path)
