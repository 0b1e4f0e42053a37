"""Arm profiles: what one driver calls things, as a YAML file, so that a new arm is a new file and no new code.

``hardware/arms/sim_panda.yaml`` is the one to imitate. Every key is checked: an unknown one is an error that names
those that are valid, and a profile that nobody has tried says ``verified: false`` and starts as a dry run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from robot.actions import JOINT_POSITION, JOINT_VELOCITY, KINDS, POSE, PROPRIO
from robot.contract import Contract
from robot.control.limits import LimitConfig
from robot.errors import PixelarmError, UnknownName
from robot.images import Fit
from robot.kinematics.chain import Chain
from robot.kinematics.inverse import Options
from robot.profile.arbitration import ArbiterConfig
from robot.profile.driver import Driver
from robot.profile.grippers import WITH_JOINTS, GripperCommand, GripperState
from robot.profile.reading import build, read_yaml
from robot.profile.topics import (
    CameraTopic,
    ContractTopic,
    EnableConfig,
    EstopConfig,
    JointPositionTopic,
    JointStateTopic,
    JointVelocityTopic,
    NamedStateTopic,
    PoseTopic,
)

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
    states: Mapping[str, NamedStateTopic] = field(default_factory=dict)  # contract name -> whatever else is observed
    # what it can be told; a policy uses the one that its kind of action needs
    target_pose: PoseTopic | None = None  # header.stamp is that of the observation it answers
    target_joint_position: JointPositionTopic | None = None
    target_joint_velocity: JointVelocityTopic | None = None
    home_xyzw: tuple[float, ...] | None = (
        None  # orientation of eef_pose with the arm at home: eef_delta_position_yaw's yaw of 0
    )
    # file of the joints and the tip ("pixelarm kinematics"), beside the profile; limits.min_height_m needs it. Without
    # eef_pose the pose is that of the measured joints, and without target_pose poses are solved for joint positions
    kinematics: str | None = None
    inverse: Options = field(default_factory=Options)  # of poses that are solved
    limits: LimitConfig = field(default_factory=LimitConfig)
    enable: EnableConfig = field(default_factory=EnableConfig)
    estop: EstopConfig = field(default_factory=EstopConfig)
    contract: ContractTopic | None = (
        None  # a policy waits for it and compares; None: the arm says none, as real drivers do
    )
    arbiter: ArbiterConfig = field(default_factory=ArbiterConfig)  # of the process that alone commands this robot
    driver: Driver | None = None  # how the driver behaves; None: as the simulated arm does
    verified: bool = False  # somebody ran it on this very arm
    dry_run: bool = True  # compute and count everything, command nothing

    def __post_init__(self) -> None:
        if not self.verified and not self.dry_run:
            raise PixelarmError(f"arm profile {self.name!r}: one that is not verified must have dry_run: true")
        if not self.outputs:
            raise PixelarmError(
                f"arm profile {self.name!r}: it must have at least one of {', '.join(OUTPUTS.values())}"
            )
        self._each_camera(lambda name, fit: None)
        if taken := {*self.states} & {*PROPRIO, *self.cameras}:
            raise PixelarmError(f"arm profile {self.name!r}: {', '.join(taken)} has a key of its own, and is no state")
        norm = sum(v * v for v in self.home_xyzw) if self.home_xyzw else 1.0
        if (self.home_xyzw is not None and len(self.home_xyzw) != 4) or abs(norm - 1.0) > 1e-6:
            raise PixelarmError(f"home_xyzw must be a unit quaternion x, y, z, w, got {self.home_xyzw}")
        if self.solves and self.joint_state is None:
            raise PixelarmError(
                f"arm profile {self.name!r}: poses are solved for joint positions near those that are measured: it "
                "needs the key joint_state"
            )
        joints = self.target_joint_position
        if self.gripper_command.type == WITH_JOINTS and (joints is None or joints.type != "float64_multi_array"):
            raise PixelarmError(
                f"arm profile {self.name!r}: a gripper_command with_joints needs target_joint_position as "
                "float64_multi_array"
            )
        if self.arbiter.lag_s is not None and self.target_pose is None:
            raise PixelarmError(
                f"arm profile {self.name!r}: arbiter.lag_s is of an arm that is led by poses, and the profile has no "
                "target_pose: leave it out"
            )
        if self.limits.min_height_m is not None and self.kinematics is None:
            raise PixelarmError(
                f"arm profile {self.name!r}: limits.min_height_m needs the arm's kinematics: name their file with the "
                f"key kinematics ('pixelarm kinematics' writes one), or leave the limit out"
            )

    def _each_camera(self, check: Callable[[str, Fit], None]) -> None:
        """Do something with each camera's fit; an error names the camera."""
        for name, source in self.cameras.items():
            try:
                check(name, source.fit)
            except PixelarmError as error:
                raise PixelarmError(f"arm profile {self.name!r}: cameras.{name}: {error}") from error

    def read_chain(self) -> Chain | None:
        """The arm's kinematics, read from their file.

        Raises:
            PixelarmError: the file cannot be read, or its joints are not ``joint_names`` in that order.
        """
        if self.kinematics is None:
            return None
        where = f"kinematics {self.kinematics}"
        chain = Chain.from_rows(read_yaml(Path(self.kinematics), where), where)
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
    def solves(self) -> bool:
        """Poses are solved for joint positions, which the driver takes."""
        return self.kinematics is not None and POSE not in self.outputs and JOINT_POSITION in self.outputs

    def told(self, kind: str) -> str:
        """The kind of target (``robot.actions.TARGETS``) that the driver gets for a kind of action."""
        target = KINDS[kind].target
        return JOINT_POSITION if target == POSE and self.solves else target

    @property
    def kinds(self) -> list[str]:
        """The kinds of action that this arm can be driven with."""
        return [
            name
            for name, kind in KINDS.items()
            if self.told(name) in self.outputs and (self.home_xyzw or not kind.needs_home)
        ]

    @property
    def proprio(self) -> dict[str, int]:
        """What is observed beside pictures, and the size of each field."""
        pose = self.eef_pose or (self.joint_state if self.kinematics else None)
        sources: dict[str, Any] = {
            "eef_pos": pose,
            "eef_quat": pose,
            "gripper_opening": self.gripper_state,
        }
        sources |= {"joint_pos": self.joint_state, "joint_vel": self.joint_state}
        sizes = {name: PROPRIO[name].size or len(self.joint_names) for name, source in sources.items() if source}
        return sizes | {name: len(state.joints) for name, state in self.states.items()}

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
        wanted = {c.name: (c.height, c.width) for c in contract.cameras}
        self._each_camera(lambda name, fit: fit.require(*wanted[name]) if name in wanted else None)

    def _require_output(self, contract: Contract) -> None:
        kind = contract.action.kind
        target = self.told(kind) if KINDS[kind].make else ""
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
        return build(ArmProfile, data, where)

    @staticmethod
    def load(path: str | Path) -> ArmProfile:
        """Read a profile file. Raises PixelarmError with the file's name and the key that is wrong."""
        path = Path(path)
        made = ArmProfile.from_dict(_extended(path), f"arm profile {path}")
        if made.kinematics is not None:
            made = dataclasses.replace(made, kinematics=str(path.parent / made.kinematics))
            made.read_chain()  # what does not fit is refused now
        return made


