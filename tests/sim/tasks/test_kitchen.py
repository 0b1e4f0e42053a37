"""The kitchen: FrankaKitchen's scene, goals and servos, an expert for each subtask,
and an arm that holds still when told to.
"""

import dataclasses

import mujoco
import numpy as np
import pytest

from robot.errors import MissingDependency, PixelarmError, UnknownName
from sim.arms.panda import KITCHEN_PANDA, PANDA
from sim.envs.task_env import TaskEnv
from sim.envs.task_world import build_world, reset_world
from sim.scene import compile as scene
from sim.scene.compile import KITCHEN, Recipe, compile_scene, scene_name
from sim.scene.randomise import Randomiser, make_terms
from sim.tasks import TASKS, make_task
from sim.tasks.common.tabletop import joint_address
from sim.tasks.kitchen import FOUR, MAX_SPEED, SUBTASKS, TERMS, Kitchen, distance, look_at
from sim.tasks.kitchen_expert import WAYPOINTS, InverseKinematics, Scene, rotation_vector
from sim.tasks.lift import Lift

EXACT = Recipe(environment=KITCHEN, terms=())  # FrankaKitchen's own 2 ms steps
ALL = Kitchen(tuple(SUBTASKS), image_size=84)


class Blind(TaskEnv):
    """The environment without its images, which cost more than the physics."""

    def __init__(self, task):
        super().__init__(task)
        images = {c.name: np.zeros(c.shape, np.uint8) for c in self.contract.cameras}
        self.world.render = lambda camera, snapshot=None: images[camera]


@pytest.fixture(scope="module")
def world():
    """With all seven subtasks."""
    made = build_world(ALL)
    yield made
    made.close()


def play(env, seed, act):
    """One episode; True if it succeeds."""
    _, info = env.reset(seed=seed)
    assert not info["success"]
    while True:
        _, _, terminated, truncated, _ = env.step(act(env.world))
        if terminated or truncated:
            return terminated


def put_at_goal(world, subtask, short_of=0.0):
    """Move a subtask's object to its goal; a joint ``short_of`` it on the side that it comes from."""
    joints, goal = SUBTASKS[subtask]
    if subtask == "kettle":
        start = joint_address(world, "kettle")
        world.data.qpos[start : start + 7] = goal
        world.data.qpos[start + 1] -= short_of
        return
    for joint, value in zip(joints, goal):
        world.data.qpos[joint_address(world, joint)] = value
    furthest = int(np.argmax(np.abs(goal)))
    world.data.qpos[joint_address(world, joints[furthest])] -= np.sign(goal[furthest]) * short_of


# ------------------------------------------------------------------------------------------------------------ the tasks
def test_the_four_and_each_subtask_are_registered():
    assert make_task("kitchen").subtasks == FOUR and make_task("kitchen").max_steps == 400
    for subtask in SUBTASKS:
        task = make_task(f"kitchen_{subtask}", image_size=32)
        assert task.subtasks == (subtask,) and task.name == task.contract.task == f"kitchen_{subtask}"
        assert task.max_steps == 120 and task.language and subtask in WAYPOINTS
    assert Kitchen(("kettle", "microwave")).name == "kitchen_kettle_microwave"
    assert set(SUBTASKS) < {name.removeprefix("kitchen_") for name in TASKS}


def test_wrong_subtasks_are_refused_in_words():
    with pytest.raises(UnknownName, match="unknown kitchen subtask 'fridge'; .*hinge_cabinet.*microwave"):
        Kitchen(("microwave", "fridge"))
    for subtasks in ((), ("kettle", "kettle")):
        with pytest.raises(PixelarmError, match="at least one subtask and none twice"):
            Kitchen(subtasks)


@pytest.mark.parametrize("subtask", SUBTASKS)
def test_the_expert_of_a_subtask_succeeds(subtask):
    env = Blind(Kitchen((subtask,)))
    for seed in range(3):
        assert play(env, seed, env.task.expert(np.random.default_rng(seed)).act), f"seed {seed}"
        assert 20 < env._steps < 90
    env.close()


