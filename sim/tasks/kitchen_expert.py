"""The scripted expert of the kitchen: a table of waypoints for each subtask, followed with inverse kinematics.

Positions are metres in the world frame: x to the right as one faces the kitchen, y into it, z up. The hand's natural
direction is into the kitchen, with fingers that open along x, as all the vertical handles want it; a yaw turns it about
z, a pitch tilts it down.

What the hand does next shows in the scene. It closes once it is at a handle, and pulls once the fingers have closed; a
push leads the object's own position by a fixed way, with force to spare. An expert that stands at a handle for some
steps before it closes, or whose push grows until something gives, cannot be cloned from states: nearly all that stand
there with open fingers are told to stay.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import mujoco
import numpy as np

from robot.rotations import from_axis_angle
from sim.scene.names import body_id, named_id
from sim.tasks.common.tabletop import joint_address

if TYPE_CHECKING:
    from sim.physics.world import World
    from sim.tasks.kitchen import Kitchen

OPEN, CLOSED = -1.0, 1.0
STEPS = 40  # at most for a waypoint
CLOSING = 2  # steps that the fingers take
PRECISE, LEAN = 0.01, 0.15  # m of tolerance at an object, where the hand's rotation counts too, and rad of that
NATURAL = np.array(
    [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
)  # columns: the axes of a hand that is not turned


class Scene:
    """What a waypoint may depend on: the world, and what has happened since the waypoint became the current one."""

    def __init__(self, world: World) -> None:
        mujoco.mj_kinematics(world.model, world.data)
        self.world, self.steps = world, 0
        self.start = self.hand  # (3,) m, where the hand was

    @property
    def hand(self) -> np.ndarray:
        return self.world.data.site_xpos[self.world.arm.site].copy()

    @property
    def rotation(self) -> np.ndarray:
        """(3, 3) of the hand."""
        return self.world.data.site_xmat[self.world.arm.site].reshape(3, 3).copy()

    def site(self, name: str) -> np.ndarray:
        return self.world.data.site_xpos[named_id(self.world.model, "site", name)].copy()

    def body(self, name: str) -> np.ndarray:
        return self.world.data.xpos[body_id(self.world.model, name)].copy()

    def joint(self, name: str) -> float:
        """rad or m"""
        return float(self.world.data.qpos[joint_address(self.world, name)])

    def about(self, joint: str, point: np.ndarray, angle: float) -> np.ndarray:
        """A point turned about a hinge by an angle (rad)."""
        index = named_id(self.world.model, "joint", joint)
        anchor, axis = self.world.data.xanchor[index], self.world.data.xaxis[index]
        return anchor + from_axis_angle(angle * axis) @ (point - anchor)


Place = Callable[[Scene], np.ndarray]


@dataclass(frozen=True)
class Waypoint:
    """Where the hand goes next, and when it is there."""

    at: Place | None  # (3,) m, asked for at each step; None is the arm's home, gone to joint by joint
    fingers: float
    yaw: float | Callable[[Scene], float] = 0.0  # degrees
    pitch: float = 0.0  # degrees, down
    tolerance: float = 0.03  # m
    speed: float | None = None  # m per step; None: the episode's own
    until: Callable[[Scene], bool] | None = None  # another end than arriving
    steps: int = STEPS  # the longest it may take


def from_site(name: str, x: float, y: float, z: float) -> Place:
    return lambda scene: scene.site(name) + (x, y, z)


def from_start(x: float, y: float, z: float) -> Place:
    return lambda scene: scene.start + (x, y, z)


def still(fingers: float, steps: int, yaw: float = 0.0, pitch: float = 0.0) -> Waypoint:
    """Stay and let the fingers move."""
    return Waypoint(from_start(0, 0, 0), fingers, yaw, pitch, until=lambda scene: scene.steps >= steps)


# ------------------------------------------------------------------------------------------------------------- subtasks
def _kettle(x: float, y: float, z: float) -> Place:
    """Beside the kettle's middle, at a height of the kitchen."""
    return lambda scene: scene.body("kettle") * (1, 1, 0) + (x, y, z)


