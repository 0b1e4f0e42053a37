"""Recipes that cannot run are refused before the first step, and so is another recipe for a run that is resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from policies.config import TaskConfig, TrainConfig, TrainerConfig
from policies.registry import parse_one
from policies.rollout.channel import MOST_SLOTS
from policies.runs.find import all_options
from policies.schedules import schedule
from robot.dataset import recording
from robot.dataset.episodes import Episode
from robot.errors import PixelarmError


def check_recipe(cfg: TrainConfig, demos: list[Episode], processes: int = 1) -> None:
    """Refuse, before the first step, a recipe whose parts do not fit together; ``processes`` learn together."""
    recipe = cfg.recipe
    problems = []
    if not 0.0 <= recipe.demo_fraction <= 1.0:
        problems.append(f"demo_fraction must be between 0 and 1, got {recipe.demo_fraction}")
    if recipe.updates_per_step <= 0:
        problems.append(f"updates_per_step must be positive, got {recipe.updates_per_step}")
    clones = schedule(recipe.bc_weight, 0) > 0
    needs_demos = [n for n in ("pretrain_updates", "clone_updates") if getattr(recipe, n)]
    if (needs_demos or clones) and recipe.demos < 1:
        problems.append(f"demos is 0, but {', '.join(needs_demos) or 'bc_weight'} need demonstrations")
    if len(demos) < recipe.demos:
        problems.append(f"the recipe uses {recipe.demos} demonstrations, the dataset holds {len(demos)}")
    if (cfg.algo.auxiliary or (recipe.pretrain and recipe.pretrain_updates)) and recipe.batch_size < 2:
        problems.append(
            "auxiliary losses compare the rows of a batch: contrastive learning needs a batch of at least 2"
        )
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
    if recipe.batch_size < 1:
        problems.append(f"batch_size must be at least 1, got {recipe.batch_size}")
    if recipe.successes_join and recipe.demo_fraction == 0 and (recipe.steps or recipe.frames):
        problems.append("successes_join is on, but demo_fraction is 0: nothing would be drawn from what they join")
    if recipe.demos_share_replay and recipe.demo_fraction > 0:
        problems.append("demos_share_replay puts demonstrations among all other rows: demo_fraction must be 0")
    if recipe.learning_starts < 1:
        problems.append(f"learning_starts must be at least 1, got {recipe.learning_starts}")
    if cfg.trainer.eval_every < 1 or cfg.trainer.checkpoint_every < 1 or cfg.trainer.log_every < 1:
        problems.append("eval_every, checkpoint_every and log_every must be at least 1")
    if _critic(cfg) == "simba" and max(processes, cfg.trainer.devices) > 1:
        problems.append("critic simba scales rewards by what one process has seen: set trainer.devices=1")
    problems += _problems_of_actors(cfg, max(processes, cfg.trainer.devices))
    if problems:
        raise PixelarmError("this recipe cannot run:\n  - " + "\n  - ".join(problems))


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
    trainer, problems = cfg.trainer, []
    if trainer.actors < 1:
        problems.append(f"trainer.actors must be at least 1, got {trainer.actors}")
    if cfg.recipe.replay_capacity < 2 * trainer.actors:
        problems.append(
            f"replay_capacity {cfg.recipe.replay_capacity} is too small: each of the {trainer.actors} actors needs 2 frames"
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
    if trainer.actors > 1:
        problems.append(f"trainer.asynchronous acts in one environment: trainer.actors must be 1, got {trainer.actors}")
    if processes > 1:
        problems.append(f"trainer.asynchronous learns on one device: trainer.devices must be 1, got {processes}")
    if trainer.pace < 0:
        problems.append(f"trainer.pace must be positive, or 0 for as fast as it can, got {trainer.pace}")
    if trainer.publish_every < 1:
        problems.append(f"trainer.publish_every must be at least 1, got {trainer.publish_every}")
    if not 2 <= trainer.frames_waiting <= MOST_SLOTS:
        problems.append(f"trainer.frames_waiting must be 2 to {MOST_SLOTS}, got {trainer.frames_waiting}")
    return problems


def require_same_config(saved: dict[str, Any], mine: dict[str, Any], folder: Path) -> None:
    """A resumed run must be the same run; only how long it goes on and what it prints may change."""
    free = {
        "recipe.steps",
        "recipe.frames",
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
