"""``pixelarm bench spirl``: a kitchen task from reward, by SPiRL and by plain soft actor-critic, in as many steps.

Every learner is trained by the commands that a user has. Runs that are there already are used again or go on, so a
measurement that was interrupted continues, and more seeds, learners or steps can be added.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from policies.bench.skills import Study, done
from policies.bench.skills_table import completed
from policies.config import TrainConfig
from policies.evaluation.curves import GroupCurve, draw, make_curves
from policies.evaluation.evaluate import EVAL_SEED
from policies.rollout.acting import GreedyPolicy, load_policy
from policies.rollout.decisions import HeldDecisions
from policies.runs.checkpoint import ended, read_json
from policies.runs.find import Group, read_source
from policies.training.checks import require_same_config
from policies.training.compose import compose
from policies.training.skills import adapting
from policies.training.train import train
from robot.dataset.episodes import episode_files
from robot.errors import PixelarmError, UnknownName
from robot.files import require_folder, write_text
from robot.stats import bootstrap_interval
from sim.bench.harness import keep, one_thread, provenance
from sim.envs.make import make_env_for
from sim.kitchen.protocol import LIMITS, Score, score
from sim.kitchen.splits import PRETRAINING, TARGET, split_named

PICTURE = "curves.png"
DEVICE = ("trainer=cpu", "trainer.threads=1")
PRETRAINED, ADAPTED = "pretrained", "adapted"


@dataclass(frozen=True)
class Learner:
    words: str
    experiment: str
    skills: str = ""  # PRETRAINED; ADAPTED: fine-tuned to the split's target demonstrations; empty: none


LEARNERS: dict[str, Learner] = {
    "spirl": Learner("SPiRL", "spirl", PRETRAINED),
    "sac": Learner("soft actor-critic without skills", "sac_states"),
    "spirl_fist": Learner("SPiRL on skills that FIST fine-tuned", "spirl", ADAPTED),
}


@dataclass(frozen=True)
class Comparison:
    """What all learners share."""

    study: Study  # how skills are made, of which split
    task: str
    steps: int
    options: tuple[str, ...]  # of every learner's `pixelarm train`

    def run(self, name: str, seed: int) -> Path:
        """The folder of a learner's run, which is made, or goes on, if it has not ended."""
        learner = LEARNERS[name]
        skills = [f"recipe.skills={self.skills(learner.skills, seed)}"] if learner.skills else []
        cfg = compose(
            [f"experiment={learner.experiment}", f"task={self.task}", f"seed={seed}", *DEVICE, *skills,
             f"run={self.study.out / f'{name}-seed{seed}'}", *self.options, f"recipe.steps={self.steps}"]
        )  # fmt: skip
        if not over(cfg):
            cfg.resume = True
            train(cfg)
        return Path(cfg.run)

    def skills(self, kind: str, seed: int) -> Path:
        pretrained = self.study.skills("spirl_skills", seed)
        if kind == PRETRAINED:
            return pretrained
        folder = self.study.out / f"adapted-seed{seed}"
        options = [*DEVICE, f"run={folder}", f"recipe.demos={self.study.targets}"]
        cfg = adapting(pretrained, self.study.data / TARGET, seed, options)
        if not done(cfg):
            cfg.resume = True
            train(cfg)
        return folder


def over(cfg: TrainConfig) -> bool:
    """Whether a run has made its steps. Raises PixelarmError if another run, or one of more steps, is in its folder."""
    folder = Path(cfg.run)
    if not (folder / "config.yaml").exists():
        return False
    before: Any = OmegaConf.to_container(OmegaConf.load(folder / "config.yaml"))
    cfg.algo.skills_algo = before["algo"].get("skills_algo")  # filled in from the skills when the run began
    require_same_config(before, asdict(cfg), folder)
    if before["recipe"]["steps"] > cfg.recipe.steps:
        raise PixelarmError(
            f"{folder} is a run of {before['recipe']['steps']} steps, not {cfg.recipe.steps}: give at least as many, "
            "or another --out"
        )
    return ended(folder) and read_json(folder / "last" / "policy.json")["step"] >= cfg.recipe.steps


