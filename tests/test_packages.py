"""A folder of the user's that is named as one of our packages is found out and named,
wherever some code of ours runs.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Python in a process of its own that runs in ``folder``."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=env, capture_output=True, text=True, timeout=120
    )


def shadow(folder: Path, name: str) -> Path:
    """A package, or a module, of that name; returns what the message is to name."""
    path = folder / name
    if path.suffix:
        path.write_text("")
        return path
    path.mkdir()
    (path / "__init__.py").write_text("")
    return path


def said(done: subprocess.CompletedProcess[str], path: Path, package: str) -> bool:
    return (
        f"{path} hides pixelarm's package '{package}' ({ROOT / package})" in done.stderr and "Rename it" in done.stderr
    )


# ---------------------------------------------------------------------------------------------------- a script of the
# user's
@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("sim", "import policies"),
        ("sim.py", "import policies"),
        ("robot", "import policies"),
        ("robot", "import sim"),
        ("robot", "import hardware"),
        *((name, "import pixelarm") for name in ("robot", "sim", "policies")),
    ],
)
def test_a_script_beside_such_a_folder(name: str, line: str, tmp_path: Path) -> None:
    pytest.importorskip("mujoco")
    path = shadow(tmp_path, name)
    (tmp_path / "mine.py").write_text(line)
    done = run(tmp_path, "mine.py")
    assert done.returncode == 1 and said(done, path, path.stem), done.stderr[-2000:]
    assert "HiddenPackage" in done.stderr.strip().splitlines()[-1]


def test_configs_matter_where_hydra_reads_them(tmp_path: Path) -> None:
    """Many projects have such a folder; only a training run needs ours."""
    pytest.importorskip("hydra")
    path = shadow(tmp_path, "configs")
    assert run(tmp_path, "-c", "import sim, policies.config").returncode == 0
    done = run(tmp_path, "-c", "from policies.training.train import compose")
    assert done.returncode == 1 and said(done, path, "configs")


AS_EDITABLE = """
import sys
from importlib.machinery import PathFinder
class Finder:  # as setuptools puts one behind all others: it adds our modules to any package with our package's name
    @staticmethod
    def find_spec(name, path=None, target=None):
        top, _, module = name.partition(".")
        if top in ("robot", "sim", "policies", "configs") and "." not in module:
            return PathFinder.find_spec(name, [{root!r} + (f"/{{top}}" if module else "")])
sys.meta_path[:] = [f for f in sys.meta_path if "editable" not in repr(f).lower()] + [Finder]
"""


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("sim", "import policies"),
        ("sim", "from sim.tasks import make_task"),
        ("sim", "from sim.envs.task_env import TaskEnv"),
        ("policies", "from policies.training.train import compose"),
        ("configs", "from policies.training.train import compose"),
    ],
)
def test_a_bare_folder_hides_a_package_that_is_installed_to_edit(name: str, line: str, tmp_path: Path) -> None:
    for needed in ("hydra", "mujoco"):
        pytest.importorskip(needed)
    (tmp_path / name).mkdir()
    code = AS_EDITABLE.format(root=str(ROOT)) + line
    done = run(tmp_path, "-c", code, PYTHONPATH="", MUJOCO_GL="")
    assert done.returncode == 1 and said(done, tmp_path / name, name), done.stderr[-2000:]
    (tmp_path / name).rename(tmp_path / "other")
    done = run(tmp_path, "-c", code, PYTHONPATH="", MUJOCO_GL="")
    assert done.returncode == 0, done.stderr[-2000:]


# ---------------------------------------------------------------------------------------------------------- the command
@pytest.mark.parametrize(
    ("name", "command"), [("sim", "train"), ("policies", "bench"), ("hardware", "sim-arm"), ("configs", "train")]
)
def test_a_command_says_it_in_one_line(name: str, command: str, tmp_path: Path) -> None:
    for needed in ("hydra", "mujoco"):
        pytest.importorskip(needed)
    path = shadow(tmp_path, name)
    done = run(tmp_path, "-m", "robot.cli", command, "--help")
    assert done.returncode == 2 and said(done, path, name), done.stderr[-2000:]
    assert done.stderr.startswith("pixelarm: ") and done.stderr.count("\n") == 1


def test_a_command_of_the_robot_side_needs_only_robot(tmp_path: Path) -> None:
    for name in ("sim", "policies", "configs", "hardware"):
        shadow(tmp_path, name)
    assert run(tmp_path, "-m", "robot.cli", "deploy", "--help").returncode == 0
    done = run(tmp_path, "-c", "from robot import profile; print(profile.shipped())")
    assert done.stdout.strip() == str(ROOT / "hardware" / "arms"), done.stderr


def test_processes_of_the_demo_find_our_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    from policies.demo.ros import importing_ours

    (shadow(tmp_path, "robot") / "cli.py").write_text("raise SystemExit('not ours')")
    assert run(tmp_path, "-m", "robot.cli", "--version").stderr == "not ours\n"
    monkeypatch.chdir(tmp_path)
    assert run(tmp_path, "-m", "robot.cli", "--version", **importing_ours()).returncode == 0
    monkeypatch.chdir(ROOT)
    assert run(ROOT, "-m", "robot.cli", "--version", **importing_ours(), PYTHONPATH="").returncode == 0
