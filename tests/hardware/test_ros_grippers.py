"""Grippers over ROS: each message, and actions with a control_msgs and a driver that the test makes up.

control_msgs is not among the wheels, so no action has run over DDS here: only its use of the client is tried.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("rclpy")

from action_msgs.msg import GoalStatus
from rclpy.action import GoalResponse
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64, Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from hardware.ros.gripper_input import GripperInput
from robot.errors import MissingDependency
from robot.profile.grippers import ACTION, FLOAT, JOINT_STATE, MULTI_ARRAY, PARALLEL_ACTION, TRAJECTORY, GripperCommand
from robot.ros import gripper_output
from robot.ros.gripper_output import make

STAMP_NS = 7_000_000_000


def command(**keys: Any) -> GripperCommand:
    return GripperCommand(**{"topic": "gripper", "open": 0.08, "closed": 0.0, "unit": "m", "joint": "finger", **keys})


class Published:
    """Publishers that keep what they are given."""

    def __init__(self) -> None:
        self.made: list[tuple[Any, str]] = []
        self.messages: list[Any] = []

    def __call__(self, kind: Any, topic: str) -> Any:
        self.made.append((kind, topic))
        return SimpleNamespace(publish=self.messages.append)


def nothing(words: str) -> None:
    raise AssertionError(words)


# -------------------------------------------------------------------------------------------------------------- topics
@pytest.mark.parametrize(
    ("kind", "message", "stamp_ns"),
    [
        (JOINT_STATE, JointState, STAMP_NS),
        (MULTI_ARRAY, Float64MultiArray, 0),
        (FLOAT, Float64, 0),
        (TRAJECTORY, JointTrajectory, 0),
    ],
)
def test_the_simulated_arm_hears_what_is_sent(kind: str, message: Any, stamp_ns: int) -> None:
    published = Published()
    output = make(command(type=kind), published, None, nothing, "base", 0.1)
    for gripper in (-1.0, 0.5, 0.5):
        output.publish(gripper, STAMP_NS, hold=False)
    output.publish(0.5, STAMP_NS, hold=True)  # a topic is told its last value again
    assert published.made == [(message, "gripper")]
    assert output.counts() == {"sent": 4}

    heard: list[tuple[int, float]] = []
    subscribed: list[Any] = []
    node = SimpleNamespace(create_subscription=lambda *made: subscribed.append(made[:2]))
    hears = GripperInput(node, command(type=kind), lambda *said: bool(heard.append(said)), nothing)
    assert subscribed == published.made
    for each in published.messages:
        hears.on_message(each)
    assert heard == [(stamp_ns, pytest.approx(g)) for g in (-1.0, 0.5, 0.5, 0.5)]


def test_a_topic_may_be_sent_on_change_only() -> None:
    published = Published()
    output = make(command(type=FLOAT, on_change=True, min_interval_s=0.0), published, None, nothing, "base", 0.1)
    for gripper, hold in ((-1, True), (-1, False), (-1, False), (1, True), (1, False), (1, False)):
        output.publish(gripper, STAMP_NS, hold)
    assert [m.data for m in published.messages] == [0.08, 0.0]


def test_another_joints_message_is_left_aside_and_a_useless_one_is_said() -> None:
    heard, said = [], []
    node = SimpleNamespace(create_subscription=lambda *made: None)
    GripperInput(node, command(), lambda *got: bool(heard.append(got)), said.append).on_message(
        JointState(name=["arm"], position=[1.0])
    )
    GripperInput(node, command(type=MULTI_ARRAY), lambda *got: bool(heard.append(got)), said.append).on_message(
        Float64MultiArray(data=[0.0, 1.0])
    )
    assert heard == [] and len(said) == 1 and "got 2" in said[0]


# ------------------------------------------------------------------------------------------------------------- actions
@pytest.fixture
def control_msgs(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A stand-in for the package, with the fields of its two actions."""

    def action(field: Callable[[], Any], **result: Any) -> Any:
        return SimpleNamespace(
            Goal=lambda: SimpleNamespace(command=field()), Result=lambda: SimpleNamespace(**result, reached_goal=False)
        )

    module = types.ModuleType("control_msgs.action")
    module.GripperCommand = action(lambda: SimpleNamespace(position=0.0, max_effort=0.0), position=0.0)  # type: ignore[attr-defined]
    module.ParallelGripperCommand = action(JointState, state=JointState())  # type: ignore[attr-defined]
    package = types.ModuleType("control_msgs")
    package.action = module  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "control_msgs", package)
    monkeypatch.setitem(sys.modules, "control_msgs.action", module)
    return module


class Future:
    def __init__(self) -> None:
        self._callbacks: list[Any] = []

    def add_done_callback(self, callback: Any) -> None:
        self._callbacks.append(callback)

    def set(self, result: Any) -> None:
        self.result = lambda: result
        for callback in self._callbacks:
            callback(self)


