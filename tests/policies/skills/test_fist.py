"""FIST: the terms of its loss by hand, what it looks up and where it then goes, what is exported."""

import numpy as np
import pytest
import torch
from conftest_skills import anywhere, filmed_walk, observed, tiny, walk, walker, walking_contract

from policies.export.onnx import TOLERANCE, check_parity, to_onnx
from policies.skills.fist import Fist
from policies.skills.skill import Distance, Gaussian
from robot import bundle
from robot.errors import PixelarmError


def test_a_gaussians_divergence_and_likelihood_by_hand():
    """mean 1, std 1: KL to N(0, 1) is 1/2 a number; at 2 away from the mean, -log p is 2 and half log 2 pi."""
    unit = Gaussian(torch.tensor([[1.0, 1.0, 0.0, 0.0]]))
    assert unit.kl_to_unit().item() == pytest.approx(1.0)
    assert unit.nll(torch.tensor([[3.0, 1.0]])).item() == pytest.approx(2.0)
    wide = Gaussian(torch.tensor([[0.0, np.log(2.0)]]))
    assert wide.kl_to_unit().item() == pytest.approx(0.5 * (4 - 1) - np.log(2.0))
    assert wide.nll(torch.tensor([[2.0]])).item() == pytest.approx(0.5 + np.log(2.0))


def test_the_inverse_dynamics_do_not_shape_the_posterior():
    policy = walker(inverse_weight=0.0, prior_weight=0.0)
    rows = policy.rows([walk(5), walk(7, 1)])
    losses = policy.loss(rows.__getitems__(range(len(rows))))
    (gradient,) = torch.autograd.grad(losses["inverse_nll"], policy.skill.posterior_head.weight, allow_unused=True)
    assert gradient is None
    (gradient,) = torch.autograd.grad(losses["inverse_nll"], policy.skill.inverse[0].weight)
    assert gradient.abs().sum() > 0


def test_the_loss_is_the_sum_of_its_parts():
    policy = walker(prior_weight=0.5, inverse_weight=2.0)
    rows = policy.rows([walk(5), walk(7, 1)])
    found = {name: value.item() for name, value in policy.loss(rows.__getitems__(range(12))).items()}
    parts = found["reconstruction"] + found["inverse_nll"] + found["contrast"]
    assert found["loss"] == pytest.approx(parts + 0.5 * found["kl"] + 2.0 * found["inverse_error"], rel=1e-5)


def test_pairs_beyond_an_episodes_end_are_no_positives(monkeypatch):
    """Pairs are just the horizon apart: of 5 steps with H = 3 the first three."""
    policy, seen = walker(), []
    monkeypatch.setattr(policy.distance, "loss", lambda start, later: seen.append((start, later)) or start.sum())
    policy.loss(policy.rows([walk(5)]).__getitems__(range(5)))
    ((start, later),) = seen
    step = 0.01 / policy.eyes.normalizer.std[0]
    assert len(start) == 3 and torch.allclose(later[:, 0] - start[:, 0], (3 * step).expand(3), atol=1e-4)


def test_contrast_of_states_that_all_look_alike_is_the_log_of_their_number():
    distance = Distance(4, tiny())
    alike = torch.ones(5, 4)
    assert distance.loss(alike, alike).item() == pytest.approx(np.log(5), abs=1e-5)
    assert distance.loss(alike[:1], alike[:1]).item() == 0.0  # one row says nothing


@pytest.mark.parametrize("distance", ["euclidean", "learned"])
def test_it_looks_up_a_state_that_it_has_seen_and_goes_where_that_led(distance):
    policy = walker(distance=distance)
    for row, (x, y, ahead) in {1: (0.01, 0, 0.04), 4: (0.04, 0, 0.05), 6 + 2: (0.02, 1, 0.05)}.items():
        found = policy.nearest(policy.eyes.normalizer(observed(x, y)))
        assert found.tolist() == [row]
        goal = policy.ahead[found] * policy.eyes.normalizer.std + policy.eyes.normalizer.mean
        assert torch.allclose(goal[0, :2], torch.tensor([ahead, float(y)]), atol=1e-6)


