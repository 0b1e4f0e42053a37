"""Who acted: written, read, checked, and absent where it was never said."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from robot.contract import Action, Contract, Proprio
from robot.dataset.acting import BLEND, CODES, HOLD, PERSON, POLICY, counts
from robot.dataset.episodes import Recorder, read_episode
from robot.errors import DatasetError


def contract() -> Contract:
    return Contract(
        task="trial", cameras=(), proprio=(Proprio("eef_pos", 3, "m", "base"),),
        action=Action("eef_delta_position", ("dx", "dy", "dz", "gripper"), ("m", "m", "m", "1"),
                      (-0.04, -0.04, -0.04, -1), (0.04, 0.04, 0.04, 1)),
        rate_hz=10, deadline_ms=80, max_age_ms=100,
    )  # fmt: skip


def recorded(folder: Path, sources: list[int | None], proposed: bool) -> Path:
    def seen(number: int) -> dict[str, np.ndarray]:
        return {"eef_pos": np.full(3, number, np.float32)}

    with Recorder(folder, contract(), {}) as recorder:
        recorder.start(seen(0), 0)
        for n, source in enumerate(sources, 1):
            wanted = np.full(4, n / 10, np.float32) if proposed else None
            recorder.add(np.full(4, n / 100), 0.0, False, seen(n), n * 10**8, source, wanted)
        return recorder.end(success=True)


def test_what_was_said_comes_back_and_the_file_names_the_codes(tmp_path: Path) -> None:
    path = recorded(tmp_path / "a", [PERSON, POLICY, BLEND, HOLD], proposed=True)
    episode = read_episode(path)
    assert episode.source is not None and episode.source.tolist() == [0, 1, 2, 3]
    assert episode.proposed is not None and episode.proposed[:, 0] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    with h5py.File(path) as file:
        assert list(file["data/demo_0/source"].attrs["codes"]) == ["person", "policy", "blend", "hold"]
    assert counts(episode.source) == {"person": 1, "policy": 1, "blend": 1, "hold": 1}


def test_what_was_not_said_of_each_step_is_none(tmp_path: Path) -> None:
    for name, sources in {"none": [None, None], "some": [PERSON, None]}.items():
        episode = read_episode(recorded(tmp_path / name, sources, proposed=False))
        assert episode.source is None and episode.proposed is None


def test_a_writer_with_another_order_of_the_codes_is_understood(tmp_path: Path) -> None:
    path = recorded(tmp_path, [PERSON, POLICY], proposed=False)
    with h5py.File(path, "r+") as file:
        file["data/demo_0/source"].attrs["codes"] = ("hold", "person")
    source = read_episode(path).source
    assert source is not None and source.tolist() == [CODES.index("hold"), CODES.index("person")]
    with h5py.File(path, "r+") as file:
        file["data/demo_0/source"].attrs["codes"] = ("dog", "person")
    with pytest.raises(DatasetError, match="source has codes dog, person; the known ones are person, policy"):
        read_episode(path)


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("source", np.zeros(3, np.uint8), r"source must be \(2,\) uint8, got \(3,\) uint8"),
        ("source", np.array([0, 4], np.uint8), "source holds 4; the codes are 0 to 3"),
        ("proposed", np.zeros((2, 3), np.float32), r"proposed must be \(2, 4\) float32"),
        ("proposed", np.full((2, 4), np.nan, np.float32), "proposed holds numbers that are not finite"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, name: str, values: np.ndarray, words: str) -> None:
    episode = read_episode(recorded(tmp_path, [PERSON, POLICY], proposed=True))
    setattr(episode, name, values)
    with pytest.raises(DatasetError, match=words):
        episode.check()
