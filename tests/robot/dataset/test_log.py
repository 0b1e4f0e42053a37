"""Logs of episodes: what is in one can be had back, as far as it is whole, however its recorder died."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from robot.contract import Action, Camera, Contract, Proprio
from robot.dataset import log as log_module
from robot.dataset.command import main
from robot.dataset.episodes import Recorder, read_dataset
from robot.dataset.log import EpisodeLog, left_over, read_log
from robot.dataset.recover import recover
from robot.errors import PixelarmError

ROOT = Path(__file__).resolve().parents[3]


def contract() -> Contract:
    return Contract(
        task="trial", cameras=(Camera("front", 8, 6),), proprio=(Proprio("eef_pos", 3, "m", "base"),),
        action=Action("eef_delta_position", ("dx", "dy", "dz", "gripper"), ("m", "m", "m", "1"),
                      (-0.04, -0.04, -0.04, -1), (0.04, 0.04, 0.04, 1)),
        rate_hz=10, deadline_ms=80, max_age_ms=100,
    )  # fmt: skip


def seen(number: int) -> dict[str, np.ndarray]:
    return {"front": np.full((8, 6, 3), number % 256, np.uint8), "eef_pos": np.full(3, number, np.float32)}


def written(folder: Path, steps: int) -> EpisodeLog:
    """An episode that is going on: observation n came at n tenths of a second, after action n / 100."""
    made = EpisodeLog(folder, contract(), {"operator": "hand"})
    made.first(seen(0), 0)
    for number in range(1, steps + 1):
        made.step(np.full(4, number / 100), seen(number), number * 10**8)
    return made


def test_what_was_cut_off_becomes_an_episode_that_nobody_learns_from_by_accident(tmp_path: Path) -> None:
    made = written(tmp_path, 5)
    made.close()
    (words,) = recover(tmp_path)
    assert "5 steps, it was cut off, so it counts as no success" in words and not left_over(tmp_path)
    assert not list(tmp_path.glob("episode_*"))
    (episode,) = read_dataset(tmp_path / "recovered", contract())
    assert episode.actions[:, 0] == pytest.approx([0.01, 0.02, 0.03, 0.04, 0.05])
    assert episode.observations["eef_pos"][:, 0].tolist() == [0, 1, 2, 3, 4, 5]
    assert episode.observations["front"][:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4, 5]
    assert episode.provenance["truncated"] is True and episode.provenance["operator"] == "hand"
    assert not episode.success and not episode.terminated.any()


@pytest.mark.parametrize(("outcome", "folder"), [("success", "."), ("failure", "failures")])
def test_an_outcome_that_was_said_counts(tmp_path: Path, outcome: str, folder: str) -> None:
    """Killed between the operator's word and the file: it joins the others there."""
    with Recorder(tmp_path, contract(), {}) as recorder:
        recorder.start(seen(0), 0)
        recorder.add(np.zeros(4), 1.0, True, seen(1), 10**8)
        recorder.end(success=True)
    written(tmp_path, 3).end(outcome, {"gaps": 2})
    recover(tmp_path)
    episode = read_dataset(tmp_path / folder)[-1]
    assert episode.success == (outcome == "success") and episode.terminated.tolist() == [False, False, episode.success]
    assert episode.provenance["gaps"] == 2 and "truncated" not in episode.provenance
    assert len(read_dataset(tmp_path)) == (2 if outcome == "success" else 1)


def test_an_episode_that_was_written_already_is_not_written_twice(tmp_path: Path) -> None:
    made = written(tmp_path, 3)
    made.end("success", {})
    data = made.path.read_bytes()
    recover(tmp_path)
    made.path.write_bytes(data)  # killed before the log was removed
    (words,) = recover(tmp_path)
    assert "its episode is in" in words and len(read_dataset(tmp_path)) == 1 and not left_over(tmp_path)


def test_a_rest_is_left_out(tmp_path: Path) -> None:
    made = written(tmp_path, 2)
    made.later(seen(9), 9 * 10**8)
    made.step(np.zeros(4), seen(10), 10**9)
    made.close()
    assert [o["eef_pos"][0] for o in read_log(made.path).observations] == [0, 1, 9, 10]


@pytest.mark.parametrize("how", ["torn", "damaged"])
def test_what_lies_before_the_damage_is_kept(tmp_path: Path, how: str) -> None:
    made = written(tmp_path, 6)
    made.close()
    data = bytearray(made.path.read_bytes())
    at = 5 * len(data) // 6
    if how == "torn":
        del data[at:]
    else:
        data[at] ^= 0x40
    made.path.write_bytes(bytes(data))
    kept = len(read_log(made.path).actions)
    assert 1 <= kept < 6
    (words,) = recover(tmp_path)
    assert f"{kept} steps; the last " in words and "bytes were torn or damaged" in words
    assert len(read_dataset(tmp_path / "recovered")[0]) == kept


