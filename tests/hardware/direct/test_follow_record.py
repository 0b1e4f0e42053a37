"""`pixelarm so101 follow --record`: what a hand does with a leader becomes a dataset that learners read."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hardware.commands import so101, so101_record, so101_run
from hardware.feetech import servos
from hardware.feetech.emulated.bus import EmulatedBus
from robot import cli
from robot.contract import Action, Camera, Contract, Proprio
from robot.dataset import acting
from robot.dataset.episodes import Episode, read_dataset
from robot.errors import PixelarmError

pytestmark = pytest.mark.serial  # two arms in real time
JOINTS = tuple("12345")


def contract(kind: str = "joint_position", cameras: tuple[Camera, ...] = ()) -> Contract:
    action = Action(kind, (*JOINTS, "gripper"), ("rad",) * 5 + ("1",), (-3.0,) * 5 + (-1.0,), (3.0,) * 5 + (1.0,))
    if kind == "eef_delta_pose":
        names = ("dx", "dy", "dz", "rx", "ry", "rz", "gripper")
        action = Action(kind, names, ("m",) * 3 + ("rad",) * 3 + ("1",), (-0.1,) * 6 + (-1.0,), (0.1,) * 6 + (1.0,))
    proprio = [Proprio("joint_pos", 5, "rad", "joint"), Proprio("gripper_opening", 1, "m", "gripper")]
    proprio += [Proprio("eef_pos", 3, "m", "base"), Proprio("eef_quat", 4, "1", "base")]
    return Contract(
        task="by hand", arm="so101", cameras=cameras, proprio=tuple(proprio), action=action, rate_hz=10, deadline_ms=80,
        max_age_ms=100,
    )  # fmt: skip


class Device:
    """A camera whose pictures become brighter."""

    def __init__(self, name: str, device: str, size: Any = None, fps: float = 0.0) -> None:
        self._ended = threading.Event()

    def start(self, heard: Callable[[np.ndarray, int], None], lost: Callable[[str], None]) -> None:
        def run() -> None:
            shade = 0
            while not self._ended.wait(0.05):
                shade += 1
                heard(np.full((24, 32, 3), 40 + shade % 200, np.uint8), time.time_ns())

        threading.Thread(target=run, daemon=True).start()

    def stop(self) -> None:
        self._ended.set()


def followed(folder: Path, made: Contract, monkeypatch: pytest.MonkeyPatch, *options: str) -> Episode:
    """A hand turns the leader's base by a quarter of a turn within 1.5 s, then closes the gripper, and types 1."""
    (folder / "contract.yaml").write_text(made.to_yaml())
    typed: list[str] = []
    runs, done = threading.Event(), threading.Event()
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)

    @contextmanager
    def keys() -> Iterator[Callable[[float], str]]:
        def read(seconds: float) -> str:
            runs.set()
            if done.is_set():
                raise KeyboardInterrupt
            if typed:
                done.set()
            return typed.pop() if typed else ""

        yield read

    monkeypatch.setattr(so101_record, "typed_keys", keys)
    monkeypatch.setattr(so101_run, "UsbCamera", Device)
    with EmulatedBus() as leader, EmulatedBus() as follower:

        def hand() -> None:
            runs.wait()
            time.sleep(0.5)
            pan, gripper = leader.servos["shoulder_pan"], leader.servos["gripper"]
            start, grip = pan.get(servos.PRESENT_POSITION), gripper.get(servos.PRESENT_POSITION)
            for n in range(30):
                pan.by_hand(start + 1024 * (n + 1) / 30)
                time.sleep(0.05)
            for n in range(10):
                gripper.by_hand(grip - 40 * (n + 1))
                time.sleep(0.05)
            time.sleep(1.0)  # a pause
            typed.append("1")

        thread = threading.Thread(target=hand, daemon=True)
        thread.start()
        argv = ["follow", "--leader", leader.path, "--follower", follower.path, "--seconds", "60", "--rate", "50"]
        argv += ["--record", str(folder / "hands"), "--contract", str(folder / "contract.yaml")]
        with pytest.raises(KeyboardInterrupt):  # once the key was heard
            so101.main([*argv, "--yes", "--timeout-ms", "500", *options])
        thread.join()
    (episode,) = read_dataset(folder / "hands", made)
    return episode


def test_joints_and_commands_are_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    episode = followed(tmp_path, contract(), monkeypatch)
    assert episode.success and episode.source is not None and set(episode.source.tolist()) == {acting.PERSON}
    assert episode.provenance["device"] == "leader arm"
    turned = episode.actions[-1, 0] - episode.actions[0, 0]
    assert abs(turned) == pytest.approx(np.pi / 2, abs=0.25)  # 1024 of 4096 ticks; it begins once it has moved
    measured = episode.observations["joint_pos"]
    assert abs(measured[-1, 0] - measured[0, 0]) == pytest.approx(np.pi / 2, abs=0.3)
    assert episode.actions[-1, -1] > episode.actions[0, -1] + 0.2  # it closes: -1 opens, +1 closes
    assert len(episode) >= 12
    assert cli.main(["data", "view", str(tmp_path / "hands")]) == 0
    assert cli.main(["dataset", str(tmp_path / "hands")]) == 0
    assert (tmp_path / "hands" / "view.html").exists()


def test_deltas_of_the_tip_and_pictures_are_recorded_by_a_contract_that_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The goals of the joints, as poses of the tip: what a policy of that contract would have said."""
    made = contract("eef_delta_pose", (Camera("agentview", 24, 32),))
    episode = followed(tmp_path, made, monkeypatch, "--camera", "agentview=0")
    assert episode.observations["agentview"].std(axis=(1, 2, 3)).max() == 0  # each is one shade
    assert len(np.unique(episode.observations["agentview"][:, 0, 0, 0])) > 8
    went = np.linalg.norm(np.diff(episode.observations["eef_pos"], axis=0), axis=1).sum()
    assert went > 0.15  # a quarter of a turn of an arm that reaches 0.2 m and more
    assert np.linalg.norm(episode.actions[:, :3], axis=1).sum() > 0.5 * went
    pytest.importorskip("torch")
    from policies.data.replay import Lookup, Replay

    replay = Replay(made, 100, Lookup())
    replay.add_episode(episode)  # as cloning and reinforcement learning read it
    assert len(replay) == len(episode) == int(replay._imitate.sum())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--record", "DIR"], "add --contract with a task"),
        (["--record", "DIR", "--contract", "FILE"], "there is no terminal: run it in one"),
        (["--contract", "FILE"], "--contract and --camera are of what --record keeps"),
        (["--record", "DIR", "--contract", "FILE", "tty"], "without --yes it does nothing"),
        (["--record", "DIR", "--contract", "FILE", "--yes", "tty"], "agentview is not given: --camera agentview="),
    ],
)
def test_what_makes_no_sense_is_refused_before_an_arm_is_spoken_to(
    options: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: "tty" in options, raising=False)
    given = [option for option in options if option != "tty"]
    (tmp_path / "contract.yaml").write_text(contract(cameras=(Camera("agentview", 24, 32),)).to_yaml())
    places = {"DIR": str(tmp_path / "hands"), "FILE": str(tmp_path / "contract.yaml")}
    with pytest.raises(PixelarmError, match=words):
        so101.main(["follow", "--leader", "none", "--follower", "none", *(places.get(o, o) for o in given)])
