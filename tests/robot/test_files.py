"""Files that are either old or new, folders with one writer, and films that hold what was put in."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robot import files
from robot.dataset.video import film_strip, write_video
from robot.errors import PixelarmError
from robot.files import Claim, require_file, require_folder, write_json, write_text


def test_a_file_is_written_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    write_json(tmp_path / "deep" / "r.json", {"a": 1})
    write_json(tmp_path / "deep" / "r.json", {"a": 2})
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["r.json"]


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    write_text(tmp_path / "f", "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "f", "new \udcff")
    assert (tmp_path / "f").read_text() == "old" and len(list(tmp_path.iterdir())) == 1


# ---------------------------------------------------------------------------------------------- folders with one writer
def test_a_claimed_folder_is_refused_with_who_holds_it(tmp_path: Path) -> None:
    held = Claim(tmp_path / "run", "training")
    said = (
        rf"run is in use by process {os.getpid()} on \S+, training since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d: wait until"
    )
    with pytest.raises(PixelarmError, match=said):
        Claim(tmp_path / "run")
    with pytest.raises(PixelarmError, match=said):  # a refusal leaves what the owner said, and the lock
        Claim(tmp_path / "run")
    held.release()
    with Claim(tmp_path / "run", "recording") as mine, pytest.raises(PixelarmError, match="recording since"):
        assert mine.folder == tmp_path / "run"
        Claim(tmp_path / "run")
    Claim(tmp_path / "run").release()


HOLD = """
import sys, time
from pathlib import Path
from robot.files import Claim
claim = Claim(Path(sys.argv[1]), "training")
{more}
print("held", flush=True)
time.sleep(60)
"""


def holder(folder: Path, more: str = "") -> subprocess.Popen[str]:
    """Another process that has claimed the folder."""
    command = [sys.executable, "-c", HOLD.format(more=more), str(folder)]
    child = subprocess.Popen(command, cwd=Path(files.__file__).parent.parent, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None and child.stdout.readline() == "held\n"
    return child


def test_a_killed_owner_leaves_no_lock(tmp_path: Path) -> None:
    child = holder(tmp_path)
    with pytest.raises(PixelarmError, match=f"process {child.pid} on"):
        Claim(tmp_path)
    child.send_signal(signal.SIGKILL)
    child.wait()
    Claim(tmp_path).release()


FORK = """
import os
runs, ready = os.pipe()
if (worker := os.fork()) == 0:
    os.write(ready, b"!")  # what it does first after a fork is done
    time.sleep(60)
os.read(runs, 1)
Path({file!r}).write_text(str(worker))
"""


def test_a_forked_worker_does_not_hold_its_parents_folder(tmp_path: Path) -> None:
    """Nor does it take the folder from a parent that lives."""
    child = holder(tmp_path, FORK.format(file=str(tmp_path / "worker")))
    worker = int((tmp_path / "worker").read_text())
    try:
        with pytest.raises(PixelarmError, match=f"process {child.pid} on"):
            Claim(tmp_path)
        child.kill()
        child.wait()
        os.kill(worker, 0)  # it lives
        Claim(tmp_path).release()
    finally:
        os.kill(worker, signal.SIGKILL)


def test_where_nothing_can_be_locked_nobody_is_kept_out_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unable(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(files.fcntl, "flock", unable)
    Claim(tmp_path)
    Claim(tmp_path)
    assert capsys.readouterr().err.count(f"{tmp_path} cannot be locked (No locks available)") == 2


# -------------------------------------------------------------------------------------------------- places to write to
def test_a_place_that_takes_files_is_made_and_left_empty(tmp_path: Path) -> None:
    require_folder(tmp_path / "a" / "b")
    require_file(tmp_path / "c" / "result.json")
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a", "b", "c"]


def test_a_place_below_a_file_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "FILE").write_text("")
    with pytest.raises(
        PixelarmError, match=re.escape(f"nothing can be written into {tmp_path}/FILE/x: Not a directory")
    ):
        require_folder(tmp_path / "FILE" / "x")
    with pytest.raises(PixelarmError, match="FILE: File exists; choose another place"):
        require_file(tmp_path / "FILE" / "result.json")
    with pytest.raises(PixelarmError, match="is a folder, and a file is to be written there"):
        require_file(tmp_path)


def test_a_full_disk_is_found_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def __enter__(self) -> Full:
            return self

        def __exit__(self, *_: object) -> None: ...

        def write(self, data: bytes) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    def trial(**_: Any) -> Full:
        return Full()

    monkeypatch.setattr(files.tempfile, "TemporaryFile", trial)
    with pytest.raises(PixelarmError, match="nothing can be written into .*: No space left on device"):
        require_folder(tmp_path)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Any:
    """A file system of 64 kB, where one may mount it."""
    place = tmp_path / "tiny"
    place.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(place)]).returncode:
        pytest.skip("a file system can only be mounted by root")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_disk_that_is_full_or_read_only_is_refused(tiny_disk: Path) -> None:
    require_folder(tiny_disk)
    (tiny_disk / "much").write_bytes(bytes(64 * 1024))
    with pytest.raises(PixelarmError, match="No space left on device"):
        require_folder(tiny_disk)
    (tiny_disk / "much").unlink()
    subprocess.run(["mount", "-o", "remount,ro", str(tiny_disk)], check=True)
    with pytest.raises(PixelarmError, match="Read-only file system"):
        require_folder(tiny_disk)


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


def test_a_claim_on_which_nothing_was_done_leaves_no_trace(tmp_path):
    with pytest.raises(PixelarmError, match="refused"), Claim(tmp_path / "new", "training"):
        raise PixelarmError("refused")
    assert not (tmp_path / "new").exists()
    with pytest.raises(PixelarmError), Claim(tmp_path / "used", "training"):
        (tmp_path / "used" / "metrics.jsonl").write_text("{}")
        raise PixelarmError("refused")
    assert (tmp_path / "used" / "metrics.jsonl").exists()
