"""``pixelarm deploy``: what cannot be run is refused before ROS starts, and a run's figures are printed in any case."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from robot.commands import deploy
from robot.errors import PixelarmError
from robot.ros import runtime


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--stats", "FILE/stats.json"], "nothing can be written into FILE: File exists"),
        (["--stats", "bundle"], "bundle is a folder, and a file is to be written there"),
        (["--max-age-ms", "-1"], r"--max-age-ms must lie in \(0, 10000\], got -1"),
        (["--max-age-ms", "nan"], "--max-age-ms must lie in"),
        (["--deadline-ms", "0"], r"--deadline-ms must lie in \(0, 10000\], got 0"),
        (["--speed-scale", "2"], "--speed-scale must lie in"),
    ],
)
def test_options_are_checked_before_ros_starts(
    options: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runtime, "require_rclpy", lambda: pytest.fail("ROS is started"))
    (tmp_path / "FILE").write_text("")
    (tmp_path / "bundle").mkdir()
    with pytest.raises(PixelarmError, match=words):
        deploy.main(["bundle", *options])


def test_a_deadline_of_ones_own_reaches_the_node(lift_bundle: Path) -> None:
    args = deploy.parser().parse_args([str(lift_bundle), "--deadline-ms", "400"])
    assert deploy._overrides(args)["deadline_ms"] == 400.0
    assert "deadline_ms" not in deploy._overrides(deploy.parser().parse_args([str(lift_bundle)]))


def test_a_bundle_for_another_arm_is_refused_before_ros_starts(
    lift_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "require_rclpy", lambda: pytest.fail("ROS is started"))
    with pytest.raises(PixelarmError, match="'sim_ur5e' is for a ur5e, and the policy was made for a panda: choose"):
        deploy.main([str(lift_bundle), "--arm", "sim_ur5e"])


def test_statistics_that_cannot_be_written_are_said_and_hide_nothing(tmp_path: Path) -> None:
    """As on a full disk at the end of a run: no traceback, and an exit code that tells."""
    said: list[str] = []
    node = SimpleNamespace(exit_code=0, get_logger=lambda: SimpleNamespace(error=said.append))
    runtime.write_stats(node, "", {"ticks": 1})
    runtime.write_stats(node, str(tmp_path / "stats.json"), {"ticks": 1})
    assert (json.loads((tmp_path / "stats.json").read_text()), node.exit_code, said) == ({"ticks": 1}, 0, [])
    (tmp_path / "folder").mkdir()
    runtime.write_stats(node, str(tmp_path / "folder"), {"ticks": 1})
    assert node.exit_code == 2 and "the statistics are lost" in said[0] and "could not be written" in said[0]


def priority(change: str) -> str:
    code = f"import os; from robot.ros import runtime; {change}; runtime.go_first(); "
    code += "print(os.getpriority(os.PRIO_PROCESS, 0), runtime.goes_first())"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_a_process_goes_first_where_it_may() -> None:
    assert priority("pass") in ("-10 True", f"{os.getpriority(os.PRIO_PROCESS, 0)} False")


@pytest.mark.parametrize(("grouped", "after", "first"), [("1", "-10", "True"), ("0", "/autogroup-7 nice 0", "True")])
def test_where_sessions_share_the_cores_the_session_goes_first(
    tmp_path: Path, grouped: str, after: str, first: str
) -> None:
    """A kernel with autogroup, and one that has it switched off, as files."""
    switch, session = tmp_path / "enabled", tmp_path / "autogroup"
    switch.write_text(grouped + "\n")
    session.write_text("/autogroup-7 nice 0")
    paths = (
        f"from pathlib import Path; runtime.GROUPED = Path({str(switch)!r}); runtime.SESSION = Path({str(session)!r})"
    )
    nice, said = priority(paths).split()
    if nice != "-10":
        pytest.skip("this user may not take a priority")
    assert said == first and session.read_text() == after


def test_a_session_that_may_not_go_first_is_said(tmp_path: Path) -> None:
    """Nice alone does not count between sessions."""
    switch, session = tmp_path / "enabled", tmp_path / "autogroup"
    switch.write_text("1\n")
    session.mkdir()  # cannot be written
    paths = (
        f"from pathlib import Path; runtime.GROUPED = Path({str(switch)!r}); runtime.SESSION = Path({str(session)!r})"
    )
    assert priority(f"{paths}; runtime._session_nice = lambda: 0").split()[1] == "False"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a process up to a user without rights")
def test_a_user_without_the_limit_keeps_the_usual_priority() -> None:
    assert priority("os.setuid(65534)") == f"{os.getpriority(os.PRIO_PROCESS, 0)} False"
