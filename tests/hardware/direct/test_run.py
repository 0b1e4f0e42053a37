"""`pixelarm so101 run`: rehearsed on the simulated arm behind an emulated bus, and refused in words."""

import json

import pytest

from hardware.commands.so101 import main
from hardware.feetech.emulated.bus import EmulatedBus
from robot.errors import PixelarmError


@pytest.mark.serial
@pytest.mark.gl
def test_a_rehearsal_plays_its_episodes_by_the_real_driver(so101_bundle, tmp_path, capsys, monkeypatch):
    """Two short episodes: the jaw closes and the tip goes where the policy wants it, each from a scene set up anew."""
    from sim.tasks.reach import Reach

    monkeypatch.setattr(Reach, "max_steps", 15)
    stats = tmp_path / "stats.json"
    assert (
        main(["run", str(so101_bundle), "--simulated", "--episodes", "2", "--timeout-ms", "300", "--stats", str(stats)])
        == 0
    )
    found = json.loads(stats.read_text())
    assert [episode["seed"] for episode in found["episodes"]] == [10_000, 10_001]
    assert found["commands"] > 5 and found["bus_faults"] == 0 and found["arbiter"]["mode"] != "fault"
    assert found["arbiter"]["gripper"] == pytest.approx(1.0)
    said = capsys.readouterr().out
    assert "success at any step" in said and "bus: read and write p50" in said


@pytest.mark.serial
def test_a_dry_run_without_cameras_is_refused_and_leaves_the_port(so101_bundle):
    """And what is refused lets the port go: it opens again."""
    with EmulatedBus() as bus:
        for _ in range(2):
            with pytest.raises(
                PixelarmError, match="agentview, eye_in_hand is not given: --camera agentview=/dev/video0"
            ):
                main(["run", str(so101_bundle), "--port", bus.path, "--timeout-ms", "500"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "--port is missing, such as --port /dev/ttyACM0; or rehearse with --simulated"),
        (["--simulated", "--port", "x"], "--simulated has an arm and cameras of its own: leave out --port"),
        (["--port", "x", "--camera", "agentview"], "--camera must be NAME=DEVICE"),
        (
            ["--port", "x", "--camera", "side=0"],
            "the contract has agentview, eye_in_hand, and not 'side': leave it out",
        ),
        (["--port", "x", "--camera", "agentview=/dev/video99"], "camera agentview: /dev/video99 does not open"),
        (["--port", "x", "--yes"], "and there is no terminal: run it in one"),
        (["--simulated", "--episodes", "0"], "--episodes must be at least 1"),
        (["--port", "x", "--speed-scale", "2"], r"--speed-scale must lie in \(0, 1\], got 2"),
        (["--port", "x", "--speed-scale", "0"], r"--speed-scale must lie in \(0, 1\], got 0"),
        (["--port", "x", "--seconds", "nan"], "--seconds must lie between 0 and inf, got nan"),
        (["--simulated", "--seconds", "9"], "--simulated has an arm and cameras of its own: leave out --seconds"),
        (["--port", "x", "--episodes", "9"], "--episodes is an option of the rehearsal: add --simulated"),
        (["--port", "x", "--arm", "sim_panda"], "so101"),
    ],
)
def test_what_cannot_run_is_refused(so101_bundle, options, words):
    with pytest.raises(PixelarmError, match=words):
        main(["run", str(so101_bundle), *options])


def test_a_bundle_that_is_not_there(tmp_path):
    with pytest.raises(PixelarmError, match="there is no policy bundle at .*; `pixelarm export` writes one"):
        main(["run", str(tmp_path / "nothing"), "--port", "x"])
