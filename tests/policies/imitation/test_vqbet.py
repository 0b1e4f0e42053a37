"""VQ-BeT: codes first and then the rest, the losses by hand, and two ways from one observation."""

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest_policies import random_observation, tiny_contract
from conftest_skills import walking_contract
from conftest_tokens import episode_of, fit, fork, seen, vqbet

from policies.export.onnx import TOLERANCE, check_parity, to_onnx
from policies.imitation.checks import check_fitted
from policies.imitation.config import VqBetConfig
from robot import bundle
from robot.errors import PixelarmError


def small(contract=None, **options):
    contract = contract or replace(tiny_contract(), cameras=())
    return vqbet(contract, [episode_of(contract, 6, seed) for seed in range(3)], **options)


def state(policy) -> dict[str, torch.Tensor]:
    return copy.deepcopy(policy.state_dict())


def changed(before, after) -> set[str]:
    """Which parts of a policy are not as they were."""
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    return {name.partition(".")[0] for name in moved}


def test_first_the_codes_learn_and_then_the_rest():
    """A quarter of 8 updates is 2."""
    policy, rows = small(code_share=0.25)
    start, optimizer = state(policy), torch.optim.AdamW(policy.parameters(), 1e-3, weight_decay=0.1)
    batch, moved = rows.__getitems__(range(len(rows))), []
    for update in range(8):
        policy.begin(update, 8)
        optimizer.zero_grad()
        policy.loss(batch)["loss"].backward()
        optimizer.step()
        moved.append(changed(start, state(policy)))
        start = state(policy)
    learned = {"encoder", "decoder", "quantiser"}
    assert moved[:2] == [learned, learned]
    rest = {"transformer", "first_head", "second_head", "offset_heads"}
    assert moved[2] == rest | {"settled"} and moved[3:] == [rest] * 5


def test_settled_codes_stay_so():
    """A run of 10 updates that goes on to 100 is not in its first fifth again."""
    policy, _ = small()
    policy.begin(1, 10)
    assert not policy.settled
    policy.begin(2, 10)
    policy.begin(3, 100)
    assert policy.settled
    other, _ = small()
    other.load_state_dict(policy.state_dict())
    other.begin(0, 100)
    assert other.settled  # those of skills, too


def test_the_loss_of_codes_by_hand():
    """The decoder answers 0 and every chunk is encoded as 1: its codes are 1 and 0, and nothing is left of it."""
    policy, rows = small(two_valued_weight=0.5, commitment=7.0)
    for part, value in ((policy.decoder[-1], 0.0), (policy.encoder[-1], 1.0)):
        torch.nn.init.zeros_(part.weight)
        torch.nn.init.constant_(part.bias, value)
    batch = rows.__getitems__([0, 5])  # the first and the last moment of an episode of six
    found = {name: float(value.detach()) for name, value in policy.loss(batch).items()}
    # chunks of two that begin with an action that counts: (0, 1), then (3, 4), (4, 5) and of the last one (5)
    wanted = policy.actions.to_network(torch.from_numpy(episode_of(policy.contract, 6).actions))
    motion = float(wanted[[0, 1, 3, 4, 4, 5, 5], :3].abs().mean())
    assert found["code_motion_loss"] == pytest.approx(motion, rel=1e-5)
    assert found["code_two_valued_loss"] == pytest.approx(math.log(2.0), rel=1e-5)
    assert found["commitment"] == pytest.approx(0.0, abs=1e-6)
    assert found["loss"] == pytest.approx(motion + 0.5 * math.log(2.0), rel=1e-5)
    assert found["first_codes"] == pytest.approx(1.0)
    # at 1 + 2: what is nearest is 1, now of four chunks half a decay away
    torch.nn.init.constant_(policy.encoder[-1].bias, 3.0)
    policy.quantiser.decay = 1.0 - 1e-9
    assert float(policy.loss(batch)["commitment"].detach()) == pytest.approx(4.0, rel=1e-3)


def test_the_commitment_moves_the_encoder_and_the_error_goes_through_the_codes():
    policy, rows = small()
    policy.loss(rows.__getitems__([3, 4]))["loss"].backward()
    assert policy.encoder[0].weight.grad.abs().sum() > 0 and policy.decoder[0].weight.grad.abs().sum() > 0
    assert policy.transformer.enter.weight.grad is None


