"""Recipes that cannot run are refused before the first step, and so is another recipe for a run that is resumed."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from policies.config import RecipeConfig, TaskConfig, TrainConfig, TrainerConfig
from policies.policy import family_of
from policies.registry import parse_one
from policies.rollout.channel import MOST_SLOTS
from policies.runs.find import all_options, flatten
from policies.runtime.compiling import MODES
from policies.schedules import schedule
from policies.skills.config import SpirlConfig
from policies.skills.store import require_data_of
from robot.dataset import recording
from robot.dataset.episodes import Episode, episode_files
from robot.dataset.several import files_of
from robot.errors import PixelarmError
from robot.files import require_folder
from sim.envs.config import LARGEST_IMAGE


@dataclass(frozen=True)
class Bounds:
    """The numbers that an option takes: ``low`` (or more than it, with ``above``) to ``high``, finite ones."""

    low: float
    high: float = math.inf
    above: bool = False

    def problem(self, name: str, value: float) -> str:
        """What is wrong with a value, in words; empty if nothing is."""
        if math.isfinite(value) and self.low <= value <= self.high and not (self.above and value == self.low):
            return ""
        if self.high < math.inf:
            return f"{name} must be between {self.low} and {self.high}, got {value}"
        return f"{name} must be {'more than' if self.above else 'at least'} {self.low}, got {value}"


# Every number that a run's configuration holds beside the agent's, which ``policies.rl.checks.check_agent`` checks.
BOUNDS = {
    "seed": Bounds(0, 2**32 - 1),  # what numpy's and torch's generators take
    "task.image_size": Bounds(1, LARGEST_IMAGE),
    "algo.history": Bounds(1, 100),
    "task.action_repeat": Bounds(0),
    "task.hold_steps": Bounds(1),
    "task.time_limit": Bounds(0),
    "recipe.demos": Bounds(0),
    "recipe.pretrain_updates": Bounds(0),
    "recipe.clone_updates": Bounds(0),
    "recipe.fit_updates": Bounds(0),
    "recipe.steps": Bounds(0),
    "recipe.frames": Bounds(0),
    "recipe.updates_per_step": Bounds(0, above=True),
    "recipe.critic_warmup": Bounds(0),
    "recipe.learning_starts": Bounds(1),
    "recipe.batch_size": Bounds(1),
    "recipe.demo_fraction": Bounds(0, 1),
    "recipe.success_fraction": Bounds(0, 1),
    "recipe.episode_limit": Bounds(0),
    "recipe.take_over_after": Bounds(0),
    "recipe.most_take_overs": Bounds(0),
    "recipe.head_start": Bounds(0),
    "recipe.replay_capacity": Bounds(2),
    "recipe.random_steps": Bounds(0),
    "trainer.devices": Bounds(1),
    "trainer.threads": Bounds(0),
    "trainer.num_envs": Bounds(1),
    "trainer.pace": Bounds(0),
    "trainer.publish_every": Bounds(1),
    "trainer.frames_waiting": Bounds(2, MOST_SLOTS),
    "trainer.eval_every": Bounds(1),
    "trainer.eval_episodes": Bounds(0),
    "trainer.checkpoint_every": Bounds(1),
    "trainer.log_every": Bounds(1),
    "trainer.patience": Bounds(0),
}
# options of RecipeConfig that only online agents read
ONLINE = (
    "demos_share_replay", "pretrain", "pretrain_updates", "clone_updates", "steps", "frames", "updates_per_step",
    "critic_warmup", "learning_starts", "demo_fraction", "successes_join", "bc_weight", "replay_capacity",
    "replay_folder", "random_steps", "success_fraction", "episode_limit", "discount_from_demos", "head_start",
    "prior", "take_over_after", "most_take_overs",
)  # fmt: skip
# options of TrainerConfig that only they read
ACTING = ("compile", "num_envs", "asynchronous", "pace", "publish_every", "frames_waiting")
# options of RecipeConfig that an agent reads that decides on skills or actions
DECIDING = (
    "skills", "steps", "updates_per_step", "learning_starts", "batch_size", "replay_capacity", "random_steps",
)  # fmt: skip
ACCELERATORS = ("auto", "cpu", "cuda", "gpu", "mps")  # Lightning Fabric's


def check_recipe(cfg: TrainConfig, processes: int = 1) -> None:
    """Refuse, before anything is built, a run whose options do not fit together; ``processes`` learn together."""
    processes = max(processes, cfg.trainer.devices)
    problems = _problems_of_values(cfg)
    if not problems and family_of(cfg.algo).agent is None:
        problems = _problems_of_fitting(cfg)
    elif not problems and isinstance(cfg.algo, SpirlConfig):
        problems = _problems_of_deciding(cfg, cfg.algo, processes)
    elif not problems:
        problems = [*_problems_of_parts(cfg, processes), *_problems_of_actors(cfg, processes)]
    if problems:
        raise PixelarmError("this recipe cannot run:\n  - " + "\n  - ".join(problems))


def _problems_of_values(cfg: TrainConfig) -> list[str]:
    """Options that are wrong by themselves, whatever the others say."""
    options = flatten(asdict(cfg))
    problems = [bounds.problem(name, options[name]) for name, bounds in BOUNDS.items()]
    for name, step in (("start", 0), ("end", 2**62)):
        problems.append(Bounds(0).problem(f"the {name} of recipe.bc_weight", schedule(cfg.recipe.bc_weight, step)))
    for name in ("actuation_delay_ms", "observation_delay_ms"):
        delay = getattr(cfg.task, name)
        if not (len(delay) == 2 and 0 <= delay[0] <= delay[1] < math.inf):
            problems.append(f"task.{name} must be [LOW,HIGH] with 0 <= LOW <= HIGH, got {list(delay)}")
    for name, valid in (("trainer.accelerator", ACCELERATORS), ("trainer.compile", tuple(MODES))):
        if options[name] not in valid:
            problems.append(f"{name} must be one of {', '.join(valid)}, got {options[name]!r}")
    problems += [f"{name} must name a folder, got nothing" for name in ("run", "demos") if not getattr(cfg, name)]
    return [problem for problem in problems if problem]


def _problems_of_fitting(cfg: TrainConfig) -> list[str]:
    """Of a policy that is fitted to demonstrations: what an online agent alone would read must be left out."""
    problems, name = [], cfg.algo.family
    ignored = [f"recipe.{field}" for field in ONLINE if getattr(cfg.recipe, field) != getattr(RecipeConfig(), field)]
    ignored += [f"trainer.{field}" for field in ACTING if getattr(cfg.trainer, field) != getattr(TrainerConfig, field)]
    if ignored:
        problems.append(
            f"algo.family={name} is fitted to demonstrations: {', '.join(ignored)} would do nothing, leave them out"
        )
    for field in ("demos",) if cfg.recipe.skills else ("demos", "fit_updates"):
        if getattr(cfg.recipe, field) < 1:
            problems.append(f"algo.family={name} is fitted to demonstrations: recipe.{field} must be at least 1")
    return problems + _problems_of_prior_data(cfg)


def _problems_of_prior_data(cfg: TrainConfig) -> list[str]:
    """Of a policy that learns from some of its skills' data again, and of prior data that nobody would read."""
    recipe, name = cfg.recipe, cfg.algo.family
    wants, adapts = getattr(cfg.algo, "reads_prior_data", False), recipe.skills and recipe.look_up
    if recipe.prior_data and not (wants and adapts):
        why = "looks nothing up" if not recipe.look_up else "has no skills" if not recipe.skills else f"is of {name}"
        if adapts and hasattr(cfg.algo, "rehearsed"):
            why += " and has algo.rehearsed=0"
        return [f"recipe.prior_data would do nothing for a policy that {why}: leave it out"]
    problems = []
    if getattr(cfg.algo, "rehearsed", 0) and recipe.look_up and not recipe.skills:
        problems.append(
            f"algo.rehearsed={cfg.algo.rehearsed:g} is of skills that are adapted, and this policy has none: leave it "
            "out"
        )
    if wants and adapts and not recipe.prior_data:
        problems.append(
            f"algo.family={name} learns from some of the skills' data again: recipe.prior_data must name their folder"
        )
    if wants and adapts and cfg.algo.chooses_later and recipe.fit_updates < 1:
        problems.append(
            f"algo.family={name} chooses skills by a policy that is learned while it is adapted: recipe.fit_updates "
            "must be at least 1"
        )
    return problems


