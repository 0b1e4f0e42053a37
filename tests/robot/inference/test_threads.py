"""Beside a control loop numpy computes in one thread, whoever starts it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from robot.inference.threads import BLAS

PRODUCT = """
import importlib, os, sys
importlib.import_module(sys.argv[1])
assert "numpy" not in sys.modules or sys.argv[1] == "numpy"
import numpy as np
a = np.ones((2000, 2000), np.float32)
a @ a
print(len(os.listdir("/proc/self/task")))
"""


def threads(root: Path, module: str, **variables: str) -> int:
    """Of a process that imports a module and multiplies two matrices."""
    kept = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    call = [sys.executable, "-c", PRODUCT, module]
    return int(subprocess.run(call, cwd=root, env={**kept, **variables}, check=True, capture_output=True).stdout)


@pytest.mark.parametrize("package", ["robot.commands", "robot.ros", "hardware.commands", "hardware.ros"])
def test_one_thread_multiplies(root: Path, package: str) -> None:
    if threads(root, "numpy") == 1:
        pytest.skip("numpy multiplies with one thread here in any case")
    assert threads(root, package) == 1


def test_a_user_who_wants_more_gets_them(root: Path) -> None:
    assert threads(root, "robot.commands", **dict.fromkeys(BLAS, "2")) == threads(
        root, "numpy", **dict.fromkeys(BLAS, "2")
    )
