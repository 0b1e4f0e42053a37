"""robosuite's own tasks: experts succeed, chance does not, resets stay where robosuite puts things,
success is robosuite's.
"""

import mujoco
import numpy as np
import pytest

from sim.envs.task_env import TaskEnv
from sim.envs.task_world import reset_world
from sim.tasks import make_task
from sim.tasks.common.grasping import body_yaw, hand_yaw, held, put, touching, wrap
from sim.tasks.common.tabletop import joint_address
from sim.tasks.nut_assembly_square import NutExpert

NAMES = ("door", "nut_assembly_square", "pick_place_can", "stack")


class Blind(TaskEnv):
    """The environment without its images, which cost more than the physics."""

    def __init__(self, name):
        super().__init__(make_task(name))
        images = {c.name: np.zeros(c.shape, np.uint8) for c in self.contract.cameras}
        self.world.render = lambda camera, snapshot=None: images[camera]


@pytest.fixture(scope="module")
def envs():
    made = {name: Blind(name) for name in NAMES}
    yield made
    for env in made.values():
        env.close()


@pytest.fixture(params=NAMES)
def env(request, envs):
    return envs[request.param]


def play(env, seed, act):
    """One episode; True if it succeeds."""
    _, info = env.reset(seed=seed)
    assert not info["success"]
    while True:
        _, _, terminated, truncated, _ = env.step(act(env.world))
        if terminated or truncated:
            return terminated


def test_the_expert_succeeds_with_time_to_spare(env):
    for seed in range(3):
        assert play(env, seed, env.task.expert(np.random.default_rng(seed)).act), f"seed {seed}"
        assert env.task.max_steps / 4 < env._steps < env.task.max_steps / 1.5


def test_doing_nothing_does_not_succeed(env):
    nothing = np.zeros(env.contract.action.size, np.float32)
    nothing[-1] = -1.0
    assert not play(env, 0, lambda _: nothing)


def test_random_actions_do_not_succeed(env):
    rng, action = np.random.default_rng(1), env.contract.action
    for seed in range(2):
        assert not play(env, seed, lambda _: rng.uniform(action.low, action.high).astype(np.float32))


def test_a_seed_is_a_scene(env):
    states = []
    for seed in (4, 5, 4):
        env.reset(seed=seed)
        states.append(env.world.state_dict()["physics"])
    assert np.array_equal(states[0], states[2]) and not np.array_equal(states[0], states[1])


def test_a_restored_episode_goes_on_as_the_saved_one(env):
    """Also where the door's frame stands, which robosuite keeps in the model."""
    env.reset(seed=11)
    expert = env.task.expert(np.random.default_rng(0))
    for _ in range(5):
        env.step(expert.act(env.world))
    state, action = env.state_dict(), expert.act(env.world)
    ends = []
    for _ in range(2):
        for _ in range(5):
            env.step(action)
        ends.append((env.world.data.qpos.copy(), env.world.data.xpos.copy()))
        env.reset(seed=12)
        env.load_state_dict(state)
    assert np.array_equal(ends[0][0], ends[1][0]) and np.array_equal(ends[0][1], ends[1][1])


def test_only_what_the_task_is_about_is_in_the_scene(envs):
    for name, joints in (("pick_place_can", ["Can_joint0"]), ("nut_assembly_square", ["SquareNut_joint0"])):
        model = envs[name].world.model
        free = [j for j in range(model.njnt) if model.jnt_type[j] == mujoco.mjtJoint.mjJNT_FREE]
        assert [model.joint(j).name for j in free] == joints


# ------------------------------------------------------------------------------------------------ where a reset puts it
def resets(env, n=40):
    for seed in range(n):
        reset_world(env.world, env.task, seed)
        yield env.world


