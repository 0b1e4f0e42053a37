"""From a robosuite environment, or gymnasium-robotics' kitchen, to a compiled MuJoCo model that is cheap to draw and to step.

A scene is a source (the environment's MJCF) and a list of named terms, each a small function that saves time or fixes the look.
Every term can be left out, so what each one costs or saves can be measured. The compiled model is cached on disk under a hash of
all that it follows from: the recipe, the library versions, and the text of what makes it (``sim.scene.sources``).
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from robot.errors import MissingDependency, PixelarmError, UnknownName
from sim.rendering import gl
from sim.scene import cache as scene_cache
from sim.scene import sources as scene_sources
from sim.scene.mesh import cluster_vertices

Build = Callable[[mujoco.MjSpec], None]
VISUAL_GROUP, HIDDEN_GROUP = 1, 3  # robosuite shows geoms of group 1 and hides its collision shapes in group 0
UNSET_RGBA = np.array([0.5, 0.5, 0.5, 1.0], np.float32)  # MuJoCo's default of geom_rgba
TABLE_LIGHTS = ((0.0, 0.2, -1.0), (0.8, 0.3, -0.5), (-0.8, -0.3, -0.5))  # directions, world frame
KITCHEN_LIGHTS = ((0.0, 0.2, -1.0), (-0.3, 0.8, -0.5), (0.3, -0.8, -0.5))  # turned, so that they add up to no more
KITCHEN = "FrankaKitchen-v1"
UNSATURATED = 0.5  # the three lights of the plain look add up to about twice a colour on an upward face


@dataclass(frozen=True)
class Recipe:
    """A scene and the terms applied to it, in order."""

    environment: str = "Lift"  # robosuite environment, or KITCHEN
    robot: str = "Panda"  # robosuite robot
    terms: tuple[str, ...] = (
        "no_multisampling",
        "no_reflections",
        "simple_mount",
        "clustered_meshes",
        "light_primitives",
        "plain_look",
        "fewer_collisions",
        "fast_physics",
    )


# --------------------------------------------------------------------------- terms on the specification, before compiling
def plain_lights(spec: mujoco.MjSpec) -> None:
    """Three directional lights of unit diffuse and no head light: the light both renderers can draw alike.

    The strongest on upright faces comes from where the cameras stand: robosuite's before the arm, the kitchen's behind it."""
    for light in list(spec.lights):
        spec.delete(light)
    spec.visual.headlight.active = 0
    in_kitchen = spec.body("hingecabinet") is not None
    for direction in KITCHEN_LIGHTS if in_kitchen else TABLE_LIGHTS:
        spec.worldbody.add_light(
            type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
            pos=[0.0, 0.0, 3.0],
            dir=list(direction),
            diffuse=[1.0, 1.0, 1.0],
            ambient=[0.0, 0.0, 0.0],
            specular=[0.0, 0.0, 0.0],
            castshadow=False,
        )


# ------------------------------------------------------------------------------------- terms on the compiled model
def no_multisampling(model: mujoco.MjModel) -> None:
    """One sample a pixel; robosuite's four double the cost of a software-drawn frame."""
    model.vis.quality.offsamples = 0


def no_reflections(model: mujoco.MjModel) -> None:
    """No mirrored second pass of the scene; it costs as much as the first."""
    model.mat_reflectance[:] = 0.0


def simple_mount(model: mujoco.MjModel) -> None:
    """The pedestal of 33,000 triangles drawn as the three primitives that it collides as, in its own colour."""
    if "fixed_mount0_pedestal_vis" not in names(model, "geom"):
        return  # an arm that stands on something else
    visual = named_id(model, "geom", "fixed_mount0_pedestal_vis")
    model.geom_group[visual] = HIDDEN_GROUP
    for part in ("controller_box", "pedestal_feet", "pedestal"):
        shape = named_id(model, "geom", f"fixed_mount0_{part}_col")
        model.geom_group[shape] = VISUAL_GROUP
        model.geom_rgba[shape] = model.geom_rgba[visual]
        model.geom_matid[shape] = model.geom_matid[visual]


def clustered_meshes(model: mujoco.MjModel) -> None:
    """Visual meshes with their vertices merged on a grid, finer for what cameras see closer up: see ``grid_of``."""
    bodies = names(model, "body")
    for geom in range(model.ngeom):
        mesh = int(model.geom_dataid[geom])
        if (
            model.geom_type[geom] != mujoco.mjtGeom.mjGEOM_MESH
            or model.geom_contype[geom]
            or model.geom_conaffinity[geom]
        ):
            continue
        if np.any(model.geom_dataid[(model.geom_contype > 0)] == mesh):
            continue  # shared with a collision geom, whose shape must not change
        cluster_vertices(model, mesh, grid_of(bodies[model.geom_bodyid[geom]]))


def grid_of(body: str) -> float:
    """Cell size in metres for the meshes of a body: 4 mm on the gripper, 8 mm on what carries the kitchen's, 30 mm elsewhere."""
    if body.startswith("gripper") or body.endswith("finger"):
        return 0.004
    return 0.008 if body == "panda0_link7" else 0.03


