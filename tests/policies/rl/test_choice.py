"""Choosing among proposals by value: numbers by hand, with critics that are plain functions of the action."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest_policies import DETERMINISTIC, make_agent, random_episode, tiny_contract
from torch import nn

from policies.data.replay import Replay
from policies.policy import family_of
from policies.rl import choice
from policies.rl.choice import ChoicePolicy, both_grips, outdone, proposals, take, two_valued, values_of
from policies.rollout.collectors import Recorder
from robot.errors import PixelarmError

HYBRID = [*DETERMINISTIC, "prior=clone", "gripper=values", "policy_average=1.0", "n_step=2"]


class Wanted(nn.Module):
    """Two critics that think an action worth minus its distance from one that each wants."""

    def __init__(self, *wanted):
        super().__init__()
        self.wanted = torch.tensor(wanted)

    def trunk(self, features, proprio):
        return features

    def evaluate(self, features, action):
        return -(action - self.wanted[:, None]).norm(dim=2)

    def predict(self, features, proprio, action):
        return self.evaluate(features, action)

    def value(self, prediction):
        return prediction


def test_a_grip_is_its_sign():
    action = torch.tensor([[0.5, -0.2], [0.25, 0.0], [0.5, 0.7]])
    assert two_valued(action).tolist() == [[0.5, -1.0], [0.25, 1.0], [0.5, 1.0]]
    assert both_grips(action[:1]).tolist() == [[[0.5, -1.0]], [[0.5, 1.0]]]


def test_proposals_are_the_actors_then_the_priors():
    own, prior = torch.tensor([[0.1, 0.2]]), torch.tensor([[0.5, 0.6]])
    assert proposals(own, prior, by_value=False)[:, 0].tolist() == [own[0].tolist(), prior[0].tolist()]
    found = proposals(own, prior, by_value=True)[:, 0]
    assert torch.equal(found, torch.tensor([[0.1, -1.0], [0.1, 1.0], [0.5, 1.0]]))
    assert torch.equal(proposals(own, None, by_value=False), own[None])


def test_values_and_the_chosen_one():
    critics = Wanted([0.0, 0.0], [1.0, 0.0])
    actions = torch.tensor([[[0.0, 0.0], [1.0, 0.0]], [[0.5, 0.0], [0.0, 0.0]]])  # (K 2, B 2, A 2)
    values = values_of(critics, torch.zeros(2, 3), torch.zeros(2, 1), actions)
    assert values.shape == (2, 2, 2)
    assert values[:, :, 0].tolist() == [[0.0, -0.5], [-1.0, -0.5]]
    best = values.min(dim=0).values.argmax(dim=0)  # the least values: row 0: -1 and -0.5; row 1: -1 and -1
    assert best.tolist() == [1, 0]
    assert take(actions, best).tolist() == [[0.5, 0.0], [1.0, 0.0]]


def test_a_demonstrated_action_outdoes_one_that_a_critic_thinks_less_of():
    critics = Wanted([0.0, 0.0], [1.0, 0.0])
    shown = torch.tensor([[0.5, 0.0], [1.0, 0.0], [0.5, 0.0]])  # least values: -0.5, -1.0, -0.5
    own = torch.tensor([[0.9, 0.0], [0.5, 0.0], [0.5, 0.0]])  # -0.9, -0.5, -0.5
    prediction = critics.predict(torch.zeros(3, 1), None, shown)
    assert outdone(critics, prediction, torch.zeros(3, 1), None, own).tolist() == [True, False, False]


def test_filtered_cloning_leaves_out_what_the_critics_value_less(monkeypatch):
    """All rows outdone: cloning as without the filter; none: the cloning loss is nothing, and the share is logged."""
    found = {}
    for name, filtered, better in (("plain", "false", None), ("all", "true", True), ("none", "true", False)):
        agent = make_agent(tiny_contract(), *DETERMINISTIC, f"bc_filter={filtered}")
        if better is not None:
            monkeypatch.setattr(choice, "outdone", lambda c, prediction, *_, b=better: torch.full((8,), b))
        batch = filled(agent).sample(8, np.random.default_rng(0))
        found[name] = agent.update(batch, bc_weight=1.0)
    assert found["plain"]["bc_loss"] == found["all"]["bc_loss"] > found["none"]["bc_loss"] == 0.0
    assert (float(found["all"]["bc_share"]), float(found["none"]["bc_share"])) == (1.0, 0.0)


@pytest.fixture
def hybrid():
    return make_agent(tiny_contract(), *HYBRID, "try_other=0.0")


def filled(agent, length=6):
    """A memory with a successful episode and a recorder's view of it."""
    replay = Replay(agent.contract, 60, agent.lookup())
    for seed in range(2):
        replay.add_episode(random_episode(agent.contract, length, seed))
    if agent.proposes is not None:
        replay.propose_all(agent.proposes)
    return replay


