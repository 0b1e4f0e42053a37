"""An SO-101 over its own bus as a driver of ROS 2: joint states out, joint positions in, at 60 Hz.

Out: ``so101/joint_states`` (rad of the simulation's model, and ``gripper`` from 0 closed to 1 open), ``so101/ready``
(std_msgs/Bool, latched): whether the arm follows commands.
In: ``so101/commands`` (std_msgs/Float64MultiArray, six numbers, the gripper last).
``~/recover`` (std_srvs/Trigger) after a servo has protected itself: targets begin where the arm is.

On silence the servos hold their last goals by themselves. A fault of the bus holds; one of a servo holds until somebody
recovers it. Where the port goes away, the node ends: the servos hold.
"""

from __future__ import annotations

import json
import threading
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hardware.feetech.arm import Arm
from hardware.feetech.errors import Implausible, Unplugged
from hardware.feetech.settings import GRIPPER, JOINTS, Settings
from robot.control.timing import Samples, pace
from robot.errors import PixelarmError
from robot.ros import runtime
from robot.ros.messages import set_stamp
from robot.ros.runtime import qos

runtime.require_rclpy()

from rclpy.node import Node  # noqa: E402
from sensor_msgs.msg import JointState  # noqa: E402
from std_msgs.msg import Bool, Float64MultiArray, String  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402

FRESH_S = 0.5  # a command counts for so long; then the arm holds its last goals


@dataclass(frozen=True)
class BusOptions:
    """What ``pixelarm so101 serve`` was asked for."""

    port: str
    calibration: Path | None
    settings: Settings
    rate_hz: float = 60.0
    moves: bool = False  # else nothing is written to the servos
    simulated: bool = False  # a simulated arm behind an emulated bus, which is set elsewhere at each scene
    timeout_s: float = 0.02


class So101Node(Node):
    """See the module text. ``done`` and ``exit_code`` are for ``robot.ros.runtime.run``."""

    def __init__(self, options: BusOptions) -> None:
        super().__init__("so101")
        self.done, self.exit_code, self.options = threading.Event(), 0, options
        self.arm = Arm.connect(
            options.port, options.calibration, options.settings, not options.moves, timeout_s=options.timeout_s
        )
        self._target: tuple[np.ndarray, float] | None = None  # joints and gripper (6,), and when they came
        self._set_back = False  # the scene was set up anew: a jump is no fault
        self.bus, self.intervals, self.faults = Samples(), Samples(), 0  # ms of a read and a write; between two
        self._states = self.create_publisher(JointState, "so101/joint_states", 10)
        self._ready = self.create_publisher(Bool, "so101/ready", qos(1, True, True))
        self.create_subscription(Float64MultiArray, "so101/commands", self._on_command, qos(1, True))
        self.create_service(Trigger, "~/recover", self._on_recover)
        if options.simulated:
            self.create_subscription(String, "sim_arm/episode", self._on_episode, 10)
        self._lock = threading.Lock()  # of the bus
        self._running = True
        self._was_ready: bool | None = None  # as said; None: nothing was said yet
        self._say_ready(options.moves)
        words = "" if options.moves else "; it is not moved without --yes"
        self.get_logger().info(
            f"SO-101 on {options.port} at {options.rate_hz:g} Hz: so101/joint_states, so101/commands{words}"
        )
        self._thread = threading.Thread(target=self._run, name="bus", daemon=True)
        self._thread.start()

    def _on_command(self, message: Float64MultiArray) -> None:
        values = np.array(message.data, float)
        if values.shape != (len(JOINTS) + 1,) or not np.isfinite(values).all():
            self.get_logger().warning(
                f"a command must be {len(JOINTS) + 1} finite numbers, got {list(message.data)}: dropped",
                throttle_duration_sec=5.0,
            )
            return
        self._target = values, time.monotonic()

    def _on_episode(self, message: String) -> None:
        self._set_back = self._set_back or json.loads(message.data).get("event") == "reset"

    def _on_recover(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        try:
            self._recover()
            response.success = True
        except PixelarmError as error:
            response.message = str(error)
        return response

    def _recover(self) -> None:
        with self._lock:
            self._target = None
            self.arm.recover()
        self._say_ready(self.options.moves)

    def _run(self) -> None:
        """The bus's thread. It must not die in silence: the arm would look ready, and follow nothing."""
        try:
            pace(1.0 / self.options.rate_hz, lambda: self._running, self._cycle, self.bus, self.intervals)
        except Unplugged as error:
            self._give_up(str(error))
        except Exception as error:
            self._give_up("".join(traceback.format_exception(error)))

    def _give_up(self, words: str) -> None:
        self.get_logger().fatal(f"the driver ends, and the servos hold: {words}")
        self._say_ready(False)
        self.exit_code = 1
        self.done.set()

    def _cycle(self) -> None:
        try:
            if self._set_back and isinstance(self.arm.fault, Implausible):  # the jump was noticed before the event came
                self._recover()
                self._set_back = False
            with self._lock:
                state = self.arm.read()
                stamp = self.get_clock().now().nanoseconds - round((time.monotonic() - state.stamp) * 1e9)
                target = self._target  # read once: another thread sets it
                if target is not None and time.monotonic() - target[1] <= FRESH_S and self.options.moves:
                    self.arm.write(target[0][:-1], float(target[0][-1]))
        except Unplugged:
            raise
        except PixelarmError as error:
            self._failed(error)
            return
        message = JointState(name=[*JOINTS, GRIPPER], position=[*state.position.tolist(), float(state.gripper)])
        message.velocity = [*state.velocity.tolist(), 0.0]
        message.effort = state.load.tolist()
        set_stamp(message.header, stamp)
        self._states.publish(message)

    def _failed(self, error: Exception) -> None:
        self.faults += 1
        if self._set_back and isinstance(self.arm.fault, Implausible):
            try:
                self._recover()
                self._set_back = False
                return
            except Unplugged:
                raise
            except PixelarmError as again:
                error = again
        self.get_logger().warning(f"the arm holds: {error}", throttle_duration_sec=2.0)
        if self.arm.faulted:
            self._say_ready(False)

    def _say_ready(self, ready: bool) -> None:
        if ready != self._was_ready:
            self._was_ready = ready
            self._ready.publish(Bool(data=ready))

    def finish(self) -> None:
        """Stop writing: the servos hold."""
        self._running = False
        self._thread.join(timeout=2.0)
        with self._lock:
            self.arm.close()
        bus, between = self.bus.summary(), self.intervals.summary()
        if bus["n"]:
            print(
                f"bus: read and write p50 {bus['p50']} ms, p99 {bus['p99']} ms; between two cycles p50 "
                f"{between['p50']} ms, p99 {between['p99']} ms, max {between['max']} ms; faults {self.faults}",
                flush=True,
            )
