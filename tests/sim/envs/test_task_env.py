"""The environment keeps gymnasium's promises, its own, and can be put back where it was."""

import warnings

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from robot.errors import PixelarmError, UnknownName
from sim.envs.config import TaskConfig
from sim.envs.make import make, make_env
from sim.physics.imperfections import Imperfections
from sim.rendering import gl
from sim.tasks import TASKS, make_task


@pytest.fixture(scope="module")
def env():
    made = make("lift")
    yield made
    made.close()


@pytest.mark.parametrize("name", sorted(TASKS))
def test_every_task_passes_the_env_checker(name):
    made = make(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it advises on unbounded boxes and on registration
        check_env(made)
    made.close()


LONG = [name for name in TASKS if name == "kitchen" or name.count("_") > 4]  # four subtasks one after another
EXPERTS = [pytest.param(name, marks=pytest.mark.thorough if name in LONG[1:] else ()) for name in sorted(TASKS)]


@pytest.mark.parametrize("name", EXPERTS)
def test_every_expert_succeeds(name, blind):
    made, solved = make(name, renderer=blind), 0
    for seed in range(8):
        made.reset(seed=seed)
        expert, done = made.expert(seed), False
        while not done:
            action = expert()
            np.testing.assert_array_equal(action, made.contract.clip_action(action))  # what is recorded can be learned
            _, reward, terminated, truncated, info = made.step(action)
            assert reward == float(info["success"]) == float(terminated)
            done = terminated or truncated
        solved += terminated
    made.close()
    assert solved == 8


def test_observations_are_what_the_contract_says(env):
    observation, _ = env.reset(seed=3)
    env.contract.check_observation(observation)
    assert env.observation_space.contains(observation)


def test_a_seed_is_a_scene(env):
    first, _ = env.reset(seed=7)
    again, _ = env.reset(seed=7)
    other, _ = env.reset(seed=8)
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not np.array_equal(first["agentview"], other["agentview"])


def test_state_dict_restores_the_middle_of_an_episode(env):
    env.reset(seed=5)
    rng = np.random.default_rng(0)
    actions = [env.contract.clip_action(rng.uniform(-1, 1, 4) * 0.04) for _ in range(12)]
    for action in actions[:5]:
        env.step(action)
    state = env.state_dict()
    straight = [env.step(action) for action in actions[5:]]
    env.reset(seed=99)
    env.load_state_dict(state)
    resumed = [env.step(action) for action in actions[5:]]
    for a, b in zip(straight, resumed):
        assert all(np.array_equal(a[0][name], b[0][name]) for name in a[0])
        assert a[1:4] == b[1:4]


def test_the_clock_cuts_an_episode_without_ending_the_task(env):
    env.reset(seed=1)
    up = np.array([0.0, 0.0, 0.04, -1.0], np.float32)
    for step in range(env.max_steps):
        _, reward, terminated, truncated, _ = env.step(up)
        assert not terminated and reward == 0.0
        assert truncated == (step == env.max_steps - 1)


def test_a_success_may_have_to_last(monkeypatch):
    """Done in steps 1, 3, 4, 5 and 6: the third in a row is step 5;
    a state taken between remembers how many there were.
    """
    env = make("lift", hold_steps=3)
    env.reset(seed=1)
    up, done = np.array([0.0, 0.0, 0.04, -1.0], np.float32), iter([True, False, True, True, True, True])
    monkeypatch.setattr(env.task, "success", lambda world: next(done))
    results = [env.step(up)[1:] for _ in range(4)]
    state = env.state_dict()
    env._done_for = 0
    env.load_state_dict(state)
    results += [env.step(up)[1:] for _ in range(2)]
    env.close()
    for step, (reward, terminated, truncated, info) in enumerate(results, start=1):
        assert (reward, terminated, truncated, info["success"]) == (float(step >= 5), step >= 5, False, step >= 5)


def test_a_state_from_before_successes_could_last_is_taken(env):
    env.reset(seed=5)
    older = env.state_dict()
    del older["done_for"]
    env.load_state_dict(older)
    _, reward, terminated, _, _ = env.step(np.array([0.0, 0.0, 0.04, -1.0], np.float32))
    assert (reward, terminated) == (0.0, False)


def test_steps_to_hold_must_fit_the_episode():
    with pytest.raises(PixelarmError, match="hold_steps must be 1 to the task's .* got 0"):
        make("lift", hold_steps=0)


@pytest.mark.parametrize("action", [np.zeros(3), np.full(4, np.nan), np.zeros((1, 4))])
def test_a_senseless_action_is_refused_in_words(env, action):
    env.reset(seed=1)
    with pytest.raises(ValueError, match="an action is 4 finite numbers"):
        env.step(action)


def test_an_environment_says_how_it_is_seen_and_judged(monkeypatch):
    env = make("reach", image_size=32, hold_steps=2, actuation_delay_ms=(0, 20), randomise=["mass", "lights"])
    assert env.recording == {
        "look": "plain", "renderer": "opengl", "actuation_delay_ms": [0.0, 20.0], "observation_delay_ms": [0.0, 0.0],
        "randomise": ["lights", "mass"], "hold_steps": 2, "cameras": {},
    }  # fmt: skip
    env.close()
    monkeypatch.setattr(gl, "_missing", "no OpenGL library")  # the ray-caster takes over
    env = make("reach", image_size=32)
    assert env.recording["renderer"] == "raycast"
    env.close()


def test_an_unknown_task_names_the_known_ones():
    with pytest.raises(UnknownName, match="unknown task 'lfit'; the valid names are: .*lift"):
        make_task("lfit")


def test_delay_must_fit_the_period():
    with pytest.raises(PixelarmError, match="actuation_delay_ms must be .* period of 100 ms, got .0.0, 150.0."):
        make("lift", actuation_delay_ms=(0.0, 150.0))


def test_a_state_from_when_only_the_pose_was_observed_is_taken(env):
    """``observed`` was then a list of position and rotation."""
    env.reset(seed=5)
    action = np.array([0.02, 0.0, 0.04, -1.0], np.float32)
    env.step(action)
    state = env.state_dict()
    straight = env.step(action)[0]
    older = {**state, "observed": [state["observed"]["position"], state["observed"]["rotation"]]}
    env.reset(seed=99)
    env.load_state_dict(older)
    resumed = env.step(action)[0]
    assert all(np.array_equal(straight[name], resumed[name]) for name in straight)


def test_a_time_limit_cuts_episodes_and_leaves_the_tasks_own_for_evaluation():
    env = make("reach", image_size=32, time_limit=3)
    env.reset(seed=0)
    still = np.array([0, 0, 0.04, -1], np.float32)
    assert [env.step(still)[3] for _ in range(4)] == [False, False, True, True]
    assert env.max_steps == env.task.max_steps > 3
    env.close()


@pytest.mark.thorough
def test_an_expert_is_the_same_whatever_deltas_count_from():
    """It says where to go; what its deltas are added to decides the numbers, not the motion."""
    ends = {}
    for counts_from in ("measured", "commanded"):
        env = make("reach", counts_from=counts_from, renderer="raycast", actuation_delay_ms=(0.0, 0.0))
        env.reset(seed=3)
        expert = env.expert(3)
        wanted = [expert() for _ in range(1)]
        for action in wanted:
            env.step(action)
        wanted.append(expert())
        ends[counts_from] = (env.world.eef_position(), wanted)
        env.close()
    np.testing.assert_allclose(ends["measured"][0], ends["commanded"][0], atol=1e-6)
    np.testing.assert_array_equal(ends["measured"][1][0], ends["commanded"][1][0])  # nothing was commanded before it
    assert np.abs(ends["measured"][1][1] - ends["commanded"][1][1]).max() > 0.005  # the arm lags behind the first


def test_deltas_that_count_from_the_last_target_lead_further_than_the_lag():
    """Three actions of 1 cm: a lagging arm that counts from itself is told less than 3 cm in all."""
    told = {}
    for counts_from in ("measured", "commanded"):
        env = make("reach", counts_from=counts_from, renderer="raycast", actuation_delay_ms=(0.0, 0.0))
        env.reset(seed=3)
        start = env.world.eef_position()
        for _ in range(3):
            env.step(np.float32([0.0, 0.0, 0.01, -1.0]))
        told[counts_from] = env.world.controller.goal_position[2] - env.world.base_position[2] - start[2]
        env.close()
    assert told["commanded"] == pytest.approx(0.03, abs=1e-6) and told["measured"] < 0.025


def test_an_arm_with_too_little_gravity_compensation_creeps_down_only_where_deltas_count_from_itself():
    """Five per cent too little, three seconds of actions of zero."""
    sunk = {}
    for counts_from in ("measured", "commanded"):
        cfg = TaskConfig("reach", counts_from=counts_from, actuation_delay_ms=(0.0, 0.0), hold_steps=30)
        env = make_env(cfg, renderer="raycast", imperfections=Imperfections(gravity_error=0.05))
        env.reset(seed=0)
        start = env.world.eef_position()[2]
        for _ in range(30):
            env.step(np.float32([0.0, 0.0, 0.0, -1.0]))
        sunk[counts_from] = start - env.world.eef_position()[2]
        env.close()
    assert sunk["measured"] > 0.008 and sunk["commanded"] < 0.002  # m


def test_subtasks_pay_once_each_and_are_remembered():
    """The light is switched on, off and on again, which pays 1, 0 and 0; the microwave pays 1 after a resumption."""
    env = make_env(TaskConfig("kitchen", observe="states", reward="subtasks", actuation_delay_ms=(0.0, 0.0)))
    assert env.metric == "completed" and env.recording["reward"] == "subtasks"
    env.reset(seed=1)
    goals = {"light_switch": ("light_switch", -0.69), "microwave": ("microwave", -0.75)}
    stay = np.float32([0.0] * 7 + [-1.0])

    def put(subtask, on):
        name, goal = goals[subtask]
        env.world.data.joint(name).qpos[:] = goal if on else 0.0
        env.world.data.joint(name).qvel[:] = 0.0

    paid = []
    for on in (True, False, True):
        put("light_switch", on)
        paid.append(env.step(stay)[1])
    state = env.state_dict()
    env.reset(seed=2)
    env.load_state_dict(state)
    put("microwave", True)
    paid += [env.step(stay)[1], env.step(stay)[1]]
    env.close()
    assert paid == [1.0, 0.0, 0.0, 1.0, 0.0]


def test_a_reward_that_a_task_does_not_have_is_refused():
    with pytest.raises(PixelarmError, match="lift has no subtasks that could pay"):
        make_env(TaskConfig("lift", reward="subtasks"))
    with pytest.raises(UnknownName, match="reward"):
        make_env(TaskConfig("lift", reward="smiles"))