def test_the_distance_follows_the_weights():
    """What was embedded before an update is not used after it."""
    policy = walker(distance="learned")
    state = policy.eyes.normalizer(observed(0.02, 1))
    policy.nearest(state)
    policy.loss(policy.rows([walk(5)]).__getitems__([0, 1]))
    with torch.no_grad():
        policy.distance.network[0].weight.mul_(-1.0)
    policy.nearest(state)
    assert torch.equal(policy.embedded, policy.distance(policy.seen))


def test_without_demonstrations_it_does_not_act():
    policy = Fist(walking_contract(), tiny(), seed=0)
    with pytest.raises(PixelarmError, match="no demonstrations to look up.*pixelarm adapt"):
        policy.act(observed(0.0), sample=False)
    with pytest.raises(PixelarmError, match="needs at least one"):
        policy.look_up(policy.rows([]))


def test_what_is_looked_up_is_saved_with_the_weights():
    policy, other = walker(), Fist(walking_contract(), tiny(), seed=5)
    other.load_state_dict(policy.state_dict())
    assert len(other.seen) == 6 + 8
    assert np.array_equal(other.act(observed(0.03), False), policy.act(observed(0.03), False))


@pytest.mark.parametrize("options", [{}, {"distance": "euclidean", "object_tolerance": 0.2, "objects": "demonstrated"}])
def test_it_is_exported_with_what_it_looks_up(options):
    policy = walker(**options)
    exported = bundle.Policy(to_onnx(policy), policy.contract, {})
    assert check_parity(exported, policy, anywhere(20)) <= TOLERANCE
    # other demonstrations, other answers: the constants are those of the policy
    others = walker(**options)
    others.look_up(others.rows([walk(9, 3)]))
    assert not np.allclose(others.act(observed(0.03), False), policy.act(observed(0.03), False), atol=1e-5)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"distance": "manhattan"}, "algo.distance must be one of learned, euclidean, got 'manhattan'"),
        ({"horizon": 0}, "algo.horizon must be at least 1, got 0"),
        ({"grip": "closed"}, "algo.grip must be one of looked_up, decoded, got 'closed'"),
        ({"history": 2}, "algo.history must be 1"),
        ({"state_floor": 0.0}, "algo.state_floor must be more than 0"),
    ],
)
def test_options_that_mean_nothing_are_refused(option, words):
    assert any(words in problem for problem in tiny(**option).problems())


def test_of_states_about_as_near_it_takes_the_one_with_less_to_go():
    """Between walks 0 (5 steps, y = 0) and 1 (7 steps, y = 1) at x = 2 cm: 3 and 5 steps are left."""
    policy = walker(distance="euclidean")
    scaled = policy.eyes.normalizer(observed(0.02, 0.51))  # a little nearer to walk 1
    assert policy.nearest(scaled).tolist() == [6 + 2]
    policy.cfg.haste = 10.0
    assert policy.left.tolist() == [5, 4, 3, 2, 1, 0, 7, 6, 5, 4, 3, 2, 1, 0]
    assert policy.nearest(scaled).tolist() == [5]  # now nothing else counts: the end of a walk, the first of two


def test_objects_may_weigh_more_than_the_arm():
    """An arm at the place of one state whose object is where another state has it: in units of a standard deviation the
    arm is 2 away from the one, the object 1 from the other. Of weight 3 the object is what counts.
    """
    policy = walker(distance="euclidean", object_weight=3.0)
    assert policy.weights.tolist() == [1.0, 1.0, 1.0, 3.0] and "weights" not in policy.state_dict()
    policy.seen = torch.tensor([[2.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0]])
    policy.left, policy.embedded = torch.zeros(2), policy.embedded[:0]
    state = torch.tensor([[0.0, 0.0, 0.0, 1.0]])
    assert policy.nearest(state).tolist() == [0]  # 4 against 9
    policy.weights, policy.embedded = torch.ones(4), policy.embedded[:0]
    assert policy.nearest(state).tolist() == [1]  # 4 against 1


