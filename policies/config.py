"""Every option of a training run: typed, with its meaning and unit beside it. The files in ``configs/`` set them.

Nested dataclasses that Hydra checks: an unknown name or a wrong type is refused before anything starts. The defaults are plain soft
actor-critic without demonstrations; each recipe in ``configs/experiment`` says what it adds, with the source.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sim.envs.config import TaskConfig


@dataclass
class EncoderConfig:
    """From images and proprioception to features (policies/networks/encoder.py)."""

    convs: str = "curl"  # one of policies.networks.convs.CONVS
    cameras: str = "stacked"  # stacked: all by channel through one stack | separate: a stack of weights each
    history: str = (
        "stack"  # stack: frames by channel | flow: each frame alone, fused with differences of features (FLARE)
    )
    feature_size: int = 50  # width of the pixel trunk
    proprio_size: int = 32  # width of the proprioception trunk
    init: str = "default"  # default: torch's | orthogonal: delta-orthogonal convolutions, orthogonal linear layers, as CURL; heads too
    tanh: bool = False  # tanh after the trunk's LayerNorm (DrQ-v2, RLPD); False: LayerNorm alone (CURL, RAD, FERM)
    target_rate: float = (
        0.0  # soft update of the target's own convolutions and trunk (CURL: 0.05); 0: it reads the live ones (DrQ-v2)
    )
    from_critic: bool = (
        True  # the critics' error trains the convolutions; False: only auxiliary losses and cloning do (ATC)
    )


@dataclass
class AgentConfig:
    """An actor-critic from pixels (policies/rl/actor_critic.py); the defaults are plain soft actor-critic (arXiv 1812.05905).

    A part is NAME or {NAME: {OPTION: VALUE}}; its options are the parameters of its class (policies/registry.py).
    """

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    actor: Any = "gaussian"  # the policy, one of policies.rl.actors.ACTORS
    actor_every: int = 1  # critic updates for one update of actor and temperature
    actor_value: str = "min"  # mean | min: what of the critics' ensemble the actor maximises
    policy_average: float = (
        1.0  # rate at which the policy that is evaluated and exported follows the learning one; 1: no averaging
    )
    exploration: Any = "none"  # beside the actor's own noise, one of policies.rl.exploration.EXPLORATIONS
    critic: Any = "mlp"  # the value of actions, one of policies.rl.critics.base.CRITICS
    discount: float = 0.99  # per control step
    n_step: int = 1  # rewards summed before bootstrapping
    time_limit: str = "bootstrap"  # bootstrap | terminal | drop: what an own episode cut by the clock means; in demonstrations: bootstrap
    target_rate: float = 0.005  # soft update (Polyak averaging) of the target critics
    target_every: int = 1  # updates for one soft update of all targets
    views: int = 1  # augmented views averaged in target and loss (DrQ's K and M)
    augmentation: list[Any] = field(default_factory=list)  # of policies.augment.AUGMENTATIONS, in the order they apply
    same_augmentation: bool = False  # True: an observation and its successor get the same draw (RAD's translate, FLARE)
    proprio_scaling: list[float] = field(
        default_factory=list
    )  # [low, high] of RAD's random amplitude scaling; empty: off
    objectives: list[Any] = field(default_factory=list)  # of policies.rl.auxiliary.OBJECTIVES, on every online update
    learning_rate: float = 3e-4  # Adam of encoder, critics, actor and objectives
    beta1: float = 0.9
    clip: float = 0.0  # bound of each optimiser's gradient norm; 0: none


@dataclass
class RecipeConfig:
    """The order of a run: pre-train, clone, learn online."""

    demos: int = 0  # demonstrations to use
    demos_share_replay: bool = (
        False  # True: they are ordinary rows of the online memory (FERM), not a memory of their own
    )
    pretrain: list[Any] = field(default_factory=list)  # objectives on the demonstrations before anything else
    pretrain_updates: int = 0  # of those
    clone_updates: int = 0  # behaviour-cloning warm start
    steps: int = (
        0  # environment steps (decisions of the policy) online, of all actors and devices together; or give frames
    )
    frames: int = 0  # the same in steps x action repeat, as DeepMind Control's papers count; or give steps
    updates_per_step: float = 1.0  # update-to-data ratio
    critic_warmup: int = 0  # environment steps in which the cloned actor acts and only the critics learn
    learning_starts: int = 64  # environment steps before the first update
    batch_size: int = 128
    demo_fraction: float = 0.0  # share of each batch drawn from the demonstrations
    successes_join: bool = (
        False  # own successful episodes join the demonstrations, up to replay_capacity frames of them
    )
    bc_weight: Any = (
        0.0  # weight of the cloning term on demonstrations: a number, or linear(START, END, ENVIRONMENT STEPS)
    )
    replay_capacity: int = 100_000  # frames
    replay_folder: str = ""  # keep the replay memory's frames in files here instead of in memory
    random_steps: int = 0  # uniform actions at the start, where no cloned policy acts first


@dataclass
class TrainerConfig:
    accelerator: str = "auto"  # auto | cpu | cuda | mps (Lightning Fabric)
    devices: int = 1  # several: one process each, gradients averaged
    precision: str = (
        "32-true"  # 32-true | bf16-mixed (Lightning Fabric) | auto: bf16-mixed where the device computes in it
    )
    compile: str = "off"  # off | default | cuda-graphs (policies/runtime/compiling.py): torch.compile of the losses
    threads: int = 0  # torch threads on a CPU; 0 leaves torch's choice
    actors: int = 1  # environments that collect experience, in worker processes when more than one
    asynchronous: bool = False  # acting in a process of its own that never waits for updates
    pace: float = 1.0  # of asynchronous acting: environment seconds a second of the clock; 0: as fast as it can
    publish_every: int = (
        30  # updates between the weights that an asynchronous actor is given (rail-berkeley/serl's examples)
    )
    frames_waiting: int = (
        2048  # room for an asynchronous actor's frames; when it is full, the rest of the episode is dropped
    )
    eval_every: int = 500  # environment steps between evaluations on the validation seeds
    eval_episodes: int = 30
    checkpoint_every: int = 1000  # environment steps between checkpoints
    log_every: int = 100  # environment steps between log lines
    patience: int = 3  # stop when so many evaluations in a row are perfect, once the actor learns from values; 0: never


@dataclass
class TrainConfig:
    seed: int = 1
    demos: str = "runs/demos"  # dataset folder recorded by `pixelarm collect`
    run: str = "runs/${file_name:${experiment}}-${file_name:${task.name}}-seed${seed}"  # folder of this run
    experiment: str = ""  # name of the recipe, for the record: that of its file
    resume: bool = False  # go on from the newest checkpoint of ``run``
    task: TaskConfig = field(default_factory=TaskConfig)
    algo: AgentConfig = field(default_factory=AgentConfig)
    recipe: RecipeConfig = field(default_factory=RecipeConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
