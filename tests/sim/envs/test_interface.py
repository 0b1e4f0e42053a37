"""Every environment keeps what ``sim/envs/interface.py`` says, whatever its task; so does a vector of them."""

from __future__ import annotations

import importlib.util
import json

import numpy as np
import pytest

from robot.contract import Contract
from robot.errors import PixelarmError, UnknownName
from sim.envs.config import TaskConfig
from sim.envs.interface import Common, Environment, VectorEnvironment
from sim.envs.make import contract_for, make, make_env, make_vec
from sim.tasks import TASKS

NEEDS_DMC = pytest.mark.skipif(importlib.util.find_spec("dm_control") is None, reason="pip install 'pixelarm[dmc]'")
DMC = [pytest.param(name, marks=NEEDS_DMC) for name in ("dmc/cartpole-swingup", "dmc/walker-walk")]
SIZE = 16  # pixels; cheap


@pytest.fixture(params=[*sorted(TASKS), *DMC], scope="module")
def env(request):
    look = "fast" if request.param.startswith("dmc/") else "plain"
    made = make(request.param, image_size=SIZE, look=look, view_size=40)
    yield made
    made.close()
    made.close()  # a second time does nothing


def members(*protocols):
    """The public names on the page."""
    names = {name for each in protocols for name in [*vars(each), *each.__annotations__]}
    return {name for name in names if not name.startswith("_")}


def actions(env, count, seed=0):
    return [
        one.astype(np.float32)
        for one in np.random.default_rng(seed).uniform(*bounds(env), (count, env.contract.action.size))
    ]


def bounds(env):
    return np.array(env.contract.action.low), np.array(env.contract.action.high)


def same(a, b):
    """Two results of ``step`` or ``reset``."""
    return all(np.array_equal(a[0][name], b[0][name]) for name in a[0]) and a[1:-1] == b[1:-1]


# ------------------------------------------------------------------------------------------------------ one environment
def test_all_of_the_page_is_there(env):
    assert {name for name in members(Common, Environment) if not hasattr(env, name)} == set()
    assert isinstance(env.contract, Contract) and env.metric in ("success", "return")
    assert env.action_repeat >= 1 and env.max_steps >= 1


def test_spaces_are_the_contracts(env):
    sizes = {c.name: ((SIZE, SIZE, 3), np.dtype(np.uint8)) for c in env.contract.cameras}
    sizes |= {p.name: ((p.size,), np.dtype(np.float32)) for p in env.contract.proprio}
    assert {name: (s.shape, s.dtype) for name, s in env.observation_space.items()} == sizes
    assert env.action_space.shape == (env.contract.action.size,) and env.action_space.dtype == np.float32
    assert np.allclose([env.action_space.low, env.action_space.high], bounds(env))


def test_what_reset_and_step_return(env):
    observation, info = env.reset(seed=3)
    env.contract.check_observation(observation)
    assert info["success"] is False
    observation, reward, terminated, truncated, info = env.step(actions(env, 1)[0])
    env.contract.check_observation(observation)
    assert [type(one) for one in (reward, terminated, truncated, info["success"])] == [float, bool, bool, bool]
    assert not terminated and not truncated


def test_a_seed_decides_the_scene(env):
    first, again, other = env.reset(seed=7), env.reset(seed=7), env.reset(seed=8)
    assert same(first, again)
    assert not same(first, other) or env.metric == "return"  # 16 pixels may hide how DeepMind Control starts


@pytest.mark.parametrize("wrong", ["too many", "not finite"])
def test_a_senseless_action_is_refused(env, wrong):
    env.reset(seed=0)
    size = env.contract.action.size
    with pytest.raises(ValueError, match=f"an action is {size} finite numbers"):
        env.step(np.zeros(size + 1) if wrong == "too many" else np.full(size, np.nan))


def test_beyond_its_bounds_an_action_is_clipped(env):
    high = bounds(env)[1]
    env.reset(seed=1)
    state = env.state_dict()
    inside = env.step(high)
    env.load_state_dict(state)
    assert same(inside, env.step(high + 5.0))


def test_a_restored_episode_goes_on_exactly_and_so_does_the_next(env):
    env.reset(seed=5)
    some = actions(env, 6)
    for action in some[:3]:
        env.step(action)
    state = env.state_dict()
    world = {name: array.copy() for name, array in state["world"].items()}
    plain = json.loads(json.dumps({name: value for name, value in state.items() if name != "world"}))
    straight = [*map(env.step, some[3:]), env.reset(), env.step(some[0])]
    env.reset(seed=99)
    env.load_state_dict({"world": world, **plain})
    resumed = [*map(env.step, some[3:]), env.reset(), env.step(some[0])]
    assert all(same(a, b) for a, b in zip(straight, resumed))


