"""``pixelarm bench skills``: a new kitchen task from ten demonstrations, by FIST and by what it is to be better than.

Every learner is pretrained, adapted and played by the commands that a user has, on the same scenes. What is there
already is used again, so a measurement that was interrupted goes on, and more seeds, learners, numbers of
demonstrations or of updates can be added:

    OUT/skills-EXPERIMENT-seed1/                       its skills, as of `pixelarm pretrain`
    OUT/LEARNER-10demos-4000updates-seed1/             as of `pixelarm adapt` or `pixelarm train`, and score.npz
    OUT/table.md, LEARNER.md, bench.json, reuse.png    what came of it
"""

from __future__ import annotations

import argparse
import io
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from policies.bench.skills_table import Cell, Results, compared, draw, needed
from policies.config import TrainConfig
from policies.evaluation.evaluate import EVAL_SEED, load_actor
from policies.runs.checkpoint import ended, read_json
from policies.training.checks import require_same_config
from policies.training.skills import adapting, compose_for, learn_skills, pretraining
from policies.training.train import train
from robot.dataset.episodes import episode_files, read_headers
from robot.errors import PixelarmError, UnknownName
from robot.files import require_folder, write_bytes, write_text
from sim.bench.harness import keep, one_thread, provenance
from sim.envs.make import make_env_for
from sim.kitchen.protocol import Score, score, table
from sim.kitchen.splits import PRETRAINING, TARGET, split_named

ALONE, TUNED, AS_THEY_ARE = "alone", "tuned", "as they are"


@dataclass(frozen=True)
class Learner:
    """How a policy comes to be."""

    words: str
    experiment: str
    skills: str  # ALONE: none, the demonstrations alone; TUNED: fine-tuned skills; AS_THEY_ARE: skills, no fine-tuning
    options: tuple[str, ...] = ()  # of the last phase
    network: tuple[str, ...] = ()  # of the policy's network, so of its skills if it has some


WIDE = ("algo.hidden=512",)
DISPLACED = ("algo.nudge=0.02", "algo.object_noise=0.03")  # as FIST has it
TOLERANT = ("algo.object_noise=0.03", "algo.object_tolerance=0.03")
STRAYS = ("algo.strays=0.15",)
DEMONSTRATED = ("algo.object_tolerance=0.2", "algo.objects=demonstrated")
ONE = ("algo.object_noise=0.03", "algo.object_tolerance=0.2", *STRAYS)  # for one demonstration
LEARNERS: dict[str, Learner] = {
    "fist": Learner("FIST", "fist", TUNED),
    "bc_pretrained": Learner("cloning, pretrained and fine-tuned", "chunk_bc_states", TUNED),
    "bc": Learner("cloning, the demonstrations alone", "chunk_bc_states", ALONE),
    "fist_alone": Learner("FIST, the demonstrations alone", "fist", ALONE),
    "fist_untuned": Learner("FIST without fine-tuning", "fist", AS_THEY_ARE),
    "fist_learned": Learner(
        "FIST, learned distance, without haste",
        "fist",
        TUNED,
        ("algo.distance=learned", "algo.haste=0", "algo.object_weight=1"),
    ),
    "fist_unhurried": Learner("FIST without haste", "fist", TUNED, ("algo.haste=0",)),
    "fist_unweighted": Learner("FIST, objects weigh as the arm", "fist", TUNED, ("algo.object_weight=1",)),
    "fist_decoded": Learner("FIST, the gripper decoded", "fist", TUNED, ("algo.grip=decoded",)),
    "fist_tolerant": Learner("FIST, objects displaced and tolerated", "fist", TUNED, TOLERANT),
    "fist_strays": Learner("FIST, strays", "fist", TUNED, STRAYS),
    "fist_demonstrated": Learner("FIST, objects as demonstrated", "fist", TUNED, DEMONSTRATED),
    "fist_one": Learner("FIST, strays, objects displaced and tolerated", "fist", TUNED, ONE),
    "bc_pretrained_wide": Learner(
        "cloning, 512 wide, pretrained and fine-tuned", "chunk_bc_states", TUNED, network=WIDE
    ),
    "bc_wide": Learner("cloning, 512 wide, the demonstrations alone", "chunk_bc_states", ALONE, network=WIDE),
    "bc_pretrained_displaced": Learner(
        "cloning, 512 wide, displaced, pretrained and fine-tuned", "chunk_bc_states", TUNED, DISPLACED, WIDE
    ),
    "bc_displaced": Learner("cloning, 512 wide, displaced", "chunk_bc_states", ALONE, DISPLACED, WIDE),
    "bc_pretrained_strays": Learner(
        "cloning, 512 wide, displaced, strays, pretrained and fine-tuned",
        "chunk_bc_states",
        TUNED,
        (*DISPLACED, *STRAYS),
        WIDE,
    ),
    "bc_strays": Learner("cloning, 512 wide, displaced, strays", "chunk_bc_states", ALONE, (*DISPLACED, *STRAYS), WIDE),
    "play_lmp": Learner("Play-LMP", "play_lmp", TUNED),
    "sailor": Learner("SAILOR", "sailor", TUNED),
    "taco_rl": Learner("TACO-RL", "taco_rl", TUNED),
    "bet": Learner("BeT, pretrained and fine-tuned", "bet_states", TUNED),
    "vqbet": Learner("VQ-BeT, pretrained and fine-tuned", "vqbet_states", TUNED),
}


