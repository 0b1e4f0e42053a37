"""The kinds of critics. Add one: a file beside these, and its line in ``CRITICS``."""

from __future__ import annotations

from collections.abc import Callable

from policies.registry import choose
from policies.rl.config import ActorCriticConfig
from policies.rl.critics.base import Critic
from policies.rl.critics.mlp import MLPCritics
from policies.rl.critics.simba import SimbaCritics
from robot.contract import Contract

CRITICS: dict[str, Callable[..., Critic]] = {"mlp": MLPCritics, "simba": SimbaCritics}


def make_critics(contract: Contract, conv_size: int, cfg: ActorCriticConfig) -> Critic:
    """The critics of a configuration; an unknown kind lists those that exist."""
    return choose(cfg.critic, CRITICS, "critic", "algo.critic", skip=3)(contract, conv_size, cfg)
