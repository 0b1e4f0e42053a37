"""Training and deployment are the same arm: an episode through the environment, and through the control loop and the
simulated arm.

The loop's limits are those of the arm's profile, and its targets go through the messages that the nodes send.
"""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("mujoco")

from loop_rig import FakeClock, FakeWorker

from hardware.simulated.arm import SLICE_S, SimArm
from robot import profile, rotations
from robot.actions import JOINT_POSITION, KINDS, POSE, PROPRIO, Target
from robot.contract import Action, Contract, Proprio
from robot.control.limits import default_limits
from robot.control.loop import Command, ControlLoop, LoopConfig
from robot.profile import ArmProfile
from robot.ros import messages
from sim.arms.panda import PANDA
from sim.envs.task_env import TaskEnv
from sim.envs.task_world import build_world, reset_world
from sim.physics.world import MEASURE, World
from sim.tasks import make_task

STEPS, SEED = 15, 4
CASES = {  # name -> task, kind of action, profile of the arm
    "position": ("lift", "eef_delta_position", "sim_panda"),
    "yaw": ("stack", "eef_delta_position_yaw", "sim_panda"),
    "pose": ("lift", "eef_delta_pose", "sim_panda"),
    "joint positions": ("lift", "joint_position", "sim_panda"),
    "joint velocities": ("lift", "joint_velocity", "sim_panda"),
    "servos": ("kitchen_kettle", "joint_velocity", "sim_kitchen"),
}


def task_of(name: str, kind: str) -> Any:
    """A task without cameras, driven by a kind of action that need not be its own."""
    task = make_task(name)
    contract = dataclasses.replace(task.contract, cameras=())
    if contract.action.kind != kind:
        size = 7 if kind == "eef_delta_pose" else 8
        names = [*KINDS[kind].needs, "gripper_opening"]
        proprio = tuple(Proprio(n, PROPRIO[n].size or 7, PROPRIO[n].unit, PROPRIO[n].frame) for n in names)
        action = Action(kind, tuple("abcdefgh"[:size]), KINDS[kind].units_of(size), (-4.0,) * size, (4.0,) * size)
        contract = dataclasses.replace(contract, proprio=proprio, action=action)
    task.contract = contract
    return task


def actions_for(contract: Contract) -> np.ndarray:
    """Motions ``(STEPS, size)`` that no limit of the profile binds."""
    rng, kind, size = np.random.default_rng(0), contract.action.kind, contract.action.size
    made = rng.uniform(-1, 1, (STEPS, size))
    if kind == "eef_delta_pose":
        made *= [0.04] * 3 + [0.15] * 3 + [1.0]
    elif kind == "joint_position":
        swing = 0.15 * np.sin(0.3 * np.arange(STEPS))[:, None] * rng.uniform(-1, 1, 7)
        made[:, :7] = np.array(PANDA.home) + swing
    elif kind == "joint_velocity":
        made[:, 1] = np.abs(made[:, 1])  # the kitchen starts with joint 2 at its lower limit
    else:
        made *= contract.action.high
    return made.astype(np.float32)


class Recorder:
    """Remembers the targets that a world is given."""

    def __init__(self, world: World) -> None:
        self.targets: list[Target] = []
        self._follow = world.follow
        world.follow = self.follow  # type: ignore[method-assign]

    def follow(self, target: Target) -> None:
        self.targets.append(target)
        self._follow(target)


def through_the_environment(task: Any) -> tuple[list[Target], np.ndarray]:
    env = TaskEnv(task, actuation_delay_ms=(0, 0))
    recorder = Recorder(env.world)
    env.reset(seed=SEED)
    for action in actions_for(task.contract):
        env.step(action)
    return recorder.targets, env.world.data.qpos.copy()


def as_sent(target: Target, arm: ArmProfile, period_s: float) -> dict[str, np.ndarray]:
    """What arrives at the arm's side of the topics."""
    if target.kind == POSE:
        assert target.position is not None
        held = np.array([1.0, 0.0, 0.0, 0.0])
        xyzw = held if target.rotation is None else rotations.to_quaternion(target.rotation)
        pose = messages.to_pose(
            SimpleNamespace(position=SimpleNamespace(), orientation=SimpleNamespace()), target.position, xyzw
        )
        position, xyzw = messages.from_pose(pose)
        return {"position": position} | (
            {} if target.rotation is None else {"rotation": rotations.from_quaternion(xyzw)}
        )
    if target.kind == JOINT_POSITION:
        assert target.joint_positions is not None
        point = SimpleNamespace(time_from_start=SimpleNamespace())
        sent = messages.to_trajectory(SimpleNamespace(), point, arm.joint_names, target.joint_positions, period_s)
        return {"joint_positions": messages.from_trajectory(sent, arm.joint_names)}
    assert target.joint_velocities is not None
    sent = SimpleNamespace(data=target.joint_velocities.tolist())
    return {"joint_velocities": messages.from_multi_array(sent, arm.joint_names)}


