"""Values against returns, with numbers by hand."""

import numpy as np
import pytest
import torch
from conftest_policies import make_agent, random_observation, tiny_contract
from conftest_traces import make_trace

from policies.diagnose.values import along, returns, summarise
from policies.diagnose.watch import Played
from policies.rollout.acting import to_batch


def test_a_return_to_go_is_discounted_from_the_rewarded_step():
    assert returns(3, 0.5).tolist() == [0.25, 0.5, 1.0]


def test_bins_hold_steps_to_go_of_successes():
    found = summarise(7, 0.5, [np.array([0.0, 0.0, 0.5, 0.5]), np.array([1.0])], [])
    # 4, 3, 2, 1 to go, and 1. Bin 1-2: Q .5, .5, 1 and returns .5, 1, 1; bin 3-5: Q 0, 0 and returns .125, .25
    assert [(b.first, b.last, b.n) for b in found.bins] == [(1, 2, 3), (3, 5, 2)]
    assert [b.value for b in found.bins] == pytest.approx([2 / 3, 0.0])
    assert [b.truth for b in found.bins] == pytest.approx([2.5 / 3, 0.1875])
    assert (found.step, found.episodes, found.successes, found.failing) == (7, 2, 2, [])
    # first third: two steps of four, -.125 and -.25, a mean of -.1875; of the other episode 0
    assert found.at_start == pytest.approx(-0.1875 / 2)
    # last five: all four, -.125 -.25 +0 -.5 = -.875, a mean of -.21875
    assert found.at_end == pytest.approx(-0.21875 / 2) and found.of_failures is None


def test_failures_are_compared_with_successes():
    falling = np.linspace(0.5, 0.0, 20)  # the last four are .105, .079, .053, .026, 0 without the first: mean .0395
    found = summarise(0, 0.9, [np.array([0.4, 0.6])], [falling, np.full(3, 0.2)])
    assert found.of_failures == pytest.approx((falling[-4:].mean() + 0.2) / 2 / 0.5)
    assert len(found.failing) == 10 and found.failing[0] == pytest.approx((falling[:2].mean() + 0.2) / 2)
    alone = summarise(0, 0.9, [], [falling])
    assert alone.bins == [] and alone.at_start is None and alone.of_failures is None and alone.successes == 0


def test_q_along_an_episode_is_the_mean_of_all_critics():
    contract, rng = tiny_contract(), np.random.default_rng(0)
    agent = make_agent(contract)
    seen = [to_batch([random_observation(contract, rng)]) for _ in range(5)]
    actions = contract.clip_action(rng.uniform(-1, 1, (5, 4)))
    found = along(agent, Played(make_trace(5), actions, seen), rows=2)
    batch = {name: torch.cat([one[name] for one in seen]) for name in seen[0]}
    assert found == pytest.approx(agent.values(batch, torch.from_numpy(actions)).mean(dim=0).numpy(), abs=1e-5)

    class Valueless:
        def values(self, observations, actions):
            return None

    assert along(Valueless(), Played(make_trace(5), actions, seen)) is None