def test_objects_may_differ_a_little_and_be_the_same():
    """An object is 2 cm and 6 cm from where two states have it, so 0.4 and 1.2 in its unit of 5 cm. With a tolerance of
    3 cm (0.6) nothing and 0.6 are left of that.
    """
    policy = walker(distance="euclidean", object_tolerance=0.03)
    policy.normalizer.std[:] = torch.tensor([1.0, 1.0, 1.0, 0.05])
    policy.seen = torch.tensor([[0.5, 0.0, 0.0, 0.4], [0.0, 0.0, 0.0, 1.2]])
    policy.left, policy.embedded = torch.zeros(2), policy.embedded[:0]
    state = torch.zeros(1, 4)
    assert policy.nearest(state).tolist() == [0]  # 0.25 + 0 against 0 + 0.36
    policy.seen = torch.tensor([[0.7, 0.0, 0.0, 0.4], [0.0, 0.0, 0.0, 1.2]])
    policy.embedded = policy.embedded[:0]
    assert policy.nearest(state).tolist() == [1]  # 0.49 against 0.36
    policy.seen = torch.tensor([[1.0, 0.0, 0.0, 0.4], [0.0, 0.0, 0.0, 1.2]])
    policy.cfg.object_tolerance, policy.embedded = 0.0, policy.embedded[:0]
    assert policy.nearest(state).tolist() == [0]  # 1.16 against 1.44
    problems = tiny(object_tolerance=0.03, distance="learned").problems()
    assert any("object_tolerance is of the Euclidean distance" in problem for problem in problems)
    with pytest.raises(PixelarmError, match=r"object_tolerance=0.03 is about object_state, .* does not observe"):
        walker(filmed_walk, object_tolerance=0.03)


def test_objects_may_be_taken_as_demonstrated():
    """What a policy does follows the arm that it observes, and the objects of the moment that it looked up."""
    policy = walker(distance="euclidean", object_tolerance=0.5, objects="demonstrated")
    here, there = observed(0.02, 0.0), observed(0.02, 0.0)
    there["object_state"] = there["object_state"] + 0.1
    assert torch.equal(policy(here), policy(there))
    assert not torch.equal(policy(here), policy(observed(0.05, 0.0)))
    assert torch.equal(policy.choose(policy.eyes(here))[1], policy.choose(policy.eyes(there))[1])
    policy.cfg.objects = "observed"
    assert not torch.equal(policy(here), policy(there))
    assert any("algo.objects must be one of" in problem for problem in tiny(objects="imagined").problems())
    with pytest.raises(PixelarmError, match=r"objects=demonstrated is about object_state.*set algo.objects=observed"):
        walker(filmed_walk, objects="demonstrated")


def test_objects_are_displaced_where_it_learns(monkeypatch):
    """Each state of a stretch by its own draw, the arm's numbers never; what the posterior sees is as it was."""
    policy, seen = walker(object_noise=0.05, nudge=0.0), []
    batch = policy.rows([walk(5), walk(7, 1)]).__getitems__(range(12))
    inverse, posterior = policy.skill.inverse_dynamics, policy.skill.posterior
    monkeypatch.setattr(
        policy.skill, "inverse_dynamics", lambda a, b: seen.append(torch.stack([a, b])) or inverse(a, b)
    )
    monkeypatch.setattr(policy.skill, "posterior", lambda s, a: seen.append(s) or posterior(s, a))
    policy.loss(batch)
    clean, states = policy.scaled(batch.states), seen[1]
    assert torch.equal(seen[0], clean[:, :-1])
    assert torch.equal(states[0, :, :3], clean[:, 0, :3])
    by = (states[..., 3] - torch.stack([clean[:, 0, 3], clean[:, -1, 3]])) * policy.normalizer.std[3]
    assert len(by.flatten().unique()) == 24 and 0.02 < by.std() < 0.1
    with pytest.raises(PixelarmError, match=r"object_noise=0.05 is about object_state, .* does not observe"):
        walker(filmed_walk, object_noise=0.05)


