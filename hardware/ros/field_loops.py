"""Two shapes in which others run a policy on a robot, with the same bundle and the same arm, to compare with.

``callback``  a node that infers in the callback of an image and publishes what comes out, as a first rclpy node does
``loop``      LeRobot's synchronous loop: read the newest observation, infer, send, sleep what is left of the period

Neither has a deadline, a rule for what is stale, or an arbiter behind it; both count their actions from the newest
measured pose and clip them to the contract, as the control loop does.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hardware.faults import subject
from robot import actions, bundle
from robot.actions import Reference
from robot.control.loop import Command
from robot.ros import messages, runtime
from robot.ros.inputs import StateInputs
from robot.ros.outputs import Outputs
from robot.ros.runtime import qos

runtime.require_rclpy()

from rclpy.node import Node  # noqa: E402
from sensor_msgs.msg import Image  # noqa: E402

SHAPES = ("callback", "loop")


class FieldNode(Node):
    """A policy in one of the ``SHAPES``, on a simulated arm.

    Raises:
        PixelarmError: what ``hardware.faults.subject`` refuses.
    """

    def __init__(self, path: Path, arm: str, shape: str) -> None:
        super().__init__("field")
        self.done, self.exit_code = threading.Event(), 0
        self.arm, self.contract = subject.load(path, arm)
        subject.require_comparable(self.arm, self.contract)
        self.policy = bundle.load(path)
        told = self.arm.told(self.contract.action.kind)
        # value and stamp (ns) as one: another thread reads, and must not meet the value of one message with the stamp
        # of the next
        self._newest: dict[str, tuple[np.ndarray, int]] = {}

        def subscribe(kind: Any, topic: str, callback: Any, depth: int, reliable: bool = False) -> None:
            self.create_subscription(kind, topic, callback, qos(depth, reliable))

        self._outputs = Outputs(
            lambda kind, topic: self.create_publisher(kind, topic, 1), self.arm, told, self.contract.period_s
        )
        names = {p.name for p in self.contract.proprio} | {"eef_pos", "eef_quat"}
        StateInputs(subscribe, self.arm, names, self._put, lambda name, words: None, self._outputs.measured)
        for camera in self.contract.cameras:
            topic = self.arm.cameras[camera.name].topic
            self.create_subscription(Image, topic, partial(self._on_image, camera.name), qos(1))
        self._leading = self.contract.cameras[-1].name if shape == "callback" else ""
        if shape == "loop":
            threading.Thread(target=self._loop, daemon=True).start()

    def _put(self, name: str, value: np.ndarray, stamp_ns: int) -> None:
        self._newest[name] = (value, stamp_ns)

    def _on_image(self, name: str, message: Image) -> None:
        self._put(name, messages.from_image(message), messages.stamp_ns(message.header.stamp))
        if name == self._leading:
            self._act()

    def _act(self) -> None:
        wanted = [*(c.name for c in self.contract.cameras), *(p.name for p in self.contract.proprio)]
        newest = dict(self._newest)
        if any(name not in newest for name in [*wanted, "eef_pos", "eef_quat"]):
            return
        seen = {name: value for name, (value, _) in newest.items()}
        stamp = min(newest[name][1] for name in wanted)
        observation = {n: seen[n] if seen[n].dtype == np.uint8 else seen[n].astype(np.float32) for n in wanted}
        action = self.contract.clip_action(self.policy.act(observation)[0])
        home = None if self.arm.home_xyzw is None else Reference.of({"eef_quat": np.array(self.arm.home_xyzw)}).rotation
        target = actions.target(self.contract.action.kind, Reference.of(seen, home), action)
        self._outputs.publish(Command(stamp, target))

    def _loop(self) -> None:
        while not self.done.is_set():
            start = time.perf_counter()
            self._act()
            time.sleep(max(0.0, self.contract.period_s - (time.perf_counter() - start)))

    def finish(self) -> None:
        self.done.set()


def main(argv: list[str]) -> int:
    parent = os.getppid()  # first: one that dies later is noticed
    parser = argparse.ArgumentParser(prog="python -m hardware.ros.field_loops", description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--arm", default="sim_panda")
    parser.add_argument("--shape", choices=SHAPES, required=True)
    parser.add_argument("--end-with-parent", action="store_true", help="end when the process that started it is gone")
    args = parser.parse_args(argv)
    node = partial(FieldNode, args.bundle, args.arm, args.shape)
    return runtime.run(node, parent=parent if args.end_with_parent else 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
