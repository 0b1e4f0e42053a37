"""Choosing an OpenGL back end that works without a screen, before the first context is made.

Two facts rule this file. MuJoCo reads ``MUJOCO_GL`` once, when it is first imported. And the CUDA build of torch imports triton
lazily, whose LLVM clashes with the one Mesa has loaded by then: the process dies with a segmentation fault. Importing triton
first avoids that, so ``prepare`` does it whenever triton is installed.
"""

from __future__ import annotations

import ctypes.util
import importlib
import importlib.util
import os
import sys

from robot.errors import MissingDependency

INSTALL = "on Debian or Ubuntu: sudo apt-get install libegl1 libgl1 libgles2 libosmesa6"
_prepared = False


def prepare() -> None:
    """Settle ``MUJOCO_GL`` for a process without a screen; called when ``sim`` is imported, before MuJoCo is.

    A ``MUJOCO_GL`` that the user set is respected. Otherwise EGL is chosen if its library is there, then OSMesa.
    """
    global _prepared
    if not _prepared and sys.platform == "linux":
        if not os.environ.get("MUJOCO_GL"):
            found = _available()
            if found:
                os.environ["MUJOCO_GL"] = found
        if importlib.util.find_spec("triton") is not None:
            import triton  # noqa: F401  (before Mesa's LLVM, see above)
    _prepared = True


def require() -> None:
    """Raise MissingDependency, saying what to install, if nothing here can draw without a screen."""
    if sys.platform == "linux" and not os.environ.get("MUJOCO_GL") and not _available():
        raise MissingDependency(f"no OpenGL library for rendering without a screen (EGL or OSMesa); {INSTALL}")


def context_class() -> type:
    """MuJoCo's off-screen context class of the settled back end, also where MuJoCo was imported before ``sim``."""
    require()
    backend = os.environ.get("MUJOCO_GL", "").lower()
    if backend in ("egl", "osmesa"):
        return importlib.import_module(f"mujoco.{backend}").GLContext
    from mujoco.gl_context import GLContext

    return GLContext


def _available() -> str:
    if ctypes.util.find_library("EGL") and ctypes.util.find_library("GL"):
        return "egl"
    return "osmesa" if ctypes.util.find_library("OSMesa") else ""
