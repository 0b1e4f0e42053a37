"""Options of the families of policies that act through skills, under ``algo``: typed, with their meaning and unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from policies.imitation.config import SightConfig, problems_of_strays

DISTANCES = ("learned", "euclidean")
GRIPS = ("looked_up", "decoded")
OBJECTS_ARE = OBSERVED, DEMONSTRATED = ("observed", "demonstrated")
DECIDES = ("skills", "actions")


@dataclass
class SkillConfig(SightConfig):
    """What these families share. Their policies are asked at every control step, from one observation."""

    chooses_later = False  # whether what chooses skills is learned only when they are adapted

    family: str = ""  # of policies (policies/families.py)
    history: int = 1  # observations the policy sees; only 1
    horizon: int = 10  # control steps of a skill
    latent: int = 10  # numbers of a skill
    hidden: int = 256  # width of all layers but the posterior's
    layers: int = 3  # of each network
    recurrent: int = 64  # width of the posterior's LSTM
    decoded: int = 2  # steps of each stretch, drawn at random, whose actions the posterior's skill is to give back
    # rad, standard deviation of what joint positions are displaced by where the policy learns as it acts; the joint
    # velocity of the label takes the displacement back within one control step. 0: as in the papers. Of joint
    # velocities, without cameras
    nudge: float = 0.02
    # share of these states that are displaced ten times as far, from where no step leads back: the joints then
    # head for the demonstration's way as fast as they may. 0: none
    strays: float = 0.0
    # least standard deviation that the state is divided by, in its own units: an object that never moved in the
    # pretraining data is not blown up when it does
    state_floor: float = 0.05
    action_floor: float = 0.1  # the same of actions, as a share of half their range
    two_valued_weight: float = 1.0  # of the loss of two-valued numbers (the gripper's), beside that of the others
    learning_rate: float = 1e-3
    schedule: str = "cosine"
    warmup_updates: int = 100
    ema_decay: float = 0.995

    @property
    def reads_prior_data(self) -> bool:
        """Whether it learns from data of the skills again when it is adapted: recipe.prior_data."""
        return False

    def problems(self) -> list[str]:
        """What does not fit together, in words."""
        found = at_least_one(self, "horizon", "latent", "hidden", "layers", "recurrent", "decoded")
        found += more_than_nothing(self, "state_floor", "action_floor")
        found += not_negative(self, "two_valued_weight", "nudge") + problems_of_strays(self)
        if self.history != 1:
            found.append(f"algo.history must be 1: a skill is chosen from one state, got {self.history}")
        return found


@dataclass
class FistConfig(SkillConfig):
    """FIST (policies/skills/fist.py)."""

    family: str = "fist"  # of policies (policies/families.py)
    horizon: int = 10  # control steps of a skill, and how far the retrieved state lies ahead
    prior_weight: float = 5e-4  # of KL(posterior || N(0, I)), beside the actions' error; beta in the paper
    # learn the prior p(z | s) of a skill from one state beside it, which SPiRL needs (policies/skills/spirl.py)
    state_prior: bool = False
    # of the first action's error with the inverse dynamics' own skill in place of the posterior's, which is how the
    # policy acts; 0: as in the paper
    inverse_weight: float = 1.0
    # by which a looked-up state is held to be further away for each control step that its demonstration took from there
    # to its end: of states that are about as near, the one of the swifter demonstration. In the distance's own unit:
    # embeddings of the learned one have length 1, where this default is far too much. 0: as in the paper
    haste: float = 0.006
    # by which what is observed of objects (object_state) counts more than the arm when demonstrations are looked up by
    # the Euclidean distance of states: an arm that has missed a handle is to be led back to it, not on as if it had it
    object_weight: float = 3.0
    # m or rad by which an object's position may differ and still be held to be the same when demonstrations are looked
    # up by the Euclidean distance of states: 0.2 with one demonstration, beside strays
    object_tolerance: float = 0.0
    # where the gripper's command is from: looked_up (the looked-up demonstration, one control step on) | decoded (the
    # skill, as in the paper)
    grip: str = "looked_up"
    # where objects are to the skill that is chosen and its actions: observed | demonstrated (where the looked-up
    # demonstration has them: what differs a little from all that was learned from does not change what the arm does)
    objects: str = OBSERVED
    # by which the demonstrations' states are near the present one: learned (InfoNCE) | euclidean (of the scaled state)
    distance: str = "euclidean"
    embedding: int = 32  # numbers of a state in the learned distance
    temperature: float = 0.1  # of the learned distance's softmax

    # m or rad, standard deviation of what objects' positions are displaced by where skills and policy are learned: what
    # an object has moved by is seldom just what the demonstration shows. 0: as in the paper
    object_noise: float = 0.0
    # share of each batch, when skills are adapted, of stretches of the data that the skills were learned from
    # (recipe.prior_data): fine-tuned to few demonstrations alone, they forget how to come back to the way. 0: as in the
    # paper
    rehearsed: float = 0.0

    @property
    def reads_prior_data(self) -> bool:
        """See ``SkillConfig``."""
        return self.rehearsed > 0

    def problems(self) -> list[str]:
        """What does not fit together, in words."""
        found = super().problems() + at_least_one(self, "embedding") + more_than_nothing(self, "temperature")
        found += not_negative(self, "prior_weight", "inverse_weight", "haste", "object_tolerance", "object_noise")
        found += more_than_nothing(self, "object_weight") + one_of(self, "grip", GRIPS)
        found += one_of(self, "distance", DISTANCES) + one_of(self, "objects", OBJECTS_ARE)
        if not 0.0 <= self.rehearsed < 1.0:
            found.append(f"algo.rehearsed must be from 0 to less than 1, got {self.rehearsed}")
        if self.distance == "learned" and self.object_weight != 1.0:
            found.append(
                f"algo.object_weight={self.object_weight:g} is of the Euclidean distance: set it to 1 with "
                "algo.distance=learned"
            )
        if self.distance == "learned" and self.object_tolerance:
            found.append("algo.object_tolerance is of the Euclidean distance: set it to 0 with algo.distance=learned")
        return found


@dataclass
class PlayLmpConfig(SkillConfig):
    """Play-LMP (policies/skills/play_lmp.py)."""

    family: str = "play_lmp"  # of policies (policies/families.py)
    shortest: int = 8  # control steps of the shortest stretch; how many one has is drawn anew in every update
    horizon: int = 16  # of the longest stretch
    # while it acts, control steps from the demonstration's state that is nearest to the present one to the goal
    goal_ahead: int = 10
    kl_weight: float = 1e-3  # of KL(recognition || proposal), beside the actions' error; beta in the paper
    # of the first action's error with the proposal's own plan in place of the recognition's, which is how the policy
    # acts; 0: as in the paper
    proposal_weight: float = 1.0
    # by which a looked-up state is held to be further away for each control step that its demonstration took from there
    # to its end, in the unit of the scaled state
    haste: float = 0.006
    object_weight: float = 3.0  # of what is observed of objects when demonstrations are looked up, as FIST has it
    object_tolerance: float = 0.0  # by which positions of objects may differ, as FIST has it
    grip: str = "looked_up"  # where the gripper's command is from, as FIST has it

    def problems(self) -> list[str]:
        """What does not fit together, in words."""
        found = super().problems() + at_least_one(self, "shortest")
        found += not_negative(self, "kl_weight", "proposal_weight", "haste", "object_tolerance")
        found += more_than_nothing(self, "object_weight") + one_of(self, "grip", GRIPS)
        if self.shortest > self.horizon:
            found.append(f"algo.shortest must be at most algo.horizon, which is {self.horizon}, got {self.shortest}")
        elif not self.shortest <= self.goal_ahead <= self.horizon:
            found.append(
                f"algo.goal_ahead must be from algo.shortest={self.shortest} to algo.horizon={self.horizon}, as far as "
                f"goals are in training, got {self.goal_ahead}"
            )
        return found


@dataclass
class SailorConfig(SkillConfig):
    """SAILOR (policies/skills/sailor.py). The weights of the skills' losses are the published ones."""

    chooses_later = True

    family: str = "sailor"  # of policies (policies/families.py)
    prior_weight: float = 1e-5  # of KL(posterior || N(0, I)), beside the actions' error
    slowness_weight: float = (
        1e-3  # of the squared distance between the skills of stretches that begin soon after another
    )
    slowness_steps: int = 5  # control steps between those at most
    inverse_weight: float = 0.1  # of the squared error of the skill that two states H steps apart let one expect
    time_weight: float = 1e-6  # of the squared error, in control steps, of the time that two skills let one expect
    time_steps: int = 50  # control steps between those at most
    # share of the stretches of recipe.prior_data that the policy learns from beside the demonstrations: those whose
    # skills are nearest to one of the demonstrations'
    retrieved: float = 0.1
    # of the first action's error with the policy's own skill in place of the posterior's, which is how it acts; 0: as
    # in the paper
    acting_weight: float = 1.0

    @property
    def reads_prior_data(self) -> bool:
        """See ``SkillConfig``."""
        return True

    def problems(self) -> list[str]:
        """What does not fit together, in words."""
        found = super().problems() + at_least_one(self, "slowness_steps", "time_steps")
        found += not_negative(self, "prior_weight", "slowness_weight", "inverse_weight", "time_weight", "acting_weight")
        if not 0.0 < self.retrieved <= 1.0:
            found.append(f"algo.retrieved must be more than 0 and at most 1, got {self.retrieved}")
        return found


