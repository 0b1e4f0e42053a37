"""``pixelarm demo``: the main job from end to end, stage by stage.

demonstrations -> learning -> evaluation -> policy bundle -> episodes over ROS 2 -> report. Each stage leaves its result
in the run folder; the same command after Ctrl-C, or after a crash, goes on with the first stage that is not done.
"""

from __future__ import annotations

import argparse
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from policies.registry import parse_one
from policies.runs.provenance import git_commit, hardware, versions
from robot.errors import MissingDependency, PixelarmError
from robot.files import LOCK, Claim, require_folder, write_json
from robot.stats import HOLD_STEPS, rate

FORMER_AFTER_STEPS = 5  # of episodes over ROS 2 from before their results said it; see robot.stats.AFTER_STEPS
STAGES = ("collect", "train", "evaluate", "export", "ros", "report")


@dataclass(frozen=True)
class Budget:
    """How much of everything."""

    demos: int
    episodes: int  # evaluation episodes in simulation
    ros_episodes: int
    films: int
    overrides: tuple[str, ...] = ()  # for the training configuration


BUDGETS = {
    "full": Budget(demos=10, episodes=50, ros_episodes=20, films=3, overrides=("recipe.steps=6000",)),
    "smoke": Budget(
        demos=2, episodes=3, ros_episodes=2, films=1,
        overrides=(
            "recipe.demos=2", "recipe.pretrain_updates=5", "recipe.clone_updates=20", "recipe.steps=80",
            "recipe.critic_warmup=20", "recipe.learning_starts=20", "recipe.batch_size=32",
            "trainer.eval_every=40", "trainer.eval_episodes=2", "trainer.log_every=10",
            "trainer.checkpoint_every=40",
        ),
    ),
}  # fmt: skip


