"""``pixelarm kinematics`` and ``pixelarm bench kinematics``, as they are typed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

pytest.importorskip("mujoco")

from robot import cli
from robot.kinematics.chain import Chain
from sim.arms import ARMS
from sim.bench.kinematics import HALF_CUBE, STEP, goals
from sim.commands.kinematics import KITCHEN, arm_and_chain, names
from sim.envs.task_world import build_world, reset_world
from sim.physics.world import MEASURE
from sim.tasks import make_task


@pytest.mark.parametrize("name", names())
def test_the_chain_has_the_tip_where_the_world_measures_it(name: str) -> None:
    """In the world of the arm's task; with the names that the driver reports."""
    arm, chain = arm_and_chain(name)
    task = make_task("kitchen_kettle") if name == KITCHEN else make_task("lift", arm=ARMS[name])
    world = build_world(task)
    reset_world(world, task, 0)
    position, _ = chain.forward(MEASURE["joint_pos"](world))
    np.testing.assert_allclose(position, MEASURE["eef_pos"](world), atol=1e-12)
    assert chain.names == arm.reported
    world.close()


def test_the_rows_written_make_the_chain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "made" / "panda.yaml"
    assert cli.main(["kinematics", "panda", "--out", str(out)]) == 0
    assert Chain.from_rows(yaml.safe_load(out.read_text())) == arm_and_chain("panda")[1]
    text = capsys.readouterr().out
    assert "panda_joint4" in text and "-3.0718 to -0.0698" in text and f"rows written to {out}" in text


def test_without_a_file_there_is_a_table_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["kinematics", "panda"]) == 0
    assert "panda_joint7" in capsys.readouterr().out and not list(tmp_path.iterdir())


def test_a_file_is_not_replaced_unless_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "panda.yaml"
    out.write_text("mine")
    assert cli.main(["kinematics", "panda", "--out", str(out)]) == 2
    assert f"{out} exists already" in capsys.readouterr().err and out.read_text() == "mine"
    assert cli.main(["kinematics", "panda", "--out", str(out), "--overwrite"]) == 0
    assert "joints:" in out.read_text()


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["kinematics", "pandas"], "unknown arm 'pandas'; the valid names are: kinova3, kitchen_panda, panda"),
        (["kinematics", "panda", "--overwrite"], "--overwrite says what to do with the file of --out"),
        (["bench", "kinematics", "--arms", "pandas"], "unknown arm 'pandas'"),
        (["bench", "kinematics", "--steps", "0"], "--steps must be at least 1, got 0"),
    ],
)
def test_what_cannot_be_done_is_said(argv: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(argv) == 2
    assert words in capsys.readouterr().err


def test_the_bench_writes_what_it_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["bench", "kinematics", "--arms", "panda", "--steps", "20", "--out", str(tmp_path)]
    assert cli.main(argv) == 0
    found = json.loads((tmp_path / "bench.json").read_text())["arms"]["panda"]
    assert found["n"] == 20 and found["refused"] == 0
    assert 0 < found["joint_step_rad"]["p50"] <= found["joint_step_rad"]["max"] <= 0.2
    assert f"{found['joint_step_rad']['p50']:.3f} / {found['joint_step_rad']['p99']:.3f}" in capsys.readouterr().out


def test_the_walk_stays_in_its_cube() -> None:
    centre = np.array([0.4, 0.0, 0.2])
    found = np.array([centre, *goals(centre, 300, seed=1)])
    np.testing.assert_allclose(np.linalg.norm(np.diff(found, axis=0), axis=1), STEP)
    assert np.abs(found - centre).max() <= HALF_CUBE
    assert np.abs(found - centre).max(axis=0).min() > 0.5 * HALF_CUBE  # it gets about
