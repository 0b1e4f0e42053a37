"""Teleoperation as a ROS 2 node: the arm's state, its cameras and the arbiter's status in; targets and the deadman out.

A thin shell over ``hardware.teleop``. It commands nothing by itself: its targets go to the arbiter as those of the
source ``teleop`` (``robot.ros.arbitration``), and the deadman on ``arbiter/teleop/held`` with every tick.
"""

from __future__ import annotations

import io
import json
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hardware.teleop.desk import CLEAR, COMMAND, ORDERS, OUTCOMES, POLICY_ORDER, RESET, STOP, Desk, Frames
from hardware.teleop.mapping import Shape
from hardware.teleop.recording import Recording
from hardware.teleop.teleop import RATE_HZ, Teleop
from robot import rotations
from robot.actions import KINDS, POSE, Target
from robot.arbiter.modes import POLICY, TELEOP
from robot.contract import Contract
from robot.control.loop import Command
from robot.control.timing import Clock
from robot.errors import MissingDependency, PixelarmError
from robot.profile import ArmProfile
from robot.provenance import git_commit, versions
from robot.ros import messages, runtime
from robot.ros.arbitration import GRIPPER, NODE, ToArbiter, read_joints, read_pose
from robot.ros.inputs import StateInputs
from robot.ros.messages import stamp_ns
from robot.ros.runtime import qos

runtime.require_rclpy()

from geometry_msgs.msg import PoseStamped  # noqa: E402
from rclpy.node import Node  # noqa: E402
from sensor_msgs.msg import CompressedImage, Image, JointState  # noqa: E402
from std_msgs.msg import Bool, Float64MultiArray, String  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402
from trajectory_msgs.msg import JointTrajectory  # noqa: E402

JPEG_QUALITY = 80  # of pictures for the page
STATUSES = 10  # of the arbiter that may wait: a change must not be lost
PICTURES = 10  # of a camera that may wait for this process where they are recorded
Heard = Callable[[Any], None]  # gets a message


