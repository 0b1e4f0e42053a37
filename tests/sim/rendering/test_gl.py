"""OpenGL without a screen: chosen before MuJoCo is imported, refused in words where there is none,
and no crash with torch.
"""

import subprocess
import sys

import pytest

from robot.errors import MissingDependency
from sim.rendering import gl


def test_nothing_to_draw_with_says_what_to_install(monkeypatch):
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.setattr(gl.ctypes.util, "find_library", lambda name: None)
    with pytest.raises(MissingDependency, match="no OpenGL library.*apt-get install libegl1"):
        gl.require()


@pytest.mark.parametrize(
    ("present", "chosen"), [({"EGL", "GL", "OSMesa"}, "egl"), ({"OSMesa"}, "osmesa"), ({"EGL"}, "")]
)
def test_egl_is_preferred(monkeypatch, present, chosen):
    monkeypatch.setattr(gl.ctypes.util, "find_library", lambda name: name if name in present else None)
    assert gl._available() == chosen


@pytest.mark.slow
@pytest.mark.parametrize("first", ["import mujoco", "import torch", "import sim", "import robosuite"])
def test_drawing_and_then_optimising_does_not_crash(first):
    """triton's LLVM and Mesa's in one process, whatever was imported first (a segmentation fault without
    sim/rendering/gl.py).
    """
    script = f"""
{first}
from sim.envs.make import make
assert make("lift").reset(seed=0)[0]["agentview"].std() > 5
import torch
parameter = torch.nn.Parameter(torch.zeros(3))
optimizer = torch.optim.Adam([parameter])
parameter.sum().backward()
optimizer.step()
print("fine")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "fine" in done.stdout, done.stderr[-2000:]
