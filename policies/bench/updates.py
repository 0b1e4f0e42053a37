"""What ``pixelarm bench learner`` measures: updates of a recipe's agent, or of the baseline, on random frames."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from policies.schedules import schedule
from robot.contract import Action, Camera, Contract
from sim.bench.harness import Unit

if TYPE_CHECKING:
    from policies.config import TrainConfig
    from policies.data.batch import Batch
    from policies.data.replay import Replay

COMPARED = "curl"  # the recipe that is held against the baseline
GROUP = {"cpu": 2, "cuda": 20}  # updates in one unit of measurement: even, because an actor may learn every second time
FRAMES = 4000  # in the replay memory: more than the caches hold
EPISODE = 100  # steps
ACTIONS = 6  # of DeepMind Control's tasks: the walker's
PARTS = ("sampling", "augmentation", "learning")
SOME_S = 1.0  # at least so long, and so many updates, to see where the time goes
SOME = 4


def ours(recipe: str, batch: int, device: str, precision: str, compile: str, notes: str) -> Unit:
    """Updates of a recipe's agent, sampling included; writes to ``notes`` what the first one cost,
    and the shares of the parts.
    """
    from policies.runtime.allocator import keep_freed_memory

    keep_freed_memory()
    cfg = configured(recipe, batch)
    agent = make_agent(cfg, device, precision, compile)
    sample = sampler(cfg, agent)

    def update() -> None:
        agent.update(sample(), schedule(cfg.recipe.bc_weight, 0))

    wait = waiter(device)
    first = [_timed(update, wait) for _ in range(GROUP["cpu"])]  # an actor's turn and one that is not: each is compiled
    shares = parts(agent, sample, schedule(cfg.recipe.bc_weight, 0), wait)
    Path(notes).write_text(json.dumps({"first_updates_s": first, "parts": shares}))
    return _in_groups(update, wait, device)


def eager(batch: int, device: str, keep_memory: bool) -> Unit:
    """The same number of updates of the baseline."""
    from policies.bench.eager_curl import EagerCURL
    from policies.runtime.allocator import keep_freed_memory

    if keep_memory:
        keep_freed_memory()
    cfg = configured(COMPARED, batch)
    agent = make_agent(cfg, device, "32-true", "off")
    sample, baseline = sampler(cfg, agent), EagerCURL(agent)
    return _in_groups(lambda: baseline.update(sample()), waiter(device), device)


def configured(recipe: str, batch: int = 0) -> TrainConfig:
    """A recipe with its own batch size, or with ``batch``."""
    from policies.training.train import compose

    return compose([f"experiment={recipe}", *([f"recipe.batch_size={batch}"] if batch else [])])


def make_agent(cfg: TrainConfig, device: str, precision: str, compile: str) -> Any:
    import torch
    from lightning.fabric import Fabric

    from policies.policy import family_of

    if device == "cpu":
        torch.set_num_threads(1)
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)  # it greets each process
    fabric = Fabric(accelerator=device, devices=1, precision=precision)
    return family_of(cfg.algo).make_agent(contract_of(cfg), cfg.algo, fabric, cfg.seed, compile)


def contract_of(cfg: TrainConfig) -> Contract:
    """The contract of a recipe's task; of DeepMind Control what its tasks have in common, without the extra [dmc]."""
    from sim.envs.make import DMC, configured_task

    if not cfg.task.name.startswith(DMC):
        return configured_task(cfg.task).contract
    size, each = cfg.task.image_size, (1.0,) * ACTIONS
    names, low = tuple(f"actuator{n}" for n in range(ACTIONS)), (-1.0,) * ACTIONS
    action = Action("normalized", names, ("1",) * ACTIONS, low, each, "", gripper="")
    return Contract(
        task=cfg.task.name, cameras=(Camera("camera", size, size),), proprio=(), action=action,
        rate_hz=10, deadline_ms=80, max_age_ms=100,
    )  # fmt: skip


def sampler(cfg: TrainConfig, agent: Any) -> Callable[[], Batch]:
    """Batches in the recipe's mix from a memory of random frames, on the agent's device."""
    from policies.data.batch import join
    from policies.data.replay import Replay

    rng, size = np.random.default_rng(0), cfg.recipe.batch_size
    memory = Replay(agent.contract, FRAMES, agent.lookup())
    fill(memory, rng)
    agent.normalizer.fit(memory.all_proprio().to(agent.device))
    demos = round(size * (cfg.recipe.demo_fraction + cfg.recipe.success_fraction))

    def sample() -> Batch:
        batch = memory.sample(size - demos, rng).without_examples()
        return (join([memory.sample(demos, rng)], batch) if demos else batch).to(agent.device)

    return sample


def fill(memory: Replay, rng: np.random.Generator) -> None:
    """Episodes of noise until the memory is full; each action is an example to follow."""
    contract = memory.contract
    low, high = np.array(contract.action.low), np.array(contract.action.high)

    def observation() -> dict[str, np.ndarray]:
        images = {c.name: rng.integers(0, 256, c.shape, np.uint8) for c in contract.cameras}
        return images | {p.name: rng.standard_normal(p.size, np.float32) for p in contract.proprio}

    for _ in range(memory.capacity // (EPISODE + 1)):
        memory.start(observation())
        for step in range(1, EPISODE + 1):
            memory.add(rng.uniform(low, high), rng.random(), step == EPISODE, observation(), imitate=True)


def parts(agent: Any, sample: Callable[[], Batch], bc_weight: float, wait: Callable[[], object]) -> dict[str, float]:
    """Seconds of an update spent sampling, augmenting and on the rest, by processor time on a CPU,
    by the clock on a GPU.
    """
    spent, draw = dict.fromkeys(PARTS, 0.0), agent.pixels

    def view(observation: Any) -> Any:
        with _counted(spent, "augmentation", wait):
            return draw(observation)

    updates, begin = 0, time.perf_counter()
    agent.pixels = view
    try:
        while updates < SOME or time.perf_counter() - begin < SOME_S:
            with _counted(spent, "sampling", wait):
                batch = sample()
            with _counted(spent, "learning", wait):
                agent.update(batch, bc_weight)
            updates += 1
    finally:
        del agent.pixels
    spent["learning"] -= spent["augmentation"]
    return {part: seconds / updates for part, seconds in spent.items()}


def waiter(device: str) -> Callable[[], float]:
    """A function that waits until the device has nothing left to do, and says what time it is there."""
    import torch

    if device == "cpu":
        return time.process_time

    def wait() -> float:
        torch.cuda.synchronize()
        return time.perf_counter()

    return wait


@contextmanager
def _counted(spent: dict[str, float], part: str, wait: Callable[[], Any]) -> Iterator[None]:
    begin = wait()
    yield
    spent[part] += wait() - begin


def _timed(update: Callable[[], object], wait: Callable[[], object]) -> float:
    """Seconds of the clock."""
    begin = time.perf_counter()
    update()
    wait()
    return time.perf_counter() - begin


def _in_groups(update: Callable[[], object], wait: Callable[[], object], device: str) -> Unit:
    def group() -> None:
        for _ in range(GROUP[device]):
            update()
        wait()

    return group
