"""Pictures: one interface, two renderers that agree in the plain look, a fallback that says so, and a stored picture.

The ray-caster compiles its kernels the first time on a machine (about 8 s on one core, kept in the cache), hence
`slow`.
"""

import os
import subprocess
import sys
import threading
from pathlib import Path

import mujoco
import numpy as np
import pytest
from PIL import Image

from robot.errors import MissingDependency, PixelarmError, UnknownName
from sim.arms import ARMS
from sim.bench.tasks import without_terms
from sim.envs.make import make
from sim.envs.task_world import build_world, reset_world
from sim.rendering import gl, raycast
from sim.rendering import renderer as render
from sim.rendering.raycast import RayCastRenderer, why_not
from sim.rendering.renderer import OpenGLRenderer, make_renderer
from sim.scene.compile import scene_name
from sim.scene.terms import plain_lights
from sim.tasks import TASKS, make_task
from sim.tasks.common.base import Task

SIZE = 84
AGREE = 3.0  # mean absolute difference of 255 between the renderers; 0.8 to 2.1 measured on Lift
LIFT = make_task("lift")
GOLDEN = Path(__file__).parent / "golden" / "lift_plain.png"


def name_of(task: Task) -> str:
    return scene_name(task.recipe, task.arm, getattr(task, "build", None))


# one task for each scene: the kitchen's tasks share theirs
SCENES = sorted({name_of(make_task(name)): name for name in sorted(TASKS, reverse=True)}.values())
LIFT_CAMERAS = ("agentview", "robot0_eye_in_hand", "frontview")


def difference(a: np.ndarray, b: np.ndarray) -> float:
    """Mean absolute difference of two uint8 images."""
    assert a.shape == b.shape and a.dtype == b.dtype == np.uint8
    return float(np.abs(a.astype(float) - b).mean())


def positions(model: mujoco.MjModel, data: mujoco.MjData) -> mujoco.MjData:
    mujoco.mj_kinematics(model, data)
    mujoco.mj_camlight(model, data)
    return data


@pytest.fixture(scope="module")
def lift():
    world = build_world(LIFT)
    reset_world(world, LIFT, 0)
    yield world
    world.close()


@pytest.fixture
def changeable(lift):
    """Lift's model, whose colours, lights and cameras are put back afterwards."""
    fields = ("mat_rgba", "geom_rgba", "light_dir", "light_diffuse", "light_active", "cam_fovy", "cam_pos", "mat_texid")
    kept = {name: getattr(lift.model, name).copy() for name in fields}
    yield lift.model
    for name, value in kept.items():
        getattr(lift.model, name)[:] = value
    lift.model.vis.headlight.active = 0


class WithAllTextures(OpenGLRenderer):
    """Hands every texture of the model to OpenGL."""

    def _unseen_textures(self):
        return np.arange(0)


@pytest.fixture(scope="module")
def both(lift):
    renderers = OpenGLRenderer(lift.model, SIZE, SIZE), RayCastRenderer(lift.model, SIZE, SIZE)
    yield renderers
    for renderer in renderers:
        renderer.close()


# ------------------------------------------------------------------------------------------ the two agree
@pytest.mark.slow
@pytest.mark.gl
@pytest.mark.parametrize("camera", LIFT_CAMERAS)
def test_ray_caster_and_opengl_show_the_same_lift(lift, both, camera):
    data = positions(lift.model, lift.data)
    drawn, cast = (renderer.render(data, camera) for renderer in both)
    assert drawn.std() > 10 and difference(drawn, cast) < AGREE
    assert difference(cast, cast[:, ::-1]) > 0  # not blank
    assert difference(drawn, cast[:, ::-1]) > difference(drawn, cast)  # nor mirrored


@pytest.mark.slow
@pytest.mark.gl
@pytest.mark.parametrize("name", SCENES)
@pytest.mark.parametrize("look", ["plain", "textured"])
def test_every_scene_in_both_looks_on_both_renderers(name, look):
    """The plain look is the same on both; the textured one is drawn by OpenGL
    and refused in words by the ray-caster.
    """
    task = make_task(name, image_size=SIZE)  # of the view, too: one renderer in each world
    if look == "textured":
        task = without_terms(task, "plain_look")
    opengl, cast = build_world(task, "opengl"), build_world(task, "raycast")
    for world in (opengl, cast):
        reset_world(world, task, 1)
    for camera in (c.name for c in task.contract.cameras):
        picture = opengl.render(camera)
        assert picture.std() > 5
        if look == "plain":
            assert difference(picture, cast.render(camera)) < AGREE
        else:
            with pytest.raises(
                PixelarmError, match=r"plain look only: this scene has textures \(material '.*plain_look"
            ):
                cast.render(camera)
    if look == "plain":
        views = (world.render_view("frontview", SIZE, SIZE) for world in (opengl, cast))
        assert difference(*views) < AGREE
    for world in (opengl, cast):
        world.close()