@dataclass(frozen=True)
class Study:
    """What all learners of one split, one number of demonstrations and of updates share."""

    data: Path  # what `pixelarm data make kitchen` made
    out: Path
    targets: int  # demonstrations of the new task
    updates: dict[str, int]  # of pretraining, of fitting to the demonstrations alone, of fine-tuning
    episodes: int

    def with_cell(self, cell: Cell) -> Study:
        updates = {**self.updates, ALONE: cell.alone_updates, TUNED: cell.adapt_updates}
        return replace(self, targets=cell.targets, updates=updates)

    def fit_updates(self, name: str) -> int:
        """Of a learner's last phase, with the demonstrations of the new task."""
        return self.updates.get(LEARNERS[name].skills, 0)

    def policy(self, name: str, seed: int) -> Path:
        """The folder of a learner's policy, which is made if it is not there."""
        learner, updates = LEARNERS[name], self.fit_updates(name)
        folder = self.out / f"{name}-{self.targets}demos-{updates}updates-seed{seed}"
        common = [
            *self._device, f"run={folder}", f"recipe.demos={self.targets}", f"recipe.fit_updates={updates}",
            *learner.options,
        ]  # fmt: skip
        if learner.skills == ALONE:
            contract = read_headers(self.data / TARGET)[0].contract
            cfg = compose_for(
                contract,
                [
                    f"experiment={learner.experiment}", f"seed={seed}", f"demos={self.data / TARGET}",
                    *learner.network, *common,
                ],
            )  # fmt: skip
        else:
            skills = self.skills(learner.experiment, seed, learner.network)
            cfg = adapting(skills, self.data / TARGET, seed, common)
        if not done(cfg):
            cfg.resume = True
            train(cfg)
        return folder

    def skills(self, experiment: str, seed: int, network: Sequence[str] = ()) -> Path:
        """The folder of skills, which are learned if they are not there; learners share them."""
        kind = "-".join([experiment, *(option.removeprefix("algo.").replace("=", "") for option in network)])
        folder = self.out / f"skills-{kind}-seed{seed}"
        options = [f"run={folder}", f"recipe.fit_updates={self.updates[PRETRAINING]}", *network, *self._device]
        there = done(pretraining(self.data, experiment, seed, options))
        if not there or not (folder / "skills.json").exists():
            learn_skills([f"experiment={experiment}", f"data={self.data}", f"seed={seed}", "resume=true", *options])
        return folder

    @property
    def _device(self) -> list[str]:
        return ["trainer=cpu", "trainer.threads=1"]

    def score(self, name: str, seed: int) -> Score:
        """What a learner completes on the test scenes, played unless the result of this very policy is there."""
        folder = self.policy(name, seed)
        kept, seeds = folder / "score.npz", range(EVAL_SEED, EVAL_SEED + self.episodes)
        made = read_json(folder / "policy" / "policy.json").get("updates", 0)
        if kept.exists():
            with np.load(kept) as there:
                if int(there["updates"]) == made and list(there["seeds"][: self.episodes]) == list(seeds):
                    names = tuple(str(subtask) for subtask in there["subtasks"])
                    return Score(names, tuple(seeds), there["distances"][: self.episodes])
        act, contract, config = load_actor(folder)
        env = make_env_for(contract, config)
        found = score(env, act, seeds, title=folder.name)
        env.close()
        file = io.BytesIO()
        np.savez_compressed(
            file, updates=made, seeds=found.seeds, subtasks=found.subtasks, distances=found.distances.astype(np.float32)
        )
        write_bytes(kept, file.getvalue())
        return found


