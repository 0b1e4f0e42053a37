"""Choosing an OpenGL back end that works without a screen, before the first context is made.

Two facts rule this file. MuJoCo reads ``MUJOCO_GL`` once, when it is first imported. And the CUDA build of torch
imports triton lazily, whose LLVM clashes with the one Mesa has loaded by then: the process dies with a segmentation
fault. Importing triton first avoids that, so ``prepare`` does it whenever triton is installed.
"""

from __future__ import annotations

import ctypes.util
import importlib
import importlib.util
import os
import sys
from types import ModuleType
from typing import Any

from robot.errors import MissingDependency
from robot.packages import require_ours

# where pixelarm is installed to edit, its modules are found inside a package `sim` that is not ours and that prepares
# nothing
require_ours("sim")
INSTALL = "on Debian or Ubuntu: sudo apt-get install libegl1 libgl1 libgles2 libosmesa6"
LIBRARIES = {"egl": ("EGL", "GL"), "osmesa": ("OSMesa",)}  # what each back end loads; the first that is there is chosen
OFF = "disable"  # MuJoCo's word for: import no OpenGL
_prepared = False
_missing = ""  # why nothing can be drawn with OpenGL, as found by prepare


def prepare() -> None:
    """Settle ``MUJOCO_GL`` for a process without a screen; called when ``sim`` is imported, before MuJoCo is.

    A ``MUJOCO_GL`` that the user set is respected, if its library is there. Otherwise EGL is chosen if its library is
    there, then OSMesa. Without any, OpenGL is switched off: MuJoCo would fail at its import.
    """
    global _prepared, _missing
    if not _prepared and sys.platform == "linux":
        chosen = os.environ.get("MUJOCO_GL", "").strip().lower()
        if not chosen:
            os.environ["MUJOCO_GL"] = _available() or OFF
            _missing = "" if _available() else "no OpenGL library for rendering without a screen (EGL or OSMesa)"
        elif chosen in LIBRARIES and not _is_here(chosen):
            os.environ["MUJOCO_GL"] = OFF
            _missing = f"MUJOCO_GL={chosen}, but its library is not here"
        elif chosen == OFF:
            _missing = f"OpenGL is switched off (MUJOCO_GL={OFF})"
        if importlib.util.find_spec("triton") is not None:
            import triton  # noqa: F401  (before Mesa's LLVM, see above)
    _prepared = True


def require() -> None:
    """Raise MissingDependency, saying what to install, if nothing here can draw without a screen."""
    missing = _missing
    if sys.platform == "linux" and not os.environ.get("MUJOCO_GL") and not _available():
        missing = "no OpenGL library for rendering without a screen (EGL or OSMesa)"
    if missing:
        raise MissingDependency(f"{missing}; {INSTALL}")


def make_context(width: int, height: int) -> Any:
    """An off-screen OpenGL context of MuJoCo's.

    Raises:
        MissingDependency: no library to draw with, or it does not start; the message says why and what to install.
    """
    try:
        return context_class()(width, height)
    except MissingDependency:
        raise
    except Exception as error:  # ImportError, AttributeError, RuntimeError or FatalError: each back end has its own
        chosen = os.environ.get("MUJOCO_GL", "")
        raise MissingDependency(f"OpenGL (MUJOCO_GL={chosen}) does not start: {error}; {INSTALL}") from error


def context_class() -> type:
    """MuJoCo's off-screen context class of the settled back end, also where MuJoCo was imported before ``sim``."""
    require()
    backend = os.environ.get("MUJOCO_GL", "").lower()
    if backend in ("egl", "osmesa"):
        return importlib.import_module(f"mujoco.{backend}").GLContext
    from mujoco.gl_context import GLContext

    return GLContext


def import_robosuite() -> ModuleType:
    """robosuite, also where OpenGL is absent, and without what its import does to ``MUJOCO_GL``.

    It imports OpenCV for a window that nothing here opens, and OpenCV wants libGL: an empty module stands in where that
    fails.
    """
    chosen = os.environ.get("MUJOCO_GL")
    try:
        import cv2  # noqa: F401
    except ImportError:
        sys.modules["cv2"] = ModuleType("cv2")
    try:
        import robosuite
    finally:
        if chosen is None:
            os.environ.pop("MUJOCO_GL", None)
        else:
            os.environ["MUJOCO_GL"] = chosen
        if not hasattr(sys.modules["cv2"], "__file__"):
            del sys.modules["cv2"]  # robosuite holds its own reference; others shall hear the true reason
    return robosuite


def _available() -> str:
    return next((backend for backend in LIBRARIES if _is_here(backend)), "")


def _is_here(backend: str) -> bool:
    return all(ctypes.util.find_library(name) for name in LIBRARIES[backend])