@pytest.mark.parametrize("subtasks", [FOUR, ("hinge_cabinet", *(s for s in SUBTASKS if s != "hinge_cabinet"))])
def test_the_expert_does_one_after_the_other(subtasks):
    """Also all seven, and where the hinged cabinet is named first, whose open door would be in the way."""
    env = Blind(Kitchen(subtasks))
    assert play(env, 3, env.task.expert(np.random.default_rng(3)).act)
    assert env.task.completed(env.world) == list(subtasks) and env._steps < 0.8 * env.task.max_steps
    env.close()


def test_random_actions_do_not_succeed():
    env = Blind(Kitchen(("light_switch",)))
    rng, action = np.random.default_rng(1), env.contract.action
    assert not play(env, 0, lambda _: rng.uniform(action.low, action.high).astype(np.float32))
    env.close()


# ------------------------------------------------------------------------------------------------------ what success is
@pytest.mark.parametrize("subtask", SUBTASKS)
def test_a_subtask_counts_within_three_tenths_of_its_goal(world, subtask):
    for short_of, done in ((0.0, True), (0.29, True), (0.31, False)):
        reset_world(world, ALL, 0)
        put_at_goal(world, subtask, short_of)
        assert distance(world, subtask) == pytest.approx(short_of, abs=1e-9)
        assert ALL.completed(world) == ([subtask] if done else [])
        assert not ALL.success(world)


def test_success_is_all_of_them_at_the_same_time(world):
    reset_world(world, ALL, 0)
    for subtask in SUBTASKS:
        assert not ALL.success(world)
        put_at_goal(world, subtask)
    assert ALL.success(world) and ALL.completed(world) == list(SUBTASKS)
    put_at_goal(world, "microwave", 0.5)
    assert not ALL.success(world)


# -------------------------------------------------------------------------------------------------------------- resets
def test_the_start_is_drawn_around_frankakitchens(world):
    starts = []
    for seed in range(20):
        reset_world(world, ALL, seed)
        kettle = joint_address(world, "kettle")
        starts.append(np.append(world.data.qpos[world.arm.qpos], world.data.qpos[kettle : kettle + 2]))
        assert world.data.qpos[kettle + 2] == pytest.approx(1.62, abs=0.005)
    off = np.array(starts) - (*KITCHEN_PANDA.home, -0.269, 0.350)
    assert np.abs(off[:, :7]).max() < 0.055 and np.abs(off[:, 7:]).max() < 0.021
    assert off.std(axis=0).min() > 0.008  # a fifth of 0.05, and two thirds of what 2 cm give
    assert world.gripper_opening() == pytest.approx(0.08, abs=2e-3)
    reset_world(world, ALL, 3)
    assert np.array_equal(np.append(world.data.qpos[:7], world.data.qpos[kettle : kettle + 2]), starts[3])


def test_a_restored_world_goes_on_as_the_saved_one(world):
    reset_world(world, ALL, 1)
    world.set_joint_goal(np.full(7, 0.5), 1.0)
    world.advance(7)
    state = world.state_dict()
    ends = []
    for _ in range(2):
        world.advance(20)
        ends.append(world.data.qpos.copy())
        reset_world(world, ALL, 2)
        world.load_state_dict(state)
    assert np.array_equal(*ends)


# --------------------------------------------------------------------------------------------------------- the servos
def test_zeros_hold_the_arm(world):
    """FrankaKitchen's arm sinks by half a metre meanwhile."""
    reset_world(world, ALL, 0)
    before = world.eef_position()
    for _ in range(100):
        world.set_joint_goal(np.zeros(7), -1.0)
        world.advance(16)
    assert np.linalg.norm(world.eef_position() - before) < 1e-3


def test_the_arm_stops_when_nobody_speaks(world):
    reset_world(world, ALL, 0)
    start = world.data.qpos[world.arm.qpos].copy()
    world.set_joint_goal(np.array([1.0, 0, 0, 0, 0, 0, -1.0]), -1.0)
    world.advance(round(2.0 / world.timestep))
    moved = world.data.qpos[world.arm.qpos] - start
    assert moved[[0, 6]] == pytest.approx([0.08, -0.08], abs=2e-3)  # 1 rad/s times 80 ms


def test_joint_positions_are_reached(world):
    task = Kitchen(("kettle",))
    action = dataclasses.replace(task.contract.action, kind="joint_position")
    task.contract = dataclasses.replace(task.contract, action=action)
    other = build_world(task)
    reset_world(other, task, 0)
    goal = other.data.qpos[other.arm.qpos] + (0.3, 0.1, 0.2, 0.1, -0.2, 0.3, 0.4)
    other.set_joint_goal(goal, -1.0)
    other.advance(round(2.0 / other.timestep))
    assert np.abs(other.data.qpos[other.arm.qpos] - goal).max() < 2e-3


