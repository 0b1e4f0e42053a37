"""A first draft of an arm profile from what was found of a robot, honest about what was not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import yaml

from robot.kinematics.chain import Chain
from robot.kinematics.urdf import UrdfJoint

ASK = "# ?"  # what nobody could know
TRAJECTORY = "trajectory_msgs/msg/JointTrajectory"
ARRAY = "std_msgs/msg/Float64MultiArray"
POSE = "geometry_msgs/msg/PoseStamped"
STEPS = (
    "read the file, and answer each line that is marked with '?'",
    "pixelarm doctor --arm FILE, with the driver running: streams, rates, names, frames, who commands",
    "pixelarm deploy BUNDLE --arm FILE: a dry run; compare /arbiter/preview/... with what is measured, by name",
    "measure the table and set the box of limits; keep speed_scale at 0.25, the enable button in your hand",
    "pixelarm deploy BUNDLE --arm FILE --no-dry-run: the first motion, a hand on the emergency stop",
)


@dataclass
class Found:
    """What a running robot said."""

    joints: dict[str, list[str]] = field(default_factory=dict)  # topic of joint states -> names
    poses: dict[str, str] = field(default_factory=dict)  # topic of poses -> frame
    cameras: dict[str, tuple[str, tuple[int, int] | None]] = field(default_factory=dict)  # topic -> type, [w, h]
    heard_by: dict[str, str] = field(default_factory=dict)  # topic that somebody hears -> type
    urdf: str = ""


def draft(
    name: str, found: Found, chain: Chain | None, turning: Sequence[UrdfJoint], base: str, kinematics: str | None
) -> str:
    """The text of a profile. ``kinematics`` is the file with the chain's rows, beside the profile."""
    names = list(chain.names) if chain else _longest(found.joints)
    lines = [
        f"# {name}: a first draft by `pixelarm new-arm`. NOT VERIFIED. Lines marked with '?' could not be known.",
        "# In order:",
        *(f"#   {i}. {step}" for i, step in enumerate(STEPS, 1)),
        f"name: {name}",
        f"description: {name} (not verified)",
        f"arm: panda            {ASK} the arm that your policies were trained with",
        "verified: false",
        "dry_run: true",
        f"base_frame: {base}",
        f"joint_names: {_row(names)}",
        "",
        *_cameras(found),
        "",
        *_state(found, names, kinematics),
        "",
        *_commands(found, names),
        "",
        *_limits(chain, turning),
        "",
        f"enable: {{required: true, topic: joy, button: 4, timeout_s: 0.2}}   {ASK} your button",
        "estop: {topic: estop}",
    ]
    return "\n".join(lines) + "\n"


def _row(values: Sequence[object]) -> str:
    return str(yaml.safe_dump(list(values), default_flow_style=True, width=10_000).strip())


def _longest(joints: dict[str, list[str]]) -> list[str]:
    return max(joints.values(), key=len, default=["joint1"])


def _cameras(found: Found) -> list[str]:
    lines = [f"cameras:              {ASK} which is which: cover one, and look which stream goes dark"]
    for contract, topic in zip(("agentview", "eye_in_hand"), [*found.cameras, None, None]):
        if topic is None:
            lines.append(f"  {contract}: {{topic: {contract}/image_raw, type: image}}   {ASK} no such stream was heard")
            continue
        kind, size = found.cameras[topic]
        fit = f", size: [{size[0]}, {size[1]}], resize: center" if size else ""
        note = "" if size else f"   {ASK} add size: [WIDTH, HEIGHT] and resize: center"
        lines.append(f"  {contract}: {{topic: {topic}, type: {kind}{fit}}}{note}")
    return lines


def _state(found: Found, names: list[str], kinematics: str | None) -> list[str]:
    lines = []
    topic = next((t for t, heard in found.joints.items() if set(names) <= set(heard)), None)
    lines.append(f"joint_state: {{topic: {topic or 'joint_states'}}}" + ("" if topic else f"   {ASK} not heard"))
    if kinematics:
        lines.append(f"kinematics: {kinematics}")
    for pose, frame in found.poses.items():
        lines.append(
            f"# eef_pose: {{topic: {pose}}}   {ASK} heard in frame {frame}: the point between the finger tips?"
        )
    others = [(t, n) for t, heard in found.joints.items() for n in heard if n not in names]
    grip = next(((t, n) for t, n in others if "finger" in n or "grip" in n or "knuckle" in n), None)
    where, joint = grip or ("joint_states", "gripper")
    lines.append(f"gripper_state: {{topic: {where}, joints: [{joint}], scale: 1.0}}   {ASK} scale to metres of opening")
    return lines


def _commands(found: Found, names: list[str]) -> list[str]:
    """One of the command topics that somebody hears; the others as comments."""
    made, others = "", []
    for topic, kind in found.heard_by.items():
        key = "target_pose" if kind == POSE else "target_joint_position"
        type_ = {TRAJECTORY: ", type: joint_trajectory", ARRAY: ", type: float64_multi_array"}.get(kind, "")
        line = f"{key}: {{topic: {topic}{type_}}}"
        if not made and "grip" not in topic:
            made = f"{line}   {ASK} of positions, and for {len(names)} joints in this order?"
        else:
            others.append(f"# {line}")
    if not made:
        made = (
            "target_joint_position: {topic: forward_position_controller/commands, type: float64_multi_array}   "
            f"{ASK} nobody heard a command topic: is a controller active?"
        )
    grip = "gripper_command: {topic: gripper/target, type: joint_state, open: 0.08, closed: 0.0}"
    return [made, *others, f"{grip}   {ASK} topic, type, unit"]


def _limits(chain: Chain | None, turning: Sequence[UrdfJoint]) -> list[str]:
    lines = [f"limits:               {ASK} box: measure your table; the rest suits a first run", "  speed_scale: 0.25"]
    lines += ["  max_speed_m_s: 0.25", "  box_low: [0.3, -0.3, 0.05]", "  box_high: [0.6, 0.3, 0.4]", "  expiry_s: 0.3"]
    if chain is None:
        return [
            *lines,
            f"  # joint_low, joint_high, max_joint_speed_rad_s   {ASK} needed for joint targets: give --urdf",
        ]
    turn = 2.0 * math.pi
    low, high = ([round(float(min(max(v, -turn), turn)), 5) for v in ends] for ends in (chain.low, chain.high))
    lines += [f"  joint_low: {_row(low)}     # rad, the URDF's", f"  joint_high: {_row(high)}"]
    speeds = [1.0 if j.speed is None else round(j.speed, 5) for j in turning]
    unknown = "" if all(j.speed for j in turning) else f"   {ASK} 1.0 where the URDF says none"
    lines.append(f"  max_joint_speed_rad_s: {_row(speeds)}{unknown}")
    return [*lines, "  max_joint_reach_rad: 0.2", "  joint_margin_rad: 0.05"]
