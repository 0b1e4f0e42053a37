"""Arm profiles: what one driver calls things, as a YAML file, so that a new arm is a new file and no new code.

``hardware/arms/sim_panda.yaml`` is the one to imitate. Every key is checked: an unknown one is an error that names
those that are valid, and a profile that nobody has tried says ``verified: false`` and starts as a dry run.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from robot.actions import JOINT_POSITION, JOINT_VELOCITY, KINDS, POSE, PROPRIO
from robot.contract import Contract
from robot.control.limits import LimitConfig
from robot.errors import PixelarmError, UnknownName
from robot.kinematics.chain import Chain

QOS = ("best_effort", "reliable")
IMAGE_TYPES = ("image", "compressed")
GRIPPER_TYPES = ("joint_state", "float64_multi_array")
JOINT_TYPES = ("joint_trajectory", "float64_multi_array")


@dataclass(frozen=True)
class CameraTopic:
    """Where one camera of the contract comes from."""

    topic: str
    type: str = "image"  # sensor_msgs/Image, or compressed: sensor_msgs/CompressedImage (JPEG or PNG)
    qos: str = "best_effort"  # best_effort receives from any publisher

    def __post_init__(self) -> None:
        _one_of("camera type", self.type, IMAGE_TYPES)
        _one_of("camera qos", self.qos, QOS)


@dataclass(frozen=True)
class PoseTopic:
    """A geometry_msgs/PoseStamped in the base frame."""

    topic: str


@dataclass(frozen=True)
class JointStateTopic:
    """A sensor_msgs/JointState that holds the profile's ``joint_names`` among others, in any order."""

    topic: str


@dataclass(frozen=True)
class JointPositionTopic:
    """Where a position (rad) for each of ``joint_names`` goes.

    As joint_trajectory: a trajectory_msgs/JointTrajectory of one point, one control period ahead, whose stamp of zero
    means now.
    As float64_multi_array: a std_msgs/Float64MultiArray in the order of ``joint_names``.
    """

    topic: str
    type: str = "joint_trajectory"

    def __post_init__(self) -> None:
        _one_of("joint position type", self.type, JOINT_TYPES)


@dataclass(frozen=True)
class JointVelocityTopic:
    """Where a velocity (rad/s) for each of ``joint_names`` goes: a std_msgs/Float64MultiArray in that order.

    A driver that never gives up follows the last velocity for ever when this program dies, so it must state its
    time-out.
    """

    topic: str
    timeout_s: float  # the driver itself stops the arm when nothing came for this long

    def __post_init__(self) -> None:
        if not 0 < self.timeout_s < float("inf"):
            raise PixelarmError(f"joint velocity timeout_s must be positive and finite, got {self.timeout_s}")


@dataclass(frozen=True)
class ContractTopic:
    """A latched (transient local) std_msgs/String with the contract of the arm's scene; the simulated arm has one."""

    topic: str


@dataclass(frozen=True)
class GripperState:
    """sensor_msgs/JointState with the fingers; opening = ``offset`` + ``scale`` times the sum of the named joints."""

    topic: str
    joints: tuple[str, ...]
    scale: float = 1.0  # metres of opening per unit of position; negative where a larger position is further closed
    offset: float = 0.0  # m of opening where all positions are zero


@dataclass(frozen=True)
class GripperCommand:
    """Where the gripper's target goes; ``open`` and ``closed`` are the values for -1 and +1, in the driver's unit."""

    topic: str
    open: float
    closed: float
    type: str = "joint_state"  # sensor_msgs/JointState with header, or float64_multi_array: std_msgs/Float64MultiArray
    joint: str = "gripper"  # name in the JointState

    def __post_init__(self) -> None:
        _one_of("gripper command type", self.type, GRIPPER_TYPES)
        if self.open == self.closed:
            raise PixelarmError(f"gripper command: open and closed must differ, both are {self.open}")

    def value(self, gripper: float) -> float:
        """The driver's number for a gripper command in [-1, 1]."""
        return self.open + 0.5 * (gripper + 1.0) * (self.closed - self.open)

    def gripper(self, value: float) -> float:
        """The inverse of ``value``."""
        return 2.0 * (value - self.open) / (self.closed - self.open) - 1.0


@dataclass(frozen=True)
class EnableConfig:
    """The deadman: a button of a sensor_msgs/Joy that must be held for the arm to move."""

    required: bool = True
    topic: str = "joy"
    button: int = 4  # index into Joy.buttons; 4 is the left shoulder of common pads
    timeout_s: float = 0.2  # a silent device counts as released


@dataclass(frozen=True)
class EstopConfig:
    """State of the emergency stop: std_msgs/Bool, latched (transient local), true while pressed."""

    topic: str = "estop"


OUTPUTS = {  # kind of target -> key of the profile
    POSE: "target_pose",
    JOINT_POSITION: "target_joint_position",
    JOINT_VELOCITY: "target_joint_velocity",
}


