"""Every arm on the table: its names are in the model, it starts at home with an open gripper, and its expert lifts."""

import mujoco
import numpy as np
import pytest

from policies.training.compose import compose
from robot import rotations
from robot.contract import Contract
from robot.errors import PixelarmError, UnknownName
from robot.profile import ArmProfile, shipped
from sim.arms import ARMS
from sim.envs.config import TaskConfig
from sim.envs.make import make, make_env

SMALL = {"so101": (0.2, 0.0, 0.07)}  # m, the end effector at home, of arms that stand on the table


@pytest.fixture(params=sorted(ARMS), scope="module")
def env(request, blind):
    made = make("lift", arm=request.param, renderer=blind)
    yield made
    made.close()


def test_it_starts_at_home_with_its_hand_down_and_its_gripper_open(env):
    env.reset(seed=0)
    world, arm = env.world, env.world.arm.description
    tip = SMALL.get(arm.name, (0.457, 0.0, 0.099))
    assert np.abs(world.eef_position() - tip).max() < 0.02
    # the fingers point down and a little away from the base: by 7 degrees, as robosuite has the Panda, or by 14
    x, y, z = world.home_rotation[:, 2]
    assert z < -0.965 and abs(y) < 0.001 and (0.12 < x < 0.25 or arm.name in SMALL)
    assert world.gripper_opening() == pytest.approx(arm.gripper.stroke, abs=0.008)
    assert env.contract.arm == arm.name


def test_its_gripper_closes(env):
    env.reset(seed=0)
    world = env.world
    world.set_target(world.eef_position(), 1.0)
    world.advance(round(1.5 / world.timestep))
    assert world.gripper_opening() < 0.15 * world.arm.description.gripper.stroke


def test_its_wrist_camera_looks_past_the_hand_at_what_is_in_front_of_it(env):
    """In front of the hand, the picture's upper edge away from the base: pictures of all arms are alike."""
    env.reset(seed=0)
    data = env.world.data
    mujoco.mj_forward(env.world.model, data)
    camera = data.camera(env.world.arm.description.hand_camera)
    assert camera.xpos[0] > data.site_xpos[env.world.arm.site, 0] + 0.01
    assert camera.xmat.reshape(3, 3)[0, 1] > 0.9  # the camera's y axis is up in its picture


def test_it_reaches_the_far_end_of_its_workspace_and_comes_back(env):
    """Where the elbow gets straight it may fold to the other side, and the arm does not come back: xArm7 did so at
    0.73 m, within the workspace that it had.
    """
    env.reset(seed=0)
    world = env.world
    low, high = world.arm.description.workspace
    start = world.data.qpos[world.arm.qpos].copy()
    home = SMALL.get(world.arm.description.name, (0.457, 0.0, 0.099))
    for target in ((high[0], 0.0, low[2] + 0.01), (high[0], 0.0, low[2] + 0.08), home):
        far = np.array(target)
        for _ in range(40):  # as a policy does, at most 4 cm ahead
            step = far - world.eef_position()
            world.set_target(world.eef_position() + step * min(1.0, 0.04 / np.linalg.norm(step)), -1.0)
            world.advance(20)
        assert np.linalg.norm(world.eef_position() - far) < 0.02
    assert np.abs(world.data.qpos[world.arm.qpos] - start).max() < 0.3


def test_its_expert_lifts_the_cube(env):
    for seed in range(3):
        assert succeeds(env, seed), seed


@pytest.mark.parametrize(
    ("task", "arm", "seeds"),
    [("pull", "xarm7", (0, 1)), ("pull", "kinova3", (6, 16)), ("door", "kinova3", (0, 2)), ("door", "sawyer", (0, 1))],
)
def test_what_was_out_of_reach_or_in_the_way(task, arm, seeds, blind):
    """Straight elbows behind the box; a wrist's camera on the axle of the door's lever, a forearm on its panel."""
    env = make(task, arm=arm, renderer=blind)
    assert all(succeeds(env, seed) for seed in seeds)
    env.close()


def succeeds(env, seed):
    """Whether the scripted expert does the task."""
    env.reset(seed=seed)
    expert, done, info = env.expert(seed), False, {}
    while not done:
        _, _, terminated, truncated, info = env.step(expert())
        done = terminated or truncated
    return info["success"]


def test_its_profile_says_what_the_simulation_measures(env):
    """The opening that the node computes of the reported joints is the one that the environment observes."""
    arm = env.world.arm.description
    profile = ArmProfile.load(shipped() / f"sim_{arm.name}.yaml")
    profile.require_contract(env.contract)
    assert profile.joint_names == arm.reported
    assert (profile.limits.box_low, profile.limits.box_high) == arm.workspace
    home = rotations.from_quaternion(np.array(profile.home_xyzw))
    np.testing.assert_allclose(home, env.world.home_rotation, atol=1e-9)
    env.reset(seed=0)
    for gripper in (1.0, -1.0):
        env.world.set_gripper(gripper)
        env.world.advance(round(0.2 / env.world.timestep))
        names, positions, *_ = env.world.joint_state()
        joints = sum(positions[names.index(name)] for name in profile.gripper_state.joints)
        opening = profile.gripper_state.offset + profile.gripper_state.scale * joints
        assert opening == pytest.approx(env.world.gripper_opening(), abs=1e-3)


def test_contracts_of_the_first_arm_are_as_they_were_before_there_were_others():
    panda, other = (make("lift", arm=name, image_size=32).contract for name in ("panda", "ur5e"))
    assert "arm" not in panda.to_dict() and other.to_dict()["arm"] == "ur5e"
    assert Contract.from_dict(panda.to_dict()) == panda and Contract.from_dict(other.to_dict()) == other
    assert panda.diff(other) == ["arm: absent here, 'ur5e' there"]


def test_arm_is_an_option_of_training():
    assert compose(["task=lift", "arm=ur5e"]).task.arm == "ur5e"


@pytest.mark.parametrize(
    ("task", "arm", "kind", "words"),
    [
        ("lift", "ur6", UnknownName, "unknown arm 'ur6'.*ur5e"),
        ("kitchen", "ur5e", PixelarmError, "kitchen has an arm of its own, a Panda"),
        ("lift", "narrow", PixelarmError, "opens 20 mm, and the object of lift is up to 62 mm wide.*another arm"),
    ],
)
def test_what_does_not_fit_is_refused(monkeypatch, task, arm, kind, words):
    from dataclasses import replace

    panda = ARMS["panda"]
    monkeypatch.setitem(
        ARMS, "narrow", replace(panda, name="narrow", gripper=replace(panda.gripper, open=(0.01, -0.01)))
    )
    with pytest.raises(kind, match=words):
        make_env(TaskConfig(task, arm=arm))
