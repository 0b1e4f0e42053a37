"""DeepMind Control keeps the promises of ``TaskEnv``, and those of the published numbers:
picture, repeat, time limit.
"""

from __future__ import annotations

import json
import subprocess
import sys
import warnings

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from robot.errors import MissingDependency, PixelarmError, UnknownName
from sim.envs import dmc

WHY = "needs the extra [dmc]: pip install 'pixelarm[dmc]'"


@pytest.fixture
def make():
    """``dmc.make`` with small cheap pictures; closes what it made."""
    pytest.importorskip("dm_control", reason=WHY)
    made = []

    def _make(name="cartpole-swingup", **options):
        made.append(dmc.make(name, **{"image_size": 16, "look": "fast", **options}))
        return made[-1]

    yield _make
    for env in made:
        env.close()


def play(env, actions):
    """Pictures, rewards and ends of some steps."""
    return [
        (o["camera"].tobytes(), reward, terminated, truncated)
        for o, reward, terminated, truncated, _ in map(env.step, actions)
    ]


def uniform(env, count, seed=0):
    return np.random.default_rng(seed).uniform(-1.0, 1.0, (count, env.contract.action.size)).astype(np.float32)


# ------------------------------------------------------------------ names
def test_without_the_extra_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "dm_control", None)  # as if it were not there
    with pytest.raises(MissingDependency, match=r"pip install 'pixelarm\[dmc\]'"):
        dmc.make("cartpole-swingup")


@pytest.mark.parametrize("name", ["cartpole", "cartpole-swing", "swingup", "lqr-lqr_2_1"])
def test_an_unknown_task_lists_those_that_exist(make, name):
    with pytest.raises(UnknownName) as caught:
        make(name)
    assert all(known in str(caught.value) for known in ("ball_in_cup-catch", "cartpole-swingup", "walker-walk"))


def test_an_unknown_look_lists_those_that_exist(make):
    with pytest.raises(UnknownName, match="fast, published"):
        make(look="pretty")


def test_a_negative_repeat_is_refused(make):
    with pytest.raises(PixelarmError, match="action_repeat must be at least 1, or 0 .* got -1"):
        make(action_repeat=-1)


# ------------------------------------------------------------------ contract and time
@pytest.mark.parametrize(
    ("name", "asked", "repeat", "rate_hz", "decisions"),
    [
        ("cartpole-swingup", 0, 8, 12.5, 125),  # 8 x 10 ms; 1000 / 8
        ("walker-walk", 0, 2, 20.0, 500),  # 2 x 25 ms; 1000 / 2
        ("finger-spin", 0, 2, 25.0, 500),  # 2 x 20 ms
        ("ball_in_cup-catch", 0, 4, 12.5, 250),  # 4 x 20 ms; 1000 / 4
        ("cartpole-swingup", 3, 3, 33.333333, 334),  # 3 x 10 ms; 333 decisions of 3 control steps, and one of 1
    ],
)
def test_repeat_rate_and_length(make, name, asked, repeat, rate_hz, decisions):
    env = make(name, action_repeat=asked, image_size=20)
    contract = env.contract
    assert (env.action_repeat, contract.rate_hz, env.max_steps) == (repeat, rate_hz, decisions)
    assert (contract.task, contract.history, contract.proprio) == (f"dmc/{name}", 1, ())
    assert [(c.name, c.shape) for c in contract.cameras] == [("camera", (20, 20, 3))]
    assert contract.action.kind == "normalized" and contract.action.low == (-1.0,) * contract.action.size
    observation, info = env.reset(seed=0)
    contract.check_observation(observation)
    assert info == {"success": False} and env.metric == "return"


def test_the_prefix_of_configurations_may_stay(make):
    assert make("dmc/walker-walk").contract == make("walker-walk").contract


def test_an_action_is_held_and_its_rewards_are_added(make):
    held, single = make(action_repeat=4), make(action_repeat=1)
    held.reset(seed=5), single.reset(seed=5)
    picture, reward, *_ = held.step(np.array([0.7], np.float32))
    parts = [single.step(np.array([0.7], np.float32)) for _ in range(4)]
    assert reward == sum(part[1] for part in parts) and len({part[1] for part in parts}) == 4
    assert np.array_equal(picture["camera"], parts[-1][0]["camera"])


def test_an_episode_is_cut_after_a_thousand_control_steps(make):
    env = make(action_repeat=400)  # 400 + 400 + 200 control steps of 10 ms are 10 s
    env.reset(seed=0)
    ends = [end[2:] for end in play(env, np.zeros((3, 1)))]
    assert ends == [(False, False), (False, False), (False, True)] and env.max_steps == 3
    assert env._data.time == pytest.approx(10.0)
    with pytest.raises(PixelarmError, match=r"this episode of dmc/cartpole-swingup is over: call reset\(\)"):
        env.step(np.zeros(1))
    env.reset()
    assert play(env, np.zeros((1, 1)))[0][2:] == (False, False)  # and a new one begins


def test_only_the_task_itself_terminates(make, monkeypatch):
    env = make(action_repeat=4)
    env.reset(seed=0)
    monkeypatch.setattr(env._suite.task, "get_termination", lambda physics: 0.0 if physics.time() > 0.055 else None)
    ends = [end[2:] for end in play(env, np.zeros((2, 1)))]
    assert ends == [(False, False), (True, False)]  # in the sixth control step, at 60 ms
    assert env._data.time == pytest.approx(0.06)


