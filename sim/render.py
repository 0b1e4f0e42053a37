"""Drawing a camera's image from a simulation state, behind one interface.

``Renderer`` is what a world needs; ``OpenGLRenderer`` draws with MuJoCo's own renderer off-screen (EGL or OSMesa). A renderer
belongs to the thread that made it, because an OpenGL context does.
"""

from __future__ import annotations

import atexit
from typing import Protocol

import mujoco
import numpy as np

from sim import gl
from sim.scene import camera_id


class Renderer(Protocol):
    """Draws ``(height, width, 3)`` uint8 RGB images, row 0 at the top."""

    def render(self, data: mujoco.MjData, camera: str) -> np.ndarray: ...

    def close(self) -> None: ...


class OpenGLRenderer:
    """MuJoCo's renderer with what a policy's camera does not need switched off: decoration, sky box, shadows, haze."""

    OFF = (
        mujoco.mjtRndFlag.mjRND_SHADOW,
        mujoco.mjtRndFlag.mjRND_REFLECTION,
        mujoco.mjtRndFlag.mjRND_SKYBOX,
        mujoco.mjtRndFlag.mjRND_FOG,
        mujoco.mjtRndFlag.mjRND_HAZE,
    )

    def __init__(self, model: mujoco.MjModel, height: int, width: int) -> None:
        GLContext = gl.context_class()

        self._model, self.height, self.width = model, height, width
        model.vis.global_.offheight = max(model.vis.global_.offheight, height)
        model.vis.global_.offwidth = max(model.vis.global_.offwidth, width)
        self._gl = GLContext(width, height)
        self._gl.make_current()
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
        self._open = True
        atexit.register(self.close)  # a context that outlives the interpreter's modules complains while dying

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
        if self._open:
            self._open = False
            atexit.unregister(self.close)
            self._context.free()
            self._gl.free()
