"""What goes wrong while an operator records: each kind is said within a second, and else nothing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from teleop_rig import Rig as ArmRig

from hardware.teleop.desk import Desk, Frames
from hardware.teleop.keyboard import line
from hardware.teleop.swapped import FIRST_EPISODES, Known, layout
from hardware.teleop.watch import Watch
from robot.contract import Action, Camera, Contract, Proprio

FRONT, HAND = "front", "hand"
TICK_S = 0.02


def contract() -> Contract:
    return Contract(
        task="trial", cameras=(Camera(FRONT, 16, 16), Camera(HAND, 16, 16)),
        proprio=(Proprio("eef_pos", 3, "m", "base"),),
        action=Action("eef_delta_position", ("dx", "dy", "dz", "gripper"), ("m", "m", "m", "1"),
                      (-0.04, -0.04, -0.04, -1), (0.04, 0.04, 0.04, 1)),
        rate_hz=10, deadline_ms=80, max_age_ms=100,
    )  # fmt: skip


def view(camera: str) -> np.ndarray:
    """``(16, 16, 3)``: the front camera sees a bright upper half, the hand's a bright left half."""
    pixels = np.full((16, 16, 3), 40, np.uint8)
    if camera == FRONT:
        pixels[:8] = 200
    else:
        pixels[:, :8] = 200
    return pixels