def done(cfg: TrainConfig) -> bool:
    """Whether a run has come to its end. Raises PixelarmError if another run, of other options, other data or another
    number of updates, has ended or begun in its folder.
    """
    folder = Path(cfg.run)
    if not (folder / "config.yaml").exists():
        return False
    before: Any = OmegaConf.to_container(OmegaConf.load(folder / "config.yaml"))
    require_same_config(before, asdict(cfg), folder)
    if before["recipe"]["fit_updates"] != cfg.recipe.fit_updates:
        raise PixelarmError(
            f"{folder} is fitted for {before['recipe']['fit_updates']} updates, not {cfg.recipe.fit_updates}: give "
            "the same, or another --out"
        )
    if Path(before["demos"]).resolve() != Path(cfg.demos).resolve():
        raise PixelarmError(
            f"{folder} is fitted to the data of {before['demos']}, not {cfg.demos}: give the same, or another --out"
        )
    return ended(folder)


# -------------------------------------------------------------------------------------------------------------- command
def main(argv: list[str]) -> int:
    args = _parser().parse_args(argv)
    split = split_named(args.split)
    if not split.target:
        raise PixelarmError(f"the split {args.split} has no target demonstrations, so there is no new task to learn")
    for name in args.learners:
        if name not in LEARNERS:
            raise UnknownName("learner", name, LEARNERS)
    cells = cells_of(args)
    data, out = args.data or Path("runs") / args.split, args.out or Path("runs") / f"bench-skills-{args.split}"
    there, wanted = len(episode_files(data / TARGET)), max(args.targets)
    if not episode_files(data / PRETRAINING) or there < wanted:
        raise PixelarmError(
            f"{data} holds {there} of {wanted} target demonstrations, or no pretraining data: pixelarm data make "
            f"kitchen --split {args.split} --targets {wanted} --out {data}"
        )
    require_folder(out)
    one_thread()
    study = Study(data, out, cells[0].targets, {PRETRAINING: args.pretrain_updates}, args.episodes)
    found: Results = {cell: {name: [] for name in args.learners} for cell in cells}
    try:
        for seed in dict.fromkeys(args.seeds):
            for cell, scores in found.items():
                for name in scores:
                    scores[name].append(study.with_cell(cell).score(name, seed))
    except KeyboardInterrupt:
        print(f"\ninterrupted; the same command goes on with what is in {out}", file=sys.stderr)
        raise
    report(args.split, found, out, argv)
    return 0


def cells_of(args: argparse.Namespace) -> list[Cell]:
    """Every number of demonstrations with every number of updates. Raises PixelarmError of numbers that make none."""
    for option in ("episodes", "targets", "pretrain_updates", "alone_updates", "adapt_updates"):
        given = getattr(args, option)
        for value in given if isinstance(given, list) else [given]:
            if value < 1:
                raise PixelarmError(f"--{option.replace('_', '-')} must be at least 1, got {value}")
    if len(args.alone_updates) != len(args.adapt_updates):
        raise PixelarmError(
            "--alone-updates and --adapt-updates are compared pair by pair, so they need equally many numbers; got "
            f"{len(args.alone_updates)} and {len(args.adapt_updates)}"
        )
    pairs = zip(args.alone_updates, args.adapt_updates)
    return list(dict.fromkeys(Cell(targets, *pair) for pair in pairs for targets in args.targets))


