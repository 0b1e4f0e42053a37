"""``pixelarm dagger``: cloning, in rounds in which a person takes over from the clone where it gets nowhere.

HG-DAgger (arXiv 1810.02890): the clone acts, the person takes over when it is needed, and what the person did from
there on joins the demonstrations, from which the next clone is fitted anew. The person is the task's scripted expert,
which takes over once an episode has gone on for as long as a demonstration takes (``policies.rollout.person``).

In the run's folder: ``data/`` demonstrations and corrections (of an episode with a correction, ``interventions`` in its
provenance says which steps are the person's, and only those are cloned); ``round-N/`` the run that fitted a clone;
``dagger.json``, ``dagger.md`` and ``dagger.png`` success of each round's clone. A command that is given again goes on
with the first round that is not in ``dagger.json``.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from policies.config import TrainConfig
from policies.evaluation.evaluate import EVAL_SEED, ActionOf, evaluate, load_actor
from policies.evaluation.page import BLUE, axes_of
from policies.rollout.person import Person
from policies.runs.checkpoint import read_json
from policies.runs.provenance import made_with
from policies.training.options import own_options, required, seed_of, wants_help, whole
from policies.training.train import compose, train
from robot.dataset import acting, recording
from robot.dataset.episodes import Recorder, episode_files, read_dataset, write_index
from robot.errors import PixelarmError
from robot.files import Claim, write_json, write_text
from sim.envs.make import make_env

HELP = """\
usage: pixelarm dagger demos=FOLDER task=NAME [OPTION=VALUE ...]

Fit a clone to demonstrations, let it act, let a scripted person take over where it gets nowhere, and fit the next clone
to all of it.

  demos=FOLDER          demonstrations to begin with; they are copied, and stay as they are
  experiment=NAME       chunk_bc (default), bc, or another recipe that only clones
  rounds=N              of corrections (default: 5)
  episodes=N            of each round, in which a person may take over (default: 20)
  take_over_after=X     the person takes over after X times the demonstrations' mean length (default: 1)
  scenes=N              test scenes that each clone is judged by (default: 100)
  run=FOLDER            (default: runs/dagger-EXPERIMENT-TASK-seedN)
  recipe.demos=N        demonstrations to begin with (default: 10)
  other options         those of `pixelarm train`

The same command again goes on where it stopped.

example: pixelarm dagger demos=runs/demos task=move rounds=5"""
OWN = ("experiment", "rounds", "episodes", "take_over_after", "scenes", "run", "demos", "seed", "recipe.demos")
ROUND_SEED = 3_000_000  # scenes of the rounds, seed s: from ROUND_SEED + 10,000 s on
MARK = ".dagger"  # in data/: the folder is this command's own, and may be made anew
PATIENCE = 2.0  # times the longest demonstration that the person has


@dataclass(frozen=True)
class Round:
    """What was known of a round's clone, and what the person did to it."""

    round: int
    examples: int  # control steps that were cloned
    take_overs: int  # of all rounds before
    person_minutes: float  # that the person has driven in all rounds before, the demonstrations left out
    robot_minutes: float  # of the arm, in all rounds before
    success: dict[str, Any]  # on the test scenes, as of robot.stats.Rate
    at_end: dict[str, Any]


