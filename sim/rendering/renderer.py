"""Drawing a camera's image from a simulation state, behind one interface.

``Renderer`` is what a world needs; ``OpenGLRenderer`` draws with MuJoCo's own renderer off-screen (EGL or OSMesa), the
``RayCastRenderer`` of ``sim.rendering.raycast`` without any OpenGL. ``make_renderer`` chooses. A renderer belongs to
the thread that made it, because an OpenGL context does.
"""

from __future__ import annotations

import atexit
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import mujoco
import numpy as np

from robot.errors import MissingDependency, UnknownName
from sim.rendering import gl
from sim.scene.names import camera_id

AUTO = "auto"
_said: set[str] = set()
_never_freed: list[mujoco.MjrContext] = []  # kept, since the end of such an object frees it


class Renderer(Protocol):
    """Draws ``(height, width, 3)`` uint8 RGB images, row 0 at the top."""

    def render(self, data: mujoco.MjData, camera: str) -> np.ndarray: ...

    def close(self) -> None: ...


class OpenGLRenderer:
    """MuJoCo's renderer with what a policy's camera does not need switched off: decoration, sky box, shadows, haze."""

    OFF: tuple[mujoco.mjtRndFlag, ...] = (
        mujoco.mjtRndFlag.mjRND_SHADOW,
        mujoco.mjtRndFlag.mjRND_REFLECTION,
        mujoco.mjtRndFlag.mjRND_SKYBOX,
        mujoco.mjtRndFlag.mjRND_FOG,
        mujoco.mjtRndFlag.mjRND_HAZE,
    )

    def __init__(self, model: mujoco.MjModel, height: int, width: int) -> None:
        self._gl = gl.make_context(width, height)
        self._model, self.height, self.width = model, height, width
        # the context takes its buffer's size from here
        model.vis.global_.offheight, model.vis.global_.offwidth = height, width
        self._gl.make_current()
        with _without_textures(model, self._unseen_textures()):
            self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100.value)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._context)
        self._context.readDepthMap = mujoco.mjtDepthMap.mjDEPTH_ZERONEAR
        self._scene = mujoco.MjvScene(model, maxgeom=1000)
        for flag in self.OFF:
            self._scene.flags[flag] = 0
        self._option = mujoco.MjvOption()
        self._option.geomgroup[0] = 0  # robosuite keeps collision shapes in group 0, visuals in 1
        self._option.sitegroup[:] = 0
        self._camera = mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._rect = mujoco.MjrRect(0, 0, width, height)
        self._perturb = mujoco.MjvPerturb()
        self._pixels = np.empty((height, width, 3), np.uint8)
        _open.append(self)
        close_first_at_exit()

    def _unseen_textures(self) -> np.ndarray:
        """Numbers of the textures that no material has, and of sky boxes where they are switched off."""
        seen = np.isin(np.arange(self._model.ntex), self._model.mat_texid)
        if mujoco.mjtRndFlag.mjRND_SKYBOX not in self.OFF:
            seen |= self._model.tex_type == mujoco.mjtTexture.mjTEXTURE_SKYBOX
        return np.flatnonzero(~seen)

    def render(self, data: mujoco.MjData, camera: str) -> np.ndarray:
        """A fresh ``(height, width, 3)`` uint8 image of ``data`` seen from ``camera``."""
        self._gl.make_current()
        self._camera.fixedcamid = camera_id(self._model, camera)
        mujoco.mjv_updateScene(
            self._model, data, self._option, self._perturb, self._camera, mujoco.mjtCatBit.mjCAT_ALL.value, self._scene
        )
        mujoco.mjr_render(self._rect, self._scene, self._context)
        mujoco.mjr_readPixels(self._pixels, None, self._rect, self._context)
        return self._pixels[::-1].copy()

    def close(self) -> None:
        if self not in _open:
            return
        _open.remove(self)
        try:
            # MuJoCo deletes its objects by number in the context that is current, whosever it is.
            self._gl.make_current()
        except (
            Exception
        ):  # each back end has its own: the context is bound to another thread, perhaps one that has ended
            _never_freed.append(self._context)
        else:
            self._context.free()
        self._gl.free()  # what was not freed goes with it


_open: list[OpenGLRenderer] = []  # those of this process that are not closed


def close_first_at_exit() -> None:
    """When the interpreter ends, close what is still open before anything registered so far: a context that outlives
    its display, which dm_control ends, or the interpreter's modules complains while dying."""
    atexit.unregister(_close_open)
    atexit.register(_close_open)


def _close_open() -> None:
    for renderer in list(_open):
        renderer.close()


@contextmanager
def _without_textures(model: mujoco.MjModel, unseen: np.ndarray) -> Iterator[None]:
    """Textures by number are one pixel large for a while: copying those of Lift, none of which the plain look shows,
    takes 0.5 s.
    """
    sizes = model.tex_height[unseen], model.tex_width[unseen]
    model.tex_height[unseen] = model.tex_width[unseen] = 1
    try:
        yield
    finally:
        model.tex_height[unseen], model.tex_width[unseen] = sizes


def _ray_cast(model: mujoco.MjModel, height: int, width: int) -> Renderer:
    from sim.rendering.raycast import RayCastRenderer  # warp takes two seconds to import

    return RayCastRenderer(model, height, width)


# every renderer by name, beside "auto"; outsiders may add their own
RENDERERS: dict[str, Callable[[mujoco.MjModel, int, int], Renderer]] = {"opengl": OpenGLRenderer, "raycast": _ray_cast}


def check_renderer(kind: str) -> str:
    """``kind`` if ``make_renderer`` knows it; else UnknownName lists what it knows."""
    if kind != AUTO and kind not in RENDERERS:
        raise UnknownName("renderer", kind, [AUTO, *RENDERERS])
    return kind


def make_renderer(model: mujoco.MjModel, height: int, width: int, kind: str = AUTO) -> Renderer:
    """A renderer of ``height`` x ``width`` pixel images.

    Args:
        kind: a name in ``RENDERERS``, or "auto": OpenGL if it works here, else the ray-caster, with one line in the log
            that says so.
    """
    if check_renderer(kind) != AUTO:
        return RENDERERS[kind](model, height, width)
    try:
        return OpenGLRenderer(model, height, width)
    except MissingDependency as missing:
        if str(missing) not in _said:  # once a process, not once a world
            _said.add(str(missing))
            logging.getLogger(__name__).warning(
                "drawing with the ray-caster, about four times slower than OpenGL: %s", missing
            )
        return _ray_cast(model, height, width)
