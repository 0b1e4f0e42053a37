"""Logs of episodes: what is in one can be had back, as far as it is whole, however its recorder died."""

from __future__ import annotations

import errno
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robot import cli
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
    assert "5 steps, 0.5 s, it was cut off, so it counts as no success" in words and not left_over(tmp_path)
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
    lost = read_log(made.path).damaged
    (words,) = recover(tmp_path)
    assert f"{kept} steps, " in words and f"lost: its last {lost} bytes" in words
    assert len(read_dataset(tmp_path / "recovered")[0]) == kept
    (copy,) = (tmp_path / ".recording").iterdir()  # what we cannot read is not thrown away
    assert copy.name == made.path.name + ".damaged" and copy.read_bytes() == bytes(data) and not left_over(tmp_path)


def test_what_holds_nothing_is_said_and_what_cannot_be_read_is_put_away(tmp_path: Path) -> None:
    made = written(tmp_path, 0)
    made.close()
    damaged = written(tmp_path, 5)
    damaged.close()
    damaged.path.with_name("0.log").touch()  # killed before its first record
    data = bytearray(damaged.path.read_bytes())
    data[40] ^= 1  # in the header: not even the contract is known
    damaged.path.write_bytes(bytes(data))
    words = "\n".join(recover(tmp_path))
    assert "no step was in it" in words and "nothing in it could be read" in words
    assert "nothing had been written into it" in words
    assert not left_over(tmp_path)
    assert damaged.path.with_name(damaged.path.name + ".damaged").read_bytes() == bytes(data)


def test_nothing_is_recovered_where_somebody_records(tmp_path: Path) -> None:
    with Recorder(tmp_path, contract(), {}):
        made = written(tmp_path, 2)
        made.close()
        with pytest.raises(PixelarmError, match="is in use by"):
            recover(tmp_path)
        assert left_over(tmp_path) == [made.path]


def test_a_log_that_may_be_alive_is_left_alone_where_nothing_can_be_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("robot.files.fcntl.flock", refuse)
    made = written(tmp_path, 2)
    made.close()
    (words,) = recover(tmp_path)
    assert "left alone" in words and left_over(tmp_path) == [made.path]
    os.utime(made.path, (1e9, 1e9))
    recover(tmp_path)
    assert len(read_dataset(tmp_path / "recovered")) == 1


