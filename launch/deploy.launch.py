"""Run a policy bundle on an arm: ``ros2 launch pixelarm deploy.launch.py bundle:=DIR arm:=sim_panda``.

Nodes are started as ``python -m robot.ros.policy_node``, so one file serves those who installed with pip and those
who built the ROS package with colcon; ``python:=`` names the interpreter that has pixelarm installed. Two nodes: the
arbiter alone commands the arm, and holds it if the policy dies. Nothing here restarts a node that commands an arm: when
one ends, the launch ends.
"""

import sys
from pathlib import Path

from launch.actions import DeclareLaunchArgument, SetEnvironmentVariable, Shutdown
from launch.conditions import IfCondition, UnlessCondition
from launch.substitutions import EnvironmentVariable, LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from launch import LaunchDescription

YES_NO = ["true", "false"]
ASK_PROFILE = ["profile", "true", "false"]
RANGE = "ROS_AUTOMATIC_DISCOVERY_RANGE"
# shared memory for large images, of Fast DDS; the first name up to Jazzy, the second later
FAST_DDS_FILE = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
FAST_DDS = str(Path(__file__).parent / "fastdds.xml")

ARGUMENTS = [
    DeclareLaunchArgument("bundle", description="folder of the policy bundle, as written by pixelarm export"),
    DeclareLaunchArgument(
        "arm", default_value="sim_panda", description="arm profile: a name among hardware/arms, or a file"
    ),
    DeclareLaunchArgument(
        "arbiter",
        default_value="true",
        choices=YES_NO,
        description="true: start the process that alone commands the arm, and holds it if the policy dies; false: the "
        "policy publishes to the driver itself",
    ),
    DeclareLaunchArgument(
        "command",
        default_value="policy",
        choices=["nobody", "policy", "teleop"],
        description="with an arbiter: who gets command once the arm is heard; nobody: a service of it gives command",
    ),
    DeclareLaunchArgument(
        "dry_run",
        default_value="profile",
        choices=ASK_PROFILE,
        description="true: command nothing, publish on ~/preview",
    ),
    DeclareLaunchArgument(
        "require_enable",
        default_value="profile",
        choices=ASK_PROFILE,
        description="true: move only while a button is held",
    ),
    DeclareLaunchArgument(
        "speed_scale", default_value="0.0", description="shortens every motion, in (0, 1]; 0.0: as the profile says"
    ),
    DeclareLaunchArgument(
        "max_age_ms", default_value="0.0", description="oldest observation used; 0.0: as the contract says"
    ),
    DeclareLaunchArgument(
        "deadline_ms", default_value="0.0", description="from observation to command; 0.0: as the contract says"
    ),
    DeclareLaunchArgument(
        "inference_python", default_value="", description="run the network in a process of this interpreter; empty: not"
    ),
    DeclareLaunchArgument(
        "provider",
        default_value="cpu",
        choices=["auto", "cpu", "cuda", "tensorrt"],
        description="what runs the network, of ONNX Runtime",
    ),
    DeclareLaunchArgument(
        "allow_slow", default_value="false", choices=YES_NO, description="activate even when inference is too slow"
    ),
    DeclareLaunchArgument(
        "autostart",
        default_value="true",
        choices=YES_NO,
        description="configure and activate; false: ros2 lifecycle does",
    ),
    DeclareLaunchArgument("stats", default_value="", description="file for counters and latencies, written at the end"),
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


def setting(argument: str, kind: type) -> ParameterValue:
    return ParameterValue(LaunchConfiguration(argument), value_type=kind)


def generate_launch_description() -> LaunchDescription:
    network = LaunchConfiguration("network")
    policy = Node(
        executable=LaunchConfiguration("python"),
        arguments=["-m", "robot.ros.policy_node"],
        name="policy",
        namespace=LaunchConfiguration("namespace"),
        parameters=[
            {
                "bundle": setting("bundle", str),
                "profile": setting("arm", str),
                "arbiter": setting("arbiter", bool),
                "dry_run": setting("dry_run", str),
                "require_enable": setting("require_enable", str),
                "speed_scale": setting("speed_scale", float),
                "max_age_ms": setting("max_age_ms", float),
                "deadline_ms": setting("deadline_ms", float),
                "inference_python": setting("inference_python", str),
                "provider": setting("provider", str),
                "allow_slow": setting("allow_slow", bool),
                "autostart": setting("autostart", bool),
                "stats_path": setting("stats", str),
            }
        ],
        output="screen",
        emulate_tty=True,
        on_exit=Shutdown(reason="the policy node ended"),
    )
    arbiter = Node(
        executable=LaunchConfiguration("python"),
        arguments=["-m", "robot.ros.arbiter_node"],
        name="arbiter",
        namespace=LaunchConfiguration("namespace"),
        parameters=[
            {
                "profile": setting("arm", str),
                "bundle": setting("bundle", str),
                "command": setting("command", str),
                "dry_run": setting("dry_run", str),
                "require_enable": setting("require_enable", str),
                "speed_scale": setting("speed_scale", float),
            }
        ],
        output="screen",
        emulate_tty=True,
        on_exit=Shutdown(reason="the arbiter ended"),
        condition=IfCondition(LaunchConfiguration("arbiter")),
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
            arbiter,
            policy,
        ]
    )
