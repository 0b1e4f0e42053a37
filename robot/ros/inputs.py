"""What an arm and its cameras send, on the topics of the arm's profile, as the observations that a contract names."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np

from robot import rotations
from robot.control.loop import ControlLoop
from robot.control.pictures import Pictures
from robot.control.timing import StageTimes
from robot.errors import PixelarmError
from robot.kinematics.chain import Chain
from robot.profile import ArmProfile
from robot.ros import messages, runtime
from robot.ros.messages import stamp_ns
from robot.ros.shared_memory import Watch

runtime.require_rclpy()

from geometry_msgs.msg import PoseStamped  # noqa: E402
from sensor_msgs.msg import CompressedImage, Image, JointState  # noqa: E402

Reader = Callable[[Any], None]


class Subscribe(Protocol):
    def __call__(self, kind: Any, topic: str, callback: Reader, depth: int, reliable: bool = False) -> None:
        """Hear a topic of a message type, keeping the ``depth`` newest."""


class StateInputs:
    """What is measured beside pictures, by the names of ``robot.actions.PROPRIO`` and of the profile's ``states``."""

    def __init__(
        self,
        subscribe: Subscribe,
        arm: ArmProfile,
        names: Collection[str],
        put: Callable[[str, np.ndarray, int], None],
        fault: Callable[[str, str], None],
        on_orientation: Callable[[np.ndarray], None],
    ) -> None:
        """Of what ``arm`` says, ``put`` hears the fields in ``names`` with their stamps (ns), and ``fault`` which of
        them could not be used and why; ``on_orientation`` hears every ``(4,)`` xyzw.
        """
        self._arm, self._names, self._put_value, self._put_fault = arm, set(names), put, fault
        self._on_orientation = on_orientation
        # without a pose of the driver's own, it is that of the measured joints
        self._chain = arm.read_chain() if arm.eef_pose is None and self._wanted("eef_pos", "eef_quat") else None
        if arm.eef_pose and self._wanted("eef_pos", "eef_quat"):
            subscribe(PoseStamped, arm.eef_pose.topic, self.on_pose, 5)
        readers: dict[str, list[Reader]] = {}  # one topic may have both: it is read once
        if self._wanted("gripper_opening"):
            readers.setdefault(arm.gripper_state.topic, []).append(self.on_gripper)
        if arm.joint_state and (self._chain or self._wanted("joint_pos", "joint_vel")):
            readers.setdefault(arm.joint_state.topic, []).append(self.on_joints)
        for name in self._wanted(*arm.states):
            state = arm.states[name]
            readers.setdefault(state.topic, []).append(partial(self.on_state, name, state.joints))
        for topic, found in readers.items():
            subscribe(JointState, topic, partial(_each, found), 10)

    def on_pose(self, message: PoseStamped) -> None:
        assert self._arm.eef_pose is not None
        topic, frame = self._arm.eef_pose.topic, message.header.frame_id
        position, xyzw = messages.from_pose(message.pose)
        if frame != self._arm.base_frame:
            words = f"{topic} is in frame {frame!r}, the profile says {self._arm.base_frame!r}"
            self._fault(("eef_pos", "eef_quat"), words)
        elif not abs(float(np.linalg.norm(xyzw)) - 1.0) < 0.01:
            self._fault(
                ("eef_pos", "eef_quat"), f"{topic} has an orientation that is no unit quaternion: {xyzw.tolist()}"
            )
        else:
            self._on_orientation(xyzw)
            self._put(message.header.stamp, {"eef_pos": position, "eef_quat": xyzw})

    def on_gripper(self, message: JointState) -> None:
        """Fingers by name, never by index; a message without any of them is another device on the same topic."""
        joints = self._arm.gripper_state.joints
        if not set(joints) & set(message.name):
            return
        try:
            gripper, positions = self._arm.gripper_state, messages.by_name(message.name, message.position, joints)
            opening = gripper.offset + gripper.scale * positions.sum()
        except PixelarmError as error:
            self._fault(("gripper_opening",), f"joint states of the gripper: {error}")
            return
        self._put(message.header.stamp, {"gripper_opening": np.array([opening])})

    def on_joints(self, message: JointState) -> None:
        """Joints of the arm by name, in the order of the profile; other devices' messages are left aside."""
        joints = self._arm.joint_names
        if not set(joints) & set(message.name):
            return
        for name, values in (("joint_pos", message.position), ("joint_vel", message.velocity)):
            if not self._wanted(name):
                continue
            try:
                self._put(message.header.stamp, {name: messages.by_name(message.name, values, joints)})
            except PixelarmError as error:
                self._fault((name,), f"joint states of the arm, {name}: {error}")
        if self._chain is not None:
            self._on_tip(self._chain, message)

    def on_state(self, name: str, joints: Sequence[str], message: JointState) -> None:
        """One of the profile's ``states``, by name."""
        if not set(joints) & set(message.name):
            return
        try:
            self._put(message.header.stamp, {name: messages.by_name(message.name, message.position, joints)})
        except PixelarmError as error:
            self._fault((name,), f"{name}: {error}")

    def _on_tip(self, chain: Chain, message: JointState) -> None:
        try:
            measured = messages.by_name(message.name, message.position, self._arm.joint_names)
        except PixelarmError as error:
            self._fault(("eef_pos", "eef_quat"), f"joint states of the arm, from which the pose follows: {error}")
            return
        position, rotation = chain.forward(measured)
        xyzw = rotations.canonical(rotations.to_quaternion(rotation))
        self._on_orientation(xyzw)
        self._put(message.header.stamp, {"eef_pos": position, "eef_quat": xyzw})

    def _wanted(self, *names: str) -> list[str]:
        """Which of these fields of proprioception the policy sees, or the limits need."""
        return [name for name in names if name in self._names]

    def _put(self, stamp: Any, values: dict[str, np.ndarray]) -> None:
        for name in self._wanted(*values):
            self._put_value(name, values[name], stamp_ns(stamp))

    def _fault(self, names: tuple[str, ...], words: str) -> None:
        for name in self._wanted(*names):
            self._put_fault(name, words)