class Demo:
    """One demo in its folder. ``run`` goes through ``STAGES``; what a stage returned is kept in ``stages.json``."""

    def __init__(
        self, folder: Path, task: str, seed: int, budget: str, experiment: str, skip_ros: bool, overrides: list[str]
    ) -> None:
        self.folder, self.task, self.seed, self.budget_name, self.experiment = folder, task, seed, budget, experiment
        self.budget, self.skip_ros, self.overrides = BUDGETS[budget], skip_ros, overrides
        self.done: dict[str, dict[str, Any]] = {}  # stage -> what it returned
        self.seconds: dict[str, float] = {}  # stage -> wall time

    def run(self) -> dict[str, Any]:
        """The summary, once all stages are done. Raises PixelarmError, if need be before the first one begins."""
        from policies.training.train import check_options
        from sim.tasks import TASKS

        if self.task not in TASKS:
            raise PixelarmError(
                f"the demo learns from a scripted expert, which {self.task} has not; try {', '.join(TASKS)}"
            )
        check_options(self.config())
        require_folder(self.folder)
        with Claim(self.folder, "running the demo"):
            self._open()
            return self._stages()

    def _stages(self) -> dict[str, Any]:
        for number, stage in enumerate(STAGES, 1):
            if stage in self.done or (stage == "ros" and self.skip_ros):
                continue
            print(f"\n[{number}/{len(STAGES)}] {_TITLES[stage]}", flush=True)
            start = time.perf_counter()
            try:
                result = getattr(self, stage)()
            except BaseException:
                with suppress(OSError):  # a full disk ended the stage
                    self._spend(stage, start)
                raise
            self._spend(stage, start)
            if stage == "report":
                return result
            self.done[stage] = result
            self._save()
        raise AssertionError("the report is never done")

    def _spend(self, stage: str, start: float) -> None:
        """Wall time of a stage, over all attempts at it."""
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start
        self._save()

    def _open(self) -> None:
        """Start a folder, or go on in one of the same demo."""
        from policies.runs.checkpoint import read_json, reading

        asked = {
            "task": self.task,
            "seed": self.seed,
            "budget": self.budget_name,
            "experiment": self.experiment,
            "overrides": self.overrides,
        }
        path = self.folder / "demo.json"
        if not path.exists():
            if any(found.name != LOCK for found in self.folder.iterdir()):
                raise PixelarmError(f"{self.folder} is not empty and holds no demo; choose another folder with --run")
            write_json(path, asked)
        found = read_json(path)
        if found != asked:
            raise PixelarmError(f"{self.folder} holds another demo: {found}; choose another folder with --run")
        stages = self.folder / "stages.json"
        if stages.exists():
            with reading(stages, "remove it, and the demo begins anew"):
                kept = read_json(stages)
                self.done, self.seconds = dict(kept["done"]), dict(kept["seconds"])
            print(
                f"{self.folder}: {', '.join(s for s in STAGES if s in self.done) or 'nothing'} done before, going on "
                f"from there"
            )

    def _save(self) -> None:
        write_json(self.folder / "stages.json", {"done": self.done, "seconds": self.seconds})

    # --------------------------------------------------------------- stages
    def config(self) -> Any:
        from policies.training.train import compose

        return compose(
            [
                f"experiment={self.experiment}", f"task={self.task}", f"seed={self.seed}",
                f"demos={self.folder / 'demos'}", f"run={self.folder / 'learner'}", f"recipe.demos={self.budget.demos}",
                *self.budget.overrides, *self.overrides, "resume=true",
            ]
        )  # fmt: skip

    def collect(self) -> dict[str, Any]:
        """Demonstrations, through the recorder; an interrupted set is recorded anew."""
        from sim.demonstrations import collect
        from sim.envs.make import make_env

        env = make_env(self.config().task)
        shutil.rmtree(self.folder / "demos", ignore_errors=True)  # ours, and not complete: stage not done
        steps = collect(env, self.folder / "demos", self.budget.demos, self.seed)
        env.close()
        return {"episodes": self.budget.demos, "steps": steps}

    def train(self) -> dict[str, Any]:
        from policies.runs.checkpoint import read_json
        from policies.runs.metrics import read_log
        from policies.training.train import train

        cfg = self.config()
        folder = train(cfg)
        trained = read_log(folder, "train")
        return {
            "env_steps": int(read_json(folder / "last" / "policy.json")["step"]),
            "exported_step": int(read_json(folder / "policy" / "policy.json")["step"]),
            "updates_per_second": trained[-1]["updates_per_second"] if trained else 0.0,
            "seconds": {k: trained[-1][f"seconds_{k}"] for k in ("environment", "updates", "evaluation")}
            if trained
            else {},
            "recipe": recipe_words(cfg),
            "versions": versions(),
            "hardware": hardware(),
            "git": git_commit(),
        }

    def evaluate(self) -> dict[str, Any]:
        """The learned policy and the cloned one on the same seeds."""
        from policies.evaluation.evaluate import EVAL_SEED, evaluate
        from policies.rollout.acting import GreedyPolicy, load_policy
        from robot.stats import mcnemar

        env, seeds = self._judging_env(), range(EVAL_SEED, EVAL_SEED + self.budget.episodes)
        results = {}
        for name, title, films in (("policy", "learned", self.budget.films), ("cloned", "cloned", 0)):
            policy, _ = load_policy(self.folder / "learner" / name)
            results[name] = evaluate(env, GreedyPolicy(policy), seeds, films=films, title=f"{title} policy")
        env.close()
        learned, cloned = results["policy"], results["cloned"]
        self._films(learned)
        only_learned, only_cloned, p = mcnemar(
            [o.success_once for o in learned.outcomes], [o.success_once for o in cloned.outcomes]
        )
        found = {
            "sim": learned.to_dict(),
            "bc": cloned.to_dict(),
            "paired": {"only_learned": only_learned, "only_cloned": only_cloned, "mcnemar_p": p},
        }
        write_json(self.folder / "evaluation.json", found)
        return found

    def _films(self, evaluation: Any) -> None:
        from matplotlib.image import imsave

        from robot.dataset.video import film_strip, write_video

        folder = self.folder / "films" / "sim"
        shutil.rmtree(folder, ignore_errors=True)
        for outcome in evaluation.outcomes:
            frames = evaluation.films.get(outcome.seed)
            if frames:
                name = f"{'success' if outcome.success_once else 'failure'}_seed_{outcome.seed}"
                write_video(folder / f"{name}.mp4", frames, fps=10)
                imsave(folder / f"{name}.png", film_strip(frames))

    def export(self) -> dict[str, Any]:
        from policies.export.onnx import export

        shutil.rmtree(self.folder / "bundle", ignore_errors=True)  # ours, from a stage that did not end
        sim = self.done["evaluate"]["sim"]
        measured = {key: sim[key] for key in ("success", "n", "low", "high")}
        out, difference = export(self.folder / "learner", self.folder / "bundle", measured)
        print(f"wrote {out}, largest difference to torch {difference:.1e}")
        return {"bundle": str(out), "parity": difference}

    def ros(self) -> dict[str, Any]:
        from policies.demo.ros import run_over_ros
        from robot import bundle

        _, contract, _ = bundle.read(self.folder / "bundle")
        return run_over_ros(self.folder, contract, self.budget.ros_episodes)

    def report(self) -> dict[str, Any]:
        from policies.evaluation.report import write_report

        summary = self.summary()
        write_json(self.folder / "summary.json", summary)
        write_report(self.folder)
        return summary

    def _judging_env(self) -> Any:
        """What a policy is judged in, as by `pixelarm eval`: no randomisation, and the first success counts."""
        import dataclasses

        from sim.envs.make import make_env

        return make_env(dataclasses.replace(self.config().task, randomise=[], hold_steps=HOLD_STEPS))

    # -------------------------------------------------------------- summary
    def summary(self) -> dict[str, Any]:
        """Everything a reader of the run needs, as plain numbers."""
        from robot import bundle

        train, evaluated = self.done["train"], self.done["evaluate"]
        _, contract, _ = bundle.read(self.folder / "bundle")
        summary: dict[str, Any] = {
            "task": self.task, "seed": self.seed, "budget": self.budget_name, "recipe": train["recipe"],
            "sim": _without_outcomes(evaluated["sim"]), "bc": _without_outcomes(evaluated["bc"]),
            "paired": evaluated["paired"], "env_steps": train["env_steps"], "exported_step": train["exported_step"],
            "robot_minutes": train["env_steps"] / contract.rate_hz / 60,
            "updates_per_second": train["updates_per_second"], "train_seconds": train["seconds"],
            "parity": self.done["export"]["parity"],
        }  # fmt: skip
        if "ros" in self.done:
            summary |= ros_summary(self.done["ros"])
        return summary | {
            "minutes": {stage: seconds / 60 for stage, seconds in self.seconds.items()},
            "contract_hash": contract.hash,
            **{
                key: train[key] for key in ("versions", "hardware", "git")
            },  # of the training, not of a later look at it
        }


