"""Controllers of an arm's joints and of its end effector; for the latter robosuite's OSC_POSE, in a compiled inner
loop.

With J the end-effector Jacobian, M the arm's mass matrix and e the pose error, the joint torques are

    tau = J^T [Lambda_p (kp e_p - kd v); Lambda_o (kp e_o - kd w)] + bias + N^T M (k0 (q0 - q) - 2 sqrt(k0) dq)

where Lambda_p and Lambda_o are the position and orientation blocks' own operational-space inertias (decoupled, as
robosuite's default), bias holds gravity and Coriolis torques, and N projects the posture term into the null space
(Khatib 1987; gains from robosuite 1.5's default OSC_POSE: kp 150, critically damped, k0 10).
"""

from __future__ import annotations

from typing import ClassVar, Protocol

import mujoco
import numpy as np
from numba import njit

from robot.errors import PixelarmError
from sim.physics.placed_arm import PlacedArm
from sim.physics.servo_pose import ServoPoseController

KP = 150.0  # 1/s^2
DAMPING_RATIO = 1.0
POSTURE_KP = 10.0  # 1/s^2


class Controller(Protocol):
    """Turns a goal into what the arm's actuators are told;
    every array attribute named in ``STATE`` decides the future.
    """

    STATE: ClassVar[tuple[str, ...]]
    PER_SUBSTEP: ClassVar[bool]  # whether the command follows the state within a control period

    def reset(self, data: mujoco.MjData) -> None:
        """Make the present the goal."""

    def command(self, data: mujoco.MjData) -> np.ndarray:
        """``(n,)`` N m for motors, rad for position servos. If ``PER_SUBSTEP``, positions and velocities must be up to
        date (``mj_step1`` or ``mj_forward`` done)."""


class OperationalSpaceController:
    """Follows an end-effector goal pose in world coordinates with joint torques.

    ``command(data)`` needs positions and velocities up to date (``mj_step1`` or ``mj_forward`` done) and returns (n,) N
    m, clipped to the actuators' range.
    """

    STATE: ClassVar[tuple[str, ...]] = ("goal_position", "goal_rotation", "posture")
    PER_SUBSTEP: ClassVar[bool] = True

    def __init__(self, model: mujoco.MjModel, arm: PlacedArm) -> None:
        self._model, self._arm = model, arm
        self.posture = np.zeros(len(arm.qpos))  # rad, what the null space is drawn to
        self.goal_position = np.zeros(3)  # m, world
        self.goal_rotation = np.eye(3)
        self._mass = np.zeros((model.nv, model.nv))
        self._jacobian = np.zeros((6, model.nv))
        limits = model.actuator_ctrlrange[arm.actuators]
        self._low, self._high = limits[:, 0].copy(), limits[:, 1].copy()

    def reset(self, data: mujoco.MjData) -> None:
        self.posture[:] = data.qpos[self._arm.qpos]
        self.goal_position[:] = data.site_xpos[self._arm.site]
        self.goal_rotation[:] = data.site_xmat[self._arm.site].reshape(3, 3)

    def command(self, data: mujoco.MjData) -> np.ndarray:
        model, arm = self._model, self._arm
        mujoco.mj_fullM(model, self._mass, data.qM)
        mujoco.mj_jacSite(model, data, self._jacobian[:3], self._jacobian[3:], arm.site)
        return _arm_torque(
            self._mass,
            self._jacobian,
            data.site_xpos[arm.site],
            data.site_xmat[arm.site],
            self.goal_position,
            self.goal_rotation,
            data.qpos,
            data.qvel,
            self.posture,
            data.qfrc_bias,
            arm.qpos,
            arm.dof,
            self._low,
            self._high,
        )


class JointController:
    """Joint positions or velocities as goals, with the inertia compensated: each joint behaves like a unit mass.

    position: tau = M (k (q* - q) - 2 sqrt(k) dq) + bias - passive   critically damped, k = 150 / s^2 as in task space
    velocity: tau = M (g (dq* - dq)) + bias - passive                      first order, g = 25 / s

    """

    STATE: ClassVar[tuple[str, ...]] = ("goal",)
    PER_SUBSTEP: ClassVar[bool] = True
    VELOCITY_GAIN = 25.0  # 1/s

    def __init__(self, model: mujoco.MjModel, arm: PlacedArm, velocity: bool, gain: float = KP) -> None:
        """``gain`` is of positions, 1/s^2."""
        self._model, self._arm, self._velocity, self._gain = model, arm, velocity, gain
        self.goal = np.zeros(len(arm.qpos))  # rad, or rad/s
        self._mass = np.zeros((model.nv, model.nv))
        limits = model.actuator_ctrlrange[arm.actuators]
        self._low, self._high = limits[:, 0].copy(), limits[:, 1].copy()

    def reset(self, data: mujoco.MjData) -> None:
        self.goal[:] = 0.0 if self._velocity else data.qpos[self._arm.qpos]

    def set_goal(self, data: mujoco.MjData, goal: np.ndarray) -> None:
        """``goal`` ``(n,)`` rad or rad/s."""
        self.goal[:] = goal

    def command(self, data: mujoco.MjData) -> np.ndarray:
        arm = self._arm
        dq = data.qvel[arm.dof]
        if self._velocity:
            acceleration = self.VELOCITY_GAIN * (self.goal - dq)
        else:
            error = self.goal - data.qpos[arm.qpos]
            acceleration = self._gain * error - 2.0 * np.sqrt(self._gain) * dq
        mujoco.mj_fullM(self._model, self._mass, data.qM)
        resistance = data.qfrc_bias[arm.dof] - data.qfrc_passive[arm.dof]
        tau = self._mass[np.ix_(arm.dof, arm.dof)] @ acceleration + resistance
        return np.minimum(np.maximum(tau, self._low), self._high)


