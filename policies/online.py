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
from policies.config import TrainConfig
from policies.evaluate import VALIDATION_SEED, evaluate
from policies.logs import RunLog
from policies.provenance import git_commit, hardware, versions
from policies.replay import Replay, join, to_device
from policies.sac import SAC
from robot.episodes import Episode
from robot.errors import PixelarmError
from robot.stats import Rate
from sim.env import TaskEnv

STATE = "state.json"


class Run:
    """One training run in its folder."""

    def __init__(self, cfg: TrainConfig, fabric: Fabric, env: TaskEnv, demos: list[Episode], folder: Path) -> None:
        self.cfg, self.fabric, self.env, self.folder = cfg, fabric, env, folder
        check_recipe(cfg, demos)
        rank = fabric.global_rank
        self.rng = np.random.default_rng([cfg.seed, rank])
        self.agent = SAC(env.contract, cfg.algo, fabric, cfg.seed)
        own = cfg.recipe.replay_capacity if cfg.recipe.successes_join else 0
        self.demos = Replay(env.contract, capacity=sum(len(d) + 1 for d in demos[: cfg.recipe.demos]) + own)
        for demo in demos[: cfg.recipe.demos]:
            self.demos.add_episode(demo)
        self.online = Replay(env.contract, cfg.recipe.replay_capacity)
        self.agent.normalizer.fit(self.demos.all_proprio().to(fabric.device))
        self.step = self.updates = self.perfect = 0
        self.update_seconds = 0.0
        self.best = -1.0
        self.recent: list[bool] = []  # outcomes of the last 20 training episodes
        self.seconds = {"environment": 0.0, "updates": 0.0, "evaluation": 0.0}
        self.log = RunLog(folder, enabled=False)

    # -------------------------------------------------------------- the phases
    def pretrain(self) -> None:
        """Contrastive pre-training and cloning, as the recipe says; then the first online episode begins."""
        recipe, batch = self.cfg.recipe, self.cfg.recipe.batch_size
        if recipe.contrastive_updates:
            with _bar(recipe.contrastive_updates, "contrastive pre-training", "update", self.fabric) as bar:
                loss = pretrain.contrast(
                    self.agent,
                    self.demos,
                    recipe.contrastive_updates,
                    batch,
                    recipe.contrastive_rate,
                    self.rng,
                    _show(bar),
                )
            self.log.write(0, "pretrain", contrastive_loss=loss)
        if recipe.clone_updates:
            with _bar(recipe.clone_updates, "cloning warm start", "update", self.fabric) as bar:
                loss = pretrain.clone(self.agent, self.demos, recipe.clone_updates, batch, self.rng, _show(bar))
            self.log.write(0, "pretrain", cloning_loss=loss)
        self.agent.reset_targets()
        observation, _ = self.env.reset(seed=self.cfg.seed * 7919 + self.fabric.global_rank)
        self.online.start(observation)

    def learn(self) -> None:
        """Online learning from ``self.step`` to the recipe's last step, or until the validation seeds are all solved."""
        recipe, trainer = self.cfg.recipe, self.cfg.trainer
        with _bar(recipe.steps, "learning online", "step", self.fabric, initial=self.step) as bar:
            while self.step < recipe.steps:
                self._act()
                metrics = self._update()
                self.step += 1
                bar.update()
                if self.step % trainer.log_every == 0 and metrics:
                    self._report(metrics, bar)
                stop = self.step % trainer.eval_every == 0 and self._evaluate()
                if self.step % trainer.checkpoint_every == 0 or stop or self.step == recipe.steps:
                    self.save()
                if stop:
                    break

    def _act(self) -> None:
        """One environment step: uniform at first if the recipe says so, then sampled from the actor."""
        start = time.perf_counter()
        if self.step < self.cfg.recipe.random_steps:
            action = self.env.contract.clip_action(
                self.rng.uniform(self.env.action_space.low, self.env.action_space.high)
            )
        else:
            action = self.agent.act(self.online.last_observation, sample=True)[0]
        observation, reward, terminated, truncated, _ = self.env.step(action)
        self.online.add(action, float(reward), terminated, observation)
        if terminated or truncated:
            self.recent = [*self.recent[-19:], terminated]
            if terminated and self.cfg.recipe.successes_join:
                self.demos.copy_last_episode(self.online)
            observation, _ = self.env.reset()
            self.online.start(observation)
        self.seconds["environment"] += time.perf_counter() - start

    def _update(self) -> dict[str, float]:
        recipe = self.cfg.recipe
        from_demos = round(recipe.batch_size * recipe.demo_fraction)
        from_online = recipe.batch_size - from_demos
        if len(self.online) < min(64, from_online):
            return {}
        start = time.perf_counter()
        progress = min(1.0, self.step / max(1, recipe.bc_steps))
        bc_weight = recipe.bc_weight + (recipe.bc_weight_end - recipe.bc_weight) * progress
        metrics: dict[str, float] = {}
        for _ in range(recipe.updates_per_step):
            parts = [b.sample(n, self.rng) for b, n in ((self.demos, from_demos), (self.online, from_online)) if n]
            batch = to_device(parts[0] if len(parts) == 1 else join(*parts), self.agent.device)
            metrics = self.agent.update(batch, from_demos, bc_weight, improve_actor=self.step >= recipe.critic_warmup)
            self.updates += 1
        self.seconds["updates"] += time.perf_counter() - start
        return metrics | {"bc_weight": bc_weight}

    def _report(self, metrics: dict[str, float], bar: tqdm) -> None:
        success = float(np.mean(self.recent)) if self.recent else 0.0
        rate = self.updates_per_second
        self.log.write(self.step, "train", **metrics, train_success=success, updates_per_second=rate, **self.seconds)
        bar.set_postfix_str(f"train success {success:.2f}, critic {metrics['critic_loss']:.3f}")

    def _evaluate(self) -> bool:
        """Validation; keeps the best policy so far. True when it is time to stop early.

        Ties go to the later policy. Several devices agree on what rank 0 measured.
        """
        trainer = self.cfg.trainer
        start = time.perf_counter()
        result: Rate | None = None
        if self.fabric.is_global_zero and trainer.eval_episodes:
            seeds = range(VALIDATION_SEED, VALIDATION_SEED + trainer.eval_episodes)
            saved = self.env.state_dict()
            found = evaluate(self.env, GreedyPolicy(self.agent), seeds, hold_steps=0, quiet=True)
            self.env.load_state_dict(saved)
            result = found.once
            self.log.write(
                self.step, "eval", **result.to_dict(), steps=float(np.mean([o.steps for o in found.outcomes]))
            )
            tqdm.write(f"  step {self.step}: validation {result}")
            improving = self.step > self.cfg.recipe.critic_warmup  # before, the actor has only imitated
            self.perfect = self.perfect + 1 if result.successes == result.n and improving else 0
            if result.value >= self.best:
                self.best = result.value
                self.save_policy(validation=result)
        self.perfect = int(self.fabric.broadcast(self.perfect))
        self.seconds["evaluation"] += time.perf_counter() - start
        return bool(trainer.patience) and self.perfect >= trainer.patience

    @property
    def updates_per_second(self) -> float:
        return self.updates / self.seconds["updates"] if self.seconds["updates"] else 0.0

    # ------------------------------------------------------------------ on disk
    def save_policy(self, validation: Rate | None = None, name: str = "policy") -> None:
        """The policy as it is now, for ``pixelarm eval`` and ``export``."""
        if not self.fabric.is_global_zero:
            return
        about = {
            "step": self.step,
            "robot_minutes": self.step / self.env.contract.rate_hz / 60,
            "validation": validation.to_dict() if validation else None,
            "versions": versions(), "git": git_commit(), "hardware": hardware(),
        }  # fmt: skip
        checkpoint.save_policy(self.folder / name, self.agent.policy_state(), self.cfg, self.env.contract, about)

    def save(self) -> None:
        """A checkpoint to resume from."""

        def fill(folder: Path) -> None:
            checkpoint.save_tensors(folder / "agent.safetensors", self.agent.state_dict())
            environment = self.env.state_dict()
            checkpoint.save_tensors(
                folder / "environment.safetensors", {k: torch.from_numpy(v) for k, v in environment["world"].items()}
            )
            for name, memory in (("online", self.online), ("demos", self.demos)):
                (folder / name).mkdir()
                memory.save(folder / name)
            state = {
                "format": checkpoint.FORMAT, "step": self.step, "updates": self.updates, "perfect": self.perfect, "best": self.best,
                "recent": self.recent, "seconds": self.seconds, "rng": self.rng.bit_generator.state,
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
        self.env.reset(seed=0)
        self.env.load_state_dict({"world": world, **state["environment"]})
        self.rng.bit_generator.state = state["rng"]
        for name in ("step", "updates", "perfect", "best", "recent", "seconds"):
            setattr(self, name, state[name])
        return True


def check_recipe(cfg: TrainConfig, demos: list[Episode]) -> None:
    """Refuse, before the first step, a recipe whose parts do not fit together."""
    recipe = cfg.recipe
    problems = []
    if not 0.0 <= recipe.demo_fraction <= 1.0:
        problems.append(f"demo_fraction must be between 0 and 1, got {recipe.demo_fraction}")
    needs_demos = [n for n in ("contrastive_updates", "clone_updates") if getattr(recipe, n)]
    if (needs_demos or recipe.demo_fraction > 0 or recipe.bc_weight > 0) and recipe.demos < 1:
        problems.append(f"demos is 0, but {needs_demos or ['demo_fraction or bc_weight']} need demonstrations")
    if len(demos) < recipe.demos:
        problems.append(f"the recipe uses {recipe.demos} demonstrations, the dataset holds {len(demos)}")
    if recipe.contrastive_updates and recipe.batch_size < 2:
        problems.append("contrastive learning needs a batch of at least 2")
    if recipe.bc_weight > 0 and recipe.demo_fraction == 0:
        problems.append("bc_weight is on, but demo_fraction is 0: no demonstration row would ever be cloned")
    if cfg.trainer.eval_every < 1 or cfg.trainer.checkpoint_every < 1 or cfg.trainer.log_every < 1:
        problems.append("eval_every, checkpoint_every and log_every must be at least 1")
    if problems:
        raise PixelarmError("this recipe cannot run:\n  - " + "\n  - ".join(problems))


def _require_same_config(saved: dict[str, Any], mine: dict[str, Any], folder: Path) -> None:
    """A resumed run must be the same run; only how long it goes on and what it prints may change."""
    free = {
        "recipe.steps",
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
