"""What the teleoperation's node makes of the commands that an arm is told, for its recording; and what it records of an
arm that does not say it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")

import rclpy
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from teleop_rig import arm

from hardware.commands import teleop
from hardware.ros.teleop_node import TeleopNode
from hardware.teleop.mapping import Shape
from robot import bundle
from robot.actions import JOINT_POSITION
from robot.errors import PixelarmError

pytestmark = pytest.mark.ros


class Node:
    """As much of a node as hears a command."""

    _on_command, _commanded, _posed = TeleopNode._on_command, TeleopNode._commanded, TeleopNode._posed
    _on_policy, _on_policy_gripper, _policy_gripper = TeleopNode._on_policy, TeleopNode._on_policy_gripper, -1.0

    def __init__(self, name: str) -> None:
        self.arm, self.put, self.said = arm(name), [], []  # type: ignore[var-annotated]
        self._chain = self.arm.read_chain()
        self.teleop = SimpleNamespace(status={"gripper": -1.0}, kind=JOINT_POSITION)
        self._recording = SimpleNamespace(
            put_command=self.put.append, put_wanted=lambda source, target: self.put.append((source, target))
        )

    def get_logger(self) -> Any:
        return SimpleNamespace(warning=lambda words, **_: self.said.append(words))


def test_an_arm_whose_gripper_goes_with_the_joints_is_recorded() -> None:
    node = Node("sim_so101_bus")
    joints = [0.1, -0.4, 0.5, 0.2, -0.1]
    node._on_command(Float64MultiArray(data=[*joints, 0.0]))
    assert node.said == [] and node.put[0].gripper == 1.0  # 0 is closed
    assert node._chain is not None
    np.testing.assert_allclose(node.put[0].position, node._chain.forward(np.array(joints))[0])


def test_what_a_policy_wants_of_the_arbiter_is_recorded_as_a_pose() -> None:
    """Joints in another order than the arm's, and the gripper that came before them."""
    node = Node("sim_so101_bus")
    names, joints = list(node.arm.joint_names), [0.1, -0.4, 0.5, 0.2, -0.1]
    node._on_policy_gripper(JointState(name=["gripper"], position=[0.5]))
    node._on_policy(JointState(name=names[::-1], position=joints[::-1]))
    assert node.said == [] and node._chain is not None
    ((source, target),) = node.put
    assert source == "policy" and target.gripper == 0.5
    np.testing.assert_allclose(target.position, node._chain.forward(np.array(joints))[0])
    node._on_policy(JointState(name=names[:3], position=joints[:3]))
    assert len(node.put) == 1 and "a target of the policy is not recorded" in node.said[0]


def test_a_command_of_another_size_is_said_and_left_out() -> None:
    node = Node("sim_so101_bus")
    node._on_command(Float64MultiArray(data=[0.1] * 5))
    assert node.put == [] and "so101/commands is not recorded" in node.said[0]


# ------------------------------------------------------------------------------------ an arm that does not say its task
@pytest.mark.parametrize("kind", ["bundle", "file", "task"])
def test_a_contract_comes_from_a_bundle_a_file_or_a_task(kind: str, lift_bundle: Path, tmp_path: Path) -> None:
    contract = bundle.read(lift_bundle)[1]
    (tmp_path / "contract.yaml").write_text(contract.to_yaml())
    what = {"bundle": str(lift_bundle), "file": str(tmp_path / "contract.yaml"), "task": "lift"}[kind]
    assert teleop.find_contract(what, arm("sim_panda")) == contract


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--arm", "ur5e_forward", "--record", "DIR"], "does not say it: add --contract with a task's name"),
        (["--arm", "ur5e_forward", "--contract", "lift"], "--contract would do nothing: nothing is recorded"),
        (["--contract", "lift", "--record", "DIR"], "--contract would do nothing: the arm 'sim_panda' says its own"),
    ],
)
def test_a_contract_that_is_missing_or_does_nothing_is_refused(options: list[str], words: str, tmp_path: Path) -> None:
    given = [str(tmp_path / "out") if option == "DIR" else option for option in options]
    with pytest.raises(PixelarmError, match=words):
        teleop._check(teleop.parser().parse_args(given))


def test_of_a_policy_that_returns_chunks_what_an_episode_holds_is_recorded(
    lift_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contract = bundle.read(lift_bundle)[1]
    monkeypatch.setattr(teleop.bundle, "read", lambda path: ({}, contract.for_policy(history=2, chunk=8)))
    assert teleop.find_contract(str(lift_bundle), arm("sim_panda")) == contract.recorded()


def test_a_contract_for_another_arm_is_refused(lift_bundle: Path) -> None:
    with pytest.raises(PixelarmError, match=r"unknown task 'lifting'"):
        teleop.find_contract("lifting", arm("ur5e_forward"))
    with pytest.raises(PixelarmError, match="gripper_opening|camera|joint|arm"):
        teleop.find_contract(str(lift_bundle), arm("sim_kitchen"))


@pytest.mark.serial
def test_an_arm_that_says_no_contract_is_recorded_by_the_one_that_is_given(lift_bundle: Path, tmp_path: Path) -> None:
    """A real arm's profile: recording is ready at once, and the hand turns as the actions do."""
    rclpy.init()
    profile, ended = arm("franka_crisp"), []

    def start(desk: object) -> Callable[[], None]:
        return lambda: ended.append(desk)

    try:
        contract = bundle.read(lift_bundle)[1]
        node = TeleopNode(profile, Shape.of(profile.limits, 0.1, 0.5), start, None, tmp_path, "web", contract)
        assert node.desk.report()["recording"]["words"].startswith("recording begins when you move the arm")
        assert node.teleop.mapping.turns is False
        node.finish()
        node.destroy_node()
        assert len(ended) == 1
    finally:
        rclpy.try_shutdown()
