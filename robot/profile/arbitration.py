"""What a profile says to the arbiter, the process that alone commands a robot (``robot.arbiter``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from robot.errors import PixelarmError


@dataclass(frozen=True)
class Ready:
    """A topic by which the driver says whether it follows commands, for example UR's ``robot_program_running``."""

    topic: str
    values: tuple[Any, ...]  # of ``field``, with which it does
    type: str = "std_msgs/msg/Bool"  # its message, imported when the profile is used
    field: str = "data"  # of the message; a dot leads into a message in it
    latched: bool = False  # published once, for whoever comes later (transient local)

    def __post_init__(self) -> None:
        if self.type.count("/") != 2 or not self.values:
            raise PixelarmError(
                f"arbiter ready: type must be a message such as std_msgs/msg/Bool, and values what it holds while the "
                f"driver follows commands; got {self.type!r} and {list(self.values)}"
            )

    def read(self, message: Any) -> Any:
        """The value of ``field`` in a message; raises PixelarmError if it has no such field."""
        value = message
        for part in self.field.split("."):
            if not hasattr(value, part):
                raise PixelarmError(f"arbiter ready: a {self.type} of {self.topic} has no field {self.field!r}")
            value = getattr(value, part)
        return value


@dataclass(frozen=True)
class Start:
    """Where ``reset`` brings the arm: a pose, or joint positions, as the driver takes them."""

    position: tuple[float, ...] | None = None  # (3,) m, base frame
    xyzw: tuple[float, ...] | None = None  # (4,) unit quaternion
    joints: tuple[float, ...] | None = None  # (J,) rad, in the order of joint_names
    tolerance_m: float = 0.01
    tolerance_rad: float = 0.05
    patience_s: float = 20.0  # an arm that has not arrived by then is not going to

    def __post_init__(self) -> None:
        pose = self.position is not None and self.xyzw is not None and len(self.position) == 3 and len(self.xyzw) == 4
        if pose == (self.joints is not None):
            raise PixelarmError(
                "arbiter start: give position (three numbers, m) and xyzw (a unit quaternion), or joints (rad); got "
                f"position {self.position}, xyzw {self.xyzw}, joints {self.joints}"
            )


@dataclass(frozen=True)
class ArbiterConfig:
    """Times of one driver. Silence is counted from the arrival of the last message."""

    rate_hz: float = 100.0  # of commands to the driver
    silence_s: float = 0.25  # a policy silent for longer holds the arm; after ten times that it has lost command
    teleop_silence_s: float = 0.15  # an operator's device silent for longer has let go
    state_age_s: float = 0.3  # measured state older than this holds the arm
    state_lost_s: float = 1.0  # and than this is a fault
    blend_s: float = 0.3  # in which a hand-over passes from one command to another
    # a hold in the middle of a motion stops the arm at most so far from where it is, if the limits know no
    # accelerations: a target may be ahead of it by the whole reach. Further than an arm sags, so that a hold at rest
    # changes nothing
    hold_m: float = 0.02
    hold_rad: float = 0.1
    # s by which the arm trails its target: the distance between target and hand at an even speed, over that speed.
    # For arms led by a spring: impedance control, a soft position controller. A hold in the middle of a motion then
    # brakes it (``robot.arbiter.brake``), unless limits of acceleration do. Not for a stiff arm, which would be thrown
    # back once; and states must come faster than every half of it
    lag_s: float | None = None
    # an arm that stands still so far from its target for follow_s does not follow: targets begin anew where it is.
    # Leave both out for a compliant arm, which may press against something
    follow_m: float | None = None
    follow_rad: float | None = None
    follow_s: float = 0.3
    ready: tuple[Ready, ...] = ()
    start: Start | None = None

    def __post_init__(self) -> None:
        bounds = {
            "rate_hz": (10.0, 1000.0), "silence_s": (0.02, 2.0), "teleop_silence_s": (0.02, 0.5),
            "state_age_s": (0.01, 1.0), "state_lost_s": (0.05, 10.0), "blend_s": (0.0, 5.0), "follow_s": (0.05, 5.0),
        }  # fmt: skip
        for name, (low, high) in bounds.items():
            if not low <= getattr(self, name) <= high:
                raise PixelarmError(f"arbiter: {name} must be {low:g} to {high:g}, got {getattr(self, name)}")
        for name in ("follow_m", "follow_rad", "hold_m", "hold_rad"):
            value = getattr(self, name)
            if value is not None and not 0.001 <= value <= 1.0:
                raise PixelarmError(f"arbiter: {name} must be 0.001 to 1, got {value}")
        if self.lag_s is not None and not 0.05 <= self.lag_s <= 0.5:
            raise PixelarmError(f"arbiter: lag_s must be 0.05 to 0.5, got {self.lag_s}; a stiffer arm needs none")
        if self.state_lost_s < self.state_age_s:
            raise PixelarmError(
                f"arbiter: state_lost_s ({self.state_lost_s:g}) must be at least state_age_s ({self.state_age_s:g})"
            )

    @property
    def period_s(self) -> float:
        return 1.0 / self.rate_hz