@dataclass(frozen=True)
class ArmProfile:
    """One driver: topics, frames, joints and limits. Relative topics live in the namespace of the node."""

    name: str
    description: str
    base_frame: str  # frame of eef_pose, target_pose and the box
    joint_names: tuple[str, ...]  # of the arm, in the order of its documentation
    cameras: Mapping[str, CameraTopic]  # contract name -> topic
    gripper_state: GripperState
    gripper_command: GripperCommand
    arm: str = "panda"  # whose policies it runs: the arm that their contract names
    # what it measures beside cameras and gripper
    eef_pose: PoseTopic | None = None  # pose of the point between the finger tips
    joint_state: JointStateTopic | None = None
    # what it can be told; a policy uses the one that its kind of action needs
    target_pose: PoseTopic | None = None  # header.stamp is that of the observation it answers
    target_joint_position: JointPositionTopic | None = None
    target_joint_velocity: JointVelocityTopic | None = None
    home_xyzw: tuple[float, ...] | None = (
        None  # orientation of eef_pose with the arm at home: eef_delta_position_yaw's yaw of 0
    )
    # file of the joints and the tip ("pixelarm kinematics"), beside the profile; limits.min_height_m needs it
    kinematics: str | None = None
    limits: LimitConfig = field(default_factory=LimitConfig)
    enable: EnableConfig = field(default_factory=EnableConfig)
    estop: EstopConfig = field(default_factory=EstopConfig)
    contract: ContractTopic | None = (
        None  # a policy waits for it and compares; None: the arm says none, as real drivers do
    )
    verified: bool = False  # somebody ran it on this very arm
    dry_run: bool = True  # compute and count everything, command nothing

    def __post_init__(self) -> None:
        if not self.verified and not self.dry_run:
            raise PixelarmError(f"arm profile {self.name!r}: one that is not verified must have dry_run: true")
        if not self.outputs:
            raise PixelarmError(
                f"arm profile {self.name!r}: it must have at least one of {', '.join(OUTPUTS.values())}"
            )
        norm = sum(v * v for v in self.home_xyzw) if self.home_xyzw else 1.0
        if (self.home_xyzw is not None and len(self.home_xyzw) != 4) or abs(norm - 1.0) > 1e-6:
            raise PixelarmError(f"home_xyzw must be a unit quaternion x, y, z, w, got {self.home_xyzw}")
        if self.limits.min_height_m is not None and self.kinematics is None:
            raise PixelarmError(
                f"arm profile {self.name!r}: limits.min_height_m needs the arm's kinematics: name their file with the "
                f"key kinematics ('pixelarm kinematics' writes one), or leave the limit out"
            )

    def read_chain(self) -> Chain | None:
        """The arm's kinematics, read from their file.

        Raises:
            PixelarmError: the file cannot be read, or its joints are not ``joint_names`` in that order.
        """
        if self.kinematics is None:
            return None
        where = f"kinematics {self.kinematics}"
        chain = Chain.from_rows(_read_yaml(Path(self.kinematics), where), where)
        if chain.names != self.joint_names:
            raise PixelarmError(
                f"{where}: the joints are {', '.join(chain.names)}, and the joint_names of the arm profile "
                f"{self.name!r} are {', '.join(self.joint_names)}: they must be the same in one order"
            )
        return chain

    @property
    def outputs(self) -> dict[str, Any]:
        """Kind of target (``robot.actions.TARGETS``) -> where it goes, for those that the arm takes."""
        found = {target: getattr(self, key) for target, key in OUTPUTS.items()}
        return {target: topic for target, topic in found.items() if topic is not None}

    @property
    def kinds(self) -> list[str]:
        """The kinds of action that this arm can be driven with."""
        return [
            name
            for name, kind in KINDS.items()
            if kind.target in self.outputs and (self.home_xyzw or not kind.needs_home)
        ]

    @property
    def proprio(self) -> dict[str, int]:
        """The proprioception that this arm measures, and the size of each field."""
        sources: dict[str, Any] = {
            "eef_pos": self.eef_pose,
            "eef_quat": self.eef_pose,
            "gripper_opening": self.gripper_state,
        }
        sources |= {"joint_pos": self.joint_state, "joint_vel": self.joint_state}
        return {name: PROPRIO[name].size or len(self.joint_names) for name, source in sources.items() if source}

    def require_contract(self, contract: Contract) -> None:
        """Raise PixelarmError unless this arm can feed and follow a policy of ``contract``; every gap is named."""
        contract.require_arm()
        if contract.arm != self.arm:
            raise PixelarmError(
                f"the arm profile {self.name!r} is for a {self.arm}, and the policy was made for a {contract.arm}: "
                f"choose a profile for a {contract.arm} (key arm), or a policy for a {self.arm}"
            )
        self._require_output(contract)
        gaps = [f"camera {c.name!r}" for c in contract.cameras if c.name not in self.cameras]
        gaps += [f"camera {c.name!r} as {c.encoding} (only rgb8)" for c in contract.cameras if c.encoding != "rgb8"]
        gaps += [f"{p.name!r} with {p.size} numbers" for p in contract.proprio if self.proprio.get(p.name) != p.size]
        if gaps:
            has = ", ".join([*self.cameras, *self.proprio])
            raise PixelarmError(
                f"the arm profile {self.name!r} offers {has}, but the policy needs also: {', '.join(gaps)}"
            )

    def _require_output(self, contract: Contract) -> None:
        kind, target = contract.action.kind, KINDS[contract.action.kind].target
        if kind not in self.kinds:
            key = "home_xyzw" if target in self.outputs else OUTPUTS[target]
            takes = f"the arm profile {self.name!r} takes {', '.join(self.kinds)} actions"
            raise PixelarmError(f"{takes}, but the policy's are {kind}, for which it lacks the key {key}")
        if KINDS[kind].each_joint and contract.action.size - 1 != len(self.joint_names):
            has = f"the arm profile {self.name!r} has {len(self.joint_names)} joint_names"
            raise PixelarmError(f"{has}, but the policy's actions are for {contract.action.size - 1} joints")
        if target == JOINT_VELOCITY and self.outputs[target].timeout_s <= contract.period_s:
            raise PixelarmError(
                f"the driver of {self.name!r} stops {self.outputs[target].timeout_s:g} s after a velocity, sooner than "
                f"the "
                f"policy's next one comes ({contract.period_s:g} s)"
            )

    @staticmethod
    def from_dict(data: Any, where: str = "arm profile") -> ArmProfile:
        return _build(ArmProfile, data, where)

    @staticmethod
    def load(path: str | Path) -> ArmProfile:
        """Read a profile file. Raises PixelarmError with the file's name and the key that is wrong."""
        path = Path(path)
        made = ArmProfile.from_dict(_read_yaml(path, f"arm profile {path}"), f"arm profile {path}")
        if made.kinematics is not None:
            made = dataclasses.replace(made, kinematics=str(path.parent / made.kinematics))
            made.read_chain()  # what does not fit is refused now
        return made