@dataclass
class TacoRlConfig(SkillConfig):
    """TACO-RL (policies/skills/taco_rl.py). Plans are of Play-LMP, and which one is taken is learned by conservative
    Q-learning; what is not said to be ours is of the published configuration.
    """

    family: str = "taco_rl"  # of policies (policies/families.py)
    latent: int = 10  # numbers of a plan, each from -1 to 1
    shortest: int = 8  # control steps of the shortest stretch; how many one has is drawn anew in every update
    horizon: int = 16  # of the longest stretch
    kl_weight: float = 1e-3  # of KL(recognition || actor), beside the actions' error; beta in the paper
    # share of the updates, the first ones, in which plans are learned and the actor follows them; in the rest what a
    # plan means stays, and the actor is improved. Ours: the paper has two runs
    plan_share: float = 0.5
    # of the first action's error with the actor's own plan on the way to a goal that was reached; 0: as in the paper
    acting_weight: float = 1.0
    # how far goals are: the probability that one lies at the end of a stretch; if not, one stretch further, and so on
    goal_chance: float = 0.3
    # share of goals that are states in which the arm is much as it is at the end of the stretch, and which were not
    # reached: without them, a critic would learn where the arm is to go, and nothing of objects
    negatives: float = 0.1
    similar_of: int = 2048  # states that are drawn to take the one with the most similar arm from. Ours
    discount: float = 0.95  # per stretch
    reward: float = 10.0  # for a stretch that ends at the goal
    samples: int = 2  # plans of each of three kinds that are compared with the one that was done. 4 in the paper
    # weight of the conservative term; it adapts from here on so that the term is ``gap``
    conservative: float = 1.0
    # how far the values of other plans may lie above the one that was done (logsumexp, in units of the value); 0: the
    # weight does not adapt
    gap: float = 5.0
    critic_hidden: int = 128  # width of the critics' layers, of which there are ``layers``
    target_rate: float = 0.005  # soft update (Polyak averaging) of the target critics
    # weight of the actor's log-density at first; it adapts towards an entropy of -``latent`` nats. 1 in the paper
    alpha: float = 0.1
    # while it acts, control steps from the demonstration's state that is nearest to the present one to the goal, or to
    # the demonstration's end if that is sooner; 0: its end, which was worse in the kitchen (docs/results/kitchen.md)
    goal_ahead: int = 10
    # by which a looked-up state is held to be further away for each control step that its demonstration took from there
    # to its end, in the unit of the scaled state
    haste: float = 0.006
    object_weight: float = 3.0  # of what is observed of objects when demonstrations are looked up, as FIST has it
    object_tolerance: float = 0.0  # by which positions of objects may differ, as FIST has it
    grip: str = "looked_up"  # where the gripper's command is from, as FIST has it

    def problems(self) -> list[str]:
        """What does not fit together, in words."""
        found = one_of(self, "grip", GRIPS)
        found += super().problems() + at_least_one(self, "shortest", "similar_of", "samples", "critic_hidden")
        found += not_negative(self, "kl_weight", "acting_weight", "negatives", "conservative", "gap", "goal_ahead")
        found += not_negative(self, "discount", "haste", "object_tolerance")
        found += more_than_nothing(self, "object_weight", "reward", "target_rate", "alpha", "goal_chance", "plan_share")
        found += at_most_one(self, "negatives", "discount", "target_rate", "goal_chance", "plan_share")
        if self.shortest > self.horizon:
            found.append(f"algo.shortest must be at most algo.horizon, which is {self.horizon}, got {self.shortest}")
        if self.gap and not self.conservative:
            found.append(f"algo.gap={self.gap:g} adapts algo.conservative, which cannot begin at 0: set one of them")
        return found