class Rig:
    """Two cameras at 10 Hz and the arm's position, at the watch's own clock. ``sends`` may be changed while it runs."""

    def __init__(
        self, known: Known | None = None, offset_s: float = 0.0, late_s: float = 0.0, episode: bool = True
    ) -> None:
        self.now_s, self.said, self.number = 100.0, [], 0  # type: ignore[var-annotated]
        self.period_s = {FRONT: 0.1, HAND: 0.1}
        self.due_s = {FRONT: 100.0, HAND: 100.0 + offset_s}
        self.late_s = {FRONT: 0.0, HAND: late_s}  # how old its newest picture is when it comes
        self.sends: dict[str, Callable[[], np.ndarray] | None] = {
            FRONT: lambda: self.noisy(view(FRONT)),
            HAND: lambda: self.noisy(view(HAND)),
        }
        self.position = np.zeros(3)
        self.watch = Watch(contract(), {"eef_pos"}, lambda: self.now_s, self.said.append, known=known)
        if episode:
            self.watch.begin({FRONT: view(FRONT), HAND: view(HAND)})

    def noisy(self, pixels: np.ndarray) -> np.ndarray:
        """As a sensor sends it: never the same twice."""
        self.number += 1
        pixels[self.number % 16, self.number // 16 % 16] += 1
        return pixels

    def run(self, seconds: float) -> list[str]:
        """What was said meanwhile."""
        before = len(self.said)
        for _ in range(round(seconds / TICK_S)):
            self.now_s += TICK_S
            for camera, send in self.sends.items():
                if self.now_s >= self.due_s[camera] - 1e-9:
                    self.due_s[camera] += self.period_s[camera]
                    if send is not None:
                        self.watch.put_image(camera, send(), round((self.now_s - self.late_s[camera]) * 1e9))
            self.watch.put_state("eef_pos", self.position, round(self.now_s * 1e9))
            self.watch.tick()
        return self.said[before:]


def test_nothing_is_said_where_all_is_well() -> None:
    rig = Rig(known=Known([{FRONT: view(FRONT), HAND: view(HAND)}]), offset_s=0.06)
    assert rig.run(5.0) == []
    report = rig.watch.report()
    assert report["troubles"] == [] and report["camera_hz"] == {FRONT: 10.0, HAND: 10.0}
    assert report["skew_ms"] == pytest.approx(40.0)  # 60 ms behind, 40 ms before: the nearer counts


def test_a_camera_that_died_is_said_within_a_second_and_so_is_its_return() -> None:
    rig = Rig()
    rig.run(2.0)
    sends, rig.sends[HAND] = rig.sends[HAND], None
    (words,) = rig.run(1.0)
    assert words == "LOOK: 'hand' has sent nothing new for 0.5 s: is it unplugged?"
    assert rig.run(3.0) == [] and rig.watch.report()["troubles"] == [words.removeprefix("LOOK: ")]
    rig.sends[HAND] = sends
    assert rig.run(2.0) == [f"over: {words.removeprefix('LOOK: ')}"]
    assert rig.watch.report()["troubles"] == []


def test_a_driver_that_repeats_its_last_message_is_dead_too() -> None:
    """With the stamp that it had: the mailbox takes nothing of it."""
    rig = Rig()
    rig.run(2.0)
    rig.sends[HAND] = None
    stamp = round(rig.now_s * 1e9)
    rig.watch.put_image(HAND, view(HAND), stamp)
    for _ in range(10):
        rig.watch.put_image(HAND, view(HAND), stamp)
        rig.run(0.1)
    assert any("'hand' has sent nothing new" in words for words in rig.said)


def test_a_stream_that_never_begins_is_said() -> None:
    rig = Rig()
    rig.sends[HAND] = None
    assert rig.run(2.9) == []
    assert rig.run(0.3) == ["LOOK: 'hand' has sent nothing yet: is it running?"]


def test_between_episodes_a_silence_is_shown_and_said_only_if_it_lasts() -> None:
    """A simulated scene that is set up anew sends nothing for 1.5 s."""
    rig = Rig(episode=False)
    rig.run(2.0)
    sends, rig.sends[HAND] = rig.sends[HAND], None
    assert rig.run(1.5) == [] and len(rig.watch.report()["troubles"]) == 1
    rig.sends[HAND] = sends
    assert rig.run(3.0) == []
    rig.sends[HAND] = None
    assert rig.run(2.3) == []  # half a second until it is silent, and two
    assert [words.startswith("LOOK: 'hand' has sent nothing new") for words in rig.run(0.5)] == [True]


def test_a_slow_camera() -> None:
    """7 pictures a second of 10. One that is lost now and then is not slow: 10 intervals in 1.1 s are 9.1."""
    rig = Rig()
    rig.run(2.0)
    rig.due_s[HAND] += 0.1
    assert rig.run(3.0) == []
    rig.period_s[HAND] = 1 / 7
    said = rig.run(1.0)
    assert len(said) == 1 and said[0].startswith("LOOK: 'hand' sends ")
    assert "pictures a second; the contract wants 10" in said[0]
    rig.run(2.0)
    assert rig.watch.report()["camera_hz"][HAND] == pytest.approx(7.0, abs=0.2)


def test_a_camera_that_lags_behind() -> None:
    """Its pictures come at the right rate, each 300 ms old."""
    rig = Rig(late_s=0.3)
    (words,) = rig.run(1.0)
    assert words == "LOOK: the pictures of 'front', 'hand' are 300 ms apart: one of the cameras lags behind"


def test_dark_and_frozen_pictures() -> None:
    rig = Rig()
    rig.run(1.0)
    rig.sends[FRONT] = lambda: np.full((16, 16, 3), 3, np.uint8)
    (words,) = rig.run(0.5)
    assert "'front' shows nothing" in words
    rig.sends[FRONT] = lambda: view(FRONT)
    assert rig.run(2.0) == [words.replace("LOOK", "over")]  # always the same, but so is the arm
    rig.position = np.array([0.05, 0.0, 0.0])
    assert any("'front' sends one picture again and again" in said for said in rig.run(1.0))


def test_swapped_cameras_are_said_at_once() -> None:
    rig = Rig(known=Known([{FRONT: view(FRONT), HAND: view(HAND)}]), episode=False)
    rig.sends = {FRONT: lambda: rig.noisy(view(HAND)), HAND: lambda: rig.noisy(view(FRONT))}
    (words,) = rig.run(0.5)
    assert words == "LOOK: 'front' and 'hand' show what the other one showed in earlier episodes: are they swapped?"
    rig.watch.begin({FRONT: view(FRONT), HAND: view(HAND)})  # plugged as they were
    assert rig.run(2.0) == [words.replace("LOOK", "over")]


def test_cameras_are_compared_with_what_was_just_recorded() -> None:
    rig = Rig()
    rig.run(0.5)
    rig.watch.know({FRONT: view(FRONT), HAND: view(HAND)})
    rig.watch.begin({FRONT: view(HAND), HAND: view(FRONT)})
    assert any("are they swapped" in words for words in rig.run(0.1))


def test_another_light_is_no_other_camera() -> None:
    """(40 or 200) / 2 + 10 = 30 or 110: darker, the same layout. A picture of neither camera is nobody's."""
    known = Known([{FRONT: view(FRONT), HAND: view(HAND)}])
    darker = {name: (view(name) // 2 + 10).astype(np.uint8) for name in (FRONT, HAND)}
    assert known.swapped(darker) == []
    assert known.swapped({FRONT: darker[HAND], HAND: darker[FRONT]}) == [(FRONT, HAND)]
    assert known.swapped({name: np.full((16, 16, 3), 90, np.uint8) for name in (FRONT, HAND)}) == []
    assert Known().swapped(darker) == []


def test_the_layout_is_the_mean_of_each_field() -> None:
    """16 x 16 in fields of 2 x 2; half is 200, half 40, so 80 above and below the mean of 120. Odd sizes work, too."""
    assert layout(view(FRONT))[:, 0, 0].tolist() == [80] * 4 + [-80] * 4
    assert layout(view(HAND))[0, :, 0].tolist() == [80] * 4 + [-80] * 4
    assert layout(np.zeros((13, 11, 3), np.uint8)).shape == (8, 8, 3)


def test_only_the_first_episodes_count() -> None:
    known = Known([{FRONT: view(FRONT), HAND: view(HAND)}] * FIRST_EPISODES)
    known.add({FRONT: view(HAND), HAND: view(FRONT)})
    assert known.swapped({FRONT: view(HAND), HAND: view(FRONT)}) == [(FRONT, HAND)]


def test_what_an_episode_says_of_itself() -> None:
    """Ten steps, one of 0.3 s: 10 in 1.2 s are 8.33 a second."""
    rig = Rig()
    rig.run(0.5)
    rig.watch.begin({FRONT: view(FRONT), HAND: view(HAND)})
    for passed_s in [0.1] * 9 + [0.3]:
        rig.watch.step(passed_s)
    assert rig.run(0.1) == ["LOOK: observations are missing: 0.30 s between two, wanted 0.10"]
    assert rig.watch.report()["gaps"] == 1
    assert rig.watch.end() == {"gaps": 1, "rate_hz": 8.33}
    assert rig.watch.end() == {"gaps": 0}
    rig.run(2.0)
    assert rig.watch.report()["troubles"] == []


def test_fewer_observations_than_the_contract_wants() -> None:
    """Steps of 125 ms are 8 a second, though both cameras send 10; none of them is a gap of 1.5 periods."""
    rig = Rig()
    for _ in range(9):
        rig.run(0.12)
        rig.watch.step(0.125)
    assert rig.said == []  # a second is not over
    rig.watch.step(0.125)
    assert rig.run(0.1) == ["LOOK: 8.0 observations a second are recorded; the contract wants 10"]
    assert rig.run(2.0) == ["over: 8.0 observations a second are recorded; the contract wants 10"]  # the arm rests


def test_the_desk_and_the_terminal_say_it() -> None:
    heard: list[str] = []
    desk = Desk(ArmRig().teleop, Frames([]), {}, {})
    desk.hearers.append(heard.append)
    desk.recording = lambda: {"troubles": []}
    desk.say("a new scene")
    assert heard == ["a new scene"] and line(desk.report()).endswith("| a new scene")
    desk.recording = lambda: {"troubles": ["no light"]}
    assert line(desk.report()).endswith("| LOOK: no light")
