"""``pixelarm pretrain`` and ``pixelarm adapt``: skills learned once, and a policy for a new task made of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from policies.config import TrainConfig
from policies.imitation.config import OptimiserConfig
from policies.skills.config import SpirlConfig
from policies.skills.store import data_of, read_skills, write_data_of
from policies.training.options import own_options, required, seed_of, wants_help
from policies.training.train import compose, resumable, train
from robot.contract import Contract
from robot.dataset.episodes import Header, episode_files, read_headers
from robot.dataset.several import datasets_in, for_task, headers_of
from robot.errors import DatasetError, PixelarmError
from sim.envs.task_world import build_world
from sim.kitchen.held_out import require_held_out
from sim.kitchen.making import MADE
from sim.kitchen.objects import Objects
from sim.kitchen.splits import PRETRAINING, SPLITS, TARGET
from sim.tasks import TASKS
from sim.tasks.kitchen import STATES, Kitchen

PRETRAIN_HELP = """\
usage: pixelarm pretrain experiment=fist data=FOLDER [held_out=NAME] [OPTION=VALUE ...]

Learn skills, once, from many demonstrations of anything. `pixelarm adapt` makes policies of them.

  data=FOLDER        a dataset, a folder of datasets of several tasks that differ in nothing else, or one that
                     `pixelarm data make kitchen` made, of which only pretraining/ is read
  held_out=NAME      of a kitchen subtask: refuse data in which its object moves (default: the one that the data's split
                     is named after); of a task: refuse data that hold demonstrations of it
  experiment=NAME    fist (default), spirl_skills, play_lmp, sailor, taco_rl, chunk_bc_states, or any other whose
                     policy is fitted to demonstrations
  run=FOLDER         of the skills (default: runs/skills-EXPERIMENT-DATA-seedN)
  other options      those of `pixelarm train`, but for recipe.look_up; recipe.demos is how many episodes are used
                     (default: all)

It takes, with fist and its 5,000 updates, 3 minutes of processor time on one core, however many the demonstrations.

example: pixelarm pretrain experiment=fist data=runs/no-kettle seed=1"""
ADAPT_HELP = """\
usage: pixelarm adapt skills=RUN demos=FOLDER [OPTION=VALUE ...]

