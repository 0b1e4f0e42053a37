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
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf

from policies.config import TrainConfig
from policies.policy import family_of
from policies.training.compose import compose, our_words, part_options, register_families, typed
from robot.errors import ContractMismatch, DatasetError, PixelarmError, StrayEpisodes
from robot.files import Claim, require_folder, write_text

__all__ = ["compose", "main", "train"]


def train(cfg: TrainConfig) -> Path:
    """Run a recipe on the devices it asks for; returns the run folder. Learning stops early when validation is perfect.

    Raises:
        PixelarmError: it cannot run, said before anything slow; or another process trains in that folder.
    """
    import sim  # noqa: F401  (settles OpenGL before torch's lazy imports, see sim/rendering/gl.py)

    launched = "TORCHELASTIC_RUN_ID" in os.environ  # torchrun has made the processes already
    check(cfg, int(os.environ.get("WORLD_SIZE", "1")) if launched else 1, launched)
    from policies.runtime.precision import choose_precision

    cfg.trainer.precision = choose_precision(cfg.trainer.precision, cfg.trainer.accelerator)  # a resumed run keeps it
    folder = Path(cfg.run)
    # one owner, however many processes: the one that launches the others, or the first that torchrun made
    with Claim(folder, "training") if not launched or os.environ.get("RANK") == "0" else nullcontext():
        require_new_run(cfg)
        from lightning.fabric import Fabric  # for seconds, which a run that is refused need not wait

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
            _launch(fabric, cfg, folder)
    return folder


def check(cfg: TrainConfig, processes: int = 1, launched: bool = False) -> None:
    """Everything that can be refused before an environment or a network is built.

    Args:
        processes: that learn together.
        launched: they have been started already, one for each device.
    """
    from policies.training.checks import check_places

    check_options(cfg, processes)
    _require_devices(cfg.trainer.accelerator, 1 if launched else cfg.trainer.devices)
    check_places(cfg)
    from sim.envs.make import check_task  # reads large packages, for some seconds

    check_task(cfg.task.name)
    require_folder(Path(cfg.run))


def check_options(cfg: TrainConfig, processes: int = 1) -> None:
    """What can be refused by reading the options alone."""
    from policies.rl.checks import check_agent
    from policies.rl.config import PixelAgentConfig
    from policies.skills.config import SpirlConfig
    from policies.training.checks import check_recipe

    check_recipe(cfg, processes)
    if isinstance(cfg.algo, PixelAgentConfig):
        check_agent(cfg.algo)
    elif family_of(cfg.algo).agent is None:
        from policies.imitation.checks import check_fitted  # reads Lightning, for seconds

        check_fitted(cfg.algo)
    elif isinstance(cfg.algo, SpirlConfig) and (problems := cfg.algo.problems()):
        raise PixelarmError("this agent cannot learn:\n  - " + "\n  - ".join(problems))


def _require_devices(accelerator: str, devices: int) -> None:
    import torch

    if accelerator in ("cuda", "gpu") and torch.cuda.device_count() < devices:
        raise PixelarmError(
            f"trainer.accelerator={accelerator} with trainer.devices={devices}, but torch sees "
            f"{torch.cuda.device_count()} "
            "GPUs here; `pixelarm doctor` says more, trainer=cpu learns without one"
        )
    if accelerator == "mps" and not torch.backends.mps.is_available():
        raise PixelarmError(
            "trainer.accelerator=mps, but torch finds no such device here; trainer=cpu learns without one"
        )


def require_new_run(cfg: TrainConfig) -> None:
    """An old run is resumed only when that was asked for."""
    from policies.runs.checkpoint import ended, newest

    begun = newest(Path(cfg.run) / "checkpoints" / "rank0") is not None
    if (begun or ended(Path(cfg.run))) and not cfg.resume:
        raise PixelarmError(
            f"{cfg.run} holds a run already; add resume=true to continue it, or run=OTHER/FOLDER for a new one"
        )


