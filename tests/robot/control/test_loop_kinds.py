"""The loop drives every kind of action that an arm understands, and holds each in the way that stops it."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from loop_rig import CONTRACT, HERE, LIMITS, Rig, running

from robot import actions, rotations
from robot.actions import KINDS, ORIGINS, PROPRIO, Reference, Target
from robot.contract import Action, Contract, Proprio
from robot.control.limits import default_limits
from robot.control.loop import Command, ControlLoop
from robot.errors import PixelarmError

HOME = (1.0, 0.0, 0.0, 0.0)  # x, y, z, w: the gripper straight down
MEASURED = {
    "eef_pos": np.array([0.5, 0.1, 0.3]) + 1e-9,  # no float32 is that near
    "eef_quat": rotations.to_quaternion(rotations.about_vertical(0.2) @ rotations.from_quaternion(np.array(HOME))),
    "joint_pos": np.array([0.5, -0.5]) + 1e-9,
    "gripper_opening": np.array([0.08]),
}
ACTIONS = {
    "eef_delta_position": (0.01, -0.02, 0.0, 1.0),
    "eef_delta_position_yaw": (0.01, -0.02, 0.0, 0.1, 1.0),
    "eef_delta_pose": (0.01, -0.02, 0.0, 0.1, 0.0, 0.1, 1.0),
    "joint_position": (0.6, -0.6, 1.0),
    "joint_velocity": (0.4, -0.4, 1.0),
}
BY_KIND = pytest.mark.parametrize("kind", ACTIONS)


def contract(kind: str) -> Contract:
    names = [*KINDS[kind].needs, "gripper_opening"]
    proprio = tuple(Proprio(n, PROPRIO[n].size or 2, PROPRIO[n].unit, PROPRIO[n].frame) for n in names)
    size = len(ACTIONS[kind])
    action = Action(kind, tuple("abcdefg"[:size]), KINDS[kind].units_of(size), (-1.0,) * size, (1.0,) * size)
    return dataclasses.replace(CONTRACT, proprio=proprio, action=action)


def rig_of(kind: str, ticks: int = 10, **settings: Any) -> Rig:
    rig = Rig(contract=contract(kind), home_xyzw=HOME, **settings)
    rig.measured = {p.name: MEASURED[p.name].copy() for p in rig.contract.proprio}
    rig.action = np.float32([ACTIONS[kind]])
    rig.run(ticks)
    assert rig.loop.state == "running"
    rig.sent.clear()
    return rig


def values(target: Target) -> np.ndarray:
    return np.concatenate([np.ravel(v) for v in vars(target).values() if v is not None])


def test_there_is_an_example_of_every_kind() -> None:
    assert set(ACTIONS) == {name for name, kind in KINDS.items() if kind.make}


@BY_KIND
def test_a_command_is_what_the_action_means_from_the_very_numbers_that_were_measured(kind: str) -> None:
    rig = rig_of(kind)
    rig.run(1)
    _, command, hold = rig.sent[-1]
    reference = Reference.of(MEASURED, rotations.from_quaternion(np.array(HOME)))
    np.testing.assert_array_equal(values(command.target), values(actions.target(kind, reference, rig.action[0])))
    assert hold is False
    assert set(rig.loop.limits.counts().values()) == {0}
    assert all(
        rig.seen[-1][p.name].dtype == np.float32 for p in rig.contract.proprio
    )  # what the policy was trained with


@BY_KIND
def test_a_hold_is_the_last_target_again_and_no_velocity(kind: str) -> None:
    rig = rig_of(kind)
    rig.run(1)
    last = rig.sent[-1][1]
    rig.silent = {"front", "wrist"}
    rig.run(5)
    assert [hold for _, _, hold in rig.sent[-4:]] == [True] * 4
    for _, command, _ in rig.sent[-4:]:
        assert command.obs_stamp_ns == last.obs_stamp_ns
        np.testing.assert_array_equal(values(command.target), values(last.target.to_hold()))
    if kind == "joint_velocity":
        np.testing.assert_array_equal(rig.sent[-1][1].target.joint_velocities, [0.0, 0.0])
    rig.silent = set()
    assert rig.run(3).loop.state == "running"
    assert rig.sent[-1][2] is False and values(rig.sent[-1][1].target)[1] != 0.0


def test_an_emergency_stop_ends_a_velocity() -> None:
    rig = rig_of("joint_velocity")
    rig.loop.put_estop(True)
    rig.run(1)
    np.testing.assert_array_equal(rig.sent[-1][1].target.joint_velocities, [0.0, 0.0])


def test_a_loop_that_ends_leaves_no_velocity_behind() -> None:
    """On the real clock, as nobody holds the arm any more afterwards."""
    made = contract("joint_velocity")
    policy = SimpleNamespace(contract=made, act=lambda observation: np.float32([ACTIONS["joint_velocity"]]))
    sent: list[tuple[Command, bool]] = []
    loop = ControlLoop(policy, default_limits(LIMITS, made), lambda command, hold: sent.append((command, hold)))
    loop.start()
    for _ in range(200):
        stamp = loop.clock.now_ns()
        for camera in made.cameras:
            loop.put_image(camera.name, np.zeros(camera.shape, np.uint8), stamp)
        for entry in made.proprio:
            loop.put_proprio(entry.name, MEASURED[entry.name], stamp)
        if loop.clock.wait(lambda: bool(sent), loop.clock.steady() + 0.05):
            break
    loop.close()
    assert sent[0][1] is False and np.any(sent[0][0].target.joint_velocities)
    assert sent[-1][1] is True and not np.any(sent[-1][0].target.joint_velocities)


def test_an_orientation_that_is_none_is_not_obeyed() -> None:
    """A driver that has no pose yet may send a quaternion of zeros."""
    rig = rig_of("eef_delta_position_yaw")
    rig.measured["eef_quat"] = np.zeros(4)
    rig.run(3)
    assert rig.loop.rules["not_finite"] >= 2 and rig.sent[-1][2] is True


def test_an_arm_with_a_joint_outside_its_limits_is_not_moved() -> None:
    rig = rig_of("joint_velocity")
    rig.measured["joint_pos"] = np.array([0.5, 2.4])
    rig.run(3)
    assert rig.loop.rules["joint_range"] >= 2
    np.testing.assert_array_equal(rig.sent[-1][1].target.joint_velocities, [0.0, 0.0])


def test_a_kind_that_counts_from_home_needs_it() -> None:
    with pytest.raises(
        PixelarmError, match="'eef_delta_position_yaw' actions count from the orientation at home: .*home_xyzw"
    ):
        Rig(contract=contract("eef_delta_position_yaw"))


def test_joint_actions_need_the_joints_own_limits() -> None:
    with pytest.raises(PixelarmError, match="'joint_position' actions need these limits in the arm's profile"):
        Rig(contract=contract("joint_position"), limits=dataclasses.replace(LIMITS, joint_low=(), joint_high=()))


def test_a_benchmarks_actions_are_refused() -> None:
    action = dataclasses.replace(CONTRACT.action, kind="normalized")
    with pytest.raises(PixelarmError, match="no arm takes 'normalized' actions"):
        running(contract=dataclasses.replace(CONTRACT, action=action))


# ------------------------------------------------------------------ chunks, with inference beside the ticks
CHUNKED: dict[str, Any] = {"chunk": 8, "deadline_ms": 400.0}


@BY_KIND
def test_every_kind_of_action_means_in_a_chunk_what_it_means_alone(kind: str) -> None:
    made = dataclasses.replace(contract(kind), **CHUNKED)
    rig = Rig(contract=made, home_xyzw=HOME)
    rig.worker.latency_s = 0.25
    rig.measured = {p.name: MEASURED[p.name].copy() for p in made.proprio}
    rig.action = np.tile(np.float32([ACTIONS[kind]]), (8, 1))
    rig.run(20)
    wanted = actions.target(kind, Reference.of(MEASURED, rotations.from_quaternion(np.array(HOME))), rig.action[0])
    assert len(rig.sent) >= 12
    for _, command, hold in rig.sent:
        np.testing.assert_allclose(values(command.target), values(wanted), atol=1e-7)
        assert not hold


def test_deltas_count_at_each_tick_from_what_the_contract_says() -> None:
    """An arm that is blocked: 1 cm from where it is measured, or 1 cm further at each tick up to the leash of 5 cm."""
    ways = {}
    for counts_from in ORIGINS:
        action = dataclasses.replace(CONTRACT.action, counts_from=counts_from)
        rig = Rig(contract=dataclasses.replace(CONTRACT, action=action, **CHUNKED))
        rig.worker.latency_s = 0.25
        rig.action = np.tile(np.float32([0.01, 0.0, 0.0, -1.0]), (8, 1))
        rig.run(14)
        ways[counts_from] = [round(float(c.target.position[0] - HERE[0]), 4) for _, c, _ in rig.sent]
    assert ways["measured"][:8] == [0.01] * 8
    assert ways["commanded"][:8] == [0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.06, 0.06]