class Driver:
    """An action client whose server the test plays."""

    def __init__(self) -> None:
        self.ready = True
        self.goals: list[Any] = []
        self.results: list[Future] = []
        self.cancelled = 0
        self._answers: list[Future] = []

    def server_is_ready(self) -> bool:
        return self.ready

    def send_goal_async(self, goal: Any) -> Future:
        self.goals.append(goal)
        self._answers.append(Future())
        return self._answers[-1]

    def answer(self, accepted: bool = True) -> None:
        """What the server says of the newest goal."""
        self.results.append(Future())
        result = self.results[-1]
        handle = SimpleNamespace(accepted=accepted, get_result_async=lambda: result, cancel_goal_async=self._cancel)
        self._answers[-1].set(handle)

    def end(self, status: int) -> None:
        self.results[-1].set(SimpleNamespace(status=status))

    def _cancel(self) -> None:
        self.cancelled += 1

    @property
    def positions(self) -> list[float]:
        return [goal.command.position for goal in self.goals]


class Rig:
    """An output to an action whose clock the test owns."""

    def __init__(self, **keys: Any) -> None:
        self.now_s = 10.0
        self.driver = Driver()
        self.said: list[str] = []
        self.asked: list[tuple[Any, str]] = []
        made = command(**{"type": ACTION, "max_effort": 20.0, **keys})
        self.output = make(made, Published(), self._client, self.said.append, "base", 0.1, lambda: self.now_s)

    def _client(self, kind: Any, name: str) -> Driver:
        self.asked.append((kind, name))
        return self.driver

    def publish(self, *grippers: float, hold: bool = False) -> dict[str, int]:
        """Commands at 10 Hz; returns the counts that are not zero."""
        for gripper in grippers:
            self.output.publish(gripper, STAMP_NS, hold)
            self.now_s += 0.1
        return {name: n for name, n in self.output.counts().items() if n}


def test_goals_are_sent_on_change_only_and_never_while_the_arm_holds(control_msgs: types.ModuleType) -> None:
    rig = Rig()
    assert rig.asked == [(control_msgs.GripperCommand, "gripper")]
    rig.publish(-1, -1, -1, -1)
    rig.publish(1, 1, 1, 1, hold=True)
    assert rig.driver.positions == [0.08]
    assert rig.publish(1, 1) == {"sent": 2}
    assert rig.driver.positions == [0.08, 0.0]
    assert [goal.command.max_effort for goal in rig.driver.goals] == [20.0, 20.0]


def test_the_newer_action_names_the_joint(control_msgs: types.ModuleType) -> None:
    rig = Rig(type=PARALLEL_ACTION, max_effort=None)
    rig.publish(1)
    sent = rig.driver.goals[0].command
    assert rig.asked[0][0] is control_msgs.ParallelGripperCommand
    assert (sent.name, list(sent.position), list(sent.effort)) == (["finger"], [0.0], [])
    rig = Rig(type=PARALLEL_ACTION, max_effort=3.0)
    rig.publish(1)
    assert list(rig.driver.goals[0].command.effort) == [3.0]


def test_what_becomes_of_goals_is_counted_and_trouble_said_once(control_msgs: types.ModuleType) -> None:
    rig = Rig()
    for gripper, status in ((1, 4), (-1, 6), (1, 6), (-1, 5)):
        rig.publish(gripper, gripper, gripper)
        rig.driver.answer()
        rig.driver.end(status)
    assert status == GoalStatus.STATUS_CANCELED
    assert rig.publish() == {"sent": 4, "succeeded": 1, "aborted": 2, "cancelled": 1}
    assert len(rig.said) == 1 and "action gripper aborted the goal 0.08 m: an object between" in rig.said[0]
    rig.output.forget()  # activated again
    rig.publish(1)
    rig.driver.answer()
    rig.driver.end(6)
    assert len(rig.said) == 2


def test_a_rejected_goal_is_sent_again_but_does_not_flood_the_driver(control_msgs: types.ModuleType) -> None:
    rig = Rig(min_interval_s=0.35)
    rig.publish(1)
    rig.driver.answer(accepted=False)
    rig.publish(1, 1, 1)
    assert len(rig.driver.goals) == 1  # 0.1, 0.2 and 0.3 s after it
    assert rig.publish(1) == {"sent": 2, "rejected": 1}
    rig.driver.answer()
    rig.publish(1, 1, 1, 1, 1)
    assert len(rig.driver.goals) == 2
    assert len(rig.said) == 1 and "rejected the goal 0 m" in rig.said[0]


def test_without_a_server_the_value_waits_for_one(control_msgs: types.ModuleType) -> None:
    rig = Rig(min_interval_s=0.15)
    rig.driver.ready = False
    assert rig.publish(1, 1, 1) == {"no_server": 2}  # looked for at 0 and 0.2 s
    assert len(rig.said) == 1 and "has no server" in rig.said[0]
    rig.driver.ready = True
    assert rig.publish(1, 1, 1)["sent"] == 1


