"""Options of the families that are fitted to demonstrations, under ``algo``: typed, with their meaning and unit."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from policies.config import EncoderConfig, TransformerConfig

SCHEDULES = ("constant", "cosine")  # of the learning rate


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


def problems_of_strays(options: Any) -> list[str]:
    """What is wrong with ``strays`` beside ``nudge``, in words."""
    if not 0.0 <= options.strays <= 1.0:
        return [f"algo.strays must be from 0 to 1, got {options.strays}"]
    if options.strays and not options.nudge:
        return ["algo.strays needs algo.nudge, ten times of which they are displaced by: set algo.strays=0"]
    return []


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
    # rad, standard deviation of what joint positions are displaced by, and the first action takes back within a control
    # step. Of joint velocities, without cameras
    nudge: float = 0.0
    strays: float = 0.0  # share of the moments that are displaced ten times as far
    # m or rad, standard deviation of what true positions of objects (object_state) are displaced by. Without cameras
    object_noise: float = 0.0


@dataclass
class BetConfig(ImitationConfig):
    """Behavior Transformers (policies/imitation/bet.py)."""

    family: str = "bet"  # of policies (policies/families.py)
    history: int = 10  # observations the policy sees, the newest last; each is a token of the transformer
    chunk: int = 1  # actions it answers with; only 1, since bins are of single actions
    transformer: TransformerConfig = field(default_factory=TransformerConfig)
    bins: int = 64  # actions that the demonstrations' are near to, found by k-means when learning begins
    focal: float = 2.0  # gamma of the focal loss of bins; 0: cross-entropy
    offset_weight: float = 10.0  # of the loss of the action in its bin, beside that of bins
    two_valued_weight: float = 1.0  # of the loss of two-valued numbers in that, beside that of the others

    def problems(self) -> list[str]:
        """What does not fit together, in words."""
        found = problems_of_tokens(self) + at_least(self, 1, "bins")
        if self.chunk != 1:
            found.append(f"algo.chunk must be 1: a bin is of single actions, got {self.chunk}; vqbet has chunks")
        return found


@dataclass
class VqBetConfig(ImitationConfig):
    """VQ-BeT (policies/imitation/vqbet.py)."""

    family: str = "vqbet"  # of policies (policies/families.py)
    history: int = 10  # observations the policy sees, the newest last; each is a token of the transformer
    transformer: TransformerConfig = field(default_factory=TransformerConfig)
    codes: int = 16  # in each of the two books
    # first share of recipe.fit_updates, in which the codes are learned and nothing else; they stay as they are for the
    # rest, and so do those of skills (recipe.skills), whose whole fitting is of the rest
    code_share: float = 0.2
    latent: int = 64  # numbers of a code
    hidden: int = 256  # width of the layers between chunks and codes
    layers: int = 2  # of them, each way
    code_decay: float = 0.99  # of the moving averages that codes follow, an update
    # weight of the distance of what is encoded from its codes, beside the error of what is decoded
    commitment: float = 1.0
    focal: float = 2.0  # gamma of the focal loss of codes; 0: cross-entropy
    secondary_weight: float = 0.5  # of the loss of the second book's code, beside that of the first's
    offset_weight: float = 10.0  # of the loss of the actions, beside those of codes
    two_valued_weight: float = 1.0  # of the loss of two-valued numbers in that, beside that of the others

    def problems(self) -> list[str]:
        """What does not fit together, in words."""
        found = problems_of_tokens(self) + at_least(self, 1, "codes", "latent") + at_least(self, 0, "commitment")
        found += at_least(self, 0, "secondary_weight")
        if not 0.0 < self.code_share < 1.0:
            found.append(f"algo.code_share must be more than 0 and less than 1, got {self.code_share}")
        if not 0.0 <= self.code_decay < 1.0:
            found.append(f"algo.code_decay must be from 0 to below 1, got {self.code_decay}")
        return found


def at_least(cfg: Any, low: float, *names: str) -> list[str]:
    """The options of these names that are less than ``low``, in words."""
    return [f"algo.{n} must be at least {low:g}, got {getattr(cfg, n)}" for n in names if getattr(cfg, n) < low]


def problems_of_tokens(cfg: BetConfig | VqBetConfig) -> list[str]:
    """What does not fit together of options that both have, in words."""
    found = at_least(cfg, 0, "focal", "offset_weight")
    net = cfg.transformer
    if min(net.layers, net.heads, net.width) < 1 or net.width % net.heads:
        found.append(
            "algo.transformer.layers, heads and width must be at least 1, and heads must divide the width, got "
            f"{net.layers}, {net.heads} and {net.width}"
        )
    if cfg.encoder.history != "stack":
        found.append(
            f"algo.encoder.history={cfg.encoder.history} would do nothing: the transformer sees each observation "
            "apart, leave it out"
        )
    return found
