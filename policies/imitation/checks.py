"""Policies whose options do not fit together are refused before anything is made."""

from __future__ import annotations

from policies.config import EncoderConfig
from policies.imitation.config import (
    SCHEDULES,
    ChunkBcConfig,
    ImitationConfig,
    OptimiserConfig,
    optimiser_options,
    problems_of_strays,
)
from robot.errors import PixelarmError


def check_fitted(algo: object) -> None:
    """Refuse options of a fitted policy that do not fit together, all problems at once.

    Args:
        algo: options of any family without an agent; of one's own family, what says how to minimise, and what its
            method ``problems`` finds, if it has one.
    """
    problems = _problems_of_optimiser(optimiser_options(algo))
    if isinstance(algo, ImitationConfig):
        problems += _problems_of_policy(algo)
    if hasattr(algo, "problems"):
        problems += algo.problems()
    if problems:
        raise PixelarmError("this policy cannot be fitted:\n  - " + "\n  - ".join(problems))


def _problems_of_optimiser(cfg: OptimiserConfig) -> list[str]:
    problems = []
    if cfg.schedule not in SCHEDULES:
        problems.append(f"algo.schedule must be one of {', '.join(SCHEDULES)}, got {cfg.schedule!r}")
    if not 0.0 <= cfg.ema_decay < 1.0:
        problems.append(f"algo.ema_decay must be from 0 to below 1, got {cfg.ema_decay}")
    for name in ("learning_rate", "warmup_updates", "weight_decay", "clip"):
        if getattr(cfg, name) < 0:
            problems.append(f"algo.{name} must not be negative, got {getattr(cfg, name)}")
    return problems


def _problems_of_policy(cfg: ImitationConfig) -> list[str]:
    problems = []
    for name in ("chunk", "execute", "hidden", "layers"):
        if getattr(cfg, name, 1) < 1:
            problems.append(f"algo.{name} must be at least 1, got {getattr(cfg, name)}")
    if cfg.execute > cfg.chunk:
        problems.append(f"algo.execute must be at most algo.chunk, which is {cfg.chunk}, got {cfg.execute}")
    if cfg.two_valued not in ("classify", "regress"):
        problems.append(f"algo.two_valued must be classify or regress, got {cfg.two_valued!r}")
    for name in ("state_floor", "action_floor"):
        if not getattr(cfg, name) > 0.0:
            problems.append(f"algo.{name} must be more than 0, got {getattr(cfg, name)}")
    for name in ("two_valued_weight", "nudge", "object_noise"):
        if getattr(cfg, name, 0.0) < 0.0:
            problems.append(f"algo.{name} must not be negative, got {getattr(cfg, name)}")
    if isinstance(cfg, ChunkBcConfig):
        problems += problems_of_strays(cfg)
    if min(cfg.encoder.feature_size, cfg.encoder.proprio_size) < 1:
        problems.append("algo.encoder.feature_size and algo.encoder.proprio_size must be at least 1")
    for name in ("target_rate", "from_critic"):
        if getattr(cfg.encoder, name) != getattr(EncoderConfig, name):
            problems.append(f"algo.encoder.{name} is for agents with critics: here it would do nothing, leave it out")
    return problems
