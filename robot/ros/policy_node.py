"""The policy as a ROS 2 lifecycle node: a thin shell over ``robot.control.loop``, which has all the rules.

configure  loads the bundle (hashes, contract), checks that the arm can feed it, and measures inference on this machine
activate   starts commanding; refused when the measured inference cannot meet the contract's deadline. Where the arm
           says its own contract (the profile's ``contract``), nothing is commanded before it is known to fit
deactivate tells the arbiter to hold the arm; without one it publishes the last target once more, with velocities of
           zero, and falls silent: the arm's own controller holds it
``~/hold`` (std_srvs/SetBool): true holds, false clears the hold and whatever is latched
"""

from __future__ import annotations

import dataclasses
import sys
import threading
from collections.abc import Callable
from typing import Any

from robot import bundle, profile
from robot.contract import Contract
from robot.control.config import longest_inference_ms
from robot.control.inference import Policy
from robot.control.limits import LimitConfig, default_limits
from robot.control.loop import Command, ControlLoop, LoopConfig
from robot.control.timing import Clock
from robot.errors import PixelarmError
from robot.inference.process import InferenceProcess
from robot.profile import ArmProfile
from robot.ros import messages, runtime, waiting
from robot.ros.arbitration import NODE, InCommand, ToArbiter
from robot.ros.inputs import Inputs
from robot.ros.outputs import Outputs
from robot.ros.runtime import choice, qos
from robot.ros.waiting import Waiting

runtime.require_rclpy()

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue  # noqa: E402
from rcl_interfaces.msg import FloatingPointRange, ParameterDescriptor  # noqa: E402
from rclpy.action import ActionClient  # noqa: E402
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from sensor_msgs.msg import Joy  # noqa: E402
from std_msgs.msg import Bool, String  # noqa: E402
from std_srvs.srv import SetBool  # noqa: E402

OK, FAILED = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