@pytest.mark.slow
@pytest.mark.gl
@pytest.mark.parametrize("arm", [name for name in ARMS if name != "panda"])  # the Panda is in every scene above
def test_every_arm_on_both_renderers(arm):
    task = make_task("lift", image_size=SIZE, arm=ARMS[arm])
    worlds = [build_world(task, renderer) for renderer in ("opengl", "raycast")]
    for world in worlds:
        reset_world(world, task, 1)
    for camera in (*task.camera_in_scene.values(), "frontview"):
        drawn, cast = (world.render_view(camera, SIZE, SIZE) for world in worlds)
        assert drawn.std() > 5 and difference(drawn, cast) < AGREE, camera
    for world in worlds:
        world.close()


@pytest.mark.slow
@pytest.mark.gl
def test_changes_of_colour_light_and_camera_show_in_both(lift, both, changeable):
    """What domain randomisation changes between two episodes."""
    rng = np.random.default_rng(0)
    before = [renderer.render(positions(lift.model, lift.data), "agentview") for renderer in both]
    cube = changeable.geom_matid[mujoco.mj_name2id(changeable, mujoco.mjtObj.mjOBJ_GEOM, "cube_g0_vis")]
    changeable.mat_rgba[:, :3] *= rng.uniform(0.5, 1.0, (changeable.nmat, 3))
    changeable.mat_rgba[cube, :3] = (0.0, 0.4, 0.1)
    changeable.light_dir[:] += rng.normal(0, 0.2, (3, 3))
    changeable.light_dir[:] /= np.linalg.norm(changeable.light_dir, axis=1, keepdims=True)
    changeable.light_diffuse[:] = np.array([0.7, 1.2, 0.0])[:, None]
    changeable.cam_fovy[:] += 6.0
    changeable.cam_pos[:, 2] += 0.03
    for camera in LIFT_CAMERAS:
        drawn, cast = (renderer.render(positions(lift.model, lift.data), camera) for renderer in both)
        assert difference(drawn, cast) < AGREE
        if camera == "agentview":
            assert difference(drawn, before[0]) > 10 and difference(cast, before[1]) > 10


@pytest.mark.slow
@pytest.mark.gl
def test_a_colour_worked_out_by_hand_and_a_mesh_off_centre():
    """A grey plate under the three lights, on it a black spike whose centre of mass is far from the middle
    of its box.
    """
    box, mesh = mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_MESH
    spec = mujoco.MjSpec()
    plain_lights(spec)
    spec.add_material(name="grey", rgba=[0.2, 0.3, 0.1, 1.0])
    spec.worldbody.add_geom(type=box, size=[2.0, 2.0, 0.1], group=1, material="grey")
    spec.worldbody.add_geom(type=box, size=[2.0, 2.0, 0.1], group=1, pos=[0, 0, 1.0], rgba=[1, 0, 0, 0])  # clear glass
    spec.worldbody.add_geom(
        type=box, size=[2.0, 2.0, 0.1], group=0, pos=[0, 0, 1.5], rgba=[1, 0, 0, 1]
    )  # not to be seen
    for x in np.arange(-1.5, 0.5, 0.1):  # enough shapes that their bounding boxes decide which are looked at
        spec.worldbody.add_geom(type=box, size=[0.01] * 3, group=1, pos=[x, -0.5, 0.2], material="grey")
    corners = [[0, -0.3, 0], [0, 0.3, 0], [0, 0, 0.3], [1.6, 0, 0]]
    spec.add_mesh(name="spike", uservert=np.array(corners, float).ravel().tolist())
    spec.worldbody.add_geom(type=mesh, meshname="spike", rgba=[0, 0, 0, 1], pos=[-0.8, 0.3, 0.1], group=2)
    spec.worldbody.add_camera(name="above", pos=[0, 0, 4.0], fovy=40)  # looks down
    model = spec.compile()
    model.vis.quality.offsamples = 0
    data = positions(model, mujoco.MjData(model))
    drawn, cast = (kind(model, 64, 96).render(data, "above") for kind in (OpenGLRenderer, RayCastRenderer))
    # a face upwards gets the sum of -direction_z / |direction| of the lights:
    # 1 / sqrt(0.04 + 1) + 2 * 0.5 / sqrt(0.64 + 0.09 + 0.25) = 0.98058 + 1.01015 = 1.99073
    expected = 255 * 1.99073 * np.array([0.2, 0.3, 0.1])  # 101.5, 152.3, 50.8
    for image in (drawn, cast):
        assert image.shape == (64, 96, 3)
        assert np.abs(image[55, 20] - expected).max() <= 1.5
    # with a box around its middle 12 pixels of the spike's tip were missing
    assert (np.abs(drawn.astype(int) - cast) > 8).any(axis=2).sum() <= 4


