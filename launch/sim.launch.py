"""A simulated arm, and a policy on it if a bundle is given: ``ros2 launch pixelarm sim.launch.py bundle:=DIR``.

The arm speaks the topics of a real driver in wall-clock time; ``deploy.launch.py`` runs on it as it would on hardware.
"""

import sys
from pathlib import Path

from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, SetEnvironmentVariable, Shutdown
from launch.conditions import IfCondition, UnlessCondition
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import EnvironmentVariable, LaunchConfiguration, NotEqualsSubstitution
from launch_ros.actions import Node

from launch import LaunchDescription

YES_NO = ["true", "false"]
RANGE = "ROS_AUTOMATIC_DISCOVERY_RANGE"
# shared memory for large images, of Fast DDS; the first name up to Jazzy, the second later
FAST_DDS_FILE = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
FAST_DDS = str(Path(__file__).parent / "fastdds.xml")

ARGUMENTS = [
    DeclareLaunchArgument(
        "bundle", default_value="", description="policy bundle to run on the arm; empty: only the arm"
    ),
    DeclareLaunchArgument("task", default_value="lift", description="which scene"),
    DeclareLaunchArgument("arm", default_value="sim_panda", description="arm profile with the topic names"),
    DeclareLaunchArgument(
        "image_size", default_value="64", description="of every camera, as the policy was trained with"
    ),
    DeclareLaunchArgument(
        "observe", default_value="", description="states: of the kitchen, for a policy without cameras; empty: pictures"
    ),
    DeclareLaunchArgument("seed", default_value="0", description="first scene; the service reset goes to the next"),
    DeclareLaunchArgument("episodes", default_value="0", description="run this many episodes and end; 0: until Ctrl-C"),
    DeclareLaunchArgument("seed_start", default_value="0", description="episode i uses seed seed_start + i"),
    DeclareLaunchArgument("results", default_value="", description="JSON file for the episodes' outcomes"),
    DeclareLaunchArgument("video_dir", default_value="", description="folder for an mp4 of every episode"),
    DeclareLaunchArgument("stats", default_value="", description="JSON file for the policy's counters and latencies"),
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
OPTIONS = ("task", "arm", "image_size", "observe", "seed", "episodes", "seed_start", "results", "video_dir")
PASSED_ON = ("bundle", "arm", "stats", "namespace", "python", "network")


def generate_launch_description() -> LaunchDescription:
    network = LaunchConfiguration("network")
    options = [part for name in OPTIONS for part in (f"--{name.replace('_', '-')}", LaunchConfiguration(name))]
    arm = Node(
        executable=LaunchConfiguration("python"),
        arguments=["-m", "hardware.commands.sim_arm", *options],
        name="sim_arm",
        namespace=LaunchConfiguration("namespace"),
        output="screen",
        emulate_tty=True,
        on_exit=Shutdown(reason="the simulated arm ended"),
    )
    policy = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(Path(__file__).parent / "deploy.launch.py")),
        launch_arguments=[(name, LaunchConfiguration(name)) for name in PASSED_ON],
        condition=IfCondition(NotEqualsSubstitution(LaunchConfiguration("bundle"), "")),
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
            policy,
        ]
    )
