"""Every arm profile that ships loads, and a wrong one says what is wrong."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml

from robot import profile
from robot.contract import Action, Camera, Contract, Proprio
from robot.errors import PixelarmError, UnknownName
from robot.profile import ArmProfile

ARMS = Path(__file__).parents[2] / "hardware" / "arms"


def contract(cameras: tuple[str, ...] = ("agentview", "eye_in_hand"), proprio: tuple[str, ...] = ()) -> Contract:
    return Contract(
        task="lift",
        cameras=tuple(Camera(name, 64, 64) for name in cameras),
        proprio=(Proprio("eef_pos", 3, "m", "base"), *(Proprio(name, 7, "rad", "joints") for name in proprio)),
        action=Action(
            "eef_delta_position",
            ("dx", "dy", "dz", "g"),
            ("m", "m", "m", "1"),
            (-0.04,) * 3 + (-1,),
            (0.04,) * 3 + (1,),
        ),
        rate_hz=10,
        deadline_ms=80,
        max_age_ms=100,
    )


@pytest.mark.parametrize("path", sorted(ARMS.glob("*.yaml")), ids=lambda p: p.stem)
def test_every_profile_loads_and_is_cautious_until_verified(path: Path) -> None:
    arm = ArmProfile.load(path)
    assert arm.name == path.stem
    arm.require_contract(contract())
    if not arm.verified:
        assert arm.dry_run
        assert arm.enable.required
        assert arm.limits.max_speed_m_s <= 0.25
        assert arm.limits.speed_scale <= 0.25


def test_an_unknown_key_names_the_valid_ones(tmp_path: Path) -> None:
    data = yaml.safe_load((ARMS / "sim_panda.yaml").read_text())
    data["limits"]["max_sped_m_s"] = 1.0
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(data))
    with pytest.raises(PixelarmError, match=r"mine\.yaml\.limits.*max_sped_m_s.*max_speed_m_s"):
        ArmProfile.load(file)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": 3}, "name must be str"),
        ({"verified": False}, "dry_run: true"),
        ({"cameras": {"agentview": {"topic": "a", "type": "raw"}}}, "valid names are: compressed, image"),
        ({"eef_pose": "current_pose"}, "eef_pose must be a mapping"),
        ({"joint_names": "panda_joint1"}, "must be a list"),
        ({"limits": {"speed_scale": 0}}, "speed_scale"),
        ({"limits": {"box_low": [1, 1, 1], "box_high": [0, 2, 2]}}, "box_low < box_high"),
    ],
)
def test_a_wrong_value_is_explained(change: dict, words: str) -> None:
    data = yaml.safe_load((ARMS / "sim_panda.yaml").read_text())
    with pytest.raises(PixelarmError, match=words):
        ArmProfile.from_dict({**data, **change})


def test_a_missing_key_is_named() -> None:
    with pytest.raises(PixelarmError, match="lacks: .*target_pose"):
        ArmProfile.from_dict({"name": "x"})


def test_profiles_are_found_by_name_or_path() -> None:
    assert profile.find("sim_panda", ARMS) == ARMS / "sim_panda.yaml"
    assert profile.find(str(ARMS / "sim_panda.yaml"), None) == ARMS / "sim_panda.yaml"
    with pytest.raises(UnknownName, match="franka_crisp, sim_panda"):
        profile.find("panda", ARMS)
    with pytest.raises(PixelarmError, match="no arm profile at"):
        profile.find("./nowhere.yaml", ARMS)


def test_what_the_arm_cannot_offer_is_named() -> None:
    arm = ArmProfile.load(ARMS / "sim_panda.yaml")
    with pytest.raises(PixelarmError, match=r"camera 'side', 'joint_pos' with 7 numbers"):
        arm.require_contract(contract(cameras=("agentview", "side"), proprio=("joint_pos",)))


def test_an_arm_may_say_its_contract_and_need_not() -> None:
    simulated, real = (ArmProfile.load(ARMS / f"{name}.yaml") for name in ("sim_panda", "franka_crisp"))
    assert simulated.contract is not None and simulated.contract.topic == "sim_arm/contract"
    assert real.contract is None


def test_gripper_values_by_hand() -> None:
    command = ArmProfile.load(ARMS / "sim_panda.yaml").gripper_command
    assert command.value(-1.0) == pytest.approx(0.08)
    assert command.value(1.0) == pytest.approx(0.0)
    assert command.value(0.5) == pytest.approx(0.02)  # three quarters of the way from 0.08 to 0
    assert command.gripper(command.value(0.3)) == pytest.approx(0.3)


def test_profiles_are_frozen() -> None:
    arm = ArmProfile.load(ARMS / "sim_panda.yaml")
    with pytest.raises(dataclasses.FrozenInstanceError):
        arm.dry_run = True  # type: ignore[misc]