def report(split: str, found: Results, out: Path, argv: list[str]) -> None:
    """Print the tables, and keep them, the scores and a figure in ``out``."""
    words = {name: LEARNERS[name].words for scores in found.values() for name in scores}
    parts = [f"{split}, {cell.words}: {compared(scores, words)}" for cell, scores in found.items()]
    if len(found) > 1:
        alone = {name for name in words if LEARNERS[name].skills == ALONE}
        parts.append(needed(found, words, alone))
        draw(found, words, alone, out / "reuse.png")
    text = "\n\n".join(parts)
    print(text)
    write_text(out / "table.md", text + "\n")
    each = [
        {**asdict(cell), "learners": {name: [one.to_dict() for one in of] for name, of in scores.items()}}
        for cell, scores in found.items()
    ]
    for name in words:
        tables = [f"{cell.words}: {table(scores[name])}" for cell, scores in found.items()]
        write_text(out / f"{name}.md", "\n\n".join(tables) + "\n")
    keep(out, {"suite": "skills", **provenance("pixelarm bench skills " + shlex.join(argv)), "scores": each})


WHAT = """\
Learn a split's target task from a few demonstrations, by each learner and each training seed, and play all of them on
the same scenes for 450 control steps. The table has completed subtasks at 280 and at 450 steps, and the difference of
each learner from the first one, scene by scene.

Repeat the command to go on after an interruption, or with more seeds and learners: what has ended is used again, and
training goes on from its newest checkpoint (one every 500 updates). A learner whose scenes were not all played plays
them again. Other data, or another number of updates of pretraining, needs another --out.

Several --targets, or several numbers of updates, make a table each, a figure (reuse.png), and a table of how many
demonstrations and updates each learner needs to complete three subtasks of four."""
EXAMPLES = """\
It takes about 20 minutes of processor time for each training seed with the five default learners, so an hour for the
default three seeds if one core is free; the second core is not used. Two to three times as long on a busy machine.
The smaller of the two examples takes about a minute of it. It is no measurement: it shows what comes out.

examples:
  pixelarm data make kitchen --split no-kettle --episodes 300 --out runs/no-kettle
  pixelarm bench skills --split no-kettle --seeds 1 --learners fist bc --episodes 5 --pretrain-updates 500 \\
      --alone-updates 500 --adapt-updates 500 --out runs/bench-skills-try
  pixelarm bench skills --split no-kettle --seeds 1 2 3
  pixelarm bench skills --split no-kettle --seeds 1 2 3 --targets 1 2 5 10 --learners fist bc"""


def _parser() -> argparse.ArgumentParser:
    names = "\n".join(f"  {name:<23} {learner.words}" for name, learner in LEARNERS.items())
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="pixelarm bench skills",
        description=WHAT,
        epilog=f"learners:\n{names}\n\n{EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--split", required=True, metavar="NAME", help="one with a held-out object, such as no-kettle")
    parser.add_argument(
        "--data", type=Path, metavar="FOLDER", help="what `pixelarm data make kitchen` made (default: runs/SPLIT)"
    )
    parser.add_argument(
        "--seeds", type=int, nargs="+", metavar="N", default=[1, 2, 3], help="training seeds (default: 1 2 3)"
    )
    parser.add_argument(
        "--learners",
        nargs="+",
        default=list(LEARNERS)[:5],
        metavar="NAME",
        help="what to compare, the first one with each of the others (default: the first five below)",
    )
    parser.add_argument(
        "--targets",
        type=int,
        nargs="+",
        metavar="N",
        default=[10],
        help="demonstrations of the new task, the first ones of the data (default: 10)",
    )
    parser.add_argument("--episodes", type=int, metavar="N", default=50, help="test scenes (default: 50)")
    parser.add_argument(
        "--pretrain-updates", type=int, metavar="N", default=5000, help="of learning skills (default: 5000)"
    )
    for option, default, what in (
        ("--alone-updates", 5000, "of learners without skills"),
        ("--adapt-updates", 4000, "of fine-tuning skills; as many numbers as --alone-updates has"),
    ):
        parser.add_argument(
            option, type=int, nargs="+", metavar="N", default=[default], help=f"{what} (default: {default})"
        )
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="of all runs and table.md (default: runs/bench-skills-SPLIT)"
    )
    return parser
