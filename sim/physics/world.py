"""One arm and its scene in MuJoCo: physics, controller and cameras, without tasks, episodes, rewards or gymnasium.

The training environment and the simulated arm of the deployment tests are both thin shells over a ``World``, so they
cannot drift apart. All positions that leave this class count from the arm's base along the world's axes, as a driver
would report them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import mujoco
import numpy as np

from robot.actions import JOINT_POSITION, KINDS, POSE, TARGETS, Reference, Target
from robot.contract import Contract
from robot.errors import PixelarmError
from robot.images import AS_IT_COMES, Fit
from sim.physics.arm import ANYWHERE, Arm, Workspace
from sim.physics.control import (
    KP,
    Controller,
    JointController,
    OperationalSpaceController,
    ServoController,
    make_controller,
)
from sim.physics.placed_arm import place
from sim.physics.servo_pose import ServoPoseController
from sim.rendering.renderer import AUTO, OpenGLRenderer, Renderer, check_renderer, make_renderer
from sim.scene.names import body_id

GRIPPER_SPEED = 4.0  # full strokes of 2 per second: robosuite moves 0.2 each 50 ms
TORQUE_EVERY = 2  # substeps between torque updates in fast physics
SETTLE_S = 0.1  # s at the start of an episode


class World:
    """Physics, controller and renderer of one scene. Not thread safe, except for ``render`` of a snapshot (see there).

    An episode starts with ``start``, then whoever runs it places the objects in ``data``, then ``settle``.

    Args:
        model: the compiled scene, see ``sim.scene.compile``.
        contract: what is observed, and how the arm is commanded.
        arm: the arm in the scene.
        workspace: targets of the end effector are clipped to it.
        cameras: the scene's camera behind each camera of the contract; by default the one of the same name.
        renderer: see ``sim.rendering.renderer.make_renderer``.
        fits: contract camera -> what its pictures go through, drawn as a real camera would send them. Cameras without
            one are drawn at the contract's size.
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        contract: Contract,
        arm: Arm,
        workspace: Workspace = ANYWHERE,
        cameras: Mapping[str, str] | None = None,
        renderer: str = "auto",
        fits: Mapping[str, Fit] | None = None,
    ) -> None:
        self.fits = {camera.name: (fits or {}).get(camera.name, AS_IT_COMES) for camera in contract.cameras}
        self._require_sizes()
        self.model, self.contract, self.renderer = model, contract, check_renderer(renderer)
        self.data, self._scratch = mujoco.MjData(model), mujoco.MjData(model)
        self.arm, self._workspace = place(arm, model), workspace
        self.base_position = self.arm.base_position  # (3,) m, world frame
        own = np.concatenate([self.arm.qpos, self.arm.finger_qpos])
        self.object_qpos = np.setdiff1d(np.arange(model.nq), own)  # addresses into qpos of all that is not the arm's
        self._cameras = {camera.name: camera.name for camera in contract.cameras} | dict(cameras or {})
        self.timestep = float(model.opt.timestep)
        self._torque_every = TORQUE_EVERY if self.timestep > 0.004 else 1
        self.controller: Controller = make_controller(contract.action.kind, model, self.arm, contract.period_s)
        self._own_controller = self.controller
        self.joints_at_once = False  # of position servos: whoever sends joint positions does so at a driver's rate
        self.driver_gain = KP  # 1/s^2, of a driver that takes joint positions for a scene whose actions are poses
        self._renderers: dict[tuple[int, int], Renderer] = {}
        self._substep = 0
        self._gripper = self._gripper_goal = -1.0
        self.home_rotation = self._rotation_at_home()  # (3, 3), of the end effector

    def _require_sizes(self) -> None:
        for name, fit in self.fits.items():
            if fit.changes and fit.size is None:
                raise PixelarmError(
                    f"camera {name!r} is cropped, resized or turned, and it is not known what size it sends: add size: "
                    "[WIDTH, HEIGHT] to the camera in the arm's profile"
                )

    def use(self, controller: Controller) -> None:
        """Lead the arm with another controller than the contract's own, from the next ``settle`` on."""
        self.controller = self._own_controller = controller

    def _rotation_at_home(self) -> np.ndarray:
        self._scratch.qpos[self.arm.qpos] = self.arm.description.home
        mujoco.mj_kinematics(self.model, self._scratch)
        return self._scratch.site_xmat[self.arm.site].reshape(3, 3).copy()

    # ------------------------------------------------------------------ motion
    def start(self, rng: np.random.Generator) -> None:
        """The scene as it was compiled, the arm near home, gripper open;
        objects are placed next, then it may ``settle``.
        """
        arm, home = self.arm, np.array(self.arm.description.home)
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[arm.qpos] = home + rng.normal(0.0, arm.description.home_noise, len(home))
        self.data.qpos[arm.finger_qpos] = arm.description.gripper.open
        self._gripper = self._gripper_goal = -1.0

    def settle(self) -> None:
        """Let objects come to rest and the wrist go to its held orientation; from now on the arm is commanded."""
        mujoco.mj_forward(self.model, self.data)
        self.controller = self._own_controller
        self.controller.reset(self.data)
        if isinstance(self.controller, OperationalSpaceController | ServoPoseController):
            self.controller.goal_rotation[:] = self.home_rotation
        self._substep = 0
        self.advance(round(SETTLE_S / self.timestep))

    def set_target(self, position: np.ndarray, gripper: float, rotation: np.ndarray | None = None) -> np.ndarray:
        """Where the controller goes from now on.

        Args:
            position: ``(3,)`` m in the base frame; clipped to the workspace.
            gripper: above 0 closes, else opens.
            rotation: ``(3, 3)`` in the base frame (never rotated against the world); None keeps the goal there is.

        Returns:
            The position after clipping.
        """
        assert isinstance(self.controller, OperationalSpaceController | ServoPoseController), (
            "this contract's actions are joint goals"
        )
        clipped = np.clip(np.asarray(position, float), *self._workspace)
        self.controller.goal_position[:] = clipped + self.base_position
        if rotation is not None:
            self.controller.goal_rotation[:] = rotation
        self.set_gripper(gripper)
        return clipped

    def follow(self, target: Target) -> Target:
        """Where the controller and the gripper go from now on.

        Args:
            target: of the kind that the contract's actions make; a position is clipped to the task's workspace. Joint
                positions instead of a pose lead the arm as a driver of joint positions does, until the next ``settle``.

        Returns:
            The target that is followed.
        """
        wanted = KINDS[self.contract.action.kind].target
        if target.kind == JOINT_POSITION and wanted == POSE:  # somebody else has solved the pose
            assert target.joint_positions is not None
            self._lead_joints(target.joint_positions)
            self.set_gripper(target.gripper)
            return target
        if target.kind != wanted:
            raise PixelarmError(f"this world's actions are {TARGETS[wanted]}, got {TARGETS[target.kind]}")
        if target.position is not None:
            target = target.replace(position=self.set_target(target.position, target.gripper, target.rotation))
        else:
            goal = target.joint_positions if target.joint_velocities is None else target.joint_velocities
            assert goal is not None
            self.set_joint_goal(goal, target.gripper)
        return target

    def _lead_joints(self, joints: np.ndarray) -> None:
        if isinstance(self.controller, ServoPoseController):
            self.controller.set_joints(self.data, joints, self.joints_at_once)
            return
        if not isinstance(self.controller, JointController):
            self.controller = JointController(self.model, self.arm, velocity=False, gain=self.driver_gain)
        self.controller.set_goal(self.data, joints)

    def set_gripper(self, gripper: float) -> None:
        """Above 0 closes, else opens."""
        self._gripper_goal = 1.0 if gripper > 0 else -1.0

    def lead_gripper(self, gripper: float) -> None:
        """Bring the fingers in between, -1 open to 1 closed, as a servo of their own does that is told positions."""
        self._gripper_goal = min(max(gripper, -1.0), 1.0)

    def set_joint_goal(self, goal: np.ndarray, gripper: float) -> None:
        """Joint goals ``(n,)`` in rad or rad/s, as the contract's action kind says; gripper > 0 closes."""
        assert isinstance(self.controller, JointController | ServoController), (
            "this contract's actions are end-effector goals"
        )
        self.controller.set_goal(self.data, goal)
        self.set_gripper(gripper)

    def advance(self, substeps: int) -> None:
        """Run ``substeps`` physics steps of ``timestep`` seconds under the controller."""
        if self.controller.PER_SUBSTEP:
            self._advance_motors(substeps)
        else:
            self._advance_servos(substeps)

    def _advance_motors(self, substeps: int) -> None:
        # this loop is half the price of a control step: nothing is looked up or allocated in it that need not be
        stroke = GRIPPER_SPEED * self.timestep
        model, data, ctrl, arm = self.model, self.data, self.data.ctrl, self.arm
        joints, command = arm.actuators, self.controller.command
        fingers = list(zip(arm.finger_actuators.tolist(), arm.finger_middle.tolist(), arm.finger_half.tolist()))
        for _ in range(substeps):
            mujoco.mj_step1(model, data)
            if self._substep % self._torque_every == 0:
                ctrl[joints] = command(data)
            self._gripper += min(max(self._gripper_goal - self._gripper, -stroke), stroke)
            for finger, middle, half in fingers:
                ctrl[finger] = middle - half * self._gripper
            mujoco.mj_step2(model, data)
            self._substep += 1

    def _advance_servos(self, substeps: int) -> None:
        """One call for all substeps: the servos, and the fingers' own slowness, are in the model."""
        self._gripper = self._gripper_goal
        self.data.ctrl[self.arm.actuators] = self.controller.command(self.data)
        self.data.ctrl[self.arm.finger_actuators] = self.arm.finger_middle - self.arm.finger_half * self._gripper
        mujoco.mj_step(self.model, self.data, substeps)
        self._substep += substeps

    # ------------------------------------------------------------------- state
    def proprio(self) -> dict[str, np.ndarray]:
        """The contract's proprioception, float32: ``robot.actions.PROPRIO`` says what each field is."""
        return {p.name: np.asarray(MEASURE[p.name](self), np.float32) for p in self.contract.proprio}

    def reference(self) -> Reference:
        """What an action counts from that answers an observation of now."""
        return Reference(
            position=self.eef_position(),
            rotation=self.eef_rotation(),
            joint_positions=self.data.qpos[self.arm.qpos],
            home_rotation=self.home_rotation,
        )

    def eef_position(self) -> np.ndarray:
        """End-effector position ``(3,)`` m in the base frame, float64."""
        return self._site_position() - self.base_position

    def _site_position(self) -> np.ndarray:
        mujoco.mj_kinematics(self.model, self.data)
        return self.data.site_xpos[self.arm.site].copy()

    def gripper_opening(self) -> float:
        """Distance between the fingers in metres, 0 when closed."""
        joints, gripper = self.data.qpos[self.arm.finger_qpos], self.arm.description.gripper
        if not gripper.width:
            return float(self.arm.finger_signs @ joints)
        closed = np.array(gripper.closed)
        return gripper.width * float(np.mean((joints - closed) / (np.array(gripper.open) - closed)))

    def eef_rotation(self) -> np.ndarray:
        """End-effector rotation ``(3, 3)`` in the base frame, float64."""
        mujoco.mj_kinematics(self.model, self.data)
        return self.data.site_xmat[self.arm.site].reshape(3, 3).copy()

    def closed_fingers(self) -> np.ndarray:
        """Where closed fingers are, ``(3,)`` m in the base frame: the end effector, but for a jaw that meets another
        that does not move.
        """
        return self.eef_position() + self.eef_rotation() @ np.array(self.arm.description.gripper.meets)

    def eef_pose(self) -> tuple[np.ndarray, np.ndarray]:
        """Position ``(3,)`` m and unit quaternion ``(4,)`` xyzw of the end effector in the base frame."""
        position = self.eef_position()
        quaternion = np.empty(4)
        mujoco.mju_mat2Quat(quaternion, self.data.site_xmat[self.arm.site])
        return position, quaternion[[1, 2, 3, 0]]

    def joint_state(self) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray]:
        """Names as the arm's driver reports them, positions (rad, m), velocities and efforts of the n joints and the m
        fingers, each ``(n + m,)`` float64."""
        data, arm = self.data, self.arm
        sign = arm.finger_signs if not arm.description.gripper.width else 1.0  # fingers that slide report how far open
        qpos = np.concatenate([data.qpos[arm.qpos], data.qpos[arm.finger_qpos] * sign])
        qvel = np.concatenate([data.qvel[arm.dof], data.qvel[arm.finger_dof] * sign])
        fingers = np.zeros(len(arm.finger_qpos))  # those that have an actuator come first
        fingers[: len(arm.finger_actuators)] = data.actuator_force[arm.finger_actuators]
        effort = np.concatenate([data.actuator_force[arm.actuators], fingers])  # of motors, and of position servos
        return [*arm.description.reported, *arm.description.gripper.reported], qpos, qvel, effort

    def joint_range(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest position of the arm's joints, each ``(n,)`` rad."""
        joints = [int(np.flatnonzero(self.model.jnt_qposadr == address)[0]) for address in self.arm.qpos]
        low, high = self.model.jnt_range[joints].T
        return low, high

    def object_position(self, body: str) -> np.ndarray:
        """Position ``(3,)`` m of a body in the base frame: for success tests and scripted experts,
        never for a policy.
        """
        mujoco.mj_kinematics(self.model, self.data)
        return self.data.xpos[body_id(self.model, body)] - self.base_position

    def loose_objects(self) -> dict[str, list[float]]:
        """Name -> position (3 numbers, m, in the base frame, to 0.1 mm) of each body that moves freely: plain data, for
        an episode's provenance.
        """
        mujoco.mj_kinematics(self.model, self.data)
        bodies = self.model.jnt_bodyid[self.model.jnt_type == mujoco.mjtJoint.mjJNT_FREE]
        at = {self.model.body(int(body)).name: self.data.xpos[body] - self.base_position for body in bodies}
        return {name: np.round(position, 4).tolist() for name, position in at.items()}

    # ------------------------------------------------------------------ images
    def snapshot(self) -> mujoco.MjData:
        """A copy of the state to draw later, from another thread if need be."""
        copy = mujoco.MjData(self.model)
        mujoco.mj_copyData(copy, self.model, self.data)
        return copy

    def render(self, camera: str, snapshot: mujoco.MjData | None = None) -> np.ndarray:
        """Image ``(height, width, 3)`` uint8 of one of the contract's cameras, of now or of a snapshot.

        All calls of one world must come from one thread: the OpenGL context is bound to it.
        """
        return self.fitted(camera, self.render_native(camera, snapshot))

    def render_native(self, camera: str, snapshot: mujoco.MjData | None = None) -> np.ndarray:
        """What one of the contract's cameras sends, ``(height, width, 3)`` uint8; threads as of ``render``."""
        return self.fits[camera].mounted(self.render_view(self._cameras[camera], *self._drawn_size(camera), snapshot))

    def fitted(self, camera: str, native: np.ndarray) -> np.ndarray:
        """The contract's image of what a camera sends."""
        spec = self.contract.camera(camera)
        return self.fits[camera](native, spec.height, spec.width)

    def _drawn_size(self, camera: str) -> tuple[int, int]:
        spec = self.contract.camera(camera)
        return self.fits[camera].drawn_size(spec.height, spec.width)

    @property
    def drawn_by(self) -> str:
        """The renderer's name in ``sim.rendering.renderer.RENDERERS``;
        for "auto" it makes the first camera's, in this thread.
        """
        if self.renderer != AUTO or not self.contract.cameras:
            return self.renderer
        size = self._drawn_size(self.contract.cameras[0].name)
        return "opengl" if isinstance(self._renderer(*size), OpenGLRenderer) else "raycast"

    def _renderer(self, height: int, width: int) -> Renderer:
        renderer = self._renderers.get((height, width))
        if renderer is None:
            renderer = self._renderers[(height, width)] = make_renderer(self.model, height, width, self.renderer)
        return renderer

    def render_view(self, camera: str, height: int, width: int, snapshot: mujoco.MjData | None = None) -> np.ndarray:
        """Image of any camera of the scene at any size, for people to look at."""
        renderer = self._renderer(height, width)
        data = self.data if snapshot is None else snapshot
        mujoco.mj_kinematics(self.model, data)
        mujoco.mj_camlight(self.model, data)
        return renderer.render(data, camera)

    # ----------------------------------------------------------------- resume
    def state_dict(self) -> dict[str, np.ndarray]:
        """Everything that decides the future: the full integration state, the controller's goal, the gripper's ramp."""
        kind = mujoco.mjtState.mjSTATE_INTEGRATION
        physics = np.empty(mujoco.mj_stateSize(self.model, kind))
        mujoco.mj_getState(self.model, self.data, physics, kind)
        return {
            "physics": physics,
            **{name: getattr(self.controller, name).copy() for name in self.controller.STATE},
            "gripper": np.array([self._gripper, self._gripper_goal, float(self._substep)]),
        }

    def load_state_dict(self, state: dict[str, np.ndarray]) -> None:
        mujoco.mj_setState(
            self.model, self.data, np.asarray(state["physics"], float), mujoco.mjtState.mjSTATE_INTEGRATION
        )
        for name in self.controller.STATE:
            getattr(self.controller, name)[:] = state[name]
        self._gripper, self._gripper_goal = float(state["gripper"][0]), float(state["gripper"][1])
        self._substep = int(state["gripper"][2])
        mujoco.mj_forward(self.model, self.data)
        mujoco.mj_setState(
            self.model, self.data, np.asarray(state["physics"], float), mujoco.mjtState.mjSTATE_INTEGRATION
        )

    def close(self) -> None:
        for renderer in self._renderers.values():
            renderer.close()
        self._renderers.clear()


# how the fields of robot.actions.PROPRIO are measured
MEASURE: dict[str, Callable[[World], np.ndarray]] = {
    "eef_pos": World.eef_position,
    "eef_quat": lambda world: world.eef_pose()[1],
    "gripper_opening": lambda world: np.array([world.gripper_opening()]),
    "joint_pos": lambda world: world.data.qpos[world.arm.qpos],
    "joint_vel": lambda world: world.data.qvel[world.arm.dof],
    "finger_pos": lambda world: world.data.qpos[world.arm.finger_qpos],  # simulation's own, no arm of robot.actions
    "object_state": lambda world: world.data.qpos[world.object_qpos],
}