def find(name_or_path: str, folder: Path | None) -> Path:
    """A profile by path, or by name among the files of ``folder``; a wrong name lists the right ones."""
    path = Path(name_or_path)
    if path.suffix in (".yaml", ".yml") or "/" in name_or_path:
        if not path.is_file():
            raise PixelarmError(f"there is no arm profile at {path}")
        return path
    files = {file.stem: file for file in sorted(folder.glob("*.yaml"))} if folder and folder.is_dir() else {}
    if name_or_path not in files:
        raise UnknownName("arm", name_or_path, files)
    return files[name_or_path]


def shipped() -> Path | None:
    """The folder of pixelarm's own profiles, found by its place so that ``robot`` imports nothing of ``hardware``."""
    folder = Path(__file__).resolve().parents[1] / "hardware" / "arms"
    return folder if folder.is_dir() else None


def _read_yaml(path: Path, where: str) -> Any:
    try:
        return yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise PixelarmError(f"cannot read the {where}: {error}") from error


def _one_of(what: str, value: str, valid: tuple[str, ...]) -> None:
    if value not in valid:
        raise UnknownName(what, value, valid)


def _build(kind: Any, value: Any, where: str) -> Any:
    """Plain YAML data as a value of type ``kind``: dataclasses, tuples, mappings, numbers, text."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return None if value is None else _build(arguments[0], value, where)
    if dataclasses.is_dataclass(kind):
        return _build_dataclass(kind, value, where)
    if origin is tuple:
        if not isinstance(value, list):
            raise PixelarmError(f"{where} must be a list, got {value!r}")
        return tuple(_build(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if origin is not None:  # Mapping[str, X]
        if not isinstance(value, dict):
            raise PixelarmError(f"{where} must be a mapping, got {value!r}")
        return {str(key): _build(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise PixelarmError(f"{where} must be {kind.__name__}, got {value!r}")
    return value


def _build_dataclass(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise PixelarmError(f"{where} must be a mapping, got {value!r}")
    hints = typing.get_type_hints(kind)
    for key in value:
        if key not in hints:
            raise UnknownName(f"key in {where}:", str(key), hints)
    needed = (dataclasses.MISSING, dataclasses.MISSING)
    missing = [
        f.name for f in dataclasses.fields(kind) if (f.default, f.default_factory) == needed and f.name not in value
    ]
    if missing:
        raise PixelarmError(f"{where} lacks: {', '.join(missing)}")
    return kind(**{key: _build(hints[key], item, f"{where}.{key}") for key, item in value.items()})
