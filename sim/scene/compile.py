"""From a robosuite environment, or gymnasium-robotics' kitchen, to a compiled MuJoCo model that is cheap to draw and to
step.

A scene is a source (the environment's MJCF) and a list of named terms, each a small function that saves time or fixes
the look. Every term can be left out, so what each one costs or saves can be measured. The compiled model is cached on
disk under a hash of all that it follows from: the recipe, the library versions, and the text of what makes it
(``sim.scene.sources``).
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
from typing import TYPE_CHECKING

import mujoco

from robot.errors import MissingDependency, PixelarmError, UnknownName
from sim.rendering import gl
from sim.scene import cache as scene_cache
from sim.scene import sources as scene_sources
from sim.scene.terms import MODEL_TERMS, SPEC_TERMS

if TYPE_CHECKING:
    from sim.physics.arm import Arm, OwnModel

Build = Callable[[mujoco.MjSpec], None]
KITCHEN = "FrankaKitchen-v1"
STAND_IN = "Panda"  # robosuite assembles a scene with it before an arm with a model of its own takes its place


@dataclass(frozen=True)
class Recipe:
    """A scene and the terms applied to it, in order; see ``sim.scene.terms``."""

    environment: str = "Lift"  # robosuite environment, or KITCHEN
    terms: tuple[str, ...] = (
        "no_multisampling",
        "no_reflections",
        "simple_mount",
        "clustered_meshes",
        "light_primitives",
        "plain_look",
        "fewer_collisions",
        "gripper_as_described",
        "fast_physics",
    )


def compile_scene(recipe: Recipe, arm: Arm, build: Build | None = None) -> mujoco.MjModel:
    """The compiled model of a recipe with an arm in it, from the cache if it was compiled before.

    ``build`` may edit the specification before it is compiled (a task's own objects).

    Raises:
        UnknownName: a term, environment or robot that does not exist.
        PixelarmError: an arm that does not belong in this environment.
    """
    _check_arm(recipe, arm)
    for term in recipe.terms:
        if term not in MODEL_TERMS:
            raise UnknownName("scene term", term, MODEL_TERMS)
    try:
        name = scene_name(recipe, arm, build)
    except scene_sources.NotSeen as reason:
        logging.getLogger(__name__).info("this scene is compiled without the cache: %s", reason)
        return _compile(recipe, arm, build)
    model = scene_cache.load(name)
    if model is None:
        model = _compile(recipe, arm, build)
        scene_cache.save(name, model)
    return model


def _check_arm(recipe: Recipe, arm: Arm) -> None:
    if recipe.environment == KITCHEN and (arm.robosuite or arm.model):
        raise PixelarmError(f"{KITCHEN} brings its own arm; the arm {arm.name!r} is one for robosuite's scenes")
    if recipe.environment != KITCHEN and not arm.robosuite and arm.model is None:
        raise PixelarmError(
            f"robosuite's {recipe.environment} needs one of robosuite's arms, or one with a model of its own; "
            f"{arm.name!r} is neither"
        )


def scene_name(recipe: Recipe, arm: Arm, build: Build | None = None) -> str:
    """What the cache knows a compiled scene by: environment, arm, and a hash of all that the model follows from.

    Raises:
        sim.scene.sources.NotSeen: something that it may follow from cannot be looked at.
    """
    source = "gymnasium-robotics" if recipe.environment == KITCHEN else "robosuite"
    makers = [terms[term] for term in recipe.terms for terms in (SPEC_TERMS, MODEL_TERMS) if term in terms]
    if build is not None:
        makers.append(build)
    packages = {source: _version(source)}
    if arm.model is not None:
        makers.append(arm.model.prepare)
        packages[arm.model.package] = _version(arm.model.package)
    key = {
        **asdict(recipe),
        "arm": arm.to_dict(),
        "mujoco": version("mujoco"),
        **packages,
        **scene_sources.identity(__name__, makers),
    }
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    return f"{recipe.environment.lower()}-{arm.name}-{digest}"


def _compile(recipe: Recipe, arm: Arm, build: Build | None) -> mujoco.MjModel:
    if recipe.environment == KITCHEN:
        spec = mujoco.MjSpec.from_file(str(_kitchen_file()))
    elif arm.model is None:
        spec = mujoco.MjSpec.from_string(_robosuite_xml(recipe.environment, arm.robosuite))
    else:
        spec = mujoco.MjSpec.from_string(_robosuite_xml(recipe.environment, STAND_IN))
        _replace_arm(spec, arm, arm.model)
    if build is not None:
        build(spec)
    for term in recipe.terms:
        if term in SPEC_TERMS:
            SPEC_TERMS[term](spec)
    model = spec.compile()
    for term in recipe.terms:
        MODEL_TERMS[term](model, arm)
    return model


def _replace_arm(spec: mujoco.MjSpec, arm: Arm, model: OwnModel) -> None:
    """Put an arm with a model of its own into one of robosuite's scenes, in the place of robosuite's."""
    spec.delete(spec.body("robot0_base"))  # and with it the pedestal, the gripper, their actuators and sensors
    own = mujoco.MjSpec.from_file(str(_package_folder(model.package) / model.file))
    model.prepare(own)
    spec.attach(own, prefix=arm.prefix, frame=spec.worldbody.add_frame(pos=list(model.mount)))


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
    assets = _package_folder("gymnasium_robotics") / "envs" / "assets" / "kitchen_franka"
    return assets / "kitchen_assets" / "kitchen_env_model.xml"


def _package_folder(package: str) -> Path:
    """Where an installed package lies, without importing it."""
    found = importlib.util.find_spec(package.replace("-", "_"))
    assert found is not None and found.origin is not None  # scene_name has asked for its version
    return Path(found.origin).parent


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError as error:
        raise MissingDependency(
            f"this scene comes with {package}, which is absent; pip install 'pixelarm[sim]'"
        ) from error