def play(folder: Path, episodes: int) -> dict[str, Score]:
    """What a run's policy completes on the test scenes: with decisions held as it learned them, and as it is deployed,
    deciding anew at each control step.
    """
    policy, config = load_policy(folder)
    env = make_env_for(policy.contract, asdict(config))
    ways: dict[str, Any] = {"held": HeldDecisions(policy), "deployed": GreedyPolicy(policy)}  # type: ignore[arg-type]
    seeds = range(EVAL_SEED, EVAL_SEED + episodes)
    found = {name: score(env, act, seeds, title=f"{folder}, {name}") for name, act in ways.items()}
    env.close()
    return found


# --------------------------------------------------------------------------------------------------------------- tables
def table(scores: dict[str, list[dict[str, Score]]]) -> str:
    """Completed subtasks of each learner on the test scenes, as Markdown; ``scores``: name to those of each seed."""
    one = next(iter(scores.values()))[0]["held"]
    head = [f"{words} at {limit}" for words in ("held", "deployed") for limit in LIMITS]
    subtasks = one.subtasks
    lines = [
        f"completed of {len(subtasks)}, ever, within 0.3 of the goal; {len(one.seeds)} test scenes a training seed, 95 "
        f"% bootstrap intervals; subtasks held, at {LIMITS[0]} steps",
        "",
        f"| learner | training seeds | {' | '.join([*head, *subtasks])} |",
        "|---|---|" + "---|" * (len(head) + len(subtasks)),
    ]
    for name, found in scores.items():
        cells = [_mean([s[way] for s in found], limit) for way in ("held", "deployed") for limit in LIMITS]
        done = [s["held"].completed(LIMITS[0], "ever", "loose").mean(axis=0) for s in found]
        cells += [f"{rate:.2f}" for rate in np.mean(done, axis=0)]
        lines.append(f"| {name} | {len(found)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _mean(scores: list[Score], limit: int) -> str:
    values = completed(scores, limit)
    low, high = bootstrap_interval(list(values), resample_strata=len(values) > 1)
    return f"{values.mean():.2f} [{low:.2f}, {high:.2f}]"


def curve_table(curves: list[GroupCurve]) -> str:
    """Completed subtasks on the validation scenes at each step, as Markdown."""
    steps = sorted({step for curve in curves for step in curve.steps})
    lines = [f"| environment steps | {' | '.join(c.label for c in curves)} |", "|---|" + "---|" * len(curves)]
    for step in steps:
        cells = [_at(curve, step) for curve in curves]
        lines.append(f"| {step} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _at(curve: GroupCurve, step: int) -> str:
    if step not in curve.steps:
        return ""
    i = curve.steps.index(step)
    low, high = curve.low[i], curve.high[i]
    return f"{curve.iqm[i]:.2f}" + (f" [{low:.2f}, {high:.2f}]" if low is not None and high is not None else "")


# -------------------------------------------------------------------------------------------------------------- command
def main(argv: list[str]) -> int:
    args = _parser().parse_args(argv)
    comparison = _comparison(args)
    out = comparison.study.out
    require_folder(out)
    one_thread()
    runs: dict[str, list[Path]] = {name: [] for name in args.learners}
    scores: dict[str, list[dict[str, Score]]] = {}
    try:
        for seed in dict.fromkeys(args.seeds):
            for name in runs:
                runs[name].append(comparison.run(name, seed))
        for name, folders in runs.items():
            if LEARNERS[name].skills:
                scores[f"{LEARNERS[name].words}, before its first update"] = [
                    play(folder / "cloned", args.episodes) for folder in folders
                ]
            scores[LEARNERS[name].words] = [play(folder / "last", args.episodes) for folder in folders]
    except KeyboardInterrupt:
        print(f"\ninterrupted; the same command goes on with what is in {out}", file=sys.stderr)
        raise
    curves, notes = make_curves([_group(comparison.task, LEARNERS[name].words, runs[name]) for name in runs])
    text = "\n\n".join([f"{comparison.task}: {table(scores)}", curve_table(curves), *notes])
    print(text)
    write_text(out / "table.md", text + "\n")
    result = {
        "suite": "spirl", **provenance("pixelarm bench spirl " + shlex.join(argv)),
        "scores": {
            name: [{way: s.to_dict() for way, s in of.items()} for of in found] for name, found in scores.items()
        },
        "curves": [curve.to_dict() for curve in curves],
    }  # fmt: skip
    keep(out, result, PICTURE, lambda: draw(curves, []).savefig(out / PICTURE, dpi=150))
    return 0


def _group(task: str, label: str, folders: list[Path]) -> Group:
    return Group(task, label, {}, [source for folder in folders if (source := read_source(folder)) is not None])


def _comparison(args: argparse.Namespace) -> Comparison:
    """What the command's options ask for.

    Raises:
        UnknownName: a learner or a split that does not exist.
        PixelarmError: a number is too small, or data are missing that a learner needs.
    """
    split = split_named(args.split)
    for name in args.learners:
        if name not in LEARNERS:
            raise UnknownName("learner", name, LEARNERS)
    for option in ("episodes", "steps", "pretrain_updates", "targets"):
        if getattr(args, option) < 1:
            raise PixelarmError(f"--{option.replace('_', '-')} must be at least 1, got {getattr(args, option)}")
    data, out = args.data or Path("runs") / args.split, args.out or Path("runs") / f"bench-spirl-{args.split}"
    kinds = {LEARNERS[name].skills for name in args.learners}
    if kinds - {""} and not episode_files(data / PRETRAINING):
        raise PixelarmError(
            f"{data} holds no pretraining data: pixelarm data make kitchen --split {args.split} --out {data}"
        )
    if ADAPTED in kinds and (not split.target or split.task().name != args.task):
        raise PixelarmError(
            "spirl_fist begins with skills that were fine-tuned to the split's target demonstrations: give --task "
            + (split.task().name if split.target else "a split that has some")
        )
    if ADAPTED in kinds and len(episode_files(data / TARGET)) < args.targets:
        raise PixelarmError(f"{data / TARGET} holds less than {args.targets} demonstrations: give --targets")
    study = Study(data, out, args.targets, {PRETRAINING: args.pretrain_updates}, args.episodes)
    return Comparison(study, args.task, args.steps, tuple(args.option))


WHAT = """\
Learn a kitchen task from reward, 1 for each subtask that is done, by SPiRL on the skills of a split's pretraining data
and by plain soft actor-critic on joint velocities, in the same number of environment steps; then play all of them on
the same test scenes. The table has completed subtasks there, the curve those on the validation scenes while learning.

Repeat the command to go on after an interruption, or with more seeds, learners or steps: a run that has ended is used
again, and the others go on from their newest checkpoint."""
EXAMPLES = """\
An estimate, of processor time, for a training seed of 100,000 steps: 6 minutes for SPiRL and 18 for plain soft
actor-critic, and 3 to learn skills.

examples:
  pixelarm data make kitchen --split no-top-burner --episodes 300 --out runs/no-top-burner
  pixelarm bench spirl --split no-top-burner --seeds 1 2 3
  pixelarm bench spirl --split no-top-burner --learners spirl_fist sac \\
      --task kitchen_microwave_kettle_top_burner_light_switch --out runs/bench-spirl-held-out"""


def _parser() -> argparse.ArgumentParser:
    names = "\n".join(f"  {name:<15} {learner.words}" for name, learner in LEARNERS.items())
    parser = argparse.ArgumentParser(
        allow_abbrev=False, prog="pixelarm bench spirl", description=WHAT,
        epilog=f"learners:\n{names}\n\n{EXAMPLES}", formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add = parser.add_argument
    add("--split", required=True, metavar="NAME", help="whose pretraining data the skills are of")
    add("--data", type=Path, metavar="FOLDER", help="what `pixelarm data make kitchen` made (default: runs/SPLIT)")
    add("--task", default="kitchen", metavar="NAME", help="to learn from reward (default: kitchen)")
    add("--seeds", type=int, nargs="+", metavar="N", default=[1], help="training seeds (default: 1)")
    add("--learners", nargs="+", default=["spirl", "sac"], metavar="NAME", help="what to compare (default: spirl sac)")
    add("--steps", type=int, metavar="N", default=100_000, help="environment steps of each (default: 100000)")
    add("--episodes", type=int, metavar="N", default=50, help="test scenes (default: 50)")
    add("--pretrain-updates", type=int, metavar="N", default=5000, help="of learning skills (default: 5000)")
    add("--targets", type=int, metavar="N", default=10, help="demonstrations for spirl_fist (default: 10)")
    add("--option", nargs="+", default=[], metavar="OPTION=VALUE", help="of `pixelarm train`, for every learner")
    add("--out", type=Path, metavar="FOLDER", help="of all runs and the table (default: runs/bench-spirl-SPLIT)")
    return parser