class Dagger:
    """See the module text.

    Args:
        options: of every round's `pixelarm train`.
    """

    def __init__(self, folder: Path, demos: Path, seed: int, options: list[str], settings: dict[str, float]) -> None:
        self.folder, self.demos, self.seed, self.options, self.settings = folder, demos, seed, options, settings
        self.rounds: list[dict[str, Any]] = []
        if (folder / "dagger.json").exists():
            before = read_json(folder / "dagger.json")
            mine = {"seed": seed, "demos": str(demos.resolve()), "options": options, "settings": settings}
            then = {name: before.get(name) for name in mine}
            if then != mine:
                raise PixelarmError(f"{folder} was begun with {then}, not {mine}: give the same, or another run=")
            self.rounds = before["rounds"]

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def config(self, number: int) -> TrainConfig:
        count = len(episode_files(self.data)) or int(self.settings["demos"])
        return compose(
            [*self.options, f"seed={self.seed}", f"demos={self.data}", f"recipe.demos={count}", "resume=true",
             f"run={self.folder / f'round-{number}'}"]
        )  # fmt: skip

    def run(self) -> None:
        self._require_a_clone(self.config(0))
        self._copy_demonstrations()
        for number in range(len(self.rounds), int(self.settings["rounds"]) + 1):
            self._forget(number)
            if number:
                about = self._correct(number)
            else:
                about = {"take_overs": 0, "person_steps": 0, "steps": 0}
            folder = train(self.config(number))
            self._judge(number, folder, about)

    def _require_a_clone(self, cfg: TrainConfig) -> None:
        if cfg.recipe.steps or cfg.recipe.frames:
            raise PixelarmError(
                f"experiment={cfg.experiment} learns by itself after cloning: experiment=hil corrects such a policy; "
                "`pixelarm dagger` takes recipes that only clone, such as chunk_bc and bc"
            )

    def _copy_demonstrations(self) -> None:
        if self.rounds:
            return
        wanted, found = int(self.settings["demos"]), episode_files(self.demos)
        if len(found) < wanted:
            raise PixelarmError(f"recipe.demos={wanted} demonstrations are wanted, and {self.demos} holds {len(found)}")
        mark = self.data / MARK
        if self.data.exists() and not mark.exists():
            raise PixelarmError(f"{self.data} is there already and is not of `pixelarm dagger`: choose another run=")
        shutil.rmtree(self.data, ignore_errors=True)  # ours, of a start that was interrupted
        self.data.mkdir(parents=True)
        mark.touch()
        for path in found[:wanted]:
            shutil.copy2(path, self.data)
        write_index(self.data)

    def _forget(self, number: int) -> None:
        """Corrections of a round that was interrupted; its scenes are played again."""
        begun = [path for path in episode_files(self.data) if _round_of(path) >= number > 0]
        for path in begun:
            path.unlink()
        if begun:
            write_index(self.data)
            shutil.rmtree(self.folder / f"round-{number}", ignore_errors=True)

    def _correct(self, number: int) -> dict[str, Any]:
        """Play a round, with a person who may take over; returns what was done."""
        act, _, _ = load_actor(self.folder / f"round-{number - 1}")
        cfg = self.config(number)
        env = make_env(cfg.task)
        lengths = [e.steps_to_end for e in read_dataset(self.data)[: int(self.settings["demos"])]]
        after = max(1, round(self.settings["take_over_after"] * float(np.mean(lengths))))
        env.time_limit = after + round(PATIENCE * max(lengths))
        person = Person(env, after, 0, self.seed * 1000 + number)
        provenance = {
            "device": "policy and scripted expert", "operator": "script", "task": env.contract.task, "round": number,
            recording.KEY: env.recording, **made_with(),
        }  # fmt: skip
        episodes = int(self.settings["episodes"])
        first = ROUND_SEED + 10_000 * self.seed + episodes * (number - 1)
        steps = 0
        with (
            Recorder(self.data, env.contract, provenance, append=True) as recorder,
            tqdm(range(first, first + episodes), desc=f"round {number}: corrections", unit="episode") as bar,
        ):
            for seed in bar:
                steps += play(env, act, person, recorder, seed)
                bar.set_postfix_str(f"{person.taken} take-overs", refresh=False)
        env.close()
        return {"take_overs": person.taken, "person_steps": person.steps, "steps": steps}

    def _judge(self, number: int, folder: Path, about: dict[str, Any]) -> None:
        act, contract, _ = load_actor(folder)
        env = make_env(self.config(number).task)
        scenes = range(EVAL_SEED, EVAL_SEED + int(self.settings["scenes"]))
        found = evaluate(env, act, scenes, title=f"round {number}: test scenes")
        env.close()
        hz = contract.rate_hz * 60
        before = self.rounds[-1] if self.rounds else {"take_overs": 0, "person_minutes": 0.0, "robot_minutes": 0.0}
        made = Round(
            number,
            self._examples(),
            before["take_overs"] + about["take_overs"],
            round(before["person_minutes"] + about["person_steps"] / hz, 3),
            round(before["robot_minutes"] + about["steps"] / hz, 3),
            found.once.to_dict(),
            found.end.to_dict(),
        )
        self.rounds.append(asdict(made))
        print(f"round {number}: success {found.once}, after {made.take_overs} take-overs")
        self.write()

    def _examples(self) -> int:
        from policies.data.replay import examples

        return int(sum(examples(episode).sum() for episode in read_dataset(self.data)))

    def write(self) -> None:
        write_json(
            self.folder / "dagger.json",
            {
                "seed": self.seed,
                "demos": str(self.demos.resolve()),
                "options": self.options,
                "settings": self.settings,
                "rounds": self.rounds,
                **made_with(),
            },
        )
        write_text(self.folder / "dagger.md", table(self.rounds))
        figure, axes = axes_of()
        draw(self.rounds, axes)
        figure.savefig(self.folder / "dagger.png", dpi=140)


