"""The page of a dataset: whole by itself, true to the data, and its hints are about what is amiss."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robot import cli
from robot.contract import Action, Camera, Contract, Proprio
from robot.dataset.episodes import Episode, write_episode
from robot.dataset.view.drawing import film, picked, start_map
from robot.dataset.view.hints import hints, uncovered
from robot.dataset.view.page import view
from robot.dataset.view.summary import Summary, summarise

Image = pytest.importorskip("PIL.Image")


def contract() -> Contract:
    return Contract(
        task="<trial>", cameras=(Camera("front", 8, 6), Camera("side", 4, 4)),
        proprio=(Proprio("eef_pos", 3, "m", "base"), Proprio("gripper_opening", 1, "m", "gripper")),
        action=Action("eef_delta_position", ("dx", "dy", "dz", "gripper"), ("m", "m", "m", "1"),
                      (-0.04, -0.04, -0.04, -1), (0.04, 0.04, 0.04, 1)),
        rate_hz=10, deadline_ms=80, max_age_ms=100,
    )  # fmt: skip


def episode(steps: int = 6, start: tuple[float, float] = (0.4, 0.0), success: bool = True) -> Episode:
    """One centimetre ahead each step; picture t is of brightness 40 t."""
    at = np.zeros((steps + 1, 3), np.float32)
    at[:, 0], at[:, 1] = start[0] + 0.01 * np.arange(steps + 1), start[1]
    bright = (40 * np.arange(1, steps + 2) % 256).astype(np.uint8)
    return Episode(
        contract=contract(),
        observations={
            "front": np.broadcast_to(bright[:, None, None, None], (steps + 1, 8, 6, 3)).copy(),
            "side": np.broadcast_to(bright[:, None, None, None], (steps + 1, 4, 4, 3)).copy(),
            "eef_pos": at, "gripper_opening": np.full((steps + 1, 1), 0.08, np.float32),
        },
        actions=np.tile(np.array([0.01, 0, 0, -1], np.float32), (steps, 1)),
        rewards=np.zeros(steps, np.float32), terminated=np.zeros(steps, bool),
        stamps=np.arange(steps + 1, dtype=np.int64) * 10**8, success=success, provenance={"device": "<hand>"},
    )  # fmt: skip


def dataset(folder: Path, episodes: list[Episode]) -> Path:
    folder.mkdir()
    for number, one in enumerate(episodes):
        write_episode(folder / f"episode_{number:06d}.hdf5", one)
    return folder


def summary(one: Episode) -> Summary:
    return summarise("episode_000000", one)


def test_the_page_needs_no_other_file_and_shows_each_episode(tmp_path: Path) -> None:
    acting = replace(episode(), source=np.array([1, 1, 2, 0, 0, 3], np.uint8))
    folder = dataset(tmp_path / "a&b", [acting, episode(success=False)])
    text = view(folder, 100).read_text()
    assert not re.search(r'(src|href)="(?!#)|https?://|url\((?!data:image/jpeg)', text)
    assert text.count("<article ") == 2 and text.count('class="film"') == 4
    assert "&lt;trial&gt;: a&amp;b" in text and "<trial>" not in text and "<hand>" not in text
    assert "2, 1 of them a success" in text
    assert "person 2 steps, policy 2 steps, blend 1 steps, hold 1 steps" in text
    bar = re.findall(r'<rect class="(\w+)" x="([\d.]+)" y="0" width="([\d.]+)"', text)
    assert [who for who, _, _ in bar] == ["policy", "blend", "person", "hold"]
    assert [(float(x), float(width)) for _, x, width in bar] == [(0, 200), (200, 100), (300, 200), (500, 100)]
    assert 'data-times="0.00,0.10,0.20,0.30,0.40,0.50,0.60"' in text
    # told 1 cm of 4 at each of 6 steps: a quarter of the way up, from the left edge to one step before the right one
    first = re.search(r'class="c0" points="([^"]+)"', text)
    assert first
    points = np.array([pair.split(",") for pair in first[1].split()], float)
    assert points[:, 0].tolist() == [0, 100, 200, 300, 400, 500]
    assert points[:, 1] == pytest.approx(np.full(6, 34.25), abs=0.06)  # of 90: 2 from the edge, and 0.625 of 86


def test_a_film_is_the_pictures_side_by_side() -> None:
    one = episode()
    uri, ratio = film(one.observations["front"], picked(7, 3))
    row = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))
    assert row.shape == (8, 18, 3) and ratio == pytest.approx(6 / 8)
    assert [int(row[4, x, 0]) for x in (1, 9, 16)] == pytest.approx([40, 160, 280 % 256], abs=6)  # frames 0, 3, 6


def test_large_pictures_are_made_small_and_many_episodes_are_thinned_out(tmp_path: Path) -> None:
    uri, _ = film(np.zeros((2, 480, 640, 3), np.uint8), picked(2, 2))
    assert Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).size == (2 * 107, 80)
    folder = dataset(tmp_path / "many", [episode() for _ in range(5)])
    text = view(folder, 2).read_text()
    assert re.findall(r'<article id="(\w+)"', text) == ["episode_000000", "episode_000004"]
    assert "Episodes: 2 of 5" in text and text.count('<circle class="good"') == 5  # all count in the map


def test_the_map_has_ahead_upwards_and_left_on_the_left() -> None:
    """The first is 10 cm ahead and 10 cm to the left of the second, so it is drawn above it and left of it."""
    found = [summary(episode(start=(0.5, 0.1))), summary(episode(start=(0.4, 0.0), success=False))]
    text = start_map(found, {})
    circle = re.search(r'<circle class="good" cx="([\d.]+)" cy="([\d.]+)"', text)
    cross = re.search(r'<path class="bad" d="M([\d.]+) ([\d.]+)', text)
    assert circle and cross
    assert float(circle[1]) < float(cross[1]) and float(circle[2]) < float(cross[2])


def test_objects_that_a_simulator_said_are_on_the_map_and_have_hints_of_their_own(tmp_path: Path) -> None:
    def cube(number: int) -> dict[str, Any]:
        return {"objects": {"cube": [0.5 + 0.2 * number, 0.0, 0.02]}}

    folder = dataset(tmp_path / "cubes", [replace(one, provenance=cube(0)) for one in starts(20)])
    text = view(folder, 5).read_text()
    assert len(re.findall(r'<rect class="c0"', text)) == 20 and "■ cube" in text
    assert "Every episode begins with cube at one place" in text
    spread = [summary(replace(one, provenance=cube(n % 2))) for n, one in enumerate(starts(27))]
    assert "Of the area over which cube lies at the start, no episode covers: near, in the middle;" in " ".join(
        hints(spread)
    )


def test_fields_of_the_map_in_which_nothing_begins_are_named() -> None:
    grid = [(a, b) for a in (0.0, 0.1, 0.2) for b in (0.0, 0.1, 0.2)]
    assert uncovered(np.array(grid)) == []
    assert uncovered(np.array([at for at in grid if at != (0.2, 0.0)])) == ["far, on the right"]


def starts(count: int) -> list[Episode]:
    """All over a field of 20 cm."""
    rng = np.random.default_rng(0)
    grid = [(0.3 + 0.1 * (n % 3), 0.1 * (n // 3 % 3)) for n in range(count)]
    return [episode(start=(a + rng.uniform(0, 0.01), b + rng.uniform(0, 0.01))) for a, b in grid]


def said(episodes: list[Episode]) -> str:
    return "\n".join(hints([summary(one) for one in episodes]))


def test_there_is_no_hint_where_nothing_is_amiss() -> None:
    assert said(starts(27)) == ""


def test_hints() -> None:
    good = starts(27)
    assert "Few demonstrations: 9 successes" in said(good[:9])
    assert "No episode is a success" in said([replace(one, success=False) for one in good])
    assert "begins with the end effector at one place" in said([episode() for _ in range(27)])
    there_and_back = np.array([0.04, 0, 0, -1], np.float32) * np.array([[1], [-1]] * 3, np.float32)
    there_and_back[:, 3] = -1
    assert "The arm is jerky: 100% of the steps" in said([replace(one, actions=there_and_back) for one in good])
    still = np.tile(np.array([0, 0, 0, -1], np.float32), (6, 1))
    assert "The arm rests in 100% of the steps" in said([replace(one, actions=still) for one in good])
    late = good[0].stamps + np.where(np.arange(7) > 3, 4 * 10**8, 0)
    assert "Gaps between observations: 1, in 1 of 27 episodes; the longest is 0.50 s" in said(
        [replace(good[0], stamps=late), *good[1:]]
    )
    dark = {**good[0].observations, "front": np.zeros((7, 8, 6, 3), np.uint8)}
    assert "front: 7 of 7 pictures are dark" in said([replace(good[0], observations=dark), *good[1:]])
    assert "More than 3 times as long as most: episode_000000" in said([episode(40, (0.35, 0.05)), *good])
    policy = np.ones(6, np.uint8)
    assert "No step is a person's" in said([replace(one, source=policy) for one in good])
    assert "Cut off before" in said([replace(good[0], provenance={"truncated": True}), *good[1:]])


def test_the_command_writes_the_page_and_says_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = dataset(tmp_path / "hands", [episode()])
    assert cli.main(["data", "view", str(folder)]) == 0
    assert str(folder / "view.html") in capsys.readouterr().out and (folder / "view.html").is_file()
    assert cli.main(["data", "view", str(folder), "--episodes", "0"]) == 2
    assert cli.main(["data", "view", str(tmp_path)]) == 2
    assert "is not a dataset" in capsys.readouterr().err