def _problems_of_deciding(cfg: TrainConfig, algo: SpirlConfig, processes: int) -> list[str]:
    """Of an agent that decides on skills or actions: what it would not read must be left out."""
    recipe, trainer, problems = cfg.recipe, cfg.trainer, []
    ignored = [
        f"recipe.{f.name}"
        for f in fields(RecipeConfig)
        if f.name not in DECIDING and getattr(recipe, f.name) != getattr(RecipeConfig(), f.name)
    ]
    ignored += [f"trainer.{name}" for name in ACTING if getattr(trainer, name) != getattr(TrainerConfig, name)]
    if ignored:
        problems.append(
            f"algo.family={algo.family} learns from reward in one environment: {', '.join(ignored)} would do nothing, "
            "leave them out"
        )
    if processes > 1:
        problems.append(f"algo.family={algo.family} learns on one device: trainer.devices must be 1, got {processes}")
    if trainer.precision != TrainerConfig.precision:
        problems.append(
            f"algo.family={algo.family} computes in float32: trainer.precision must be {TrainerConfig.precision}, got "
            f"{trainer.precision}"
        )
    if algo.decides == "skills" and not recipe.skills:
        problems.append(
            "recipe.skills must name what `pixelarm pretrain experiment=spirl_skills` learned; without skills, "
            "experiment=sac_states decides on actions"
        )
    if algo.decides == "actions" and recipe.skills:
        problems.append("recipe.skills would do nothing where algo.decides=actions: leave it out")
    if recipe.random_steps < 2:
        problems.append(f"recipe.random_steps must be at least 2: the first steps explore, got {recipe.random_steps}")
    return problems