def test_the_loss_of_answers_by_hand():
    """All heads answer 0: each code of four has 1/4, and the answer is what is decoded of the true ones."""
    policy, rows = small(secondary_weight=0.5, offset_weight=3.0)
    fit(policy, rows, 10)
    for head in (policy.first_head, policy.second_head, policy.offset_heads):
        torch.nn.init.zeros_(head.weight)
        torch.nn.init.zeros_(head.bias)
    batch = rows.__getitems__([7])  # the second moment: of three tokens the first is before the episode
    found = {name: float(value.detach()) for name, value in policy.loss(batch).items()}
    actions = policy.actions.to_network(torch.from_numpy(episode_of(policy.contract, 6, 1).actions))
    chunks = torch.stack([actions[0:2], actions[1:3]])
    with torch.no_grad():
        decoded = policy.decoder(policy.quantiser.vectors(policy.quantiser(policy.encoder(chunks.flatten(1)))))
    motion = float((decoded.unflatten(1, (2, 4)) - chunks)[..., :3].abs().mean())
    focal = 0.75**2 * math.log(4.0)
    assert found["first_loss"] == pytest.approx(focal, rel=1e-5)
    assert found["second_loss"] == pytest.approx(focal, rel=1e-5)
    assert found["motion_loss"] == pytest.approx(motion, rel=1e-4)
    whole = focal + 0.5 * focal + 3.0 * (motion + found["two_valued_loss"])
    assert found["loss"] == pytest.approx(whole, rel=1e-4)


def test_only_the_true_codes_learn_an_offset_and_the_second_after_the_first():
    policy, rows = small()
    fit(policy, rows, 10)
    batch = rows.__getitems__([6])  # one token that counts
    chunk = policy.actions.to_network(batch.actions[:, 2:])
    first, second = policy.quantiser(policy.encoder(chunk.flatten(1)))[0].tolist()
    policy.zero_grad()
    policy.loss(batch)["loss"].backward()
    moved = policy.offset_heads.bias.grad.unflatten(0, (2, 4, 8)).abs().sum(dim=2)
    assert moved[0].nonzero().tolist() == [[first]] and moved[1].nonzero().tolist() == [[second]]
    after = policy.second_head.bias.grad.unflatten(0, (4, 4)).abs().sum(dim=1)
    assert after.nonzero().tolist() == [[first]]


def test_it_learns_what_it_is_shown():
    policy, rows = small(code_share=0.4, codes=8)
    losses = fit(policy, rows, 200)
    first, last = losses[80], losses[-1]
    assert losses[79]["code_motion_loss"] < 0.8 * losses[0]["code_motion_loss"]
    assert last["loss"] < 0.3 * first["loss"] and last["first_accuracy"] > 0.8 and last["second_accuracy"] > 0.8


def test_it_takes_one_of_two_ways_and_each_half_of_the_time():
    """Both actions of a chunk and the gripper are of the same way. Of 600 a half within four deviations, 0.08. What is
    drawn may have a second code that no demonstration has: it is near a way, never between the two.
    """
    policy, rows = vqbet(walking_contract(), [fork(n) for n in range(8)], codes=2, code_share=0.4)
    fit(policy, rows, 200)
    torch.manual_seed(0)
    drawn = policy.act(seen(600), sample=True)
    right = drawn[:, 0, 0] > 0
    assert np.abs(drawn[:, :, 0]) == pytest.approx(np.full((600, 2), 0.03), abs=0.01)
    assert right.mean() == pytest.approx(0.5, abs=0.08)
    sides = np.where(right, 1.0, -1.0)[:, None]
    assert np.array_equal(np.sign(drawn[:, :, 0]), np.repeat(sides, 2, axis=1))
    assert np.array_equal(drawn[:, :, 3], np.repeat(sides, 2, axis=1))
    best = policy.act(seen(1), sample=False)
    assert np.abs(best[0, :, 0]) == pytest.approx(np.full(2, 0.03), abs=0.003)


def test_the_exported_network_takes_the_best_codes():
    policy, rows = small(execute=2)
    fit(policy, rows, 15)
    rng = np.random.default_rng(0)
    exported = bundle.Policy(to_onnx(policy), policy.contract, {})
    observations = [random_observation(policy.contract, rng) for _ in range(6)]
    assert check_parity(exported, policy, observations) < TOLERANCE
    assert (exported.contract.chunk, exported.contract.execute) == (2, 2)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"code_share": 1.0}, "algo.code_share must be more than 0 and less than 1, got 1.0"),
        ({"code_decay": 1.0}, "algo.code_decay must be from 0 to below 1, got 1.0"),
        ({"codes": 0}, "algo.codes must be at least 1, got 0"),
        ({"secondary_weight": -1.0}, "algo.secondary_weight must be at least 0, got -1.0"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, words):
    with pytest.raises(PixelarmError, match=words):
        check_fitted(VqBetConfig(**options))
    check_fitted(VqBetConfig())
