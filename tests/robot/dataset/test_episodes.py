"""Episodes on disk: whole or not at all, readable by robomimic's layout,
and refused in words when they are not right.
"""

import errno
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time

import h5py
import numpy as np
import pytest

from robot import files
from robot.contract import Action, Camera, Contract, Proprio
from robot.dataset import command as episodes_cli
from robot.dataset import recording
from robot.dataset.episodes import Recorder, episode_files, read_dataset, read_episode, read_headers, write_index
from robot.errors import ContractMismatch, DatasetError, PixelarmError, StrayEpisodes


def make_contract(size: int = 8, task: str = "tiny") -> Contract:
    return Contract(
        task=task, cameras=(Camera("front", size, size),), proprio=(Proprio("eef_pos", 3, "m", "base"),),
        action=Action("eef_delta_position", ("dx", "dy", "dz", "gripper"), ("m", "m", "m", "1"), (-1,) * 4, (1,) * 4),
        rate_hz=10, deadline_ms=80, max_age_ms=100,
    )  # fmt: skip


def observe(number: int, size: int = 8) -> dict[str, np.ndarray]:
    return {"front": np.full((size, size, 3), number, np.uint8), "eef_pos": np.full(3, number, np.float32)}


def record(recorder: Recorder, steps: int = 4) -> None:
    recorder.start(observe(0), 0, {"seed": 3})
    for step in range(1, steps + 1):
        recorder.add(np.full(4, step / 10), float(step == steps), step == steps, observe(step), step * 100_000_000)
    recorder.end(success=True)


def add_stray(dataset):
    """An episode of another task, copied into the folder as its third."""
    with Recorder(dataset.parent / "others", make_contract(task="other"), {}) as recorder:
        record(recorder)
    shutil.copy(dataset.parent / "others" / "episode_000000.hdf5", dataset / "episode_000002.hdf5")


def truncate(file):
    file.write_bytes(file.read_bytes()[:-2000])


@pytest.fixture
def dataset(tmp_path):
    with Recorder(tmp_path / "demos", make_contract(), {"device": "test"}) as recorder:
        record(recorder)
        record(recorder, steps=6)
    return tmp_path / "demos"


def test_what_was_recorded_is_read_back(dataset):
    first, second = read_dataset(dataset, make_contract())
    assert (len(first), len(second)) == (4, 6) and first.success and first.provenance == {"device": "test", "seed": 3}
    assert np.array_equal(first.observations["eef_pos"][:, 0], [0, 1, 2, 3, 4])
    assert np.array_equal(first.observation(4)["front"], observe(4)["front"])
    assert np.allclose(first.actions[:, 0], [0.1, 0.2, 0.3, 0.4]) and first.terminated.tolist() == [False] * 3 + [True]


def test_the_index_is_robomimics_layout(dataset):
    with h5py.File(dataset / "dataset.hdf5") as file:
        data = file["data"]
        assert sorted(data) == ["demo_0", "demo_1"] and data.attrs["total"] == 10
        demo = data["demo_1"]
        assert (
            demo.attrs["num_samples"] == 6
            and demo["actions"].shape == (6, 4)
            and demo["obs/front"].shape == (6, 8, 8, 3)
        )
        assert demo["dones"][()].tolist() == [0] * 5 + [1]
        assert json.loads(data.attrs["env_args"])["env_name"] == "tiny"


def test_a_folder_is_not_recorded_over_but_can_be_continued(dataset):
    with pytest.raises(DatasetError, match="holds 2 episodes already"):
        Recorder(dataset, make_contract(), {})
    with Recorder(dataset, make_contract(), {}, append=True) as recorder:
        record(recorder)
    assert len(read_dataset(dataset)) == 3
    with pytest.raises(ContractMismatch, match="cameras.front.height: 9 here, 8 there"):
        Recorder(dataset, make_contract(size=9), {}, append=True)


def test_a_truncated_file_is_named(dataset):
    truncate(episode_files(dataset)[1])
    with pytest.raises(StrayEpisodes, match="episode_000001.hdf5 is not a readable HDF5 file") as refused:
        read_dataset(dataset)
    assert f"move episode_000001.hdf5 out of {dataset}, then" in str(refused.value)
    truncate(episode_files(dataset)[0])
    with pytest.raises(DatasetError, match="no episode of .* can be used") as refused:
        read_dataset(dataset)
    assert "move" not in str(refused.value)  # there would be nothing left