class TeleopNode(Node):
    """See the module text. ``done`` and ``exit_code`` are for ``robot.ros.runtime.run``.

    Args:
        start: makes the device for a desk, starts it, and returns what ends it; called once.
        scene: seed of the simulated arm's first scene: a reset is the next one. None: the arm is another.
        record: folder for episodes; they begin when the arm has said its contract.
        operator: the device, for the episodes' provenance.
        contract: of what is recorded, of an arm that does not say it.
        policy_too: episodes hold what a policy does, too.
    """

    def __init__(
        self,
        arm: ArmProfile,
        shape: Shape,
        start: Callable[[Desk], Callable[[], None]],
        scene: int | None = None,
        record: Path | None = None,
        operator: str = "",
        contract: Contract | None = None,
        policy_too: bool = False,
    ) -> None:
        super().__init__("teleop")
        self.done, self.exit_code = threading.Event(), 0
        self.arm, self._scene, self._record, self._operator = arm, scene, record, operator
        self._recording: Recording | None = None
        self._broken: Recording | None = None  # one that failed: closed at the end
        self._policy_too, self._policy_gripper = policy_too, -1.0  # as the policy wants it
        self._chain = arm.read_chain()
        self.teleop = Teleop(arm, shape, time.monotonic)
        orders = {**ORDERS, **(POLICY_ORDER if policy_too else {}), **(OUTCOMES if record else {})}
        self.desk = Desk(self.teleop, Frames(list(arm.cameras)), self._orders(), _setting(arm, shape, orders))
        self._intervals: deque[float] = deque(maxlen=round(RATE_HZ))  # s between two ticks
        self._wake = threading.Event()
        self._wanted: tuple[Any, ...] = ()  # by the last input
        self.teleop.receiver.listeners.append(self._on_input)
        self._connect()
        if contract is not None:
            self._begin_recording(contract)
            self.teleop.set_turns(KINDS[contract.action.kind].turns)
        self._running, self.desk.leave = True, self.done.set
        self._end_device = start(self.desk)
        self._thread = threading.Thread(target=self._run, name="teleop", daemon=True)
        self._thread.start()

    # ------------------------------------------------------------------------------------------------------ connections
    def _connect(self) -> None:
        arm, teleop = self.arm, self.teleop

        def subscribe(
            kind: Any, topic: str, callback: Callable[[Any], None], depth: int, reliable: bool = False
        ) -> None:
            self.create_subscription(kind, topic, callback, qos(depth, reliable))

        def ignored(xyzw: np.ndarray) -> None: ...

        names = {*teleop.state.names, *(arm.proprio if self._record else ())}
        self._inputs = StateInputs(subscribe, arm, names, self._on_state, teleop.fault_state, ignored)
        if self._record:
            self._hear_commands(subscribe)
        if self._policy_too:
            self._hear_policy(subscribe)
        depth = PICTURES if self._record else 1
        for name, source in arm.cameras.items():
            kind = Image if source.type == "image" else CompressedImage
            subscribe(kind, source.topic, partial(self._on_image, name), depth, source.qos == "reliable")
        subscribe(String, f"{NODE}/status", self._on_status, STATUSES, True)
        if arm.contract:
            self.create_subscription(String, arm.contract.topic, self._on_contract, qos(1, True, True))
        self._deadman = self.create_publisher(Bool, f"{NODE}/{TELEOP}/held", qos(1, True))
        self._to_arbiter = ToArbiter(
            lambda kind, topic: self.create_publisher(kind, topic, qos(1, True)), arm, teleop.kind, TELEOP
        )

    def _orders(self) -> dict[str, Callable[[], None]]:
        services = {COMMAND: f"{NODE}/{TELEOP}", STOP: f"{NODE}/stop", CLEAR: f"{NODE}/clear", RESET: f"{NODE}/reset"}
        if self._scene is not None:
            services[RESET] = "sim_arm/reset"
        if self._policy_too:
            services[POLICY] = f"{NODE}/{POLICY}"
        clients = {name: self.create_client(Trigger, service) for name, service in services.items()}
        orders: dict[str, Callable[[], None]] = {
            name: partial(self._call, name, client) for name, client in clients.items()
        }
        return orders | {name: partial(self._end_episode, name) for name in (OUTCOMES if self._record else ())}

    def _end_episode(self, outcome: str) -> None:
        if self._recording is None:
            self.desk.say("nothing is recorded yet: the arm has not said its contract")
            return
        self._recording.end(outcome)
        if self._policy_too:
            self.desk.orders[STOP]()  # the next episode begins when somebody is given command
        if self._scene is not None:
            self.desk.orders[RESET]()

    def _call(self, name: str, client: Any) -> None:
        if not client.service_is_ready():
            self.desk.say(f"{name}: the service {client.srv_name} is not there; is its node running?")
            return

        def answered(future: Any) -> None:
            answer = future.result()
            if name == RESET and self._scene is not None and answer.success:
                self._scene = int(answer.message.removeprefix("seed "))
                self.desk.new_scene()
                if self._recording is not None:
                    self._recording.scene = self._scene
            self.desk.say(answer.message if answer.success else f"{name} refused: {answer.message}")

        client.call_async(Trigger.Request()).add_done_callback(answered)

    # --------------------------------------------------------------------------------------------------------------- in
    def _on_image(self, camera: str, message: Any) -> None:
        try:
            if self._recording is not None:
                self._recording.put_image(camera, _pixels(message), stamp_ns(message.header.stamp))
            if self.desk.frames.watchers:
                self.desk.frames.put(camera, _jpeg(message))
        except PixelarmError as error:
            self.get_logger().warning(f"camera {camera}: {error}", throttle_duration_sec=5.0)

    def _on_state(self, name: str, value: np.ndarray, stamp: int) -> None:
        self.teleop.put_state(name, value, stamp)
        if self._recording is not None:
            self._recording.put_state(name, value, stamp)

    def _on_status(self, message: Any) -> None:
        status = json.loads(message.data)
        self.teleop.put_status(status)
        if self._recording is not None:
            self._recording.put_status(status)

    def _hear_policy(self, subscribe: Callable[..., None]) -> None:
        """What a policy wants of the arbiter, see ``robot.ros.arbitration``."""
        kind, name = (PoseStamped, "pose") if self.teleop.kind == POSE else (JointState, "joints")
        subscribe(kind, f"{NODE}/{POLICY}/{name}", self._on_policy, 1, True)
        subscribe(JointState, f"{NODE}/{POLICY}/{GRIPPER}", self._on_policy_gripper, 1, True)

    def _on_policy_gripper(self, message: Any) -> None:
        if len(message.position) == 1:
            self._policy_gripper = float(message.position[0])

    def _on_policy(self, message: Any) -> None:
        if self._recording is None:
            return
        try:
            if self.teleop.kind == POSE:
                motion, _ = read_pose(message, self.arm.base_frame)
            else:
                motion, _ = read_joints(message, self.arm.joint_names, self.teleop.kind)
            self._recording.put_wanted(POLICY, self._posed(Target(self._policy_gripper, **motion)))
        except PixelarmError as error:
            self.get_logger().warning(f"a target of the policy is not recorded: {error}", throttle_duration_sec=5.0)

    def _posed(self, target: Target) -> Target:
        """With the pose to which joints lead."""
        if target.joint_positions is None:
            return target
        assert self._chain is not None
        position, rotation = self._chain.forward(target.joint_positions)
        return Target(target.gripper, position=position, rotation=rotation)

    def _hear_commands(self, subscribe: Callable[..., None]) -> None:
        """What the arm is told, which is what episodes hold."""
        output = self.arm.outputs[self.teleop.kind]
        if self.teleop.kind == POSE:
            kind: Any = PoseStamped
        else:
            kind = JointTrajectory if output.type == "joint_trajectory" else Float64MultiArray
        subscribe(kind, output.topic, self._on_command, 1, True)

    def _on_command(self, message: Any) -> None:
        if self._recording is None:
            return
        try:
            self._recording.put_command(self._commanded(message))
        except PixelarmError as error:
            words = f"a command of {self.arm.outputs[self.teleop.kind].topic} is not recorded: {error}"
            self.get_logger().warning(words, throttle_duration_sec=5.0)

    def _commanded(self, message: Any) -> Target:
        said = self.teleop.status.get("gripper")
        if isinstance(message, PoseStamped):
            position, xyzw = messages.from_pose(message.pose)
            rotation = rotations.from_quaternion(xyzw)
        else:
            arm = self.arm
            joints, beside = messages.from_joint_command(message, arm.joint_names, arm.gripper_command)
            said = said if beside is None else beside
            return self._posed(Target(-1.0 if said is None else float(said), joint_positions=joints))
        return Target(-1.0 if said is None else float(said), position=position, rotation=rotation)

    def _on_contract(self, message: Any) -> None:
        """What the simulated arm follows: a scene whose arm is told another kind of target cannot be teleoperated."""
        try:
            contract = messages.from_contract(message)
            told = self.arm.told(contract.action.kind)
            if told != self.teleop.kind:
                raise PixelarmError(
                    f"the arm follows {contract.action.kind} actions in this scene ({told} targets), and an operator "
                    f"commands {self.teleop.kind} targets: choose another task"
                )
            if self._record and self._recording is None:
                self._begin_recording(contract)
        except PixelarmError as error:
            self.get_logger().fatal(str(error))
            self.exit_code = 2
            self.done.set()
            return
        self.teleop.set_turns(KINDS[contract.action.kind].turns)

    def _begin_recording(self, contract: Contract) -> None:
        assert self._record is not None
        provenance = {
            "device": f"teleop {self._operator}", "operator": "hand", "task": contract.task, "git": git_commit(),
            "versions": versions(),
        }  # fmt: skip
        clock = Clock(lambda: self.get_clock().now().nanoseconds)
        made = Recording(self._record, self.arm, contract, provenance, self.desk.say, clock, self._policy_too)
        made.scene = self._scene
        self._recording, self.desk.recording = made, made.report

    def _on_input(self, given: Any) -> None:
        wanted = (given.held, given.linear, given.angular)
        if wanted != self._wanted:  # a press, a release or another way does not wait for the next tick
            self._wanted = wanted
            self._wake.set()

    # -------------------------------------------------------------------------------------------------------------- out
    def _run(self) -> None:
        due, before = time.monotonic(), time.monotonic()
        while self._running:
            self._tick()
            now = time.monotonic()
            self._intervals.append(now - before)
            before, due = now, max(due + 1.0 / RATE_HZ, now)
            if self._wake.wait(due - now):
                self._wake.clear()
                due = time.monotonic()

    def _tick(self) -> None:
        held, target = self.teleop.tick()
        self._deadman.publish(Bool(data=held))
        self._record_step(held and target is not None)  # while the arm waits for a late device nobody moves it
        if held and target is None:
            self._to_arbiter.hold(self.teleop.words)
        if target is not None:
            self._to_arbiter.publish(Command(0, target))  # a stamp of 0 is now: it answers the operator
            if self._recording is not None and self._policy_too:
                self._recording.put_wanted(TELEOP, self._posed(target))
        passed_s = sum(self._intervals)
        self.desk.loop_hz = len(self._intervals) / passed_s if passed_s else 0.0

    def _record_step(self, held: bool) -> None:
        """Whatever becomes of the recording, the loop goes on: it holds the deadman."""
        if self._recording is None:
            return
        try:
            self._recording.step(held)
        except Exception as error:
            self._broken, self._recording = self._recording, None
            self.desk.say(f"RECORDING ENDED: {type(error).__name__}: {error}. What came before is kept")
            self.get_logger().error("".join(traceback.format_exception(error)))

    def finish(self) -> None:
        """Let go, and end the device."""
        self._running = False
        self._wake.set()
        self._thread.join(timeout=1.0)
        self._deadman.publish(Bool(data=False))
        self._end_device()
        for recording in (self._recording, self._broken):
            if recording is not None:
                recording.close()


def _setting(arm: ArmProfile, shape: Shape, orders: dict[str, str]) -> dict[str, Any]:
    return {
        "arm": arm.name,
        "cameras": list(arm.cameras),
        "box_low": shape.box_low.tolist(),
        "box_high": shape.box_high.tolist(),
        "leash_m": shape.leash_m,
        "speed_m_s": shape.speed_m_s,
        "turn_speed_rad_s": shape.turn_speed_rad_s,
        "orders": orders,
    }


def _pixels(message: Any) -> np.ndarray:
    return messages.from_compressed(message) if isinstance(message, CompressedImage) else messages.from_image(message)


def _jpeg(message: Any) -> bytes:
    """A camera's picture as a page shows it; what comes as a JPEG stays as it is."""
    if isinstance(message, CompressedImage) and bytes(message.data[:2]) == b"\xff\xd8":
        return bytes(message.data)
    try:
        from PIL import Image as Picture
    except ImportError as error:
        raise MissingDependency("pictures for the page need Pillow: pip install pillow") from error
    file = io.BytesIO()
    Picture.fromarray(_pixels(message)).save(file, "JPEG", quality=JPEG_QUALITY)
    return file.getvalue()
