"""Options of the families of policies that act through skills, under ``algo``: typed, with their meaning and unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from policies.imitation.config import OptimiserConfig

DISTANCES = ("learned", "euclidean")
DECIDES = ("skills", "actions")


@dataclass
class FistConfig(OptimiserConfig):
    """FIST (policies/skills/fist.py). It is asked at every control step, from one observation."""

    family: str = "fist"  # of policies (policies/families.py)
    history: int = 1  # observations the policy sees; only 1
    horizon: int = 10  # control steps of a skill, and how far the retrieved state lies ahead
    latent: int = 10  # numbers of a skill
    hidden: int = 256  # width of the decoder's, the inverse dynamics' and the distance's layers
    layers: int = 3  # of them
    recurrent: int = 64  # width of the posterior's LSTM
    decoded: int = 2  # steps of each stretch, drawn at random, whose actions the posterior's skill is to give back
    prior_weight: float = 5e-4  # of KL(posterior || N(0, I)), beside the actions' error; beta in the paper
    # learn the prior p(z | s) of a skill from one state beside it, which SPiRL needs (policies/skills/spirl.py)
    state_prior: bool = False
    # of the first action's error with the inverse dynamics' own skill in place of the posterior's, which is how the
    # policy acts; 0: as in the paper
    inverse_weight: float = 1.0
    # rad, standard deviation of what joint positions are displaced by in that term; the joint velocity of the label
    # takes the displacement back within one control step. 0: as in the paper. Of joint velocities alone
    nudge: float = 0.02
    # by which a looked-up state is held to be further away for each control step that its demonstration took from there
    # to its end: of states that are about as near, the one of the swifter demonstration. In the distance's own unit:
    # embeddings of the learned one have length 1, where this default is far too much. 0: as in the paper
    haste: float = 0.006
    # by which the demonstrations' states are near the present one: learned (InfoNCE) | euclidean (of the scaled state)
    distance: str = "euclidean"
    embedding: int = 32  # numbers of a state in the learned distance
    temperature: float = 0.1  # of the learned distance's softmax
    # least standard deviation that the state is divided by, in its own units: an object that never moved in the
    # pretraining data is not blown up when it does
    state_floor: float = 0.05
    action_floor: float = 0.1  # the same of actions, as a share of half their range
    two_valued_weight: float = 1.0  # of the loss of two-valued numbers (the gripper's), beside that of the others
    learning_rate: float = 1e-3
    schedule: str = "cosine"
    warmup_updates: int = 100
    ema_decay: float = 0.995

    def problems(self) -> list[str]:
        """What does not fit together, in words."""
        found = [
            f"algo.{name} must be at least 1, got {getattr(self, name)}"
            for name in ("horizon", "latent", "hidden", "layers", "recurrent", "embedding", "decoded")
            if getattr(self, name) < 1
        ]
        found += [
            f"algo.{name} must be more than 0, got {getattr(self, name)}"
            for name in ("temperature", "state_floor", "action_floor")
            if not getattr(self, name) > 0.0
        ]
        found += [
            f"algo.{name} must not be negative, got {getattr(self, name)}"
            for name in ("prior_weight", "inverse_weight", "two_valued_weight", "nudge", "haste")
            if getattr(self, name) < 0.0
        ]
        if self.distance not in DISTANCES:
            found.append(f"algo.distance must be one of {', '.join(DISTANCES)}, got {self.distance!r}")
        if self.history != 1:
            found.append(f"algo.history must be 1: a skill is chosen from one state, got {self.history}")
        return found


@dataclass
class SpirlConfig:
    """SPiRL (policies/skills/spirl.py): soft actor-critic that decides on skills, or on actions, from states."""

    family: str = "spirl"  # of policies (policies/families.py)
    history: int = 1  # observations the policy sees; only 1
    # skills: those of recipe.skills, each for its horizon, held to their prior | actions: one at each control step,
    # with entropy, which is plain soft actor-critic (arXiv 1812.05905)
    decides: str = "skills"
    skills_algo: Any = None  # options of the run that recipe.skills names; filled in from there
    # width of the critics' layers, and of the actor's, which has those of the prior where it decides on skills
    hidden: int = 256
    layers: int = 3  # of them
    bound: float = 2.0  # of each number of a skill
    # least standard deviation of each number of a skill, of the prior and of the actor: where demonstrations agree, the
    # prior is so narrow that the divergence would have no bound
    least_std: float = 0.2
    # nats that the policy may be away from the prior, KL(pi || p), summed over the numbers of a skill; where it decides
    # on actions, mean log-likelihood of them in [-1, 1]: minus the target entropy, and so usually their number
    target_divergence: float = 5.0
    alpha: float = 0.1  # weight of the divergence at first; it adapts
    alpha_rate: float = 3e-4  # Adam's, of log alpha
    learning_rate: float = 3e-4  # Adam's, of actor and critics
    discount: float = 0.99  # per decision
    target_rate: float = 0.005  # soft update (Polyak averaging) of the target critics
    time_limit: str = "bootstrap"  # bootstrap | terminal | drop: what it means that the clock cut an own episode

    def problems(self) -> list[str]:
        """What does not fit together, in words."""
        found = []
        for name, valid in (("decides", DECIDES), ("time_limit", ("bootstrap", "terminal", "drop"))):
            if getattr(self, name) not in valid:
                found.append(f"algo.{name} must be one of {', '.join(valid)}, got {getattr(self, name)!r}")
        found += [
            f"algo.{name} must be at least 1, got {getattr(self, name)}"
            for name in ("hidden", "layers")
            if getattr(self, name) < 1
        ]
        found += [
            f"algo.{name} must be more than 0, got {getattr(self, name)}"
            for name in ("bound", "least_std", "alpha", "alpha_rate", "learning_rate", "target_rate")
            if not getattr(self, name) > 0.0
        ]
        found += [
            f"algo.{name} must be at most 1, got {getattr(self, name)}"
            for name in ("discount", "target_rate")
            if not getattr(self, name) <= 1.0
        ]
        if not self.discount >= 0.0:
            found.append(f"algo.discount must not be negative, got {self.discount}")
        if self.history != 1:
            found.append(f"algo.history must be 1: a skill is chosen from one state, got {self.history}")
        return found
