"""``pixelarm train``: one run of a recipe, configured by Hydra.

pixelarm train experiment=ferm task=lift seed=1
pixelarm train experiment=ferm task=lift seed=1 resume=true      # after Ctrl-C, or a crash
pixelarm train --help                                            # every option, with the files that set them
pixelarm train -m seed=1,2,3                                     # a sweep
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import hydra
from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf, open_dict

from policies.config import TrainConfig
from policies.training import task_configs
from robot.errors import ContractMismatch, DatasetError, PixelarmError, StrayEpisodes
from robot.packages import require_ours

require_ours("policies", "configs")  # Hydra would look for its files in another folder of that name

OmegaConf.register_new_resolver("file_name", lambda name: name.replace("/", "-"), replace=True)
ConfigStore.instance().store(name="train_schema", node=TrainConfig)
task_configs.register()


def typed(config: DictConfig) -> TrainConfig:
    """The composed configuration as checked dataclasses, every reference resolved."""
    cfg = OmegaConf.to_object(config)
    assert isinstance(cfg, TrainConfig)
    cfg.task.actuation_delay_ms = tuple(cfg.task.actuation_delay_ms)  # type: ignore[assignment]
    return cfg


PART_OPTION = re.compile(r"algo\.(actor|critic|exploration)\.\w+\.\w+=")


def part_options(overrides: list[str]) -> list[str]:
    """Overrides in which an option of a part may be set whether or not the recipe mentions it (Hydra's ``++``)."""
    return [f"++{text}" if PART_OPTION.match(text) else text for text in overrides]


def compose(overrides: list[str]) -> TrainConfig:
    """The configuration that ``pixelarm train`` would use with these overrides."""
    with hydra.initialize_config_module("configs", version_base="1.3"):
        config = hydra.compose("train", part_options(overrides), return_hydra_config=True)
    with open_dict(config):
        config.experiment = config.hydra.runtime.choices.experiment
        del config.hydra
    return typed(config)


def train(cfg: TrainConfig) -> Path:
    """Run a recipe on the devices it asks for; returns the run folder. Learning stops early when validation is perfect."""
    import torch
    from lightning.fabric import Fabric

    import sim  # noqa: F401  (settles OpenGL before torch's lazy imports, see sim/rendering/gl.py)
    from policies.runtime.precision import choose_precision

    cfg.trainer.precision = choose_precision(cfg.trainer.precision, cfg.trainer.accelerator)  # a resumed run keeps it
    launched = "TORCHELASTIC_RUN_ID" in os.environ  # torchrun has made the processes already
    if cfg.trainer.devices < 1:
        raise PixelarmError(f"trainer.devices must be at least 1, got {cfg.trainer.devices}")
    if cfg.trainer.accelerator == "cuda" and torch.cuda.device_count() < (1 if launched else cfg.trainer.devices):
        raise PixelarmError(
            f"trainer.accelerator=cuda with trainer.devices={cfg.trainer.devices}, but torch sees {torch.cuda.device_count()} "
            "GPUs here; `pixelarm doctor` says more, trainer=cpu learns without one"
        )
    folder = prepare_folder(cfg)
    strategy = "auto" if cfg.trainer.devices == 1 and not launched else ("ddp" if launched else "ddp_spawn")
    fabric = Fabric(
        accelerator=cfg.trainer.accelerator,
        devices=cfg.trainer.devices,
        precision=cfg.trainer.precision,
        strategy=strategy,
    )
    if strategy == "auto":
        _worker(fabric, cfg, folder)
    else:
        fabric.launch(_worker, cfg, folder)
    return folder


def _worker(fabric: object, cfg: TrainConfig, folder: Path) -> None:
    """One process of a run: build the parts, then the phases in order."""
    import numpy as np
    import torch

    from policies.runs.metrics import RunLog
    from policies.runtime.allocator import keep_freed_memory
    from policies.training.checks import check_recording
    from policies.training.online import Run
    from robot.dataset.episodes import read_dataset
    from sim.envs.make import make_env

    if cfg.trainer.threads:
        torch.set_num_threads(cfg.trainer.threads)
    keep_freed_memory()
    env = make_env(cfg.task)
    try:  # episodes hold single observations, whatever a policy stacks
        demos = read_dataset(cfg.demos, expect=env.contract.for_arm()) if cfg.recipe.demos else []
    except StrayEpisodes:  # it says which files to move away: nothing need be recorded
        raise
    except (DatasetError, ContractMismatch) as error:
        raise PixelarmError(
            f"{error}\nname another dataset with demos=FOLDER, or record one: pixelarm collect --task {cfg.task.name} "
            f"--episodes {cfg.recipe.demos} --image-size {cfg.task.image_size} --out NEW/FOLDER"
        ) from error
    notes = check_recording(env.recording, demos[: cfg.recipe.demos]) if demos else []
    run = Run(cfg, fabric, env, demos, folder)
    if run.fabric.is_global_zero and notes:
        print("\n".join(notes), file=sys.stderr)
    resumed = run.resume()
    if cfg.resume and not resumed and run.fabric.is_global_zero:
        print(f"nothing to resume in {folder}: starting from the beginning", file=sys.stderr)
    if run.fabric.is_global_zero:  # not before: a refused resume leaves the run's configuration as it was
        (folder / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.structured(cfg)))
    run.log = RunLog(folder, resume_at=run.step if resumed else None, enabled=run.fabric.is_global_zero)
    try:
        if not resumed:
            run.pretrain()
            run.save_policy(name="cloned")
            run.save()
        run.learn()
        run.save_policy(name="last")
        if not np.isfinite(run.best):
            run.save_policy()  # never validated: the last policy is the policy
    finally:
        run.collector.close()
        run.log.close()
        env.close()


def prepare_folder(cfg: TrainConfig) -> Path:
    """The run's folder; an old run is resumed only when that was asked for."""
    from policies.runs.checkpoint import newest
    from sim.envs.make import check_task

    check_task(cfg.task.name)
    folder = Path(cfg.run)
    if newest(folder / "checkpoints" / "rank0") is not None and not cfg.resume:
        raise PixelarmError(
            f"{folder} holds a run already; add resume=true to continue it, or run=OTHER/FOLDER for a new one"
        )
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def main(argv: list[str]) -> int:
    """Hydra's command line around ``train``; our own errors leave it as themselves, not as a traceback."""
    failure: list[BaseException] = []

    @hydra.main(config_path="pkg://configs", config_name="train", version_base="1.3")
    def hydra_main(config: DictConfig) -> None:
        try:
            folder = train(typed(config))
            print(f"run in {folder}; next: pixelarm eval {folder}, pixelarm export {folder}")
        except (PixelarmError, KeyboardInterrupt) as error:
            failure.append(error)

    sys.argv = ["pixelarm train", *part_options(argv)]
    hydra_main()
    if failure:
        if isinstance(failure[0], KeyboardInterrupt):
            print(
                "\ninterrupted; the same command with resume=true continues from the newest checkpoint", file=sys.stderr
            )
        raise failure[0]
    return 0
