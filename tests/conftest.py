"""What every test shares: one thread each (two processes run them), and ROS that nobody else hears."""

from __future__ import annotations

import gc
import os
import re
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

# Before numpy, torch or rclpy is imported anywhere; child processes inherit it.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
os.environ["ROS_DOMAIN_ID"] = str(1 + os.getpid() % 101)  # 0 to 101 are free of the system's own ports
os.environ["ROS_LOG_DIR"] = tempfile.mkdtemp(prefix="pixelarm-ros-log-")

# a shell that starts the tests in the background has them ignore Ctrl-C, and so would every process that they start
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parent.parent

# absl (dm_control, TensorBoard) logs to what is sys.stderr when it is imported, here pytest's capture, and closes that
# when anybody configures logging anew, as Hydra does; the process's own stderr it leaves open
with suppress(ImportError):
    from absl import logging as _absl

    _absl.get_absl_handler().python_handler.setStream(sys.__stderr__)


@pytest.fixture(autouse=True)
def _one_torch_thread() -> Iterator[None]:
    """A test that raised the number of threads does not slow the next one down."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.get_num_threads() != 1:
        torch.set_num_threads(1)
    yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with long tests first: workers that take one file after the other then end at about the same time."""
    long = {item.path for item in items if any(item.iter_markers("slow")) or any(item.iter_markers("train"))}
    items.sort(key=lambda item: item.path not in long)


def pytest_collection_finish() -> None:
    """The garbage collector passes over what imports have made, millions of objects that stay: a tenth of the time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def blind() -> str:
    """The name of a renderer whose pictures are black: half the time of a step, where nobody looks at them."""
    pytest.importorskip("mujoco")
    import numpy as np

    from sim.rendering.renderer import RENDERERS

    class Blind:
        def __init__(self, model: Any, height: int, width: int) -> None:
            self.shape = height, width, 3

        def render(self, data: Any, camera: str) -> np.ndarray:
            return np.zeros(self.shape, np.uint8)

        def close(self) -> None:
            pass

    RENDERERS["blind"] = Blind
    return "blind"


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root."""
    return ROOT


@pytest.fixture(scope="session")
def in_shared_memory() -> Callable[[], set[str]]:
    """What multiprocessing has in /dev/shm now (blocks, arenas, semaphores; other programs' files have other names),
    but for what is in use by processes that these tests did not start: pytest-xdist has others run beside them."""

    def names() -> set[str]:
        # by inode: a semaphore's maker has it mapped under the name that it was made with, which is gone
        found = {e.inode(): e.name for e in os.scandir("/dev/shm") if re.match(r"pym-|psm_|mp-|sem\.mp-", e.name)}
        ours = os.fsencode(os.environ["ROS_LOG_DIR"])  # inherited by each process that is started from here
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it has ended, or is another user's
                if process.name != str(os.getpid()) and ours not in (process / "environ").read_bytes():
                    for line in (process / "maps").read_text().splitlines():
                        if "/dev/shm/" in line:
                            found.pop(int(line.split()[4]), None)
        return set(found.values())

    return names


@pytest.fixture(scope="session")
def lift_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle for Lift, made by hand: it goes to a fixed point above the table and closes the gripper."""
    pytest.importorskip("mujoco")
    from sim.tasks import make_task

    return point_bundle(make_task("lift").contract, tmp_path_factory.mktemp("policy"), (0.5, 0.05, 0.05))


@pytest.fixture(scope="session")
def so101_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same for Reach with an SO-101, 32 pixels wide."""
    pytest.importorskip("mujoco")
    from sim.envs.config import TaskConfig
    from sim.envs.make import configured_task

    contract = configured_task(TaskConfig("reach", 32, arm="so101")).contract
    return point_bundle(contract, tmp_path_factory.mktemp("policy"), (0.24, 0.08, 0.06))


def point_bundle(contract: Any, folder: Path, goal: tuple[float, float, float]) -> Path:
    """A bundle that goes to a point (m, base frame) and closes the gripper."""
    pytest.importorskip("onnx")
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    from robot import bundle

    inputs = [helper.make_tensor_value_info(c.name, TensorProto.UINT8, [1, *c.shape]) for c in contract.cameras]
    inputs += [helper.make_tensor_value_info(p.name, TensorProto.FLOAT, [1, p.size]) for p in contract.proprio]
    graph = helper.make_graph(
        [
            helper.make_node("Sub", ["goal", "eef_pos"], ["delta"]),
            helper.make_node("Concat", ["delta", "grip"], ["action"], axis=1),
        ],
        "to_a_point",
        inputs,
        [helper.make_tensor_value_info("action", TensorProto.FLOAT, [1, 4])],
        [
            numpy_helper.from_array(np.array([goal], np.float32), "goal"),
            numpy_helper.from_array(np.array([[1.0]], np.float32), "grip"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bundle.write(folder / "bundle", model.SerializeToString(), contract, {"recipe": "by hand"})


def pytest_unconfigure() -> None:
    import shutil

    gc.unfreeze()  # what is never collected, its makers report as leaked
    shutil.rmtree(os.environ["ROS_LOG_DIR"], ignore_errors=True)
