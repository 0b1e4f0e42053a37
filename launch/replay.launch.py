"""Play an episode of a dataset: ``ros2 launch pixelarm replay.launch.py dataset:=DIR episode:=0 arm:=sim_panda``.

The episode goes through the arbiter, with the arm's driver running; with ``task:=lift`` the simulated arm is started
too, at the scene ``seed:=``. When the episode, the arbiter or the simulated arm ends, the launch ends.
"""

import sys
from pathlib import Path

from launch.actions import DeclareLaunchArgument, SetEnvironmentVariable, Shutdown
from launch.conditions import IfCondition, UnlessCondition
from launch.substitutions import EnvironmentVariable, LaunchConfiguration, NotEqualsSubstitution
from launch_ros.actions import Node

from launch import LaunchDescription

YES_NO = ["true", "false"]
RANGE = "ROS_AUTOMATIC_DISCOVERY_RANGE"
# shared memory for large images, of Fast DDS; the first name up to Jazzy, the second later
FAST_DDS_FILE = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
FAST_DDS = str(Path(__file__).parent / "fastdds.xml")

ARGUMENTS = [
    DeclareLaunchArgument("dataset", description="folder of episodes, as of pixelarm collect or pixelarm teleop"),
    DeclareLaunchArgument("episode", default_value="0", description="which one, from 0; -1: the last"),
    DeclareLaunchArgument(
        "arm", default_value="sim_panda", description="arm profile: a name among hardware/arms, or a file"
    ),
    DeclareLaunchArgument(
        "arbiter",
        default_value="own",
        choices=["own", "running"],
        description="own: start the process that alone commands the arm; running: use the one that runs",
    ),
    DeclareLaunchArgument("task", default_value="", description="scene of a simulated arm to start; empty: none"),
    DeclareLaunchArgument(
        "seed", default_value="0", description="of that scene; an episode's provenance holds its own"
    ),
    DeclareLaunchArgument(
        "image_size", default_value="64", description="height and width of that arm's cameras, as the dataset has them"
    ),
    DeclareLaunchArgument("stats", default_value="", description="JSON file for counters and latencies; empty: none"),
    DeclareLaunchArgument("namespace", default_value="", description="ROS namespace of the arm's topics"),
    DeclareLaunchArgument(
        "python", default_value=sys.executable, description="interpreter that has pixelarm installed"
    ),
    DeclareLaunchArgument(
        "network",
        default_value="false",
        choices=YES_NO,
        description="true: discover other machines; false: this one only",
    ),
]
OPTIONS = ("episode", "arm", "arbiter", "stats")
SIMULATED = ("task", "arm", "seed", "image_size")


def options(names: tuple[str, ...]) -> list:
    return [part for name in names for part in (f"--{name.replace('_', '-')}", LaunchConfiguration(name))]


def generate_launch_description() -> LaunchDescription:
    network = LaunchConfiguration("network")
    arm = Node(
        executable=LaunchConfiguration("python"),
        arguments=["-m", "hardware.commands.sim_arm", *options(SIMULATED)],
        name="sim_arm",
        namespace=LaunchConfiguration("namespace"),
        output="screen",
        emulate_tty=True,
        on_exit=Shutdown(reason="the simulated arm ended"),
        condition=IfCondition(NotEqualsSubstitution(LaunchConfiguration("task"), "")),
    )
    replay = Node(
        executable=LaunchConfiguration("python"),
        arguments=["-m", "robot.commands.replay", LaunchConfiguration("dataset"), *options(OPTIONS)],
        namespace=LaunchConfiguration("namespace"),
        output="screen",
        emulate_tty=True,
        on_exit=Shutdown(reason="the episode has ended"),
    )
    return LaunchDescription(
        [
            *ARGUMENTS,
            SetEnvironmentVariable(RANGE, "SUBNET", condition=IfCondition(network)),
            SetEnvironmentVariable(
                RANGE, EnvironmentVariable(RANGE, default_value="LOCALHOST"), condition=UnlessCondition(network)
            ),
            *[
                SetEnvironmentVariable(name, EnvironmentVariable(name, default_value=FAST_DDS))
                for name in FAST_DDS_FILE
            ],
            arm,
            replay,
        ]
    )
