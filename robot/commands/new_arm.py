"""``pixelarm new-arm``: a first draft of an arm profile from a running driver, a URDF, or both."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import yaml

from robot.errors import PixelarmError
from robot.files import write_text
from robot.kinematics.chain import Chain
from robot.kinematics.urdf import UrdfJoint, chain_between, read_joints
from robot.profile import ArmProfile
from robot.profile.draft import STEPS, Found, draft


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="pixelarm new-arm",
        description="Look at a running driver (topics, joint states, cameras, robot_description) and at a URDF, and "
        "write a profile with what was found, what could not be known, and the checks before the first motion. It "
        "only listens.",
        epilog="example: pixelarm new-arm my_arm --tip tool0 --out my_arm.yaml; without ROS: pixelarm new-arm my_arm "
        "--urdf my_arm.urdf --base base_link --tip tool0 --out my_arm.yaml",
    )
    add = made.add_argument
    add("name", help="of the profile")
    add("--out", type=Path, required=True, help="file to write; the kinematics go beside it")
    add("--urdf", type=Path, help="URDF with the arm (default: what the driver says on robot_description)")
    add("--base", default="base_link", help="link of the arm's base (default: %(default)s)")
    add("--tip", help="link at the point between the finger tips; without it no kinematics are written")
    add("--seconds", type=float, default=3.0, help="to listen to the driver; 0: do not (default: %(default)s)")
    add("--overwrite", action="store_true", help="replace files that exist")
    return made


def main(argv: list[str]) -> int:
    args = parser().parse_args(argv)
    rows = args.out.with_name(f"{args.out.stem}-kinematics.yaml")
    for path in (args.out, rows):
        if path.exists() and not args.overwrite:
            raise PixelarmError(f"{path} exists; choose another --out, or add --overwrite")
    found = _listen(args.seconds) if args.seconds > 0 else Found()
    text, where = _urdf(args.urdf, found)
    chain: Chain | None = None
    turning: list[UrdfJoint] = []
    if text and args.tip:
        chain, turning = chain_between(read_joints(text, where), args.base, args.tip)
        head = f"# Kinematics of {args.name} from {where}, {args.base} to {args.tip}, written by `pixelarm new-arm`.\n"
        write_text(rows, head + yaml.safe_dump(chain.to_rows(), sort_keys=False))
    if chain is None and not found.joints:
        raise PixelarmError(
            "nothing was found: no joint states were heard, and there is no URDF with a --tip. Start the driver, or "
            "give --urdf, --base and --tip"
        )
    write_text(args.out, draft(args.name, found, chain, turning, args.base, rows.name if chain else None))
    ArmProfile.load(args.out)
    unknown = args.out.read_text().count("# ?")
    print(f"wrote {args.out}" + (f" and {rows}" if chain else "") + f"; {unknown} lines could not be known. Now:")
    for i, step in enumerate(STEPS, 1):
        print(f"  {i}. {step.replace('FILE', str(args.out))}")
    return 0


def _urdf(path: Path | None, found: Found) -> tuple[str, str]:
    if path is None:
        return found.urdf, "robot_description"
    try:
        return path.read_text(), str(path)
    except (OSError, UnicodeDecodeError) as error:
        raise PixelarmError(f"cannot read the URDF {path}: {error}") from error


def _listen(seconds: float) -> Found:
    from robot.ros import runtime

    runtime.require_rclpy()
    runtime.settle_discovery()
    import rclpy
    from rclpy.node import Node

    from robot.ros.graph import look

    rclpy.init()
    node = Node("new_arm")
    try:
        return look(node, seconds)
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