_TITLES = {
    "collect": "scripted demonstrations",
    "train": "learning: contrastive pre-training, cloning, reinforcement learning",
    "evaluate": "evaluation on fixed seeds, learned and cloned",
    "export": "policy bundle",
    "ros": "simulated arm and policy node over ROS 2, in wall-clock time",
    "report": "report",
}


def ros_summary(found: dict[str, Any]) -> dict[str, Any]:
    """The ROS part of a summary from the arm's results and the loop's statistics."""
    episodes, loop = found["arm"]["episodes"], found["loop"]
    return {
        "ros": {
            **rate([e["success_once"] for e in episodes]).to_dict(),
            "at_end": rate([e["success_end"] for e in episodes]).to_dict(),
            "after_steps": found["arm"].get("after_steps", FORMER_AFTER_STEPS),
        },
        "latency_ms": {key: loop["latency_ms"][key] for key in ("n", "p50", "p99", "max")},
        "deadline_ms": loop["deadline_ms"],
        "deadline_misses": loop["deadline_misses"],
        "rules_fired": {name: count for name, count in loop["rules"].items() if count},
        "limits_acted": {name: count for name, count in loop["limits"].items() if count},
    }


def recipe_words(cfg: Any) -> str:
    """What of the recipe was on, in one line."""
    recipe, algo = cfg.recipe, cfg.algo
    parts = [
        f"{recipe.demos} demonstrations",
        f"{recipe.pretrain_updates} updates of {_names(recipe.pretrain)} first"
        if recipe.pretrain_updates and recipe.pretrain
        else "no pre-training",
        f"cloned warm start of {recipe.clone_updates} updates" if recipe.clone_updates else "no cloned warm start",
        f"cloning term of weight {recipe.bc_weight}" if recipe.bc_weight else "no cloning term",
        f"actor {_names([algo.actor])}, critics {_names([algo.critic])}",
        f"augmentation {_names(algo.augmentation)}" if algo.augmentation else "no augmentation",
        f"{recipe.demo_fraction:.0%} demonstrations in each batch"
        + (", own successes among them" if recipe.successes_join else "")
        + (f", {recipe.success_fraction:.0%} own successes" if recipe.success_fraction else ""),
    ]
    return f"{cfg.experiment}: " + ", ".join(parts)