def _extended(path: Path) -> Any:
    """The data of a file; with the key ``extends`` (another file beside it) what it says on top of that one's."""
    data = read_yaml(path, f"arm profile {path}")
    if not isinstance(data, dict) or "extends" not in data:
        return data
    base = path.parent / str(data.pop("extends"))
    below = read_yaml(base, f"arm profile {base}, which {path.name} extends")
    if not isinstance(below, dict) or "extends" in below:
        raise PixelarmError(f"arm profile {path}: {base.name} must be a whole profile, one that extends no other")
    return _merged(below, data)


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """``above`` where it says something, mapping by mapping; null takes a key away."""
    made = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(below.get(key), dict)
        made[key] = _merged(below[key], value) if both else value
    return {key: value for key, value in made.items() if value is not None}


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


def that_take(contract: Contract) -> list[str]:
    """Names of pixelarm's own profiles that can run a policy of a contract, simulated ones first."""
    folder, found = shipped(), []
    for path in sorted(folder.glob("*.yaml")) if folder else []:
        try:
            ArmProfile.load(path).require_contract(contract)
        except PixelarmError:
            continue
        found.append(path.stem)
    return sorted(found, key=lambda name: not name.startswith("sim_"))


def shipped() -> Path | None:
    """The folder of pixelarm's own profiles, found by its place so that ``robot`` imports nothing of ``hardware``."""
    folder = Path(__file__).resolve().parents[2] / "hardware" / "arms"
    return folder if folder.is_dir() else None