def test_an_arm_with_servos_refuses_goals_for_its_hand():
    task = Kitchen()
    task.contract = dataclasses.replace(task.contract, action=Lift().contract.action)
    with pytest.raises(PixelarmError, match="'eef_delta_position' needs an arm with motors.*joint_velocity"):
        build_world(task)


def test_actions_are_frankakitchens_in_physical_units():
    """Without gravity and noise, from one state, FrankaKitchen-v1 under a and this world under 2 a rad/s move alike."""
    import gymnasium
    import gymnasium_robotics

    gymnasium.register_envs(gymnasium_robotics)
    theirs = gymnasium.make("FrankaKitchen-v1", robot_noise_ratio=0.0).unwrapped
    ours = build_world(Kitchen(recipe=EXACT))
    theirs.reset(seed=0)
    reset_world(ours, ALL, 0)
    for model in (theirs.model, ours.model):
        model.opt.gravity[:] = 0.0
    ours.data.qpos[:], ours.data.qvel[:] = theirs.data.qpos, theirs.data.qvel
    ours.data.qacc_warmstart[:], ours.data.time = theirs.data.qacc_warmstart, theirs.data.time
    rng = np.random.default_rng(0)
    for step in range(15):
        action = rng.uniform(-1, 1, 7)
        fingers = 1.0 if step % 10 < 5 else -1.0  # FrankaKitchen: 1 opens
        theirs.step(np.append(action, [fingers, fingers]))
        ours.set_joint_goal(MAX_SPEED * action, -fingers)
        ours.advance(40)
    assert np.abs(theirs.data.qpos[:7] - ours.data.qpos[:7]).max() < 1e-6
    assert np.abs(theirs.data.qpos[7:9] - ours.data.qpos[7:9]).max() < 1e-3
    theirs.close()
    ours.close()


# ----------------------------------------------------------------------------------------------------------- the scene
def test_the_hash_names_the_package_that_the_scene_comes_from(monkeypatch):
    before = scene_name(Recipe(), PANDA), scene_name(EXACT, KITCHEN_PANDA)
    monkeypatch.setattr(scene, "version", lambda package: "9" if package == "gymnasium-robotics" else "1")
    kitchen, lift = scene_name(EXACT, KITCHEN_PANDA), scene_name(Recipe(), PANDA)
    monkeypatch.setattr(scene, "version", lambda package: "8" if package == "gymnasium-robotics" else "1")
    assert scene_name(EXACT, KITCHEN_PANDA) != kitchen and scene_name(Recipe(), PANDA) == lift
    monkeypatch.undo()
    assert (scene_name(Recipe(), PANDA), scene_name(EXACT, KITCHEN_PANDA)) == before


def test_without_the_package_the_scene_says_what_to_install(monkeypatch):
    def absent(package):
        if package == "gymnasium-robotics":
            raise scene.PackageNotFoundError(package)
        return "1"

    monkeypatch.setattr(scene, "version", absent)
    with pytest.raises(MissingDependency, match=r"gymnasium-robotics, which is absent; pip install 'pixelarm\[sim\]'"):
        build_world(Kitchen())


def test_what_does_not_fit_the_kitchen_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("PIXELARM_CACHE", str(tmp_path))
    with pytest.raises(
        PixelarmError, match="FrankaKitchen-v1 brings its own arm; the arm 'panda' is one for robosuite's scenes"
    ):
        compile_scene(EXACT, PANDA)
    with pytest.raises(PixelarmError, match="robosuite's Lift needs one of .*; 'kitchen_panda' is neither"):
        compile_scene(Recipe(), KITCHEN_PANDA)
    with pytest.raises(PixelarmError, match="fewer_collisions.*'kitchen_panda' names none.*Leave the term out"):
        compile_scene(Recipe(environment=KITCHEN, terms=("fewer_collisions",)), KITCHEN_PANDA)


