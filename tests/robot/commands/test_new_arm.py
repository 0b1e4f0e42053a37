"""A draft of a profile: it loads, is cautious, and says what could not be known."""

from __future__ import annotations

from pathlib import Path

import pytest

from robot.cli import main
from robot.profile import ArmProfile
from robot.profile.draft import Found, draft

URDF = """<robot name="arm"><link name="base_link"/><link name="a"/><link name="tool0"/>
<joint name="j1" type="revolute"><parent link="base_link"/><child link="a"/><origin xyz="0 0 0.3"/>
<axis xyz="0 0 1"/><limit lower="-2" upper="2" velocity="1.5"/></joint>
<joint name="j2" type="continuous"><parent link="a"/><child link="tool0"/><axis xyz="0 1 0"/></joint></robot>"""


def test_a_urdf_alone_makes_a_profile_that_loads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    urdf, out = tmp_path / "arm.urdf", tmp_path / "mine.yaml"
    urdf.write_text(URDF)
    command = ["new-arm", "mine", "--urdf", str(urdf), "--tip", "tool0", "--out", str(out), "--seconds", "0"]
    assert main(command) == 0
    arm = ArmProfile.load(out)
    assert not arm.verified and arm.dry_run and arm.enable.required
    assert arm.joint_names == ("j1", "j2")
    assert arm.limits.joint_high == (2.0, 6.28319)
    assert arm.limits.max_joint_speed_rad_s == (1.5, 1.0)
    assert arm.solves and arm.read_chain() is not None
    said = capsys.readouterr().out
    assert "could not be known" in said and "pixelarm doctor --arm" in said
    assert main(command) == 2  # it is not overwritten
    assert main([*command, "--overwrite"]) == 0


def test_what_a_driver_says_is_in_it(tmp_path: Path) -> None:
    found = Found(
        joints={"/joint_states": ["j2", "j1", "left_finger"]},
        poses={"/pose": "world"},
        cameras={"/front": ("image", (640, 480)), "/wrist": ("compressed", None)},
        heard_by={
            "/gripper/commands": "std_msgs/msg/Float64MultiArray",
            "/arm/commands": "std_msgs/msg/Float64MultiArray",
        },
    )
    out = tmp_path / "mine.yaml"
    out.write_text(draft("mine", found, None, [], "base", None))
    arm = ArmProfile.load(out)
    assert arm.cameras["agentview"].size == (640, 480) and arm.cameras["eye_in_hand"].type == "compressed"
    assert arm.target_joint_position is not None and arm.target_joint_position.topic == "/arm/commands"
    assert arm.joint_state is not None and arm.joint_state.topic == "/joint_states"
    assert "heard in frame world" in out.read_text()


def test_nothing_to_go_by_is_refused(tmp_path: Path) -> None:
    assert main(["new-arm", "mine", "--out", str(tmp_path / "mine.yaml"), "--seconds", "0"]) == 2
    assert not (tmp_path / "mine.yaml").exists()
