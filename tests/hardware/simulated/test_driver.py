"""A driver's manners: what it follows, ignores or stops at, by the facts of its profile."""

from __future__ import annotations

import numpy as np
import pytest

from hardware.simulated.driver import DriverManners, Motion
from robot.errors import PixelarmError
from robot.profile.driver import Driver


class Arm:
    def __init__(self, **facts: object) -> None:
        self.joints, self.followed, self.said = np.zeros(2), [], []  # type: ignore[var-annotated]
        self.manners = DriverManners(
            Driver(source="nowhere", **facts),  # type: ignore[arg-type]
            lambda motion: {"joint_positions": self.joints.copy()},
            self.follow,
            self.said.append,
        )

    def follow(self, motion: Motion) -> None:
        self.followed.append(motion["joint_positions"].tolist())

    def tell(self, *joints: float, publishers: int = 1, now_s: float = 0.0) -> bool:
        return self.manners.admit({"joint_positions": np.array(joints)}, publishers, now_s)


def test_a_polite_driver_follows_everything():
    arm = Arm()
    assert arm.tell(3.0, -3.0)
    assert arm.tell(-3.0, 3.0, publishers=2)


def test_a_step_too_large_is_ignored_until_commands_are_near_again():
    arm = Arm(too_far="ignored", step_rad=0.04)
    assert not arm.tell(0.05, 0.0)
    assert arm.tell(0.03, 0.0)
    assert arm.tell(0.06, 0.0)  # counts from the last that was followed
    assert not arm.tell(0.11, 0.0)
    assert arm.manners.ignored == 2


def test_a_reflex_stops_the_arm_where_it_is_until_it_was_recovered():
    arm = Arm(too_far="reflex", step_rad=0.1)
    assert arm.tell(0.1, 0.0)
    arm.joints = np.array([0.06, 0.0])
    assert not arm.tell(0.3, 0.0)
    assert arm.followed == [[0.06, 0.0]]
    assert not arm.tell(0.1, 0.0)
    arm.manners.recover()
    assert not arm.tell(0.3, 0.0)  # and again
    arm.manners.recover()
    assert arm.tell(0.1, 0.0)


def test_a_scene_that_was_set_up_anew_is_no_reason_for_a_reflex():
    arm = Arm(too_far="reflex", step_rad=0.1)
    arm.tell(0.1, 0.0)
    arm.manners.forget(10.0)
    assert not arm.tell(0.5, 0.0, now_s=10.1)
    assert not arm.manners.stopped
    assert arm.tell(0.05, 0.0, now_s=10.2)
    assert not arm.tell(0.5, 0.0, now_s=13.0)
    assert arm.manners.stopped


@pytest.mark.parametrize(("resumes", "goes"), [("old_target", [[0.0, 0.0], [0.5, 0.0]]), ("measured", [[0.0, 0.0]])])
def test_after_a_stop_some_go_on_to_their_old_target(resumes, goes):
    arm = Arm(resumes=resumes)
    arm.tell(0.5, 0.0)
    arm.manners.stop("somebody pushed it")
    arm.manners.recover()
    assert arm.followed == goes


def test_with_a_second_publisher_nobody_is_followed():
    arm = Arm(single_publisher=True)
    assert not arm.tell(0.1, 0.0, publishers=2)
    assert arm.tell(0.1, 0.0)


def test_silence_halts_where_the_driver_says_so():
    arm = Arm(on_silence="halts", silence_s=0.1)
    arm.tell(0.5, 0.0, now_s=1.0)
    arm.joints = np.array([0.2, 0.0])
    arm.manners.tick(1.05)
    assert arm.followed == []
    arm.manners.tick(1.2)
    arm.manners.tick(1.4)
    assert arm.followed == [[0.2, 0.0]]


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"too_far": "reflex"}, "step_rad or step_m"),
        ({"on_silence": "halts"}, "silence_s"),
        ({"on_silence": "sleeps"}, "sleeps"),
        ({"resumes": "never"}, "never"),
        ({"gain": 1.0}, "gain"),
    ],
)
def test_facts_without_sense_are_refused(facts, words):
    with pytest.raises(PixelarmError, match=words):
        Driver(source="nowhere", **facts)


@pytest.mark.parametrize("name", ["xarm7", "so101"])
def test_every_joint_of_an_arm_has_a_position_a_velocity_and_an_effort(name):
    """A gripper may have fewer actuators than fingers that are reported."""
    pytest.importorskip("mujoco")
    from sim.envs.config import TaskConfig
    from sim.envs.make import configured_task
    from sim.envs.task_world import build_world

    names, *columns = build_world(configured_task(TaskConfig("reach", 16, arm=name))).joint_state()
    assert [len(column) for column in columns] == [len(names)] * 3


def test_a_scene_that_is_set_up_anew_meanwhile_stops_nobody():
    """``forget`` comes from the arm's own thread, between two lines of the executor's."""
    for act in (lambda manners: manners.tick(5.0), lambda manners: manners.stop("pushed"), DriverManners.recover):
        arm = Arm(on_silence="halts", silence_s=0.1, resumes="old_target")
        arm.tell(0.5, 0.0, now_s=1.0)
        arm.manners.__class__ = Forgetful
        act(arm.manners)
        assert arm.followed in ([[0.0, 0.0]], [[0.5, 0.0]])


class Forgetful(DriverManners):
    """Its last motion is gone after it was looked at once."""

    def __getattribute__(self, name: str) -> object:
        found = super().__getattribute__(name)
        if name == "_last":
            self.__dict__["_last"] = None
        return found
