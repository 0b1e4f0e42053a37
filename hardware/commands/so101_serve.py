"""``pixelarm so101 serve``: an SO-101 over its own bus as a driver of ROS 2."""

from __future__ import annotations

import argparse

from hardware.feetech.settings import SIMULATED, Settings
from robot.ros import runtime


def serve(args: argparse.Namespace) -> int:
    """Run until Ctrl-C; the arm holds then."""
    runtime.require_rclpy()
    runtime.settle_discovery(args.network)
    from hardware.ros.so101_node import BusOptions, So101Node

    settings = Settings.load(args.settings or (SIMULATED if args.simulated else None))
    options = BusOptions(
        args.port, args.calibration, settings, args.rate, args.yes, args.simulated, args.timeout_ms / 1e3
    )
    return runtime.run(lambda: So101Node(options))
