"""The ROS 2 package ``pixelarm``: launch files and the nodes as executables; their code comes from pip.

There is no pyproject.toml here on purpose: one with requires-python beside a package.xml breaks colcon.
"""

from setuptools import setup

setup(
    name="pixelarm",
    version="0.1.0",
    packages=[],
    py_modules=[],
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/pixelarm"]),
        ("share/pixelarm", ["package.xml"]),
        (
            "share/pixelarm/launch",
            ["deploy.launch.py", "replay.launch.py", "sim.launch.py", "teleop.launch.py", "fastdds.xml"],
        ),
    ],
    zip_safe=True,
    maintainer="pixelarm maintainers",
    maintainer_email="maintainers@pixelarm.dev",
    description="Launch files of pixelarm",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            "arbiter_node = robot.ros.arbiter_node:main",
            "policy_node = robot.ros.policy_node:main",
            "replay_node = robot.commands.replay:main",
            "sim_arm_node = hardware.commands.sim_arm:main",
            "teleop_node = hardware.commands.teleop:main",
        ]
    },
)