HOME = Waypoint(None, OPEN)  # after what leaves the elbow so that little else can be reached

MICROWAVE = (
    Waypoint(from_site("microhandle_site", 0.05, -0.13, 0.06), OPEN, yaw=14, pitch=4, tolerance=0.04),
    Waypoint(
        from_site("microhandle_site", -0.005, -0.012, 0.03), OPEN, yaw=18, pitch=6, tolerance=PRECISE, speed=0.025
    ),
    still(CLOSED, CLOSING, yaw=18, pitch=6),
    Waypoint(  # along the door's arc
        lambda scene: scene.about("microwave", scene.start, -0.85 * min(1.0, scene.steps / 24)),
        CLOSED,
        yaw=lambda scene: 18 + 0.2 * np.degrees(scene.joint("microwave")),
        pitch=6,
        speed=0.06,
        until=lambda scene: scene.joint("microwave") < -0.68,
    ),
    still(OPEN, 3, yaw=5, pitch=6),
    Waypoint(from_start(0.04, -0.10, 0.0), OPEN),
    HOME,
)

KETTLE = (  # pushed by its front; the pitch keeps the forearm above the arm's own pedestal
    Waypoint(_kettle(0, -0.26, 1.80), CLOSED, pitch=25, tolerance=0.05),
    Waypoint(_kettle(0, -0.19, 1.735), CLOSED, pitch=25),
    Waypoint(
        lambda scene: np.array([scene.start[0] + 0.02, 0.59, 1.735]),
        CLOSED,
        pitch=25,
        speed=0.018,  # faster, it turns
        until=lambda scene: scene.body("kettle")[1] > 0.58,  # a bump there turns it; it slides on by some 2 cm
    ),
    Waypoint(from_start(0.0, -0.15, 0.08), CLOSED, pitch=25),
)


def _burner(knob: int, lead: float, turn: float, before: float) -> tuple[Waypoint, ...]:
    """The upper end of the knob's bar, pushed around its axis.

    Args:
        lead: m, how far the target lies behind the bar's face; with ``turn`` that makes the force.
        turn: rad that the target is ahead of the knob.
        before: m of the target before the knob.
    """
    site, joint = f"knob{knob}_site", f"knob_Joint_{knob}"

    def beside(scene: Scene, angle: float, ahead: float, before: float = 0.042) -> np.ndarray:
        along, away = (np.sin(angle), 0.0, np.cos(angle)), (-np.cos(angle), 0.0, np.sin(angle))
        return scene.site(site) + 0.045 * np.array(along) + (0.036 - ahead) * np.array(away) + (0.0, -before, 0.0)

    return (
        Waypoint(lambda scene: beside(scene, 0.0, 0.0) + (-0.02, -0.11, 0.0), CLOSED),
        Waypoint(lambda scene: beside(scene, 0.0, 0.0) + (-0.02, 0.0, 0.0), CLOSED, tolerance=PRECISE),
        Waypoint(
            lambda scene: beside(scene, min(turn - scene.joint(joint), 1.2), lead, before),
            CLOSED,
            speed=0.03,
            until=lambda scene: scene.joint(joint) < -0.92,
        ),
        Waypoint(from_start(-0.03, -0.12, 0.0), CLOSED),
    )


def _beyond_lever(scene: Scene) -> np.ndarray:
    """Six centimetres to the left of the hand, on the lever's way."""
    right, y, z = scene.site("light_site") + (0.055, -0.03, 0.0)
    return np.array([max(scene.hand[0] - 0.06, right - 0.185), y, z])


