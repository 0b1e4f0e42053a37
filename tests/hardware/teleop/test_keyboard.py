"""The terminal's keyboard: what was typed becomes an input, over a real pseudo-terminal too; and replay."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from teleop_rig import Rig

from hardware.teleop.desk import ORDERS, Desk, Frames
from hardware.teleop.input import Input
from hardware.teleop.keyboard import HELD_S, Keyboard, Keys, line
from hardware.teleop.replay import Log, Replay, read_log
from robot.errors import PixelarmError


def test_a_key_counts_for_150_ms_and_repeats_go_on():
    keys = Keys()
    assert not keys.wanted(0.0)["held"]
    keys.put("w", 1.0)
    assert keys.wanted(1.1) == {
        "held": True, "linear": (1, 0, 0), "angular": (0, 0, 0), "gripper": None, "scale": 0.6,
    }  # fmt: skip
    assert not keys.wanted(1.001 + HELD_S)["held"]  # a touch
    for i in range(10):
        keys.put("w", 2.0 + 0.033 * i)
        assert keys.wanted(2.03 + 0.033 * i)["held"]
    assert not keys.wanted(2.3 + HELD_S)["held"]


def test_arrows_capitals_speed_and_orders():
    keys = Keys()
    assert keys.put("\x1b[D", 1.0) == []
    assert keys.wanted(1.0)["angular"] == (0, 0, 1)
    keys.put("W", 1.0)
    assert keys.wanted(1.0)["linear"] == (1, 0, 0)
    keys.put("++++++", 1.0)
    assert keys.wanted(1.0)["scale"] == 1.0
    keys.put("-" * 20, 1.0)
    assert keys.wanted(1.0)["scale"] == 0.2
    assert keys.put("c", 1.0) == ["command"] and keys.put("\x1b", 1.0) == ["stop"]
    assert not keys.wanted(1.0)["held"]  # an order lets go
    assert keys.put("?y\x1b[C", 1.0) == []


def test_the_gripper_key_toggles_once_however_long_it_is_held():
    keys = Keys(gripper=1.0)  # closed now
    for i in range(30):
        keys.put(" ", 1.0 + 0.033 * i)
    assert keys.wanted(2.0)["gripper"] == -1.0 and keys.wanted(2.0)["held"]
    keys.put(" ", 3.0)
    assert keys.wanted(3.0)["gripper"] == 1.0


def desk(rig: Rig, ordered: list[str]) -> Desk:
    orders = {name: (lambda name=name: ordered.append(name)) for name in ORDERS}
    return Desk(rig.teleop, Frames([]), orders, {})


def test_a_terminal_moves_the_arm_while_a_key_repeats(capsys: pytest.CaptureFixture[str]):
    rig, ordered = Rig(), []
    rig.teleop._steady = time.monotonic
    rig.teleop.receiver._steady = time.monotonic
    master, slave = os.openpty()
    keyboard = Keyboard(desk(rig, ordered), slave)
    keyboard.start()
    try:
        rig.teleop.put_status(rig.status)
        time.sleep(0.06)
        pressed = []
        for i in range(30):
            rig.now_s = time.monotonic()
            rig.sense()
            if 5 <= i < 15:
                os.write(master, b"w")
            pressed.append(rig.teleop.tick()[0])
            time.sleep(0.03)
        assert not any(pressed[:5]) and sum(pressed[5:22]) >= 5 and not any(pressed[-3:])
        assert rig.teleop.mapping.position[0] > 0.5
        os.write(master, b"c.")
        time.sleep(0.1)
        assert ordered == ["command", "stop"]
    finally:
        keyboard.stop()
        os.close(master)
        os.close(slave)
    assert "keep a key down to move" in capsys.readouterr().out


def test_a_device_without_a_terminal_is_refused():
    read, write = os.pipe()
    with pytest.raises(PixelarmError, match="needs a terminal"):
        Keyboard(desk(Rig(), []), read)
    os.close(read)
    os.close(write)


def test_a_report_fits_in_a_line():
    rig = Rig()
    rig.run(0.1, False)
    assert line(desk(rig, []).report()) == "teleop | 0.500, 0.000, 0.300 m | the operator holds nothing"


# -------------------------------------------------------------------------------------------------------------- replay
def test_what_a_log_holds_can_be_played(tmp_path: Path):
    now = [10.0]
    log = Log(tmp_path / "log", lambda: now[0])
    log.put(Input(False, 4, 1.0))
    now[0] = 10.25
    log.put(Input(True, 5, 2.0, linear=(0.5, 0, 0), gripper=1.0, scale=0.4))
    log.put_order("success")
    log.close()
    (first, released), (second, held), (_, order) = read_log(tmp_path / "log")
    assert order == {"order": "success"}
    assert (first, second) == (0.0, 0.25)
    assert not released["held"] and held["linear"] == [0.5, 0, 0] and held["scale"] == 0.4


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds no inputs"),
        ('{"held": true}', "line 1: at_s"),
        ('{"at_s": 1, "held": true}\n{"at_s": 0.5, "held": true}', "line 2: at_s"),
        ('{"at_s": 1, "held": true, "speed": 3}', "line 1: an input has no speed"),
        ('{"at_s": 1, "held": true, "scale": 3}', "line 1: scale must be 0.2 to 1"),
        ('{"at_s": 1, "order": "jump"}', "line 1: the orders are command, stop"),
    ],
)
def test_a_file_of_other_lines_is_refused(text: str, words: str, tmp_path: Path):
    (tmp_path / "log").write_text(text)
    with pytest.raises(PixelarmError, match=words):
        read_log(tmp_path / "log")


def test_a_replay_moves_the_arm_and_ends(tmp_path: Path):
    rig, ended = Rig(), []
    rig.teleop._steady = time.monotonic
    rig.teleop.receiver._steady = time.monotonic
    lines = [json.dumps({"at_s": 0.02 * i, "held": True, "linear": [0, 1, 0]}) for i in range(10)]
    (tmp_path / "log").write_text("\n".join(lines))
    replay = Replay(desk(rig, []), read_log(tmp_path / "log"), lambda: ended.append(True))
    replay.start()
    end, pressed = time.monotonic() + 3.0, False
    while not ended and time.monotonic() < end:
        rig.now_s = time.monotonic()
        rig.sense()
        pressed = rig.teleop.tick()[0] or pressed
        time.sleep(0.01)
    assert ended and pressed and not rig.teleop.tick()[0]
    assert rig.teleop.mapping.position[1] > 0.005
