"""``pixelarm sim-arm``: the simulated arm as a ROS 2 node, in wall-clock time."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from hardware.feetech.emulated.bus import require_free
from hardware.simulated.arm import FASTEST_CAMERA, Options
from robot import profile
from robot.errors import PixelarmError
from robot.files import require_file, require_folder
from robot.profile import ArmProfile
from robot.ros import runtime, shared_memory


def _path(text: str) -> Path | None:
    """A path; an empty text (what a launch file passes for "not given") is none."""
    return Path(text) if text else None


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="pixelarm sim-arm",
        description="A simulated arm in wall-clock time that speaks the topics of a driver: images, joint states and "
        "the end-effector pose out, targets of the task's kind of action and gripper targets in. Ctrl-C ends it.",
        epilog="example: pixelarm sim-arm --task lift --episodes 20 --seed-start 10000 --results runs/mine/ros.json",
    )
    add = made.add_argument
    add("--task", default="lift", help="which scene (default: %(default)s)")
    add("--arm", default="sim_panda", help="arm profile with the topic names: a name or a file (default: %(default)s)")
    add(
        "--image-size",
        type=int,
        default=64,
        metavar="N",
        help="height and width of every camera in pixels, as the policy was trained with (default: %(default)s)",
    )
    add(
        "--observe",
        default="",
        metavar="WHAT",
        help="states: the arm says where its scene's objects are and sends no pictures, for a policy that was trained "
        "with task.observe=states; of the kitchen's tasks (default: pictures)",
    )
    add(
        "--camera-noise",
        type=int,
        default=0,
        metavar="N",
        help="pictures differ by up to N of 255 from what is drawn, as a sensor's do (default: %(default)s)",
    )
    add(
        "--camera-fps",
        type=float,
        default=0.0,
        metavar="HZ",
        help="pictures a second of each camera; 10 ms times a whole number lie between two (default: as the task)",
    )
    add("--seed", type=int, default=0, help="first scene; the service ~/reset goes to the next (default: %(default)s)")
    add("--episodes", type=int, default=0, metavar="N", help="run N episodes and exit; 0: until Ctrl-C (default)")
    add("--seed-start", type=int, default=0, metavar="S", help="episode i uses seed S + i (default: %(default)s)")
    add("--results", type=_path, metavar="FILE", help="JSON of the episodes: success once and at the end, steps, seed")
    add("--video-dir", type=_path, metavar="DIR", help="an mp4 of every episode, encoded when all are done")
    add(
        "--command-timeout",
        type=float,
        default=0.5,
        metavar="S",
        help="older commands are ignored (default: %(default)s s)",
    )
    add("--bus", type=_path, metavar="LINK", help="an SO-101 behind an emulated bus: a link to its port is made there")
    add("--bus-calibration", type=_path, metavar="FILE", help="write the calibration of its servos there")
    add("--end-with-parent", action="store_true", help="end when the process that started it is gone")
    add("--network", action="store_true", help="let other machines discover the arm; without it ROS stays on this one")
    return made


def _require_together(args: argparse.Namespace) -> None:
    """Refuse options that another one would give a meaning to. Empty ones, and a seed of 0, come from launch files."""
    if args.bus_calibration and not args.bus:
        raise PixelarmError("--bus-calibration is the calibration of the servos behind --bus: give --bus LINK too")
    if args.observe and (args.image_size != parser().get_default("image_size") or args.camera_noise or args.camera_fps):
        raise PixelarmError(f"--observe {args.observe} sends no pictures: leave the options of pictures out")
    for name in ("results", "video_dir", "seed_start"):
        if getattr(args, name) and not args.episodes:
            raise PixelarmError(f"--{name.replace('_', '-')} is for episodes: give --episodes N too, or leave it out")


def main(argv: list[str] | None = None) -> int:
    """``pixelarm sim-arm``, and ``python -m hardware.commands.sim_arm`` as the launch files start it."""
    parent = os.getppid()  # now: it may be gone before everything is imported
    own, ros_args = runtime.split_ros_args(sys.argv[1:] if argv is None else argv)
    args = parser().parse_args(own)
    if args.episodes < 0 or not args.command_timeout > 0:
        raise PixelarmError("--episodes must not be negative and --command-timeout must be positive")
    from sim.envs.config import LARGEST_IMAGE

    if not 1 <= args.image_size <= LARGEST_IMAGE:
        raise PixelarmError(f"--image-size must be 1 to {LARGEST_IMAGE}, got {args.image_size}")
    if not 0 <= args.camera_noise <= 100:
        raise PixelarmError(f"--camera-noise must be 0 to 100, got {args.camera_noise}")
    if args.camera_fps and not 1 <= args.camera_fps <= FASTEST_CAMERA:
        raise PixelarmError(
            f"--camera-fps must be 1 to {FASTEST_CAMERA:g}, or 0 for the task's, got {args.camera_fps:g}"
        )
    if min(args.seed, args.seed_start) < 0:
        raise PixelarmError(f"--seed and --seed-start must be at least 0, got {args.seed} and {args.seed_start}")
    _require_together(args)
    if args.bus:
        require_free(args.bus)
    if args.results:
        require_file(args.results)
    if args.video_dir:
        require_folder(args.video_dir)
    shared_memory.settle(ArmProfile.load(profile.find(args.arm, profile.shipped())).cameras.values())
    runtime.require_rclpy()
    runtime.settle_discovery(args.network)
    options = Options(
        task=args.task,
        arm=args.arm,
        seed=args.seed,
        episodes=args.episodes,
        seed_start=args.seed_start,
        results=args.results,
        video_dir=args.video_dir,
        command_timeout_s=args.command_timeout,
        image_size=args.image_size,
        observe=args.observe,
        camera_noise=args.camera_noise,
        camera_fps=args.camera_fps,
        bus=args.bus,
        bus_calibration=args.bus_calibration,
        parent=parent if args.end_with_parent else 0,
    )
    from hardware.ros import sim_arm_node  # needs rclpy, which --help does not

    return sim_arm_node.run(options, ros_args)


if __name__ == "__main__":
    sys.exit(main())
