"""Everything that learns.

Importing this package, before torch is, asks OpenMP's threads to sleep while they wait. By default they spin, and on
cores that other programs share an update then takes ten times as long, or worse; on idle cores the difference is small.
"""

import os
import runpy
from pathlib import Path

# by its path, because the package robot may be hidden too
_packages = runpy.run_path(str(Path(__file__).resolve().parents[1] / "robot" / "packages.py"))
_packages["require_ours"]("robot", "sim")

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