def light_primitives(model: mujoco.MjModel) -> None:
    """Cylinders, spheres and boxes tessellated with 8 slices, 6 stacks and single quads instead of 28, 16 and 4."""
    model.vis.quality.numslices = 8
    model.vis.quality.numstacks = 6
    model.vis.quality.numquads = 1


def plain_look(model: mujoco.MjModel) -> None:
    """Flat colours under ``plain_lights``: a texture becomes its mean, scaled so that three unit lights do not saturate.

    What is more than half clear is left out, as the ray-caster knows no half-way."""
    own = own_colour(model)
    model.geom_rgba[own & (model.geom_matid < 0), :3] *= UNSATURATED
    for material in range(model.nmat):
        scale = np.full(3, UNSATURATED)
        textures = [t for t in model.mat_texid[material] if t >= 0]
        if textures:
            scale *= _mean_colour(model, int(textures[0]))
        model.mat_rgba[material, :3] *= scale
        model.geom_rgba[own & (model.geom_matid == material), :3] *= scale
    for rgba in (model.mat_rgba, model.geom_rgba):
        rgba[rgba[:, 3] < 0.5, 3] = 0.0
    model.mat_texid[:] = -1
    model.mat_specular[:] = model.mat_shininess[:] = model.mat_emission[:] = 0.0


def own_colour(model: mujoco.MjModel) -> np.ndarray:
    """Which geoms show their own ``geom_rgba`` instead of their material's colour, ``(ngeom,)`` bool: MuJoCo's rule is that
    a colour other than its default counts as set."""
    return (model.geom_matid < 0) | (model.geom_rgba != UNSET_RGBA).any(axis=1)


def fewer_collisions(model: mujoco.MjModel) -> None:
    """The arm's mount and links 0 to 4 stop colliding: inside the task's workspace box they cannot reach anything."""
    links = tuple(f"robot0_link{i}" for i in range(5))
    bodies = names(model, "body")
    if not set(links) & set(bodies):
        raise PixelarmError(
            f"fewer_collisions is for robosuite's Panda on its table: this model has no body {links[0]}. "
            "Leave the term out of the recipe"
        )
    for geom in range(model.ngeom):
        body = bodies[model.geom_bodyid[geom]]
        if body.startswith("fixed_mount") or body in links:
            model.geom_contype[geom] = model.geom_conaffinity[geom] = 0


def fast_physics(model: mujoco.MjModel) -> None:
    """5 ms steps with the implicit-in-velocity integrator, instead of 2 ms Euler."""
    model.opt.timestep = 0.005
    model.opt.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST


SPEC_TERMS: dict[str, Callable[[mujoco.MjSpec], None]] = {"plain_look": plain_lights}
MODEL_TERMS: dict[str, Callable[[mujoco.MjModel], None]] = {
    term.__name__: term
    for term in (
        no_multisampling,
        no_reflections,
        simple_mount,
        clustered_meshes,
        light_primitives,
        plain_look,
        fewer_collisions,
        fast_physics,
    )
}


# ---------------------------------------------------------------------------------------------------------- compile
def compile_scene(recipe: Recipe, build: Build | None = None) -> mujoco.MjModel:
    """The compiled model of a recipe, from the cache if it was compiled before.

    ``build`` may edit the specification before it is compiled (a task's own objects).

    Raises:
        UnknownName: a term, environment or robot that does not exist.
    """
    if recipe.environment == KITCHEN and recipe.robot != "Panda":
        raise UnknownName(f"robot of {KITCHEN}", recipe.robot, ["Panda"])
    for term in recipe.terms:
        if term not in MODEL_TERMS:
            raise UnknownName("scene term", term, MODEL_TERMS)
    try:
        name = scene_name(recipe, build)
    except scene_sources.NotSeen as reason:
        logging.getLogger(__name__).info("this scene is compiled without the cache: %s", reason)
        return _compile(recipe, build)
    model = scene_cache.load(name)
    if model is None:
        model = _compile(recipe, build)
        scene_cache.save(name, model)
    return model


def scene_name(recipe: Recipe, build: Build | None = None) -> str:
    """What the cache knows a compiled scene by: environment, robot, and a hash of all that the model follows from.

    Raises:
        sim.scene.sources.NotSeen: something that it may follow from cannot be looked at.
    """
    source = "gymnasium-robotics" if recipe.environment == KITCHEN else "robosuite"
    makers = [terms[term] for term in recipe.terms for terms in (SPEC_TERMS, MODEL_TERMS) if term in terms]
    key = {
        **asdict(recipe),
        "mujoco": version("mujoco"),
        source: _version(source),
        **scene_sources.identity(__name__, makers if build is None else [*makers, build]),
    }
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    return f"{recipe.environment.lower()}-{recipe.robot.lower()}-{digest}"


