"""Looking up the bodies, joints, geoms, ... of a model by name: an unknown name is refused with those that exist.

MuJoCo itself answers -1, which as an index is the last one.
"""

from __future__ import annotations

from typing import Any

import mujoco

from robot.errors import UnknownName

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
