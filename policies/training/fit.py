"""Fitting a policy to demonstrations, on Lightning's Trainer: families without an online agent."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from omegaconf import OmegaConf
from torch import nn

from policies.config import TrainConfig
from policies.data.batch import Batch
from policies.data.resumable import ResumableLoader
from policies.data.windows import Draws, Windows
from policies.evaluation.evaluate import VALIDATION_SEED, evaluate
from policies.policy import family_of
from policies.rollout.acting import GreedyPolicy
from policies.runs import checkpoint
from policies.runs.checkpoint_io import FolderCheckpoints, RandomStreams
from policies.runs.metrics import RunLog
from policies.runs.provenance import made_with
from policies.training.checks import require_same_config
from robot.dataset.episodes import Episode
from robot.files import write_text
from sim.envs.task_env import TaskEnv


class Fit(lightning.LightningModule):
    """Minimises a policy's ``loss`` with Adam."""

    def __init__(self, policy: nn.Module, learning_rate: float) -> None:
        super().__init__()
        self.policy, self.learning_rate = policy, learning_rate
        self.metrics: dict[str, torch.Tensor] = {}

    def training_step(self, batch: Batch, index: int) -> torch.Tensor:
        losses = self.policy.loss(batch)
        self.metrics = {name: value.detach() for name, value in losses.items()}
        return losses["loss"]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.policy.parameters(), self.learning_rate)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        return batch.to(device)


class Metrics(Callback):
    """A line of the run's log every so many updates."""

    def __init__(self, log: RunLog, every: int) -> None:
        self.run_log, self.every = log, every

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Batch, batch_idx: int) -> None:
        step = trainer.global_step
        if step % self.every == 0 or step == trainer.max_steps:
            self.run_log.write(step, "fit", **{name: float(value) for name, value in module.metrics.items()})


def fit(cfg: TrainConfig, env: TaskEnv, demos: list[Episode], folder: Path) -> None:
    """Fit the configured family's policy to demonstrations for ``recipe.fit_updates`` updates,
    and save it in the run's folder.
    """
    saved = folder / "checkpoints" / "rank0"  # where a run of an agent has its own
    last = checkpoint.newest(saved) if cfg.resume else None
    if last:
        before: Any = OmegaConf.to_container(OmegaConf.load(folder / "config.yaml"))
        require_same_config(before, asdict(cfg), folder)
    write_text(folder / "config.yaml", OmegaConf.to_yaml(OmegaConf.structured(cfg)))
    log = RunLog(folder, resume_at=int(last.name.removeprefix("step_")) if last else None)
    lightning.seed_everything(cfg.seed, verbose=False)
    policy: Any = family_of(cfg.algo).make_policy(env.contract, cfg.algo, cfg.seed)
    windows = Windows(policy.contract, demos[: cfg.recipe.demos])
    draws = Draws(len(windows), cfg.recipe.batch_size, cfg.seed, cfg.recipe.fit_updates)
    loader = ResumableLoader(windows, draws, cfg.seed, collate_fn=_as_it_is)
    trainer = _trainer(cfg, folder, [Metrics(log, cfg.trainer.log_every), _checkpoints(cfg, saved), RandomStreams()])
    trainer.fit(Fit(policy, cfg.algo.learning_rate), loader, ckpt_path=last)
    if trainer.is_global_zero:
        _judge_and_save(cfg, env, policy.eval().to("cpu"), folder, log)
    log.close()


def _checkpoints(cfg: TrainConfig, folder: Path) -> ModelCheckpoint:
    """The newest state, every so many updates."""
    keep = ModelCheckpoint(
        folder,
        filename="step_{step:09d}",
        auto_insert_metric_name=False,
        every_n_train_steps=cfg.trainer.checkpoint_every,
        save_on_train_epoch_end=False,
    )
    keep.FILE_EXTENSION = ""  # a folder, see policies/runs/checkpoint_io.py
    return keep


def _trainer(cfg: TrainConfig, folder: Path, callbacks: list[Callback]) -> lightning.Trainer:
    return lightning.Trainer(
        max_steps=cfg.recipe.fit_updates,
        max_epochs=-1,
        accelerator=cfg.trainer.accelerator,
        devices=cfg.trainer.devices,
        precision=cfg.trainer.precision,
        callbacks=callbacks,
        plugins=[FolderCheckpoints()],
        default_root_dir=folder,
        logger=False,
        enable_model_summary=False,
    )


def _judge_and_save(cfg: TrainConfig, env: TaskEnv, policy: Any, folder: Path, log: RunLog) -> None:
    """Success on the validation seeds, and the policy with it."""
    record = None
    if cfg.trainer.eval_episodes:
        seeds = range(VALIDATION_SEED, VALIDATION_SEED + cfg.trainer.eval_episodes)
        record = evaluate(env, GreedyPolicy(policy), seeds, after_steps=0, quiet=True).record(env.metric)
        log.write(cfg.recipe.fit_updates, "eval", **record)
    about = {"step": 0, "frames": 0, "robot_minutes": 0.0, "validation": record, **made_with()}
    for name in ("policy", "last"):
        checkpoint.save_policy(folder / name, policy.state_dict(), cfg, policy.contract, about)


def _as_it_is(batch: Batch) -> Batch:
    """``Windows`` gives whole batches."""
    return batch
