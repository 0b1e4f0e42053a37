"""A chain from a URDF, against MuJoCo's own reader."""

from __future__ import annotations

import numpy as np
import pytest

from robot.errors import PixelarmError, UnknownName
from robot.kinematics.urdf import chain_between, read_joints

INERTIA = '<inertial><mass value="1"/><inertia ixx="1" iyy="1" izz="1" ixy="0" ixz="0" iyz="0"/></inertial>'
LINKS = "".join(f'<link name="{name}">{INERTIA}</link>' for name in ("base", "a", "b", "c", "tool", "finger"))
URDF = """<robot name="arm">
  <link name="world"/>
  LINKS
  <joint name="stand" type="fixed"><parent link="world"/><child link="base"/><origin xyz="0 0 1"/></joint>
  <joint name="one" type="revolute">
    <parent link="base"/><child link="a"/><origin xyz="0.1 0 0.3" rpy="0.2 -0.4 0.9"/>
    <axis xyz="0 0 1"/><limit lower="-1" upper="2" velocity="1.5" effort="10"/>
  </joint>
  <joint name="bracket" type="fixed">
    <parent link="a"/><child link="b"/><origin xyz="0 0.2 0" rpy="1.2 0 0.3"/>
  </joint>
  <joint name="two" type="continuous">
    <parent link="b"/><child link="c"/><origin xyz="0.3 0 0" rpy="0 0.7 0"/><axis xyz="0 1 0"/>
  </joint>
  <joint name="flange" type="fixed"><parent link="c"/><child link="tool"/><origin xyz="0 0 0.1" rpy="0 0 1"/></joint>
  <joint name="slide" type="prismatic">
    <parent link="tool"/><child link="finger"/><axis xyz="1 0 0"/><limit lower="0" upper="0.04"/>
  </joint>
</robot>""".replace("LINKS", LINKS)


def test_it_agrees_with_mujoco() -> None:
    mujoco = pytest.importorskip("mujoco")
    chain, joints = chain_between(read_joints(URDF, "test"), "base", "tool")
    assert chain.names == ("one", "two")
    assert (joints[0].speed, joints[1].speed) == (1.5, None)
    assert (chain.low.tolist(), chain.high.tolist()) == ([-1.0, -np.inf], [2.0, np.inf])
    text = URDF.replace("<robot name", '<robot xmlns:m="m" name').replace(
        '<link name="world"/>', '<mujoco><compiler fusestatic="false"/></mujoco><link name="world"/>'
    )
    model = mujoco.MjModel.from_xml_string(text)
    data = mujoco.MjData(model)
    draw = np.random.default_rng(0)
    for _ in range(20):
        q = draw.uniform(-1, 1, 2)
        for name, value in zip(chain.names, q):
            data.qpos[model.joint(name).qposadr[0]] = value
        mujoco.mj_kinematics(model, data)
        base, tool = model.body("base").id, model.body("tool").id
        back = data.xmat[base].reshape(3, 3).T
        position, rotation = chain.forward(q)
        assert position == pytest.approx(back @ (data.xpos[tool] - data.xpos[base]), abs=1e-9)
        assert rotation == pytest.approx(back @ data.xmat[tool].reshape(3, 3), abs=1e-9)


def test_what_is_wrong_is_said() -> None:
    joints = read_joints(URDF, "test")
    with pytest.raises(UnknownName, match="tool0"):
        chain_between(joints, "base", "tool0")
    with pytest.raises(PixelarmError, match="prismatic"):
        chain_between(joints, "base", "finger")
    with pytest.raises(PixelarmError, match="does not hang from 'tool'"):
        chain_between(joints, "tool", "base")
    with pytest.raises(PixelarmError, match="no joint turns"):
        chain_between(joints, "world", "base")
    with pytest.raises(PixelarmError, match="xacro"):
        read_joints("<robot", "test")
    with pytest.raises(PixelarmError, match="<sdf>"):
        read_joints("<sdf/>", "test")
