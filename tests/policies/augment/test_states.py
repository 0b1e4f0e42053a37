"""The arm displaced beside its way, and objects beside their places."""

from dataclasses import replace

import pytest
import torch

from policies.augment.states import Displacements, displaced, joints_in, where_objects_are
from policies.data.batch import Batch
from robot.contract import Contract
from robot.errors import PixelarmError
from sim.tasks import make_task
from sim.tasks.kitchen import Kitchen


def kitchen() -> Contract:
    return Kitchen(observe="states").contract


def test_a_displaced_arm_is_brought_back_within_a_step():
    """Displaced by d, the joint velocity is less by d / 0.08 s; it stays within the contract's bounds."""
    contract = kitchen()
    joints = joints_in(contract)
    assert joints == slice(0, 7) and joints_in(make_task("lift").contract) is None
    states, actions = torch.zeros(64, 30), torch.zeros(64, 8)
    torch.manual_seed(0)
    moved, answer = displaced(states, actions, joints, 0.02, contract)
    assert torch.equal(moved[:, 7:], states[:, 7:]) and torch.equal(answer[:, 7], actions[:, 7])
    assert 0.01 < moved[:, joints].std() < 0.04
    assert torch.allclose(answer[:, :7], (-moved[:, joints] / 0.08).clamp(-2.0, 2.0), atol=1e-5)
    assert displaced(states, actions, joints, 0.0, contract)[0] is states


def test_strays_are_far_off_and_head_for_the_way():
    """A quarter of the rows: ten times as far, and as fast as the bounds let each joint."""
    contract = kitchen()
    states, actions = torch.zeros(4000, 30), torch.zeros(4000, 8)
    torch.manual_seed(0)
    moved, answer = displaced(states, actions, joints_in(contract), 0.02, contract, strays=0.25)
    far = moved[:, :7].norm(dim=1) > 0.2  # of the others, 0.04 at most of each joint's standard deviation
    assert 0.19 < far.float().mean() < 0.25
    assert torch.equal(answer[:, :7], (-moved[:, :7] / contract.period_s).clamp(-2.0, 2.0))
    assert (answer[far][:, :7].abs() == 2.0).float().mean() > 0.4
    torch.manual_seed(0)
    none = displaced(states, actions, joints_in(contract), 0.02, contract)[0]
    torch.manual_seed(0)
    assert torch.equal(none, displaced(states, actions, joints_in(contract), 0.02, contract, strays=0.0)[0])


def test_objects_are_where_the_contract_says():
    contract = kitchen()
    assert [entry.size for entry in contract.proprio] == [7, 2, 21]
    assert where_objects_are(contract).tolist() == [0.0] * 9 + [1.0] * 21


def moments(contract: Contract) -> Batch:
    rows = torch.zeros(64)
    obs = {entry.name: torch.zeros(64, entry.size) for entry in contract.proprio}
    actions = torch.zeros(64, 3, contract.action.size)
    return Batch(obs, obs, actions[:, 0], rows, rows, torch.ones(64, dtype=torch.bool), actions=actions)


def test_a_batch_is_displaced_and_its_first_actions_take_the_arm_back():
    torch.manual_seed(0)
    contract = kitchen()
    plain = moments(contract)
    batch = Displacements(contract, nudge=0.02, object_noise=0.03)(plain)
    assert 0.02 < batch.obs["object_state"].std() < 0.04 and batch.obs["finger_pos"].eq(0).all()
    back = (-batch.obs["joint_pos"] / contract.period_s).clamp(-2.0, 2.0)
    assert torch.allclose(batch.actions[:, 0, :7], back, atol=1e-5) and back.std() > 0.1
    assert batch.actions[:, 1:].eq(0).all() and batch.actions[:, :, 7].eq(0).all()
    assert plain.obs["joint_pos"].eq(0).all() and plain.actions.eq(0).all()  # as they were
    stray = Displacements(contract, nudge=0.02, object_noise=0.0, strays=1.0)(plain)
    assert stray.obs["joint_pos"].std() > 5 * batch.obs["joint_pos"].std()
    same = Displacements(contract, nudge=0.0, object_noise=0.0)(plain)
    assert same.obs["joint_pos"] is plain.obs["joint_pos"] and same.actions is plain.actions


def test_what_is_not_observed_cannot_be_displaced():
    lift = make_task("lift").contract
    with pytest.raises(PixelarmError, match="which pictures would contradict"):
        Displacements(lift, nudge=0.02, object_noise=0.0)
    with pytest.raises(PixelarmError, match=r"algo.object_noise=0.03 is about object_state.*lift.*set it to 0"):
        Displacements(lift, nudge=0.0, object_noise=0.03)
    with pytest.raises(PixelarmError, match="algo.nudge needs algo.history=1, got 2"):
        Displacements(replace(kitchen(), history=2), nudge=0.02, object_noise=0.0)
