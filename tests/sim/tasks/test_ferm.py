"""FERM's jobs: experts succeed, nothing else does by chance,
and a reset is a function of its seed and survives a restart.
"""

import mujoco
import numpy as np
import pytest

from robot import actions
from sim.envs.task_env import ACTUATION_DELAY_MS
from sim.envs.task_world import build_world, reset_world
from sim.tasks import TASKS, make_task
from sim.tasks.common.tabletop import joint_address, place_anchor
from sim.tasks.drawer import OPENED, TRAVEL
from sim.tasks.switch import ARM, ON, SPRING, STOP

NAMES = ("drawer", "move", "pull", "reach", "switch")


class Played:
    """A task and a world of its own."""

    def __init__(self, name):
        self.task = make_task(name)
        self.world = build_world(self.task)

    def reset(self, seed):
        reset_world(self.world, self.task, seed)

    def success(self):
        return self.task.success(self.world)


@pytest.fixture(scope="module", params=NAMES)
def played(request):
    made = Played(request.param)
    yield made
    made.world.close()


@pytest.fixture
def set_up():
    made = []

    def make(name):
        made.append(Played(name))
        made[-1].reset(0)
        return made[-1], made[-1].world

    yield make
    for played in made:
        played.world.close()


def play(played, seed, act):
    """An episode with the environment's actuation delay but without its images: True if it succeeds."""
    world = played.world
    played.reset(seed)
    assert not played.success()
    rng, kind = np.random.default_rng(seed), world.contract.action.kind
    period = round(world.contract.period_s / world.timestep)
    for _ in range(played.task.max_steps):
        target = actions.target(kind, world.reference(), world.contract.clip_action(act(world)))
        delay = round(rng.uniform(*ACTUATION_DELAY_MS) / 1000.0 / world.timestep)
        world.advance(delay)
        world.follow(target)
        world.advance(period - delay)
        if played.success():
            return True
    return False


def test_they_are_registered_with_an_action_the_control_loop_can_deploy():
    for name in NAMES:
        task = TASKS[name]()
        assert task.name == name and task.contract.task == name
        assert task.contract.action.kind == "eef_delta_position"


def test_the_expert_succeeds(played):
    for seed in range(3):
        assert play(played, seed, played.task.expert(np.random.default_rng(seed)).act), f"seed {seed}"


def test_doing_nothing_does_not_succeed(played):
    assert not play(played, 0, lambda _: np.array([0.0, 0.0, 0.0, -1.0], np.float32))


def test_random_actions_do_not_succeed(played):
    rng, action = np.random.default_rng(1), played.task.contract.action
    for seed in range(2):
        assert not play(played, seed, lambda _: rng.uniform(action.low, action.high).astype(np.float32))


def test_a_seed_is_a_scene(played):
    states = []
    for seed in (4, 5, 4):
        played.reset(seed)
        states.append(played.world.state_dict()["physics"])
    assert np.array_equal(states[0], states[2]) and not np.array_equal(states[0], states[1])


def test_a_restored_world_stands_and_goes_on_as_the_saved_one(played):
    """Where a task put its marks and furniture is part of the state, not of the model."""
    world, other = played.world, build_world(played.task)
    played.reset(11)
    reset_world(other, played.task, 12)
    expert = played.task.expert(np.random.default_rng(0))
    for _ in range(5):
        world.follow(actions.target(world.contract.action.kind, world.reference(), expert.act(world)))
        world.advance(20)
    other.load_state_dict(world.state_dict())
    for _ in range(3):
        for w in (world, other):
            w.advance(20)
        assert np.array_equal(world.data.qpos, other.data.qpos)
        assert np.array_equal(world.data.mocap_pos, other.data.mocap_pos)
    assert np.array_equal(world.render("agentview"), other.render("agentview"))
    other.close()


