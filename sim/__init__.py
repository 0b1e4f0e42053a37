"""MuJoCo worlds. Importing this package settles the OpenGL back end, because MuJoCo reads it when first imported."""

import runpy
from pathlib import Path

# by its path, because the package robot may be hidden too
_packages = runpy.run_path(str(Path(__file__).resolve().parents[1] / "robot" / "packages.py"))
_packages["require_ours"]("robot")

from sim.rendering import gl  # noqa: E402

gl.prepare()