Make a policy for the task that a few demonstrations show, of skills that `pixelarm pretrain` learned: the skills are
fine-tuned to the demonstrations.

  skills=RUN            what `pixelarm pretrain` wrote
  demos=FOLDER          demonstrations of the new task: a dataset, such as the target/ of `pixelarm data make kitchen`
  seed=N                of the fine-tuning (default: 1)
  run=FOLDER            of the policy (default: runs/adapted-SKILLS-TASK-seedN)
  resume=true           go on after an interruption; without it, a folder that holds a run is refused
  recipe.demos=N        how many demonstrations are used, from the first on (default: 10, or all if there are fewer)
  recipe.fit_updates=N  updates of the fine-tuning (default: 4000); 0: the skills stay as they are
  recipe.batch_size=N   demonstrated moments of one update (default: the recipe's, 256 for fist)
  recipe.prior_data=FOLDER  of sailor, and of fist with algo.rehearsed, which learn from some of the skills' data
                        again: where they are now (default: where they were; that they are the same is checked)
  algo.OPTION=VALUE     of the fine-tuning: learning_rate (default: 1e-3), schedule, warmup_updates, weight_decay, clip,
                        ema_decay (default: the recipe's)
                        of the policy, where its family has them: execute, nudge, strays, haste, distance,
                        object_weight, object_noise, object_tolerance, objects, grip, goal_ahead, retrieved,
                        acting_weight, rehearsed (default: as the skills have them). The rest of algo. stays as the
                        skills have it
  trainer=cpu           learn on the processor (default: on a GPU if there is one); trainer.threads=1: on one core
  other options         those of `pixelarm train`; `pixelarm train --help` lists them

It takes, with fist and the defaults, 3 minutes of processor time: 3 minutes if one core is free, and 7 were measured on
two cores that other programs were using.

example, from nothing to a measured policy:
  pixelarm data make kitchen --split no-kettle --episodes 300 --out runs/no-kettle
  pixelarm pretrain experiment=fist data=runs/no-kettle seed=1
  pixelarm adapt skills=runs/skills-fist-no-kettle-seed1 demos=runs/no-kettle/target run=runs/kettle trainer=cpu
  pixelarm eval runs/kettle --episodes 50"""
FINE_TUNING = ("recipe.fit_updates=4000", "algo.learning_rate=1e-3")  # defaults of `pixelarm adapt`
MINIMISING = tuple(field.name for field in dataclasses.fields(OptimiserConfig))  # of algo: as the recipe has them
FREE = (
    *MINIMISING,
    "distance",
    "haste",
    "object_weight",
    "grip",
    "nudge",
    "strays",
    "execute",
    "goal_ahead",
    "retrieved",
    "acting_weight",
    "rehearsed",
    "object_noise",
    "object_tolerance",
    "objects",
)  # of algo, what adapting may change


def pretrain(argv: list[str]) -> int:
    """``pixelarm pretrain``."""
    if wants_help(argv, PRETRAIN_HELP):
        return 0
    with resumable():
        run = learn_skills(argv)
    print(f"skills in {run}; next: pixelarm adapt skills={run} demos=FOLDER")
    return 0


def learn_skills(argv: Sequence[str]) -> Path:
    """What ``pixelarm pretrain`` does with its options; returns the folder of the skills.

    Raises:
        PixelarmError: an option is none, or does not fit.
        DatasetError: there are no data, or those that skills must not see.
    """
    mine, others = own_options(argv, ("data", "held_out", "experiment", "seed"))
    data = Path(required(mine, "data", PRETRAIN_HELP))
    cfg = pretraining(data, mine.get("experiment", "fist"), seed_of(mine), others)
    held_out = require_untouched(Path(cfg.demos), headers_of(cfg.demos), mine.get("held_out", ""))
    run = train(cfg)
    write_data_of(run, Path(cfg.demos), cfg.recipe.demos, held_out)
    return run


def pretraining(data: Path, experiment: str, seed: int, options: Sequence[str]) -> TrainConfig:
    """The configuration of a run that learns skills from ``pretraining_folder(data)``.

    Raises:
        PixelarmError: there are no data, an option would have the skills look demonstrations up, or the experiment
            learns from reward.
    """
    folder = pretraining_folder(data)
    headers = headers_of(folder)
    if any(text.lstrip("+").partition("=")[0] == "recipe.look_up" for text in options):
        raise PixelarmError(
            "recipe.look_up is of policies: skills look no demonstrations up, so leave it out; `pixelarm adapt` takes "
            "it"
        )
    name = folder.parent.name if folder.name == PRETRAINING else folder.name
    tasks = {header.contract.task for header in headers}
    judged = ["trainer.eval_episodes=0"] if len(tasks) > 1 else []  # no one task tells how good skills of several are
    cfg = compose_for(
        headers[0].contract,
        [
            f"experiment={experiment}", f"seed={seed}", f"demos={folder}", f"recipe.demos={len(headers)}",
            f"run=runs/skills-{experiment}-{name}-seed{seed}", *judged, *options, "recipe.look_up=false",
        ]
    )  # fmt: skip
    if isinstance(cfg.algo, SpirlConfig):
        raise PixelarmError(
            f"experiment={experiment} learns a task from reward, on skills: learn those with `pixelarm pretrain "
            "experiment=spirl_skills`, then `pixelarm train experiment=spirl recipe.skills=RUN`"
        )
    return cfg


def pretraining_folder(data: Path) -> Path:
    """Where the data are to learn skills from: of a split's folder, those that are for it."""
    split = not episode_files(data) and bool(datasets_in(data / PRETRAINING))
    return data / PRETRAINING if split else data


def require_untouched(folder: Path, headers: list[Header], held_out: str = "") -> str:
    """What is held out of these data: the given subtask, else that of their split, else "".

    Raises:
        DatasetError: its object moves in some of them, which are named; or they are target demonstrations.
    """
    made = [header.provenance.get(MADE, {}) for header in headers]
    targets = [header.path.name for header, of in zip(headers, made) if of.get("role") == TARGET]
    if targets:
        raise DatasetError(
            f"{folder} holds {len(targets)} target demonstrations ({targets[0]}, for one): skills that have seen them "
            "say nothing of a new task. Give the folder of pretraining data, or fit a policy to them with "
            "`pixelarm train`"
        )
    if held_out in TASKS:
        theirs = [header.path for header in headers if header.contract.task == held_out]
        if theirs:
            raise DatasetError(
                f"{held_out} is held out, and {folder} holds {len(theirs)} demonstrations of it ({theirs[0]}, for one):"
                " move them elsewhere"
            )
        return held_out
    split = SPLITS.get(made[0].get("split", ""))
    wanted = held_out or (split.held_out if split is not None else "") or ""
    if wanted:
        objects = Objects(build_world(Kitchen(observe=STATES)).model)
        for dataset in datasets_in(folder):
            require_held_out(dataset, wanted, objects)
    return wanted


def adapt(argv: list[str]) -> int:
    """``pixelarm adapt``."""
    if wants_help(argv, ADAPT_HELP):
        return 0
    mine, others = own_options(argv, ("skills", "demos", "seed"))
    skills, demos = (Path(required(mine, name, ADAPT_HELP)) for name in ("skills", "demos"))
    cfg = adapting(skills, demos, seed_of(mine), others)
    with resumable():
        run = train(cfg)
    print(f"run in {run}; next: pixelarm eval {run}, pixelarm export {run}")
    return 0


def adapting(skills: Path, demos: Path, seed: int, options: Sequence[str]) -> TrainConfig:
    """The configuration of a run that begins with skills; its network is that of the skills.

    Raises:
        PixelarmError: there are no skills or no demonstrations, or an option would change the skills' network.
    """
    _, theirs, contract = read_skills(skills)
    headers = read_headers(demos)
    own = [text.partition("=")[0].lstrip("+") for text in options if text.lstrip("+").startswith("algo.")]
    changed = [name for name in own if name.removeprefix("algo.") not in FREE]
    if changed:
        raise PixelarmError(
            f"{', '.join(changed)} was settled when the skills were learned; `pixelarm adapt` takes of algo. only "
            f"{', '.join(FREE)}"
        )
    task = for_task(contract, headers[0].contract.task)
    name = f"run=runs/adapted-{skills.name}-{task.task}-seed{seed}"
    cfg = compose_for(
        task,
        [
            f"experiment={theirs.experiment}", f"seed={seed}", f"demos={demos}", f"recipe.skills={skills}",
            f"recipe.demos={min(10, len(headers))}", *FINE_TUNING, name, *options,
        ]
    )  # fmt: skip
    given = {name.removeprefix("algo.") for name in own}
    settled = [f.name for f in dataclasses.fields(theirs.algo) if f.name not in given.union(MINIMISING)]
    kept = {name: getattr(theirs.algo, name) for name in settled if hasattr(cfg.algo, name)}
    cfg.algo = dataclasses.replace(cfg.algo, **kept)
    if getattr(cfg.algo, "reads_prior_data", False) and not cfg.recipe.prior_data:
        cfg.recipe.prior_data = data_of(skills)["data"]
    return cfg


def compose_for(contract: Contract, options: Sequence[str]) -> TrainConfig:
    """What `pixelarm train` would do with these options in the task of a contract, observed by pictures of the same
    size; by true states if the contract has no cameras, or the options say so, whatever was recorded beside them.
    """
    task = f"task={contract.task}"
    if not contract.cameras:
        return compose([task, f"task.observe={STATES}", *options])
    cfg = compose([task, *options])
    if cfg.task.observe == STATES:
        return cfg
    return compose([task, f"task.image_size={contract.cameras[0].height}", *options])
