"""What is wrong with what is recorded is said within a second, once, and when it is over."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hardware.teleop.watch import Watch
from robot.contract import Action, Camera, Contract, Proprio


class Scene:
    """A camera and an arm at 10 Hz that a test disturbs; the loop looks every 20 ms."""

    def __init__(self, simulated: bool = False, speed_m_s: float = 0.02) -> None:
        self.speed_m_s = speed_m_s
        self.now_s, self.said = 100.0, list[tuple[float, str]]()
        contract = Contract(
            task="trial", cameras=(Camera("front", 8, 8),), proprio=(Proprio("eef_pos", 3, "m", "base"),),
            action=Action("eef_delta_position", ("dx", "dy", "dz", "gripper"), ("m", "m", "m", "1"),
                          (-0.04, -0.04, -0.04, -1), (0.04, 0.04, 0.04, 1)),
            rate_hz=10, deadline_ms=80, max_age_ms=100,
        )  # fmt: skip
        clock: Any = self
        self.watch = Watch(contract, ["front", "eef_pos"], simulated, self.say, clock)
        self.number, self.due_s, self.rng = 0, 0.0, np.random.default_rng(0)

    def steady(self) -> float:
        return self.now_s

    def say(self, words: str) -> None:
        self.said.append((self.now_s, words))

    def run(
        self,
        seconds: float,
        every_s: float = 0.1,
        picture: np.ndarray | None = None,
        camera: bool = True,
        episode: bool = True,
    ) -> None:
        """``picture``: in place of one of noise; the arm moves by 2 cm a second."""
        for _ in range(round(seconds / 0.02)):
            self.now_s += 0.02
            self.watch.state("eef_pos", np.array([self.speed_m_s * self.now_s, 0, 0]))
            if camera and self.now_s > self.due_s - 1e-6:
                self.due_s = self.now_s + every_s
                noise = self.rng.integers(0, 255, (8, 8, 3)).astype(np.uint8)
                self.watch.picture("front", noise if picture is None else picture)
                self.watch.observation(round(self.now_s * 1e9), moving=episode)
            self.watch.check(episode)

    def words(self) -> str:
        return "\n".join(words for _, words in self.said)


def test_nothing_is_said_while_all_is_well() -> None:
    scene = Scene()
    scene.run(5.0)
    assert not scene.said
    assert scene.watch.report() == {"trouble": [], "rate_hz": 10.0}


def test_a_stream_that_dies_is_said_within_a_second_and_once_and_when_it_is_back() -> None:
    scene = Scene()
    scene.run(2.0)
    died_s = scene.now_s
    scene.run(4.0, camera=False)
    (at_s, words) = scene.said[0]
    assert words == "RECORDING: front has fallen silent" and 0.4 < at_s - died_s < 1.0
    assert len(scene.said) == 1 and scene.watch.report()["trouble"] == ["front has fallen silent"]
    scene.run(2.0)
    assert "recording: stream front is well again" in scene.words() and not scene.watch.report()["trouble"]


def test_a_stream_that_never_came_is_named() -> None:
    scene = Scene()
    scene.run(2.5, camera=False, episode=False)
    assert not scene.said  # it may be starting
    scene.run(3.0, camera=False, episode=False)
    assert "RECORDING: nothing has come from front yet: is it running?" in scene.words()


def test_between_episodes_a_short_silence_is_shown_and_not_said() -> None:
    """A simulated scene that is set up anew sends nothing for 1.5 s."""
    scene = Scene()
    scene.run(2.0, episode=False)
    scene.run(1.5, camera=False, episode=False)
    assert not scene.said and scene.watch.report()["trouble"]
    scene.run(2.0, episode=False)
    assert not scene.said
    scene.run(4.0, camera=False, episode=False)
    assert "front has fallen silent" in scene.words()


def test_a_rate_that_is_too_low_is_said_within_a_second() -> None:
    """Every 140 ms is 7.1 a second, below nine tenths of 10, and no gap of 1.5 periods."""
    scene = Scene()
    scene.run(3.0)
    fell_s = scene.now_s
    scene.run(3.0, every_s=0.14)
    at_s, words = scene.said[0]
    assert "observations a second come, and 10 are wanted" in words and at_s - fell_s < 1.0
    assert len(scene.said) == 1 and scene.watch.report()["rate_hz"] == pytest.approx(7.1, abs=0.1)
    scene.run(3.0)
    assert scene.said[-1][1] == "recording: rate is well again"


def test_a_gap_is_said_with_its_length() -> None:
    scene = Scene()
    scene.run(2.0)
    scene.run(0.3, camera=False)
    scene.run(1.0)
    assert "RECORDING: nothing came for 0.4" in scene.words()


def test_a_dark_picture_is_said_at_once() -> None:
    scene = Scene()
    scene.run(1.0)
    covered_s = scene.now_s
    scene.run(2.0, picture=np.full((8, 8, 3), 5, np.uint8))
    at_s, words = scene.said[0]
    assert "'front' shows nothing" in words and at_s - covered_s < 0.2 and len(scene.said) == 1


@pytest.mark.parametrize(("simulated", "speed_m_s"), [(False, 0.02), (True, 0.2)])
def test_a_picture_that_froze_while_the_arm_moves_is_said_within_a_second(simulated: bool, speed_m_s: float) -> None:
    """At 2 cm/s the arm has gone the centimetre that shows it half a second after the second picture. A simulated
    camera that repeats its picture during a slower motion may be drawn, and see nothing of the arm.
    """
    scene = Scene(simulated, speed_m_s)
    scene.run(1.0)
    froze_s = scene.now_s
    scene.run(2.0, picture=np.full((8, 8, 3), 99, np.uint8))
    at_s, words = scene.said[0]
    assert "sends one picture again and again" in words and at_s - froze_s < 1.0
