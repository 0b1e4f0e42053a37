"""Export: ONNX Runtime and torch agree, or there is no bundle."""

import numpy as np
import pytest
from conftest_policies import CQN_AS, DETERMINISTIC, make_agent, random_observation, tiny_contract

from policies.export import onnx as export
from robot import bundle
from robot.errors import BundleError


@pytest.mark.parametrize(
    "options",
    [
        ["augmentation=[shift]"],
        ["augmentation=[{crop: {size: 28}}]"],
        ["augmentation=[]"],
        DETERMINISTIC,
        ["algo_history=3", "encoder.history=flow"],
        CQN_AS,
    ],
    ids=["shift", "crop", "none", "deterministic", "flow", "zoom"],
)
def test_onnx_equals_torch(options):
    contract = tiny_contract(history=3 if "algo_history=3" in options else 1)
    agent = make_agent(contract, *(o for o in options if not o.startswith("algo_history")))
    policy = bundle.Policy(export.to_onnx(agent), contract, {})
    rng = np.random.default_rng(0)
    difference = export.check_parity(policy, agent, [random_observation(contract, rng) for _ in range(8)])
    assert difference < export.TOLERANCE


def test_a_network_that_differs_is_refused(contract, agent):
    policy = bundle.Policy(export.to_onnx(agent), contract, {})
    other = make_agent(contract, seed=1)
    with pytest.raises(BundleError, match="differs from torch by .* not exported"):
        export.check_parity(policy, other, [random_observation(contract, np.random.default_rng(0))])


def test_a_network_that_answers_nan_is_refused(contract, agent):
    import torch

    with torch.no_grad():
        agent.mean_actor.head[-1].bias.fill_(float("nan"))
    policy = bundle.Policy(export.to_onnx(agent), contract, {})
    with pytest.raises(BundleError, match="not exported"):
        export.check_parity(policy, agent, [random_observation(contract, np.random.default_rng(0))])
