"""A dataset as an object: its length, its episodes one by one, and what it refuses."""

import dataclasses

import numpy as np
import pytest

from robot.contract import Action, Camera, Contract
from robot.dataset.dataset import Dataset
from robot.dataset.episodes import Recorder
from robot.errors import ContractMismatch, DatasetError

CONTRACT = Contract(
    task="tiny", cameras=(Camera("front", 8, 8),), proprio=(),
    action=Action("eef_delta_position", ("dx", "dy", "dz", "gripper"), ("m", "m", "m", "1"), (-1,) * 4, (1,) * 4),
    rate_hz=10, deadline_ms=80, max_age_ms=100,
)  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    """Episodes of 2, 3 and 4 steps; what is seen is the seed."""
    with Recorder(tmp_path / "demos", CONTRACT, {"device": "test"}) as recorder:
        for seed, steps in ((7, 2), (8, 3), (9, 4)):
            picture = {"front": np.full((8, 8, 3), seed, np.uint8)}
            recorder.start(picture, 0, {"seed": seed})
            for step in range(1, steps + 1):
                recorder.add(np.zeros(4), 0.0, False, picture, step * 100)
            recorder.end(success=True)
    return tmp_path / "demos"


def test_its_length_steps_contract_and_words(folder):
    dataset = Dataset(folder)
    assert (len(dataset), dataset.steps, dataset.contract) == (3, 9, CONTRACT)  # 2 + 3 + 4
    assert repr(dataset) == f"Dataset({str(folder)!r}: 3 episodes, 9 steps of tiny)"


def test_episodes_come_in_order_one_at_a_time(folder):
    dataset = Dataset(str(folder))
    assert [(e.provenance["seed"], len(e), int(e.observations["front"][0, 0, 0, 0])) for e in dataset] == [
        (7, 2, 7), (8, 3, 8), (9, 4, 9),
    ]  # fmt: skip
    assert [len(e) for e in dataset] == [2, 3, 4]  # a second time
    assert len(dataset[0]) == 2 and len(dataset[-1]) == 4
    with pytest.raises(IndexError):
        dataset[3]


def test_nothing_is_read_before_it_is_asked_for(folder, monkeypatch):
    read = []
    monkeypatch.setattr("robot.dataset.dataset.read_episode", lambda path: read.append(path.name))
    episodes = iter(Dataset(folder))
    assert read == []
    next(episodes)
    assert read == ["episode_000000.hdf5"]


def test_what_is_not_a_dataset_or_another_one_is_refused(folder, tmp_path):
    with pytest.raises(DatasetError, match="is not a dataset .no such folder.; `pixelarm collect` records one"):
        Dataset(tmp_path / "nowhere")
    with pytest.raises(ContractMismatch, match="(?s)another contract.*rate_hz: 20.0 here, 10.0 there"):
        Dataset(folder, expect=dataclasses.replace(CONTRACT, rate_hz=20))
    assert len(Dataset(folder, expect=CONTRACT)) == 3
