"""Drive an arm by hand: ``ros2 launch pixelarm teleop.launch.py arm:=sim_panda``, with the arm's driver running.

The device and the arbiter; with ``task:=lift`` the simulated arm too. ``device:=web`` prints the address of a page. The
keyboard of a terminal is no device here, since a launch has none: `pixelarm teleop --device keyboard`. When the arbiter
or the device ends, the launch ends.
"""

import sys
from pathlib import Path

from launch.actions import DeclareLaunchArgument, SetEnvironmentVariable, Shutdown
from launch.conditions import IfCondition, UnlessCondition
from launch.substitutions import EnvironmentVariable, LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchDescription

YES_NO = ["true", "false"]
RANGE = "ROS_AUTOMATIC_DISCOVERY_RANGE"
# shared memory for large images, of Fast DDS; the first name up to Jazzy, the second later
FAST_DDS_FILE = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
FAST_DDS = str(Path(__file__).parent / "fastdds.xml")

ARGUMENTS = [
    DeclareLaunchArgument(
        "arm", default_value="sim_panda", description="arm profile: a name among hardware/arms, or a file"
    ),
    DeclareLaunchArgument(
        "device",
        default_value="web",
        choices=["web", "gamepad", "spacemouse", "replay"],
        description="web: a page; gamepad, spacemouse: plugged in here; replay: inputs of a file",
    ),
    DeclareLaunchArgument("task", default_value="", description="scene of a simulated arm to start; empty: none"),
    DeclareLaunchArgument(
        "arbiter",
        default_value="own",
        choices=["own", "running"],
        description="own: start the process that alone commands the arm; running: use the one of deploy.launch.py",
    ),
    DeclareLaunchArgument("speed", default_value="0.15", description="m/s at full scale, within the profile's limits"),
    DeclareLaunchArgument("turn_speed", default_value="0.6", description="rad/s, likewise"),
    DeclareLaunchArgument("port", default_value="", description="of the page, on this machine; empty: 8770"),
    DeclareLaunchArgument("input", default_value="", description="file of the gamepad or spacemouse; empty: the first"),
    DeclareLaunchArgument("record", default_value="", description="folder to keep episodes in; empty: none are kept"),
    DeclareLaunchArgument(
        "policy_too",
        default_value="false",
        choices=YES_NO,
        description="true: the episodes hold what a policy does, too, and say of each step who acted",
    ),
    DeclareLaunchArgument("contract", default_value="", description="of what is recorded, of an arm that says none"),
    DeclareLaunchArgument("log", default_value="", description="file for the inputs, to be played again"),
    DeclareLaunchArgument("replay", default_value="", description="inputs to play, for device:=replay"),
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
OPTIONS = (
    "arm", "device", "task", "arbiter", "speed", "turn_speed", "port", "input", "record", "policy_too", "contract",
    "log", "replay",
)  # fmt: skip


def generate_launch_description() -> LaunchDescription:
    network = LaunchConfiguration("network")
    options = [part for name in OPTIONS for part in (f"--{name.replace('_', '-')}", LaunchConfiguration(name))]
    teleop = Node(
        executable=LaunchConfiguration("python"),
        arguments=["-m", "hardware.commands.teleop", *options],
        namespace=LaunchConfiguration("namespace"),
        output="screen",
        emulate_tty=True,
        on_exit=Shutdown(reason="teleoperation ended"),
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
            teleop,
        ]
    )