class Rehearsal:
    """A control loop whose sensors are a simulated arm that moves from one observation to the next."""

    def __init__(self, task: Any, arm_profile: ArmProfile) -> None:
        self.contract, self.profile, self.clock = task.contract, arm_profile, FakeClock()
        self.world = build_world(task)
        self.recorder = Recorder(self.world)
        reset_world(self.world, task, SEED)
        self.start = self.world.data.qpos.copy()
        self.arm = SimArm(self.world, task, None, now_ns=self.clock.now_ns)  # type: ignore[arg-type]
        self._script = iter(actions_for(self.contract))
        arm_profile.require_contract(self.contract)
        self.loop = ControlLoop(
            self,
            default_limits(arm_profile.limits, self.contract),
            self.publish,
            LoopConfig(home_xyzw=arm_profile.home_xyzw),
            self.clock,  # type: ignore[arg-type]
            worker=FakeWorker(self.act, self.clock),  # type: ignore[arg-type]
        )
        self.clock.at(self.clock.now_s + 0.03, self.observe)

    def act(self, observation: dict[str, np.ndarray]) -> np.ndarray:
        return next(self._script)[None]

    def publish(self, command: Command, hold: bool) -> None:
        assert not hold
        parts = as_sent(command.target, self.profile, self.contract.period_s)
        assert self.arm.command(command.obs_stamp_ns, gripper=command.target.gripper, **parts)

    def observe(self) -> None:
        if self.recorder.targets:
            self.world.advance(round(self.contract.period_s / self.world.timestep))
        for entry in self.contract.proprio:
            self.loop.put_proprio(entry.name, MEASURE[entry.name](self.world), self.clock.now_ns())
        self.clock.at(self.clock.now_s + self.contract.period_s, self.observe)

    def run(self) -> tuple[list[Target], np.ndarray]:
        while len(self.recorder.targets) < STEPS:
            self.loop.step()
        self.world.advance(round(self.contract.period_s / self.world.timestep))
        return self.recorder.targets, self.world.data.qpos.copy()


@pytest.mark.parametrize("case", CASES)
def test_targets_of_environment_and_loop_are_the_same(case: str) -> None:
    name, kind, arm = CASES[case]
    folder = profile.shipped()
    assert folder is not None
    rehearsal = Rehearsal(task_of(name, kind), ArmProfile.load(folder / f"{arm}.yaml"))
    deployed, end = rehearsal.run()
    trained, trained_end = through_the_environment(task_of(name, kind))
    assert len(trained) == len(deployed) == STEPS
    for step, (there, here) in enumerate(zip(trained, deployed)):
        for field, value in vars(there).items():
            if value is not None:
                np.testing.assert_allclose(
                    getattr(here, field), value, rtol=0, atol=1e-9, err_msg=f"{field}, step {step}"
                )
    np.testing.assert_allclose(end, trained_end, rtol=0, atol=1e-9)
    assert set(rehearsal.loop.limits.counts().values()) == {0}
    assert np.abs(end - rehearsal.start)[rehearsal.world.arm.qpos].max() > 0.05


@pytest.mark.parametrize("case", ["joint velocities", "servos"])
def test_velocities_said_a_hundred_times_a_second_are_those_said_once_a_period(case: str) -> None:
    """As an arbiter does, which says the newest target at its own rate."""
    name, kind, _ = CASES[case]
    task = task_of(name, kind)
    world = build_world(task)
    reset_world(world, task, SEED)
    arm = SimArm(world, task, None, now_ns=lambda: 0)  # type: ignore[arg-type]
    slices = round(task.contract.period_s / SLICE_S)
    for step, action in enumerate(actions_for(task.contract)):
        for within in range(slices):
            arm._sim_s = (step * slices + within) * SLICE_S
            assert arm.command(0, gripper=float(action[-1]), joint_velocities=action[:-1].astype(float))
            world.advance(round(SLICE_S / world.timestep))
    np.testing.assert_allclose(world.data.qpos, through_the_environment(task_of(name, kind))[1], rtol=0, atol=1e-9)


def test_a_velocity_that_goes_on_leads_servos_on() -> None:
    """Said for two periods, it is begun anew after the first; and another velocity begins at once."""
    task = task_of(*CASES["servos"][:2])
    world = build_world(task)
    reset_world(world, task, SEED)
    arm, recorder = SimArm(world, task, None, now_ns=lambda: 0), Recorder(world)  # type: ignore[arg-type]
    begun = []
    for count in range(20):  # of 10 ms; a period is 80
        arm._sim_s = count * SLICE_S
        before = len(recorder.targets)
        arm.command(0, joint_velocities=np.full(7, 0.2 if count < 18 else 0.3))
        begun += [count] if len(recorder.targets) > before else []
    assert begun == [0, 8, 16, 18]


def test_there_is_a_case_of_every_kind() -> None:
    assert {kind for _, kind, _ in CASES.values()} == {name for name, kind in KINDS.items() if kind.make}


@pytest.mark.parametrize("task", ["lift", "stack", "kitchen_kettle"])
def test_the_shipped_profiles_describe_the_simulated_arms(task: str) -> None:
    """Home and joint limits in the profiles are the simulated arms' own."""
    folder = profile.shipped()
    assert folder is not None
    world = build_world(make_task(task))
    arm = ArmProfile.load(folder / f"{'sim_kitchen' if task == 'kitchen_kettle' else 'sim_panda'}.yaml")
    low, high = world.joint_range()
    np.testing.assert_allclose(arm.limits.joint_low, low)
    np.testing.assert_allclose(arm.limits.joint_high, high)
    if arm.home_xyzw is not None:
        np.testing.assert_allclose(rotations.from_quaternion(np.array(arm.home_xyzw)), world.home_rotation, atol=1e-12)
    names = world.joint_state()[0]
    assert list(arm.joint_names) == names[:7] and list(arm.gripper_state.joints) == names[7:]