class ServoController:
    """An arm whose joints have position servos in the model: the goal of a control period is one target for each servo.

    A velocity means: from where the joint is when the command arrives, ``velocity * period_s`` further. The servo stops
    there if no other command comes. Targets stay within the servos' range.
    """

    STATE: ClassVar[tuple[str, ...]] = ("target",)
    PER_SUBSTEP: ClassVar[bool] = False

    def __init__(self, model: mujoco.MjModel, arm: PlacedArm, velocity: bool, period_s: float) -> None:
        self._arm, self._velocity, self._period_s = arm, velocity, period_s
        self.target = np.zeros(len(arm.qpos))  # rad
        limits = model.actuator_ctrlrange[arm.actuators]
        self._low, self._high = limits[:, 0].copy(), limits[:, 1].copy()

    def reset(self, data: mujoco.MjData) -> None:
        self.target[:] = data.qpos[self._arm.qpos]

    def set_goal(self, data: mujoco.MjData, goal: np.ndarray) -> None:
        """``goal`` ``(n,)`` rad or rad/s."""
        target = data.qpos[self._arm.qpos] + self._period_s * np.asarray(goal, float) if self._velocity else goal
        np.clip(target, self._low, self._high, out=self.target)

    def command(self, data: mujoco.MjData) -> np.ndarray:
        return self.target


def make_controller(kind: str, model: mujoco.MjModel, arm: PlacedArm, period_s: float) -> Controller:
    """The controller that an action kind of a contract drives, for the actuators that the arm has.

    Raises:
        PixelarmError: end-effector goals for an arm with position servos that nothing leads (``Arm.follows_poses``).
    """
    joints, velocity = kind in ("joint_position", "joint_velocity"), kind == "joint_velocity"
    if (model.actuator_biastype[arm.actuators] == mujoco.mjtBias.mjBIAS_AFFINE).any():
        if joints:
            return ServoController(model, arm, velocity, period_s)
        if not arm.description.follows_poses:
            raise PixelarmError(
                f"action kind {kind!r} needs an arm with motors; this one has position servos, "
                "which take joint_velocity or joint_position"
            )
        return ServoPoseController(model, arm, period_s)
    return JointController(model, arm, velocity) if joints else OperationalSpaceController(model, arm)


@njit(cache=True)
def _arm_torque(
    mass: np.ndarray,
    jacobian: np.ndarray,
    position: np.ndarray,
    rotation: np.ndarray,
    goal_position: np.ndarray,
    goal_rotation: np.ndarray,
    qpos: np.ndarray,
    qvel: np.ndarray,
    posture: np.ndarray,
    bias: np.ndarray,
    arm_qpos: np.ndarray,
    arm_dof: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
) -> np.ndarray:
    """``_osc`` of one arm of a whole model, clipped: picking the arm's rows here costs a tenth of doing it in numpy."""
    n = arm_dof.size
    arm_mass, arm_jacobian, q, dq, arm_bias = np.empty((n, n)), np.empty((6, n)), np.empty(n), np.empty(n), np.empty(n)
    for i in range(n):
        q[i], dq[i], arm_bias[i] = qpos[arm_qpos[i]], qvel[arm_dof[i]], bias[arm_dof[i]]
        for j in range(n):
            arm_mass[i, j] = mass[arm_dof[i], arm_dof[j]]
        for k in range(6):
            arm_jacobian[k, i] = jacobian[k, arm_dof[i]]
    tau = _osc(
        arm_mass, arm_jacobian, position, rotation.reshape(3, 3), goal_position, goal_rotation, q, dq, posture, arm_bias
    )
    return np.minimum(np.maximum(tau, low), high)


@njit(cache=True)
def _osc(
    mass: np.ndarray,
    jacobian: np.ndarray,
    position: np.ndarray,
    rotation: np.ndarray,
    goal_position: np.ndarray,
    goal_rotation: np.ndarray,
    q: np.ndarray,
    dq: np.ndarray,
    posture: np.ndarray,
    bias: np.ndarray,
) -> np.ndarray:
    n = q.size
    kd = 2.0 * np.sqrt(KP) * DAMPING_RATIO
    twist = jacobian @ dq
    orientation_error = np.zeros(3)
    for k in range(3):
        orientation_error += 0.5 * np.cross(rotation[:, k], goal_rotation[:, k])
    force = KP * (goal_position - position) - kd * twist[:3]
    moment = KP * orientation_error - kd * twist[3:]

    mass_inverse = np.linalg.inv(mass)
    j_pos, j_ori = jacobian[:3].copy(), jacobian[3:].copy()
    wrench = np.zeros(6)
    wrench[:3] = np.linalg.pinv(j_pos @ mass_inverse @ j_pos.T) @ force
    wrench[3:] = np.linalg.pinv(j_ori @ mass_inverse @ j_ori.T) @ moment

    weighted = mass_inverse @ jacobian.T.copy()
    projector = np.eye(n) - weighted @ np.linalg.pinv(jacobian @ weighted) @ jacobian
    posture_torque = mass @ (POSTURE_KP * (posture - q) - 2.0 * np.sqrt(POSTURE_KP) * dq)
    return jacobian.T @ wrench + bias + projector.T @ posture_torque
