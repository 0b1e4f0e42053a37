"""The robot side alone, as a robot's computer installs it: no extras, and an exported policy runs there.

A fresh environment is made from the wheel with pip's own cache and index; with Python 3.10 too where there is one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from robot import bundle
from robot.contract import Action, Camera, Contract, Proprio

ROOT = Path(__file__).resolve().parent.parent
KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "XDG_CACHE_HOME", "SSL_CERT_FILE", "http_proxy", "https_proxy", "no_proxy")

pytestmark = pytest.mark.slow


def environment() -> dict[str, str]:
    """A plain shell's environment: without ROS's library paths and without what this process set for its tests."""
    return {k: v for k, v in os.environ.items() if k in KEPT or k.upper() in KEPT or k.startswith("PIP_")}


def run(*command: object, cwd: Path, status: int = 0) -> subprocess.CompletedProcess[str]:
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, env=environment(), capture_output=True, text=True, timeout=600)
    assert done.returncode == status, f"{' '.join(words)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done


def pythons() -> list[str]:
    """This interpreter, and a Python 3.10 that runs."""
    found = [sys.executable]
    other = shutil.which("python3.10")
    if other and sys.version_info[:2] != (3, 10):
        works = subprocess.run([other, "-c", "import venv, ensurepip"], env=environment(), capture_output=True)
        found += [other] if works.returncode == 0 else []
    return found


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's wheel, built from a copy so that no build folder appears in the checkout."""
    tree, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("wheel")
    for name in ("robot", "sim", "hardware", "policies", "configs"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pixelarm.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree / name)
    # without isolation: the build uses this environment's setuptools, so nothing is fetched for it
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", out, tree, cwd=tree)
    (built,) = out.glob("pixelarm-*.whl")
    return built


def contract() -> Contract:
    return Contract(
        task="install-test",
        cameras=(Camera("agentview", 64, 64), Camera("eye_in_hand", 64, 64)),
        proprio=(Proprio("eef_pos", 3, "m", "base"), Proprio("gripper_opening", 1, "m", "gripper")),
        action=Action(
            "eef_delta_position", ("dx", "dy", "dz", "gripper"), ("m", "m", "m", "1"),
            (-0.04, -0.04, -0.04, -1), (0.04, 0.04, 0.04, 1),
        ),
        rate_hz=10,
        deadline_ms=80,
        max_age_ms=100,
    )  # fmt: skip


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained agent, exported by the project's own exporter; on its card what torch says to one observation."""
    pytest.importorskip("torch")
    from policies.export.onnx import to_onnx
    from policies.rl.choice import make_policy
    from policies.rl.config import ActorCriticConfig
    from policies.rollout.acting import GreedyPolicy

    policy = make_policy(contract(), ActorCriticConfig(), 0)
    image = (np.arange(64 * 64 * 3) % 251).astype(np.uint8).reshape(64, 64, 3)  # as ON_ROBOT makes it
    observation = {
        "agentview": image,
        "eye_in_hand": image[::-1].copy(),
        "eef_pos": np.array([0.45, 0.0, 0.2], np.float32),
        "gripper_opening": np.array([0.04], np.float32),
    }
    card = {"recipe": "untrained", "expected": GreedyPolicy(policy)(observation).tolist()}
    path = tmp_path_factory.mktemp("bundles") / "install-test"
    return bundle.write(path, to_onnx(policy), contract(), card)


ON_ROBOT = """
import importlib.util, sys, time
import numpy as np
for name in ("torch", "mujoco", "robosuite", "gymnasium", "hydra", "lightning"):
    assert importlib.util.find_spec(name) is None, name + " is installed"
import pixelarm
from robot.control.limits import LimitConfig, default_limits
from robot.control.loop import ControlLoop
policy = pixelarm.load_bundle(sys.argv[1])
image = (np.arange(64 * 64 * 3) % 251).astype(np.uint8).reshape(64, 64, 3)
images = {"agentview": image, "eye_in_hand": image[::-1].copy()}
proprio = {"eef_pos": np.array([0.45, 0.0, 0.2], np.float32), "gripper_opening": np.array([0.04], np.float32)}
action = policy.act({**images, **proprio})
half = (np.array(policy.contract.action.high) - policy.contract.action.low) / 2
np.testing.assert_allclose(action[0] / half, np.array(policy.card["expected"]) / half, atol=1e-4)

sent = []
limits = default_limits(LimitConfig(speed_scale=1.0), policy.contract)
loop = ControlLoop(policy, limits, lambda command, hold: sent.append((command, hold)))
loop.warm_up()
loop.start()
for _ in range(8):
    stamp = time.time_ns()
    for name, value in proprio.items():
        loop.put_proprio(name, value, stamp)
    for name, value in images.items():
        loop.put_image(name, value, stamp)
    time.sleep(policy.contract.period_s)
loop.close()
commands = [command for command, hold in sent if not hold]
assert commands, loop.stats()
step = commands[-1].target.position - proprio["eef_pos"]
assert 0 < np.linalg.norm(step) <= np.linalg.norm(action[0][:3]) + 1e-6, (step, action)
assert not {"torch", "mujoco", "rclpy"} & set(sys.modules)
print("ran", len(commands), "commands with numpy", np.__version__)
"""


@pytest.mark.parametrize("python", pythons(), ids=lambda path: Path(path).name)
def test_robot_side_alone_runs_an_exported_policy(python: str, wheel: Path, policy: Path, tmp_path: Path) -> None:
    run(python, "-m", "venv", tmp_path / "env", cwd=tmp_path)
    bin_ = tmp_path / "env" / "bin"
    run(bin_ / "python", "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt", wheel, cwd=tmp_path)
    script = tmp_path / "on_robot.py"
    script.write_text(ON_ROBOT)
    assert "with numpy 1." in run(bin_ / "python", "-I", script, policy, cwd=tmp_path).stdout

    assert "verified" in run(bin_ / "pixelarm", "bundle", policy, cwd=tmp_path).stdout
    doctor = run(bin_ / "pixelarm", "doctor", cwd=tmp_path).stdout
    assert "not installed: needed for training" in doctor
    assert "the robot side is complete" in doctor
    refused = run(bin_ / "pixelarm", "train", cwd=tmp_path, status=2).stderr
    assert "pixelarm train needs the extra [train]" in refused
    assert "Traceback" not in refused

    run(bin_ / "python", "-m", "pip", "install", "-q", "--upgrade", "numpy>=2", cwd=tmp_path)
    assert "with numpy 2." in run(bin_ / "python", "-I", script, policy, cwd=tmp_path).stdout
    run(bin_ / "python", "-m", "pip", "check", cwd=tmp_path)


def test_the_wheel_holds_configs_and_arm_profiles(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    packages = ("robot", "sim", "hardware", "policies", "configs")
    expected = {"pixelarm.py"} | {
        str(path.relative_to(ROOT))
        for package in packages
        for kind in ("*.py", "*.yaml", "*.xml", "*.html", "*.css", "*.js")
        for path in (ROOT / package).rglob(kind)
    }
    assert expected <= names, f"left out of the wheel: {sorted(expected - names)}"
    strangers = {n for n in names if not n.startswith((*(f"{p}/" for p in packages), "pixelarm-", "pixelarm.py"))}
    assert not strangers, strangers
    assert not [n for n in names if "__pycache__" in n]
