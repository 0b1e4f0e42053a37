"""What a simulator knows of an episode: kept exactly, and checked."""

import h5py
import numpy as np
import pytest

from robot.dataset.episodes import Episode, read_episode, write_episode
from robot.errors import DatasetError
from tests.robot.dataset.test_dataset import CONTRACT


def episode(**simulation):
    return Episode(
        contract=CONTRACT, observations={"front": np.zeros((4, 8, 8, 3), np.uint8)},
        actions=np.zeros((3, 4), np.float32), rewards=np.zeros(3, np.float32), terminated=np.zeros(3, bool),
        stamps=np.arange(4), success=True, simulation=simulation,
    )  # fmt: skip


def test_states_come_back_to_the_last_bit(tmp_path):
    qpos = np.random.default_rng(0).normal(size=(4, 30))
    rest = {"executed": np.ones((3, 4), np.float32), "subtask": np.array([0, 0, -1], np.int8)}
    write_episode(tmp_path / "e.hdf5", episode(qpos=qpos, **rest))
    found = read_episode(tmp_path / "e.hdf5").simulation
    assert np.array_equal(found["qpos"], qpos) and found["subtask"].tolist() == [0, 0, -1]
    assert list(found) == ["executed", "qpos", "subtask"]


def test_an_episode_without_states_has_none_in_its_file(tmp_path):
    write_episode(tmp_path / "e.hdf5", episode())
    with h5py.File(tmp_path / "e.hdf5") as file:
        assert "simulation" not in file["data/demo_0"]
    assert read_episode(tmp_path / "e.hdf5").simulation == {}


@pytest.mark.parametrize(
    ("simulation", "words"),
    [
        ({"qpos": np.zeros((3, 30))}, "simulation/qpos must have 4 rows of float64"),
        ({"qpos": np.zeros((4, 30), np.float32)}, r"4 rows of float64, got \(4, 30\) float32"),
        ({"executed": np.zeros((4, 4), np.float32)}, "simulation/executed must have 3 rows of float32"),
        ({"qpos": np.full((4, 30), np.nan)}, "simulation/qpos holds numbers that are not finite"),
        ({"forces": np.zeros((4, 3))}, "simulation/forces is unknown; the valid names are: qpos, qvel"),
    ],
)
def test_wrong_states_are_refused(simulation, words, tmp_path):
    with pytest.raises(DatasetError, match=words):
        write_episode(tmp_path / "e.hdf5", episode(**simulation))
