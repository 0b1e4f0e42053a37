"""Game pad and SpaceMouse: what their bytes mean, what moves nothing, and what a pulled plug does."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from teleop_rig import Rig

from hardware.commands import teleop
from hardware.teleop.desk import ORDERS, Desk, Frames
from hardware.teleop.handheld import DEAD, LOST_S, Handheld, Pad, SpaceMouse, find_spacemouse, live
from hardware.teleop.input import SILENCE_S
from robot.errors import PixelarmError

LB, AXIS, BUTTON, INITIAL = 4, 2, 1, 0x80


def event(kind: int, number: int, value: int) -> bytes:
    return struct.pack("<IhBB", 0, value, kind, number)


def axes(*values: int) -> bytes:
    return bytes([1]) + struct.pack(f"<{len(values)}h", *values)


def test_what_lies_in_the_dead_band_is_rest_and_the_rest_goes_on_smoothly() -> None:
    assert live(DEAD) == live(-DEAD) == 0.0
    assert live(1.0) == 1.0 == -live(-1.2)
    assert live(DEAD + 0.044) == pytest.approx(0.05)  # 0.044 / 0.88


def test_a_pad_moves_ahead_left_and_up_as_its_sticks_are_pushed() -> None:
    pad = Pad()
    pad.put(event(BUTTON, LB, 1) + event(AXIS, 1, -32767) + event(AXIS, 0, -32767) + event(AXIS, 5, 32767), 1.0)
    wanted = pad.wanted(1.0)
    assert wanted["held"] and wanted["linear"] == pytest.approx((1.0, 1.0, 1.0)) and wanted["gripper"] is None
    pad.put(event(AXIS, 3, 32767), 1.0)
    assert pad.wanted(1.0)["angular"] == pytest.approx((0.0, 0.0, -1.0))  # to the right is clockwise from above


def test_a_pad_that_is_not_held_wants_nothing_and_its_start_values_are_no_presses() -> None:
    """The kernel says all buttons and axes when the file is opened."""
    pad = Pad()
    assert pad.put(event(BUTTON | INITIAL, 7, 1) + event(AXIS | INITIAL, 5, -32767), 1.0) == []
    assert pad.wanted(1.0)["linear"] == pytest.approx((0, 0, 0)) and not pad.wanted(1.0)["held"]
    assert pad.put(event(BUTTON, 7, 1) + event(BUTTON, 7, 0) + event(BUTTON, 6, 1), 1.0) == ["command", "stop"]


def test_a_pad_out_of_range_lets_go_until_its_button_is_pressed_anew() -> None:
    """The kernel keeps what it said last: the button down, the stick ahead."""
    pad = Pad()
    pad.put(event(BUTTON, LB, 1), 1.0)
    assert pad.wanted(1.1 + LOST_S)["held"]  # at rest it may be silent for as long as it likes
    pad.put(event(AXIS, 1, -32767), 4.0)
    assert pad.wanted(4.0 + LOST_S)["held"] and not pad.wanted(4.1 + LOST_S)["held"]
    pad.put(event(AXIS, 1, -20000), 7.0)  # back in range, with the button still down
    assert not pad.wanted(7.0)["held"]
    pad.put(event(BUTTON, LB, 0) + event(BUTTON, LB, 1), 7.1)
    assert pad.wanted(7.1)["held"]


def test_the_gripper_changes_with_each_press() -> None:
    pad, mouse = Pad(gripper=1.0), SpaceMouse()
    for expected in (-1.0, 1.0):
        pad.put(event(BUTTON, 0, 1) + event(BUTTON, 0, 0), 1.0)
        assert pad.wanted(1.0)["gripper"] == expected
        for buttons in (2, 2, 0):  # still down with the second
            mouse.put(bytes([3, buttons]), 1.0)
        assert mouse.wanted(1.0)["gripper"] == -expected


def test_what_was_wanted_of_an_old_scenes_gripper_is_forgotten() -> None:
    """Closed at the end of one episode: the next begins open, and the button closes."""
    pad, mouse = Pad(), SpaceMouse()
    for expected in (1.0, 1.0):
        pad.put(event(BUTTON, 0, 1), 1.0)
        mouse.put(bytes([3, 2]), 1.0)
        mouse.put(bytes([3, 0]), 1.0)
        assert pad.wanted(1.0)["gripper"] == mouse.wanted(1.0)["gripper"] == expected
        pad.forget()
        mouse.forget()
        assert pad.wanted(1.0)["gripper"] is None


@pytest.mark.parametrize("together", [True, False])
def test_a_cap_moves_the_hand_as_it_is_pushed(together: bool) -> None:
    """Its x is right, y towards the operator, z down; in one report of six, or in two of three."""
    mouse = SpaceMouse()
    mouse.put(bytes([3, 1]), 1.0)
    if together:
        mouse.put(axes(350, 0, 0, 0, 0, -350), 1.0)
    else:
        mouse.put(axes(350, 0, 0), 1.0)
        mouse.put(bytes([2]) + axes(0, 0, -350)[1:], 1.0)
    wanted = mouse.wanted(1.0)
    assert wanted["held"] and wanted["gripper"] is None
    assert wanted["linear"] == pytest.approx((0, -1, 0)) and wanted["angular"] == pytest.approx((0, 0, 1))
    mouse.put(axes(0, -350, -350), 1.0)
    assert mouse.wanted(1.0)["linear"] == pytest.approx((1, 0, 1))


def test_a_cap_that_falls_silent_or_is_bumped_moves_nothing() -> None:
    mouse = SpaceMouse()
    mouse.put(axes(350, 0, 0), 1.0)
    assert not mouse.wanted(1.0)["held"]  # bumped: no button
    mouse.put(bytes([3, 1]), 1.0)
    assert mouse.wanted(1.0)["linear"] != (0, 0, 0)
    assert mouse.wanted(1.001 + SILENCE_S)["linear"] == (0, 0, 0)
    assert mouse.put(b"\x01\x00", 1.0) == mouse.put(b"\x17abcdefg", 1.0) == []  # half a report, and the battery's


class Plug:
    """A named pipe as a device's file, and a desk."""

    def __init__(self, folder: Path) -> None:
        self.path, self.ordered, self.left = folder / "device", [], []
        os.mkfifo(self.path)
        self.rig = Rig()
        orders = {name: (lambda name=name: self.ordered.append(name)) for name in ORDERS}
        self.desk = Desk(self.rig.teleop, Frames([]), orders, {})
        self.desk.leave = lambda: self.left.append(True)
        self.inputs = []
        self.desk.receiver.listeners.append(self.inputs.append)
        self.handheld = Handheld(self.desk, str(self.path), Pad())
        self.file = os.open(self.path, os.O_WRONLY)
        self.handheld.start()


