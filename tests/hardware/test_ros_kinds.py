"""Kinds of action other than a position, through both nodes and over DDS, in one process."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml

from robot import bundle, profile, rotations
from robot.actions import KINDS, POSE, Target
from robot.contract import Action, Contract, Proprio
from robot.control.loop import Command
from robot.errors import PixelarmError
from robot.profile import ArmProfile

pytest.importorskip("rclpy")
onnx = pytest.importorskip("onnx")
pytest.importorskip("mujoco")
pytestmark = [pytest.mark.ros, pytest.mark.gl, pytest.mark.serial]

TURN = 0.1  # rad a control step


def policy(
    folder: Path, contract: Contract, seen: str, weight: float, bias: np.ndarray, more: tuple[float, ...]
) -> Path:
    """A bundle made by hand: actions are ``weight * seen + bias``, then ``more``."""
    from onnx import TensorProto, helper, numpy_helper

    inputs = [helper.make_tensor_value_info(c.name, TensorProto.UINT8, [1, *c.shape]) for c in contract.cameras]
    inputs += [helper.make_tensor_value_info(p.name, TensorProto.FLOAT, [1, p.size]) for p in contract.proprio]
    graph = helper.make_graph(
        [
            helper.make_node("Mul", [seen, "weight"], ["weighted"]),
            helper.make_node("Add", ["weighted", "bias"], ["motion"]),
            helper.make_node("Concat", ["motion", "more"], ["action"], axis=1),
        ],
        "affine",
        inputs,
        [helper.make_tensor_value_info("action", TensorProto.FLOAT, [1, contract.action.size])],
        [
            numpy_helper.from_array(np.float32([[weight]]), "weight"),
            numpy_helper.from_array(np.float32([bias]), "bias"),
            numpy_helper.from_array(np.float32([more]), "more"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bundle.write(folder / "bundle", model.SerializeToString(), contract, {"recipe": "by hand"})


@contextmanager
def nodes(path: Path, task: str, arm: str, **options: Any) -> Iterator[tuple[Any, Any]]:
    """The policy's node and the simulated arm's, spinning."""
    import rclpy
    from rclpy.executors import SingleThreadedExecutor

    from hardware.ros.sim_arm_node import SimArmNode
    from hardware.simulated.arm import Options
    from robot.ros.policy_node import PolicyNode

    rclpy.init()
    made: list[Any] = []
    executor = SingleThreadedExecutor()
    try:
        made.append(SimArmNode(Options(task, arm, 0, 0, 0, None, None, 0.5, **options)))
        made.append(PolicyNode({"bundle": str(path), "profile": arm, "autostart": True}))
        for node in made:
            executor.add_node(node)
        threading.Thread(target=executor.spin, daemon=True).start()
        yield made[1], made[0].arm
    finally:
        executor.shutdown(timeout_sec=2.0)
        for node in reversed(made):
            node.finish()
            node.destroy_node()
        rclpy.try_shutdown()


def until(reached: Callable[[], bool], limit_s: float = 20.0) -> bool:
    end = time.monotonic() + limit_s
    while not reached() and time.monotonic() < end:
        time.sleep(0.02)
    return reached()


def test_joint_velocities_lead_the_kitchens_arm_to_a_goal_and_end_with_the_policy(tmp_path: Path) -> None:
    from sim.tasks import make_task

    goal = np.array([0.4, -1.5, 1.6, -2.2, 0.3, 0.9, 1.4])
    path = policy(tmp_path, make_task("kitchen_kettle").contract, "joint_pos", -3.0, 3.0 * goal, (1.0,))
    with nodes(path, "kitchen_kettle", "sim_kitchen") as (driving, arm):
        world = arm.world
        joints = lambda: world.data.qpos[world.arm.qpos]  # noqa: E731
        assert until(lambda: np.abs(joints() - goal).max() < 0.02), np.abs(joints() - goal)
        assert world.gripper_opening() < 0.02
        stats = driving.loop.stats()
        assert stats["commands"] >= 8 and set(stats["limits"]) >= {"joint_speed", "joint_range"}
        followed: list[np.ndarray] = []
        follow = world.follow
        world.follow = lambda target: (followed.append(target.joint_velocities), follow(target))
        arm.velocity_timeout_s = 60.0  # the arm itself would end them too
        driving.loop.stop()
        assert until(
            lambda: any(not np.any(velocities) for velocities in followed)
        )  # zeros, not the last velocities again


def test_a_policy_of_true_states_drives_the_kitchens_arm(tmp_path: Path) -> None:
    from sim.tasks.kitchen import Kitchen

    goal = np.array([0.4, -1.5, 1.6, -2.2, 0.3, 0.9, 1.4])
    contract = Kitchen(("kettle",), observe="states").contract
    path = policy(tmp_path, contract, "joint_pos", -3.0, 3.0 * goal, (1.0,))
    with nodes(path, "kitchen_kettle", "sim_kitchen", observe="states") as (driving, arm):
        world = arm.world
        assert until(lambda: np.abs(world.data.qpos[world.arm.qpos] - goal).max() < 0.02)
        with arm._lock:
            world.data.qpos[world.object_qpos[-7]] += 0.02  # the kettle, along x
        kettle = lambda: driving.loop.mailbox.last.values["object_state"]  # noqa: E731
        assert until(lambda: np.abs(kettle() - world.data.qpos[world.object_qpos]).max() < 0.002)
        seen = driving.loop.mailbox.last.values
        assert seen["object_state"].shape == (21,) and seen["finger_pos"].shape == (2,)
        np.testing.assert_allclose(seen["finger_pos"], world.data.qpos[world.arm.finger_qpos], atol=0.005)


def test_a_yaw_turns_the_hand_and_keeps_it_upright(tmp_path: Path) -> None:
    from sim.tasks import make_task
    from sim.tasks.common.grasping import hand_yaw

    goal = np.array([0.5, 0.05, 0.15])
    path = policy(tmp_path, make_task("stack").contract, "eef_pos", -1.0, goal, (TURN, -1.0))
    with nodes(path, "stack", "sim_panda") as (driving, arm):
        world = arm.world
        assert until(lambda: hand_yaw(world) > 0.5), hand_yaw(world)
        assert until(lambda: bool(np.linalg.norm(world.eef_position() - goal) < 0.03))
        lean, at_home = (np.degrees(np.arccos(-turned[2, 2])) for turned in (world.eef_rotation(), world.home_rotation))
        assert abs(lean - at_home) < 5  # 7 degrees at home, to a side that turns with the hand
        assert driving.loop.rules["box"] == 0


@pytest.mark.parametrize("arm_name", ["sim_so101", "sim_so101_joints"])
def test_poses_lead_an_arm_of_servos_to_a_goal(arm_name: str, tmp_path: Path) -> None:
    """Solved by the simulated arm itself, or by the node for an arm that takes joint positions alone."""
    from sim.arms import ARMS
    from sim.tasks import make_task

    goal = np.array([0.25, 0.06, 0.12])
    path = policy(tmp_path, make_task("lift", arm=ARMS["so101"]).contract, "eef_pos", -0.5, 0.5 * goal, (1.0,))
    with nodes(path, "lift", arm_name) as (driving, arm):
        world = arm.world
        # deltas count from the last target: what the arm sags by is made up for
        assert until(lambda: bool(np.linalg.norm(world.eef_position() - goal) < 0.01)), world.eef_position()
        stats = driving.loop.stats()
        assert ("unreachable" in stats["limits"]) == (arm_name == "sim_so101_joints")
        assert stats["rules"]["unreachable"] == 0


@pytest.mark.parametrize("kind_of_message", ["joint_trajectory", "float64_multi_array"])
def test_joint_positions_lead_the_panda_to_a_goal(
    kind_of_message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sim.arms.panda import PANDA
    from sim.tasks import TASKS, make_task

    task = make_task("lift")
    action = Action("joint_position", tuple("abcdefgh"), KINDS["joint_position"].units_of(8), (-4.0,) * 8, (4.0,) * 8)
    proprio = (Proprio("joint_pos", 7, "rad", "joint"), Proprio("joint_vel", 7, "rad/s", "joint"))
    task.contract = dataclasses.replace(task.contract, proprio=proprio, action=action)
    monkeypatch.setitem(TASKS, "lift", lambda image_size: task)
    folder = profile.shipped()
    assert folder is not None
    data = yaml.safe_load((folder / "sim_panda.yaml").read_text())
    data["target_joint_position"] = {"topic": "joints_wanted", "type": kind_of_message}
    data["joint_names"] = data["joint_names"][::-1]  # a driver's order need not be the arm's
    for name in ("joint_low", "joint_high", "max_joint_speed_rad_s"):
        data["limits"][name] = data["limits"][name][::-1]
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump({**data, "name": "mine"}))
    ArmProfile.load(file)
    goal = np.array(PANDA.home) + (0.3, 0.1, 0.1, 0.1, -0.1, -0.2, 0.3)
    path = policy(tmp_path, task.contract, "joint_pos", 0.0, goal[::-1], (1.0,))
    with nodes(path, "lift", str(file)) as (_, arm):
        joints = lambda: arm.world.data.qpos[arm.world.arm.qpos]  # noqa: E731
        assert until(lambda: np.abs(joints() - goal).max() < 0.02), np.abs(joints() - goal)


def test_a_profile_of_another_arm_than_the_scenes_is_refused() -> None:
    import rclpy

    from hardware.ros.sim_arm_node import SimArmNode
    from hardware.simulated.arm import Options

    rclpy.init()
    try:
        with pytest.raises(
            PixelarmError, match="'sim_panda' is not for this scene's arm.*panda_joint6.*--arm sim_kitchen"
        ):
            SimArmNode(Options("kitchen_kettle", "sim_panda", 0, 0, 0, None, None, 0.5))
        with pytest.raises(
            PixelarmError, match="'sim_kitchen' takes joint_velocity, joint_position actions.*target_pose"
        ):
            SimArmNode(Options("lift", "sim_kitchen", 0, 0, 0, None, None, 0.5))
    finally:
        rclpy.try_shutdown()


class Published:
    """Stands for every publisher of a node."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def __call__(self, kind: Any, topic: str) -> Any:
        return SimpleNamespace(publish=lambda message: self.sent.append((topic, message)))

    def orientation(self) -> list[float]:
        turn = next(m for topic, m in reversed(self.sent) if topic == "target_pose").pose.orientation
        return [turn.x, turn.y, turn.z, turn.w]


def test_a_position_holds_the_orientation_of_its_start_and_a_rotation_is_sent() -> None:
    from robot.ros.outputs import Outputs

    folder = profile.shipped()
    assert folder is not None
    arm, published = ArmProfile.load(folder / "sim_panda.yaml"), Published()
    first, second, third = ([1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.6, 0.8])
    outputs = Outputs(published, arm, POSE, 0.1)
    command = Command(7, Target(1.0, position=np.array([0.1, 0.2, 0.3])))
    for measured, held in ((first, first), (second, first)):  # it sags or is pushed: the target stays
        outputs.measured(np.array(measured))
        outputs.publish(command)
        assert published.orientation() == held
    outputs.let_go()  # activated anew
    outputs.publish(command)
    assert published.orientation() == second
    turning = Outputs(published, arm, POSE, 0.1)
    turning.publish(Command(7, command.target.replace(rotation=rotations.from_quaternion(np.array(third)))))
    np.testing.assert_allclose(published.orientation(), third)
    gripper = published.sent[-1][1]
    assert (gripper.header.stamp.nanosec, list(gripper.position)) == (7, [0.0])