def test_the_cubes_start_in_their_square_and_apart(envs):
    for world in resets(envs["stack"]):
        red, green = (world.object_position(f"cube{c}_main") + world.base_position for c in "AB")
        assert max(abs(red[:2]).max(), abs(green[:2]).max()) < 0.081  # 8 cm and what settling moves
        assert np.linalg.norm(red[:2] - green[:2]) > 0.063  # sqrt(2) * (2 + 2.5 cm) = 63.6 mm
        assert red[2] == pytest.approx(0.82, abs=1e-3) and green[2] == pytest.approx(0.825, abs=1e-3)


def test_the_can_starts_upright_in_the_left_bin(envs):
    for world in resets(envs["pick_place_can"]):
        can = world.object_position("Can_main") + world.base_position
        # robosuite: half the bin less 5 cm less the can's radius: 0.195 - 0.075 and 0.245 - 0.075
        assert abs(can[0] - 0.1) < 0.121 and abs(can[1] + 0.25) < 0.171
        assert can[2] == pytest.approx(0.86, abs=2e-3)


def test_the_nut_starts_flat_in_its_strip(envs):
    for world in resets(envs["nut_assembly_square"]):
        nut = world.object_position("SquareNut_main") + world.base_position
        assert -0.116 < nut[0] < -0.109 and 0.109 < nut[1] < 0.226
        assert nut[2] == pytest.approx(0.83, abs=1e-3)


def test_the_door_starts_shut_and_stands_on_its_table(envs):
    for world in resets(envs["door"]):
        frame = world.object_position("Door_main") + world.base_position
        assert -0.131 < frame[0] < -0.109 and -0.361 < frame[1] < -0.339 and frame[2] == pytest.approx(1.1)
        assert -np.pi / 2 - 0.25 <= body_yaw(world, "Door_main") <= -np.pi / 2
        assert abs(world.data.joint("Door_hinge").qpos[0]) < 1e-3


def test_the_door_is_locked_until_its_handle_is_down(envs):
    """3 N m on the hinge for half a second opens it only with the lever turned by 1.3 rad."""
    task, world = envs["door"].task, envs["door"].world
    for angle, opens in ((0.0, False), (1.3, True)):
        reset_world(world, task, 0)
        latch = world.data.joint("Door_latch_joint")
        for _ in range(round(0.5 / world.timestep)):
            latch.qpos[0], latch.qvel[0] = angle, 0.0
            world.data.joint("Door_hinge").qfrc_applied[0] = 3.0
            world.advance(1)
        assert (world.data.joint("Door_hinge").qpos[0] > 0.1) == opens


# ------------------------------------------------------------------------------------------------------ what success is
def test_stacked_is_on_top_and_let_go(envs):
    task, world = envs["stack"].task, envs["stack"].world
    reset_world(world, task, 0)
    put(world, "cubeB_joint0", (0.0, 0.0, 0.825), 0.3)
    put(world, "cubeA_joint0", (0.01, 0.0, 0.8699), 0.0)  # 0.8 + 5 cm + 2 cm, a tenth of a millimetre in
    mujoco.mj_forward(world.model, world.data)
    assert touching(world, "cubeA_main", "cubeB_main") and task.success(world)
    put(world, "cubeA_joint0", (0.01, 0.0, 0.8801), 0.0)  # one centimetre of air
    mujoco.mj_forward(world.model, world.data)
    assert not task.success(world)
    put(world, "cubeA_joint0", (0.0449, 0.0, 0.82), 0.3)  # beside it
    mujoco.mj_forward(world.model, world.data)
    assert not task.success(world)


def test_a_held_cube_is_not_stacked(envs):
    """The expert's cube, at the moment before the fingers open."""
    env = envs["stack"]
    env.reset(seed=0)
    expert, world, seen = env.task.expert(np.random.default_rng(0)), env.world, False
    for _ in range(env.task.max_steps):
        _, _, terminated, _, _ = env.step(expert.act(world))
        seen = seen or held(world, "cubeA_main")
        assert not (held(world, "cubeA_main") and terminated)
        if terminated:
            break
    assert seen


