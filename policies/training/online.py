"""Learning online: act, remember, update; evaluate, checkpoint and resume exactly.

Everything that decides the future is in ``Run.save``: networks, targets, optimisers, every random stream, the
environment in the middle of its episode, the replay memory and the counters. A run that is killed and resumed equals
one that was not; where acting is asynchronous, the clock decides too, and only the episode that was going on is begun
anew.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric import Fabric
from tqdm import tqdm

from policies.config import TrainConfig
from policies.data.batch import Batch, concatenate, join
from policies.data.replay import Lookup, Replay
from policies.data.vector_replay import VectorReplay
from policies.evaluation.evaluate import VALIDATION_SEED, evaluate
from policies.policy import family_of
from policies.registry import parse
from policies.rl import pretraining as pretrain
from policies.rollout.async_collector import Asynchronous
from policies.rollout.collectors import Collector, InTurn, Prior, Recorder, SideBySide
from policies.rollout.decisions import DecisionInTurn, as_it_learned, decides
from policies.rollout.person import Person
from policies.runs import checkpoint, snapshots
from policies.runs.metrics import RunLog
from policies.runs.provenance import made_with, versions
from policies.schedules import schedule
from policies.training.checks import require_same_config
from policies.training.settle import make_person
from robot.contract import Contract
from robot.dataset.episodes import Episode
from robot.errors import PixelarmError
from sim.envs.task_env import TaskEnv

STATE = "state.json"


class Run:
    """One training run in its folder.

    Args:
        prior: weights of another run's policy, for an agent with ``prior="run"``.
        skills: weights of pretrained skills, for an agent that decides on them.
    """

    def __init__(
        self,
        cfg: TrainConfig,
        fabric: Fabric,
        env: TaskEnv,
        demos: list[Episode],
        folder: Path,
        prior: dict[str, torch.Tensor] | None = None,
        skills: dict[str, torch.Tensor] | None = None,
    ) -> None:
        self.cfg, self.fabric, self.env, self.folder = cfg, fabric, env, folder
        recipe, contract = cfg.recipe, env.contract
        rank = fabric.global_rank
        self.rng = np.random.default_rng([cfg.seed, rank])
        # a PixelAgent, or Spirl
        self.agent: Any = family_of(cfg.algo).make_agent(contract, cfg.algo, fabric, cfg.seed, cfg.trainer.compile)
        if prior:
            self.agent.prior.load_state_dict(prior)
        if skills:
            self.agent.load_skills(skills)
        contract = self.agent.contract
        lookup = self.agent.lookup(recipe.pretrain if recipe.pretrain_updates else [])
        joins = recipe.successes_join and recipe.demo_fraction > 0 and not recipe.success_fraction
        grows = joins or recipe.take_over_after
        frames = sum(len(d) + 1 for d in demos[: recipe.demos]) + (recipe.replay_capacity if grows else 0)
        self.demos = Replay(contract, max(1, frames), lookup)
        self.successes = Replay(contract, recipe.replay_capacity, lookup) if recipe.success_fraction else None
        for demo in demos[: recipe.demos]:
            self.demos.add_episode(demo)
            self.agent.observe(demo.rewards)
        self.online = make_memory(cfg, contract, lookup, rank)
        if recipe.demos_share_replay:
            for demo in demos[: recipe.demos]:
                self.online.add_episode(demo)
        self.total_steps = -(-recipe.frames // env.action_repeat) if recipe.frames else recipe.steps
        keep = self.successes if recipe.success_fraction else self.demos if joins else None
        person = make_person(cfg, env, demos[: recipe.demos])
        self.collector = make_collector(
            cfg, env, contract, self.online, keep, self.agent.proposes, person, self.demos if person else None,
            decides(self.agent.policy),
        )  # fmt: skip
        if len(self.demos):
            self._fit_normalizer(self.demos)
        self.step = self.updates = self.perfect = 0
        self.owed = 0.0  # updates that the update-to-data ratio asks for and that were not made yet
        self.best = -np.inf
        self.recent: list[list[float]] = []  # (success, return) of the last 20 training episodes
        self.seconds = {"environment": 0.0, "updates": 0.0, "evaluation": 0.0}
        self.log = RunLog(folder, enabled=False)

    # -------------------------------------------------------------- the phases
    def pretrain(self) -> None:
        """Auxiliary losses on the demonstrations and cloning, as the recipe says;
        then the first online episode begins.
        """
        recipe, batch = self.cfg.recipe, self.cfg.recipe.batch_size
        if recipe.pretrain_updates and recipe.pretrain:
            names = ", ".join(name for name, _ in parse(recipe.pretrain, "recipe.pretrain"))
            with _bar(recipe.pretrain_updates, f"pre-training: {names}", "update", self.fabric) as bar:
                loss = pretrain.train_auxiliary(
                    self.agent, self.demos, recipe.pretrain, recipe.pretrain_updates, batch, self.rng, _show(bar)
                )
            self.log.write(0, "pretrain", auxiliary_loss=loss)
        if recipe.clone_updates:
            with _bar(recipe.clone_updates, "cloning warm start", "update", self.fabric) as bar:
                loss = pretrain.clone(self.agent, self.demos, recipe.clone_updates, batch, self.rng, _show(bar))
            self.log.write(0, "pretrain", cloning_loss=loss)
        self.agent.reset_targets()
        if self.agent.proposes is not None:
            self.demos.propose_all(self.agent.proposes)
            self.online.propose_all(self.agent.proposes)
        self.collector.begin(self.cfg.seed * 7919 + self.fabric.global_rank)

    def learn(self) -> None:
        """Online learning from ``self.step`` to the recipe's last step,
        or until the validation seeds are all solved.
        """
        trainer = self.cfg.trainer
        metrics: dict[str, Any] = {}
        with _bar(self.total_steps, "learning online", "step", self.fabric, initial=self.step) as bar:
            while self.step < self.total_steps:
                before = self.step
                self._act()
                if before < self.cfg.recipe.learning_starts <= self.step:
                    metrics |= self._give_head_start(before)
                metrics |= self._update(before)
                bar.update(min(self.step, self.total_steps) - bar.n)
                if _crossed(trainer.log_every, before, self.step) and metrics:
                    self._report(metrics, bar)
                stop = _crossed(trainer.eval_every, before, self.step) and self._evaluate()
                if self.fabric.is_global_zero and (stop or snapshots.due(before, self.step, self.total_steps)):
                    snapshots.keep(self.folder, self.step, self.agent.networks())
                if _crossed(trainer.checkpoint_every, before, self.step) or stop or self.step >= self.total_steps:
                    self.save()
                if stop:
                    break

    def _fit_normalizer(self, memory: Replay | VectorReplay) -> None:
        """From what rank 0 has seen, for every device: they share weights, so they must share what the weights read."""
        normalizer = self.agent.normalizer
        normalizer.fit(memory.all_proprio().to(self.fabric.device))
        for statistic in (normalizer.mean, normalizer.std):
            statistic.copy_(self.fabric.broadcast(statistic))

    def _act(self) -> None:
        """Experience: uniform actions at first if the recipe says so, then sampled from the actor."""
        start, before, until = time.perf_counter(), self.step, self.cfg.recipe.random_steps
        collected = self.collector.collect(self.agent, self.rng if before < until else None, busy=self.owed >= 1.0)
        self.step += collected.steps * self.fabric.world_size  # every device's environments are stepped
        self.recent = [*self.recent, *([float(f.success), f.total] for f in collected.finished)][-20:]
        for episode in collected.finished:
            self.agent.observe(episode.rewards)
        if before < until <= self.step and not len(self.demos) and self.agent.measures:
            self._fit_normalizer(self.online)
        self.seconds["environment"] += time.perf_counter() - start

    def _give_head_start(self, before: int) -> dict[str, Any]:
        """Updates of the critics alone, before the actor follows them; the last one's numbers."""
        count, metrics = self.cfg.recipe.head_start, {}
        start = time.perf_counter()
        with _bar(count, "critics' head start", "update", self.fabric) as bar:
            for _ in range(count):
                batch = self._batch().to(self.agent.device)
                metrics = self.agent.update(batch, schedule(self.cfg.recipe.bc_weight, before), improve_actor=False)
                bar.update()
        self.updates += count
        self.seconds["updates"] += time.perf_counter() - start
        return metrics

    def _update(self, before: int) -> dict[str, Any]:
        """The updates that the environment steps since ``before`` ask for; the last one's numbers."""
        recipe = self.cfg.recipe
        start = time.perf_counter()
        bc_weight = schedule(recipe.bc_weight, before)
        metrics: dict[str, Any] = {}
        self.owed += recipe.updates_per_step * max(0, self.step - max(before, recipe.learning_starts - 1))
        while self.owed >= 1.0:
            batch = self._batch().to(self.agent.device)
            metrics |= self.agent.update(batch, bc_weight, improve_actor=before >= recipe.critic_warmup)
            self.updates += 1
            self.owed -= 1.0
            if not self.collector.waits:
                break  # to fetch what came meanwhile
        if self.agent.device.type == "cuda":
            torch.cuda.synchronize(self.agent.device)  # acting would wait for the updates, and be charged for them
        self.seconds["updates"] += time.perf_counter() - start
        return {**metrics, "bc_weight": bc_weight} if metrics and bc_weight else metrics

    def _batch(self) -> Batch:
        """A batch in the recipe's mix: demonstrations first, as far as there are any."""
        recipe = self.cfg.recipe
        left, examples = recipe.batch_size, []
        for memory, share in ((self.demos, recipe.demo_fraction), (self.successes, recipe.success_fraction)):
            rows = round(recipe.batch_size * share) if memory is not None and len(memory) else 0
            if memory is not None and rows:
                examples.append(memory.sample(rows, self.rng))
                left -= rows
        if not examples:
            return self.online.sample(left, self.rng).without_examples()
        return join(examples, self.online.sample(left, self.rng)) if left else concatenate(examples)

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
            **self.collector.numbers(),
            **self.agent.numbers(),
            **{f"seconds_{what}": spent for what, spent in self.seconds.items()},
        )
        how = f"success {success:.2f}" if self.env.metric == "success" else f"{self.env.metric} {total:.1f}"
        bar.set_postfix_str(f"train {how}, critic {numbers['critic_loss']:.3f}", refresh=False)

    def _evaluate(self) -> bool:
        """Validation; keeps the best policy so far. True when it is time to stop early.

        Ties go to the later policy. Several devices agree on what rank 0 measured.
        """
        trainer = self.cfg.trainer
        start = time.perf_counter()
        if self.fabric.is_global_zero and trainer.eval_episodes:
            seeds = range(VALIDATION_SEED, VALIDATION_SEED + trainer.eval_episodes)
            limit = self.env.time_limit if self.env.metric == "completed" else 0  # 0: the task's own
            with self.collector.undisturbed():
                actor = as_it_learned(self.agent.policy)
                found = evaluate(self.env, actor, seeds, after_steps=0, quiet=True, limit=limit)
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
    def save_policy(self, validation: dict[str, Any] | None = None, name: str = "policy", cloned: bool = False) -> None:
        """The policy as it is now, for ``pixelarm eval`` and ``export``; ``cloned``: what cloning alone gave."""
        if not self.fabric.is_global_zero:
            return
        about = {
            "step": self.step,
            "frames": self.step * self.env.action_repeat,
            "robot_minutes": self.step / self.env.contract.rate_hz / 60,
            "validation": validation,
            **made_with(),
        }
        policy, algo = self.agent.cloned if cloned else (self.agent.policy, self.cfg.algo)
        cfg = replace(self.cfg, algo=algo)
        checkpoint.save_policy(self.folder / name, policy.state_dict(), cfg, self.agent.contract, about)

    def save(self) -> None:
        """A checkpoint to resume from."""

        def fill(folder: Path) -> None:
            checkpoint.save_tensors(folder / "agent.safetensors", self.agent.state_dict())
            environment = self.collector.state_dict()
            checkpoint.save_tensors(
                folder / "environment.safetensors", {k: torch.from_numpy(v) for k, v in environment["world"].items()}
            )
            for name, memory in self._memories().items():
                (folder / name).mkdir()
                memory.save(folder / name)
            state = {
                "format": checkpoint.FORMAT, "step": self.step, "updates": self.updates, "perfect": self.perfect,
                "owed": self.owed, "best": self.best if np.isfinite(self.best) else None, "recent": self.recent,
                "seconds": self.seconds, "rng": self.rng.bit_generator.state,
                "environment": {key: value for key, value in environment.items() if key != "world"},
                "contract": self.agent.contract.to_dict(), "config": asdict(self.cfg), "versions": versions(),
            }  # fmt: skip
            (folder / STATE).write_text(json.dumps(state))

        checkpoint.write(self._checkpoints, self.step, fill)
        self.fabric.barrier()

    def _memories(self) -> dict[str, Replay | VectorReplay]:
        more = {"successes": self.successes} if self.successes is not None else {}
        return {"online": self.online, "demos": self.demos, **more}

    @property
    def _checkpoints(self) -> Path:
        return self.folder / "checkpoints" / f"rank{self.fabric.global_rank}"

    def resume(self) -> bool:
        """Continue from the newest checkpoint that all devices have, if there is one."""
        folder = self._newest_of_all()
        if folder is None:
            return False
        with checkpoint.reading(folder, "remove it, and resume=true goes on from the checkpoint before"):
            self._load(folder)
        return True

    def _load(self, folder: Path) -> None:
        state = checkpoint.read_json(folder / STATE)
        require_same_config(state["config"], asdict(self.cfg), folder)
        self.agent.load_state_dict(checkpoint.load_tensors(folder / "agent.safetensors"))
        for name, memory in self._memories().items():
            memory.load(folder / name)
        world = {k: v.numpy() for k, v in checkpoint.load_tensors(folder / "environment.safetensors").items()}
        self.collector.load_state_dict({"world": world, **state["environment"]})
        self.rng.bit_generator.state = state["rng"]
        for name in ("step", "updates", "perfect", "owed", "recent", "seconds"):
            setattr(self, name, state[name])
        self.best = -np.inf if state["best"] is None else state["best"]

    def _newest_of_all(self) -> Path | None:
        """This device's folder of the newest step that every device has saved.

        A crash between their writes leaves some a checkpoint ahead; the one before is still there.
        """
        mine = set(checkpoint.steps(self._checkpoints))
        newest = torch.tensor(max(mine, default=-1), device=self.fabric.device)
        step = int(self.fabric.all_reduce(newest, reduce_op="min"))
        if step < 0:
            return None
        if step not in mine:
            raise PixelarmError(
                f"the newest checkpoint of one device is of step {step}, which {self._checkpoints} no longer holds "
                f"(it has {sorted(mine)}): this run cannot be resumed"
            )
        return checkpoint.folder_of(self._checkpoints, step)