def test_a_driver_that_takes_one_goal_at_a_time_has_the_running_one_cancelled(control_msgs: types.ModuleType) -> None:
    rig = Rig(preempt=False)
    rig.publish(1)
    rig.driver.answer()
    rig.publish(-1, -1, -1, -1, -1, -1)
    assert rig.driver.positions == [0.0] and rig.driver.cancelled == 1
    rig.driver.end(5)
    assert rig.publish(-1, -1, -1) == {"sent": 2, "cancelled": 1}
    assert rig.driver.positions == [0.0, 0.08]


def test_a_goal_that_was_cancelled_is_sent_again_if_it_is_wanted_after_all(
    control_msgs: types.ModuleType,
) -> None:
    rig = Rig(preempt=False)
    rig.publish(1)
    rig.driver.answer()
    rig.publish(-1, -1, -1)
    rig.driver.end(5)
    rig.publish(1, 1, 1)
    assert rig.driver.positions == [0.0, 0.0]


def test_a_goal_without_a_result_is_given_up(control_msgs: types.ModuleType) -> None:
    rig = Rig(preempt=False)
    rig.publish(1)
    rig.now_s += gripper_output.RESULT_S
    assert rig.publish(-1, -1, -1) == {"sent": 2, "lost": 1}
    assert "did not say within 10 s" in rig.said[0]


def test_a_missing_package_is_said_before_anything_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "control_msgs", None)
    with pytest.raises(MissingDependency, match=r"gripper_command_action .*control_msgs.*ros-jazzy-control-msgs"):
        Rig()
    published = Published()  # a dry run does without
    output = make(command(type=ACTION, max_effort=1.0), published, None, nothing, "base", 0.1)
    output.publish(1.0, STAMP_NS, hold=False)
    assert published.made == [(Float64, "gripper")] and published.messages == [Float64(data=0.0)]


def test_an_older_package_without_the_newer_action_is_said(control_msgs: types.ModuleType) -> None:
    del control_msgs.ParallelGripperCommand  # type: ignore[attr-defined]
    with pytest.raises(MissingDependency, match="needs control_msgs/action/ParallelGripperCommand, and .* older"):
        Rig(type=PARALLEL_ACTION)


@pytest.mark.parametrize(("kind", "effort"), [(ACTION, 5.0), (PARALLEL_ACTION, None)])
def test_the_simulated_arm_takes_goals(
    kind: str, effort: float | None, control_msgs: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: dict[str, Any] = {}
    monkeypatch.setattr(
        "hardware.ros.gripper_input.ActionServer", lambda node, kind, name, **calls: served.update(name=name, **calls)
    )
    follows, heard, said = [True], [], []
    made = command(type=kind, max_effort=effort)
    node = SimpleNamespace(create_timer=lambda seconds, callback: None)
    hears = GripperInput(node, made, lambda stamp, value: bool(heard.append((stamp, value))) or follows[0], said.append)
    goal = gripper_output.make_goal(made, gripper_output.action_type(kind), 0.02)
    assert served["name"] == "gripper" and served["goal_callback"](goal) == GoalResponse.ACCEPT
    assert heard == [(0, pytest.approx(0.5))]
    follows[0] = False  # during a reset
    assert served["goal_callback"](goal) == GoalResponse.REJECT
    ended: list[str] = []
    handle = SimpleNamespace(request=goal, is_cancel_requested=False, succeed=lambda: ended.append("succeeded"))
    result = hears.execute(handle, gripper_output.action_type(kind))
    assert ended == ["succeeded"] and result.reached_goal
    if kind == PARALLEL_ACTION:
        assert list(result.state.position) == [0.02]
        goal.command.name = ["another"]
        assert served["goal_callback"](goal) == GoalResponse.REJECT and "no value for finger" in said[0]


def test_a_busy_gripper_answers_its_goals_once_it_is_not(
    control_msgs: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was cancelled meanwhile is not said to have succeeded."""
    made, served, busy, executed, ended = command(type=ACTION, max_effort=5.0), {}, [True], [], []  # type: ignore[var-annotated]
    monkeypatch.setattr("hardware.ros.gripper_input.ActionServer", lambda *given, **calls: served.update(calls))
    timers: list[Any] = []
    node = SimpleNamespace(create_timer=lambda seconds, callback: timers.append(callback))
    hears = GripperInput(node, made, lambda stamp, value: True, nothing, lambda: busy[0])
    goal = gripper_output.make_goal(made, gripper_output.action_type(ACTION), 0.02)
    served["handle_accepted_callback"](SimpleNamespace(execute=lambda: executed.append(1)))
    timers[0]()
    assert executed == []
    busy[0] = False
    timers[0]()
    served["handle_accepted_callback"](SimpleNamespace(execute=lambda: executed.append(2)))
    timers[0]()
    assert executed == [1, 2]
    handle = SimpleNamespace(request=goal, is_cancel_requested=True, canceled=lambda: ended.append("cancelled"))
    hears.execute(handle, gripper_output.action_type(ACTION))
    assert ended == ["cancelled"]