def _compile(recipe: Recipe, build: Build | None) -> mujoco.MjModel:
    if recipe.environment == KITCHEN:
        spec = mujoco.MjSpec.from_file(str(_kitchen_file()))
    else:
        spec = mujoco.MjSpec.from_string(_robosuite_xml(recipe.environment, recipe.robot))
    if build is not None:
        build(spec)
    for term in recipe.terms:
        if term in SPEC_TERMS:
            SPEC_TERMS[term](spec)
    model = spec.compile()
    for term in recipe.terms:
        MODEL_TERMS[term](model)
    return model


def _robosuite_xml(environment: str, robot: str) -> str:
    """The MJCF that robosuite assembles for one environment, with absolute asset paths."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)  # robosuite greets with half a page of advice that is not for our users
    try:
        robosuite = gl.import_robosuite()
    finally:
        logging.disable(level)
    logging.getLogger("robosuite_logs").setLevel(logging.ERROR)
    from robosuite.environments import ALL_ENVIRONMENTS
    from robosuite.robots import ROBOT_CLASS_MAPPING

    if environment not in ALL_ENVIRONMENTS:
        raise UnknownName("robosuite environment", environment, [*ALL_ENVIRONMENTS, KITCHEN])
    if robot not in ROBOT_CLASS_MAPPING:
        raise UnknownName("robosuite robot", robot, ROBOT_CLASS_MAPPING)
    env = robosuite.make(
        environment, robots=robot, has_renderer=False, has_offscreen_renderer=False, use_camera_obs=False, seed=0
    )
    try:
        return env.model.get_xml()
    finally:
        env.close()


def _kitchen_file() -> Path:
    """The kitchen's MJCF inside gymnasium-robotics, which is found without being imported."""
    package = importlib.util.find_spec("gymnasium_robotics")
    assert package is not None and package.origin is not None  # Recipe.hash has asked for its version
    assets = Path(package.origin).parent / "envs" / "assets" / "kitchen_franka"
    return assets / "kitchen_assets" / "kitchen_env_model.xml"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError as error:
        raise MissingDependency(
            f"this scene comes with {package}, which is absent; pip install 'pixelarm[sim]'"
        ) from error


def _mean_colour(model: mujoco.MjModel, texture: int) -> np.ndarray:
    """Mean RGB of a texture, (3,) in [0, 1]."""
    channels = int(model.tex_nchannel[texture])
    size = int(model.tex_height[texture]) * int(model.tex_width[texture]) * channels
    start = int(model.tex_adr[texture])
    texels = model.tex_data[start : start + size].reshape(-1, channels)[:, :3]
    return texels.mean(axis=0) / 255.0


# ------------------------------------------------------------------------------------------------------------ names
NAMED = {  # MuJoCo's type, how many a model has, and all of a specification
    "body": (mujoco.mjtObj.mjOBJ_BODY, "nbody", "bodies"),
    "joint": (mujoco.mjtObj.mjOBJ_JOINT, "njnt", "joints"),
    "geom": (mujoco.mjtObj.mjOBJ_GEOM, "ngeom", "geoms"),
    "site": (mujoco.mjtObj.mjOBJ_SITE, "nsite", "sites"),
    "camera": (mujoco.mjtObj.mjOBJ_CAMERA, "ncam", "cameras"),
    "light": (mujoco.mjtObj.mjOBJ_LIGHT, "nlight", "lights"),
    "mesh": (mujoco.mjtObj.mjOBJ_MESH, "nmesh", "meshes"),
    "material": (mujoco.mjtObj.mjOBJ_MATERIAL, "nmat", "materials"),
    "tendon": (mujoco.mjtObj.mjOBJ_TENDON, "ntendon", "tendons"),
    "actuator": (mujoco.mjtObj.mjOBJ_ACTUATOR, "nu", "actuators"),
    "sensor": (mujoco.mjtObj.mjOBJ_SENSOR, "nsensor", "sensors"),
    "key": (mujoco.mjtObj.mjOBJ_KEY, "nkey", "keys"),
}


def named_id(model: mujoco.MjModel, kind: str, name: str) -> int:
    """Index of a body, joint, geom, ... (see ``NAMED``) of a model; an unknown name lists those that exist."""
    index = mujoco.mj_name2id(model, NAMED[kind][0], name)
    if index < 0:
        raise UnknownName(kind, name, filter(None, names(model, kind)))
    return index


def names(model: mujoco.MjModel, kind: str) -> list[str]:
    """The names of all bodies, joints, geoms, ... of a model by index; empty for one without."""
    object_type, count, _ = NAMED[kind]
    return [mujoco.mj_id2name(model, object_type, index) or "" for index in range(getattr(model, count))]


def body_id(model: mujoco.MjModel, name: str) -> int:
    return named_id(model, "body", name)


def camera_id(model: mujoco.MjModel, name: str) -> int:
    return named_id(model, "camera", name)


def in_spec(spec: mujoco.MjSpec, kind: str, name: str) -> Any:
    """A body, joint, geom, ... of a specification; an unknown name lists those that exist."""
    found = getattr(spec, kind)(name)
    if found is None:
        raise UnknownName(kind, name, [known.name for known in getattr(spec, NAMED[kind][2]) if known.name])
    return found