@pytest.mark.gl
def test_opengl_draws_the_stored_picture(lift):
    """For regressions of scene and renderer alike. If a change is meant: run this test with PIXELARM_GOLDEN=write in
    the environment, and look at the picture before it is committed."""
    renderer = OpenGLRenderer(lift.model, SIZE, SIZE)
    data = positions(lift.model, lift.data)
    image = np.concatenate([renderer.render(data, camera) for camera in LIFT_CAMERAS], axis=1)
    renderer.close()
    if os.environ.get("PIXELARM_GOLDEN") == "write":
        Image.fromarray(image).save(GOLDEN, optimize=True)
    assert difference(image, np.asarray(Image.open(GOLDEN))) < 1.0


@pytest.mark.gl
@pytest.mark.parametrize(("look", "unseen"), [("plain", 7), ("textured", 1)])
def test_textures_that_nothing_shows_are_not_copied_and_the_picture_is_the_same(look, unseen):
    """Lift has 7 textures. The plain look shows none of them, the textured one all but the sky."""
    task = make_task("lift") if look == "plain" else without_terms(make_task("lift"), "plain_look")
    world = build_world(task, "opengl")
    reset_world(world, task, 0)
    data, sizes = positions(world.model, world.data), world.model.tex_width.copy()
    few, all_ = OpenGLRenderer(world.model, SIZE, SIZE), WithAllTextures(world.model, SIZE, SIZE)
    assert len(few._unseen_textures()) == unseen and np.array_equal(world.model.tex_width, sizes)
    for camera in LIFT_CAMERAS:
        assert np.array_equal(few.render(data, camera), all_.render(data, camera))
    for each in (few, all_, world):
        each.close()


@pytest.mark.gl
@pytest.mark.parametrize("drawn_in", ["this thread", "a thread that has ended"])
def test_a_closed_renderer_leaves_the_pictures_of_another_alone(drawn_in):
    worlds = build_world(LIFT, "opengl"), build_world(LIFT, "opengl")
    first, second = worlds
    scenes = []
    for seed in (1, 2):
        reset_world(second, LIFT, seed)
        scenes.append(second.render("agentview"))
    assert difference(*scenes) > 0.1
    reset_world(first, LIFT, 0)
    draw = threading.Thread(target=first.render, args=("agentview",))
    draw.run() if drawn_in == "this thread" else draw.start()
    if draw.ident is not None:
        draw.join()
    reset_world(second, LIFT, 2)
    second.render("agentview")  # its context is the current one
    first.close()
    for seed, before in zip((1, 2), scenes):
        reset_world(second, LIFT, seed)
        assert np.array_equal(second.render("agentview"), before)
    second.close()


# ------------------------------------------------------------------------------------------ the choice
@pytest.fixture
def no_gl(monkeypatch):
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.setattr(gl.ctypes.util, "find_library", lambda name: None)
    monkeypatch.setattr(render, "_said", set())


def test_without_a_gl_library_the_ray_caster_draws_and_one_line_says_so(no_gl, lift, monkeypatch, caplog):
    monkeypatch.setattr(render, "_ray_cast", lambda model, height, width: ("cast", height, width))
    assert make_renderer(lift.model, 48, 64) == ("cast", 48, 64)
    assert make_renderer(lift.model, 48, 48) == ("cast", 48, 48)
    (record,) = caplog.records
    assert "ray-caster" in record.message and "no OpenGL library" in record.message and "apt-get" in record.message
    with pytest.raises(MissingDependency, match="no OpenGL library"):
        make_renderer(lift.model, 48, 64, kind="opengl")


