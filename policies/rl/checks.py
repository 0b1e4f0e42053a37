"""Agents whose parts do not fit together are refused before anything is made."""

from __future__ import annotations

from policies.registry import parse_one
from policies.rl.config import ActorCriticConfig, PixelAgentConfig
from robot.errors import PixelarmError


def check_agent(cfg: PixelAgentConfig) -> None:
    """Refuse an agent whose parts do not fit together, all problems at once."""
    problems = []
    if isinstance(cfg, ActorCriticConfig) and cfg.actor_value not in ("mean", "min"):
        problems.append(f"actor_value must be mean or min, got {cfg.actor_value!r}")
    if isinstance(cfg, ActorCriticConfig):
        problems += _problems_of_choice(cfg)
    if cfg.time_limit not in ("bootstrap", "terminal", "drop"):
        problems.append(f"time_limit must be bootstrap, terminal or drop, got {cfg.time_limit!r}")
    for name in ("history", "n_step", "target_every", "views", "actor_every"):
        if getattr(cfg, name, 1) < 1:
            problems.append(f"{name} must be at least 1, got {getattr(cfg, name)}")
    for name in ("discount", "target_rate", "beta1", "policy_average"):
        if not 0.0 <= getattr(cfg, name, 0.0) <= 1.0:
            problems.append(f"{name} must be between 0 and 1, got {getattr(cfg, name)}")
    for name in ("learning_rate", "clip"):
        if getattr(cfg, name) < 0.0:
            problems.append(f"{name} must not be negative, got {getattr(cfg, name)}")
    if not 0.0 <= cfg.encoder.target_rate <= 1.0:
        problems.append(f"encoder.target_rate must be between 0 and 1, got {cfg.encoder.target_rate}")
    if min(cfg.encoder.feature_size, cfg.encoder.proprio_size) < 1:
        problems.append("encoder.feature_size and encoder.proprio_size must be at least 1")
    if not cfg.encoder.from_critic and not cfg.auxiliary:
        problems.append(
            "encoder.from_critic is off and there are no auxiliary losses: nothing would train the encoder online"
        )
    if cfg.proprio_scaling and not (len(cfg.proprio_scaling) == 2 and cfg.proprio_scaling[0] <= cfg.proprio_scaling[1]):
        problems.append(f"proprio_scaling is [low, high], got {cfg.proprio_scaling}")
    if problems:
        raise PixelarmError("this agent cannot learn:\n  - " + "\n  - ".join(problems))


def _problems_of_choice(cfg: ActorCriticConfig) -> list[str]:
    problems = []
    for name, valid in (("prior", ("none", "clone", "run")), ("gripper", ("actor", "values"))):
        if getattr(cfg, name) not in valid:
            problems.append(f"{name} must be one of {', '.join(valid)}, got {getattr(cfg, name)!r}")
    if cfg.bc_filter and parse_one(cfg.critic, "algo.critic")[0] != "mlp":
        problems.append("bc_filter compares plain values: it needs critic=mlp")
    if not 0.0 <= cfg.try_other <= 1.0:
        problems.append(f"try_other must be between 0 and 1, got {cfg.try_other}")
    bounds = list(cfg.value_range)
    if bounds and not (len(bounds) == 2 and bounds[0] < bounds[1]):
        problems.append(f"value_range is [low, high] or empty, got {bounds}")
    options = parse_one(cfg.exploration, "algo.exploration")[1]
    asks = cfg.prior != "none" or cfg.gripper == "values" or options.get("known", 0.0)
    if asks and cfg.encoder.target_rate:
        problems.append(
            "acting by value (prior, gripper=values, exploration.lasting.known) reads the live convolutions: "
            "encoder.target_rate must be 0"
        )
    if (bounds or cfg.return_floor) and parse_one(cfg.critic, "algo.critic")[0] != "mlp":
        problems.append("return_floor and value_range bound plain values: they need critic=mlp")
    return problems
