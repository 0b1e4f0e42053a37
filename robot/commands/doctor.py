"""``pixelarm doctor``: what this machine has, and one line on what to do about each thing that is wrong.

Whatever could crash or hang (OpenGL, CUDA, DDS) is tried in a process of its own. Nothing heavy is imported here, so
the command works on a robot where only ``robot`` is installed; what is absent there is reported and is not an error.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any

OK, NOTE, WRONG, ABSENT = "ok", "note", "wrong", "absent"
MARKS = {OK: "ok", NOTE: "note", WRONG: "WRONG", ABSENT: "-"}

# The versions of constraints.txt that decide whether things work together (a test holds the two equal).
TESTED: dict[str, dict[str, str]] = {
    "": {"numpy": "1.26.4", "h5py": "3.16.0", "onnxruntime": "1.31.1", "PyYAML": "6.0.3"},
    "sim": {"mujoco": "3.9.0", "robosuite": "1.5.2", "gymnasium": "1.4.0", "numba": "0.68.1"},
    "train": {
        "torch": "2.15.0",
        "torchvision": "0.29.2",
        "lightning": "2.6.6",
        "hydra-core": "1.3.8",
        "onnx": "1.23.2",
    },
}
EXACT = {"mujoco", "robosuite"}  # others are free to be newer
NEEDED_FOR = {"sim": "simulation", "train": "training and export", "ros": "the ROS 2 nodes"}
GL_PACKAGES = "on Debian or Ubuntu: sudo apt-get install libegl1 libgl1 libgles2 libglib2.0-0 libosmesa6"
RAY_CASTER = "the ray-caster draws instead, plain look only and about four times slower"
PROBE_SECONDS = 120  # a cold first import of torch from a slow disk takes most of a minute
CRASHED, HUNG = "crashed", "no answer"  # how a probe's problem begins when its process did not end by itself
ON_CPU = ", on the CPU"
GIB = 1024**3


@dataclass(frozen=True)
class Check:
    """One line of the report."""

    name: str
    state: str  # ok | note (works, worth knowing) | wrong (the main job will not run) | absent (an extra not installed)
    found: str
    todo: str = ""  # what to do about it; empty when there is nothing to do


@dataclass(frozen=True)
class Probe:
    """What a child process found: its JSON, or why there is none."""

    data: dict[str, Any] | None
    problem: str = ""


def probe(code: str, env: Mapping[str, str] | None = None, seconds: float = PROBE_SECONDS) -> Probe:
    """Run Python ``code`` in a child; its last line of output is JSON. A crash or a hang becomes a sentence."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, errors="replace", timeout=seconds,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Probe(None, f"{HUNG} within {seconds:.0f} s")
    except OSError as error:
        return Probe(None, f"could not be started: {error}")
    if done.returncode < 0:
        return Probe(None, f"{CRASHED} (signal {-done.returncode})")
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    if done.returncode == 0 and lines:
        try:
            return Probe(json.loads(lines[-1]))
        except ValueError:
            return Probe(None, f"unexpected output: {lines[-1][:200]}")
    words = [
        line for line in done.stderr.splitlines() if line.strip() and not line.startswith(("Exception ignored", " "))
    ]
    return Probe(None, words[-1].strip()[:300] if words else f"ended with status {done.returncode}")


# ------------------------------------------------------------------ Python and packages
def check_python() -> list[Check]:
    found = f"{platform.python_version()} at {sys.executable}"
    if sys.version_info < (3, 11):
        return [Check("Python", OK, f"{found}; enough for the robot side, training needs 3.11 or 3.12")]
    if sys.version_info >= (3, 13):
        return [Check("Python", NOTE, f"{found}; not tested", "if something fails to install, use Python 3.11 or 3.12")]
    return [Check("Python", OK, found)]


def check_system() -> list[Check]:
    try:
        name = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        name = platform.system()
    found = f"{name}, {platform.system()} {platform.release()}, {platform.machine()}"
    if platform.system() != "Linux":
        return [Check("system", NOTE, found, "only Linux is tested; use a container with Debian or Ubuntu")]
    return [Check("system", OK, found)]


def installed(package: str) -> str:
    """Version of an installed distribution, or an empty string."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def has_extra(extra: str) -> bool:
    """Whether any of an extra's packages is here: then all of them should be, and should work."""
    return any(installed(package) for package in TESTED[extra])


