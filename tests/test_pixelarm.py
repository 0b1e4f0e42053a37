"""pixelarm from Python: what ``import pixelarm`` brings, what it does not load, and gymnasium's view of the tasks."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pixelarm
from robot.errors import BundleError, PixelarmError, UnknownName

ROOT = Path(__file__).resolve().parent.parent
HEAVY = {
    "torch",
    "torchvision",
    "mujoco",
    "robosuite",
    "lightning",
    "hydra",
    "numba",
    "h5py",
    "yaml",
    "onnxruntime",
    "dm_control",
}

needs_sim = pytest.mark.skipif(importlib.util.find_spec("mujoco") is None, reason="pip install 'pixelarm[sim]'")
needs_dmc = pytest.mark.skipif(importlib.util.find_spec("dm_control") is None, reason="pip install 'pixelarm[dmc]'")
needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="pip install 'pixelarm[train]'")


def run(folder: Path, code: str) -> str:
    """What a script that lies in ``folder`` prints."""
    (folder / "mine.py").write_text(code)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "mine.py"], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip()


# ------------------------------------------------------------------------------------------------------- what it brings
def test_importing_it_loads_nothing_heavy(tmp_path: Path) -> None:
    loaded = run(tmp_path, "import pixelarm, sys; print(*sys.modules)").split()
    assert "pixelarm" in loaded and not HEAVY & set(loaded)


def test_everything_public_is_there_and_explained() -> None:
    for name in pixelarm.__all__:
        value = getattr(pixelarm, name)
        assert name == "__version__" or (value.__doc__ or "").strip(), f"{name} has no docstring"
        assert name in dir(pixelarm)
    assert isinstance(pixelarm.__version__, str) and pixelarm.Contract.__module__ == "robot.contract"
    with pytest.raises(AttributeError, match="pixelarm has no 'mkae'; it has Contract, .*make"):
        _ = pixelarm.mkae


@needs_sim
def test_a_script_in_another_folder_uses_it(tmp_path: Path) -> None:
    code = """
import pixelarm
env = pixelarm.make("reach", image_size=16)
observation, info = env.reset(seed=0)
expert, steps, done = env.expert(0), 0, False
while not done:
    observation, reward, terminated, truncated, info = env.step(expert())
    steps, done = steps + 1, terminated or truncated
print(info["success"], steps < env.max_steps, observation["agentview"].shape)
"""
    assert run(tmp_path, code) == "True True (16, 16, 3)"


def test_without_an_extra_it_says_what_to_install(tmp_path: Path) -> None:
    code = """
import sys
for absent in ("gymnasium", "mujoco", "torch"):
    sys.modules[absent] = None  # as if it were not installed
import pixelarm
for use in (lambda: pixelarm.make("lift"), lambda: pixelarm.make_vec("lift", 2), lambda: pixelarm.load_policy("run")):
    try:
        use()
    except Exception as error:
        print(type(error).__name__, error)
"""
    said = run(tmp_path, code).splitlines()
    assert [line.split(" (")[0] for line in said] == [
        "MissingDependency pixelarm.make needs the extra [sim]",
        "MissingDependency pixelarm.make_vec needs the extra [sim]",
        "MissingDependency pixelarm.load_policy needs the extra [train]",
    ]
    assert all("pip install 'pixelarm[" in line for line in said)


@needs_sim
def test_a_wrong_name_lists_the_right_ones() -> None:
    with pytest.raises(UnknownName, match="unknown task 'lfit'; the valid names are: .*lift"):
        pixelarm.make("lfit")
    with pytest.raises(UnknownName, match="option of an environment 'size'.*image_size"):
        pixelarm.make_vec("lift", 2, size=84)


# ------------------------------------------------------------------------------------------------------------- policies
@needs_torch
def test_a_bundle_is_a_policy_to_call(lift_bundle: Path) -> None:
    """The bundle goes to (0.5, 0.05, 0.05) m: an arm at (0.48, 0.05, 0.10) is told (0.02, 0, -0.05) and to close."""
    policy = pixelarm.load_policy(lift_bundle)
    assert isinstance(policy.contract, pixelarm.Contract) and policy.contract.task == "lift"
    observation = {c.name: np.zeros(c.shape, np.uint8) for c in policy.contract.cameras}
    observation |= {"eef_pos": np.array([0.48, 0.05, 0.10], np.float32), "gripper_opening": np.zeros(1, np.float32)}
    policy.reset()
    action = policy(observation)
    assert action.dtype == np.float32 and action == pytest.approx([0.02, 0.0, -0.05, 1.0], abs=1e-6)
    with pytest.raises(PixelarmError, match="neither a policy bundle .* nor a training run"):
        pixelarm.load_policy(lift_bundle.parent)


def test_a_bundle_alone_needs_no_extra(lift_bundle: Path, tmp_path: Path) -> None:
    code = f"""
import sys
for absent in ("gymnasium", "mujoco", "torch"):
    sys.modules[absent] = None
import numpy as np, pixelarm
policy = pixelarm.load_bundle({str(lift_bundle)!r})
observation = {{c.name: np.zeros(c.shape, np.uint8) for c in policy.contract.cameras}}
observation |= {{p.name: np.zeros(p.size, np.float32) for p in policy.contract.proprio}}
print(policy.act(observation).astype(float).round(3).tolist())
"""
    assert run(tmp_path, code) == "[[0.5, 0.05, 0.05, 1.0]]"
    with pytest.raises(BundleError, match="is not a policy bundle"):
        pixelarm.load_bundle(tmp_path)


# ------------------------------------------------------------------------------------------------------------ gymnasium
@needs_sim
def test_gymnasium_knows_every_task() -> None:
    import gymnasium

    from sim.tasks import TASKS

    assert pixelarm._task_names() == list(TASKS)
    known = {name for name in gymnasium.registry if name.startswith("pixelarm/")}
    assert known == {f"pixelarm/{task}" for task in TASKS} | {"pixelarm/dmc"}


@needs_sim
@pytest.mark.gl
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("pixelarm/lift", {}),
        pytest.param("pixelarm/dmc", {"task": "dmc/cartpole-swingup", "look": "fast"}, marks=needs_dmc),
    ],
)
def test_gymnasium_makes_and_checks_them(name: str, options: dict[str, Any]) -> None:
    import gymnasium
    from gymnasium.utils.env_checker import check_env

    env = gymnasium.make(name, image_size=16, **options)
    observation, _ = env.reset(seed=0)
    assert observation in env.observation_space and env.spec is not None and env.spec.id == name
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for advice in ("minimum value is -infinity", "maximum value is infinity", "symmetric and normalized space"):
            warnings.filterwarnings("ignore", f".*{advice}")
        check_env(env.unwrapped)
    env.close()


@needs_sim
@pytest.mark.slow
def test_gymnasium_makes_a_vector_of_them() -> None:
    import gymnasium

    envs = gymnasium.make_vec("pixelarm/reach", num_envs=2, image_size=16, workers=1)
    observations, _ = envs.reset(seed=0)
    assert type(envs).__module__ == "sim.envs.vector" and observations["agentview"].shape == (2, 16, 16, 3)
    envs.close()


@needs_sim
def test_gymnasium_says_what_is_wrong() -> None:
    import gymnasium

    with pytest.raises(UnknownName, match="option of an environment 'size'"):
        gymnasium.make("pixelarm/lift", size=84)
    with pytest.raises(gymnasium.error.NameNotFound, match="lift"):
        gymnasium.make("pixelarm/lfit")