def test_the_hybrid_does_what_its_critics_want(hybrid):
    """With critics that want the prior's action exactly, the prior acts; with ones that want the far corner, nobody."""
    policy = hybrid.policy
    with torch.no_grad():  # the actor has moved away from the clone
        for parameter in hybrid.actor.parameters():
            parameter.add_(0.1)
    batch = filled(hybrid).gather(np.array([0, 1, 2]))
    given = hybrid.proposes(batch.obs)
    policy.critics = Wanted(given[0].tolist(), given[0].tolist())
    action, of_prior = policy.choose({k: v[:1] for k, v in batch.obs.items()}, None)
    assert torch.allclose(action, given[:1], atol=1e-6) and of_prior.tolist() == [True]
    opposite = (-given[0]).tolist()
    policy.critics = Wanted(opposite, opposite)
    action, of_prior = policy.choose({k: v[:1] for k, v in batch.obs.items()}, None)
    assert action[0, -1] == -given[0, -1] and of_prior.tolist() == [False]


@pytest.mark.parametrize(("probability", "prior_acts"), [(0.0, True), (1.0, False)])
def test_the_other_proposal_is_tried_with_its_probability(probability, prior_acts):
    agent = make_agent(tiny_contract(), *HYBRID, f"try_other={probability}")
    batch = filled(agent).gather(np.arange(3))
    given = agent.proposes(batch.obs)
    agent.learning.critics = Wanted(given[0].tolist(), given[0].tolist())
    observation = {k: v[:1] for k, v in batch.obs.items()}
    for _ in range(20):
        noise = torch.randn(1, agent.learning.noise_size)
        assert agent.learning.choose(observation, noise)[1].tolist() == [prior_acts]


def test_the_prior_is_the_clone_and_stays(hybrid):
    batch = filled(hybrid).gather(np.arange(5))
    for _ in range(3):
        hybrid.clone(batch)
    hybrid.reset_targets()
    before = hybrid.proposes(batch.obs)
    features, proprio = hybrid.encoder(hybrid.encoder.stack(batch.obs)), hybrid.normalizer(batch.obs)
    assert torch.allclose(before, two_valued(hybrid.actor.mean(features, proprio)), atol=1e-6)
    for _ in range(3):
        hybrid.update(filled(hybrid).gather(np.arange(8) % 5))
    assert torch.equal(hybrid.proposes(batch.obs), before)
    assert not torch.allclose(hybrid.actor.mean(features, proprio), before, atol=1e-6)


def test_the_target_looks_ahead_to_the_best_proposal(hybrid):
    """Only the prior's next action is worth anything to these critics: y = r + gamma^2 0 of it, not of the actor's."""
    batch = replace(filled(hybrid).gather(np.array([0, 1])), reward=torch.zeros(2), discount=torch.full((2,), 0.5))
    _, after, noise = hybrid.draw(batch, improves=False)
    wanted = batch.next_proposal[0].tolist()
    hybrid.target_critics = Wanted(*[wanted] * hybrid.critics.members)
    both = replace(batch, next_proposal=batch.next_proposal[:1].expand(2, -1))
    assert hybrid.td_target(both, after, noise).tolist() == [0.0, 0.0]
    without = make_agent(hybrid.contract, *HYBRID, "prior_bootstraps=false")
    without.target_critics = hybrid.target_critics
    assert (without.td_target(replace(both, next_proposal=None), after, noise) < -1e-3).all()


