"""A policy on a simulated arm through the arbiter, all as processes, and everything that can be done to them."""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from hardware.faults import subject
from hardware.faults.matrix import ASLEEP_S, AWAKE_S
from hardware.faults.processes import Load, NodeProcess
from hardware.faults.waiting import Waiting
from robot import profile
from robot.actions import POSE
from robot.errors import PixelarmError
from robot.ros import arbitration, messages, runtime
from robot.ros.messages import set_stamp
from robot.ros.runtime import qos

runtime.require_rclpy()

from geometry_msgs.msg import PoseStamped  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.node import Node  # noqa: E402
from sensor_msgs.msg import JointState, Joy  # noqa: E402
from std_msgs.msg import Bool, Float64MultiArray, String  # noqa: E402
from std_srvs.srv import SetBool, Trigger  # noqa: E402
from trajectory_msgs.msg import JointTrajectory  # noqa: E402

WORKER = "robot.inference.child"
SILENT_S = 1.0  # a node that said nothing for so long is not heard
READY_IN_A_ROW = 3  # times that the policy says so: one good picture may be followed by a late one


class FaultScene(Waiting):
    """See the module text; the acts are those of ``hardware.faults.matrix.Scene``. Close it at the end."""

    def __init__(self, path: Path, arm: str, task: str) -> None:
        self.path, self.task = path, task
        self.profile_path = profile.find(arm, profile.shipped())
        self.profile, self.contract = subject.load(path, str(self.profile_path))
        self.kind = self.profile.told(self.contract.action.kind)
        self.rules: list[tuple[float, str, str]] = []  # when, who (policy, arbiter: its log; status), which
        self.tip: list[tuple[float, float, float, float]] = []  # stamp (s), x, y, z
        self.status: dict[str, Any] = {}
        self._status_s = self._ready_s = -math.inf  # when the arbiter, and the policy, were heard last
        self._unready, self._ready_times = "nothing was heard of it yet", 0
        self._held: bool | None = True  # the enable button; None: its device is dead
        self._nonsense = ""
        self._beside: Any = None
        self._worker = False  # the policy's network runs in a process of its own
        self._load, self._processes = Load(), list[NodeProcess]()
        self.node = Node("faults")
        self._connect()
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._running = True
        self._thread.start()
        try:
            self.arm = self._start_arm()
            self.arbiter = self._start_arbiter()
            self.policy = self._start_policy()
        except BaseException:
            self.close()
            raise

    # ------------------------------------------------------------------------------------------------------- set-up
    def _start(self, name: str, module: str, *arguments: str) -> NodeProcess:
        made = NodeProcess(name, [module, *arguments], lambda who, rule, when: self.rules.append((when, who, rule)))
        self._processes.append(made)
        return made

    def _start_arm(self) -> NodeProcess:
        return self._start(
            "arm",
            "hardware.commands.sim_arm",
            "--task",
            self.task,
            "--arm",
            str(self.profile_path),
            "--image-size",
            str(self.contract.cameras[0].height),
            "--camera-noise",
            "1",  # without it a picture that stays the same would be no sign of a frozen camera
        )

    def _start_arbiter(self) -> NodeProcess:
        return self._start(
            "arbiter", "robot.commands.arbiter", "--arm", str(self.profile_path), "--target", self.kind,
            "--require-enable", "--no-jumps", "--no-dry-run",
        )  # fmt: skip

    def _start_policy(self) -> NodeProcess:
        arm = str(self.profile_path)
        apart = ["--inference-python", sys.executable] if self._worker else []
        return self._start(
            "policy", "hardware.faults.deploy", str(self.path), "--arm", arm, "--arbiter", "running", *apart
        )

    def use_worker(self, on: bool) -> None:
        """Whether the policy's network runs in a process of its own; if that changes, the policy starts anew."""
        if on != self._worker:
            self._worker = on
            self.restart("policy")

    def restart(self, name: str) -> None:
        """Start ``policy`` or ``arbiter`` anew."""
        if name == "policy":
            self.policy.end()
            self._ready_times = 0
            self.policy = self._start_policy()
        else:
            self.arbiter.end()
            self.status = {}
            self.arbiter = self._start_arbiter()

    def _connect(self) -> None:
        node, arm = self.node, self.profile
        node.create_subscription(String, f"{arbitration.NODE}/status", self._on_status, qos(1, True))
        node.create_subscription(String, f"{arbitration.NODE}/policy/ready", self._on_ready, qos(1, True))
        node.create_subscription(PoseStamped, "sim_arm/tip", self._on_tip, qos(50))
        self._misbehave = node.create_publisher(String, "sim_arm/misbehave", qos(10, True))
        self._estop = node.create_publisher(Bool, arm.estop.topic, qos(1, True, True))
        self._joy = node.create_publisher(Joy, arm.enable.topic, qos(1))
        topic = f"{arbitration.NODE}/policy"
        kind, name = (PoseStamped, f"{topic}/pose") if self.kind == POSE else (JointState, f"{topic}/joints")
        self._target = node.create_publisher(kind, name, qos(1, True))
        node.create_timer(0.03, self._say_button)
        node.create_timer(0.03, self._say_nonsense)

    def _run(self) -> None:
        while self._running:
            self.executor.spin_once(timeout_sec=0.1)

    def _on_status(self, message: String) -> None:
        status = json.loads(message.data)
        if status["rule"] and status["rule"] != self.status.get("rule"):
            self.rules.append((time.monotonic(), "status", status["rule"]))
        self.status, self._status_s = status, time.monotonic()

    def _on_ready(self, message: String) -> None:
        self._unready, self._ready_s = str(message.data), time.monotonic()
        self._ready_times = 0 if message.data else self._ready_times + 1

    def _on_tip(self, message: PoseStamped) -> None:
        point = message.pose.position
        self.tip.append((messages.stamp_ns(message.header.stamp) * 1e-9, point.x, point.y, point.z))

    def _say_button(self) -> None:
        if self._held is not None:
            buttons = [0] * self.profile.enable.button + [int(self._held)]
            self._joy.publish(Joy(buttons=buttons))

    def _say_nonsense(self) -> None:
        """Targets as a broken policy would send them."""
        if not self._nonsense:
            return
        what, now = self._nonsense, self.node.get_clock().now().nanoseconds
        stamp = now - 1_000_000_000 if what == "old" else now
        if self.kind == POSE:
            message = PoseStamped()
            set_stamp(message.header, stamp, "elsewhere" if what == "frame" else self.profile.base_frame)
            value = math.nan if what == "nan" else 0.5
            messages.to_pose(message.pose, np.full(3, value), np.array([1.0, 0.0, 0.0, 0.0 if what != "size" else 5.0]))
        else:
            names = list(self.profile.joint_names)
            names = ["elsewhere"] if what == "frame" else names[:-1] if what == "size" else names
            message = JointState(name=names, position=[math.nan if what == "nan" else 0.0] * len(names))
            message.velocity = list(message.position)
            set_stamp(message.header, stamp)
        self._target.publish(message)

    # --------------------------------------------------------------------------------------------------------- acts
    def misbehave(self, **what: str) -> None:
        self._misbehave.publish(String(data=json.dumps(what)))

    def freeze_policy(self, on: bool) -> None:
        self.policy.freeze(on)

    def slow_policy(self, on: bool) -> None:
        self.policy.stutter(on, ASLEEP_S, AWAKE_S)

    def kill_policy(self) -> None:
        self.policy.kill()

    def order_policy(self, words: str) -> None:
        self.policy.order(words)

    def kill_worker(self) -> None:
        self._signal_worker(signal.SIGKILL)

    def freeze_worker(self, on: bool) -> None:
        self._signal_worker(signal.SIGSTOP if on else signal.SIGCONT)

    def _signal_worker(self, number: signal.Signals) -> None:
        workers = self.policy.children(WORKER)
        if number != signal.SIGCONT and not workers:
            raise PixelarmError(f"the policy has no process for its network: {self.tail()}")
        for pid in workers:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill_arbiter(self) -> None:
        self.arbiter.kill()

    def press_estop(self, on: bool) -> None:
        self._estop.publish(Bool(data=on))

    def button(self, held: bool | None) -> None:
        self._held = held

    def send_nonsense(self, what: str) -> None:
        self._nonsense = what

    def publish_beside(self, on: bool) -> None:
        if not on:
            self.node.destroy_publisher(self._beside)
            return
        output = self.profile.outputs[self.kind]
        joints = JointTrajectory if getattr(output, "type", "") == "joint_trajectory" else Float64MultiArray
        self._beside = self.node.create_publisher(PoseStamped if self.kind == POSE else joints, output.topic, 1)

    def stop_driver(self, on: bool) -> None:
        self.call(f"sim_arm/{'protective_stop' if on else 'recover'}")

    def busy(self, loops: int) -> None:
        self._load.run(loops)

    # ------------------------------------------------------------------------------------------------------- course
    def clear_policy(self) -> tuple[bool, str]:
        """End what the policy's loop has latched."""
        return self.call("policy/hold", kind=SetBool)

    def call(self, service: str, timeout_s: float = 5.0, kind: Any = Trigger) -> tuple[bool, str]:
        """Call a service with the request as it is made: of SetBool with false."""
        client = self.node.create_client(kind, service)
        try:
            if not client.wait_for_service(timeout_s):
                raise PixelarmError(f"nobody answers the service {service}: {self.tail()}")
            future = client.call_async(kind.Request())
            self.until(future.done, timeout_s)
            result = future.result()
            return (bool(result.success), str(result.message)) if result else (False, "no answer")
        finally:
            self.node.destroy_client(client)

    def trouble(self) -> str:
        """Why the policy could not have command now, in words; empty: each stream is fresh."""
        now, state_age_s = time.monotonic(), self.status.get("state_age_s")
        if not self.status or now - self._status_s > SILENT_S:
            return "the arbiter is not heard"
        if state_age_s is None or state_age_s > self.profile.arbiter.state_age_s:
            return f"the arbiter's newest state of the arm is {'-' if state_age_s is None else state_age_s} s old"
        if now - self._ready_s > SILENT_S:
            return "the policy is not heard"
        return self._unready or ("" if self._ready_times >= READY_IN_A_ROW else "the policy is ready only now and then")

    def naps(self) -> list[float]:
        """When each sleep of a slow policy began, s of time.monotonic."""
        return list(self.policy.naps)

    def speed(self) -> float:
        """m/s of the tip over the last tenth of a second."""
        now = [row for row in self.tip[-20:] if row[0] > self.ros_s() - 0.15]
        if len(now) < 2:
            return 0.0
        way = np.linalg.norm(np.subtract(now[-1][1:], now[0][1:]))
        return float(way / max(now[-1][0] - now[0][0], 1e-3))

    def ros_s(self) -> float:
        """The clock of stamps, s."""
        return float(self.node.get_clock().now().nanoseconds * 1e-9)

    def tail(self) -> str:
        return " | ".join(line for p in self._processes[-3:] for line in p.lines[-3:])

    def close(self) -> None:
        self.busy(0)
        for process in reversed(self._processes):
            process.end()
        self._running = False
        self._thread.join(timeout=2.0)
        self.node.destroy_node()