def check_packages(extra: str) -> list[Check]:
    """One line for the base (``extra`` empty) or for an extra: what is there, what differs from the tested versions."""
    name = f"packages [{extra}]" if extra else "packages"
    wanted = TESTED[extra]
    found = {package: installed(package) for package in wanted}
    command = f"pip install 'pixelarm{f'[{extra}]' if extra else ''}' (in a checkout: make setup)"
    if extra and not any(found.values()):
        return [Check(name, ABSENT, f"not installed: needed for {NEEDED_FOR[extra]}", command)]
    missing = [package for package, there in found.items() if not there]
    if missing:
        return [Check(name, WRONG, f"missing: {', '.join(missing)}", command)]
    wrong = [f"{p} {found[p]}, needs {wanted[p]}" for p in wanted if p in EXACT and found[p] != wanted[p]]
    if wrong:
        return [Check(name, WRONG, "; ".join(wrong), command)]
    others = [f"{p} {found[p]} (tested: {wanted[p]})" for p in wanted if found[p] != wanted[p]]
    same = [f"{p} {found[p]}" for p in wanted if found[p] == wanted[p]]
    if others:
        todo = "nothing, unless something misbehaves; constraints.txt has the tested versions"
        return [Check(name, NOTE, ", ".join(others + same), todo)]
    return [Check(name, OK, ", ".join(same))]


# ------------------------------------------------------------------ OpenGL and GPU
RENDER = """
import json
import mujoco
model = mujoco.MjModel.from_xml_string(
    '<mujoco><worldbody><light pos="0 0 2"/><geom type="box" size=".2 .2 .2" rgba="1 0 0 1"/></worldbody></mujoco>')
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
renderer = mujoco.Renderer(model, 64, 64)
renderer.update_scene(data)
image = renderer.render()
from OpenGL import GL
name = GL.glGetString(GL.GL_RENDERER)
print()
print(json.dumps({"device": name.decode() if name else "?", "drawn": bool(image.max() > 0)}), flush=True)
"""


def check_gl() -> list[Check]:
    """Draw a tiny MuJoCo scene with each back end; good if the one that would be used works.

    Without any it is only a note where the simulator's ray-caster takes over: see ``_ray_caster_draws``.
    """
    if not installed("mujoco"):
        return [Check("OpenGL", ABSENT, "not tried: MuJoCo is not installed", "pip install 'pixelarm[sim]'")]
    chosen = os.environ.get("MUJOCO_GL", "").lower()
    backends = list(dict.fromkeys([chosen or "egl", "egl", "osmesa"]))
    with ThreadPoolExecutor(len(backends)) as pool:
        answers = dict(zip(backends, pool.map(lambda name: probe(RENDER, {"MUJOCO_GL": name}), backends)))
    good = {name: answer.data["device"] for name, answer in answers.items() if answer.data and answer.data["drawn"]}
    bad = {name: answer.problem or "the image is black" for name, answer in answers.items() if name not in good}
    works = "; ".join(f"{name}: {device}{ON_CPU if 'llvmpipe' in device else ''}" for name, device in good.items())
    fails = "; ".join(f"{name}: {problem}" for name, problem in bad.items())
    if chosen in bad or not good:
        what = f"MUJOCO_GL={chosen} does not work" if chosen in bad else "OpenGL draws nothing without a screen here"
        todo = f"unset MUJOCO_GL, or set it to {next(iter(good))}" if good else GL_PACKAGES
        if _ray_caster_draws([answers[chosen]] if chosen in bad else list(answers.values())):
            return [Check("OpenGL", NOTE, f"{what}: {RAY_CASTER}; {fails}", f"for speed, {todo}")]
        return [Check("OpenGL", WRONG, f"{what}; {fails}", todo)]
    if not chosen and "egl" in bad:
        todo = f"export MUJOCO_GL={next(iter(good))}, or for EGL, {GL_PACKAGES}"
        return [Check("OpenGL", NOTE, f"{works}; {fails}", todo)]
    return [Check("OpenGL", OK, works)]


def _ray_caster_draws(failures: list[Probe]) -> bool:
    """Whether the simulator goes on without OpenGL: an error makes it choose the ray-caster; a crash ends it all the
    same, and nobody notices a black picture."""
    by_itself = all(f.data is None and not f.problem.startswith((CRASHED, HUNG)) for f in failures)
    return by_itself and bool(installed("mujoco-warp") and installed("warp-lang"))


CUDA = """
import json, torch
there = torch.cuda.is_available()
gpus = []
for i in range(torch.cuda.device_count() if there else 0):
    p = torch.cuda.get_device_properties(i)
    torch.zeros(8, device=f"cuda:{i}").sum().item()
    gpus.append(f"{p.name}, {p.total_memory / 2**30:.0f} GiB")
print(json.dumps({"gpus": gpus, "cuda": torch.version.cuda}))
"""