def test_an_episode_of_another_task_is_named_and_not_indexed(dataset, capsys):
    add_stray(dataset)
    for read in (read_dataset, read_headers, write_index):
        with pytest.raises(
            StrayEpisodes, match="episode_000002.hdf5 has another contract.*: task: 'tiny' here, 'other'"
        ):
            read(dataset)
    assert episodes_cli.main([str(dataset), "--reindex"]) == 1
    said = capsys.readouterr().out
    assert "2 of 3 episodes are good, 10 steps" in said and "wrote" not in said
    assert "task: 'tiny' here, 'other' there" in said
    assert f"move episode_000002.hdf5 out of {dataset}, then write the index anew" in said
    (dataset / "episode_000002.hdf5").unlink()
    assert episodes_cli.main([str(dataset), "--reindex"]) == 0
    assert "2 of 2 episodes are good, 10 steps" in capsys.readouterr().out


def test_what_most_episodes_are_is_the_dataset_wherever_the_stray_lies(dataset):
    add_stray(dataset)
    first, stray = episode_files(dataset)[0], episode_files(dataset)[2]
    kept = first.read_bytes()
    first.write_bytes(stray.read_bytes())
    stray.write_bytes(kept)
    with pytest.raises(StrayEpisodes, match="move episode_000000.hdf5 out of"):
        read_dataset(dataset)


@pytest.mark.parametrize("spoil", [lambda dataset: truncate(episode_files(dataset)[1]), add_stray])
def test_nothing_is_appended_beside_an_episode_that_does_not_belong(dataset, spoil):
    """Refused before the first step, so that nothing is recorded in vain."""
    spoil(dataset)
    before = episode_files(dataset)
    with pytest.raises(StrayEpisodes, match=r"move episode_00000[12].hdf5 out of"):
        Recorder(dataset, make_contract(), {}, append=True)
    assert episode_files(dataset) == before


def test_how_episodes_are_recorded_must_agree_within_a_dataset(tmp_path, capsys):
    def recorder(**how):
        return Recorder(tmp_path, make_contract(), {"recording": how} if how else {}, append=True)

    for how in ({"look": "plain", "renderer": "opengl", "delay": (0, 5)}, {"look": "plain", "renderer": "raycast"}, {}):
        with recorder(**how) as made:  # another renderer does no harm, and an older recorder says nothing
            record(made)
    with pytest.raises(DatasetError, match="look: 'textured' here, 'plain' there(.|\n)*append with the same options"):
        recorder(look="textured")
    with pytest.raises(DatasetError, match=r"delay: \[0, 9\] here, \[0, 5\] there"):
        recorder(delay=[0, 9])
    assert episodes_cli.main([str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "recorded with delay [0, 5], look plain, renderer opengl" in said
    assert (
        "episode_000001.hdf5 (there) was recorded in another way than the first (here): renderer: 'opengl' here" in said
    )


def test_simulations_from_before_drew_pictures_directly_and_arms_say_nothing_of_it() -> None:
    camera = {"front": {"size": [640, 480]}}
    fitted = {"look": "plain", "cameras": camera}
    assert recording.differences(fitted, {"look": "plain"}) == {"cameras": (camera, {})}
    assert recording.differences(fitted, {"operator": "me"}) == {}


def test_a_dataset_has_one_recorder_at_a_time(dataset):
    with Recorder(dataset, make_contract(), {}, append=True) as recorder:
        with pytest.raises(PixelarmError, match="demos is in use by process .*, recording since"):
            Recorder(dataset, make_contract(), {}, append=True)
        record(recorder)
    Recorder(dataset, make_contract(), {}, append=True)  # the one before has ended


def test_what_a_killed_recorder_left_unfinished_is_removed(dataset, monkeypatch, capsys):
    left = dataset / ".partial-abc.hdf5"
    left.write_bytes(b"half")
    monkeypatch.setattr(fcntl, "flock", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOLCK, "no locks")))
    Recorder(dataset, make_contract(), {}, append=True)  # a file system that cannot lock: somebody may be writing it
    assert left.exists() and "if nobody is writing there, remove them: .partial-abc.hdf5" in capsys.readouterr().out
    monkeypatch.undo()
    Recorder(dataset, make_contract(), {}, append=True)
    assert not left.exists() and ".partial-abc.hdf5" in capsys.readouterr().out


def test_a_foreign_file_is_named(tmp_path):
    with h5py.File(tmp_path / "episode_000000.hdf5", "w") as file:
        file["data/demo_0/actions"] = np.zeros((3, 7))
    with pytest.raises(DatasetError, match="not a pixelarm episode: its layout is None"):
        read_episode(tmp_path / "episode_000000.hdf5")
    (tmp_path / "episode_000001.hdf5").write_text("hello")
    with pytest.raises(DatasetError, match="not a readable HDF5 file"):
        read_episode(tmp_path / "episode_000001.hdf5")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (
            lambda demo: demo["actions"].write_direct(np.full((4, 4), np.nan, np.float32)),
            "actions holds numbers that are not finite",
        ),
        (lambda demo: demo.__delitem__("rewards"), "not a pixelarm episode"),
        (lambda demo: demo["stamps"].write_direct(np.zeros(5, np.int64)), "stamps do not increase"),
    ],
)
def test_an_altered_episode_is_refused(dataset, damage, words):
    file = episode_files(dataset)[0]
    with h5py.File(file, "a") as opened:
        damage(opened["data/demo_0"])
    with pytest.raises(DatasetError, match=words):
        read_episode(file)


