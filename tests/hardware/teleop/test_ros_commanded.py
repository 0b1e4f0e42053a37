"""What the teleoperation's node makes of the commands that an arm is told, for its recording."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")

from std_msgs.msg import Float64MultiArray
from teleop_rig import arm

from hardware.ros.teleop_node import TeleopNode
from robot.actions import JOINT_POSITION

pytestmark = pytest.mark.ros


class Node:
    """As much of a node as hears a command."""

    _on_command, _commanded = TeleopNode._on_command, TeleopNode._commanded

    def __init__(self, name: str) -> None:
        self.arm, self.put, self.said = arm(name), [], []  # type: ignore[var-annotated]
        self._chain = self.arm.read_chain()
        self.teleop = SimpleNamespace(status={"gripper": -1.0}, kind=JOINT_POSITION)
        self._recording = SimpleNamespace(put_command=self.put.append)

    def get_logger(self) -> Any:
        return SimpleNamespace(warning=lambda words, **_: self.said.append(words))


def test_an_arm_whose_gripper_goes_with_the_joints_is_recorded() -> None:
    node = Node("sim_so101_bus")
    joints = [0.1, -0.4, 0.5, 0.2, -0.1]
    node._on_command(Float64MultiArray(data=[*joints, 0.0]))
    assert node.said == [] and node.put[0].gripper == 1.0  # 0 is closed
    assert node._chain is not None
    np.testing.assert_allclose(node.put[0].position, node._chain.forward(np.array(joints))[0])


def test_a_command_of_another_size_is_said_and_left_out() -> None:
    node = Node("sim_so101_bus")
    node._on_command(Float64MultiArray(data=[0.1] * 5))
    assert node.put == [] and "so101/commands is not recorded" in node.said[0]