def check_gpu() -> list[Check]:
    """A GPU is welcome and not needed."""
    driver = shutil.which("nvidia-smi")
    if not installed("torch"):
        return [Check("GPU", ABSENT, "not tried: torch is not installed", "pip install 'pixelarm[train]'")]
    result = probe(CUDA)
    if result.data is None:
        todo = "install the versions of constraints.txt (in a checkout: make setup)"
        return [Check("GPU", WRONG, f"torch does not run: {result.problem}", todo)]
    if result.data["gpus"]:
        return [Check("GPU", OK, "; ".join(result.data["gpus"]) + f"; CUDA {result.data['cuda']}")]
    if driver:
        todo = f"this torch wants CUDA {result.data['cuda']}: update the driver (nvidia-smi shows what it supports)"
        return [Check("GPU", NOTE, "a driver is here, but torch finds no usable GPU; training uses the CPU", todo)]
    return [Check("GPU", OK, "none; training uses the CPU")]


# ------------------------------------------------------------------ ROS
RCLPY = """
import json, os
import rclpy
from rclpy.utilities import get_rmw_implementation_identifier
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from lifecycle_msgs.srv import ChangeState
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_msgs.msg import Bool
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory
PoseStamped(), Image(), Trigger.Request()
print(json.dumps({"rmw": get_rmw_implementation_identifier(), "at": os.path.dirname(rclpy.__file__)}))
"""


def check_rclpy() -> list[Check]:
    """Import rclpy and the message packages the nodes use; nothing is sent."""
    todo = "pip install 'pixelarm[ros]' (x86-64 Linux), or source ROS 2: . /opt/ros/jazzy/setup.bash"
    result = probe(RCLPY)
    if result.data:
        return [Check("rclpy", OK, f"{result.data['rmw']}, {result.data['at']}")]
    if "No module named 'rclpy'" in result.problem and not installed("ros-rclpy"):
        return [Check("rclpy", ABSENT, f"not installed: needed for {NEEDED_FOR['ros']}", todo)]
    return [Check("rclpy", WRONG, result.problem, f"{todo}; do not mix the two in one environment")]


def check_ros_environment(env: Mapping[str, str] | None = None) -> list[Check]:
    """The ROS_* variables that decide who can hear the nodes."""
    env = os.environ if env is None else env
    checks = []
    domain = env.get("ROS_DOMAIN_ID", "")
    if domain and not (domain.isdigit() and int(domain) <= 232):
        checks.append(Check("ROS_DOMAIN_ID", WRONG, repr(domain), "set a whole number from 0 to 101, or unset it"))
    reach = env.get("ROS_AUTOMATIC_DISCOVERY_RANGE", "")
    if reach not in ("", "LOCALHOST", "SUBNET", "OFF", "SYSTEM_DEFAULT"):
        todo = "one of LOCALHOST, SUBNET, OFF, SYSTEM_DEFAULT; unset means LOCALHOST for pixelarm"
        checks.append(Check("ROS discovery", WRONG, f"ROS_AUTOMATIC_DISCOVERY_RANGE={reach}", todo))
    elif reach in ("SUBNET", "SYSTEM_DEFAULT"):
        todo = "if that is not meant: export ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST"
        checks.append(Check("ROS discovery", NOTE, f"{reach}: other machines on the network can command the arm", todo))
    elif reach == "OFF":
        todo = "unset ROS_AUTOMATIC_DISCOVERY_RANGE, or set it to LOCALHOST"
        checks.append(Check("ROS discovery", WRONG, "OFF: the policy node and the arm cannot find each other", todo))
    else:
        checks.append(
            Check("ROS discovery", OK, "LOCALHOST" if reach else "LOCALHOST, which pixelarm sets for its nodes")
        )
    if env.get("ROS_LOCALHOST_ONLY", "0") not in ("", "0"):
        todo = "unset it and use ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST"
        checks.append(Check("ROS_LOCALHOST_ONLY", NOTE, "deprecated, and overrides the discovery range", todo))
    if env.get("ROS_DISTRO", "jazzy") != "jazzy":
        checks.append(Check("ROS_DISTRO", NOTE, env["ROS_DISTRO"], "only ROS 2 Jazzy is tested"))
    for name in ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"):
        if env.get(name) and not os.path.isfile(env[name]):
            checks.append(Check(name, WRONG, f"no such file: {env[name]}", f"correct or unset {name}"))
    return checks