LIGHT_SWITCH = (  # the lever goes to the left
    Waypoint(from_site("light_site", 0.055, -0.15, 0.0), CLOSED),
    Waypoint(from_site("light_site", 0.055, -0.03, 0.0), CLOSED, tolerance=PRECISE, speed=0.025),
    Waypoint(_beyond_lever, CLOSED, speed=0.06, until=lambda scene: scene.joint("light_switch") < -0.62),
    Waypoint(from_start(0.0, -0.12, 0.0), CLOSED),
)

SLIDE_CABINET = (
    Waypoint(from_site("slide_site", 0.0, -0.16, -0.03), OPEN),
    Waypoint(from_site("slide_site", 0.0, -0.02, -0.03), OPEN, tolerance=PRECISE, speed=0.025),
    still(CLOSED, CLOSING),
    Waypoint(
        lambda scene: scene.start + (min(scene.joint("slide_cabinet") + 0.10, 0.46), 0.0, 0.0),
        CLOSED,
        speed=0.03,
        until=lambda scene: scene.joint("slide_cabinet") > 0.36,
    ),
    still(OPEN, 3),
    Waypoint(from_start(0.0, -0.12, 0.0), OPEN),
    HOME,
)

HINGE_CABINET = (  # pulled by its handle, then pushed on by the left finger, always facing the kitchen
    Waypoint(from_site("hinge_site2", 0.0, -0.16, -0.08), OPEN, pitch=-20),
    Waypoint(from_site("hinge_site2", 0.0, -0.012, -0.04), OPEN, pitch=-20, tolerance=PRECISE, speed=0.025),
    still(CLOSED, CLOSING, pitch=-20),
    Waypoint(
        lambda scene: scene.about(
            "right_hinge_cabinet",
            scene.start,
            scene.joint("right_hinge_cabinet") + (0.10 if scene.joint("right_hinge_cabinet") < 0.45 else 0.22),
        ),
        CLOSED,
        pitch=-20,
        speed=0.05,
        until=lambda scene: scene.joint("right_hinge_cabinet") > 1.40,
        steps=80,
    ),
    still(OPEN, 3, pitch=-20),
    Waypoint(from_start(0.05, -0.10, 0.0), OPEN, pitch=-20),
)

WAYPOINTS: dict[str, tuple[Waypoint, ...]] = {
    "microwave": MICROWAVE,
    "kettle": KETTLE,
    "bottom_burner": _burner(2, lead=0.03, turn=0.5, before=0.042),
    "top_burner": _burner(4, lead=0.04, turn=0.35, before=0.035),
    "light_switch": LIGHT_SWITCH,
    "slide_cabinet": SLIDE_CABINET,
    "hinge_cabinet": HINGE_CABINET,
}


