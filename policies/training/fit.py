"""Fitting a policy to demonstrations, on Lightning's Trainer: families without an online agent.

Steps of such a run are updates. A run that is killed and resumed equals one that was not, on a CPU to the bit: what an
update draws follows from its number (``policies/imitation/optimise.py``), and the rest is in the checkpoints.
"""

from __future__ import annotations

import copy
import logging
import shutil
import signal
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lightning
import numpy as np
from lightning.fabric import Fabric
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins.environments import LightningEnvironment
from lightning.pytorch.strategies import DDPStrategy
from omegaconf import OmegaConf
from torch.utils.data import Dataset
from tqdm import tqdm

from policies.config import TrainConfig
from policies.data.batch import Batch
from policies.data.resumable import ResumableLoader
from policies.data.windows import Draws, Windows
from policies.evaluation.evaluate import VALIDATION_SEED, evaluate
from policies.imitation.config import optimiser_options
from policies.imitation.optimise import Fit
from policies.policy import family_of
from policies.rollout.acting import GreedyPolicy
from policies.runs import checkpoint
from policies.runs.checkpoint_io import FolderCheckpoints, RandomStreams
from policies.runs.metrics import RunLog
from policies.runs.provenance import made_with
from policies.skills.store import data_of, load_skills, read_skills
from policies.training.checks import require_same_config
from robot.contract import Contract
from robot.dataset.episodes import Episode, read_dataset, read_headers
from robot.dataset.several import datasets_in, for_task, take_turns
from robot.errors import PixelarmError
from robot.files import write_text
from sim.envs.task_env import TaskEnv
from sim.kitchen.states import has_states, read_states


def fit(cfg: TrainConfig, fabric: Fabric, env: TaskEnv, demos: list[Episode], folder: Path) -> None:
    """Fit the configured family's policy to demonstrations for ``recipe.fit_updates`` updates, and save in the run's
    folder the best on the validation scenes, and the last.

    Args:
        fabric: of this process, which may be one of several; each makes batches of its own.
    """
    last = _begun(cfg, folder) if cfg.resume else None
    fabric.barrier()  # every process has read the old configuration
    if fabric.is_global_zero:
        write_text(folder / "config.yaml", OmegaConf.to_yaml(OmegaConf.structured(cfg)))
    done = int(last.name.removeprefix("step_")) if last else None
    with closing(RunLog(folder, resume_at=done, enabled=fabric.is_global_zero)) as log:
        _fit(cfg, fabric, env, demos, folder, log, last)


def _fit(
    cfg: TrainConfig, fabric: Fabric, env: TaskEnv, demos: list[Episode], folder: Path, log: RunLog, last: Path | None
) -> None:
    """``fit`` from a checkpoint on, if there is one."""
    lightning.seed_everything(cfg.seed, verbose=False)
    policy: Any = family_of(cfg.algo).make_policy(env.contract, cfg.algo, cfg.seed)
    windows, learned_from = prepare(policy, cfg, demos[: cfg.recipe.demos])
    draws = Draws(len(learned_from), cfg.recipe.batch_size, cfg.seed, cfg.recipe.fit_updates, fabric.global_rank)
    loader = ResumableLoader(learned_from, draws, cfg.seed, collate_fn=_as_it_is)
    module = Fit(policy, optimiser_options(cfg.algo), cfg.recipe.fit_updates, cfg.seed)
    if not cfg.recipe.fit_updates:  # skills as they are
        if fabric.is_global_zero:
            save(cfg, folder / "policy", policy, 0, None)
            save(cfg, folder / "last", policy, 0, None)
        return
    validation = Validation(cfg, env, folder, log, windows)
    checkpoints = Checkpoints(_checkpoints(folder), cfg.trainer.checkpoint_every)
    callbacks = [Metrics(log, cfg.trainer.log_every), validation, RandomStreams(), checkpoints]
    partly = hasattr(policy, "begin") or (getattr(cfg.algo, "chooses_later", False) and not cfg.recipe.look_up)
    trainer = _trainer(cfg, fabric, folder, callbacks, partly)
    with warnings.catch_warnings(), _interruptible():
        warnings.filterwarnings("ignore", ".*LeafSpec.*is deprecated")  # Lightning's own affair
        trainer.fit(module, loader, ckpt_path=last)
    if fabric.is_global_zero:
        look_up(module.best, cfg, windows)
        save(cfg, folder / "last", module.best, int(module.updates), None)
        if not np.isfinite(validation.best):  # never validated: the last policy is the policy
            save(cfg, folder / "policy", module.best, int(module.updates), None)


def _checkpoints(folder: Path) -> Path:
    """Where a run of an agent has those of its first process."""
    return folder / "checkpoints" / "rank0"


@contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C is KeyboardInterrupt: Lightning makes an exit of it, and has the process ignore every later one."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as left:
        signal.signal(signal.SIGINT, handler)
        raise KeyboardInterrupt from left


def _begun(cfg: TrainConfig, folder: Path) -> Path | None:
    """The checkpoint to go on from, if there is one.

    Raises:
        PixelarmError: what was begun or ended is another run, or has made updates and is now to make none.
    """
    last = checkpoint.newest(_checkpoints(folder))
    if last and not cfg.recipe.fit_updates:
        done = int(last.name.removeprefix("step_"))
        raise PixelarmError(
            f"{folder} has made {done} updates, and recipe.fit_updates=0 would put the skills as they are in place of "
            "its policy: give run=OTHER/FOLDER"
        )
    if last or checkpoint.ended(folder):
        before: Any = OmegaConf.to_container(OmegaConf.load(folder / "config.yaml"))
        require_same_config(before, asdict(cfg), folder)
    return last


def prepare(policy: Any, cfg: TrainConfig, demos: list[Episode]) -> tuple[Dataset[Any], Dataset[Any]]:
    """The demonstrations' rows, and those to fit a policy to, which may be more. Its weights and scales are those of
    skills, or the scales those of the demonstrations.

    Raises:
        PixelarmError: the skills are none, or do not fit.
        ContractMismatch: they are of another arm, other observations or other actions.
    """
    rows = policy.rows(demos) if hasattr(policy, "rows") else Windows(policy.contract, demos)
    if cfg.recipe.skills:
        load_skills(policy, Path(cfg.recipe.skills))
        if hasattr(policy, "widen"):
            policy.widen(rows)
    elif hasattr(policy, "measure"):
        policy.measure(rows)
    look_up(policy, cfg, rows)
    if cfg.recipe.look_up and hasattr(policy, "beside_prior"):
        prior = policy.rows(_prior_data(cfg)) if cfg.recipe.prior_data else None
        return rows, policy.beside_prior(rows, prior)
    return rows, rows


def look_up(policy: Any, cfg: TrainConfig, rows: Dataset[Any]) -> None:
    """Have a policy that looks demonstrations up keep them as its weights have them now."""
    if cfg.recipe.look_up and hasattr(policy, "look_up"):
        policy.look_up(rows)


def _prior_data(cfg: TrainConfig) -> list[Episode]:
    """The episodes that skills were learned from; ``check_places`` has seen that they are those."""
    skills = Path(cfg.recipe.skills)
    _, _, contract = read_skills(skills)
    return read_episodes(cfg.recipe.prior_data, contract.recorded(), several=True)[: data_of(skills)["episodes"]]


def read_episodes(folder: str | Path, contract: Contract, several: bool = False) -> list[Episode]:
    """The episodes of a dataset, as a policy with ``contract`` observes them; of true states, made of the positions
    beside them.

    Args:
        several: of all datasets in the folder, whatever their tasks (``robot.dataset.several``).

    Raises:
        DatasetError, ContractMismatch: as ``robot.dataset.episodes.read_dataset``.
    """
    if several and (datasets := datasets_in(folder)):
        contracts = {dataset: for_task(contract, read_headers(dataset)[0].contract.task) for dataset in datasets}
        return take_turns(read_episodes(dataset, of) for dataset, of in contracts.items())
    return read_states(folder, contract) if has_states(contract) else read_dataset(folder, expect=contract)


class Metrics(Callback):
    """A progress bar, and a line of the run's log every so many updates."""

    def __init__(self, log: RunLog, every: int) -> None:
        self.run_log, self.every = log, every
        self.bar: tqdm | None = None
        self.since = (0, 0.0)  # updates, s: when the last line was written

    def on_train_start(self, trainer: Any, module: Any) -> None:
        done, total = trainer.global_step, trainer.max_steps
        self.since = (done, time.perf_counter())
        self.bar = tqdm(total=total, initial=done, desc="fitting", unit="update", disable=not trainer.is_global_zero)

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Batch, batch_idx: int) -> None:
        step = trainer.global_step
        assert self.bar is not None
        self.bar.update(step - self.bar.n)
        if step % self.every and step != trainer.max_steps:
            return
        numbers = {name: float(value) for name, value in module.metrics.items()}
        now = time.perf_counter()
        pace = (step - self.since[0]) / max(now - self.since[1], 1e-9)
        self.since = (step, now)
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        self.run_log.write(step, "fit", **numbers, learning_rate=rate, updates_per_second=pace)
        self.bar.set_postfix_str(f"loss {numbers['loss']:.3f}", refresh=False)

    def on_train_end(self, trainer: Any, module: Any) -> None:
        if self.bar is not None:
            self.bar.close()


