"""The terms of a scene: small functions that save time or fix the look, each of which can be left out.

``SPEC_TERMS`` edit the specification before it is compiled, ``MODEL_TERMS`` the compiled model; a term may have a part
in both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import mujoco
import numpy as np

from robot.errors import PixelarmError
from sim.scene.mesh import cluster_vertices
from sim.scene.names import named_id, names

if TYPE_CHECKING:
    from sim.physics.arm import Arm

VISUAL_GROUP, HIDDEN_GROUP = 1, 3  # robosuite shows geoms of group 1 and hides its collision shapes in group 0
UNSET_RGBA = np.array([0.5, 0.5, 0.5, 1.0], np.float32)  # MuJoCo's default of geom_rgba
TABLE_LIGHTS = ((0.0, 0.2, -1.0), (0.8, 0.3, -0.5), (-0.8, -0.3, -0.5))  # directions, world frame
KITCHEN_LIGHTS = ((0.0, 0.2, -1.0), (-0.3, 0.8, -0.5), (0.3, -0.8, -0.5))  # turned, so that they add up to no more
UNSATURATED = 0.5  # the three lights of the plain look add up to about twice a colour on an upward face
MESH_GRID = 0.03  # m, where the arm's description names no other for a body


# --------------------------------------------------------------------------- terms on the specification, before
# compiling
def plain_lights(spec: mujoco.MjSpec) -> None:
    """Three directional lights of unit diffuse and no head light: the light both renderers can draw alike.

    The strongest on upright faces comes from where the cameras stand: robosuite's before the arm, the kitchen's behind
    it."""
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
def no_multisampling(model: mujoco.MjModel, arm: Arm) -> None:
    """One sample a pixel; robosuite's four double the cost of a software-drawn frame."""
    model.vis.quality.offsamples = 0


def no_reflections(model: mujoco.MjModel, arm: Arm) -> None:
    """No mirrored second pass of the scene; it costs as much as the first."""
    model.mat_reflectance[:] = 0.0


def simple_mount(model: mujoco.MjModel, arm: Arm) -> None:
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


def clustered_meshes(model: mujoco.MjModel, arm: Arm) -> None:
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
        cluster_vertices(model, mesh, grid_of(bodies[model.geom_bodyid[geom]], arm))


def grid_of(body: str, arm: Arm) -> float:
    """Cell size in metres for the meshes of a body."""
    return next((grid for start, grid in arm.mesh_grids if body.startswith(start)), MESH_GRID)


def light_primitives(model: mujoco.MjModel, arm: Arm) -> None:
    """Cylinders, spheres and boxes tessellated with 8 slices, 6 stacks and single quads instead of 28, 16 and 4."""
    model.vis.quality.numslices = 8
    model.vis.quality.numstacks = 6
    model.vis.quality.numquads = 1


def plain_look(model: mujoco.MjModel, arm: Arm) -> None:
    """Flat colours under ``plain_lights``: a texture becomes its mean, scaled so that three unit lights do not
    saturate.

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
    """Which geoms show their own ``geom_rgba`` instead of their material's colour, ``(ngeom,)`` bool: MuJoCo's rule is
    that a colour other than its default counts as set."""
    return (model.geom_matid < 0) | (model.geom_rgba != UNSET_RGBA).any(axis=1)


def _mean_colour(model: mujoco.MjModel, texture: int) -> np.ndarray:
    """Mean RGB of a texture, (3,) in [0, 1]."""
    channels = int(model.tex_nchannel[texture])
    size = int(model.tex_height[texture]) * int(model.tex_width[texture]) * channels
    start = int(model.tex_adr[texture])
    texels = model.tex_data[start : start + size].reshape(-1, channels)[:, :3]
    return texels.mean(axis=0) / 255.0


def fewer_collisions(model: mujoco.MjModel, arm: Arm) -> None:
    """The arm's mount and its links near the base stop colliding:
    inside the task's workspace box they cannot reach anything.
    """
    bodies = names(model, "body")
    if not set(arm.out_of_reach) & set(bodies):
        raise PixelarmError(
            f"fewer_collisions needs an arm that says which of its bodies reach nothing (out_of_reach); {arm.name!r} "
            f"names none "
            "that this model has. Leave the term out of the recipe"
        )
    for geom in range(model.ngeom):
        body = bodies[model.geom_bodyid[geom]]
        if body.startswith("fixed_mount") or body in arm.out_of_reach:
            model.geom_contype[geom] = model.geom_conaffinity[geom] = 0


def gripper_as_described(model: mujoco.MjModel, arm: Arm) -> None:
    """The gripper's joints get the armature and damping, its servos the range, that the arm's description has."""
    gripper = arm.gripper
    for actuator, command in zip(gripper.actuators, gripper.commands):
        model.actuator_ctrlrange[named_id(model, "actuator", actuator)] = sorted(command)
    hand = named_id(model, "body", arm.last_link)
    for joint in range(model.njnt):
        dof = model.jnt_dofadr[joint]
        hinge = model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_HINGE
        if hinge and gripper.armature and hand in _parents(model, int(model.jnt_bodyid[joint])):
            model.dof_armature[dof] = max(model.dof_armature[dof], gripper.armature)
            model.dof_damping[dof] = max(model.dof_damping[dof], gripper.damping)


def _parents(model: mujoco.MjModel, body: int) -> list[int]:
    """The bodies that carry a body, from the one below it to the world."""
    found = []
    while body:
        body = int(model.body_parentid[body])
        found.append(body)
    return found


def fast_physics(model: mujoco.MjModel, arm: Arm) -> None:
    """5 ms steps with the implicit-in-velocity integrator, instead of 2 ms Euler."""
    model.opt.timestep = 0.005
    model.opt.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST


SPEC_TERMS: dict[str, Callable[[mujoco.MjSpec], None]] = {"plain_look": plain_lights}
MODEL_TERMS: dict[str, Callable[[mujoco.MjModel, Arm], None]] = {
    term.__name__: term
    for term in (
        no_multisampling,
        no_reflections,
        simple_mount,
        clustered_meshes,
        light_primitives,
        plain_look,
        fewer_collisions,
        gripper_as_described,
        fast_physics,
    )
}