# --------------------------------------------------------------------------------------------------------------- expert
class KitchenExpert:
    """One subtask after the other, in the task's order but the hinged cabinet last: its open door covers the slide's
    handle.

    What is not done, or came undone, is tried again. A reference pose moves from waypoint to waypoint, inverse
    kinematics turns it into reference joint angles, and the arm is asked for more than the way to them, as its servos
    go about half of it.
    """

    SPEED = (0.025, 0.032)  # m per step in free motion, drawn for each episode
    TURN = 0.12  # rad per step
    HOMING, AT_HOME = 0.09, 0.1  # rad per step of each joint, and how near is there
    GAIN = 1.3
    TREMOR = 0.05  # rad/s, standard deviation added to each joint's velocity
    LAG = (0.02, 0.06)  # m of the hand behind its reference: from where on free motion slows, and where it nearly stops

    def __init__(self, rng: np.random.Generator, task: Kitchen) -> None:
        self._rng, self._task = rng, task
        self._order: list[str] = sorted(task.subtasks, key=lambda subtask: subtask == "hinge_cabinet")
        self.subtask: str | None = None  # what is being done
        self._speed = float(rng.uniform(*self.SPEED))
        self._plan: list[Waypoint] = []
        self._scene: Scene | None = None

    def act(self, world: World) -> np.ndarray:
        if self._scene is None:
            self._begin(world)
        mujoco.mj_kinematics(world.model, world.data)
        waypoint = self._waypoint(world)
        if waypoint is None:
            return np.append(np.zeros(len(world.arm.qpos)), CLOSED).astype(np.float32)
        self._follow(world, waypoint)
        period = world.contract.period_s
        q = world.data.qpos[world.arm.qpos]
        velocity = self.GAIN * (self._joints - q) / period + self._rng.normal(0.0, self.TREMOR, len(q))
        return world.contract.clip_action(np.append(velocity, waypoint.fingers).astype(np.float32))

    def _begin(self, world: World) -> None:
        self._scene = Scene(world)
        self._ik = InverseKinematics(world, self._task.arm.home)
        self._joints = world.data.qpos[world.arm.qpos].copy()
        self._set_reference(world)

    def _set_reference(self, world: World) -> None:
        self._position = world.data.site_xpos[world.arm.site].copy()
        self._rotation = world.data.site_xmat[world.arm.site].reshape(3, 3).copy()

    def _waypoint(self, world: World) -> Waypoint | None:
        """The current waypoint, the next one if this is reached, None when there is nothing to do."""
        assert self._scene is not None
        if self._plan and self._reached(self._plan[0], self._scene):
            if self._plan[0].at is None:
                self._set_reference(world)
            self._plan = self._plan[1:]
            self._scene = Scene(world)
        if not self._plan:
            self._plan = self._next_plan(world)
            self._scene = Scene(world)
        return self._plan[0] if self._plan else None

    def _next_plan(self, world: World) -> list[Waypoint]:
        """The way through the first subtask that is not done; empty when all are."""
        done = self._task.completed(world)
        self.subtask = next((subtask for subtask in self._order if subtask not in done), None)
        return [] if self.subtask is None else list(WAYPOINTS[self.subtask])

    def _reached(self, waypoint: Waypoint, scene: Scene) -> bool:
        if scene.steps >= waypoint.steps or (waypoint.until is not None and waypoint.until(scene)):
            return True
        if waypoint.until is not None:
            return False
        if waypoint.at is None:
            world = scene.world
            return bool(np.abs(world.data.qpos[world.arm.qpos] - self._ik.posture).max() < self.AT_HOME)
        target = waypoint.at(scene)
        turned = np.linalg.norm(rotation_vector(rotation_for(waypoint, scene) @ scene.rotation.T))
        upright = waypoint.tolerance > PRECISE or turned < LEAN
        return bool(upright and np.linalg.norm(scene.hand - target) < waypoint.tolerance)

    def _follow(self, world: World, waypoint: Waypoint) -> None:
        """Move the reference one step on, and the reference joints after it."""
        assert self._scene is not None
        self._scene.steps += 1
        if waypoint.at is None:
            self._joints += np.clip(self._ik.posture - self._joints, -self.HOMING, self.HOMING)
            return
        speed = self._speed if waypoint.speed is None else waypoint.speed
        if (
            waypoint.until is None
        ):  # free motion: wait for the hand. Where something is moved, the way ahead makes the force
            low, high = self.LAG
            lag = float(np.linalg.norm(self._scene.hand - self._position))
            speed *= min(max(1.0 - (lag - low) / (high - low), 0.1), 1.0)
        way = waypoint.at(self._scene) - self._position
        self._position += way * min(1.0, speed / max(float(np.linalg.norm(way)), 1e-9))
        turn = rotation_vector(rotation_for(waypoint, self._scene) @ self._rotation.T)
        turn *= min(1.0, self.TURN / max(float(np.linalg.norm(turn)), 1e-9))
        self._rotation = from_axis_angle(turn) @ self._rotation
        self._joints = self._ik.solve(self._joints, self._position, self._rotation)