class Validation(Callback):
    """Plays the validation scenes every ``trainer.eval_every`` updates and after the last; keeps the best policy so
    far, the later one of equals, and ends the run when ``trainer.patience`` validations in a row were perfect.
    """

    def __init__(self, cfg: TrainConfig, env: TaskEnv, folder: Path, log: RunLog, rows: Dataset[Any]) -> None:
        self.cfg, self.env, self.folder, self.run_log, self.rows = cfg, env, folder, log, rows
        self.best, self.perfect = -np.inf, 0

    def state_dict(self) -> dict[str, Any]:
        return {"best": float(self.best), "perfect": self.perfect}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best, self.perfect = state_dict["best"], state_dict["perfect"]

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Batch, batch_idx: int) -> None:
        step, options = trainer.global_step, self.cfg.trainer
        if not options.eval_episodes or (step % options.eval_every and step != trainer.max_steps):
            return
        if trainer.is_global_zero:
            self._judge(module, step)
        self.perfect = int(trainer.strategy.broadcast(self.perfect))
        if options.patience and self.perfect >= options.patience:
            trainer.should_stop = True

    def _judge(self, module: Fit, step: int) -> None:
        policy: Any = copy.deepcopy(module.best).to("cpu").eval()  # as it will act when it is deployed
        look_up(policy, self.cfg, self.rows)
        seeds = range(VALIDATION_SEED, VALIDATION_SEED + self.cfg.trainer.eval_episodes)
        found = evaluate(self.env, GreedyPolicy(policy), seeds, after_steps=0, quiet=True)
        record = found.record(self.env.metric)
        self.run_log.write(step, "eval", **record)
        tqdm.write(f"  update {step}: validation {found.words(self.env.metric)}")
        perfect = self.env.metric == "success" and found.once.successes == found.once.n
        self.perfect = self.perfect + 1 if perfect else 0
        if record[self.env.metric] >= self.best:
            self.best = record[self.env.metric]
            save(self.cfg, self.folder / "policy", policy, step, record)


def save(cfg: TrainConfig, folder: Path, policy: Any, updates: int, validation: dict[str, Any] | None) -> None:
    """A policy for ``pixelarm eval`` and ``export``. It has taken no steps of its own."""
    about = {"step": 0, "frames": 0, "robot_minutes": 0.0, "updates": updates, "validation": validation, **made_with()}
    checkpoint.save_policy(folder, policy.state_dict(), cfg, policy.contract, about)


class Checkpoints(Callback):
    """The state of the run every so many updates and after the last; the two newest stay. Stands last among the
    callbacks, whose states it keeps.
    """

    def __init__(self, folder: Path, every: int) -> None:
        self.folder, self.every = folder, every

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Batch, batch_idx: int) -> None:
        step = trainer.global_step
        if step % self.every and step != trainer.max_steps and not trainer.should_stop:
            return
        trainer.save_checkpoint(checkpoint.folder_of(self.folder, step))
        if trainer.is_global_zero:
            for old in checkpoint.steps(self.folder)[:-2]:
                shutil.rmtree(checkpoint.folder_of(self.folder, old))


class Launched(LightningEnvironment):
    """The processes are there already: Fabric or torchrun has started them."""

    @property
    def creates_processes_externally(self) -> bool:
        return True


def _trainer(
    cfg: TrainConfig, fabric: Fabric, folder: Path, callbacks: Sequence[Callback], partly: bool
) -> lightning.Trainer:
    """``partly``: not every weight is in the loss of every update, as of a policy that learns in phases, or of skills
    whose policy is learned later.
    """
    several = fabric.world_size > 1
    together = DDPStrategy(cluster_environment=Launched(), find_unused_parameters=partly)
    clip = optimiser_options(cfg.algo).clip
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # it greets with devices and tips
    return lightning.Trainer(
        max_steps=cfg.recipe.fit_updates,
        max_epochs=-1,
        accelerator=cfg.trainer.accelerator,
        devices=fabric.world_size,
        strategy=together if several else "auto",
        precision=cfg.trainer.precision,
        gradient_clip_val=clip or None,
        callbacks=list(callbacks),
        plugins=[FolderCheckpoints()],
        default_root_dir=folder,
        logger=False,
        use_distributed_sampler=False,  # ``Draws`` has the rank
        enable_model_summary=False,
        enable_progress_bar=False,
        enable_checkpointing=False,  # ``Checkpoints`` does it
    )


def _as_it_is(batch: Batch) -> Batch:
    """``Windows`` gives whole batches."""
    return batch
