"""Every option of a training run: typed, with its meaning and unit beside it. The files in ``configs/`` set them.

Nested dataclasses that Hydra checks: an unknown name or a wrong type is refused before anything starts. The defaults are the
recipe of ``experiment=ferm_plus``; the other recipes in ``configs/experiment`` list what they change, with the source.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class TaskConfig:
    name: str = "lift"  # one of sim.tasks.TASKS, or dmc/DOMAIN-TASK with the extra [dmc]
    image_size: int = 64  # pixels, height and width of every camera
    history: int = 1  # observations the policy sees, the newest last
    action_repeat: int = (
        0  # physics control steps an action lasts, DeepMind Control only; 0: the task's published value
    )
    look: str = ""  # plain | textured, or of DeepMind Control published | fast; empty: the first of these
    actuation_delay_ms: tuple[float, float] = (0.0, 50.0)  # range of the delay between observing and acting
    hold_steps: int = 1  # control steps in a row that the task must stay done before that is a success, which pays and ends the episode
    randomise: list[str] = field(default_factory=list)  # terms of sim.randomise.TERMS drawn for each training episode


@dataclass
class EncoderConfig:
    """From images and proprioception to features (policies/networks/encoder.py)."""

    convs: str = "compact"  # one of policies.networks.convs.CONVS
    cameras: str = "stacked"  # stacked: all by channel through one stack | separate: a stack of weights each
    history: str = (
        "stack"  # stack: frames by channel | flow: each frame alone, fused with differences of features (FLARE)
    )
    feature_size: int = 64  # width of the pixel trunk
    proprio_size: int = 32  # width of the proprioception trunk
    init: str = "default"  # default: torch's | orthogonal: delta-orthogonal convolutions, orthogonal linear layers, as CURL; heads too
    tanh: bool = True  # tanh after the trunk's LayerNorm (DrQ-v2, RLPD); False: LayerNorm alone (CURL, RAD, FERM)
    target: bool = False  # True: the target critics read their own averaged convolutions (CURL, FERM); False: the live ones (DrQ-v2)
    target_rate: float = 0.05  # averaging of those
    from_critic: bool = True  # the critics' error trains the convolutions; False: only objectives and cloning do (ATC)


@dataclass
class ActorConfig:
    """The policy (policies/networks/actors.py)."""

    kind: str = "gaussian"  # gaussian (SAC) | deterministic (DrQ-v2) | zoom (the sequence critic's own maximum, CQN-AS)
    hidden: int = 256  # width of the hidden layers
    layers: int = 2
    q: str = "min"  # mean | min: what of the critics' ensemble the actor maximises
    every: int = 1  # critic updates for one update of actor and temperature
    average: float = (
        0.005  # rate at which the policy that is evaluated and exported follows the learning one; 1: no averaging
    )
    log_std_min: float = -5.0
    log_std_max: float = 0.0
    burst: float = (
        0.0  # probability, a step, of holding a random choice for a while to explore (policies/exploration.py)
    )
    burst_longest: int = 8  # control steps
    noise: str = (
        "linear(1.0, 0.1, 50000)"  # deterministic: exploration noise (std, of [-1, 1]) over updates; or a number
    )
    noise_clip: float = 0.3  # deterministic: bound of the noise on target and actor actions


@dataclass
class CriticConfig:
    """The value of actions (policies/networks/critics.py)."""

    kind: str = "mlp"  # one of policies.networks.critics.CRITICS: mlp | simba (SimbaV2) | sequence (CQN-AS)
    members: int = 4  # ensemble size
    subset: int = 2  # members whose minimum makes the target
    hidden: int = 256
    layers: int = 2
    layer_norm: bool = True  # before each ReLU (RLPD)
    options: dict[str, Any] = field(default_factory=dict)  # of the kind; see its class
    discount: float = 0.96  # per control step
    n_step: int = 1  # rewards summed before bootstrapping
    backup_entropy: bool = False  # entropy bonus in the target value
    views: int = 1  # augmented views averaged in target and loss (DrQ's K and M)
    time_limit: str = "bootstrap"  # bootstrap | terminal | drop: what an own episode cut by the clock means; in demonstrations: bootstrap
    target_rate: float = 0.01  # Polyak averaging of the target
    target_every: int = 1  # updates for one step of that


@dataclass
class TemperatureConfig:
    """The weight of entropy; used by the gaussian actor."""

    initial: float = 0.002
    learning_rate: float = 1e-3  # Adam, on log alpha; 0 keeps the initial value
    beta1: float = 0.9
    target_entropy: float = -0.75  # nats an action dimension; -1.5 stopped exploring too early on Reach


@dataclass
class AgentConfig:
    """An actor-critic from pixels (policies/agent.py)."""

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    actor: ActorConfig = field(default_factory=ActorConfig)
    critic: CriticConfig = field(default_factory=CriticConfig)
    temperature: TemperatureConfig = field(default_factory=TemperatureConfig)
    augmentation: list[Any] = field(
        default_factory=lambda: [{"shift": {"pixels": 3}}]
    )  # NAME or {NAME: {OPTION: VALUE}}, in order
    same_augmentation: bool = False  # True: an observation and its successor get the same draw (RAD's translate, FLARE)
    proprio_scaling: list[float] = field(
        default_factory=list
    )  # [low, high] of RAD's random amplitude scaling; empty: off
    objectives: list[Any] = field(default_factory=list)  # on every online update: NAME or {NAME: {OPTION: VALUE}}
    learning_rate: float = 3e-4  # Adam of encoder, critics, actor and objectives
    beta1: float = 0.9
    clip: float = 0.0  # bound of each optimiser's gradient norm; 0: none


@dataclass
class RecipeConfig:
    """The order of a run: pre-train, clone, learn online."""

    demos: int = 10  # demonstrations to use
    demos_share_replay: bool = (
        False  # True: they are ordinary rows of the online memory (FERM), not a memory of their own
    )
    pretrain: list[Any] = field(
        default_factory=lambda: ["info_nce"]
    )  # objectives on the demonstrations before anything else
    pretrain_updates: int = 400  # 0 switches it off
    clone_updates: int = 1000  # behaviour-cloning warm start; 0 switches it off
    steps: int = 4000  # environment steps (decisions of the policy) online, of all actors and devices together; 0: frames says it
    frames: int = 0  # the same in steps x action repeat, as DeepMind Control's papers count; 0: steps says it
    updates_per_step: float = 1.0  # update-to-data ratio
    critic_warmup: int = 1000  # environment steps in which the cloned actor acts and only the critics learn
    learning_starts: int = 64  # environment steps before the first update
    batch_size: int = 128
    demo_fraction: float = 0.5  # share of each batch drawn from the demonstrations
    successes_join: bool = True  # own successful episodes join the demonstrations, up to replay_capacity frames of them
    bc_weight: float = 5.0  # weight of the cloning term on the demonstration share at the start; 0 switches it off
    bc_weight_end: float = 0.3
    bc_steps: int = 2500  # environment steps over which the weight falls linearly
    replay_capacity: int = 100_000  # frames
    replay_folder: str = ""  # keep the replay memory's frames in files here instead of in memory
    random_steps: int = 0  # uniform actions at the start; 0 when a cloned policy acts first


@dataclass
class TrainerConfig:
    accelerator: str = "auto"  # auto | cpu | cuda | mps (Lightning Fabric)
    devices: int = 1  # several: one process each, gradients averaged
    precision: str = (
        "32-true"  # 32-true | bf16-mixed (Lightning Fabric) | auto: bf16-mixed where the device computes in it
    )
    compile: str = "off"  # off | default | cuda-graphs (policies/compiling.py): torch.compile of the losses
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
    run: str = "runs/${experiment}-${file_name:${task.name}}-seed${seed}"  # folder of this run
    experiment: str = "ferm_plus"  # name of the recipe, for the record
    resume: bool = False  # go on from the newest checkpoint of ``run``
    task: TaskConfig = field(default_factory=TaskConfig)
    algo: AgentConfig = field(default_factory=AgentConfig)
    recipe: RecipeConfig = field(default_factory=RecipeConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