def rotation_for(waypoint: Waypoint, scene: Scene) -> np.ndarray:
    yaw = waypoint.yaw(scene) if callable(waypoint.yaw) else waypoint.yaw
    turned, tilted = np.array([0.0, 0.0, np.radians(yaw)]), np.array([-np.radians(waypoint.pitch), 0.0, 0.0])
    return from_axis_angle(turned) @ from_axis_angle(tilted) @ NATURAL


def rotation_vector(rotation: np.ndarray) -> np.ndarray:
    """Axis times angle ``(3,)`` rad of a rotation ``(3, 3)``."""
    quaternion, vector = np.empty(4), np.empty(3)
    mujoco.mju_mat2Quat(quaternion, rotation.ravel())
    mujoco.mju_quat2Vel(vector, quaternion, 1.0)
    return vector


class InverseKinematics:
    """Joint angles for a hand pose: damped least squares that leaves out the joints which stand at their limits.

    The arm starts at joint 2's limit; merely clipping it would leave the hand 3 to 7 cm short at the microwave.
    """

    DAMPING = 0.03
    ITERATIONS = 4
    ORIENTATION = 0.2  # m/rad, weight of the orientation
    POSTURE = 0.03  # how strongly the spare degree of freedom goes back to the start
    LARGEST = 0.12  # rad, a joint's step in one iteration
    MARGIN = 0.02  # rad to the limits

    def __init__(self, world: World, posture: tuple[float, ...]) -> None:
        """``posture``: (n,) rad, where the arm would rather be."""
        self._model, self._arm, self._data = world.model, world.arm, mujoco.MjData(world.model)
        joints = [int(np.flatnonzero(world.model.jnt_qposadr == address)[0]) for address in world.arm.qpos]
        joint, target = world.model.jnt_range[joints], world.model.actuator_ctrlrange[world.arm.actuators]
        self._low = np.maximum(joint[:, 0], target[:, 0]) + self.MARGIN
        self._high = np.minimum(joint[:, 1], target[:, 1]) - self.MARGIN
        self.posture = np.clip(posture, self._low, self._high)
        self._jacobian = np.zeros((6, world.model.nv))

    def solve(self, joints: np.ndarray, position: np.ndarray, rotation: np.ndarray) -> np.ndarray:
        """Angles ``(n,)`` near ``joints`` (rad) with the hand nearer to ``position`` (m) and ``rotation``,
        world frame.
        """
        for _ in range(self.ITERATIONS):
            joints = self._improve(joints, position, rotation)
        return joints

    def _improve(self, joints: np.ndarray, position: np.ndarray, rotation: np.ndarray) -> np.ndarray:
        model, data, arm = self._model, self._data, self._arm
        data.qpos[arm.qpos] = joints
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_jacSite(model, data, self._jacobian[:3], self._jacobian[3:], arm.site)
        weights = np.array([1.0] * 3 + [self.ORIENTATION] * 3)
        turn = rotation_vector(rotation @ data.site_xmat[arm.site].reshape(3, 3).T)
        error = weights * np.concatenate([position - data.site_xpos[arm.site], turn])
        jacobian = weights[:, None] * self._jacobian[:, arm.dof]
        step, free = np.zeros(len(joints)), np.ones(len(joints), bool)
        while True:  # at most n times: each takes a joint out
            usable = jacobian * free
            inverse = usable.T @ np.linalg.inv(usable @ usable.T + self.DAMPING**2 * np.eye(6))
            spare = np.where(free, self.POSTURE * (self.posture - joints), 0.0)
            wanted = inverse @ (error - jacobian @ step) + spare - inverse @ (usable @ spare)
            step = np.where(free, np.clip(wanted, -self.LARGEST, self.LARGEST), step)
            beyond = free & ((joints + step < self._low) | (joints + step > self._high))
            if not beyond.any():
                return joints + step
            step = np.where(beyond, np.clip(joints + step, self._low, self._high) - joints, np.where(free, 0.0, step))
            free &= ~beyond
