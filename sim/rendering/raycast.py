"""The second renderer: mujoco-warp's ray-caster on the CPU, which needs no OpenGL library.

It draws the plain look only (``plain_look`` in ``sim.scene.compile``): directional lights without ambient or specular
part, flat colours. There it agrees with OpenGL to within edges, so a policy may be trained on one and run on the other;
a textured scene is refused, because flat pictures in its place would go unnoticed until a policy fails on them.

Four things about mujoco-warp 3.9.0 (read from its source, each tried) shape this file:

* ``render`` defines and hashes its kernel anew at each call, 24 ms of Python. Its launches are recorded once and
  replayed.
* The kernel is compiled for every value it treats as a constant. Near plane and textures are therefore fixed, and the
  rays given, so that one compilation serves every scene with three lights, at any size and field of view.
* It ignores the colour of a light, of a geom that has a material, and transparency. What OpenGL would show is worked
  out here.
* The bounding box of a mesh is put around the mesh's origin as though that were its middle, and a mesh with fewer faces
  than it was compiled with keeps the old ones. Both are put right here.
"""

from __future__ import annotations

import contextlib
import copy
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import mujoco
import numpy as np

from robot.errors import MissingDependency, PixelarmError
from sim.scene.cache import cache_folder
from sim.scene.names import camera_id
from sim.scene.terms import own_colour

VISIBLE_GROUPS = [1, 2]  # as OpenGLRenderer: robosuite keeps collision shapes in group 0, visuals in 1
HIDDEN_GROUP = 5
LIGHT_DISTANCE = 1.0e4  # m; from so far a point light is a directional one
ATTENUATION = 0.02  # per m2; a point light's strength is 1 / (1 + 0.02 distance^2) in the ray-caster
_recording = threading.Lock()


class RayCastRenderer:
    """Draws a model's cameras by casting one ray a pixel, on one CPU core.

    Colours, lights and cameras may change in the model between two pictures; geometry may not.

    Raises:
        MissingDependency: mujoco-warp or warp is not installed.
        PixelarmError: a scene that it would draw differently from OpenGL; the message says why.
    """

    def __init__(self, model: mujoco.MjModel, height: int, width: int) -> None:
        wp, mjw = _warp()
        reason = why_not(model)
        if reason:
            raise PixelarmError(f"the ray-caster draws the plain look only: {reason}. {REMEDY}")
        self._model, self.height, self.width = model, height, width
        drawn = _drawable(model)
        with wp.ScopedDevice("cpu"):
            self._m = mjw.put_model(drawn)
            self._d = mjw.make_data(drawn, nworld=1, nconmax=1, njmax=1)
            self._context = mjw.create_render_context(
                drawn,
                nworld=1,
                cam_res=(width, height),
                cam_active=[camera == 0 for camera in range(model.ncam)],  # one at a time: see _look_from
                render_rgb=True,
                render_depth=False,
                render_seg=False,
                use_textures=False,
                use_shadows=False,
                use_ambient_lighting=False,
                enabled_geom_groups=VISIBLE_GROUPS,
            )
            self._context.znear = 1.0  # a constant of the kernel, and not used in it: the rays are given
            self._context.textures_registry.clear()  # never sampled
            self._context.mesh_bounds_size.assign(_mesh_reach(drawn))
            self._bounds = _record(wp, lambda: mjw.refit_bvh(self._m, self._d, self._context))
            self._draw = _record(wp, lambda: mjw.render(self._m, self._d, self._context))
        self._pixels = self._context.rgb_data.numpy()  # (1, height * width) 0xAARRGGBB, shared memory as all below
        self._camera = self._context.cam_id_map.numpy()
        self._rgba = self._m.geom_rgba.numpy()[0]
        self._light_active = self._m.light_active.numpy()[0]
        self._rays = self._context.ray.numpy()  # (height * width, 3) unit vectors in the camera's frame, row by row
        self._rays_of: dict[float, np.ndarray] = {}  # by field of view
        self._m.geom_matid.numpy()[:] = -1
        self._m.light_type.numpy()[:] = int(mujoco.mjtLightType.mjLIGHT_POINT)
        self._state = {
            name: getattr(self._d, name).numpy()[0]
            for name in ("geom_xpos", "geom_xmat", "cam_xpos", "cam_xmat", "light_xpos")
        }

    def render(self, data: mujoco.MjData, camera: str) -> np.ndarray:
        """A fresh ``(height, width, 3)`` uint8 image of ``data`` seen from ``camera``."""
        self._look_from(camera_id(self._model, camera))
        self._copy_state(data)
        self._pixels[:] = 0xFF000000  # what no ray hits is black, as OpenGL's cleared buffer
        for launch in self._bounds:
            launch.launch()
        self._context.bvh.refit()
        for launch in self._draw:
            launch.launch()
        argb = self._pixels.view(np.uint8).reshape(self.height, self.width, 4)
        return np.ascontiguousarray(argb[:, :, 2::-1])

    def _look_from(self, camera: int) -> None:
        self._camera[0] = camera
        fovy = float(self._model.cam_fovy[camera])
        if fovy not in self._rays_of:
            if len(self._rays_of) > 16:  # a field of view drawn anew for each episode
                self._rays_of.clear()
            self._rays_of[fovy] = _rays(fovy, self.height, self.width)
        self._rays[:] = self._rays_of[fovy]

    def _copy_state(self, data: mujoco.MjData) -> None:
        model, state = self._model, self._state
        for name in ("geom_xpos", "cam_xpos"):
            state[name][:] = getattr(data, name)
        for name in ("geom_xmat", "cam_xmat"):
            state[name][:] = getattr(data, name).reshape(-1, 3, 3)
        strength = model.light_diffuse.mean(axis=1)
        self._light_active[:] = model.light_active.astype(bool) & (strength > 0)
        distance = LIGHT_DISTANCE / np.sqrt(np.maximum(strength, 1e-6))
        state["light_xpos"][:] = -data.light_xdir * distance[:, None]
        self._rgba[:] = _colours(model)
        self._rgba[:, :3] *= 1.0 + ATTENUATION * LIGHT_DISTANCE**2

    def close(self) -> None:
        """Nothing to give back: memory goes with the object."""


