"""The probe: it reads what is linearly there, and no more; and which frames it looks at."""

import numpy as np
import torch
from conftest_traces import flags, make_trace, places

from policies.diagnose.sight import PER_EPISODE, Frames, chosen, positions, probe, probes
from policies.diagnose.watch import Played


def scenes(episodes=20, frames=5, seed=0):
    """Episodes (N,), and positions (N, 3) in metres that are each scene's own."""
    rng = np.random.default_rng(seed)
    return np.repeat(np.arange(episodes), frames), rng.uniform(-0.1, 0.1, (episodes, 3)).repeat(frames, axis=0)


def test_positions_that_are_linear_in_the_features_are_read_exactly():
    episodes, truth = scenes(40)
    rng = np.random.default_rng(1)
    features = truth @ rng.normal(size=(3, 50)) + 7.0
    found = probe("goal", features.astype(np.float32), truth, episodes)
    assert found.error_cm < 0.02 < 3.0 < found.mean_cm  # uniform in 20 cm: 9.6 cm apart on average, 8 or so to the mean
    assert (found.frames, found.scenes) == (40, 40)  # a fifth of 40 episodes of 5 frames


def test_features_that_only_name_the_scene_do_not_help_on_other_scenes():
    """Learned by heart: each scene has a feature of its own. Frames of a scene are therefore never divided."""
    episodes, truth = scenes(40)
    found = probe("goal", np.eye(40, dtype=np.float32)[episodes], truth, episodes)
    assert found.error_cm > 0.8 * found.mean_cm


class Reads:
    """A policy whose encoder shows its input."""

    class encoder:
        cameras = ("a",)
        stack = staticmethod(lambda observation: observation["a"])

        def __new__(cls, stacked):
            return stacked

    views = staticmethod(lambda observation: observation)


def played(seed, episodes_steps=30):
    """The hand nears the object at (0.1, 0, 0) a centimetre a step; what is seen is the true aim."""
    hand = np.zeros((episodes_steps + 1, 3))
    hand[:, 0] = 0.1 - 0.01 * np.arange(episodes_steps, -1, -1)
    at = np.tile([0.1, 0.01 * (seed % 5), 0.0], (episodes_steps + 1, 1))
    trace = make_trace(episodes_steps, hand=hand, manipuland=at, goal=None)
    seen = [{"a": torch.from_numpy(at[t] - hand[t]).float()[None]} for t in range(episodes_steps)]
    return Played(trace, np.zeros((episodes_steps, 4), np.float32), seen)


def test_frames_are_spread_over_an_episode_with_more_of_those_near_the_manipuland():
    one = played(0).trace
    states = chosen(one, np.random.default_rng(0))
    assert {0, 29} <= set(states) and len(states) <= 2 * PER_EPISODE
    near = [t for t in states if np.linalg.norm(one.manipuland[t] - one.hand[t]) < 0.08]
    assert set(near) >= set(range(23, 30))  # 8 cm: the last 7 states before the last one, all of them
    assert chosen(make_trace(0), np.random.default_rng(0)) == []


def test_an_aim_is_there_only_when_it_is_near_and_not_held():
    trace = make_trace(10, hand=places((0.0, 0.0, 0.07)), held=flags(11, 1))
    assert {"hand", "manipuland", "goal", "aim at the manipuland"} == set(positions(trace, 0))
    assert "aim at the manipuland" not in positions(trace, 1)  # held
    assert "aim at the manipuland" not in positions(make_trace(10, hand=places((0.0, 0.0, 0.09))), 0)
    over = positions(make_trace(10, hand=places((0.15, 0.0, 0.5))), 0)  # 5 cm from the goal's axis, high above it
    assert np.allclose(over["aim at the goal"], (0.05, 0.0, -0.5))
    assert set(positions(make_trace(10, manipuland=None, goal=None), 0)) == {"hand"}


def test_probes_need_scenes_and_read_those_that_there_are():
    frames, rng = Frames(), np.random.default_rng(0)
    for seed in range(9):
        frames.add(played(seed), rng)
    assert probes(Reads(), frames) == [] == probes(Reads(), Frames())
    for seed in range(9, 20):
        frames.add(played(seed), rng)
    found = {one.name: one for one in probes(Reads(), frames)}
    assert set(found) == {"manipuland", "hand", "aim at the manipuland"}  # this task has no goal
    assert found["aim at the manipuland"].error_cm < 0.1 < found["aim at the manipuland"].mean_cm
