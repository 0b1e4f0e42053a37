"""Every arm profile that ships loads, and a wrong one says what is wrong."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from robot import profile
from robot.actions import JOINT_POSITION, KINDS, POSE
from robot.contract import Action, Camera, Contract, Proprio
from robot.errors import PixelarmError, UnknownName
from robot.profile import ArmProfile

ARMS = Path(__file__).parents[3] / "hardware" / "arms"


def contract(cameras: tuple[str, ...] = ("agentview", "eye_in_hand"), proprio: tuple[str, ...] = ()) -> Contract:
    return Contract(
        task="lift",
        cameras=tuple(Camera(name, 64, 64) for name in cameras),
        proprio=(Proprio("eef_pos", 3, "m", "base"), *(Proprio(name, 7, "rad", "joint") for name in proprio)),
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


def joint_contract(kind: str, joints: int = 7) -> Contract:
    units = KINDS[kind].units_of(joints + 1)
    action = Action(kind, tuple("abcdefgh"[: joints + 1]), units, (-1.0,) * (joints + 1), (1.0,) * (joints + 1))
    made = contract(proprio=("joint_pos",))
    return dataclasses.replace(made, proprio=(Proprio("joint_pos", joints, "rad", "joint"),), action=action)


def changed(**keys: Any) -> ArmProfile:
    """sim_panda with other values; None leaves a key out."""
    data = {**yaml.safe_load((ARMS / "sim_panda.yaml").read_text()), **keys}
    return ArmProfile.from_dict({key: value for key, value in data.items() if value is not None})


@pytest.mark.parametrize("path", sorted(ARMS.glob("*.yaml")), ids=lambda p: p.stem)
def test_every_profile_loads_and_is_cautious_until_verified(path: Path) -> None:
    arm = ArmProfile.load(path)
    assert arm.name == path.stem
    made = contract() if "eef_delta_position" in arm.kinds else joint_contract("joint_velocity")
    arm.require_contract(dataclasses.replace(made, arm=arm.arm))
    other = "kinova3" if arm.arm != "kinova3" else "ur5e"
    with pytest.raises(PixelarmError, match=f"is for a {arm.arm}, and the policy was made for a {other}"):
        arm.require_contract(dataclasses.replace(made, arm=other))
    if not arm.verified:
        assert arm.dry_run
        assert arm.enable.required
        assert arm.limits.max_speed_m_s <= 0.25
        assert arm.limits.speed_scale <= 0.25
        assert arm.limits.max_turn_speed_rad_s <= 0.5
        assert arm.limits.max_joint_reach_rad <= 0.2 and arm.limits.joint_margin_rad >= 0.05


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
        ({"cameras": {"side": {"topic": "a", "rotate": 45}}}, "'sim_panda': cameras.side: rotate must be one of 0, 90"),
        (
            {"cameras": {"side": {"topic": "a", "resize": "fill"}}},
            "cameras.side: unknown resize 'fill'; .* center, exact",
        ),
        ({"cameras": {"side": {"topic": "a", "size": [640]}}}, "cameras.side: size must be a width and a height"),
        ({"cameras": {"side": {"topic": "a", "size": 640}}}, r"cameras.side.size must be a list, got 640"),
        ({"cameras": {"side": {"topic": "a", "crop": [0, 0, 2.5, 2]}}}, r"cameras.side.crop\[2\] must be int, got 2.5"),
        (
            {"cameras": {"side": {"topic": "a", "size": [8, 6], "crop": [4, 0, 8, 6]}}},
            r"cameras.side: crop \[4, 0, 8, 6\] does not lie in a picture of 8x6",
        ),
        ({"eef_pose": "current_pose"}, "eef_pose must be a mapping"),
        ({"joint_names": "panda_joint1"}, "must be a list"),
        ({"limits": {"speed_scale": 0}}, "speed_scale"),
        ({"limits": {"box_low": [1, 1, 1], "box_high": [0, 2, 2]}}, "box_low < box_high"),
        ({"target_joint_position": {"topic": "a", "type": "image"}}, "float64_multi_array, joint_trajectory"),
        ({"target_joint_velocity": {"topic": "a"}}, "target_joint_velocity lacks: timeout_s"),
        ({"target_joint_velocity": {"topic": "a", "timeout_s": 0}}, "timeout_s must be positive and finite"),
        ({"home_xyzw": [0, 0, 1]}, "unit quaternion x, y, z, w"),
        ({"home_xyzw": [0, 0, 1, 1]}, "unit quaternion x, y, z, w"),
    ],
)
def test_a_wrong_value_is_explained(change: dict, words: str) -> None:
    data = yaml.safe_load((ARMS / "sim_panda.yaml").read_text())
    with pytest.raises(PixelarmError, match=words):
        ArmProfile.from_dict({**data, **change})


def test_a_missing_key_is_named() -> None:
    with pytest.raises(PixelarmError, match="lacks: .*gripper_command"):
        ArmProfile.from_dict({"name": "x"})


def test_profiles_are_found_by_name_or_path() -> None:
    assert profile.find("sim_panda", ARMS) == ARMS / "sim_panda.yaml"
    assert profile.find(str(ARMS / "sim_panda.yaml"), None) == ARMS / "sim_panda.yaml"
    with pytest.raises(UnknownName, match="fr3_jtc, franka_crisp, kinova_gen3_jtc, .*sim_panda"):
        profile.find("panda", ARMS)
    with pytest.raises(PixelarmError, match="no arm profile at"):
        profile.find("./nowhere.yaml", ARMS)


def test_what_the_arm_cannot_offer_is_named() -> None:
    arm = changed(joint_state=None)
    with pytest.raises(PixelarmError, match=r"gripper_opening, but.*: camera 'side', 'joint_pos' with 7 numbers"):
        arm.require_contract(contract(cameras=("agentview", "side"), proprio=("joint_pos",)))


def test_a_camera_that_cannot_give_the_contracts_size_is_named() -> None:
    arm = ArmProfile.load(ARMS / "sim_panda_vga.yaml")
    arm.require_contract(contract())
    front = dataclasses.replace(arm.cameras["agentview"], resize="exact")
    arm = dataclasses.replace(arm, cameras={**arm.cameras, "agentview": front})
    with pytest.raises(PixelarmError, match="cameras.agentview: a size of 640x480 pixels is not 64x64; write resize"):
        arm.require_contract(contract())
    arm.require_contract(contract(cameras=("eye_in_hand",)))  # the policy does not look at it


def test_which_images_are_large() -> None:
    camera = ArmProfile.load(ARMS / "sim_panda_vga.yaml").cameras["agentview"]
    assert camera.large  # 640 * 480 * 3 = 921,600 bytes
    assert not dataclasses.replace(camera, type="compressed").large
    assert not dataclasses.replace(camera, size=(320, 240)).large  # 230,400 of 262,144 bytes
    assert not dataclasses.replace(camera, size=None).large  # it is not known


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


# --------------------------------------------------------------------------------------------- what the arm can be told
def test_an_arm_takes_the_kinds_of_action_that_it_has_outputs_for() -> None:
    everything = {name for name, kind in KINDS.items() if kind.make}
    assert set(changed().kinds) == everything
    assert set(changed(home_xyzw=None).kinds) == everything - {"eef_delta_position_yaw"}
    assert set(changed(target_pose=None, arbiter={}).kinds) == {"joint_position", "joint_velocity"}
    assert changed(target_joint_velocity=None).outputs.keys() == {POSE, JOINT_POSITION}
    assert "joint_velocity" not in ArmProfile.load(ARMS / "franka_crisp.yaml").kinds


def test_a_kind_without_an_output_is_refused_with_those_that_there_are() -> None:
    joints = changed(target_pose=None, arbiter={})
    with pytest.raises(
        PixelarmError,
        match="'sim_panda' takes joint_velocity, joint_position actions, .*eef_delta_position.*lacks the key "
        "target_pose",
    ):
        joints.require_contract(contract())
    with pytest.raises(
        PixelarmError, match="takes .*eef_delta_pose.* the policy's are joint_velocity.* target_joint_velocity"
    ):
        changed(target_joint_velocity=None).require_contract(joint_contract("joint_velocity"))
    yaw = Action("eef_delta_position_yaw", tuple("abcde"), ("m", "m", "m", "rad", "1"), (-1,) * 5, (1,) * 5)
    proprio = (Proprio("eef_pos", 3, "m", "base"), Proprio("eef_quat", 4, "1", "base"))
    turning = dataclasses.replace(contract(), action=yaw, proprio=proprio)
    changed().require_contract(turning)
    with pytest.raises(PixelarmError, match="eef_delta_position_yaw, for which it lacks the key home_xyzw"):
        changed(home_xyzw=None).require_contract(turning)
    with pytest.raises(
        PixelarmError, match="at least one of target_pose, target_joint_position, target_joint_velocity"
    ):
        changed(target_pose=None, target_joint_position=None, target_joint_velocity=None)


def test_joints_of_another_arm_are_refused() -> None:
    changed().require_contract(joint_contract("joint_position"))
    with pytest.raises(PixelarmError, match="'sim_panda' has 7 joint_names, but the policy's actions are for 6 joints"):
        changed().require_contract(joint_contract("joint_position", joints=6))


def test_a_driver_that_stops_between_two_velocities_is_refused() -> None:
    changed(target_joint_velocity={"topic": "a", "timeout_s": 0.11}).require_contract(joint_contract("joint_velocity"))
    with pytest.raises(
        PixelarmError, match="stops 0.1 s after a velocity, sooner than the policy's next one comes .0.1 s"
    ):
        changed(target_joint_velocity={"topic": "a", "timeout_s": 0.1}).require_contract(
            joint_contract("joint_velocity")
        )


def test_an_arm_without_a_pose_offers_none() -> None:
    with pytest.raises(
        PixelarmError, match="offers agentview, eye_in_hand, gripper_opening, joint_pos, joint_vel, but"
    ):
        changed(eef_pose=None).require_contract(contract())


def test_what_else_is_observed_comes_from_the_profiles_states() -> None:
    wanted = dataclasses.replace(contract(), proprio=(*contract().proprio, Proprio("mood", 2, "1", "base")))
    with pytest.raises(PixelarmError, match="but the policy needs also: 'mood' with 2 numbers"):
        changed().require_contract(wanted)
    with pytest.raises(PixelarmError, match="but the policy needs also: 'mood' with 2 numbers"):
        changed(states={"mood": {"topic": "moods", "joints": ["joy"]}}).require_contract(wanted)
    arm = changed(states={"mood": {"topic": "moods", "joints": ["joy", "fear"]}})
    arm.require_contract(wanted)
    assert arm.proprio["mood"] == 2


@pytest.mark.parametrize(
    ("states", "words"),
    [
        ({"joint_pos": {"topic": "a", "joints": ["b"]}}, "joint_pos has a key of its own"),
        ({"mood": {"topic": "a", "joints": ["b", "b"]}}, "joints must be names, none twice"),
        ({"mood": {"topic": "a", "joints": []}}, "joints must be names, none twice"),
        ({"mood": {"topic": "a"}}, "lacks: joints"),
    ],
)
def test_states_that_make_no_sense_are_refused(states: dict[str, Any], words: str) -> None:
    with pytest.raises(PixelarmError, match=words):
        changed(states=states)


def test_a_contract_that_is_not_one_for_an_arm_is_refused() -> None:
    with pytest.raises(PixelarmError, match="no arm takes 'normalized' actions"):
        changed().require_contract(
            dataclasses.replace(contract(), action=dataclasses.replace(contract().action, kind="normalized"))
        )


# -------------------------------------------------------------------------------------------- smooth motion, kinematics
def kinematics(*names: str) -> str:
    joint = {
        "position": [0.0, 0.0, 0.1],
        "xyzw": [0.0, 0.0, 0.0, 1.0],
        "axis": [0.0, 1.0, 0.0],
        "low": -2.0,
        "high": 2.0,
    }
    tip = {"position": [0.0, 0.0, 0.1], "xyzw": [0.0, 0.0, 0.0, 1.0]}
    return yaml.safe_dump({"joints": [{"name": name, **joint} for name in names], "tip": tip})


def smooth_panda() -> dict:
    """The simulated Panda's profile with the limits that its comments show, and its kinematics in a file beside it."""
    text = (ARMS / "sim_panda.yaml").read_text()
    shown = re.sub(r"^  # (m\w+: [\d\[])", r"  \1", text, flags=re.MULTILINE)
    return {**yaml.safe_load(shown), "kinematics": "rows.yaml"}