def test_what_holds_nothing_is_said_and_removed(tmp_path: Path) -> None:
    made = written(tmp_path, 0)
    made.close()
    (left_over(tmp_path)[0].parent / "other.log").write_bytes(b"something else")
    words = "\n".join(recover(tmp_path))
    assert "no step was in it" in words and "nothing in it could be kept" in words
    assert not left_over(tmp_path)


def test_nothing_is_recovered_where_somebody_records(tmp_path: Path) -> None:
    with Recorder(tmp_path, contract(), {}):
        with pytest.raises(PixelarmError, match="is in use by"):
            recover(tmp_path)


def test_a_disk_that_does_not_keep_up_is_said_and_nobody_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "record", lambda kind, payload: time.sleep(0.2) or b"")
    start = time.monotonic()
    made = written(tmp_path, log_module.MOST_WAITING + 50)
    assert time.monotonic() - start < 5.0  # 250 records of 0.2 s each would be 50 s
    assert "the disk does not keep up" in made.failure
    monkeypatch.undo()
    made._waiting.queue.clear()
    made.remove()


def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(log_module.os, "fdatasync", full)
    made = written(tmp_path, 3)
    made.close()
    words = "the log of this episode cannot be written (No space left on device): a power cut would lose it"
    assert made.failure == words


RECORDER = """
import sys, time
sys.path.insert(0, {tests!r})
from pathlib import Path
from test_log import contract, seen
from robot.dataset.episodes import Recorder
from robot.dataset.log import EpisodeLog
import numpy as np
folder = Path(sys.argv[1])
recorder = Recorder(folder, contract(), dict(), append=True)
for episode in range(1000):
    log = EpisodeLog(folder, contract(), dict())
    log.first(seen(0), 0)
    recorder.start(seen(0), 0, dict(log=log.name))
    for n in range(1, 21):
        log.step(np.full(4, n / 100), seen(n), n * 10**8)
        recorder.add(np.full(4, n / 100), float(n == 20), n == 20, seen(n), n * 10**8)
        print("step", flush=True)
        time.sleep(0.004)
    log.end("success", dict(log=log.name))
    print("said", log.name, flush=True)
    recorder.end(success=True)
    log.remove()
"""


def shot(folder: Path, after_s: float) -> tuple[int, int]:
    """A recorder that is killed: how many episodes it said were done, and the steps since then."""
    script = RECORDER.format(tests=str(Path(__file__).parent))
    process = subprocess.Popen([sys.executable, "-c", script, str(folder)], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    lines = [process.stdout.readline()]
    time.sleep(after_s)
    process.send_signal(signal.SIGKILL)
    lines += process.stdout.read().splitlines()
    process.wait()
    said = [number for number, line in enumerate(lines) if line.startswith("said")]
    return len(said), len(lines) - (said[-1] + 1 if said else 0)


def check_kills(folder: Path, count: int) -> None:
    done, rng = 0, random.Random(0)
    for _ in range(count):
        said, _ = shot(folder, rng.uniform(0.0, 0.4))
        done += said
        before = {path.name: path.stat().st_size for path in folder.glob("episode_*")}
        recover(folder)
        assert all(size == (folder / name).stat().st_size for name, size in before.items())
        assert not left_over(folder)
    finished = read_dataset(folder) if list(folder.glob("episode_*")) else []
    assert done <= len(finished) <= done + count  # the shot may come between the word and the line that says it
    for episode in finished:
        assert len(episode) == 20 and episode.success
        assert episode.actions[:, 0] == pytest.approx(np.arange(1, 21) / 100)
    assert main([str(folder)]) == 0


@pytest.mark.slow
def test_a_recorder_that_is_killed_loses_no_finished_episode(tmp_path: Path) -> None:
    check_kills(tmp_path, 6)


@pytest.mark.thorough
def test_a_recorder_that_is_killed_a_hundred_times_loses_no_finished_episode(tmp_path: Path) -> None:
    check_kills(tmp_path, 100)


def test_of_an_episode_that_was_going_on_a_second_is_lost_at_most(tmp_path: Path) -> None:
    """A killed process loses what still waits to be written; a power cut what was not yet flushed, a second of it."""
    made = written(tmp_path, 30)
    end = time.monotonic() + log_module.SYNC_S
    while len(read_log(made.path).actions) < 30:
        assert time.monotonic() < end
        time.sleep(0.01)
    made.remove()


def test_the_command_says_what_it_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path, 4).close()
    assert main([str(tmp_path), "--recover"]) == 0
    assert "4 steps" in capsys.readouterr().out
    assert main([str(tmp_path), "--recover"]) == 0
    assert "no recorder has left anything there" in capsys.readouterr().out
    with pytest.raises(PixelarmError, match="is not a folder"):
        main([str(tmp_path / "nothing"), "--recover"])
