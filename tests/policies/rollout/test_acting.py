"""A policy that a run has saved, on its way to acting."""

import pytest
import torch
from conftest_policies import tiny_contract

from policies.config import TrainConfig
from policies.rl.config import ActorCriticConfig
from policies.rollout.acting import load_policy
from policies.runs.checkpoint import save_policy
from robot.errors import PixelarmError


def test_weights_of_another_network_are_said_not_to_fit(tmp_path):
    """As when a policy.json was copied without its policy.safetensors."""
    about = {"step": 0, "frames": 0}
    save_policy(
        tmp_path, {"encoder.x": torch.zeros(2)}, TrainConfig(run="r", algo=ActorCriticConfig()), tiny_contract(), about
    )
    with pytest.raises(
        PixelarmError, match="is damaged .RuntimeError.*; its policy.safetensors does not fit its policy.json"
    ):
        load_policy(tmp_path)
