"""What goes wrong inside of the policy's process, on order."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hardware.faults.deploy import Inside
from robot.errors import PixelarmError

ROOT = Path(__file__).resolve().parents[3]


def test_inference_takes_longer_and_the_clock_jumps(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("hardware.faults.deploy.time.sleep", slept.append)
    inside = Inside()
    run, now = inside.slowed(lambda job, act, seen: act(seen)), inside.jumped(lambda clock: 7.0, lambda s: s)
    inside.listen(["late 0.3\n", "clock -0.5\n"])
    assert run(1, lambda seen: seen + 1, 2) == 3 and slept == [0.3]
    assert now(None) == 6.5
    inside.listen(["late 0\n", "clock 0\n"])
    run(2, lambda seen: seen, 2)
    assert slept == [0.3, 0.0] and now(None) == 7.0


@pytest.mark.parametrize("line", ["sulk", "late", "late soon", "disk", "disk broken", "other 1"])
def test_what_is_no_order_is_refused(line: str) -> None:
    with pytest.raises(PixelarmError, match="orders are late SECONDS, clock SECONDS and disk full or free"):
        Inside().order(line)


def test_no_file_can_grow_on_a_full_disk(tmp_path: Path) -> None:
    script = (
        "import sys; from hardware.faults.deploy import Inside; i = Inside(); f = open(sys.argv[1], 'wb', 0)\n"
        "f.write(b'a'); i.order('disk full')\n"
        "try: f.write(b'b')\nexcept OSError: print('full')\n"
        "i.order('disk free'); f.write(b'c')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "file")], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.stdout, done.returncode) == ("full\n", 0), done.stderr
    assert (tmp_path / "file").read_bytes() == b"ac"
