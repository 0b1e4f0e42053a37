"""Files that are either old or new, and films that hold what was put in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from robot.files import write_json, write_text
from robot.video import film_strip, write_video


def test_a_file_is_written_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    write_json(tmp_path / "deep" / "r.json", {"a": 1})
    write_json(tmp_path / "deep" / "r.json", {"a": 2})
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["r.json"]


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    write_text(tmp_path / "f", "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "f", "new \udcff")
    assert (tmp_path / "f").read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_a_film_has_every_frame(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    frames = [np.full((64, 129, 3), 20 * k, np.uint8) for k in range(10)]
    write_video(tmp_path / "film.mp4", frames, fps=10, enlarge=3)
    with av.open(str(tmp_path / "film.mp4")) as film:
        decoded = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    assert len(decoded) == 10 and decoded[0].shape == (192, 386, 3)
    assert abs(int(decoded[9].mean()) - 180) < 10


def test_a_strip_shows_first_and_last_frame() -> None:
    frames = [np.full((4, 6, 3), k, np.uint8) for k in range(20)]
    strip = film_strip(frames, columns=3, gap=2)
    assert strip.shape == (4, 3 * 6 + 2 * 2, 3)
    assert (strip[0, 0, 0], strip[0, 8, 0], strip[0, -1, 0]) == (0, 10, 19) and strip[0, 6, 0] == 255