# ------------------------------------------------------------------ the machine
def cpu_count() -> float:
    """Cores this process may use: the affinity, and the quota of its control group."""
    cores = float(len(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else float(os.cpu_count() or 1)
    try:
        with open("/sys/fs/cgroup/cpu.max") as file:
            quota, period = file.read().split()
        return cores if quota == "max" else min(cores, int(quota) / int(period))
    except (OSError, ValueError):
        return cores


def check_cpu() -> list[Check]:
    cores = cpu_count()
    load = os.getloadavg()[0]
    found = f"{cores:g} cores, load {load:.1f}"
    if cores < 2:
        return [
            Check("CPU", NOTE, found, "policy and simulated arm share one core: use two, or expect missed deadlines")
        ]
    if load > 1.5 * cores:
        return [Check("CPU", NOTE, found, "busy: training takes longer and deadlines may be missed; end other work")]
    return [Check("CPU", OK, found)]


def check_disk(path: str = ".") -> list[Check]:
    free = shutil.disk_usage(path).free / GIB
    found = f"{free:.1f} GiB free at {os.path.abspath(path)}"
    if free < 1:
        return [Check("disk", WRONG, found, "free some space: a run of the demo wants 1 GiB")]
    if free < 5:
        return [Check("disk", NOTE, found, "enough for a run of the demo; datasets and several runs want more")]
    return [Check("disk", OK, found)]


def check_shared_memory(path: str = "/dev/shm") -> list[Check]:
    """Fast DDS passes messages between processes through it."""
    todo = "in Docker: docker run --shm-size=1g; elsewhere: sudo mount -o remount,size=1G /dev/shm"
    try:
        usage = shutil.disk_usage(path)
    except OSError as error:
        return [Check("shared memory", NOTE, f"none ({error}): images go over UDP, which is slower", todo)]
    found = f"{usage.free / GIB:.2f} of {usage.total / GIB:.2f} GiB free at {path}"
    if not os.access(path, os.W_OK):
        return [Check("shared memory", WRONG, f"{path} is not writable", f"sudo chmod 1777 {path}")]
    if usage.free < 0.12 * GIB:
        return [Check("shared memory", NOTE, found, todo)]
    return [Check("shared memory", OK, found)]


# ------------------------------------------------------------------ report
def examine() -> list[Check]:
    """Every check, in the order of the report; the slow ones run side by side."""
    parts: list[Callable[[], list[Check]]] = [
        check_python, check_system, *(partial(check_packages, extra) for extra in TESTED),
        check_gl, check_gpu, check_rclpy, check_ros_environment, check_cpu, check_disk, check_shared_memory,
    ]  # fmt: skip
    with ThreadPoolExecutor(len(parts)) as pool:
        return [check for checks in pool.map(lambda part: part(), parts) for check in checks]


def verdict(checks: list[Check]) -> tuple[bool, str]:
    """Whether the main job of this installation can run, and that in a sentence."""
    wrong = [c.name for c in checks if c.state == WRONG]
    if wrong:
        return False, f"to be put right first: {', '.join(wrong)}"
    absent = [c.name for c in checks if c.state == ABSENT]
    if not absent:
        return True, "everything for `pixelarm demo` is here"
    if has_extra("sim") or has_extra("train"):
        return False, f"`pixelarm demo` also needs: {', '.join(absent)}"
    return True, "the robot side is complete; simulation and training are not installed here"


def report(checks: list[Check]) -> str:
    """The checks as text, one line each, with an arrow line wherever there is something to do."""
    lines = []
    for check in checks:
        lines.append(f"{MARKS[check.state]:>5}  {check.name:<17} {check.found}")
        if check.todo:
            lines.append(f"{'':>5}  {'':<17} -> {check.todo}")
    return "\n".join([*lines, "", verdict(checks)[1]])


def main(argv: list[str]) -> int:
    """``pixelarm doctor``; status 0 if the main job of this installation can run, else 1."""
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="pixelarm doctor",
        description="Show what this machine has, and what to do about each thing that is wrong.",
    )
    parser.add_argument("--json", action="store_true", help="print the checks as JSON")
    parser.add_argument(
        "--arm",
        metavar="PROFILE",
        help="look at a running robot instead, before anything moves: streams, names, who commands; it only listens",
    )
    parser.add_argument("--seconds", type=float, default=3.0, help="to listen to the robot (default: %(default)s)")
    args = parser.parse_args(argv)
    if args.arm:
        from robot.commands.arm_look import look_at_arm

        return look_at_arm(args.arm, args.seconds, args.json)
    if sys.stderr.isatty():
        print("looking (some seconds: OpenGL, torch and rclpy are tried for real) ...", file=sys.stderr)
    checks = examine()
    ok, sentence = verdict(checks)
    if args.json:
        print(json.dumps({"ok": ok, "verdict": sentence, "checks": [asdict(c) for c in checks]}, indent=2))
    else:
        print(report(checks))
    return 0 if ok else 1
