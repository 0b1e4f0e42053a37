"""The simulated arm as a ROS 2 node with the topics of its arm profile; see ``hardware/simulated/arm.py`` for what it
does.

Out: one image per camera, of the size and type that the profile says; PoseStamped and JointState at 50 Hz or the
driver's rate, a pose also at each picture and with its stamp; where the scene is observed by true states, a JointState
of each of the profile's ``states``; ``~/episode`` (JSON), ``~/tip`` (where the arm truly is,
PoseStamped), and the contract of the scene, latched, where the profile names a topic for it.
``~/misbehave`` (std_msgs/String, JSON) makes a sensor fail on purpose (``hardware/simulated/misbehave.py``).
In: targets of the contract's kind of action (PoseStamped, JointTrajectory or Float64MultiArray) and the gripper's in
the type of the profile (``hardware/ros/gripper_input.py``). A target without a stamp counts from its arrival. Service
``~/reset`` (std_srvs/Trigger): the next seed.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hardware.ros.driver_node import DriverNode
from hardware.ros.gripper_input import GripperInput
from hardware.simulated import arm as sim_arm
from hardware.simulated.arm import ArmState, Options, SimArm
from hardware.simulated.episodes import Episodes
from hardware.simulated.misbehave import Misbehaviour
from robot import profile, rotations
from robot.actions import JOINT_VELOCITY, KINDS, POSE
from robot.dataset.video import write_video
from robot.errors import PixelarmError
from robot.files import write_json, write_results
from robot.packages import require_ours
from robot.profile import OUTPUTS, ArmProfile
from robot.profile.grippers import WITH_JOINTS
from robot.ros import messages, runtime
from robot.ros.messages import set_stamp, stamp_ns
from robot.ros.shared_memory import Watch
from robot.ros.waiting import Stream, Waiting

runtime.require_rclpy()

from geometry_msgs.msg import PoseStamped  # noqa: E402
from rclpy.node import Node  # noqa: E402
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy  # noqa: E402
from sensor_msgs.msg import CompressedImage, Image, JointState  # noqa: E402
from std_msgs.msg import Float64MultiArray, String  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402
from trajectory_msgs.msg import JointTrajectory  # noqa: E402

if TYPE_CHECKING:
    from sim.physics.world import World


class SimArmNode(Node):
    """A ``Listener`` of a ``SimArm`` that publishes what it hears, and passes commands on."""

    def __init__(self, options: Options) -> None:
        super().__init__("sim_arm")
        self.done, self.exit_code = threading.Event(), 0
        self.options = options
        self.arm_profile = ArmProfile.load(profile.find(options.arm, profile.shipped()))
        self._misbehaviour, self._noise = Misbehaviour(), np.random.default_rng(options.seed)
        self.films: list[tuple[str, list[np.ndarray]]] = []
        self._bar: Any = None
        self._heard: set[str] = set()  # of what a policy sends
        self.arm = self._make_arm(options)
        self._connect(self.arm_profile)
        self.arm.start()
        self._said_ready = False
        self._watch = self.create_timer(0.1, self._check)
        self._listen = self.create_timer(1.0, self._waiting.check)

    def _make_arm(self, options: Options) -> SimArm:
        require_ours("sim")
        from sim.envs.config import TaskConfig
        from sim.envs.make import check_task, configured_task
        from sim.envs.task_world import build_world

        check_task(options.task)
        seen = {"observe": options.observe} if options.observe else {"image_size": options.image_size}
        task = configured_task(TaskConfig(options.task, arm=self.arm_profile.arm, **seen))
        self.arm_profile.require_contract(task.contract)
        world = build_world(task, fits={name: source.fit for name, source in self.arm_profile.cameras.items()})
        self._names = names = self._named(world.joint_state()[0])
        lacking = [n for n in (*self.arm_profile.joint_names, *self.arm_profile.gripper_state.joints) if n not in names]
        if lacking:
            raise PixelarmError(f"the simulated arm has no joints {', '.join(lacking)}; it has {', '.join(names)}")
        self._require_range(world)
        episodes = None
        if options.episodes:
            from tqdm import tqdm

            seeds = [options.seed_start + i for i in range(options.episodes)]
            episodes = Episodes(seeds, world.contract.period_s, task.max_steps)
            self._bar = tqdm(total=options.episodes, desc="episodes over ROS 2", unit="ep")
        now_ns = self.get_clock().now
        arm = SimArm(world, task, self, options.seed, episodes, options.command_timeout_s, lambda: now_ns().nanoseconds)
        if self.arm_profile.target_joint_velocity:
            arm.velocity_timeout_s = self.arm_profile.target_joint_velocity.timeout_s
        if options.camera_fps:
            arm.camera_s = 1.0 / options.camera_fps
        arm.frames = [] if episodes and options.video_dir else None
        return arm

    def _named(self, simulated: list[str]) -> list[str]:
        """The joints' names, from the base to the fingers: a driver's own where the profile is a driver's."""
        if self.arm_profile.driver is None:
            return simulated
        names = list(self.arm_profile.joint_names)
        fingers = [name for name in self.arm_profile.gripper_state.joints if name not in names]
        rest = [*fingers, *(name for name in simulated[len(names) :] if name not in fingers)]
        return [*names, *rest[: len(simulated) - len(names)]]

    def _require_range(self, world: World) -> None:
        """Refuse a profile whose joint limits are another arm's, where joints are commanded."""
        limits, names = self.arm_profile.limits, self.arm_profile.joint_names
        if not KINDS[world.contract.action.kind].each_joint or len(limits.joint_low) != len(names):
            return  # the policy node refuses limits of another number
        low, high = (messages.by_name(self._names, ends.tolist(), names) for ends in world.joint_range())
        wrong = [
            f"{name} {a:g} to {b:g} rad, the simulated arm {c:g} to {d:g}"
            for name, a, b, c, d in zip(names, limits.joint_low, limits.joint_high, low, high)
            if a < c - 1e-3 or b > d + 1e-3
        ]
        if wrong:
            raise PixelarmError(
                f"the arm profile {self.arm_profile.name!r} is not for this scene's arm; its limits say: "
                f"{'; '.join(wrong)}. "
                "The kitchen tasks want --arm sim_kitchen"
            )

    def _connect(self, arm: ArmProfile) -> None:
        newest = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        reliable = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
        sources = {c.name: arm.cameras[c.name] for c in self.arm.world.contract.cameras}
        self._images = {
            name: self.create_publisher(
                Image if source.type == "image" else CompressedImage,
                source.topic,
                reliable if source.qos == "reliable" else newest,
            )
            for name, source in sources.items()
        }
        watch = Watch(self.get_logger().warning)
        for source in sources.values():
            if source.large and source.size:
                watch.image(source.topic, 3 * source.size[0] * source.size[1])
        self._frame_ids = {c.name: c.frame_id for c in self.arm.world.contract.cameras}
        self._pose = self.create_publisher(PoseStamped, arm.eef_pose.topic, 10) if arm.eef_pose else None
        behind_bus = self.options.bus is not None  # then its driver says what it measures, and hears commands
        states = {source.topic for source in (arm.gripper_state, arm.joint_state) if source and not behind_bus}
        self._joints = [self.create_publisher(JointState, topic, 10) for topic in sorted(states)]
        known = set(self._names)  # the arm's own joints are said anyhow
        names = [p.name for p in self.arm.world.contract.proprio if p.name in arm.states]
        self._states = {
            name: self.create_publisher(JointState, arm.states[name].topic, 10)
            for name in names
            if not known.issuperset(arm.states[name].joints)
        }
        self._episode = self.create_publisher(String, "~/episode", 10)
        self._tip = self.create_publisher(PoseStamped, "~/tip", 10)
        if arm.contract:
            latched = QoSProfile(
                depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
            )
            self._contract = self.create_publisher(String, arm.contract.topic, latched)
            self._contract.publish(messages.to_contract(String(), self.arm.world.contract))
        self._driver: DriverNode | None = None
        if behind_bus:
            self._open_bus(arm, reliable)
        else:
            self._hear(arm, reliable)
            self._driver = DriverNode(self, arm, self.arm, self._command_topic) if arm.driver else None
        self.create_service(Trigger, "~/reset", self._on_reset)
        # orders come together: two cameras are swapped by two of them
        self.create_subscription(String, "~/misbehave", self._on_misbehave, 10)

    def _open_bus(self, arm: ArmProfile, reliable: QoSProfile) -> None:
        """Real driver code moves this arm: ``pixelarm so101 serve``. What it is told is heard here only to know that
        somebody commands."""
        from hardware.feetech.emulated.bus import EmulatedBus
        from hardware.feetech.settings import SIMULATED, Settings
        from hardware.simulated.world_body import WorldBody

        settings = Settings.load(SIMULATED)
        self.arm.world.joints_at_once = True
        self._bus = EmulatedBus(settings, latency_s=0.001, body=WorldBody(self.arm, settings))
        assert self.options.bus is not None
        self._bus.link(self.options.bus)
        if self.options.bus_calibration is not None:
            self._bus.write_calibration(self.options.bus_calibration)
        told = arm.told(self.arm.world.contract.action.kind)
        topic, kind = arm.outputs[told].topic, _message_of(told, arm.outputs[told])
        self.create_subscription(kind, topic, self._overhear, reliable)
        streams = [Stream("targets", topic, key=OUTPUTS[told])]
        self._waiting = Waiting(self, streams, lambda: {"targets"} - self._heard, self.get_logger().warning)

    def _overhear(self, message: Any) -> None:
        self._heard.add("targets")
        self.arm.heard()

    def _hear(self, arm: ArmProfile, reliable: QoSProfile) -> None:
        """What a policy sends, and what is to be said while it does not."""
        kind, told = KINDS[self.arm.world.contract.action.kind], arm.told(self.arm.world.contract.action.kind)
        output, self._turns = arm.outputs[told], kind.turns
        self._command_topic = output.topic
        self._joint_order = self._names[: len(arm.joint_names)]
        field = "joint_velocities" if told == JOINT_VELOCITY else "joint_positions"
        hears: dict[Any, Callable[[Any], None]] = {
            PoseStamped: self._on_pose,
            Float64MultiArray: lambda m: self._on_joints(field, m, 0),
            JointTrajectory: lambda m: self._on_joints(field, m, stamp_ns(m.header.stamp)),
        }
        kind_of_message = _message_of(told, output)
        self.create_subscription(kind_of_message, output.topic, hears[kind_of_message], reliable)
        together = arm.gripper_command.type == WITH_JOINTS
        calls = (self._on_gripper, self._ignore, lambda: self._misbehaviour.gripper == "busy")
        self._gripper = None if together else GripperInput(self, arm.gripper_command, *calls)
        streams = [Stream("targets", output.topic, key=OUTPUTS[told])]
        if not arm.gripper_command.is_action and not together:
            streams.append(Stream("the gripper's target", arm.gripper_command.topic, key="gripper_command"))
        names = {stream.what for stream in streams}
        self._waiting = Waiting(self, streams, lambda: names - self._heard, self.get_logger().warning)

    # --------------------------------------------------------------------- in
    def _ignore(self, words: str) -> None:
        self.get_logger().warning(f"{words}: ignored", throttle_duration_sec=5.0)

    def _on_pose(self, message: PoseStamped) -> None:
        self._heard.add("targets")
        if message.header.frame_id != self.arm_profile.base_frame:
            wanted = f"targets must be in frame {self.arm_profile.base_frame!r}"
            self._ignore(f"{wanted}, got {message.header.frame_id!r}")
            return
        position, xyzw = messages.from_pose(message.pose)
        motion: dict[str, Any] = {"position": position}
        if self._turns:  # else the arm keeps its own orientation, as in training
            motion["rotation"] = rotations.from_quaternion(xyzw)
        self._move(stamp_ns(message.header.stamp), motion)

    def _on_joints(self, field: str, message: Any, stamp: int) -> None:
        """A stamp of 0 is now."""
        self._heard.add("targets")
        arm = self.arm_profile
        try:
            values, gripper = messages.from_joint_command(message, arm.joint_names, arm.gripper_command)
        except PixelarmError as error:
            self._ignore(str(error))
            return
        if gripper is not None:
            self._on_gripper(0, gripper)
        ordered = messages.by_name(arm.joint_names, values.tolist(), self._joint_order)
        motion: dict[str, Any] = {field: ordered}
        self._move(stamp or self.arm.now_ns(), motion)

    def _move(self, stamp: int, motion: dict[str, Any]) -> None:
        if self._driver is None or self._driver.admit(motion):
            self.arm.command(stamp, **motion)

    def _on_gripper(self, stamp: int, gripper: float) -> bool:
        self._heard.add("the gripper's target")
        if self._misbehaviour.gripper == "refuses":
            return False
        return self.arm.command(stamp or self.arm.now_ns(), gripper=gripper)

    def _on_misbehave(self, message: String) -> None:
        try:
            self._misbehaviour.order(json.loads(message.data))
        except (ValueError, AttributeError, PixelarmError) as error:
            self._ignore(f"an order to misbehave: {error}")

    def _on_reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if self.arm.episodes:
            response.success, response.message = False, "episodes are running; they reset the arm themselves"
        else:
            seed = self.arm.reset()
            self.on_episode({"event": "reset", "seed": seed})  # a driver on the bus must hear of it too
            response.success, response.message = True, f"seed {seed}"
        return response

    # -------------------------------------------------------------------- out
    def on_state(self, state: ArmState, exposed: bool) -> None:
        tip = PoseStamped()
        set_stamp(tip.header, state.stamp_ns, self.arm_profile.base_frame)
        messages.to_pose(tip.pose, state.position, state.quaternion)
        self._tip.publish(tip)  # the truth, whatever the driver says
        said = self._misbehaviour.state(state)
        if said is not None:
            self._say_state(said, exposed)

    def _say_state(self, state: ArmState, exposed: bool) -> None:
        due = self._driver is None or self._driver.state_due()
        if due:
            columns = state.joint_position, state.joint_velocity, state.joint_effort
            order = range(len(self._names)) if self._driver is None else self._driver.order(len(self._names))
            joints = JointState(name=[self._names[i] for i in order])
            set_stamp(joints.header, state.stamp_ns)
            joints.position, joints.velocity, joints.effort = ([float(c[i]) for i in order] for c in columns)
            for publisher in self._joints:
                publisher.publish(joints)
            for name, publisher in self._states.items():
                values = JointState(name=list(self.arm_profile.states[name].joints))
                set_stamp(values.header, state.stamp_ns)
                values.position = state.states[name].tolist()
                publisher.publish(values)
        if (due or exposed) and self._pose:
            pose = PoseStamped()
            set_stamp(pose.header, state.stamp_ns, self.arm_profile.base_frame)
            messages.to_pose(pose.pose, state.position, state.quaternion)
            self._pose.publish(pose)

    def on_image(self, camera: str, pixels: np.ndarray, stamp_ns: int) -> None:
        if noise := self.options.camera_noise:
            pixels = np.clip(pixels + self._noise.integers(-noise, noise + 1, pixels.shape), 0, 255).astype(np.uint8)
        seen = self._misbehaviour.image(camera, pixels, stamp_ns)
        if seen is None:
            return
        pixels, stamp_ns = seen
        if self.arm_profile.cameras[camera].type == "image":
            message = messages.to_image(Image(), pixels)
        else:
            message = messages.to_compressed(CompressedImage(), pixels)
        set_stamp(message.header, stamp_ns, self._frame_ids[camera])
        self._images[camera].publish(message)

    def on_episode(self, event: dict[str, Any]) -> None:
        frames = event.pop("frames", None)
        if event["event"] == "reset" and self._driver is not None:
            self._driver.manners.forget(time.monotonic())
        self._episode.publish(String(data=json.dumps(event)))
        if event["event"] != "end":
            return
        if frames:
            name = f"episode_{event['seed']}_{'success' if event['success_once'] else 'failure'}.mp4"
            self.films.append((name, frames))
        if self.options.results:
            with suppress(OSError):  # the end tries once more, and says so
                write_json(self.options.results, sim_arm.summary(self.arm, self.options, complete=False))
        self._bar.update()
        results = self.arm.episodes.results if self.arm.episodes else []
        self._bar.set_postfix_str(f"{sum(r['success_once'] for r in results)} of {len(results)} succeeded")

    # -------------------------------------------------------------------- end
    def _check(self) -> None:
        if self.arm.ready and not self._said_ready:
            self._said_ready = True
            self._waiting.begin()
            contract = self.arm.world.contract
            words = sim_arm.ready_words(self.options, self.arm_profile, contract, self.get_namespace(), runtime.where())
            self._bar.write(words) if self._bar is not None else print(words, flush=True)
        if self.arm.ended.is_set() or (self.options.parent and os.getppid() != self.options.parent):
            self.done.set()

    def finish(self) -> None:
        """Stop the threads, write results and films. An episode run that was cut short exits with 130."""
        self.arm.stop()
        if self.options.bus is not None:
            self._bus.close()
        if self._bar is not None:
            self._bar.close()
        complete = self.arm.failure is None and self.arm.ended.is_set()
        if self.arm.episodes:
            self.exit_code = 0 if complete else 130
            self._write_results(complete)
        if self.arm.failure is not None:
            raise self.arm.failure

    def _write_results(self, complete: bool) -> None:
        results, folder = self.options.results, self.options.video_dir
        writes: dict[Path, Callable[[], object]] = {}
        if results:
            writes[results] = lambda: write_json(results, sim_arm.summary(self.arm, self.options, complete))
        if folder and self.films:
            writes[folder] = lambda: self._write_films(folder)
        write_results(writes)

    def _write_films(self, folder: Path) -> None:
        for name, frames in self.films:
            write_video(folder / name, frames, 1.0 / self.arm.camera_s, enlarge=3)
        print(f"{len(self.films)} films in {folder}")


def _message_of(told: str, output: Any) -> Any:
    """The class of the messages in which an arm gets targets of a kind, at an output of its profile."""
    if told == POSE:
        return PoseStamped
    array = told == JOINT_VELOCITY or output.type == "float64_multi_array"
    return Float64MultiArray if array else JointTrajectory


def run(options: Options, ros_args: Sequence[str] = ()) -> int:
    return runtime.run(lambda: SimArmNode(options), ros_args)