def test_a_disk_that_does_not_keep_up_ends_the_episode_and_nobody_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What fitted into the queue is kept, in order; what came after is refused, to the last step."""
    go, record = threading.Event(), log_module.record

    def hang(kind: int, payload: bytes) -> bytes:
        go.wait(10.0)
        return record(kind, payload)

    monkeypatch.setattr(log_module, "record", hang)
    made = written(tmp_path, log_module.MOST_WAITING + 50)
    assert "the disk does not keep up" in made.failure
    assert not made.step(np.zeros(4), seen(1), 10**12)
    go.set()
    made.end("success", {})
    kept = read_log(made.path)
    assert kept.outcome == "success" and log_module.MOST_WAITING - 3 <= len(kept.actions) <= log_module.MOST_WAITING
    assert [round(100 * float(action[0])) for action in kept.actions] == list(range(1, len(kept.actions) + 1))


def test_a_full_disk_ends_the_episode_and_what_is_on_it_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk takes the first half of step 4 and no more."""
    whole, records = log_module._write_whole, 0

    def fills(file: Any, data: bytes) -> None:
        nonlocal records
        records += 1
        if records == 7:  # magic, header, first, three steps
            whole(file, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        whole(file, data)

    monkeypatch.setattr(log_module, "_write_whole", fills)
    made = written(tmp_path, 10)
    made.end("success", {})
    assert made.failure == "the disk is full"
    found = read_log(made.path)
    assert len(found.actions) == 3 and found.damaged > 0 and not found.outcome


RECORDER = """
import sys, time
sys.path.insert(0, {tests!r})
from pathlib import Path
from test_log import contract, seen
from robot.dataset.episodes import Recorder
from robot.dataset.log import EpisodeLog, read_log
from robot.dataset.recover import episode_of
import numpy as np
folder = Path(sys.argv[1])
recorder = Recorder(folder, contract(), dict(), append=True)
for length in [20, 20, 600] * 1000:
    log = EpisodeLog(folder, contract(), dict())
    log.first(seen(0), time.time_ns())
    for n in range(1, length + 1):
        time.sleep(0.004)
        now = time.time_ns()
        log.step(np.full(4, n / 1000), seen(n), now)
        print("step", log.name, n, now, flush=True)
    log.end("success", dict())
    print("said", log.name, length, 0, flush=True)
    recorder.keep(episode_of(read_log(log.path)))
    log.remove()
"""


def shot(folder: Path, after_s: float) -> tuple[list[list[str]], int]:
    """A recorder that is killed so long after its first step: what it said, and when it was killed (ns)."""
    script = RECORDER.format(tests=str(Path(__file__).parent))
    process = subprocess.Popen([sys.executable, "-c", script, str(folder)], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    lines = [process.stdout.readline()]
    time.sleep(after_s)
    killed_ns = time.time_ns()
    process.send_signal(signal.SIGKILL)
    lines += process.stdout.read().splitlines()
    process.wait()
    return [line.split() for line in lines if len(line.split()) == 4], killed_ns


def check_kills(folder: Path, count: int) -> None:
    ended: set[str] = set()
    rng = random.Random(0)
    for _ in range(count):
        lines, killed_ns = shot(folder, rng.uniform(0.0, 2.4))
        said = {line[1] for line in lines if line[0] == "said"}
        ended |= said
        before = {path: path.read_bytes() for path in folder.rglob("episode_*")}
        words = recover(folder)
        assert all(path.read_bytes() == data for path, data in before.items())
        assert not left_over(folder)
        late = killed_ns - 10**9
        going = [line for line in lines if line[0] == "step" and line[1] not in said and int(line[3]) < late]
        if going:  # what was done more than a second before the shot is kept, and that is said
            (word,) = (word for word in words if going[-1][1] in word)
            kept = re.search(r"(\d+) steps, ", word)
            assert kept and int(kept[1]) >= int(going[-1][2])
    finished = read_dataset(folder) if list(folder.glob("episode_*")) else []
    names = [episode.provenance["log"] for episode in finished]
    assert ended <= set(names) and len(set(names)) == len(names)  # none lost, none twice
    cut = read_dataset(folder / "recovered") if (folder / "recovered").is_dir() else []
    for episode in [*finished, *cut]:
        assert episode.success != bool(episode.provenance.get("truncated"))
        assert not episode.success or len(episode) in (20, 600)
        assert episode.actions[:, 0] == pytest.approx(np.arange(1, len(episode) + 1) / 1000)
    assert main([str(folder)]) == 0


@pytest.mark.slow
def test_a_recorder_that_is_killed_loses_no_finished_episode(tmp_path: Path) -> None:
    check_kills(tmp_path, 3)


@pytest.mark.thorough
def test_a_recorder_that_is_killed_a_hundred_times_loses_no_finished_episode(tmp_path: Path) -> None:
    check_kills(tmp_path, 100)


def test_what_comes_is_flushed_within_a_second_also_when_nothing_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut loses what was not flushed: after the last step nobody writes, and it is flushed all the same."""
    monkeypatch.setattr(log_module, "SYNC_S", 0.2)
    sizes: list[int] = []
    flush = os.fdatasync
    monkeypatch.setattr(log_module.os, "fdatasync", lambda f: (sizes.append(os.fstat(f).st_size), flush(f)))
    made = written(tmp_path, 30)
    end = time.monotonic() + 30.0
    while not sizes or sizes[-1] < made.path.stat().st_size or len(read_log(made.path).actions) < 30:
        assert time.monotonic() < end
        time.sleep(0.01)
    made.remove()
    assert not left_over(tmp_path)


def test_the_command_says_what_it_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path, 4).close()
    assert cli.main(["data", "recover", str(tmp_path)]) == 0
    assert "4 steps" in capsys.readouterr().out
    assert cli.main(["data", "recover", str(tmp_path)]) == 0
    assert "no recorder has left anything there" in capsys.readouterr().out
    assert cli.main(["data", "recover", str(tmp_path / "nothing")]) == 2
    assert "is not a folder" in capsys.readouterr().err


def test_the_command_needs_no_simulator(tmp_path: Path) -> None:
    written(tmp_path, 4).close()
    hide = "import sys; sys.modules.update(dict.fromkeys(['mujoco', 'torch', 'tqdm', 'sim', 'PIL']))"
    script = f"{hide}; from robot.cli import main; sys.exit(main(['data', 'recover', {str(tmp_path)!r}]))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "4 steps" in done.stdout, done.stderr
