"""The numbers of one arm that its limits need."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf, isfinite, pi

from robot.errors import PixelarmError

JOINT_LIMITS = {
    "joint_low": "rad",
    "joint_high": "rad",
    "max_joint_speed_rad_s": "rad/s",
}  # no arm's number fits another
SMOOTH_JOINTS = {"max_joint_acceleration_rad_s2": "rad/s^2", "max_joint_jerk_rad_s3": "rad/s^3"}
LONGEST_STOP_S = 2.0  # an arm that takes longer to come to rest is not held by a hold


@dataclass(frozen=True)
class LimitConfig:
    """Numbers of one arm, in its base frame. The defaults suit a first run of an arm nobody has tried."""

    max_reach_m: float = 0.05  # furthest a target may lie from the measured position
    max_speed_m_s: float = 0.25  # distance between successive targets / control period
    speed_scale: float = 0.25  # in (0, 1]: shortens every motion
    box_low: tuple[float, float, float] = (0.3, -0.3, 0.02)  # m, workspace corner
    box_high: tuple[float, float, float] = (0.6, 0.3, 0.5)  # m, opposite corner
    expiry_s: float = 0.5  # a command that answers an older observation is refused
    max_turn_rad: float = 0.2  # furthest a target may be turned from the measured orientation
    max_turn_speed_rad_s: float = 0.5  # angle between successive targets / control period
    # for joint targets; one number for each of the profile's joint_names. Empty: not given
    joint_low: tuple[float, ...] = ()  # rad, lowest position
    joint_high: tuple[float, ...] = ()  # rad, highest position
    max_joint_speed_rad_s: tuple[float, ...] = ()  # rad/s, fastest each joint may turn
    max_joint_reach_rad: float = 0.2  # furthest a target may lie from a joint's measured position
    joint_margin_rad: float = 0.05  # targets keep this far from joint_low and joint_high
    # smooth motion, each part off until its numbers are given. Holds then come to rest within the same numbers
    max_acceleration_m_s2: float | None = None  # of successive targets; needs max_jerk_m_s3
    max_jerk_m_s3: float | None = None  # change of that acceleration / control period
    max_turn_acceleration_rad_s2: float | None = None  # of successive targets; reached over one control period
    max_joint_acceleration_rad_s2: tuple[float, ...] = ()  # one for each of joint_names; needs max_joint_jerk_rad_s3
    max_joint_jerk_rad_s3: tuple[float, ...] = ()  # one for each of joint_names
    max_joint_step_rad: float | None = None  # furthest a joint target may lie from the one before
    min_height_m: float | None = None  # of tip and joints above the base's plane; needs smooth joints and kinematics

    def __post_init__(self) -> None:
        for name in ("box_low", "box_high", *JOINT_LIMITS, *SMOOTH_JOINTS):
            object.__setattr__(self, name, tuple(float(v) for v in getattr(self, name)))
        for name in (
            "max_reach_m", "max_speed_m_s", "expiry_s", "max_turn_rad", "max_turn_speed_rad_s", "max_joint_reach_rad",
        ):  # fmt: skip
            if not 0 < float(getattr(self, name)) < float("inf"):
                raise PixelarmError(f"limit {name} must be positive and finite, got {getattr(self, name)}")
        if not 0 < self.speed_scale <= 1:
            raise PixelarmError(f"limit speed_scale must lie in (0, 1], got {self.speed_scale}")
        low, high = self.box_low, self.box_high
        if len(low) != 3 or len(high) != 3 or not all(a < b for a, b in zip(low, high)):
            raise PixelarmError(f"limit box needs three numbers each and box_low < box_high, got {low} and {high}")
        if self.max_turn_rad > 0.5 * pi:  # further apart, the shortest way between two targets may leave the reach
            raise PixelarmError(
                f"limit max_turn_rad must be at most a quarter turn, {0.5 * pi:.3f}, got {self.max_turn_rad}"
            )
        self._check_joints()
        self._check_smooth()

    def _check_joints(self) -> None:
        low, high, margin = self.joint_low, self.joint_high, self.joint_margin_rad
        if not 0 <= margin < float("inf"):
            raise PixelarmError(f"limit joint_margin_rad must be finite and not negative, got {margin}")
        if len(low) != len(high) or not all(a + 2 * margin < b for a, b in zip(low, high)):
            raise PixelarmError(
                "limits joint_low and joint_high must be of one length, and joint_low below joint_high by more than "
                "twice "
                f"joint_margin_rad ({margin}), got {low} and {high}"
            )
        if not all(0 < v < float("inf") for v in self.max_joint_speed_rad_s):
            raise PixelarmError(
                f"limit max_joint_speed_rad_s must be positive and finite, got {self.max_joint_speed_rad_s}"
            )

    def _check_smooth(self) -> None:
        """Numbers that may be left out: positive, and together where they need each other."""
        for name in ("max_acceleration_m_s2", "max_jerk_m_s3", "max_turn_acceleration_rad_s2", "max_joint_step_rad"):
            value = getattr(self, name)
            if value is not None and not 0 < value < inf:
                raise PixelarmError(f"limit {name} must be positive and finite, got {value}")
        for name in SMOOTH_JOINTS:
            if not all(0 < v < inf for v in getattr(self, name)):
                raise PixelarmError(f"limit {name} must be positive and finite, got {getattr(self, name)}")
        for names in (("max_acceleration_m_s2", "max_jerk_m_s3"), tuple(SMOOTH_JOINTS)):
            given = [name for name in names if getattr(self, name) not in (None, ())]
            if len(given) == 1:
                raise PixelarmError(f"limits {names[0]} and {names[1]} need each other, got only {given[0]}")
        if self.min_height_m is not None and not isfinite(self.min_height_m):
            raise PixelarmError(f"limit min_height_m must be finite, got {self.min_height_m}")
        if self.min_height_m is not None and not self.smooth_joints:
            raise PixelarmError(
                "limit min_height_m needs max_joint_acceleration_rad_s2 and max_joint_jerk_rad_s3 too: without them it "
                "is not known where the arm comes to rest"
            )
        self._check_stop()

    def _check_stop(self) -> None:
        """Refuse numbers by which a hold would take long."""
        stops = {"max_turn_acceleration_rad_s2": (self.max_turn_speed_rad_s, self.max_turn_acceleration_rad_s2, inf)}
        stops["max_acceleration_m_s2"] = (self.max_speed_m_s, self.max_acceleration_m_s2, self.max_jerk_m_s3 or inf)
        for i, numbers in enumerate(zip(self.max_joint_speed_rad_s, *(getattr(self, name) for name in SMOOTH_JOINTS))):
            stops[f"max_joint_acceleration_rad_s2 of joint {i + 1}"] = numbers
        for name, (speed, acceleration, jerk) in stops.items():
            stop_s = 0.0 if acceleration is None else speed / acceleration + acceleration / jerk
            if stop_s > LONGEST_STOP_S:
                raise PixelarmError(
                    f"limit {name}: at {acceleration:g} a stop from the greatest speed {speed:g} may take {stop_s:.1f} "
                    f"s, and {LONGEST_STOP_S:g} s are allowed: lower the speed, or raise acceleration and jerk"
                )

    @property
    def smooth_joints(self) -> bool:
        """Joint targets are limited in acceleration and jerk."""
        return bool(self.max_joint_acceleration_rad_s2)

    def without_motion(self) -> LimitConfig:
        """The same for whoever sends targets to an arbiter, which makes a smooth motion of them."""
        return replace(
            self,
            max_acceleration_m_s2=None,
            max_jerk_m_s3=None,
            max_turn_acceleration_rad_s2=None,
            max_joint_acceleration_rad_s2=(),
            max_joint_jerk_rad_s3=(),
            min_height_m=None,
        )

    def require_joints(self, kind: str, joints: int) -> None:
        """Raise PixelarmError unless every limit that is a joint's own is given for all ``joints``
        of an action ``kind``.
        """
        needed = JOINT_LIMITS | SMOOTH_JOINTS if self.smooth_joints else JOINT_LIMITS
        lacking = [
            f"{name} ({unit}): {len(getattr(self, name)) or 'none'} given"
            for name, unit in needed.items()
            if len(getattr(self, name)) != joints
        ]
        if lacking:
            raise PixelarmError(
                f"{kind!r} actions need these limits in the arm's profile, one number for each of the {joints} joints: "
                + "; ".join(lacking)
            )
