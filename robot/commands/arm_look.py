"""``pixelarm doctor --arm``: a running robot against its profile, before anything moves."""

from __future__ import annotations

import json
from dataclasses import asdict

from robot import profile
from robot.profile import ArmProfile
from robot.ros import runtime

MARKS = {"ok": "ok", "note": "note", "wrong": "WRONG"}


def look_at_arm(name: str, seconds: float, as_json: bool) -> int:
    """Compare a running robot with a profile; status 1 if something is wrong."""
    arm = ArmProfile.load(profile.find(name, profile.shipped()))
    runtime.require_rclpy()
    runtime.settle_discovery()
    import rclpy
    from rclpy.node import Node

    from robot.ros.arm_check import WRONG, ArmCheck

    rclpy.init()
    node = Node("doctor")
    try:
        look = ArmCheck(node, arm)
        look.listen(seconds)
        found = look.findings()
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    wrong = [finding.what for finding in found if finding.state == WRONG]
    if as_json:
        print(json.dumps({"ok": not wrong, "arm": arm.name, "findings": [asdict(f) for f in found]}, indent=2))
    else:
        width = max(len(finding.what) for finding in found)
        for finding in found:
            print(f"{MARKS[finding.state]:>5}  {finding.what:<{width}}  {finding.found}")
            if finding.todo:
                print(f"{'':>5}  {'':<{width}}  -> {finding.todo}")
        print(f"\n{'to be put right first: ' + ', '.join(wrong) if wrong else 'nothing speaks against a first motion'}")
    return 1 if wrong else 0