def test_actions_are_scaled_to_each_actuators_range(make):
    env = make("quadruped-walk")
    env.reset(seed=0)
    low, high = env._model.actuator_ctrlrange.T
    assert len({tuple(pair) for pair in env._model.actuator_ctrlrange}) > 1  # not all the same
    for share, expected in ((-1.0, low), (1.0, high), (0.0, (low + high) / 2), (2.0, high)):
        env.step(np.full(12, share))
        assert env._data.ctrl == pytest.approx(expected)


@pytest.mark.parametrize("action", [np.zeros(2), np.array([np.nan])])
def test_a_wrong_action_is_refused(make, action):
    env = make()
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"an action is 1 finite numbers \('slide',\)"):
        env.step(action)


# ------------------------------------------------------------------ seeds and resume
def test_a_seed_is_a_start_and_decides_the_episodes_after_it(make):
    env, other = make("reacher-easy", image_size=48), make("reacher-easy", image_size=48)
    first, _ = env.reset(seed=7)
    second, _ = env.reset()
    other.reset(seed=8)
    play(other, uniform(other, 3))
    again, _ = other.reset(seed=7)
    then, _ = other.reset()
    assert np.array_equal(first["camera"], again["camera"]) and np.array_equal(second["camera"], then["camera"])
    assert not np.array_equal(first["camera"], second["camera"])


# RK4; a target, gains and a terrain that an episode writes into the model; muscles with a state of their own
@pytest.mark.parametrize(
    "name", ["acrobot-swingup", "finger-turn_hard", "point_mass-hard", "quadruped-escape", "cheetah-run"]
)
def test_a_restored_episode_goes_on_bit_for_bit(make, name):
    env, copy = make(name, image_size=48), make(name, image_size=48)
    actions = uniform(env, 8)
    env.reset(seed=3)
    copy.reset(seed=4)
    play(env, actions[:4]), play(copy, actions[:2])
    state = env.state_dict()
    world = {key: value.copy() for key, value in state["world"].items()}
    copy.load_state_dict({"world": world, **json.loads(json.dumps({k: v for k, v in state.items() if k != "world"}))})
    assert np.array_equal(env.render(), copy.render())
    assert play(env, actions[4:]) == play(copy, actions[4:])
    assert np.array_equal(env.reset()[0]["camera"], copy.reset()[0]["camera"])  # the next episode too
    assert play(env, actions[:2]) == play(copy, actions[:2])


def test_a_state_is_kept_as_arrays_that_a_checkpoint_takes(make):
    env = make()
    env.reset(seed=1)
    assert {str(array.dtype) for array in env.state_dict()["world"].values()} == {"float64", "int64"}


# ------------------------------------------------------------------ pictures
@pytest.mark.gl
@pytest.mark.parametrize(("name", "camera"), [("cartpole-swingup", 0), ("quadruped-walk", 2)])
def test_the_published_look_is_dm_controls_own_picture(make, name, camera):
    env = make(name, image_size=84, look="published")
    env._begin(seed=2)
    theirs = env._suite.physics.render(84, 84, camera_id=camera)
    ours, _ = env.reset(seed=2)
    assert theirs.std() > 10 and np.array_equal(ours["camera"], theirs)
    env._suite.physics.free()


@pytest.mark.gl
def test_the_fast_look_is_another_one(make):
    published, fast = (make("walker-walk", image_size=84, look=look) for look in ("published", "fast"))
    assert [env.recording["look"] for env in (published, fast)] == ["published", "fast"]
    difference = np.abs(published.reset(seed=0)[0]["camera"].astype(int) - fast.reset(seed=0)[0]["camera"])
    assert 2 < difference.mean() < 20  # no shade on the ground, but the same scene


@pytest.mark.gl
def test_people_get_a_larger_view(make):
    env = make(view_size=120)
    env.reset(seed=0)
    assert env.render().shape == (120, 120, 3) and env.render().std() > 10


@pytest.mark.gl
def test_environments_left_open_end_in_silence(make):
    """dm_control, imported after the first picture, ends the display that both draw on before
    that picture's renderer would close.
    """
    script = """
from sim.envs.make import make
table = make("reach", image_size=16)
table.reset(seed=0)
other = make("dmc/cartpole-swingup", image_size=16, look="fast")
other.reset(seed=0)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


# ------------------------------------------------------------------ every task
def test_it_passes_the_env_checker(make):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it advises on registration
        check_env(make())


@pytest.mark.slow
@pytest.mark.thorough
def test_every_task_of_the_suite_plays(make):
    names = dmc.names()
    assert len(names) == 49
    for name in names:
        env = make(name, action_repeat=2)
        observation, _ = env.reset(seed=0)
        env.contract.check_observation(observation)
        for action in uniform(env, 2):
            observation, reward, terminated, truncated, info = env.step(action)
            assert 0.0 <= reward <= 2.0 and not terminated and not truncated and info == {"success": False}
        assert env.contract.from_text(env.contract.to_yaml()) == env.contract
        env.close()