def test_opengl_that_does_not_start_is_a_missing_library_too(lift, monkeypatch, caplog):
    def broken():
        raise AttributeError("'NoneType' object has no attribute 'eglQueryString'")

    monkeypatch.setattr(gl, "context_class", broken)
    monkeypatch.setattr(render, "_said", set())
    monkeypatch.setattr(render, "_ray_cast", lambda model, height, width: "cast")
    assert make_renderer(lift.model, 8, 8) == "cast" and "eglQueryString" in caplog.text
    with pytest.raises(MissingDependency, match="does not start.*eglQueryString.*apt-get"):
        make_renderer(lift.model, 8, 8, kind="opengl")


@pytest.mark.slow
def test_an_episode_without_any_opengl():
    """In a process that finds neither EGL nor OSMesa, nor OpenCV (which wants libGL);
    nothing but our one line is printed.
    """
    script = """
import ctypes.util, sys
ctypes.util.find_library = lambda name: None
sys.modules["cv2"] = None  # its import fails
from sim.envs.make import make
env = make("lift", image_size=48)
env.reset(seed=0)
image = env.step(env.action_space.sample())[0]["agentview"]
assert image.shape == (48, 48, 3) and image.std() > 10
assert not any(name.startswith("OpenGL.") for name in sys.modules)
"""
    environment = {name: value for name, value in os.environ.items() if name != "MUJOCO_GL"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("drawing with the ray-caster") and not done.stdout


@pytest.mark.slow
@pytest.mark.gl
def test_opengl_ray_caster_and_torch_live_in_one_process():
    """Three copies of LLVM: Mesa's, warp's and triton's."""
    script = """
from sim.envs.make import make
for kind in ("opengl", "raycast"):
    assert make("lift", renderer=kind).reset(seed=0)[0]["agentview"].std() > 5
import torch
parameter = torch.nn.Parameter(torch.zeros(3))
optimizer = torch.optim.Adam([parameter])
parameter.sum().backward()
optimizer.step()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, (done.returncode, done.stderr[-2000:])


def test_names_that_do_not_exist_list_those_that_do(lift):
    with pytest.raises(UnknownName, match="renderer 'vulkan'.*auto, opengl, raycast"):
        make_renderer(lift.model, 8, 8, kind="vulkan")
    with pytest.raises(UnknownName, match="renderer 'vulkan'.*auto, opengl, raycast"):
        make("lift", renderer="vulkan")  # at the start, not at the first picture


@pytest.mark.slow
@pytest.mark.gl
def test_a_camera_that_does_not_exist_names_those_that_do(lift, both):
    for renderer in both:
        with pytest.raises(UnknownName, match="camera 'front'.*agentview.*frontview"):
            renderer.render(lift.data, "front")


def test_without_the_package_the_ray_caster_says_what_to_install(lift, monkeypatch):
    monkeypatch.setitem(sys.modules, "mujoco_warp", None)
    with pytest.raises(MissingDependency, match=r"mujoco-warp.*pip install 'pixelarm\[sim\]'"):
        RayCastRenderer(lift.model, 8, 8)


def test_the_ray_caster_says_why_it_would_draw_another_picture(changeable):
    assert why_not(changeable) == ""
    changeable.vis.headlight.active = 1
    assert "head light" in why_not(changeable)
    changeable.vis.headlight.active = 0
    changeable.light_diffuse[1] = (1.0, 0.5, 0.5)
    assert "coloured" in why_not(changeable)
    changeable.light_diffuse[1] = 0.5
    assert why_not(changeable) == ""  # weaker is fine
    changeable.mat_texid[:, 1] = 0
    assert "textures (material" in why_not(changeable)


def test_colours_follow_mujocos_rule(changeable):
    """A geom's own colour counts if it was set, else its material's."""
    cube = mujoco.mj_name2id(changeable, mujoco.mjtObj.mjOBJ_GEOM, "cube_g0_vis")
    material = changeable.geom_matid[cube]
    assert np.array_equal(raycast._colours(changeable)[cube], changeable.mat_rgba[material])
    changeable.geom_rgba[cube] = (0.1, 0.2, 0.3, 1.0)
    assert np.allclose(raycast._colours(changeable)[cube], (0.1, 0.2, 0.3, 1.0))