def _problems_of_parts(cfg: TrainConfig, processes: int) -> list[str]:
    """Options of the recipe that do not fit together."""
    recipe, problems = cfg.recipe, []
    if recipe.fit_updates:
        problems.append(
            "recipe.fit_updates is for families that are fitted to demonstrations; an agent has clone_updates"
        )
    if recipe.skills or recipe.prior_data or not recipe.look_up:
        problems.append(
            "recipe.skills, recipe.prior_data and recipe.look_up are for families that are fitted to demonstrations"
        )
    clones = schedule(recipe.bc_weight, 0) > 0
    needs_demos = [n for n in ("pretrain_updates", "clone_updates") if getattr(recipe, n)]
    if (needs_demos or clones) and recipe.demos < 1:
        problems.append(f"demos is 0, but {', '.join(needs_demos) or 'bc_weight'} need demonstrations")
    if (cfg.algo.auxiliary or (recipe.pretrain and recipe.pretrain_updates)) and recipe.batch_size < 2:
        problems.append("auxiliary losses compare rows of a batch: contrastive learning needs a batch of at least 2")
    if clones and recipe.demo_fraction == 0:
        problems.append("bc_weight is on, but demo_fraction is 0: no demonstration row would ever be cloned")
    if (recipe.steps or recipe.frames) and recipe.demos == 0 and recipe.random_steps == 0:
        problems.append("without demonstrations the first steps must explore: set random_steps")
    if recipe.steps and recipe.frames:
        problems.append(
            f"recipe.steps={recipe.steps} and recipe.frames={recipe.frames} both say how long to learn: set one to 0"
        )
    if recipe.random_steps == 1:
        problems.append("random_steps must be 0, or at least 2 to measure proprioception's spread, got 1")
    if recipe.successes_join and recipe.demo_fraction == 0 and (recipe.steps or recipe.frames):
        problems.append("successes_join is on, but demo_fraction is 0: nothing would be drawn from what they join")
    if recipe.demo_fraction + recipe.success_fraction > 1:
        problems.append(
            f"demo_fraction={recipe.demo_fraction:g} and success_fraction={recipe.success_fraction:g} share one "
            "batch: together at most 1"
        )
    if (recipe.discount_from_demos or recipe.episode_limit or recipe.take_over_after) and recipe.demos < 1:
        problems.append(
            "demos is 0, but discount_from_demos, episode_limit and take_over_after follow from demonstrations"
        )
    if recipe.take_over_after and recipe.demo_fraction == 0:
        problems.append("take_over_after is on, but demo_fraction is 0: nothing would be drawn from the corrections")
    if recipe.most_take_overs and not recipe.take_over_after:
        problems.append("most_take_overs would do nothing: set take_over_after, or leave it out")
    if bool(recipe.prior) != (getattr(cfg.algo, "prior", "none") == "run"):
        problems.append(
            "another run's policy as prior is algo.prior=run and recipe.prior=RUN together, got "
            f"algo.prior={getattr(cfg.algo, 'prior', 'none')} and recipe.prior={recipe.prior or '(nothing)'}"
        )
    if recipe.demos_share_replay and recipe.demo_fraction > 0:
        problems.append("demos_share_replay puts demonstrations among all other rows: demo_fraction must be 0")
    if _critic(cfg) == "simba" and processes > 1:
        problems.append("critic simba scales rewards by what one process has seen: set trainer.devices=1")
    return problems