def _names(items: list[Any]) -> str:
    return ", ".join(parse_one(item, "a part")[0] for item in items)


def _without_outcomes(evaluation: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in evaluation.items() if key != "outcomes"}


def preflight(skip_ros: bool) -> None:
    """Find out now, not after ten minutes, that a later stage cannot run."""
    import importlib.util

    from sim.rendering import gl

    if importlib.util.find_spec("mujoco_warp") is None:
        gl.require()  # the ray-caster cannot take over
    if not skip_ros and importlib.util.find_spec("rclpy") is None:
        raise MissingDependency(
            "the demo's last stage runs the policy over ROS 2, and rclpy is not installed: pip install 'pixelarm[ros]' "
            "(or source "
            "your ROS 2); or leave that stage out with --no-ros"
        )
    free = shutil.disk_usage(".").free / 1e9
    if free < 2:
        raise PixelarmError(f"only {free:.1f} GB are free on this disk; the demo wants 2 GB")


def print_table(summary: dict[str, Any], folder: Path) -> None:
    from policies.evaluation.report import headline_rows

    rows = headline_rows(summary)
    width = max(len(name) for name, _ in rows)
    print("\n" + "\n".join(f"  {name:<{width}}  {value}" for name, value in rows))
    print(f"\n  {folder / 'report.html'}\n  {folder / 'summary.json'}")


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="pixelarm demo",
        description="The main job: ten demonstrations, a sparse-reward policy from pixels, a ROS 2 node that runs it "
        "inside its deadline.",
        epilog="The same command goes on after an interruption. Further arguments of the form OPTION=VALUE change the "
        "training "
        "configuration (see `pixelarm train --help`). example: pixelarm demo --seed 2 recipe.steps=18000",
    )
    parser.add_argument(
        "--run",
        type=Path,
        help="run folder (default: runs/demo, with the seed and the budget in its name if they are not the default)",
    )
    parser.add_argument("--task", default="move", help="task to learn (default move: pick a block and place it)")
    parser.add_argument(
        "--seed", type=int, default=1, help="seed of demonstrations, networks and exploration (default 1)"
    )
    parser.add_argument(
        "--budget",
        choices=sorted(BUDGETS),
        default="full",
        help="smoke: the same path with almost no training, in under three minutes",
    )
    parser.add_argument("--experiment", default="ferm_pp", help="recipe (default ferm_pp)")
    parser.add_argument("--no-ros", action="store_true", help="leave out the episodes over ROS 2")
    args, overrides = parser.parse_known_args(argv)
    if bad := [o for o in overrides if o.startswith("-") or "=" not in o]:
        parser.error(f"unrecognised arguments: {' '.join(bad)}")
    name = (
        "demo" + ("" if args.seed == 1 else f"-seed{args.seed}") + ("" if args.budget == "full" else f"-{args.budget}")
    )
    folder = args.run or Path("runs") / name
    preflight(args.no_ros)
    demo = Demo(folder, args.task, args.seed, args.budget, args.experiment, args.no_ros, overrides)
    try:
        summary = demo.run()
    except KeyboardInterrupt:
        print(f"\ninterrupted; what is done is kept in {folder}, and the same command goes on from there")
        raise
    print_table(summary, folder)
    return 0
