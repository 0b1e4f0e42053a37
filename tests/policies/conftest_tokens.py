"""Small policies of tokens, and demonstrations that go two ways from what looks the same."""

import numpy as np
import torch
from conftest_policies import random_episode
from conftest_skills import walking_contract

from policies.config import EncoderConfig, TransformerConfig
from policies.data.windows import Windows
from policies.imitation.bet import Bet
from policies.imitation.config import BetConfig, VqBetConfig
from policies.imitation.vqbet import VqBet
from robot.contract import Contract
from robot.dataset.episodes import Episode

ENCODER = EncoderConfig(convs="compact", feature_size=16, proprio_size=8, tanh=True)
NETWORK = TransformerConfig(layers=1, heads=2, width=16)


def bet(contract: Contract, episodes: list[Episode], **options) -> tuple[Bet, Windows]:
    cfg = BetConfig(**{"history": 3, "bins": 4, "transformer": NETWORK, "encoder": ENCODER, **options})
    policy = Bet(contract.for_policy(cfg.history, cfg.chunk, cfg.execute), cfg, seed=1)
    return policy, measured(policy, episodes)


def vqbet(contract: Contract, episodes: list[Episode], **options) -> tuple[VqBet, Windows]:
    small = {"codes": 4, "latent": 4, "hidden": 32, "chunk": 2, "code_decay": 0.9}
    cfg = VqBetConfig(**{"history": 3, "transformer": NETWORK, "encoder": ENCODER, **small, **options})
    policy = VqBet(contract.for_policy(cfg.history, cfg.chunk, cfg.execute), cfg, seed=1)
    return policy, measured(policy, episodes)


def measured(policy: Bet | VqBet, episodes: list[Episode]) -> Windows:
    rows = policy.rows(episodes)
    policy.measure(rows)
    return rows


def episode_of(contract: Contract, steps: int, seed: int = 0) -> Episode:
    one = random_episode(contract, steps, seed)
    one.actions[:, 3] = np.where(np.arange(steps) < steps // 2, -1.0, 1.0)  # the gripper closes half way
    return one


def fork(number: int) -> Episode:
    """Four steps in which nothing that is seen changes: to the right in even episodes, to the left in odd ones."""
    side = 1.0 if number % 2 == 0 else -1.0
    return Episode(
        contract=walking_contract(),
        observations={"eef_pos": np.zeros((5, 3), np.float32), "object_state": np.zeros((5, 1), np.float32)},
        actions=np.tile(np.float32([0.03 * side, 0.01, 0.0, side]), (4, 1)),
        rewards=np.zeros(4, np.float32),
        terminated=np.zeros(4, bool),
        stamps=np.arange(5, dtype=np.int64) * 100_000_000,
        success=True,
        provenance={"device": "test"},
    )


def seen(rows: int) -> dict[str, torch.Tensor]:
    """What is seen at a fork, three observations of it."""
    return {"eef_pos": torch.zeros(rows, 9), "object_state": torch.zeros(rows, 3)}


def fit(policy, rows: Windows, updates: int, rate: float = 3e-3) -> list[dict[str, float]]:
    """Updates on all rows at once; the losses of each."""
    optimizer = torch.optim.AdamW(policy.parameters(), rate, weight_decay=0.0)
    batch, found = rows.__getitems__(range(len(rows))), []
    for update in range(updates):
        if hasattr(policy, "begin"):
            policy.begin(update, updates)
        losses = policy.loss(batch)
        optimizer.zero_grad()
        losses["loss"].backward()
        optimizer.step()
        found.append({name: float(value.detach()) for name, value in losses.items()})
    return found
