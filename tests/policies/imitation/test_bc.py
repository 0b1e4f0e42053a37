"""Behaviour cloning of chunks: its loss by hand, random views, and contracts with and without cameras."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest_policies import random_episode, random_observation, tiny_contract

from policies.config import EncoderConfig
from policies.data.windows import Windows
from policies.export.onnx import TOLERANCE, check_parity, to_onnx
from policies.imitation.bc import ChunkBc
from policies.imitation.config import ChunkBcConfig
from policies.networks.encoder import PixelEncoder
from robot import bundle

SMALL = {"encoder": EncoderConfig(convs="compact", feature_size=16, proprio_size=8, tanh=True), "hidden": 32}


def policy_of(contract, **options) -> ChunkBc:
    cfg = ChunkBcConfig(**{"chunk": 3, **SMALL, **options})
    return ChunkBc(contract.for_policy(cfg.history, cfg.chunk, cfg.execute), cfg, seed=1)


def without_cameras(contract):
    return replace(contract, cameras=())


def episode_of(contract, steps, seed=0):
    one = random_episode(contract, steps, seed)
    one.actions[:, 3] = np.where(np.arange(steps) < steps // 2, -1.0, 1.0)  # the gripper closes half way
    return one


def measured(contract, **options) -> tuple[ChunkBc, Windows]:
    policy = policy_of(contract, **options)
    windows = Windows(policy.contract, [episode_of(contract, 6, seed) for seed in range(2)])
    policy.measure(windows)
    return policy, windows


def test_the_loss_by_hand():
    """Every answer is 0 and the gripper's log-odds too: |0 - a| over three motions, and ln 2."""
    policy, windows = measured(tiny_contract())
    torch.nn.init.zeros_(policy.head[-1].weight)
    torch.nn.init.zeros_(policy.head[-1].bias)
    batch = windows.__getitems__([0, 4, 5])  # of six steps: 3, 2 and 1 actions are left
    assert policy.actions.two_valued.tolist() == [False, False, False, True]
    losses = {name: value.detach() for name, value in policy.loss(batch).items()}
    wanted = policy.actions.to_network(batch.actions)[:, :, :3].abs().mean(dim=2)
    by_hand = (wanted[0, 0] + wanted[0, 1] + wanted[0, 2] + wanted[1, 0] + wanted[1, 1] + wanted[2, 0]) / 6
    assert float(losses["motion_loss"]) == pytest.approx(float(by_hand), rel=1e-5)
    assert float(losses["two_valued_loss"]) == pytest.approx(float(np.log(2.0)), rel=1e-5)
    assert float(losses["loss"]) == pytest.approx(float(by_hand + np.log(2.0)), rel=1e-5)


def test_actions_after_the_end_carry_no_loss():
    policy, windows = measured(tiny_contract())
    batch = windows.__getitems__([5])
    torch.manual_seed(0)
    before = policy.loss(batch)["loss"]
    batch.actions[:, 1:] = 0.03
    torch.manual_seed(0)
    assert torch.equal(policy.loss(batch)["loss"], before)
    batch.actions[:, 0] = 0.03
    torch.manual_seed(0)
    assert not torch.equal(policy.loss(batch)["loss"], before)


def test_a_regressed_gripper_is_a_number_like_the_others():
    policy, windows = measured(tiny_contract(), two_valued="regress")
    losses = {name: value.detach() for name, value in policy.loss(windows.__getitems__([0, 1])).items()}
    assert float(losses["two_valued_loss"]) == 0.0 and float(losses["loss"]) == float(losses["motion_loss"])


def test_pictures_are_augmented_in_learning_alone():
    policy, windows = measured(tiny_contract(), augmentation=[{"shift": {"pixels": 4}}])
    batch = windows.__getitems__([0, 1, 2, 3])
    torch.manual_seed(0)
    once, again = (policy.loss(batch)["loss"] for _ in range(2))
    torch.manual_seed(0)
    assert not torch.equal(once, again) and torch.equal(policy.loss(batch)["loss"], once)
    assert np.array_equal(policy.act(batch.obs, sample=True), policy.act(batch.obs, sample=False))


def test_mirrored_rows_are_answered_for():
    policy, windows = measured(tiny_contract(), mirror=True)
    batch = windows.__getitems__([0, 0])
    _, wanted, _ = policy.learned_from(batch)
    plain, mirrored = (policy.actions.to_physical(wanted[row])[:, :3] for row in (0, 1))
    assert torch.allclose(mirrored, plain * torch.tensor([1.0, -1.0, 1.0]), atol=1e-6)


def test_actions_are_in_the_contracts_units_and_within_its_bounds():
    policy, windows = measured(tiny_contract())
    chunk = policy.act(windows.__getitems__([0, 3]).obs, sample=False)
    assert chunk.shape == (2, 3, 4) and chunk.dtype == np.float32
    assert np.array_equal(chunk, policy.contract.clip_action(chunk))
    assert set(np.unique(chunk[:, :, 3])) <= {-1.0, 1.0}


@pytest.mark.parametrize("see", [tiny_contract, lambda: without_cameras(tiny_contract())])
def test_it_learns_what_it_is_shown(see):
    """Twelve windows, with and without cameras: the error goes to a fraction of what it was."""
    policy, windows = measured(see(), hidden=128)
    optimizer = torch.optim.Adam(policy.parameters(), 2e-3)
    batch, losses = windows.__getitems__(range(len(windows))), []
    for _ in range(150):
        loss = policy.loss(batch)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.3 * losses[0]


def test_without_cameras_there_are_no_convolutions():
    policy = policy_of(without_cameras(tiny_contract()), history=2)
    assert not any(isinstance(module, PixelEncoder) for module in policy.modules())
    assert policy.head[0].in_features == 2 * (3 + 1)


@pytest.mark.parametrize("see", [tiny_contract, lambda: without_cameras(tiny_contract())])
@pytest.mark.parametrize("history", [1, 2])
def test_the_exported_network_answers_alike(see, history):
    policy, _ = measured(see(), history=history, execute=2)
    rng = np.random.default_rng(0)
    exported = bundle.Policy(to_onnx(policy), policy.contract, {})
    observations = [random_observation(policy.contract, rng) for _ in range(5)]
    assert check_parity(exported, policy, observations) < TOLERANCE
    assert exported.contract.execute == 2
