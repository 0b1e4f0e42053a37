"""Options of the families that are fitted to demonstrations, under ``algo``: typed, with their meaning and unit."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from policies.config import EncoderConfig


@dataclass
class OptimiserConfig:
    """How a fitted policy is minimised. A family of one's own may have some of these options; the defaults are plain
    Adam.
    """

    learning_rate: float = 1e-3  # of AdamW, at its highest
    schedule: str = "constant"  # constant | cosine: the rate falls to 0 over recipe.fit_updates
    warmup_updates: int = 0  # in which the rate rises from 0
    weight_decay: float = 0.0  # of AdamW
    clip: float = 0.0  # bound of the gradient's norm; 0: none
    # decay of the weights' exponential moving average, which is what is evaluated and kept; 0: no average. The first
    # updates have a lower one, (1 + updates) / (10 + updates)
    ema_decay: float = 0.0


def optimiser_options(algo: Any) -> OptimiserConfig:
    """Those of a family's options that say how to minimise."""
    names = [f.name for f in fields(OptimiserConfig) if hasattr(algo, f.name)]
    return OptimiserConfig(**{name: getattr(algo, name) for name in names})


@dataclass
class SightConfig(OptimiserConfig):
    """How pictures are read, and how a policy is minimised. Neither is read where the contract has no cameras."""

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    augmentation: list[Any] = field(default_factory=list)  # of policies.augment.AUGMENTATIONS, in the order they apply


@dataclass
class ImitationConfig(SightConfig):
    """What the methods share: what the policy sees, what it answers, and how it is minimised."""

    family: str = ""  # of policies (policies/families.py)
    history: int = 1  # observations the policy sees, the newest last
    chunk: int = 8  # actions it answers with, one a control step
    execute: int = 1  # of them, how many are carried out before it is asked again
    # half of each batch's rows have left and right swapped, pictures, positions and actions alike: for scenes, arms and
    # cameras that are symmetrical about the arm's x-z plane (policies/augment/mirror.py)
    mirror: bool = False
    # least standard deviation that proprioception is divided by, in its own units: a coordinate that hardly moved in
    # the demonstrations is not blown up
    state_floor: float = 0.01
    # the same of actions, as a share of half their range
    action_floor: float = 0.1
    # classify | regress: how numbers that were only ever at one of their bounds, such as the gripper's, are learned
    two_valued: str = "classify"
    learning_rate: float = 1e-3
    schedule: str = "cosine"
    warmup_updates: int = 100
    ema_decay: float = 0.995


@dataclass
class ChunkBcConfig(ImitationConfig):
    """Behaviour cloning of action chunks (policies/imitation/bc.py)."""

    family: str = "chunk_bc"  # of policies (policies/families.py)
    hidden: int = 512  # width of the head's layers
    layers: int = 2  # of them
    two_valued_weight: float = 1.0  # of the loss of two-valued numbers, beside that of the others
