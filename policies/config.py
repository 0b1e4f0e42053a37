"""Every option of a training run: typed, with its meaning and unit beside it. The files in ``configs/`` set them.

Nested dataclasses that Hydra checks: an unknown name or a wrong type is refused before anything starts.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class TaskConfig:
    name: str = "lift"  # one of sim.tasks.TASKS
    image_size: int = 64  # pixels, height and width of every camera
    actuation_delay_ms: tuple[float, float] = (0.0, 50.0)  # range of the delay between observing and acting
    randomise: list[str] = field(default_factory=list)  # terms of sim.randomise.TERMS drawn for each training episode


@dataclass
class AgentConfig:
    """The actor-critic from pixels (policies/sac.py)."""

    encoder: str = "compact"  # one of policies.encoders.CONVS
    feature_size: int = 64  # width of the pixel trunk
    proprio_size: int = 32  # width of the proprioception trunk
    hidden: int = 256  # width of the two hidden layers of actor and critics
    critics: int = 4  # ensemble members
    target_subset: int = 2  # members whose minimum makes the target
    actor_q: str = "min"  # mean | min: what of the ensemble the actor maximises
    backup_entropy: bool = False  # entropy bonus in the target value
    discount: float = 0.96  # per control step
    target_encoder: bool = (
        False  # True: the target has its own averaged encoder (CURL, FERM); False: the live one (DrQ-v2)
    )
    policy_average: float = (
        0.005  # rate at which the policy that is evaluated and exported follows the learning one; 1: no averaging
    )
    target_rate: float = 0.01  # Polyak averaging of the critics' target
    learning_rate: float = 3e-4  # Adam, actor and critics
    temperature: float = 0.002  # initial entropy temperature alpha
    temperature_rate: float = 1e-3  # Adam, log alpha
    target_entropy: float = -6.0  # nats; -1.5 a dimension: grasping wants small noise around a cloned policy
    log_std_min: float = -5.0
    log_std_max: float = 0.0
    augmentation: str = "shift"  # shift | crop | none
    augmentation_pixels: int = 3


@dataclass
class RecipeConfig:
    """The order of a run: pre-train, clone, learn online."""

    demos: int = 10  # demonstrations to use
    contrastive_updates: int = 400  # InfoNCE on the demonstrations before anything else; 0 switches it off
    contrastive_rate: float = 0.05  # momentum of the key encoder
    clone_updates: int = 1000  # behaviour-cloning warm start; 0 switches it off
    steps: int = 4000  # environment steps online
    updates_per_step: int = 1
    critic_warmup: int = 1000  # environment steps in which the cloned actor acts and only the critics learn
    batch_size: int = 128
    demo_fraction: float = 0.5  # share of each batch drawn from the demonstrations
    successes_join: bool = True  # own successful episodes join the demonstrations
    bc_weight: float = 5.0  # weight of the cloning term on the demonstration share at the start; 0 switches it off
    bc_weight_end: float = 0.3
    bc_steps: int = 2500  # environment steps over which the weight falls linearly
    replay_capacity: int = 100_000  # frames
    random_steps: int = 0  # uniform actions at the start; 0 when a cloned policy acts first


@dataclass
class TrainerConfig:
    accelerator: str = "auto"  # auto | cpu | cuda | mps (Lightning Fabric)
    devices: int = 1  # several: one process each, gradients averaged
    precision: str = "32-true"  # 32-true | bf16-mixed (Lightning Fabric)
    threads: int = 0  # torch threads on a CPU; 0 leaves torch's choice
    eval_every: int = 500  # environment steps between evaluations on the validation seeds
    eval_episodes: int = 30
    checkpoint_every: int = 1000  # environment steps between checkpoints
    log_every: int = 100  # environment steps between log lines
    patience: int = 3  # stop when so many evaluations in a row are perfect, once the actor learns from values; 0: never


@dataclass
class TrainConfig:
    seed: int = 1
    demos: str = "runs/demos"  # dataset folder recorded by `pixelarm collect`
    run: str = "runs/${experiment}-${task.name}-seed${seed}"  # folder of this run
    experiment: str = "ferm"  # name of the recipe, for the record
    resume: bool = False  # go on from the newest checkpoint of ``run``
    task: TaskConfig = field(default_factory=TaskConfig)
    algo: AgentConfig = field(default_factory=AgentConfig)
    recipe: RecipeConfig = field(default_factory=RecipeConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