def check_places(cfg: TrainConfig) -> None:
    """Refuse, before anything is built, a dataset with too few episodes, a replay folder that takes no files, and prior
    data that are not those of the skills.
    """
    if cfg.recipe.replay_folder:
        require_folder(Path(cfg.recipe.replay_folder))
    files = episode_files(cfg.demos) if cfg.recipe.look_up else files_of(cfg.demos)  # skills are of many tasks
    wanted, found = cfg.recipe.demos, len(files)
    if wanted and not found:
        why = "no episode_*.hdf5 in it" if Path(cfg.demos).is_dir() else "no such folder"
        raise PixelarmError(f"{cfg.demos} is not a dataset ({why})\n{other_demos(cfg)}")
    if found < wanted:
        raise PixelarmError(
            f"recipe.demos={wanted} demonstrations are to be used, and {cfg.demos} holds {found}: set "
            f"recipe.demos={found}, "
            f"or record more: pixelarm collect --task {cfg.task.name} --episodes {wanted - found} "
            f"--image-size {cfg.task.image_size} --append --out {cfg.demos}"
        )
    if cfg.recipe.prior_data:
        require_data_of(Path(cfg.recipe.skills), Path(cfg.recipe.prior_data))


def other_demos(cfg: TrainConfig) -> str:
    """What to do about demonstrations that cannot be used."""
    return (
        f"name another dataset with demos=FOLDER, or record one: pixelarm collect --task {cfg.task.name} "
        f"--episodes {cfg.recipe.demos} --image-size {cfg.task.image_size} --out NEW/FOLDER"
    )