def until(what: Callable[[], object]) -> bool:
    end = time.monotonic() + 5.0
    while time.monotonic() < end:
        if what():
            return True
        time.sleep(0.005)
    return False


def test_a_device_speaks_while_it_is_held_and_a_pulled_plug_lets_go(tmp_path: Path) -> None:
    plug = Plug(tmp_path)
    os.write(plug.file, event(BUTTON, 7, 1) + event(BUTTON, LB, 1) + event(AXIS, 1, -32767))
    assert until(lambda: plug.inputs and plug.inputs[-1].held) and plug.ordered == ["command"]
    before = len(plug.inputs)
    assert until(lambda: len(plug.inputs) > before + 4)  # it goes on saying so, though the pad is silent
    assert plug.inputs[-1].linear[0] == pytest.approx(1.0)
    os.close(plug.file)
    assert until(lambda: plug.left) and not plug.inputs[-1].held
    assert any("is gone" in words for words in plug.desk.report()["said"])
    plug.handheld.stop()


def test_what_an_operator_is_told_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A pad has no page beside it."""
    plug = Plug(tmp_path)
    plug.desk.say("LOOK: a camera died")
    os.close(plug.file)
    assert until(lambda: plug.left)
    plug.handheld.stop()
    assert "LOOK: a camera died" in capsys.readouterr().out


def test_a_spacemouse_is_found_by_its_maker(tmp_path: Path) -> None:
    for name, about in (
        ("hidraw0", "HID_ID=0003:0000046D:0000C31C\nHID_NAME=Logitech USB Keyboard"),
        ("hidraw3", "HID_ID=0003:0000256F:0000C635\nHID_NAME=3Dconnexion SpaceMouse Compact"),
    ):
        (tmp_path / name / "device").mkdir(parents=True)
        (tmp_path / name / "device" / "uevent").write_text(about)
    assert find_spacemouse(tmp_path) == "/dev/hidraw3"
    with pytest.raises(PixelarmError, match="no SpaceMouse is plugged in"):
        find_spacemouse(tmp_path / "hidraw0")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            ["--device", "gamepad", "--input", "/dev/input/js77"],
            "there is no /dev/input/js77: is the device plugged in",
        ),
        (["--device", "web", "--input", "/dev/input/js0"], "--input is the file of --device gamepad or spacemouse"),
        (["--device", "gamepad", "--lan"], "--lan opens the page of --device web"),
    ],
)
def test_what_is_not_there_is_refused(options: list[str], words: str) -> None:
    pytest.importorskip("rclpy")
    with pytest.raises(PixelarmError, match=words):
        teleop.main(options)