@pytest.mark.parametrize(
    ("x", "y", "z", "success"),
    [
        (0.20, 0.40, 0.86, True),
        (0.11, 0.29, 0.86, True),  # the compartment is 0.1 to 0.295 by 0.28 to 0.525, and up to 0.9
        (0.09, 0.40, 0.86, False),
        (0.20, 0.27, 0.86, False),
        (0.30, 0.40, 0.86, False),
        (0.20, 0.53, 0.86, False),
        (0.20, 0.40, 0.91, False),
    ],
)
def test_the_can_counts_inside_its_compartment(envs, x, y, z, success):
    task, world = envs["pick_place_can"].task, envs["pick_place_can"].world
    reset_world(world, task, 0)
    put(world, "Can_joint0", (x, y, z), 0.0)
    assert task.success(world) == success


@pytest.mark.parametrize(
    ("x", "y", "z", "success"),
    [
        (0.23, 0.10, 0.83, True),
        (0.257, 0.073, 0.865, True),  # 3 cm each way of (0.23, 0.10), and up to 0.87
        (0.261, 0.10, 0.83, False),
        (0.23, 0.069, 0.83, False),
        (0.23, 0.10, 0.875, False),
    ],
)
def test_the_nut_counts_low_on_its_own_peg(envs, x, y, z, success):
    task, world = envs["nut_assembly_square"].task, envs["nut_assembly_square"].world
    reset_world(world, task, 0)
    put(world, "SquareNut_joint0", (x, y, z), 0.0)
    assert task.success(world) == success


@pytest.mark.parametrize(
    ("name", "joint"), [("pick_place_can", "Can_joint0"), ("nut_assembly_square", "SquareNut_joint0")]
)
def test_the_gripper_must_be_away(envs, name, joint):
    """robosuite: 1 - tanh(10 d) < 0.6, so d > atanh(0.4) / 10 = 42.4 mm."""
    task, world = envs[name].task, envs[name].world
    reset_world(world, task, 0)
    place = np.array((0.2, 0.4, 0.88) if name == "pick_place_can" else (0.23, 0.1, 0.86))
    put(world, joint, place, 0.0)
    for distance, success in ((0.044, True), (0.041, False)):
        world.eef_position = lambda d=distance: place - world.base_position + (0.0, 0.0, d)
        assert task.success(world) == success
    del world.eef_position


def test_the_door_counts_past_three_tenths_of_a_radian(envs):
    task, world = envs["door"].task, envs["door"].world
    reset_world(world, task, 0)
    for angle, success in ((0.29, False), (0.31, True)):
        world.data.qpos[joint_address(world, "Door_hinge")] = angle
        assert task.success(world) == success


# ----------------------------------------------------------------------------------------------------------- geometry
def test_hand_yaw_is_what_the_action_turns(envs):
    env = envs["stack"]
    env.reset(seed=0)
    assert abs(hand_yaw(env.world)) < 0.03
    for _ in range(12):
        env.step(np.array([0.0, 0.0, 0.02, np.clip(1.0 - hand_yaw(env.world), -0.3, 0.3), -1.0], np.float32))
    assert hand_yaw(env.world) == pytest.approx(1.0, abs=0.03)


def test_wrap():
    assert wrap(np.pi + 0.1) == pytest.approx(-np.pi + 0.1)
    assert wrap(-7.0) == pytest.approx(-7.0 + 2 * np.pi)


def test_every_nut_has_a_plan_the_wrist_can_do():
    """The hole fits the peg every quarter turn, the handle can be grasped either way round."""
    expert = NutExpert(np.random.default_rng(0))
    for nut in np.linspace(-np.pi, np.pi, 121):
        grasp, peg = expert._best_plan(nut)
        assert abs(wrap(2 * (grasp - nut))) < 1e-9  # along the handle, one way round or the other
        assert abs(wrap(4 * (nut + peg - grasp))) < 1e-9  # the hole parallel to the peg at the end
        assert NutExpert.WRIST[0] < min(grasp, peg) and max(grasp, peg) < NutExpert.WRIST[1]
        assert abs(peg - grasp) < 2.5
