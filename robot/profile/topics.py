"""The topics of an arm profile, one dataclass for each kind; each checks what its YAML says."""

from __future__ import annotations

from dataclasses import dataclass

from robot.errors import PixelarmError
from robot.images import Fit
from robot.profile.reading import one_of

QOS = ("best_effort", "reliable")
IMAGE_TYPES = ("image", "compressed")
JOINT_TYPES = ("joint_trajectory", "float64_multi_array")
LARGE_BYTES = 256 * 1024  # of one message: from there on Fast DDS as it comes loses some (docs/results/deployment.md)


@dataclass(frozen=True)
class CameraTopic:
    """Where one camera of the contract comes from, and how its pictures become what the policy sees."""

    topic: str
    type: str = "image"  # sensor_msgs/Image, or compressed: sensor_msgs/CompressedImage (JPEG or PNG)
    qos: str = "best_effort"  # best_effort receives from any publisher
    size: tuple[int, ...] | None = None  # [width, height] in pixels that the camera sends; without it, whatever comes
    crop: tuple[int, ...] | None = None  # [left, top, width, height] in pixels of the part used, before all else
    # exact: the contract's size or a refusal; stretch: area averages; center: the same of the largest centred part with
    # the contract's proportions
    resize: str = "exact"
    rotate: int = 0  # degrees clockwise, the last step: 0, 90, 180 or 270

    def __post_init__(self) -> None:
        one_of("camera type", self.type, IMAGE_TYPES)
        one_of("camera qos", self.qos, QOS)

    @property
    def fit(self) -> Fit:
        """Raises PixelarmError if its keys make no sense."""
        return Fit(self.size, self.crop, self.resize, self.rotate)

    @property
    def large(self) -> bool:
        """Are its messages known to be larger than the default settings of DDS pass on without losses?"""
        return self.type == "image" and self.size is not None and 3 * self.size[0] * self.size[1] > LARGE_BYTES


@dataclass(frozen=True)
class PoseTopic:
    """A geometry_msgs/PoseStamped in the base frame."""

    topic: str
    stamp: str = "observation"  # of a target: that of the observation it answers; or now, where drivers refuse old ones

    def __post_init__(self) -> None:
        one_of("pose stamp", self.stamp, ("observation", "now"))


@dataclass(frozen=True)
class JointStateTopic:
    """A sensor_msgs/JointState that holds the profile's ``joint_names`` among others, in any order."""

    topic: str


@dataclass(frozen=True)
class NamedStateTopic:
    """A sensor_msgs/JointState whose positions are one observation, by the names of ``joints`` and in their order: what
    else is measured, or estimated from pictures by somebody else."""

    topic: str
    joints: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.joints or len(set(self.joints)) < len(self.joints):
            raise PixelarmError(f"states: joints must be names, none twice, got {list(self.joints)}")


@dataclass(frozen=True)
class JointPositionTopic:
    """Where a position (rad) for each of ``joint_names`` goes.

    As joint_trajectory: a trajectory_msgs/JointTrajectory of one point, whose stamp of zero means now.
    As float64_multi_array: a std_msgs/Float64MultiArray in the order of ``joint_names``.
    """

    topic: str
    type: str = "joint_trajectory"
    lead_s: float | None = None  # of a trajectory: from its arrival to its point; None: one period of the commands

    def __post_init__(self) -> None:
        one_of("joint position type", self.type, JOINT_TYPES)


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
