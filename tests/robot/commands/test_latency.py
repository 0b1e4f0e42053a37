"""``pixelarm latency``: its formula by hand, every kind of contract through the loop, and refusals in words."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robot.actions import KINDS
from robot.commands import latency
from robot.contract import Action, Camera, Contract, Proprio
from robot.errors import BundleError, PixelarmError
from robot.profile.topics import CameraTopic


class Slow:
    """A policy that takes a while."""

    def __init__(self, contract: Contract, seconds: float = 0.0) -> None:
        self.contract, self.seconds = contract, seconds
        self.shapes: set[tuple[int, ...]] = set()

    def act(self, observation: dict[str, np.ndarray]) -> np.ndarray:
        self.shapes |= {v.shape for v in observation.values()}
        time.sleep(self.seconds)
        return np.zeros((self.contract.chunk, self.contract.action.size), np.float32)


def contract(kind: str = "eef_delta_position", **keys: Any) -> Contract:
    size = 3 if KINDS[kind].each_joint else len(KINDS[kind].units) + 1
    action = Action(kind, tuple("abcdefg"[:size]), KINDS[kind].units_of(size), (-1.0,) * size, (1.0,) * size)
    fields = [Proprio("eef_pos", 3, "m", "base"), Proprio("eef_quat", 4, "1", "base")]
    made = Contract(
        task="lift", cameras=(Camera("front", 48, 32),), proprio=(*fields, Proprio("joint_pos", 2, "rad", "joint")),
        action=action, rate_hz=25, deadline_ms=32, max_age_ms=40,
    )  # fmt: skip
    return dataclasses.replace(made, **keys)


# ------------------------------------------------------------------------------------------------------------- formula
def test_the_highest_rate_by_hand() -> None:
    # deadline 80 ms of 100 ms: a share of 0.8. 10 ms and a fifth of it, 12 ms: 0.8 s / 12 ms = 66.7 Hz
    found = latency.verdict([10.0] * 200, 0, rate_hz=10, deadline_ms=80)
    assert found == {"share": 0.8, "p99_ms": 10.0, "margin_ms": 2.0, "highest_hz": 66.7, "held": True}
    # a fifth of 1 ms is less than the least margin of 1 ms: 0.8 s / 2 ms = 400 Hz
    assert latency.verdict([1.0] * 200, 0, 10, 80)["highest_hz"] == 400.0
    # 70 ms and 14 ms are over the deadline's 80 ms, though no deadline was missed: 0.8 s / 84 ms = 9.5 Hz
    found = latency.verdict([70.0] * 200, 0, 10, 80)
    assert (found["highest_hz"], found["held"]) == (9.5, False)


def test_answers_that_never_came_count_as_the_slowest() -> None:
    # one of 100 is missing: the 99th of them is the slowest that came
    assert latency.verdict([float(ms) for ms in range(1, 100)], 1, 10, 80)["p99_ms"] == 99.0
    found = latency.verdict([10.0] * 98, 2, 10, 80)
    assert (found["p99_ms"], found["highest_hz"], found["held"]) == (None, None, False)


def test_another_rate_keeps_the_shares_of_the_period() -> None:
    made = latency.at_rate(contract(), 50)
    assert (made.rate_hz, made.deadline_ms, made.max_age_ms, made.cameras[0].fps) == (50, 16, 20, 50)


def test_a_policy_that_fills_its_deadline_is_paced_more_slowly() -> None:
    assert latency.paced(contract(), 16.0) == contract()
    slower = latency.paced(contract(), 32.0)  # twice 32 ms of 32 ms: at half the rate
    assert (slower.rate_hz, slower.deadline_ms) == (12.5, 64.0)


# ------------------------------------------------------------------------------------------------------------- measure
@pytest.mark.parametrize("kind", [name for name, kind in KINDS.items() if kind.make])
def test_every_kind_of_action_goes_through_all_stages(kind: str) -> None:
    policy = Slow(contract(kind))
    found = latency.measure(policy, 0.4)
    assert list(found["stages"]) == ["decode", "wait", "assemble", "infer", "limits", "publish"]
    assert found["commands"] == found["latency_ms"]["n"]
    assert policy.shapes == {(48, 32, 3), (3,), (4,), (2,)}
    stopped = ("wrong_shape", "not_finite", "box", "joint_range", "length", "enable", "estop", "inference_error")
    assert [found["rules"][rule] for rule in stopped] == [0] * len(stopped)


def test_history_and_chunk_are_the_contracts() -> None:
    policy = Slow(contract(history=3, chunk=4))
    assert latency.measure(policy, 0.4)["commands"] >= 1
    assert policy.shapes == {(3, 48, 32, 3), (3, 3), (3, 4), (3, 2)}


def test_a_policy_slower_than_its_deadline_is_measured_and_not_held() -> None:
    found = latency.measure(Slow(contract(), 0.040), 0.5)
    assert found["paced_hz"] < 12.5 and found["stages"]["infer"]["p50"] >= 40
    assert found["verdict"]["held"] is False


def test_what_images_take_on_their_way_counts() -> None:
    assert latency.measure(Slow(contract()), 0.4, sensor_ms=10.0)["latency_ms"]["p50"] >= 10


@pytest.mark.parametrize("form", ["image", "compressed"])
def test_cameras_of_an_arms_profile_are_decoded_and_fitted(form: str) -> None:
    policy = Slow(contract())
    camera = CameraTopic("front/image_raw", form, size=(80, 64), crop=(0, 0, 64, 64), resize="stretch")
    found = latency.measure(policy, 0.4, cameras={"front": camera, "another": camera})
    assert found["stages"]["decode"]["n"] == 10  # 0.4 s at 25 Hz, one camera
    assert policy.shapes == {(48, 32, 3), (3,), (4,), (2,)} and found["rules"]["wrong_shape"] == 0


def test_a_camera_without_a_size_cannot_be_imitated() -> None:
    with pytest.raises(PixelarmError, match="'front' is cropped, resized or turned.*add size"):
        latency.measure(Slow(contract()), 0.4, cameras={"front": CameraTopic("a", resize="center")})


def test_a_loop_that_commands_nothing_says_which_rule_held_it() -> None:
    with pytest.raises(PixelarmError, match=r"no command was sent at 25 Hz.*(\n.*)*acted: .*stale_observation"):
        latency.measure(Slow(contract(max_age_ms=5.0)), 0.3, sensor_ms=10.0)


# ------------------------------------------------------------------------------------------------------------- command
def test_the_command_prints_a_table_and_writes_the_same_as_json(
    lift_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, arm = tmp_path / "latency.json", ["--arm", "sim_panda_vga"]
    status = latency.main(
        [str(lift_bundle), "--seconds", "1", "--rate", "20", "--load", "1", *arm, "--json", str(file)]
    )
    said, found = capsys.readouterr().out, json.loads(file.read_text())
    assert status == (0 if found["verdict"]["held"] else 1)
    assert found["contract"]["rate_hz"] == 20 and found["contract"]["deadline_ms"] == 40
    assert found["latency_ms"]["n"] == found["commands"] and found["load"] == 1
    assert found["warm_up_ms"]["n"] == 30 and found["load_ms"] > 0
    for row in ("decode", "wait", "assemble", "infer", "limits", "publish", "observation to command"):
        assert f"\n{row} " in said
    assert f"paced at 20 Hz: {found['commands']} commands" in said
    assert "images as sim_panda_vga sends them, 0 ms on their way" in said
    assert "only" in said and "a p99 needs 100" in said


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--seconds", "0"], "--seconds must lie between 1 and 3600"),
        (["--rate", "nan"], "--rate must lie between"),
        (["--threads", "1000"], "--threads must lie between 1 and"),
        (["--load", "-1"], "--load must lie between 0"),
        (["--sensor-ms", "-1"], "--sensor-ms must lie between 0"),
        (["--json", "."], "is a folder, and a file is to be written there"),
    ],
)
def test_options_are_checked_before_anything_is_loaded(
    options: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bundle").mkdir()
    with pytest.raises(PixelarmError, match=words):
        latency.main(["bundle", *options])


def test_a_bad_bundle_is_refused_in_words(tmp_path: Path, lift_bundle: Path) -> None:
    with pytest.raises(PixelarmError, match="there is no policy bundle at .*nowhere"):
        latency.main([str(tmp_path / "nowhere")])
    with pytest.raises(BundleError, match=r"is not a policy bundle: no policy.onnx"):
        latency.main([str(tmp_path)])
    altered = tmp_path / "altered"
    altered.mkdir()
    for file in lift_bundle.iterdir():
        (altered / file.name).write_bytes(file.read_bytes())
    (altered / "policy.onnx").write_bytes(b"nothing")
    with pytest.raises(BundleError, match=r"policy.onnx was altered"):
        latency.main([str(altered)])


def test_busy_processes_end_with_the_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []
    start = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *a: started.append(start(*a)) or started[-1])
    with pytest.raises(ZeroDivisionError), latency.busy(2):
        assert [process.poll() for process in started] == [None, None]
        raise ZeroDivisionError
    assert len(started) == 2 and all(process.poll() is not None for process in started)