class Inputs(StateInputs):
    """Hands what is measured to a loop; what cannot be used becomes a named fault of its stream."""

    def __init__(
        self,
        subscribe: Subscribe,
        arm: ArmProfile,
        loop: ControlLoop,
        on_orientation: Callable[[np.ndarray], None],
        say: Callable[[str], object] = lambda words: None,
    ) -> None:
        """``arm`` feeds this loop's contract (``ArmProfile.require_contract``); ``say`` takes a warning."""
        names = {p.name for p in loop.contract.proprio} | set(loop.limits.needs)
        super().__init__(subscribe, arm, names, loop.put_proprio, loop.mailbox.fault, on_orientation)
        self._watch, self._loop = Watch(say), loop
        self._pictures = Pictures(simulated=arm.contract is not None)
        self._measured: dict[str, np.ndarray] = {}  # the newest, for telling whether the arm moved
        self.stages = StageTimes(loop.clock.steady)  # of what is done to each image as it arrives
        for camera in loop.contract.cameras:
            source = arm.cameras[camera.name]
            message, decode = (
                (Image, messages.from_image) if source.type == "image" else (CompressedImage, messages.from_compressed)
            )
            fit = partial(source.fit, height=camera.height, width=camera.width)
            on_image = partial(self.on_image, camera.name, partial(decode, fit=fit))
            subscribe(message, source.topic, on_image, 1, source.qos == "reliable")  # the newest: an older one is late

    def on_image(self, name: str, decode: Callable[[Any], np.ndarray], message: Any) -> None:
        """``decode`` makes the contract's picture of the message."""
        if isinstance(message, Image):
            self._watch.image(self._arm.cameras[name].topic, len(message.data))
        try:
            with self.stages.measure("decode"):
                pixels = decode(message)
        except PixelarmError as error:
            self._loop.mailbox.fault(name, f"{name!r}: {error}")
            return
        found = self._pictures.check(name, pixels, self._measured)
        if found is not None:
            rule, words = found
            self._loop.mailbox.fault(name, words, rule)
            return
        self._loop.put_image(name, pixels, stamp_ns(message.header.stamp))

    def _put(self, stamp: Any, values: dict[str, np.ndarray]) -> None:
        self._measured.update(values)
        super()._put(stamp, values)


def _each(readers: list[Reader], message: JointState) -> None:
    for read in readers:
        read(message)