REMEDY = (
    "Add the term plain_look to the recipe, or draw with OpenGL "
    "(on Debian or Ubuntu: sudo apt-get install libegl1 libgl1)"
)


def why_not(model: mujoco.MjModel) -> str:
    """Why the ray-caster would draw another picture than OpenGL; empty if it would not."""
    shown = np.isin(model.geom_group, VISIBLE_GROUPS) & (model.geom_matid >= 0)
    textured = model.geom_matid[shown][(model.mat_texid[model.geom_matid[shown]] >= 0).any(axis=1)]
    if len(textured):
        name = mujoco.mj_id2name(model, mujoco.mjtObj.mjOBJ_MATERIAL, int(textured[0]))
        return f"this scene has textures (material {name!r} and others)"
    if model.vis.headlight.active:
        return "this scene has a head light"
    if (model.light_type != mujoco.mjtLightType.mjLIGHT_DIRECTIONAL).any():
        return "this scene has a light that is not directional"
    if model.light_ambient.any() or model.light_specular.any() or np.ptp(model.light_diffuse, axis=1).any():
        return "this scene has a light that is coloured, or has an ambient or specular part"
    if model.cam_sensorsize.any() or model.cam_projection.any():
        return "this scene has a camera with a lens of its own, or an orthographic one"
    if model.nflex or model.nskin:
        return "this scene has a soft body"
    return ""


