"""``pixelarm bench cameras``: what it measures, its table, and refusals in words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from robot.commands import cameras
from robot.errors import PixelarmError


def test_every_step_of_every_form_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("PIL.Image")
    assert cameras.main(["--frames", "2", "--no-ros", "--out", str(tmp_path)]) == 0
    said, found = capsys.readouterr().out, json.loads((tmp_path / "bench.json").read_text())
    rows = {(row["width"], row["height"], row["form"]): row for row in found["rows"]}
    assert list(rows) == [(w, h, form) for w, h in ((640, 480), (1280, 720)) for form in ("raw", "JPEG")]
    assert rows[640, 480, "raw"]["bytes"] == 921_600
    assert 20_000 < rows[640, 480, "JPEG"]["bytes"] < 200_000
    for row in rows.values():
        assert {step: times["n"] for step, times in row["ms"].items()} == dict.fromkeys(
            ("fill", "decode", "fit", "on arrival"), 2
        )
    lines = said.splitlines()
    assert len(lines) == 2 + 4 and lines[2].startswith("| 640x480 raw | 922 | ") and lines[2].count(" - |") == 2


def test_what_the_transport_lost_is_in_the_table() -> None:
    times = {"n": 150, "p50": 1.0, "p95": 1.5, "p99": 2.0, "max": 3.0}
    none = {"n": 0, "p50": None, "p95": None, "p99": None, "max": None}
    row = {"width": 8, "height": 6, "form": "raw", "bytes": 1200}
    ms = {"fill": times, "transport": {**times, "sent": 200}, "transport, 16 MiB": {**none, "sent": 200}}
    assert cameras.table([{**row, "ms": ms}]).splitlines()[-1] == (
        "| 8x6 raw | 1 | 1.00 / 2.00 | 1.00 / 2.00, 25 % lost | nothing came, 100 % lost | - | - | - |"
    )


@pytest.mark.parametrize("options", [["--frames", "0"], ["--rate", "0"], ["--rate", "nan"]])
def test_senseless_options_are_refused(options: list[str]) -> None:
    with pytest.raises(PixelarmError, match="--frames must lie between 1 and 100000 and --rate between"):
        cameras.main(options)


def test_without_ros_the_way_out_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cameras, "find_spec", lambda name: None)
    with pytest.raises(PixelarmError, match="needs rclpy, which is not here; --no-ros"):
        cameras.main(["--out", str(tmp_path)])
