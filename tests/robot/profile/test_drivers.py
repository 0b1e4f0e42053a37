"""Profiles of real drivers: cautious, honest about what nobody verified, and each with one for its simulator."""

from __future__ import annotations

from pathlib import Path

import pytest

from robot.errors import PixelarmError
from robot.profile import ArmProfile, shipped

FOLDER = shipped()
assert FOLDER is not None
DRIVERS = sorted(p for p in FOLDER.glob("*.yaml") if not p.name.startswith("sim_"))


@pytest.mark.parametrize("path", DRIVERS, ids=lambda p: p.stem)
def test_a_driver_s_profile_is_cautious(path: Path) -> None:
    arm = ArmProfile.load(path)
    assert not arm.verified and arm.dry_run and arm.enable.required
    assert arm.driver is not None and arm.driver.source and arm.driver.recovery
    assert arm.contract is None  # no driver says one
    if arm.target_joint_velocity is not None:  # a driver that never gives up would go on when the arbiter dies
        assert arm.driver.on_silence == "halts"


@pytest.mark.parametrize("path", DRIVERS, ids=lambda p: p.stem)
def test_its_simulator_has_the_same_topics(path: Path) -> None:
    assert FOLDER is not None
    real, simulated = ArmProfile.load(path), ArmProfile.load(FOLDER / f"sim_{path.name}")
    for name in ("joint_names", "outputs", "joint_state", "eef_pose", "driver", "base_frame", "arm"):
        assert getattr(real, name) == getattr(simulated, name), name
    # messages that the wheels of ROS 2 lack are left out there: actions of grippers, and drivers' own
    if not real.gripper_command.is_action:
        assert simulated.gripper_command == real.gripper_command
    assert simulated.arbiter.ready == tuple(r for r in real.arbiter.ready if r.type.startswith("std_msgs/"))


def test_a_profile_extends_another_mapping_by_mapping(tmp_path: Path) -> None:
    assert FOLDER is not None
    (tmp_path / "base.yaml").write_text((FOLDER / "sim_panda.yaml").read_text())
    mine = tmp_path / "mine.yaml"
    mine.write_text("extends: base.yaml\nname: mine\nlimits: {max_speed_m_s: 0.5}\ntarget_joint_velocity: null\n")
    base, made = ArmProfile.load(tmp_path / "base.yaml"), ArmProfile.load(mine)
    assert (made.name, made.limits.max_speed_m_s, made.target_joint_velocity) == ("mine", 0.5, None)
    assert made.limits.max_reach_m == base.limits.max_reach_m
    assert made.cameras == base.cameras
    third = tmp_path / "third.yaml"
    third.write_text("extends: mine.yaml\nname: third\n")
    with pytest.raises(PixelarmError, match="extends no other"):
        ArmProfile.load(third)
