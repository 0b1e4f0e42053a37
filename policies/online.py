"""Learning online: act, remember, update; evaluate, checkpoint and resume exactly.

Everything that decides the future is in ``Run.save``: networks, targets, optimisers, every random stream, the environment in
the middle of its episode, the replay memory and the counters. A run that is killed and resumed equals one that was not.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric import Fabric
from tqdm import tqdm

from policies import checkpoint, pretrain
from policies.acting import GreedyPolicy
from policies.agent import Agent
from policies.collectors import Finished, InTurn
from policies.config import TrainConfig
from policies.evaluate import VALIDATION_SEED, evaluate
from policies.logs import RunLog
from policies.objectives import make_objectives
from policies.provenance import git_commit, hardware, versions
from policies.replay import Batch, Lookup, Replay, join, to_device
from robot.episodes import Episode
from robot.errors import PixelarmError
from sim.env import TaskEnv

STATE = "state.json"


class Run:
    """One training run in its folder."""

    def __init__(self, cfg: TrainConfig, fabric: Fabric, env: TaskEnv, demos: list[Episode], folder: Path) -> None:
        self.cfg, self.fabric, self.env, self.folder = cfg, fabric, env, folder
        check_recipe(cfg, demos)
        recipe, contract = cfg.recipe, env.contract
        rank = fabric.global_rank
        self.rng = np.random.default_rng([cfg.seed, rank])
        self.agent = Agent(contract, cfg.algo, fabric, cfg.seed)
        lookup = make_lookup(cfg, self.agent)
        joins = recipe.successes_join and recipe.demo_fraction > 0
        frames = sum(len(d) + 1 for d in demos[: recipe.demos]) + (recipe.replay_capacity if joins else 0)
        self.demos = Replay(contract, max(1, frames), lookup)
        for demo in demos[: recipe.demos]:
            self.demos.add_episode(demo)
        place = Path(recipe.replay_folder) / f"rank{rank}" if recipe.replay_folder else None
        self.online = Replay(contract, recipe.replay_capacity, lookup, place)
        if recipe.demos_share_replay:
            for demo in demos[: recipe.demos]:
                self.online.add_episode(demo)
        self.total_steps = -(-recipe.frames // env.action_repeat) if recipe.frames else recipe.steps
        self.collector = InTurn(env, self.online, self.demos if joins else None, cfg.algo.critic.time_limit)
        if len(self.demos):
            self.agent.normalizer.fit(self.demos.all_proprio().to(fabric.device))
        self.step = self.updates = self.perfect = 0
        self.owed = 0.0  # updates that the update-to-data ratio asks for and that were not made yet
        self.best = -np.inf
        self.recent: list[list[float]] = []  # (success, return) of the last 20 training episodes
        self.seconds = {"environment": 0.0, "updates": 0.0, "evaluation": 0.0}
        self.log = RunLog(folder, enabled=False)

    # -------------------------------------------------------------- the phases
    def pretrain(self) -> None:
        """Objectives on the demonstrations and cloning, as the recipe says; then the first online episode begins."""
        recipe, batch = self.cfg.recipe, self.cfg.recipe.batch_size
        if recipe.pretrain_updates and recipe.pretrain:
            names = ", ".join(make_objectives(recipe.pretrain, self.agent, 0))
            with _bar(recipe.pretrain_updates, f"pre-training: {names}", "update", self.fabric) as bar:
                loss = pretrain.train_objectives(
                    self.agent, self.demos, recipe.pretrain, recipe.pretrain_updates, batch, self.rng, _show(bar)
                )
            self.log.write(0, "pretrain", objective_loss=loss)
        if recipe.clone_updates:
            with _bar(recipe.clone_updates, "cloning warm start", "update", self.fabric) as bar:
                loss = pretrain.clone(self.agent, self.demos, recipe.clone_updates, batch, self.rng, _show(bar))
            self.log.write(0, "pretrain", cloning_loss=loss)
        self.agent.reset_targets()
        self.collector.begin(self.cfg.seed * 7919 + self.fabric.global_rank)

    def learn(self) -> None:
        """Online learning from ``self.step`` to the recipe's last step, or until the validation seeds are all solved."""
        trainer = self.cfg.trainer
        with _bar(self.total_steps, "learning online", "step", self.fabric, initial=self.step) as bar:
            while self.step < self.total_steps:
                self._act()
                metrics = self._update()
                self.step += 1
                bar.update()
                if self.step % trainer.log_every == 0 and metrics:
                    self._report(metrics, bar)
                stop = self.step % trainer.eval_every == 0 and self._evaluate()
                if self.step % trainer.checkpoint_every == 0 or stop or self.step == self.total_steps:
                    self.save()
                if stop:
                    break

    def _act(self) -> None:
        """One environment step: uniform at first if the recipe says so, then sampled from the actor."""
        start = time.perf_counter()
        random = self.rng if self.step < self.cfg.recipe.random_steps else None
        self._remember(self.collector.collect(self.agent, random))
        if random is not None and self.step + 1 == self.cfg.recipe.random_steps and not len(self.demos):
            self.agent.normalizer.fit(self.online.all_proprio().to(self.fabric.device))
        self.seconds["environment"] += time.perf_counter() - start

    def _remember(self, finished: list[Finished]) -> None:
        self.recent = [*self.recent, *([float(f.success), f.total] for f in finished)][-20:]

    def _update(self) -> dict[str, Any]:
        """The updates that this environment step asks for; the last one's numbers."""
        recipe = self.cfg.recipe
        if self.step + 1 < recipe.learning_starts:
            return {}
        start = time.perf_counter()
        progress = min(1.0, self.step / max(1, recipe.bc_steps))
        bc_weight = recipe.bc_weight + (recipe.bc_weight_end - recipe.bc_weight) * progress
        metrics: dict[str, Any] = {}
        self.owed += recipe.updates_per_step
        while self.owed >= 1.0:
            batch = to_device(self._batch(), self.agent.device)
            metrics = self.agent.update(batch, bc_weight, improve_actor=self.step >= recipe.critic_warmup)
            metrics["bc_weight"] = bc_weight
            self.updates += 1
            self.owed -= 1.0
        self.seconds["updates"] += time.perf_counter() - start
        return metrics

    def _batch(self) -> Batch:
        """A batch in the recipe's mix: demonstrations first, as far as there are any."""
        size = self.cfg.recipe.batch_size
        from_demos = round(size * self.cfg.recipe.demo_fraction) if len(self.demos) else 0
        if from_demos == 0:
            return self.online.sample(size, self.rng)
        demos = self.demos.sample(from_demos, self.rng)
        if from_demos == size:
            return {**demos, "demo_rows": size}
        return join(demos, self.online.sample(size - from_demos, self.rng))

    def _report(self, metrics: dict[str, Any], bar: tqdm) -> None:
        success, total = np.mean(self.recent, axis=0).tolist() if self.recent else (0.0, 0.0)
        numbers = {name: float(value) for name, value in metrics.items()}
        self.log.write(
            self.step,
            "train",
            **numbers,
            train_success=success,
            train_return=total,
            updates_per_second=self.updates_per_second,
            updates_per_step=self.updates / self.step,
            **self.seconds,
        )
        how = f"success {success:.2f}" if self.env.metric == "success" else f"return {total:.0f}"
        bar.set_postfix_str(f"train {how}, critic {numbers['critic_loss']:.3f}")

    def _evaluate(self) -> bool:
        """Validation; keeps the best policy so far. True when it is time to stop early.

        Ties go to the later policy. Several devices agree on what rank 0 measured.
        """
        trainer = self.cfg.trainer
        start = time.perf_counter()
        if self.fabric.is_global_zero and trainer.eval_episodes:
            seeds = range(VALIDATION_SEED, VALIDATION_SEED + trainer.eval_episodes)
            saved = self.env.state_dict()
            found = evaluate(self.env, GreedyPolicy(self.agent), seeds, hold_steps=0, quiet=True)
            self.env.load_state_dict(saved)
            record = found.record(self.env.metric)
            self.log.write(self.step, "eval", **record)
            tqdm.write(f"  step {self.step}: validation {found.words(self.env.metric)}")
            improving = self.step > self.cfg.recipe.critic_warmup  # before, the actor has only imitated
            perfect = self.env.metric == "success" and found.once.successes == found.once.n
            self.perfect = self.perfect + 1 if perfect and improving else 0
            if record[self.env.metric] >= self.best:
                self.best = record[self.env.metric]
                self.save_policy(validation=record)
        self.perfect = int(self.fabric.broadcast(self.perfect))
        self.seconds["evaluation"] += time.perf_counter() - start
        return bool(trainer.patience) and self.perfect >= trainer.patience

    @property
    def updates_per_second(self) -> float:
        return self.updates / self.seconds["updates"] if self.seconds["updates"] else 0.0

    # ------------------------------------------------------------------ on disk
    def save_policy(self, validation: dict[str, Any] | None = None, name: str = "policy") -> None:
        """The policy as it is now, for ``pixelarm eval`` and ``export``."""
        if not self.fabric.is_global_zero:
            return
        about = {
            "step": self.step,
            "frames": self.step * self.env.action_repeat,
            "robot_minutes": self.step / self.env.contract.rate_hz / 60,
            "validation": validation,
            "versions": versions(), "git": git_commit(), "hardware": hardware(),
        }  # fmt: skip
        checkpoint.save_policy(self.folder / name, self.agent.policy_state(), self.cfg, self.env.contract, about)

    def save(self) -> None:
        """A checkpoint to resume from."""

        def fill(folder: Path) -> None:
            checkpoint.save_tensors(folder / "agent.safetensors", self.agent.state_dict())
            environment = self.collector.state_dict()
            checkpoint.save_tensors(
                folder / "environment.safetensors", {k: torch.from_numpy(v) for k, v in environment["world"].items()}
            )
            for name, memory in (("online", self.online), ("demos", self.demos)):
                (folder / name).mkdir()
                memory.save(folder / name)
            state = {
                "format": checkpoint.FORMAT, "step": self.step, "updates": self.updates, "perfect": self.perfect,
                "owed": self.owed, "best": self.best if np.isfinite(self.best) else None, "recent": self.recent, "seconds": self.seconds, "rng": self.rng.bit_generator.state,
                "environment": {key: value for key, value in environment.items() if key != "world"},
                "contract": self.env.contract.to_dict(), "config": asdict(self.cfg), "versions": versions(),
            }  # fmt: skip
            (folder / STATE).write_text(json.dumps(state))

        checkpoint.write(self._checkpoints, self.step, fill)
        self.fabric.barrier()

    @property
    def _checkpoints(self) -> Path:
        return self.folder / "checkpoints" / f"rank{self.fabric.global_rank}"

    def resume(self) -> bool:
        """Continue from the newest checkpoint, if there is one."""
        folder = checkpoint.newest(self._checkpoints)
        if folder is None:
            return False
        state = checkpoint.read_json(folder / STATE)
        _require_same_config(state["config"], asdict(self.cfg), folder)
        self.agent.load_state_dict(checkpoint.load_tensors(folder / "agent.safetensors"))
        self.online.load(folder / "online")
        self.demos.load(folder / "demos")
        world = {k: v.numpy() for k, v in checkpoint.load_tensors(folder / "environment.safetensors").items()}
        self.collector.load_state_dict({"world": world, **state["environment"]})
        self.rng.bit_generator.state = state["rng"]
        for name in ("step", "updates", "perfect", "owed", "recent", "seconds"):
            setattr(self, name, state[name])
        self.best = -np.inf if state["best"] is None else state["best"]
        return True


