"""Options of the families that learn from reward, under ``algo``: typed, with their meaning and unit beside them.

A part is NAME or {NAME: {OPTION: VALUE}}; its options are the parameters of its class (``policies/registry.py``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from policies.config import EncoderConfig


@dataclass
class PixelAgentConfig:
    """What agents from pixels share: the encoder, what it learns from, and how far ahead values look."""

    family: str = ""  # of policies (policies/families.py)
    history: int = 1  # observations the policy sees, the newest last
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    discount: float = 0.99  # per control step
    n_step: int = 1  # rewards summed before bootstrapping
    time_limit: str = "bootstrap"  # bootstrap | terminal | drop: what it means that the clock cut an own episode
    target_rate: float = 0.005  # soft update (Polyak averaging) of the target critics
    target_every: int = 1  # updates for one soft update of all targets
    augmentation: list[Any] = field(default_factory=list)  # of policies.augment.AUGMENTATIONS, in the order they apply
    # half of each batch's rows have left and right swapped, pictures, positions and actions alike: for scenes, arms and
    # cameras that are symmetrical about the arm's x-z plane (policies/augment/mirror.py)
    mirror: bool = False
    same_augmentation: bool = False  # True: an observation and its successor get the same draw (RAD's translate, FLARE)
    proprio_scaling: list[float] = field(default_factory=list)  # [low, high] of RAD's amplitude scaling; empty: off
    auxiliary: list[Any] = field(default_factory=list)  # of policies.rl.auxiliary.AUXILIARY_LOSSES, on every update
    learning_rate: float = 3e-4  # Adam of encoder, critics, actor and auxiliary losses
    beta1: float = 0.9  # of Adam: decay of its running mean of gradients
    clip: float = 0.0  # bound of each optimiser's gradient norm; 0: none


@dataclass
class ActorCriticConfig(PixelAgentConfig):
    """An actor-critic (policies/rl/actor_critic.py); the defaults are plain soft actor-critic (arXiv 1812.05905)."""

    family: str = "actor_critic"  # of policies (policies/families.py)
    actor: Any = "gaussian"  # the policy, one of policies.rl.actors.ACTORS
    actor_every: int = 1  # critic updates for one update of actor and temperature
    actor_value: str = "min"  # mean | min: what of the critics' ensemble the actor maximises
    # none | clone | run: a frozen policy goes on proposing actions beside the actor (IBRL): a copy of this one as
    # cloning left it, or that of another run, which recipe.prior names
    prior: str = "none"
    prior_algo: Any = None  # options of the policy of the run that recipe.prior names; filled in from there
    prior_acts: bool = True  # of its proposal and the actor's the more valuable is executed, and deployed
    prior_bootstraps: bool = True  # and it is what the target looks ahead to
    try_other: float = 0.1  # probability of executing the less valuable one while exploring
    # actor: its command, a number | values: the gripper opens or closes, whichever the critics think worth more
    gripper: str = "actor"
    return_floor: bool = False  # a target is at least what the rest of an episode that came to its end paid
    # [low, high] that targets are clipped to, such as [0, 1] of a reward of 1 at the end; empty: none
    value_range: list[float] = field(default_factory=list)
    # True: clone only the rows whose demonstrated action the critics value above the actor's own (arXiv 1709.10089)
    bc_filter: bool = False
    # rate at which the evaluated policy follows the learning one; 1: it is the learning one
    policy_average: float = 1.0
    exploration: Any = "none"  # beside the actor's own noise, one of policies.rl.exploration.EXPLORATIONS
    critic: Any = "mlp"  # the value of actions, one of policies.rl.critics.CRITICS
    views: int = 1  # augmented views averaged in target and loss (DrQ's K and M)


@dataclass
class SequenceCriticConfig:
    """The coarse-to-fine critic of action sequences (policies/rl/cqn_as/critic.py)."""

    hidden: int = 512  # width of the layers
    layers: int = 2  # before the recurrence
    layer_norm: bool = True  # after each of them
    steps: int = 4  # K, actions in a sequence: 4 on RLBench and HumanoidBench, 16 on BiGym
    levels: int = 3  # of zooming in
    bins: int = 5  # of a dimension, at each level
    atoms: int = 51  # of a value's distribution
    low: float = -2.0  # value of the first atom
    high: float = 2.0  # and of the last
    margin: float = 0.01  # by which a demonstrated bin is to lead, in reward: 0.01 on RLBench, 0.1 on BiGym


@dataclass
class CqnAsConfig(PixelAgentConfig):
    """CQN-AS (policies/rl/cqn_as/agent.py); the defaults are those of its authors, sized for a GPU."""

    family: str = "cqn_as"  # of policies (policies/families.py)
    critic: SequenceCriticConfig = field(default_factory=SequenceCriticConfig)
    # standard deviation of the exploration noise, of [-1, 1]: a number, or linear(START, END, UPDATES)
    noise: Any = 0.01
    target_rate: float = 0.02  # soft update (Polyak averaging) of the target critic
    learning_rate: float = 5e-5
