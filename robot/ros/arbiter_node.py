"""The arbiter as a ROS 2 node: a thin shell over ``robot.arbiter``, which has all the rules.

It alone publishes on the command topics of the arm's profile. Everybody else sends targets to it
(``robot.ros.arbitration``). Services (std_srvs/Trigger):

``~/policy``, ``~/teleop``  give command to the policy, or to the operator's device
``~/reset``                 bring the arm to the start of its profile
``~/stop``                  take command from whoever has it: the arm comes to rest and holds
``~/clear``                 end a fault whose cause is gone; nobody has command then
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from robot import bundle, profile
from robot.actions import JOINT_POSITION, JOINT_VELOCITY, POSE, Target
from robot.arbiter.arbiter import Arbiter
from robot.arbiter.modes import IDLE, INTERVENE, POLICY, RESET, TELEOP
from robot.control.limits import target_limits
from robot.control.loop import Command
from robot.control.timing import Clock, Samples
from robot.errors import MissingDependency, PixelarmError, UnknownName
from robot.profile import ArmProfile
from robot.profile.arbitration import Ready
from robot.ros import arbitration, runtime
from robot.ros.inputs import StateInputs
from robot.ros.outputs import Outputs
from robot.ros.runtime import choice, message_type, qos
from robot.ros.waiting import FIRST_S

runtime.require_rclpy()

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue  # noqa: E402
from geometry_msgs.msg import PoseStamped  # noqa: E402
from rcl_interfaces.msg import ParameterDescriptor  # noqa: E402
from rclpy.action import ActionClient  # noqa: E402
from rclpy.node import Node  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from sensor_msgs.msg import JointState, Joy  # noqa: E402
from std_msgs.msg import Bool, String  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402

NOBODY = "nobody"
QUIET = ("running", "released", IDLE, POLICY, TELEOP, INTERVENE, RESET)  # events that are no warning
LATE_PERIODS = 3.0  # a tick later than this is an overrun

FIRST = "goes before other processes"
LIKE_OTHERS = "waits for a core as other processes do: raise this user's limit nice to -10 (how-to/deploy, a real arm)"


class ArbiterNode(Node):
    """See the module text. ``done`` and ``exit_code`` are for ``robot.ros.runtime.run``."""

    def __init__(self, overrides: dict[str, Any] | None = None) -> None:
        given = [Parameter(name, value=value) for name, value in (overrides or {}).items()]
        super().__init__(arbitration.NODE, parameter_overrides=given)
        self.done, self.exit_code = threading.Event(), 0
        self._declare()
        self.arm = ArmProfile.load(profile.find(self._text("profile"), profile.shipped()))
        self.config = self.arm.arbiter
        self.dry_run = choice(self, "dry_run", self.arm.dry_run)
        self.kind = self._kind(self._text("target"))
        self.intervals = Samples()  # ms between two commands to the driver
        self.latency = Samples()  # ms from an observation's stamp to the first command to the driver that answers it
        self._answered_ns = 0
        self._enable_required = choice(self, "require_enable", self.arm.enable.required)
        self._give_to = self._wanted(self._text("command"))
        self.arbiter = self._make_arbiter()
        self._connect()
        self._introduce()
        self._parent = int(self.get_parameter("parent").value)
        self._running, self._since_s = True, time.monotonic()
        self._thread = threading.Thread(target=self._run, name="arbiter", daemon=True)
        self._thread.start()

    # ------------------------------------------------------------------------------------------------------ set-up
    def _declare(self) -> None:
        def declare(name: str, default: Any, words: str) -> None:
            # a choice is a word, true or false: rclpy would hold it to the type of its default
            described = ParameterDescriptor(description=words, read_only=True, dynamic_typing=default == "profile")
            self.declare_parameter(name, default, described)

        declare("profile", "sim_panda", "arm profile: a name among hardware/arms, or a file")
        declare("target", "", "what the arm is told: pose, joint_position or joint_velocity; empty: its first")
        declare("bundle", "", "or a policy bundle, whose kind of action says it")
        declare("dry_run", "profile", "true: publish on ~/preview only; or false, profile")
        declare("require_enable", "profile", "true: a policy needs a held button; or false, profile")
        declare("speed_scale", 0.0, "share of the greatest speeds, in (0, 1]; 0: as the profile says")
        declare("jumps", "profile", "true: the arm may be set elsewhere, as a simulated one; or false, profile")
        declare("command", NOBODY, "who gets command once the arm is there: nobody, policy or teleop")
        declare("parent", 0, "process with which it ends, after coming to rest; 0: none")
        declare("stats_path", "", "file for counters and times, written when the node ends")

    def _text(self, name: str) -> str:
        return str(self.get_parameter(name).value)

    def _kind(self, wanted: str) -> str:
        takes = self.arm.outputs
        if not wanted and (path := self._text("bundle")):
            wanted = self.arm.told(bundle.read(Path(path))[1].action.kind)
        if wanted and wanted not in takes:
            raise UnknownName(f"kind of target of the arm {self.arm.name!r}:", wanted, takes)
        return wanted or next(kind for kind in (POSE, JOINT_POSITION, JOINT_VELOCITY) if kind in takes)

    def _wanted(self, name: str) -> str:
        if name not in (NOBODY, POLICY, TELEOP):
            raise UnknownName("commander", name, (NOBODY, POLICY, TELEOP))
        return name

    def _make_arbiter(self) -> Arbiter:
        limits, scale = self.arm.limits, float(self.get_parameter("speed_scale").value)
        limits = dataclasses.replace(limits, speed_scale=scale) if scale else limits
        return Arbiter(
            target_limits(limits, self.kind, len(self.arm.joint_names), self.config.period_s, self.arm.read_chain()),
            self.kind,
            self._publish,
            self.config,
            self.arm.enable.timeout_s if self._enable_required else None,
            choice(self, "jumps", self.arm.contract is not None),  # a simulated arm, which is set back at each scene
            True,
            Clock(lambda: self.get_clock().now().nanoseconds),
            self._on_event,
            self.dry_run,
        )

    def _connect(self) -> None:
        arm, arbiter = self.arm, self.arbiter

        def subscribe(
            kind: Any, topic: str, callback: Callable[[Any], None], depth: int, reliable: bool = False
        ) -> None:
            self.create_subscription(kind, topic, callback, qos(depth, reliable))

        def publisher(kind: Any, topic: str) -> Any:
            made = f"~/preview/{topic.strip('/')}" if self.dry_run else topic
            self._commanded.append(self.resolve_topic_name(made))
            return self.create_publisher(kind, made, qos(1, reliable=True))

        self._commanded: list[str] = []
        action_client = None if self.dry_run else partial(ActionClient, self)
        say = self.get_logger().warning
        now_ns = arbiter.clock.now_ns
        self._outputs = Outputs(publisher, arm, self.kind, self.config.period_s, action_client, say, now_ns)
        self._inputs = StateInputs(
            subscribe,
            arm,
            arbiter.state.names,
            arbiter.put_state,
            lambda name, words: arbiter.fault_state(words),
            self._outputs.measured,
        )
        for source in (POLICY, TELEOP):
            topic, kind = (f"~/{source}/pose", PoseStamped) if self.kind == POSE else (f"~/{source}/joints", JointState)
            subscribe(kind, topic, partial(self._on_target, source), 1, True)
            subscribe(JointState, f"~/{source}/gripper", partial(self._on_gripper, source), 1, True)
            subscribe(String, f"~/{source}/holds", partial(self._on_holds, source), 1, True)
        subscribe(String, f"~/{POLICY}/ready", lambda message: arbiter.put_ready(POLICY, str(message.data)), 1, True)
        subscribe(Bool, "~/teleop/held", lambda message: arbiter.put_operator(bool(message.data)), 10)
        if self._enable_required:
            subscribe(Joy, arm.enable.topic, self._on_joy, 1)
        for latched in (False, True):  # a latched subscription alone would not hear a publisher that does not latch
            self.create_subscription(Bool, arm.estop.topic, self._on_estop, qos(1, True, latched))
        for ready in self.config.ready:
            self._watch_driver(ready)
        self._status = self.create_publisher(String, "~/status", qos(1, reliable=True))
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        for name, order in (
            (POLICY, partial(arbiter.drive, POLICY)), (TELEOP, partial(arbiter.drive, TELEOP)),
            (RESET, partial(arbiter.drive, RESET)), ("stop", arbiter.stop), ("clear", arbiter.clear),
        ):  # fmt: skip
            self.create_service(Trigger, f"~/{name}", partial(self._on_order, name, order))
        self.create_timer(1.0 / arbitration.STATUS_HZ, self._say_status)
        self.create_timer(1.0, self._diagnose)
        self.create_timer(0.25, self._look)

    def _introduce(self) -> None:
        resolve, target = self.resolve_topic_name, self.arm.outputs[self.kind].topic
        waits = f"{self.kind} targets on {resolve('~/policy')} and {resolve('~/teleop')}"
        dry = " (dry run: previews only)" if self.dry_run else ""
        self.get_logger().info(
            f"arbiter of {self.arm.name}: {self.config.rate_hz:g} commands/s on {resolve(target)} and "
            f"{resolve(self.arm.gripper_command.topic)}{dry}; waits for {waits}; command is {self._give_to}'s; "
            f"{runtime.where()}; {FIRST if runtime.goes_first() else LIKE_OTHERS}"
        )
        if not self.dry_run and not self.arm.verified:
            self.get_logger().warning(
                f"the profile {self.arm.name!r} was never tried on its arm: a hand on the emergency stop!"
            )

    # ----------------------------------------------------------------------------------------------------------- in
    def _on_target(self, source: str, message: Any) -> None:
        try:
            if self.kind == POSE:
                motion, stamp = arbitration.read_pose(message, self.arm.base_frame)
            else:
                motion, stamp = arbitration.read_joints(message, self.arm.joint_names, self.kind)
        except PixelarmError as error:
            self.arbiter.counts["malformed"] += 1
            self.get_logger().warning(f"a target of {source}: {error}: dropped", throttle_duration_sec=5.0)
            return
        self.arbiter.put_target(source, motion, stamp)

    def _on_gripper(self, source: str, message: JointState) -> None:
        if len(message.position) == 1:
            self.arbiter.put_gripper(source, message.position[0])

    def _on_holds(self, source: str, message: String) -> None:
        self.arbiter.put_hold(source, str(message.data))

    def _on_joy(self, message: Joy) -> None:
        button = self.arm.enable.button
        self.arbiter.put_enable(button < len(message.buttons) and message.buttons[button] == 1)

    def _on_estop(self, message: Bool) -> None:
        self.arbiter.put_cause("estop", "the emergency stop is pressed" if message.data else "")

    def _watch_driver(self, ready: Ready) -> None:
        topic = self.resolve_topic_name(ready.topic)
        wanted = " or ".join(str(value) for value in ready.values)

        def on_message(message: Any) -> None:
            value = ready.read(message)
            words = (
                "" if value in ready.values else f"{topic} says {value}, and the driver follows commands at {wanted}"
            )
            self.arbiter.put_cause("driver", words, topic)

        self.arbiter.put_cause("driver", f"the driver has said nothing on {topic} yet; is it running?", topic)
        try:
            kind = message_type(ready.type)
            ready.read(kind())  # a field that is not there is found now
        except MissingDependency as error:
            raise PixelarmError(f"arm profile {self.arm.name!r}: arbiter.ready: {error}") from error
        self.create_subscription(kind, ready.topic, on_message, qos(1, ready.latched, ready.latched))

    def _on_order(
        self, name: str, order: Callable[[], str | None], request: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        self._look()
        self._give_to = NOBODY  # somebody decides: nothing is given by itself any more
        refusal = order() or ""
        response.success, response.message = not refusal, refusal or f"{name}: done"
        if refusal:
            self.get_logger().warning(f"{name} refused: {refusal}")
        return response

    def _look(self) -> None:
        """Whether anybody else publishes where only this node may, and whether command can be given as was wanted."""
        if self._parent and os.getppid() != self._parent:
            self.get_logger().warning("the process that started the arbiter is gone: it ends, and the driver holds")
            self.done.set()
        own = (self.get_name(), self.get_namespace())
        for topic in set(self._commanded):
            names = [(info.node_name, info.node_namespace) for info in self.get_publishers_info_by_topic(topic)]
            others = [f"{space.rstrip('/')}/{name}" for name, space in names if (name, space) != own]
            if names.count(own) > self._commanded.count(topic):
                others.append(f"another {own[1].rstrip('/')}/{own[0]}")  # names need not be unique
            words = f"{', '.join(others)} publishes on {topic} too: end it" if others else ""
            self.arbiter.put_cause("second_publisher", words, topic)
        if self._give_to == NOBODY or self.arbiter.mode != IDLE:
            return
        refusal = self.arbiter.drive(self._give_to)
        if not refusal:
            self._give_to = NOBODY
        elif time.monotonic() - self._since_s > FIRST_S:
            self.get_logger().warning(f"{self._give_to} cannot have command: {refusal}", throttle_duration_sec=5.0)

    # ---------------------------------------------------------------------------------------------------------- out
    def _publish(self, target: Target, stamp_ns: int, hold: bool) -> None:
        self._outputs.publish(Command(stamp_ns, target), hold)
        if not hold and stamp_ns != self._answered_ns:
            self._answered_ns = stamp_ns
            self.latency.add((self.arbiter.clock.now_ns() - stamp_ns) * 1e-6)

    def _on_event(self, name: str, words: str) -> None:
        log = self.get_logger()
        if name in QUIET:  # two lines: rclpy keeps the severity of a line of code
            log.info(f"{name}: {words}")
        else:
            log.warning(f"{name}: {words}")
        self._say_status()

    def _say_status(self) -> None:
        if hasattr(self, "_status"):
            self._status.publish(String(data=json.dumps(self.arbiter.status())))

    def _run(self) -> None:
        try:
            self._tick_on()
        except Exception as error:  # an arbiter that goes deaf in silence would be worse than none: the driver holds
            self.get_logger().fatal(f"the arbiter fails and ends: {type(error).__name__}: {error}")
            sys.excepthook(*sys.exc_info())
            self.exit_code = 1
            self.done.set()

    def _tick_on(self) -> None:
        period, due, before = self.config.period_s, time.monotonic(), 0.0
        while self._running:
            self.arbiter.tick()
            now = time.monotonic()
            if before:
                self.intervals.add((now - before) * 1e3)
            before, due = now, due + period
            if now > due + LATE_PERIODS * period:
                self.arbiter.counts["tick_overrun"] += 1
                due = now
            time.sleep(max(0.0, due - now))

    def _diagnose(self) -> None:
        status = self.arbiter.status()
        bad = status["mode"] == "fault"
        level = DiagnosticStatus.ERROR if bad else DiagnosticStatus.WARN if status["rule"] else DiagnosticStatus.OK
        numbers = {f"rule {name}": n for name, n in status["rules"].items()}
        numbers |= {f"limit {name}": n for name, n in status["limits"].items()}
        numbers |= {f"interval {name} ms": value for name, value in self.intervals.summary().items()}
        message = DiagnosticArray()
        message.status.append(
            DiagnosticStatus(
                name="pixelarm arbiter",
                hardware_id=self.arm.name,
                level=level,
                message=f"{status['mode']}: {status['words']}" if status["words"] else status["mode"],
                values=[KeyValue(key=key, value=str(value)) for key, value in numbers.items()],
            )
        )
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)

    def finish(self) -> None:
        """Bring the arm to rest, then fall silent; write the statistics."""
        self.arbiter.stop()
        end = time.monotonic() + 2.0
        while self._thread.is_alive() and not self.arbiter.rests and time.monotonic() < end:
            time.sleep(self.config.period_s)
        self._running = False
        self._thread.join(timeout=1.0)
        self.arbiter.tick()  # a hold, also where limits without accelerations rest at once
        between, latency = self.intervals.summary(), self.latency.summary()
        if latency["n"]:
            self.get_logger().info(
                f"{self.arbiter.commands} commands; observation to driver p50 {latency['p50']} ms, p99 "
                f"{latency['p99']} ms, max {latency['max']} ms; between two commands p99 {between['p99']} ms, max "
                f"{between['max']} ms"
            )
        found = {"arm": self.arm.name, "dry_run": self.dry_run, **self.arbiter.status()}
        runtime.write_stats(self, self._text("stats_path"), {**found, "interval_ms": between, "latency_ms": latency})


def main(argv: list[str] | None = None) -> int:
    """``python -m robot.ros.arbiter_node --ros-args -p profile:=sim_panda ...``, as the launch files start it."""
    _, ros_args = runtime.split_ros_args(sys.argv[1:] if argv is None else argv)
    runtime.go_first()
    return runtime.run(ArbiterNode, ros_args)


if __name__ == "__main__":
    sys.exit(main())
