"""Scenes: every saving is a term that can be left out, and the compiled result is cached under its recipe."""

import dataclasses
import os
import time
from functools import cache as once
from pathlib import Path

import mujoco
import numpy as np
import pytest

from robot.errors import UnknownName
from sim.arms.panda import PANDA
from sim.envs.task_world import build_world, reset_world
from sim.scene import compile as compiling
from sim.scene.compile import Recipe, compile_scene
from sim.scene.mesh import cluster_vertices
from sim.scene.names import NAMED, body_id, camera_id, in_spec, named_id, names
from sim.scene.terms import MODEL_TERMS
from sim.tasks import make_task
from sim.tasks.common.tabletop import joint_address


@pytest.fixture(scope="module", autouse=True)
def assembled_once():
    """robosuite needs half a second for the same MJCF every time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiling, "_robosuite_xml", once(compiling._robosuite_xml))
        yield


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PIXELARM_CACHE", str(tmp_path))
    return tmp_path


def test_an_unknown_term_names_the_known_ones():
    with pytest.raises(UnknownName, match="scene term 'shiny'.*no_reflections"):
        compile_scene(Recipe(terms=("shiny",)), PANDA)


def test_unknown_environment_and_robot_are_named(cache):
    with pytest.raises(UnknownName, match="robosuite environment 'Lfit'.*Lift"):
        compile_scene(Recipe(environment="Lfit"), PANDA)
    with pytest.raises(UnknownName, match="robosuite robot 'Pander'.*Panda"):
        compile_scene(Recipe(), dataclasses.replace(PANDA, robosuite="Pander"))


def test_a_compiled_scene_is_cached_and_a_damaged_cache_is_replaced(cache):
    recipe = Recipe(terms=("no_multisampling",))
    first = compile_scene(recipe, PANDA)
    (file,) = cache.iterdir()
    file.write_bytes(b"not a model")
    again = compile_scene(recipe, PANDA)
    assert first.nq == again.nq and file.stat().st_size > 1000


def test_a_cache_that_outgrows_its_limit_loses_what_was_not_used_for_longest(cache, monkeypatch):
    def compiled(*terms: str) -> set[Path]:
        before = set(cache.iterdir())
        compile_scene(Recipe(terms=terms), PANDA)
        return set(cache.iterdir()) - before

    first, second = compiled("no_multisampling"), compiled("no_reflections")
    for age, paths in ((100, first), (50, second)):
        for path in paths:
            os.utime(path, (time.time() - age, time.time() - age))
    assert compiled("no_multisampling") == set()  # a hit: now the second is the older one
    used = sum(path.stat().st_size for path in cache.iterdir())
    monkeypatch.setattr("sim.scene.cache.CACHE_BYTES", used + 1)
    third = compiled("simple_mount")
    assert set(cache.iterdir()) == first | third


def test_terms_change_what_they_say(cache):
    plain = compile_scene(Recipe(terms=()), PANDA)
    fast = compile_scene(Recipe(), PANDA)
    assert plain.vis.quality.offsamples > 0 and fast.vis.quality.offsamples == 0
    assert plain.mat_reflectance.any() and not fast.mat_reflectance.any()
    assert plain.opt.timestep == 0.002 and fast.opt.timestep == 0.005
    assert fast.mesh_facenum.sum() < 0.25 * plain.mesh_facenum.sum()
    assert (fast.geom_contype > 0).sum() < (plain.geom_contype > 0).sum()
    assert (fast.mat_texid == -1).all() and fast.nlight == 3


def test_clustering_leaves_collision_meshes_alone(cache):
    plain, fast = compile_scene(Recipe(terms=()), PANDA), compile_scene(Recipe(terms=("clustered_meshes",)), PANDA)
    colliding = np.unique(plain.geom_dataid[(plain.geom_contype > 0) & (plain.geom_dataid >= 0)])
    assert len(colliding) and np.array_equal(plain.mesh_facenum[colliding], fast.mesh_facenum[colliding])


def test_clustering_a_fine_box_keeps_its_shape():
    # a 10 x 10 x 10 cm box whose faces are cut into a 20 x 20 grid: 2 * 400 triangles on each of 6 faces
    side = np.linspace(-0.05, 0.05, 21)
    u, v = (a.ravel() for a in np.meshgrid(side, side))
    points = np.concatenate([np.insert(np.stack([u, v], 1), axis, s, 1) for axis in range(3) for s in (-0.05, 0.05)])
    spec = mujoco.MjSpec()
    spec.add_mesh(name="box", uservert=points.ravel().tolist())
    spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, meshname="box", contype=0, conaffinity=0)
    model = spec.compile()
    before, extent = int(model.mesh_facenum[0]), np.ptp(model.mesh_vert, axis=0)
    left = cluster_vertices(model, 0, grid_m=0.03)
    used = model.mesh_vert[np.unique(model.mesh_face[: model.mesh_facenum[0]])]
    assert 4 <= left <= before
    assert np.all(np.abs(np.ptp(used, axis=0) - extent) <= 0.03)


def test_names_that_do_not_exist_list_those_that_do():
    model = compile_scene(Recipe(), PANDA)
    with pytest.raises(UnknownName, match="camera 'front'.*frontview"):
        camera_id(model, "front")
    with pytest.raises(UnknownName, match="body 'cub'.*cube_main"):
        body_id(model, "cub")
    with pytest.raises(UnknownName, match="geom 'cube_g1'.*cube_g0"):
        named_id(model, "geom", "cube_g1")


def test_a_joint_that_does_not_exist_has_no_address():
    """MuJoCo answers -1, which as an index is the last joint."""
    world = build_world(make_task("lift"))
    assert joint_address(world, "cube_joint0") == world.model.joint("cube_joint0").qposadr[0]
    with pytest.raises(UnknownName, match="joint 'nope'.*cube_joint0.*robot0_joint1"):
        joint_address(world, "nope")


def test_every_kind_of_name_is_found_again_and_a_wrong_one_refused():
    spec = mujoco.MjSpec.from_string("""
        <mujoco>
          <asset><material name="m"/><mesh name="s" vertex="0 0 0 1 0 0 0 1 0 0 0 1"/></asset>
          <worldbody>
            <light name="l"/><camera name="c"/>
            <body name="b"><joint name="j"/><geom name="g" type="mesh" mesh="s" material="m"/><site name="p"/></body>
          </worldbody>
          <tendon><fixed name="t"><joint joint="j" coef="1"/></fixed></tendon>
          <actuator><motor name="a" joint="j"/></actuator>
          <sensor><jointpos name="q" joint="j"/></sensor>
          <keyframe><key name="k"/></keyframe>
        </mujoco>""")
    model = spec.compile()
    for kind in NAMED:
        (name,) = (name for name in names(model, kind) if name not in ("", "world"))
        assert named_id(model, kind, name) == names(model, kind).index(name)
        assert in_spec(spec, kind, name).name == name
        for look in (named_id, in_spec):
            with pytest.raises(UnknownName, match=f"unknown {kind} 'nope'; the valid names are: .*{name}"):
                look(model if look is named_id else spec, kind, "nope")


def test_names_are_looked_up_in_one_place_alone():
    """Where MuJoCo's own -1 for an unknown name cannot become an index."""
    root = Path(__file__).resolve().parents[3]
    users = [
        path for room in ("sim", "hardware") for path in (root / room).rglob("*.py") if "name2id" in path.read_text()
    ]
    assert [path.relative_to(root).as_posix() for path in users] == ["sim/scene/names.py"]


@pytest.mark.parametrize("left_out", sorted(MODEL_TERMS))
def test_every_term_can_be_left_out(left_out, cache):
    """The task still resets, moves and draws without it."""
    recipe = Recipe(terms=tuple(term for term in MODEL_TERMS if term != left_out))
    task = make_task("lift", recipe=recipe)
    world = build_world(task)
    reset_world(world, task, 0)
    world.advance(5)
    image = world.render("agentview")
    assert image.std() > 5 and np.isfinite(world.eef_position()).all()
    world.close()