def test_floor_and_range_bound_the_target(hybrid):
    agent = make_agent(hybrid.contract, "return_floor=true", "value_range=[0,1]")
    batch = filled(agent).gather(np.arange(3))
    zero = replace(batch, reward=torch.zeros(3), discount=torch.zeros(3))
    _, after, noise = agent.draw(batch, improves=False)
    for reward, floor, expected in ((0.0, 0.4, 0.4), (0.7, 0.4, 0.7), (-2.0, -np.inf, 0.0), (3.0, 0.4, 1.0)):
        given = replace(zero, reward=torch.full((3,), reward), floor=torch.full((3,), floor))
        assert agent.td_target(given, after, noise).tolist() == pytest.approx([expected] * 3)


def test_a_policy_that_chooses_is_loaded_whole(hybrid):
    made = family_of(hybrid.cfg).make_policy(hybrid.contract, hybrid.cfg, 5)
    assert isinstance(made, ChoicePolicy)
    made.load_state_dict(hybrid.policy.state_dict())
    observations = filled(hybrid).gather(np.arange(4)).obs
    assert np.array_equal(made.act(observations, sample=False), hybrid.policy.act(observations, sample=False))


def test_what_cloning_gave_is_kept_without_critics(hybrid):
    policy, cfg = hybrid.cloned
    assert not isinstance(policy, ChoicePolicy)
    made = family_of(cfg).make_policy(hybrid.contract, cfg, 0)
    made.load_state_dict(policy.state_dict())


def test_until_critics_have_learned_the_clone_acts_and_a_grip_is_a_sign(hybrid):
    observations = filled(hybrid).gather(np.arange(4)).obs
    hybrid.learning.critics = None  # not asked
    action = hybrid.act(observations, sample=True)[:, 0]
    assert set(np.abs(action[:, -1]).tolist()) == {1.0}


def test_who_acted_is_counted(hybrid):
    observations = filled(hybrid).gather(np.arange(4)).obs
    hybrid.updates = 1
    hybrid.act(observations, sample=True)
    share = hybrid.numbers()["prior_acted"]
    assert 0.0 <= share <= 1.0 and share * 4 == round(share * 4)
    assert hybrid.numbers() == {}  # of nothing since


def test_proposals_are_kept_with_the_frames_of_an_episode(hybrid):
    contract, look = hybrid.contract, hybrid.lookup()
    memory, successes = Replay(contract, 30, look), Replay(contract, 30, look)
    recorder = Recorder(memory, successes, "bootstrap", hybrid.proposes)
    episode = random_episode(contract, 4, 0)
    recorder.start(episode.observation(0))
    for t in range(4):
        last = t == 3
        recorder.add(episode.actions[t], float(last), last, False, episode.observation(t + 1), success=last)
    for kept in (memory, successes):
        batch = kept.gather(kept.transitions())
        assert torch.allclose(batch.proposal, hybrid.proposes(batch.obs), atol=1e-5)
        assert torch.allclose(batch.next_proposal, hybrid.proposes(batch.next_obs), atol=1e-5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["prior=clown"], "prior must be one of none, clone, run, got 'clown'"),
        (["gripper=both"], "gripper must be one of actor, values, got 'both'"),
        (["try_other=1.5"], "try_other must be between 0 and 1, got 1.5"),
        (["value_range=[1,0]"], "value_range is .low, high. or empty, got .1.0, 0.0."),
        (["gripper=values", "encoder.target_rate=0.1"], "reads the live convolutions: encoder.target_rate must be 0"),
        (["critic=simba", "return_floor=true"], "return_floor and value_range bound plain values"),
    ],
)
def test_parts_that_do_not_fit_are_refused(options, words):
    with pytest.raises(PixelarmError, match=words):
        make_agent(tiny_contract(), *options)