def test_terms_make_the_kitchen_cheap_and_leave_its_collisions_alone(world):
    plain, light = build_world(Kitchen(recipe=EXACT)).model, world.model
    drawn = [np.isin(m.geom_group, (1, 2)) & (m.geom_type == mujoco.mjtGeom.mjGEOM_MESH) for m in (plain, light)]
    faces = [int(m.mesh_facenum[m.geom_dataid[shown]].sum()) for m, shown in zip((plain, light), drawn)]
    assert faces[1] < 0.05 * faces[0]  # 142,000 before
    for field in ("geom_contype", "geom_conaffinity", "geom_margin"):
        assert np.array_equal(getattr(plain, field), getattr(light, field))
    assert plain.opt.timestep == 0.002 and light.opt.timestep == 0.005
    assert set(TERMS) < set(scene.MODEL_TERMS)
    assert not (light.geom_group == 0).any()  # which no renderer draws


@pytest.mark.gl
@pytest.mark.parametrize("subtask", SUBTASKS)
def test_each_object_is_seen_to_move(world, subtask):
    """At 84 pixels in the agent's view."""
    reset_world(world, ALL, 0)
    before = world.render("agentview").astype(int)
    put_at_goal(world, subtask)
    after = world.render("agentview").astype(int)
    assert (np.abs(after - before).sum(axis=2) > 30).sum() >= 8


@pytest.mark.slow
@pytest.mark.gl
def test_renderers_agree_on_an_opened_kitchen(world):
    """Through the microwave's window too: 4.3 of 255 while OpenGL drew its glass."""
    cast = build_world(ALL, "raycast")
    for each in (world, cast):
        reset_world(each, ALL, 0)
        for subtask in SUBTASKS:
            put_at_goal(each, subtask)
    for camera in ("agentview", "eye_in_hand"):
        difference = np.abs(world.render(camera).astype(float) - cast.render(camera)).mean()
        assert difference < 3.0
    cast.close()


def test_a_heavier_kettle_is_all_of_the_kettle(world):
    """Its free body is empty; what weighs is fixed to it."""
    randomiser, kettle = Randomiser(world.model, make_terms(["mass"])), world.model.body("kettleroot").id
    before = world.model.body_mass[kettle]
    (factor,) = randomiser.draw(np.random.default_rng(0))["mass"].values()
    assert world.model.body_mass[kettle] == pytest.approx(factor * before) and factor != 1.0
    randomiser.set({"mass": {}})
    assert world.model.body_mass[kettle] == before


# -------------------------------------------------------------------------------------------------------- the geometry
def test_inverse_kinematics_goes_where_it_is_told_within_the_limits(world):
    reset_world(world, ALL, 0)
    ik, arm = InverseKinematics(world, KITCHEN_PANDA.home), world.arm
    joints = world.data.qpos[arm.qpos].copy()
    position = Scene(world).hand + (0.05, 0.10, -0.05)
    rotation = world.data.site_xmat[arm.site].reshape(3, 3).copy()
    for _ in range(10):
        joints = ik.solve(joints, position, rotation)
    assert (joints >= ik._low - 1e-9).all() and (joints <= ik._high + 1e-9).all()
    world.data.qpos[arm.qpos] = joints
    assert np.linalg.norm(Scene(world).hand - position) < 2e-3
    turned = rotation_vector(rotation @ world.data.site_xmat[arm.site].reshape(3, 3).T)
    assert np.linalg.norm(turned) < 0.05


def test_a_point_turned_about_the_microwaves_hinge_stays_as_far_from_it(world):
    reset_world(world, ALL, 0)
    now = Scene(world)
    handle, hinge = now.site("microhandle_site"), world.data.xanchor[world.model.joint("microwave").id]
    turned = now.about("microwave", handle, -0.5)
    assert turned[2] == pytest.approx(handle[2])  # about the vertical
    assert np.linalg.norm(turned - hinge) == pytest.approx(np.linalg.norm(handle - hinge))
    put_at_goal(world, "microwave")  # the goal is -0.75: the true handle has gone further
    assert np.linalg.norm(Scene(world).site("microhandle_site") - now.about("microwave", handle, -0.75)) < 1e-6


def test_look_at_looks_at():
    """From (0, -2, 0) at the origin: x stays the picture's right, and the world's up is up: a quarter turn about x."""
    camera = look_at((0.0, -2.0, 0.0), (0.0, 0.0, 0.0))
    assert np.abs(camera["quat"]) == pytest.approx([np.sqrt(0.5), np.sqrt(0.5), 0.0, 0.0], abs=1e-9)