def test_the_gripper_is_the_demonstrations_one_step_on():
    """It closes from the third action on; looked up before the second one, that is what comes next."""
    closes = walk(5)
    closes.actions[:2, 3] = -1.0
    policy = Fist(walking_contract(), tiny(), seed=0)
    rows = policy.rows([closes, walk(7, 1)])
    policy.measure(rows)
    policy.look_up(rows)
    assert policy.next_actions[:6, 3].tolist() == [-1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    seen = {x: policy.act(observed(0.01 * x), False)[0, 0] for x in range(6)}
    assert [seen[x][3] for x in range(6)] == [-1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    policy.cfg.grip = "decoded"
    decoded = {x: policy.act(observed(0.01 * x), False)[0, 0] for x in range(6)}
    assert all(np.array_equal(seen[x][:3], decoded[x][:3]) for x in range(6))  # the hand moves as it would
    with torch.no_grad():  # a decoder that is sure of the opposite
        policy.skill.decoder[-1].bias[3] = -9.0
    assert all(policy.act(observed(0.01 * x), False)[0, 0, 3] == -1.0 for x in range(6))
    policy.cfg.grip = "looked_up"
    assert policy.act(observed(0.05), False)[0, 0, 3] == 1.0


def test_a_weight_of_objects_that_nobody_observes_is_refused():
    with pytest.raises(PixelarmError, match=r"is about object_state, which a policy of walk does not.*object_weight=1"):
        walker(filmed_walk, object_weight=2.0)
    problems = tiny(object_weight=2.0, distance="learned").problems()
    assert any("object_weight=2 is of the Euclidean distance" in problem for problem in problems)


def test_nudges_without_joints_are_refused():
    with pytest.raises(PixelarmError, match="set algo.nudge=0"):
        Fist(walking_contract(), tiny(nudge=0.02), seed=0)


# ------------------------------------------------------------------------------------------------------- from pictures
def test_from_pictures_the_encoder_learns_with_the_skills():
    policy = walker(filmed_walk, augmentation=[{"shift": {"pixels": 2}}])
    assert policy.eyes.size == 6 + 4 and policy.skill.recurrent.input_size == 4 + 4  # proprioception and actions
    rows = policy.rows([filmed_walk(5), filmed_walk(7, 1)])
    torch.manual_seed(0)
    losses = policy.loss(rows.__getitems__(range(12)))
    losses["loss"].backward()
    convs = policy.eyes.encoder.convs[0][0].weight
    assert convs.grad.abs().sum() > 0 and all(torch.isfinite(value) for value in losses.values())
    torch.manual_seed(0)
    again = policy.loss(rows.__getitems__(range(12)))
    assert all(torch.equal(losses[name], again[name]) for name in losses)  # views follow torch's own stream


def test_what_is_looked_up_is_seen_as_the_encoder_sees_it_now():
    policy = walker(filmed_walk)
    rows = policy.rows([filmed_walk(5), filmed_walk(7, 1)])
    before = policy.seen
    assert torch.allclose(before, policy.eyes(rows.observations(0, 14)))
    assert torch.equal(policy.ahead[[0, 4, 6]], before[[3, 5, 9]])
    with torch.no_grad():
        policy.eyes.trunk.pixels[0].weight.mul_(-1.0)
    policy.look_up(rows)
    assert not torch.allclose(before, policy.seen) and torch.equal(policy.ahead[0], policy.seen[3])


def test_from_pictures_it_is_exported_too():
    policy = walker(filmed_walk)
    exported = bundle.Policy(to_onnx(policy), policy.contract, {})
    rng = np.random.default_rng(0)
    seen = [
        {
            "agentview": rng.integers(0, 255, (32, 32, 3), np.uint8),
            "eef_pos": rng.normal(size=3).astype(np.float32),
            "object_state": np.zeros(1, np.float32),
        }
        for _ in range(20)
    ]
    assert check_parity(exported, policy, seen) <= TOLERANCE


def test_strays_that_mean_nothing_are_refused():
    assert tiny(nudge=0.02, strays=0.15).problems() == []
    assert tiny(nudge=0.0, strays=0.15).problems() == [
        "algo.strays needs algo.nudge, ten times of which they are displaced by: set algo.strays=0"
    ]
    assert tiny(nudge=0.02, strays=1.5).problems() == ["algo.strays must be from 0 to 1, got 1.5"]


def test_an_arm_that_pictures_show_is_not_displaced():
    with pytest.raises(PixelarmError, match=r"which pictures would contradict.*set algo.nudge=0"):
        walker(filmed_walk, nudge=0.02)