def _drawable(model: mujoco.MjModel) -> mujoco.MjModel:
    """A copy with what cannot be seen, or what is only physics and unknown to mujoco-warp, taken out."""
    drawn = copy.copy(model)
    drawn.opt.density = drawn.opt.viscosity = 0.0
    drawn.opt.integrator = mujoco.mjtIntegrator.mjINT_EULER
    drawn.opt.solver = mujoco.mjtSolver.mjSOL_NEWTON
    drawn.opt.noslip_iterations = drawn.opt.enableflags = 0
    drawn.geom_margin[:] = 0.0
    drawn.tex_width[:] = drawn.tex_height[:] = 1  # never sampled, yet converted texel by texel: 0.8 s for Lift's 20 MB
    drawn.geom_group[_colours(model)[:, 3] < 0.5] = HIDDEN_GROUP  # there is no half-way: glass is left out
    for mesh in range(model.nmesh):
        first = int(model.mesh_faceadr[mesh])
        last = int(model.mesh_faceadr[mesh + 1]) if mesh + 1 < model.nmesh else len(model.mesh_face)
        drawn.mesh_face[first + int(model.mesh_facenum[mesh]) : last] = 0  # no area: never hit
    return drawn


def _rays(fovy: float, height: int, width: int) -> np.ndarray:
    """Unit vectors, ``(height * width, 3)`` float32, through the pixels' middles of a camera that looks along -z,
    y up.
    """
    half = np.tan(np.radians(fovy) / 2)
    x = half * (2 * np.arange(width) + 1 - width) / height
    y = half * (height - 1 - 2 * np.arange(height)) / height
    rays = np.stack([*np.meshgrid(x, y), np.full((height, width), -1.0)], axis=-1).reshape(-1, 3)
    return (rays / np.linalg.norm(rays, axis=1, keepdims=True)).astype(np.float32)


def _mesh_reach(model: mujoco.MjModel) -> np.ndarray:
    """Half sizes, ``(nmesh, 3)`` m, of boxes around each mesh's origin that hold all its vertices."""
    first, count = model.mesh_vertadr, model.mesh_vertnum
    reach = [np.abs(model.mesh_vert[a : a + n]).max(axis=0) for a, n in zip(first, count)]
    return np.array(reach, np.float32).reshape(-1, 3)


def _colours(model: mujoco.MjModel) -> np.ndarray:
    """The colour of each geom, ``(ngeom, 4)`` float32, as MuJoCo's renderer chooses it:
    its own if set, else its material's.
    """
    of_material = ~own_colour(model)
    rgba = model.geom_rgba.copy()
    rgba[of_material] = model.mat_rgba[model.geom_matid[of_material]]
    return rgba


def _record(wp: Any, call: Callable[[], None]) -> list[Any]:
    """Do ``call`` once; returns its kernel launches, to be done again without the Python around them."""
    launches: list[Any] = []
    launch, thread = wp.launch, threading.get_ident()

    def record(*args: Any, **kwargs: Any) -> None:
        if threading.get_ident() != thread:
            return launch(*args, **kwargs)
        launches.append(launch(*args, record_cmd=True, **kwargs))
        launches[-1].launch()

    with _recording:
        wp.launch = record
        try:
            call()
        finally:
            wp.launch = launch
    return launches


def _warp() -> tuple[ModuleType, ModuleType]:
    """warp and mujoco-warp, quiet, with compiled kernels kept beside compiled scenes."""
    try:
        import warp as wp

        wp.config.quiet = True
        if wp.config.kernel_cache_dir is None and "WARP_CACHE_PATH" not in os.environ:
            wp.config.kernel_cache_dir = str(cache_folder() / "warp")
        with _without_driver_notice():
            wp.init()
        import mujoco_warp as mjw
    except ImportError as error:
        raise MissingDependency(
            f"the ray-caster needs mujoco-warp 3.9.0 and warp-lang 1.13.0 ({error}); pip install 'pixelarm[sim]'"
        ) from error
    return wp, mjw


@contextlib.contextmanager
def _without_driver_notice() -> Iterator[None]:
    """Hold back warp's line, written by its C++ part, that there is no NVIDIA driver: here nobody asked for one."""
    sys.stderr.flush()
    kept, terminal = tempfile.TemporaryFile(), os.dup(2)
    os.dup2(kept.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)
        kept.seek(0)
        for line in kept.read().decode(errors="replace").splitlines():
            if "NVIDIA CUDA driver" not in line:
                print(line, file=sys.stderr)
        kept.close()