class PolicyNode(LifecycleNode):
    """See the module text. ``done`` and ``exit_code`` are for ``robot.ros.runtime.run``."""

    def __init__(self, overrides: dict[str, Any] | None = None) -> None:
        given = [Parameter(name, value=value) for name, value in (overrides or {}).items()]
        super().__init__("policy", parameter_overrides=given)
        self.done, self.exit_code = threading.Event(), 0
        self.loop: ControlLoop | None = None
        self.final_stats: dict[str, Any] | None = None  # of the loop that ended last
        self._unfit = ""  # why this arm must not be driven, by the contract that it says
        self._entities: list[tuple[Callable[[Any], Any], Any]] = []
        self._declare()
        if self.get_parameter("autostart").value:
            self._autostart = self.create_timer(0.0, self._start_up)

    def _declare(self) -> None:
        def declare(name: str, default: Any, description: str, **more: Any) -> None:
            self.declare_parameter(name, default, ParameterDescriptor(description=description, **more))

        scale = FloatingPointRange(from_value=0.0, to_value=1.0)
        age = FloatingPointRange(from_value=0.0, to_value=10_000.0)
        declare("bundle", "", "folder of the policy bundle", read_only=True)
        declare("profile", "sim_panda", "arm profile: a name among hardware/arms, or a file", read_only=True)
        declare("arbiter", False, "send targets to the arbiter, which alone commands the arm", read_only=True)
        declare("dry_run", "profile", "true: publish on ~/preview only; or false, profile", dynamic_typing=True)
        declare("require_enable", "profile", "true: motion needs a held button; or false, profile", dynamic_typing=True)
        declare(
            "speed_scale", 0.0, "shortens every motion, in (0, 1]; 0: as the profile says", floating_point_range=[scale]
        )
        declare("max_age_ms", 0.0, "oldest observation used, ms; 0: as the contract says", floating_point_range=[age])
        declare("deadline_ms", 0.0, "from observation to command, ms; 0: contract's", floating_point_range=[age])
        declare("inference_python", "", "run the network in a process of this interpreter; empty: in this one")
        declare("provider", bundle.CPU, "of ONNX Runtime: cpu, cuda, tensorrt or auto", read_only=True)
        declare("allow_slow", False, "activate even when inference was measured too slow for the deadline")
        declare("autostart", False, "configure and activate at start; exit when refused", read_only=True)
        declare("stats_path", "", "file for counters and times, written when the node ends", read_only=True)

    def _start_up(self) -> None:
        self.destroy_timer(self._autostart)
        if self.trigger_configure() != OK or self.trigger_activate() != OK:
            self.exit_code = 2
            self.done.set()

    # ------------------------------------------------------------- transitions
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._explained("configure", self._configure)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._explained("activate", self._activate)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._explained("deactivate", self._deactivate)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._explained("clean up", self._cleanup)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.done.set()
        return self._explained("shut down", self.finish)

    def _explained(self, what: str, transition: Callable[[], None]) -> TransitionCallbackReturn:
        """rclpy swallows exceptions of transitions, so the reason is logged here."""
        try:
            transition()
        except PixelarmError as error:
            self.get_logger().error(f"refused to {what}: {error}")
            return FAILED
        except Exception as error:
            self.get_logger().error(f"{what} failed: {type(error).__name__}: {error}")
            return FAILED
        return OK

    def _configure(self) -> None:
        path = str(self.get_parameter("bundle").value)
        if not path:
            raise PixelarmError("the parameter 'bundle' is empty; give the folder of a policy bundle")
        arm = ArmProfile.load(profile.find(str(self.get_parameter("profile").value), profile.shipped()))
        policy = self._load(path)
        arm.require_contract(policy.contract)
        self.arm, self.arbiter = arm, bool(self.get_parameter("arbiter").value)
        self.dry_run = choice(self, "dry_run", arm.dry_run)  # behind an arbiter, that one publishes previews
        required = not self.arbiter and choice(self, "require_enable", arm.enable.required)
        self._introduce(path, policy.contract, required)
        if self.dry_run is False and not arm.verified:
            self.get_logger().warning(
                f"the profile {arm.name!r} was never tried on its arm: a hand on the emergency stop!"
            )
        self.loop = ControlLoop(
            policy,
            default_limits(
                self._limits(arm.limits), policy.contract, arm.read_chain(), arm.inverse if arm.solves else None
            ),
            self._publish,
            LoopConfig(
                max_age_ms=float(self.get_parameter("max_age_ms").value) or None,
                deadline_ms=float(self.get_parameter("deadline_ms").value) or None,
                enable_timeout_s=arm.enable.timeout_s if required else None,
                compare_contract=arm.contract is not None,
                home_xyzw=arm.home_xyzw,
                max_misses=0 if self.get_parameter("allow_slow").value else LoopConfig.max_misses,
            ),
            Clock(lambda: self.get_clock().now().nanoseconds),
            on_event=self._log_event,
        )
        warm = self.loop.warm_up()
        self.get_logger().info(
            f"{path}: contract {policy.contract.hash}, inference p50 {warm['p50']} ms, p99 {warm['p99']} ms, deadline "
            f"{self.loop.deadline_ms:g} ms; arm {arm.name}{' (dry run)' if self.dry_run else ''}"
        )
        self._connect(self.loop, arm, required)

    def _load(self, path: str) -> Policy:
        python, provider = (str(self.get_parameter(name).value) for name in ("inference_python", "provider"))
        if not python:
            return bundle.load(path, provider=provider)
        made = InferenceProcess(path, python, provider)
        self._entities.append((lambda process: process.close(), made))
        return made

    def _introduce(self, path: str, contract: Contract, enable: bool) -> None:
        """The first line: what this is, what it waits for, and where its commands go."""
        streams = waiting.policy_streams(self.arm, contract, enable)
        self._heard: set[str] = set()  # of those that are no observation
        self._waiting = Waiting(self, streams, self._missing, self.get_logger().warning)
        target, resolve = self.arm.outputs[self.arm.told(contract.action.kind)].topic, self.resolve_topic_name
        topics = ("arbiter/policy", "arbiter/status") if self.arbiter else (target, self.arm.gripper_command.topic)
        sends = " and ".join(resolve(topic) for topic in topics)
        self.get_logger().info(
            f"policy {path} ({contract.summary}) waits for: {waiting.listed(streams, resolve)}; commands "
            f"{self.arm.name} on {sends}{' (dry run: previews only)' if self.dry_run else ''}; {runtime.where()}"
        )

    def _missing(self) -> set[str]:
        """What of ``Waiting.streams`` was not heard yet."""
        assert self.loop is not None
        silent = self.loop.mailbox.silent
        return {
            stream.what
            for stream in self._waiting.streams
            if (set(stream.fields) & set(silent) if stream.fields else stream.what not in self._heard)
        }

    def _log_event(self, rule: str, words: str) -> None:
        log = self.get_logger()
        log.info(words) if rule == "running" else log.warning(f"holding ({rule}): {words}")

    def _limits(self, limits: LimitConfig) -> LimitConfig:
        scale = float(self.get_parameter("speed_scale").value)
        limits = limits.without_motion() if self.arbiter else limits
        return dataclasses.replace(limits, speed_scale=scale) if scale else limits

    def _activate(self) -> None:
        assert self.loop is not None and self.loop.warm is not None
        if self._unfit:
            raise PixelarmError(self._unfit)
        deadline, p99 = self.loop.deadline_ms, self.loop.warm["p99"]
        longest = longest_inference_ms(self.loop.contract, deadline)
        if p99 > longest and not self.get_parameter("allow_slow").value:
            raise PixelarmError(
                f"inference takes {p99} ms (p99 of {self.loop.warm['n']}) on this machine, longer than the "
                f"{longest:g} ms that the deadline of {deadline:g} ms leaves; use a smaller network or a faster "
                "machine, or set allow_slow to accept missed ones"
            )
        if self.arm.contract:
            self.get_logger().info(
                f"commanding once the arm's contract on {self.arm.contract.topic} has been compared (for an arm that "
                f"says none, leave the key 'contract' out of the profile {self.arm.name!r})"
            )
        self._outputs.let_go()
        self._waiting.begin()
        self.loop.start()

    def _deactivate(self) -> None:
        if self.loop is not None:
            self.loop.stop()

    def _cleanup(self) -> None:
        if self.loop is not None:
            self.loop.close()
        for destroy, entity in self._entities:
            destroy(entity)
        self._entities.clear()
        self.loop, self._unfit = None, ""

    def finish(self) -> None:
        """Stop commanding and write the statistics; safe to call twice."""
        loop = self.loop
        if loop is None:
            return
        loop.close()
        self.final_stats = self._stats(loop)
        try:
            self._write_stats(loop)
        finally:
            self._cleanup()

    def _write_stats(self, loop: ControlLoop) -> None:
        path = str(self.get_parameter("stats_path").value)
        where = {"arm": self.arm.name, "dry_run": self.dry_run, "bundle": str(self.get_parameter("bundle").value)}
        runtime.write_stats(self, path, {**where, **self._stats(loop, raw=True)})

    def _stats(self, loop: ControlLoop, raw: bool = False) -> dict[str, Any]:
        found = loop.stats(raw)
        found["stages"] = {**self._inputs.stages.to_dict(), **found["stages"]}
        return {**found, "gripper": self._outputs.gripper.counts()}

    # ------------------------------------------------------------------ topics
    def _connect(self, loop: ControlLoop, arm: ArmProfile, enable_required: bool) -> None:
        def subscribe(
            kind: Any,
            topic: str,
            callback: Callable[[Any], None],
            depth: int,
            reliable: bool = False,
            latched: bool = False,
        ) -> None:
            made = self.create_subscription(kind, topic, callback, qos(depth, reliable, latched))
            self._entities.append((self.destroy_subscription, made))

        def publisher(kind: Any, topic: str) -> Any:
            preview = self.dry_run and not self.arbiter
            made = self.create_publisher(kind, f"~/preview/{topic.strip('/')}" if preview else topic, qos(1, True))
            self._entities.append((self.destroy_publisher, made))
            return made

        def action_client(kind: Any, name: str) -> Any:
            made = ActionClient(self, kind, name)
            self._entities.append((lambda client: client.destroy(), made))
            return made

        if arm.contract:
            subscribe(String, arm.contract.topic, self._on_contract, 1, reliable=True, latched=True)
        if enable_required:
            subscribe(Joy, arm.enable.topic, self._on_joy, 1)
        for latched in (
            () if self.arbiter else (False, True)
        ):  # a latched subscription alone would not hear a publisher that does not latch
            subscribe(Bool, arm.estop.topic, self._on_estop, 1, reliable=True, latched=latched)
        told = arm.told(loop.contract.action.kind)
        self._outputs: Outputs | ToArbiter
        if self.arbiter:
            self._outputs = ToArbiter(publisher, arm, told)
            topic = f"{NODE}/status"
            command = InCommand(loop, publisher(String, f"{NODE}/policy/ready"), self.resolve_topic_name(topic))
            subscribe(String, topic, command.on_status, 1, reliable=True)
            self._entities.append((self.destroy_timer, self.create_timer(0.1, command.check)))
        else:
            client = None if self.dry_run else action_client
            self._outputs = Outputs(publisher, arm, told, loop.contract.period_s, client, self.get_logger().warning)
        self._inputs = Inputs(subscribe, arm, loop, self._outputs.measured, self.get_logger().warning)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._entities.append((self.destroy_publisher, self._diagnostics))
        self._entities.append((self.destroy_timer, self.create_timer(1.0, self._diagnose)))
        self._entities.append((self.destroy_service, self.create_service(SetBool, "~/hold", self._on_hold)))

    def _on_contract(self, message: String) -> None:
        """What the arm's scene is. Another than the policy's ends a node that started itself, and holds any other."""
        assert self.loop is not None
        self._unfit = ""
        self._heard.add("contract of the arm")
        try:
            self.loop.put_contract(messages.from_contract(message))
        except PixelarmError as error:
            wanted = self.loop.contract
            seen = f"--image-size {wanted.cameras[0].height}" if wanted.cameras else "--observe states"
            command = f"pixelarm sim-arm --task {wanted.task} {seen} --arm {self.arm.name}"
            self._unfit = (
                f"{error}\nstart the arm as the policy was trained ({command}), or deploy a bundle made for this arm"
            )
            self.get_logger().error(f"refused to drive this arm: {self._unfit}")
            if self.get_parameter("autostart").value:
                self.exit_code = 2
                self.done.set()

    def _on_joy(self, message: Joy) -> None:
        assert self.loop is not None
        self._heard.add("enable button")
        button = self.arm.enable.button
        self.loop.put_enable(button < len(message.buttons) and message.buttons[button] == 1)

    def _on_estop(self, message: Bool) -> None:
        assert self.loop is not None
        self.loop.put_estop(message.data)

    def _on_hold(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        assert self.loop is not None
        if request.data:
            self.loop.hold(True)
            response.success, response.message = True, "holding the last target"
        else:
            refusal = self.loop.clear()
            response.success, response.message = not refusal, refusal or "cleared"
        return response

    def _publish(self, command: Command, hold: bool) -> None:
        """Called from the loop's thread."""
        assert self.loop is not None
        if not hold or isinstance(self._outputs, Outputs):
            self._outputs.publish(command, hold)
        elif self.loop.rule != "not_in_command":
            self._outputs.hold(self.loop.rule)

    def _diagnose(self) -> None:
        assert self.loop is not None
        stats, state = self._stats(self.loop), self.loop.state
        warn = DiagnosticStatus.WARN
        levels = {"running": DiagnosticStatus.OK, "waiting": warn, "holding": warn, "inactive": DiagnosticStatus.STALE}
        numbers = {f"rule {rule}": n for rule, n in stats["rules"].items() if n}
        numbers |= {f"limit {name}": n for name, n in stats["limits"].items() if n}
        numbers |= {f"gripper {name}": n for name, n in stats["gripper"].items() if n}
        numbers |= {f"latency {name} ms": value for name, value in stats["latency_ms"].items()}
        numbers |= {"ticks": stats["ticks"], "commands": stats["commands"], "dry run": self.dry_run}
        status = DiagnosticStatus(
            name="pixelarm policy",
            hardware_id=self.arm.name,
            level=levels.get(state, DiagnosticStatus.ERROR),
            message=f"{state}: {self.loop.rule}" if self.loop.rule and state != "inactive" else state,
            values=[KeyValue(key=key, value=str(value)) for key, value in numbers.items()],
        )
        message = DiagnosticArray(status=[status])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)
        if state == "waiting" or (state == "stopped" and not stats["commands"]):
            self._waiting.check()


def main(argv: list[str] | None = None) -> int:
    """``python -m robot.ros.policy_node --ros-args -p bundle:=DIR ...``, as the launch files start it."""
    _, ros_args = runtime.split_ros_args(sys.argv[1:] if argv is None else argv)
    return runtime.run(PolicyNode, ros_args)


if __name__ == "__main__":
    sys.exit(main())