def make_lookup(cfg: TrainConfig, agent: Agent) -> Lookup:
    """What this agent and recipe need of each transition."""
    terms = {**agent.objectives, **(make_objectives(cfg.recipe.pretrain, agent, 0) if cfg.recipe.pretrain_updates else {})}
    ahead = {term.ahead for term in terms.values() if term.ahead}
    if len(ahead) > 1:
        raise PixelarmError(f"objectives that look ahead must look equally far, got {sorted(ahead)} control steps")
    return Lookup(cfg.algo.critic.discount, cfg.algo.critic.n_step, agent.critics.sequence, max(ahead, default=0))


def check_recipe(cfg: TrainConfig, demos: list[Episode]) -> None:
    """Refuse, before the first step, a recipe whose parts do not fit together."""
    recipe = cfg.recipe
    problems = []
    if not 0.0 <= recipe.demo_fraction <= 1.0:
        problems.append(f"demo_fraction must be between 0 and 1, got {recipe.demo_fraction}")
    if recipe.updates_per_step <= 0:
        problems.append(f"updates_per_step must be positive, got {recipe.updates_per_step}")
    needs_demos = [n for n in ("pretrain_updates", "clone_updates") if getattr(recipe, n)]
    if (needs_demos or recipe.bc_weight > 0) and recipe.demos < 1:
        problems.append(f"demos is 0, but {', '.join(needs_demos) or 'bc_weight'} need demonstrations")
    if len(demos) < recipe.demos:
        problems.append(f"the recipe uses {recipe.demos} demonstrations, the dataset holds {len(demos)}")
    if (cfg.algo.objectives or (recipe.pretrain and recipe.pretrain_updates)) and recipe.batch_size < 2:
        problems.append("objectives compare the rows of a batch: contrastive learning needs a batch of at least 2")
    if recipe.bc_weight > 0 and recipe.demo_fraction == 0:
        problems.append("bc_weight is on, but demo_fraction is 0: no demonstration row would ever be cloned")
    if (recipe.steps or recipe.frames) and recipe.demos == 0 and recipe.random_steps == 0:
        problems.append("without demonstrations the first steps must explore: set random_steps")
    if recipe.demos_share_replay and recipe.demo_fraction > 0:
        problems.append("demos_share_replay puts demonstrations among all other rows: demo_fraction must be 0")
    if recipe.learning_starts < 1:
        problems.append(f"learning_starts must be at least 1, got {recipe.learning_starts}")
    if cfg.trainer.eval_every < 1 or cfg.trainer.checkpoint_every < 1 or cfg.trainer.log_every < 1:
        problems.append("eval_every, checkpoint_every and log_every must be at least 1")
    if problems:
        raise PixelarmError("this recipe cannot run:\n  - " + "\n  - ".join(problems))


def _require_same_config(saved: dict[str, Any], mine: dict[str, Any], folder: Path) -> None:
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

    def flat(data: dict[str, Any], prefix: str = "") -> dict[str, Any]:
        out: dict[str, Any] = {}
        for key, value in data.items():
            out.update(flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value})
        return out

    before, now = flat(saved), json.loads(json.dumps(flat(mine)))
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


def _bar(total: int, title: str, unit: str, fabric: Fabric, initial: int = 0) -> tqdm:
    return tqdm(total=total, initial=initial, desc=title, unit=unit, disable=not fabric.is_global_zero)


def _show(bar: tqdm) -> pretrain.Progress:
    def show(done: int, loss: float) -> None:
        bar.update(done - bar.n)
        if done % 20 == 0:
            bar.set_postfix_str(f"loss {loss:.3f}")

    return show
