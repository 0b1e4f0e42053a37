"""A policy of one's own is one file and one line: it trains, evaluates, is exported and drives the control loop,
in chunks.
"""

import json
import time

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file

from policies.evaluation.evaluate import evaluate, load_actor
from policies.export.onnx import TOLERANCE, export
from policies.policy import POLICIES
from policies.runs.metrics import read_log
from policies.training.train import compose, train
from robot import bundle
from robot.control.limits import LimitConfig, default_limits
from robot.control.loop import ControlLoop
from robot.errors import PixelarmError
from sim.demonstrations import collect
from sim.envs.config import TaskConfig
from sim.envs.make import make_env

pytestmark = pytest.mark.serial  # a control loop in real time

TINY = [
    "algo=toy", "recipe.demos=2", "recipe.fit_updates=40", "recipe.batch_size=16", "task.image_size=32",
    "trainer.accelerator=cpu", "trainer.threads=1", "trainer.eval_episodes=1", "trainer.log_every=10",
]  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The toy policy, fitted to two demonstrations of Reach."""
    import toy_policy  # noqa: F401  (the one line: it registers itself)

    folder = tmp_path_factory.mktemp("own")
    env = make_env(TaskConfig(name="reach", image_size=32))
    collect(env, folder / "demos", episodes=2, seed=1)
    env.close()
    cfg = compose(["experiment=blank", "task=reach", *TINY, f"demos={folder / 'demos'}", f"run={folder / 'run'}"])
    return train(cfg)


@pytest.mark.train
def test_it_trains(run):
    losses = [line["loss"] for line in read_log(run, "fit")]
    assert len(losses) == 4 and losses[-1] < 0.7 * losses[0]
    assert OmegaConf.load(run / "config.yaml").algo.chunk == 8


@pytest.mark.train
def test_a_resumed_fit_equals_an_uninterrupted_one(run, tmp_path):
    """Twenty of forty updates, then resume=true: the same weights to the bit."""
    config = OmegaConf.load(run / "config.yaml")
    options = ["experiment=blank", "task=reach", *TINY, f"demos={config.demos}", f"run={tmp_path / 'run'}"]
    options.append("trainer.checkpoint_every=20")
    train(compose([*options, "recipe.fit_updates=20"]))
    with pytest.raises(PixelarmError, match="algo.hidden: 64 then, 32 now"):
        train(compose([*options, "resume=true", "algo.hidden=32"]))
    resumed = train(compose([*options, "resume=true"]))
    one, other = (load_file(folder / "last" / "policy.safetensors") for folder in (run, resumed))
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    assert [line["step"] for line in read_log(resumed, "fit")] == [10, 20, 30, 40]


@pytest.mark.train
def test_it_is_evaluated_and_exported(run, tmp_path):
    act, contract, _ = load_actor(run)
    assert (contract.chunk, contract.history, contract.task) == (8, 1, "reach")
    env = make_env(TaskConfig(name="reach", image_size=32))
    found = evaluate(env, act, range(2), quiet=True)
    env.close()
    assert len(found.outcomes) == 2
    out, difference = export(run, tmp_path / "bundle")
    assert difference < TOLERANCE and json.loads((out / "card.json").read_text())["config"]["algo"]["family"] == "toy"


@pytest.mark.train
def test_it_drives_the_control_loop(run, tmp_path):
    """Chunks of 8 from the bundle reach the arm one a tick, as targets inside the workspace."""
    out, _ = export(run, tmp_path / "bundle")
    policy = bundle.load(out)
    assert policy.contract.chunk == 8
    sent: list[np.ndarray] = []
    limits = LimitConfig(
        max_reach_m=0.07, max_speed_m_s=1.5, speed_scale=1.0, box_low=(0, -1, 0), box_high=(1, 1, 1), expiry_s=0.5
    )
    loop = ControlLoop(
        policy, default_limits(limits, policy.contract), lambda command, hold: sent.append(command.target.position)
    )
    here = np.array([0.5, 0.0, 0.3], np.float32)
    loop.start()
    try:
        limit = time.monotonic() + 10.0
        while len(sent) < 4 and time.monotonic() < limit:
            now = loop.clock.now_ns()
            for camera in policy.contract.cameras:
                loop.put_image(camera.name, np.full(camera.shape, 90, np.uint8), now)
            for entry in policy.contract.proprio:
                value = here if entry.name == "eef_pos" else np.full(entry.size, 0.04, np.float32)
                loop.put_proprio(entry.name, value, now)
            time.sleep(0.02)
    finally:
        loop.close()
    assert len(sent) >= 4 and all(np.abs(position - here).max() <= 0.07 + 1e-6 for position in sent)


def test_what_only_an_agent_reads_is_refused():
    import toy_policy  # noqa: F401

    assert "toy" in POLICIES
    with pytest.raises(PixelarmError, match=r"toy is fitted to demonstrations: recipe.steps would do nothing"):
        train(compose(["experiment=blank", "task=reach", *TINY, "recipe.steps=100"]))
    with pytest.raises(PixelarmError, match=r"recipe.fit_updates must be at least 1"):
        train(compose(["experiment=blank", "task=reach", *TINY, "recipe.fit_updates=0"]))