def test_what_matters_is_seen_by_a_camera(played):
    """Hiding the task's own shapes changes at least 20 of the 64 x 64 pixels of one camera and some of agentview."""
    world = played.world
    robosuite_bodies = ("robot0_", "gripper0_", "fixed_mount0_", "table", "left_eef", "right_eef")
    own = [
        geom
        for geom in range(world.model.ngeom)
        if (body := world.model.body(world.model.geom_bodyid[geom]).name) != "world"
        and not body.startswith(robosuite_bodies)
        and world.model.geom_group[geom] == 1
    ]
    assert own
    for seed in range(5):
        played.reset(seed)
        seen = {c.name: world.render(c.name).astype(int) for c in world.contract.cameras}
        groups = world.model.geom_group[own].copy()
        world.model.geom_group[own] = 0  # where collision shapes are, which are not drawn
        changed = [int((np.abs(world.render(name) - image).sum(axis=2) > 30).sum()) for name, image in seen.items()]
        world.model.geom_group[own] = groups
        assert max(changed) >= 20 and changed[0] > 0, (seed, changed)


# ---------------------------------------------------------------------------------------------- what success means
def test_reach_counts_within_the_ball(set_up):
    played, world = set_up("reach")
    hand = world.eef_position() + world.base_position
    for distance, reached in ((0.024, True), (0.026, False)):
        place_anchor(world, "ball", tuple(hand + (0.0, distance, 0.0)))
        assert played.success() is reached


@pytest.mark.parametrize(
    "offset, speed, opening, placed",
    [
        ((0.0, 0.0, 0.0), 0.0, 0.08, True),
        ((0.02, 0.0, 0.0), 0.0, 0.08, True),
        ((0.02, 0.02, 0.0), 0.0, 0.08, False),  # 28 mm off
        ((0.0, 0.0, 0.01), 0.0, 0.08, False),  # in the air
        ((0.0, 0.0, 0.0), 0.1, 0.08, False),  # sliding past
        ((0.0, 0.0, 0.0), 0.0, 0.04, False),  # still held
    ],
)
def test_move_wants_the_block_on_the_disc_at_rest_and_let_go(set_up, offset, speed, opening, placed):
    played, world = set_up("move")
    start = joint_address(world, "block_joint")
    place = world.object_position("place") + world.base_position
    world.data.qpos[start : start + 3] = place + (0.0, 0.0, 0.019) + np.array(offset)  # the disc's centre is 1 mm up
    block = mujoco.mj_name2id(world.model, mujoco.mjtObj.mjOBJ_JOINT, "block_joint")
    world.data.qvel[world.model.jnt_dofadr[block]] = speed
    world.data.qpos[joint_address(world, "gripper0_right_finger_joint1")] = opening / 2
    world.data.qpos[joint_address(world, "gripper0_right_finger_joint2")] = -opening / 2
    assert played.success() is placed


def test_pull_counts_when_the_centre_reaches_the_line(set_up):
    played, world = set_up("pull")
    start = joint_address(world, "box_joint")
    line = world.object_position("line")[0] + world.base_position[0]
    for x, pulled in ((line + 0.002, False), (line - 0.002, True)):
        world.data.qpos[start] = x
        assert played.success() is pulled


def test_a_drawer_stays_where_it_is_left(set_up):
    played, world = set_up("drawer")
    joint = joint_address(world, "drawer_joint")
    for opening, opened in ((0.0, False), (OPENED - 0.005, False), (OPENED + 0.005, True), (TRAVEL, True)):
        world.data.qpos[joint] = opening
        world.advance(100)
        assert abs(world.data.qpos[joint] - opening) < 1e-3
        assert played.success() is opened


def test_a_switch_is_on_or_off_and_never_between(set_up):
    played, world = set_up("switch")
    joint = joint_address(world, "switch_joint")
    for angle, side in ((0.1, 1.0), (-0.1, -1.0), (STOP, 1.0), (-STOP, -1.0)):
        world.data.qpos[joint] = angle
        world.data.qvel[:] = 0.0
        world.advance(200)
        assert abs(world.data.qpos[joint] - side * STOP) < 0.05
        assert played.success() is (side < 0)
    assert ON > -STOP


def test_the_switch_s_spring_is_as_strong_as_its_comment_says(set_up):
    _, world = set_up("switch")
    world.data.qvel[:] = 0.0
    world.data.qpos[joint_address(world, "switch_joint")] = 0.3
    mujoco.mj_forward(world.model, world.data)
    lever = mujoco.mj_name2id(world.model, mujoco.mjtObj.mjOBJ_JOINT, "switch_joint")
    torque = world.data.qfrc_spring[world.model.jnt_dofadr[lever]]
    assert torque == pytest.approx(SPRING * ARM**2 * np.sin(0.3), rel=1e-6)  # 150 * 0.0009 * 0.2955 = 0.0399 N m