def make_memory(cfg: TrainConfig, contract: Contract, lookup: Lookup, rank: int) -> Replay | VectorReplay:
    """The memory of online experience: a lane for each actor where there are several."""
    recipe, actors = cfg.recipe, cfg.trainer.num_envs
    place = Path(recipe.replay_folder) / f"rank{rank}" if recipe.replay_folder else None
    if actors == 1:
        return Replay(contract, recipe.replay_capacity, lookup, place, reuse=cfg.resume)
    return VectorReplay(contract, recipe.replay_capacity, actors, lookup, place, reuse=cfg.resume)


def make_collector(
    cfg: TrainConfig,
    env: TaskEnv,
    contract: Contract,
    memory: Replay | VectorReplay,
    successes: Replay | None,
    prior: Prior | None = None,
    person: Person | None = None,
    corrections: Replay | None = None,
    decisions: bool = False,
) -> Collector:
    """Who gathers the experience that ``memory`` keeps; ``successes``: a memory for own successful episodes beside it;
    ``prior`` and ``corrections``: as of ``Recorder``; ``person``: who may take over; ``decisions``: the policy's last.
    """
    lanes = memory.lanes if isinstance(memory, VectorReplay) else [memory]
    recorders = [Recorder(lane, successes, cfg.algo.time_limit, prior, corrections) for lane in lanes]
    if cfg.trainer.asynchronous:
        return Asynchronous(cfg, contract, recorders[0])
    if decisions:
        return DecisionInTurn(env, recorders[0])
    return InTurn(env, recorders[0], person) if len(recorders) == 1 else SideBySide(cfg.task, env, recorders)


def _crossed(every: int, before: int, now: int) -> bool:
    """Whether a multiple of ``every`` lies in (before, now]."""
    return now // every > before // every


def _bar(total: int, title: str, unit: str, fabric: Fabric, initial: int = 0) -> tqdm:
    return tqdm(total=total, initial=initial, desc=title, unit=unit, disable=not fabric.is_global_zero)


def _show(bar: tqdm) -> pretrain.Progress:
    def show(done: int, loss: float) -> None:
        bar.update(done - bar.n)
        if done % 20 == 0:
            bar.set_postfix_str(f"loss {loss:.3f}", refresh=False)

    return show
