"""Export: ONNX Runtime and torch agree, or there is no bundle."""

import numpy as np
import pytest
from conftest_policies import make_agent, random_observation

from policies import export
from robot import bundle
from robot.errors import BundleError


@pytest.mark.parametrize("augmentation", ["shift", "crop", "none"])
def test_onnx_equals_torch(contract, augmentation):
    agent = make_agent(contract, augmentation=augmentation)
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