def test_the_smooth_limits_that_the_comments_show_are_valid(tmp_path: Path) -> None:
    data = smooth_panda()
    (tmp_path / "arm.yaml").write_text(yaml.safe_dump(data))
    (tmp_path / "rows.yaml").write_text(kinematics(*data["joint_names"]))
    arm = ArmProfile.load(tmp_path / "arm.yaml")
    assert arm.limits.max_jerk_m_s3 == 40.0 and arm.limits.min_height_m == 0.05
    assert len(arm.limits.max_joint_jerk_rad_s3) == 7 and arm.limits.max_joint_step_rad == 0.2
    chain = arm.read_chain()
    assert chain is not None and chain.names == arm.joint_names
    assert ArmProfile.load(ARMS / "sim_panda.yaml").read_chain() is None


def test_kinematics_that_do_not_fit_are_refused_when_the_profile_is_read(tmp_path: Path) -> None:
    data = smooth_panda()
    (tmp_path / "arm.yaml").write_text(yaml.safe_dump(data))
    with pytest.raises(PixelarmError, match="cannot read the kinematics .*rows.yaml"):
        ArmProfile.load(tmp_path / "arm.yaml")
    (tmp_path / "rows.yaml").write_text(kinematics(*data["joint_names"][::-1]))
    with pytest.raises(PixelarmError, match="the joints are panda_joint7, .* the same in one order"):
        ArmProfile.load(tmp_path / "arm.yaml")
    with pytest.raises(PixelarmError, match="min_height_m needs the arm's kinematics: name their file with the key"):
        ArmProfile.from_dict({**data, "kinematics": None})


def test_profiles_are_found_by_what_they_can_run() -> None:
    found = profile.that_take(dataclasses.replace(contract(), arm="ur5e"))
    assert found == ["sim_ur5e", "sim_ur5e_forward", "sim_ur5e_jtc", "ur5e_forward", "ur5e_jtc"]
    arm = ArmProfile.load(ARMS / "sim_kitchen.yaml").arm
    assert "sim_kitchen" in profile.that_take(dataclasses.replace(joint_contract("joint_velocity"), arm=arm))
