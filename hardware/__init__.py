"""Arms and other devices, and their ROS 2 nodes."""

import runpy
from pathlib import Path

# by its path, because the package robot may be hidden too
_packages = runpy.run_path(str(Path(__file__).resolve().parents[1] / "robot" / "packages.py"))
_packages["require_ours"]("robot")