def play(env: Any, act: ActionOf, person: Person, recorder: Recorder, seed: int) -> int:
    """One episode; it is kept if the person took over, and got there. Returns its control steps."""
    observation, _ = env.reset(seed=seed)
    if hasattr(act, "reset"):
        act.reset()
    about: dict[str, Any] = {"seed": seed}  # the recorder reads it when the episode ends
    recorder.start(observation, 0, about)
    period_ns, step, since, over, success = round(1e9 / env.contract.rate_hz), 0, None, False, False
    while not over:
        correction = person.acts(step)
        if correction is not None and since is None:
            since = step
        action = act(observation) if correction is None else correction
        observation, reward, terminated, truncated, info = env.step(action)
        step += 1
        who = acting.POLICY if correction is None else acting.PERSON
        recorder.add(action, reward, terminated, observation, step * period_ns, who)
        over, success = terminated or truncated, bool(info["success"])
    if since is None or not success:
        recorder.discard()
    else:
        about["interventions"] = [[since, step - 1]]
        recorder.end(success=True)
    return step


def _round_of(path: Path) -> int:
    from robot.dataset.episodes import read_header

    return int(read_header(path).provenance.get("round", 0))


def table(rounds: list[dict[str, Any]]) -> str:
    """Markdown: a row a round."""
    head = "| round | success | at the end | take-overs | person's minutes | robot minutes | cloned steps |"
    lines = [head, "|" + " --- |" * 7]
    for r in rounds:
        lines.append(
            f"| {r['round']} | {_words(r['success'])} | {_words(r['at_end'])} | {r['take_overs']} | "
            f"{r['person_minutes']:.1f} | {r['robot_minutes']:.1f} | {r['examples']} |"
        )
    return "\n".join(lines) + "\n"


def _words(found: dict[str, Any]) -> str:
    return f"{found['success']:.2f} [{found['low']:.2f}, {found['high']:.2f}] of {found['n']}"


def draw(rounds: list[dict[str, Any]], axes: Any) -> None:
    """Success, with its 95 % interval, against take-overs."""
    x = [r["take_overs"] for r in rounds]
    found = [r["success"] for r in rounds]
    y = [f["success"] for f in found]
    below, above = [f["success"] - f["low"] for f in found], [f["high"] - f["success"] for f in found]
    axes.errorbar(x, y, yerr=[below, above], fmt="o-", color=BLUE, capsize=3)
    axes.set(xlabel="take-overs so far", ylabel="success on test scenes", ylim=(0, 1.02))


def main(argv: list[str]) -> int:
    if wants_help(argv, HELP):
        return 0
    mine, others = own_options(argv, OWN)
    demos, experiment, seed = Path(required(mine, "demos", HELP)), mine.get("experiment", "chunk_bc"), seed_of(mine)
    settings = {
        name: float(whole(mine, name, default, least))
        for name, default, least in (("rounds", 5, 0), ("episodes", 20, 1), ("scenes", 100, 1))
    }
    settings["demos"] = float(whole(mine, "recipe.demos", 10, 1))
    settings["take_over_after"] = _number(mine, "take_over_after", 1.0)
    options = [f"experiment={experiment}", *others]
    cfg = compose([*options, f"seed={seed}", f"demos={demos}"])
    name = f"runs/dagger-{experiment}-{cfg.task.name.replace('/', '-')}-seed{seed}"
    folder = Path(mine.get("run", name))
    with Claim(folder, "correcting"):
        study = Dagger(folder, demos, seed, options, settings)
        study.run()
    print(table(study.rounds) + f"\nin {folder}; next: pixelarm export {folder / f'round-{len(study.rounds) - 1}'}")
    return 0


def _number(given: dict[str, str], name: str, default: float) -> float:
    try:
        value = float(given.get(name, default))
    except ValueError:
        value = 0.0
    if not 0 < value < 100:
        raise PixelarmError(f"{name} must be a number above 0, got {given.get(name)!r}")
    return value
