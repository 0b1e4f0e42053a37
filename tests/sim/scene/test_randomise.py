"""Randomisation: seeded, recorded, undone for the next episode, and each term changes what it says."""

import json

import mujoco
import numpy as np
import pytest

from robot.errors import UnknownName
from sim.envs.make import make
from sim.scene.randomise import TERMS, Randomiser, add_noise, make_terms

MODEL_TERMS = {
    "colours": "mat_rgba", "lights": "light_dir", "camera": "cam_pos", "friction": "geom_friction", "mass": "body_mass",
}  # fmt: skip


@pytest.fixture(scope="module")
def env():
    made = make("lift", randomise=tuple(TERMS))
    yield made
    made.close()


def test_an_unknown_term_names_the_known_ones():
    with pytest.raises(UnknownName, match="randomisation term 'colors'.*colours"):
        make_terms(["colors"])


@pytest.mark.parametrize("name", sorted(MODEL_TERMS))
def test_a_term_changes_its_field_and_set_undoes_it(env, name):
    model = env.world.model
    alone = Randomiser(model, make_terms([name]))
    before = getattr(model, MODEL_TERMS[name]).copy()
    drawn = alone.draw(np.random.default_rng(0))
    changed = getattr(model, MODEL_TERMS[name]).copy()
    assert not np.array_equal(before, changed)
    alone.draw(np.random.default_rng(1))
    alone.set(json.loads(json.dumps(drawn)))  # as it would come back from an episode's file
    assert np.array_equal(getattr(model, MODEL_TERMS[name]), changed)
    getattr(model, MODEL_TERMS[name])[:] = before


def test_what_was_drawn_is_reported_and_repeats_with_the_seed(env):
    first, info = env.reset(seed=4)
    again, info_again = env.reset(seed=4)
    other, info_other = env.reset(seed=5)
    assert info["randomisation"].keys() == TERMS.keys()
    assert info["randomisation"] == info_again["randomisation"] != info_other["randomisation"]
    assert np.array_equal(first["agentview"], again["agentview"])
    assert not np.array_equal(first["agentview"], other["agentview"])


def test_state_dict_brings_the_drawn_world_back(env):
    env.reset(seed=2)
    env.step(np.zeros(4, np.float32))
    state = env.state_dict()
    straight = env.step(np.full(4, 0.02, np.float32))
    env.reset(seed=3)
    env.load_state_dict(state)
    resumed = env.step(np.full(4, 0.02, np.float32))
    assert all(np.array_equal(straight[0][k], resumed[0][k]) for k in straight[0])


def test_an_observation_delay_shows_the_past():
    """The same motion seen 25 ms late: the reported position lags behind the true one."""
    lags = {}
    for name in ((), ("observation_delay",)):
        made = make("lift", actuation_delay_ms=(0.0, 0.0), randomise=name)
        made.reset(seed=1)
        if name:
            made._randomiser.drawn["observation_delay"]["ms"] = 25.0
        for _ in range(5):
            observation, *_ = made.step(np.array([0, 0.04, 0, -1], np.float32))
        lags[bool(name)] = float(np.linalg.norm(observation["eef_pos"] - made.world.eef_position()))
        made.close()
    assert lags[False] < 1e-6 and 0.002 < lags[True] < 0.010  # at about 0.2 m/s, 25 ms are 5 mm


def test_heavier_objects_fall_all_the_same_but_weigh_more():
    made = make("lift", randomise=("mass",))
    _, info = made.reset(seed=1)
    body = mujoco.mj_name2id(made.world.model, mujoco.mjtObj.mjOBJ_BODY, "cube_main")
    (factor,) = info["randomisation"]["mass"].values()
    assert made.world.model.body_mass[body] == pytest.approx(factor * made._randomiser._base["body_mass"][body])
    made.close()


def test_noise_has_its_standard_deviation():
    flat = np.full((64, 64, 3), 128, np.uint8)
    noisy = add_noise(flat, 5.0, np.random.default_rng(0)).astype(float)
    assert noisy.std() == pytest.approx(5.0, rel=0.05) and noisy.mean() == pytest.approx(128, abs=0.2)


def test_a_small_tint_is_a_small_change():
    """Colours that a material gives stay the material's: one percent of tint moves it by a few of 255, not to grey."""
    from sim.scene.randomise import Colours

    made = make("lift")
    before, _ = made.reset(seed=1)
    randomiser = Randomiser(made.world.model, [Colours(spread=0.01)])
    randomiser.draw(np.random.default_rng(0))
    after, _ = made.reset(seed=1)
    made.close()
    for name in ("agentview", "eye_in_hand"):
        difference = np.abs(before[name].astype(float) - after[name]).mean()
        assert 0.1 < difference < 4.0