def one_of(cfg: SkillConfig, name: str, values: tuple[str, ...]) -> list[str]:
    """A problem if this option is none of the values."""
    given = getattr(cfg, name)
    return [] if given in values else [f"algo.{name} must be one of {', '.join(values)}, got {given!r}"]


def at_least_one(cfg: SkillConfig, *names: str) -> list[str]:
    """A problem for each of these options that is below 1."""
    return [f"algo.{n} must be at least 1, got {getattr(cfg, n)}" for n in names if getattr(cfg, n) < 1]


def more_than_nothing(cfg: SkillConfig, *names: str) -> list[str]:
    """A problem for each of these options that is not above 0."""
    return [f"algo.{n} must be more than 0, got {getattr(cfg, n)}" for n in names if not getattr(cfg, n) > 0.0]


def at_most_one(cfg: SkillConfig, *names: str) -> list[str]:
    """A problem for each of these options that is above 1."""
    return [f"algo.{n} must be at most 1, got {getattr(cfg, n)}" for n in names if getattr(cfg, n) > 1.0]


def not_negative(cfg: SkillConfig, *names: str) -> list[str]:
    """A problem for each of these options that is below 0."""
    return [f"algo.{n} must not be negative, got {getattr(cfg, n)}" for n in names if getattr(cfg, n) < 0.0]


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
    # LayerNorm before each ReLU of the critics: values of decisions far from all that was tried stay bounded (RLPD,
    # arXiv 2302.02948)
    layer_norm: bool = False
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