def _launch(fabric: Any, cfg: TrainConfig, folder: Path) -> None:
    """Several processes; an error of ours in one of them stays one,
    where torch makes a text of it and its traceback.
    """
    from torch.multiprocessing import ProcessRaisedException

    try:
        fabric.launch(_worker, cfg, folder)
    except ProcessRaisedException as error:
        ours = re.match(r".*\nrobot\.errors\.\w+: (.*)\Z", str(error), re.DOTALL)  # the last of a chain of errors
        if ours is None or "\nTraceback" in ours[1]:
            raise
        raise PixelarmError(ours[1].strip()) from error


def _worker(fabric: Any, cfg: TrainConfig, folder: Path) -> None:
    """One process of a run: build the parts, then the phases in order."""
    import numpy as np
    import torch

    from policies.runs.metrics import RunLog
    from policies.runtime.allocator import keep_freed_memory
    from policies.training.checks import check_recording, other_demos
    from policies.training.fit import fit, read_episodes
    from policies.training.online import Run
    from policies.training.prior import read_decided, read_prior
    from policies.training.settle import settle
    from sim.envs.make import make_env

    if cfg.trainer.threads:
        torch.set_num_threads(cfg.trainer.threads)
    keep_freed_memory()
    env = make_env(cfg.task)
    try:  # episodes hold single observations, whatever a policy stacks
        mine, several = env.contract.recorded(), not cfg.recipe.look_up  # skills are of many tasks
        demos = read_episodes(cfg.demos, mine, several) if cfg.recipe.demos else []
    except StrayEpisodes:  # it says which files to move away: nothing need be recorded
        raise
    except (DatasetError, ContractMismatch) as error:
        raise PixelarmError(f"{error}\n{other_demos(cfg)}") from error
    notes = check_recording(env.recording, demos[: cfg.recipe.demos]) if demos else []
    settle(cfg, env, demos[: cfg.recipe.demos])
    mine = env.contract.for_policy(cfg.algo.history)
    prior, skills = read_prior(cfg, mine), read_decided(cfg, mine)
    if fabric.is_global_zero and notes:
        print("\n".join(notes), file=sys.stderr)
    if family_of(cfg.algo).agent is None:
        fit(cfg, fabric, env, demos, folder)
        env.close()
        return
    run = Run(cfg, fabric, env, demos, folder, prior, skills)
    resumed = run.resume()
    if cfg.resume and not resumed and run.fabric.is_global_zero:
        print(f"nothing to resume in {folder}: starting from the beginning", file=sys.stderr)
    if run.fabric.is_global_zero:  # not before: a refused resume leaves the run's configuration as it was
        write_text(folder / "config.yaml", OmegaConf.to_yaml(OmegaConf.structured(cfg)))
    run.log = RunLog(folder, resume_at=run.step if resumed else None, enabled=run.fabric.is_global_zero)
    try:
        if not resumed:
            run.pretrain()
            run.save_policy(name="cloned", cloned=True)
            run.save()
        run.learn()
        run.save_policy(name="last")
        if not np.isfinite(run.best):
            run.save_policy()  # never validated: the last policy is the policy
    finally:
        run.collector.close()
        run.log.close()
        env.close()


@contextmanager
def resumable() -> Iterator[None]:
    """Whoever interrupts a run is told how it goes on."""
    try:
        yield
    except KeyboardInterrupt:
        print("\ninterrupted; the same command with resume=true continues from the newest checkpoint", file=sys.stderr)
        raise


def main(argv: list[str]) -> int:
    """Hydra's command line around ``train``; errors leave it as themselves, not as Hydra prints them."""
    failures: list[Exception] = []

    @hydra.main(config_path="pkg://configs", config_name="train", version_base="1.3")
    def hydra_main(config: DictConfig) -> None:
        try:
            with our_words():
                cfg = typed(config)
            with resumable():
                folder = train(cfg)
            print(f"run in {folder}; next: pixelarm eval {folder}, pixelarm export {folder}")
        except Exception as error:  # a sweep goes on with its next run
            failures.append(error)

    register_families()
    sys.argv = ["pixelarm train", *part_options(argv)]
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors of Hydra's own are raised, not printed
    with our_words():
        hydra_main()
    if len(failures) > 1:
        print(f"{len(failures)} runs of this sweep failed; the first:", file=sys.stderr)
    if failures:
        raise failures[0]
    return 0
