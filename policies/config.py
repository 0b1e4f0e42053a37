"""Every option of a training run: typed, with its meaning and unit beside it. The files in ``configs/`` set them.

Nested dataclasses that Hydra checks: an unknown name or a wrong type is refused before anything starts. By default
nothing is on; each recipe in ``configs/experiment`` says what it adds, with the source. The options of a policy are its
family's, see ``policies/rl/config.py``.
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
    # stack: frames by channel | flow: each frame alone, fused with differences of features (FLARE)
    history: str = "stack"
    feature_size: int = 50  # width of the pixel trunk
    proprio_size: int = 32  # width of the proprioception trunk
    # default: torch's | orthogonal: delta-orthogonal convolutions, orthogonal linear layers, as CURL; heads too
    init: str = "default"
    tanh: bool = False  # tanh after the trunk's LayerNorm (DrQ-v2, RLPD); False: LayerNorm alone (CURL, RAD, FERM)
    # soft update of the target's own convolutions and trunk (CURL: 0.05); 0: it reads the live ones (DrQ-v2)
    target_rate: float = 0.0
    # the critics' error trains the convolutions; False: only auxiliary losses and cloning do (ATC)
    from_critic: bool = True


@dataclass
class TransformerConfig:
    """A causal transformer over the observations of a history (policies/networks/transformer.py)."""

    layers: int = 3  # blocks of attention and a layer for each token
    heads: int = 4  # of the attention; they share the width equally
    width: int = 96  # numbers of a token


@dataclass
class RecipeConfig:
    """The order of a run: pre-train, clone, learn online."""

    demos: int = 0  # demonstrations to use
    # True: they are ordinary rows of the online memory (FERM), not a memory of their own
    demos_share_replay: bool = False
    pretrain: list[Any] = field(default_factory=list)  # auxiliary losses on the demonstrations before anything else
    pretrain_updates: int = 0  # updates of those losses
    clone_updates: int = 0  # behaviour-cloning warm start
    fit_updates: int = 0  # updates of a policy that is fitted to demonstrations, in families without an online agent
    # run of `pixelarm pretrain` whose weights and scales a policy that is fitted begins with; fit_updates may then be
    # 0. Of an agent that decides on skills (SPiRL): what it decides on, also of `pixelarm adapt`
    skills: str = ""
    # folder of the data that those skills were learned from, of a policy that learns from some of them again (SAILOR);
    # `pixelarm adapt` has it from the skills' run
    prior_data: str = ""
    # the demonstrations become part of a policy that looks them up when it acts (FIST), or a policy over skills learns
    # from them (SAILOR); False: to pretrain it
    look_up: bool = True
    # environment steps (decisions of the policy) online, of all actors and devices together; or give frames
    steps: int = 0
    frames: int = 0  # the same in steps x action repeat, as DeepMind Control's papers count; or give steps
    updates_per_step: float = 1.0  # update-to-data ratio
    critic_warmup: int = 0  # environment steps in which the cloned actor acts and only the critics learn
    learning_starts: int = 64  # environment steps before the first update
    batch_size: int = 128  # rows of an update's batch
    demo_fraction: float = 0.0  # share of each batch drawn from the demonstrations
    # own successful episodes join the demonstrations, up to replay_capacity frames of them
    successes_join: bool = False
    # weight of the cloning term on demonstrations: a number, or linear(START, END, ENVIRONMENT STEPS)
    bc_weight: Any = 0.0
    # share of each batch drawn from own successful episodes, once there are any, which then have a memory of their own
    # of replay_capacity frames, instead of joining the demonstrations
    success_fraction: float = 0.0
    # training episodes are cut at so many times the longest demonstration; 0: by the task's own limit, as evaluation's
    episode_limit: float = 0.0
    # True: algo.discount becomes 0.5 ** (1 / mean length of the demonstrations), within 0.95 and 0.99
    discount_from_demos: bool = False
    # a scripted person takes over from a training episode that has gone on for so many times the demonstrations' mean
    # length without success, and drives to its end; what it does joins the demonstrations (HIL-SERL). 0: nobody does
    take_over_after: float = 0.0
    most_take_overs: int = 0  # of that person in a run; 0: without a limit
    prior: str = ""  # run folder whose policy is the frozen prior of algo.prior=run
    # updates of the critics alone when learning starts, on demonstrations and what the first steps brought
    head_start: int = 0
    replay_capacity: int = 100_000  # frames
    replay_folder: str = ""  # keep the replay memory's frames in files here instead of in memory
    random_steps: int = 0  # uniform actions at the start, where no cloned policy acts first


@dataclass
class TrainerConfig:
    accelerator: str = "auto"  # auto | cpu | cuda | mps (Lightning Fabric)
    devices: int = 1  # several: one process each, gradients averaged
    # 32-true | bf16-mixed (Lightning Fabric) | auto: bf16-mixed where the device computes in it
    precision: str = "32-true"
    compile: str = "off"  # off | default | cuda-graphs (policies/runtime/compiling.py): torch.compile of the losses
    threads: int = 0  # torch threads on a CPU; 0 leaves torch's choice
    num_envs: int = 1  # environments that collect experience, in worker processes when more than one
    asynchronous: bool = False  # acting in a process of its own that never waits for updates
    pace: float = 1.0  # of asynchronous acting: environment seconds a second of the clock; 0: as fast as it can
    # updates between the weights that an asynchronous actor is given (rail-berkeley/serl's examples)
    publish_every: int = 30
    # room for an asynchronous actor's frames; when it is full, the rest of the episode is dropped
    frames_waiting: int = 2048
    # environment steps between evaluations on the validation seeds; this and the next two: of a policy that is fitted
    # to demonstrations, updates
    eval_every: int = 500
    checkpoint_every: int = 1000  # environment steps between checkpoints
    log_every: int = 100  # environment steps between log lines
    eval_episodes: int = 30  # episodes of one evaluation
    patience: int = 3  # stop when so many evaluations in a row are perfect, once the actor learns from values; 0: never


@dataclass
class TrainConfig:
    seed: int = 1  # of networks, batches and exploration
    demos: str = "runs/demos"  # dataset folder recorded by `pixelarm collect`
    run: str = "runs/${file_name:${experiment}}-${file_name:${task.name}}-seed${seed}"  # folder of this run
    experiment: str = ""  # name of the recipe, for the record: that of its file
    resume: bool = False  # go on from the newest checkpoint of ``run``
    task: TaskConfig = field(default_factory=TaskConfig)
    algo: Any = None  # options of the family of policies, checked by its own dataclass (policies/families.py)
    recipe: RecipeConfig = field(default_factory=RecipeConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