def check_recording(here: dict[str, Any], demos: list[Episode]) -> list[str]:
    """Refuse demonstrations that were recorded in another way than a run learns.

    Args:
        here: ``TaskEnv.recording`` of the run's environment.

    Returns:
        In words, the differences that do no harm.
    """
    found: dict[str, list[str]] = {}  # name -> words of each demonstration that differs
    for demo in demos:
        for name, (mine, theirs) in recording.differences(here, recording.of(demo.provenance)).items():
            then = recording.HARMLESS.get(name) or _how_to_agree(name, mine, theirs)
            words = f"{name}: {mine!r} in this run, {theirs!r} in demonstrations: {then}"
            found.setdefault(name, []).append(words)
    problems = [words for name, all_words in found.items() if name not in recording.HARMLESS for words in all_words]
    if problems:
        raise PixelarmError(
            "the demonstrations were recorded in another way than this run learns:\n  - "
            + "\n  - ".join(dict.fromkeys(problems))
        )
    return list(dict.fromkeys(words for all_words in found.values() for words in all_words))


def _how_to_agree(name: str, mine: Any, theirs: Any) -> str:
    """The options of a run, and of `pixelarm collect`, that end a difference; they have the same names."""
    if name not in TaskConfig.__dataclass_fields__:
        return "record others like this run"
    option = "--" + name.replace("_", "-")
    if isinstance(mine, list):
        learn = f"[{','.join(map(_number, theirs))}]"
        record = f"with {option} {' '.join(map(_number, mine))}" if mine else f"without {option}"
    else:
        learn, record = _number(theirs), f"with {option} {_number(mine)}"
    return f"learn with task.{name}={learn}, or record others {record}"


def _number(value: Any) -> str:
    """50.0 as 50, as one would type it."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _critic(cfg: TrainConfig) -> str:
    """The kind of critic, of an actor-critic."""
    critic = getattr(cfg.algo, "critic", None)
    return parse_one(critic, "algo.critic")[0] if isinstance(critic, str | dict) else ""


def _problems_of_actors(cfg: TrainConfig, processes: int) -> list[str]:
    """Options of who acts that do not fit together."""
    trainer, problems = cfg.trainer, []
    if cfg.recipe.take_over_after and (trainer.num_envs > 1 or trainer.asynchronous):
        problems.append(
            "recipe.take_over_after is of a person who watches one environment, in turn with the learner: set "
            "trainer.num_envs=1 and trainer.asynchronous=false"
        )
    if cfg.recipe.replay_capacity < 2 * trainer.num_envs:
        problems.append(
            f"replay_capacity {cfg.recipe.replay_capacity} is too small: each of the {trainer.num_envs} environments "
            f"needs 2 frames"
        )
    if not trainer.asynchronous:
        ignored = [
            f"trainer.{name}"
            for name in ("pace", "publish_every", "frames_waiting")
            if getattr(trainer, name) != getattr(TrainerConfig, name)
        ]
        if ignored:
            problems.append(f"{', '.join(ignored)} would do nothing: set trainer.asynchronous=true, or leave them out")
        return problems
    if trainer.num_envs > 1:
        problems.append(
            f"trainer.asynchronous acts in one environment: trainer.num_envs must be 1, got {trainer.num_envs}"
        )
    if processes > 1:
        problems.append(f"trainer.asynchronous learns on one device: trainer.devices must be 1, got {processes}")
    return problems


def require_same_config(saved: dict[str, Any], mine: dict[str, Any], folder: Path) -> None:
    """A resumed run must be the same run; only how long it goes on and what it prints may change."""
    free = {
        "recipe.steps",
        "recipe.frames",
        "recipe.fit_updates",
        "trainer.log_every",
        "trainer.patience",
        "trainer.checkpoint_every",
        "run",
        "demos",
        "resume",
    }

    before, now = all_options(saved), all_options(mine)
    changed = [
        f"{k}: {before.get(k)!r} then, {now.get(k)!r} now"
        for k in sorted(before.keys() | now.keys())
        if before.get(k) != now.get(k) and k not in free
    ]
    if changed:
        raise PixelarmError(
            f"{folder} was written with another configuration:\n  - "
            + "\n  - ".join(changed)
            + "\nuse another run folder"
        )