def test_an_altered_contract_is_refused(dataset):
    file = episode_files(dataset)[0]
    with h5py.File(file, "a") as opened:
        opened["data"].attrs["contract"] = (
            opened["data"].attrs["contract"].replace('"rate_hz": 10.0', '"rate_hz": 20.0')
        )
    with pytest.raises(DatasetError, match="contract was altered"):
        read_episode(file)


def test_another_contract_is_named_in_words(dataset):
    with pytest.raises(ContractMismatch, match="cameras.front.width: 9 here, 8 there"):
        read_dataset(dataset, make_contract(size=9))


def test_no_dataset_says_what_to_do(tmp_path):
    with pytest.raises(DatasetError, match="no such folder.*pixelarm collect"):
        read_dataset(tmp_path / "nothing")
    with pytest.raises(DatasetError, match=r"no episode_\*.hdf5"):
        read_dataset(tmp_path)


def test_a_wrong_observation_is_refused_while_recording(tmp_path):
    recorder = Recorder(tmp_path / "d", make_contract(), {})
    with pytest.raises(ContractMismatch, match=r"'front' must be \(8, 8, 3\) uint8, got \(9, 9, 3\)"):
        recorder.start(observe(0, size=9), 0)


def test_a_full_disk_loses_only_the_episode_in_progress(dataset, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    recorder = Recorder(dataset, make_contract(), {}, append=True)
    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(DatasetError, match="disk is full.*written before is whole"):
        record(recorder)
    monkeypatch.undo()
    assert len(read_dataset(dataset)) == 2 and not list(dataset.glob(".partial*"))


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 300 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "none", str(disk)]
    if os.geteuid() != 0 or shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root may mount a small disk")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_that_is_really_full_is_said_in_words(small_disk):
    """HDF5 ends a process with a segmentation fault when it closes a file that the disk has no room for."""
    done = subprocess.run(
        [sys.executable, "-c", recording_forever(small_disk / "demos", noise=True)],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 1 and "DatasetError: the disk is full" in done.stderr.splitlines()[-1], done.stderr[
        -2000:
    ]
    found = read_dataset(small_disk / "demos")
    assert len(found) == done.stdout.count("x") >= 2 and not list(small_disk.glob("demos/.partial*"))


def test_leaving_with_an_open_episode_says_what_is_lost(dataset, capsys):
    with Recorder(dataset, make_contract(), {}, append=True) as recorder:
        recorder.start(observe(0), 0)
        recorder.add(np.zeros(4), 0.0, False, observe(1), 1)
    assert "the episode in progress (1 steps) is not kept; 2 episodes are safe" in capsys.readouterr().out


def recording_forever(folder, noise: bool = False) -> str:
    """A script that records episodes of 30 steps and prints an x for each; with images of noise they have 60 kB."""
    return textwrap.dedent(f"""
        import sys; sys.path[:0] = {[os.getcwd(), os.path.dirname(__file__)]!r}
        import numpy as np
        import test_episodes
        from test_episodes import Recorder, make_contract, record
        if {noise}:
            random = np.random.default_rng(0)
            frame = lambda: random.integers(0, 256, (26, 26, 3), np.uint8)
            test_episodes.observe = lambda number: {{"front": frame(), "eef_pos": np.zeros(3, np.float32)}}
        recorder = Recorder({str(folder)!r}, make_contract(26 if {noise} else 8), {{}})
        while True:
            record(recorder, steps=30)
            print("x", flush=True)
    """)


def test_a_killed_recorder_leaves_whole_episodes(tmp_path):
    """A recorder that is shot at an arbitrary moment leaves files that all read back."""
    process = subprocess.Popen([sys.executable, "-c", recording_forever(tmp_path / "demos")], stdout=subprocess.PIPE)
    for _ in range(5):
        process.stdout.readline()
    time.sleep(0.013)
    process.send_signal(signal.SIGKILL)
    process.wait()
    found = [read_episode(file) for file in episode_files(tmp_path / "demos")]
    assert len(found) >= 5 and all(len(e) == 30 for e in found)
    write_index(tmp_path / "demos")
    with h5py.File(tmp_path / "demos" / "dataset.hdf5") as file:
        assert len(file["data"]) == len(found)