def test_max_steps_is_where_an_episode_is_cut(env):
    env.reset(seed=2)
    state = env.state_dict()
    idle = 0.5 * sum(bounds(env))
    for taken, cut in ((env.max_steps - 2, False), (env.max_steps - 1, True)):
        env.load_state_dict({**state, "steps": taken * env.action_repeat})
        assert env.step(idle)[2:4] == (False, cut)


def test_how_it_is_recorded_is_plain_data(env):
    assert json.loads(json.dumps(env.recording)) == env.recording and {"look", "renderer"} <= set(env.recording)


def test_a_scripted_expert_acts_or_is_said_to_be_absent(env):
    env.reset(seed=0)
    if env.metric == "return":
        with pytest.raises(PixelarmError, match=f"{env.contract.task} has no scripted expert"):
            env.expert(0)
        return
    played = []
    for _ in range(2):
        env.reset(seed=0)
        act = env.expert(4)
        played.append([env.step(act()) for _ in range(3)])
    assert all(same(a, b) for a, b in zip(*played))  # its tremor follows from its seed


@pytest.mark.gl
def test_people_see_a_larger_picture(env):
    env.reset(seed=0)
    picture = env.render()
    assert picture.shape == (40, 40, 3) and picture.dtype == np.uint8 and picture.std() > 5


# ------------------------------------------------------------------------------------------------------------- a vector
@pytest.mark.slow
@pytest.mark.parametrize("name", ["reach", *DMC[:1]])
def test_a_vector_is_the_same_page_n_times(name):
    look = "fast" if name.startswith("dmc/") else "plain"
    env = make(name, image_size=SIZE, look=look, view_size=40)
    with make_vec(name, 2, workers=1, image_size=SIZE, look=look, view_size=40) as envs:
        assert {member for member in members(Common, VectorEnvironment) if not hasattr(envs, member)} == set()
        for member in ("contract", "metric", "action_repeat", "max_steps", "recording"):
            assert getattr(envs, member) == getattr(env, member)
        assert envs.num_envs == 2
        observations, infos = envs.reset(seed=[3, 4])
        act = actions(env, 2)
        results = envs.step(np.stack(act))
        pictures = envs.render()
        for i, seed in enumerate((3, 4)):
            first, info = env.reset(seed=seed)
            result = env.step(act[i])
            assert (
                all(np.array_equal(observations[n][i], first[n]) for n in first)
                and infos["success"][i] == info["success"]
            )
            assert all(np.array_equal(results[0][n][i], result[0][n]) for n in first)
            assert [one[i] for one in results[1:4]] == [np.float32(result[1]), *result[2:4]]
            assert np.array_equal(pictures[i], env.render())
    env.close()


# ---------------------------------------------------------------------------------------------------------- the factory
def test_options_are_the_configurations():
    env = make("lift", image_size=24, look="textured", hold_steps=2, actuation_delay_ms=(0.0, 10.0), randomise=["mass"])
    same_one = make_env(TaskConfig("lift", 24, 0, "textured", (0.0, 10.0), 2, ["mass"]))
    assert env.recording == same_one.recording and env.contract == same_one.contract
    assert env.recording["look"] == "textured" and env.contract.cameras[0].shape == (24, 24, 3)
    assert contract_for(TaskConfig("lift", 24)) == env.contract
    for made in (env, same_one):
        made.close()


@pytest.mark.parametrize("factory", [make, lambda name, **options: make_vec(name, 2, **options)])
def test_what_does_not_exist_lists_what_does(factory):
    with pytest.raises(UnknownName, match="unknown task 'lfit'; the valid names are: .*lift"):
        factory("lfit")
    with pytest.raises(UnknownName, match="option of an environment 'image_sise'.*image_size.*renderer"):
        factory("lift", image_sise=84)
    with pytest.raises(UnknownName, match="look of lift 'shiny'.*plain, textured"):
        factory("lift", look="shiny")
    with pytest.raises(UnknownName, match="render mode 'human'.*rgb_array"):
        factory("lift", render_mode="human")
    with pytest.raises(UnknownName, match="renderer of dmc/walker-walk 'raycast'.*auto, opengl"):
        make("dmc/walker-walk", renderer="raycast")


@NEEDS_DMC
def test_the_contract_alone_is_the_environments():
    cfg = TaskConfig("dmc/walker-walk", image_size=20, look="fast")
    env = make_env(cfg)
    assert contract_for(cfg) == env.contract
    env.close()
