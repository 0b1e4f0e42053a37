"""The console command ``pixelarm``: a table of subcommands, each imported only when it is called.

A subcommand is a function ``main(argv: list[str]) -> int`` named by ``module:function``. This file imports none of
them at start, so that ``pixelarm deploy`` works on a robot where nothing that trains is installed.
"""

from __future__ import annotations

import difflib
import errno
import importlib
import importlib.util
import io
import os
import select
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from robot.errors import MissingDependency, PixelarmError, UnknownName
from robot.packages import HiddenPackage, require_ours

LOG_INTERVAL_S = "10"  # between two lines of a progress bar that goes to a file
USAGE_ERROR, INTERRUPTED, BROKEN_PIPE = 2, 130, 141
# What the system refuses for a reason that lies with the user's files; any other OSError is a bug and keeps its
# traceback.
CURABLE = {
    errno.EACCES: "change its permissions, or choose another place",
    errno.EPERM: "change its permissions, or choose another place",
    errno.EROFS: "choose another place",
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "a part of this path is a file",
    errno.EISDIR: "this is a folder, a file is wanted",
    errno.EEXIST: "something else is there already",
    errno.ENOTEMPTY: "something else is there already",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ELOOP: "its links lead to themselves",
    errno.EFBIG: "this file system does not hold such large files",
    errno.EMFILE: "too many files are open (ulimit -n)",
}


@dataclass(frozen=True)
class Command:
    """One subcommand: where it lives, what it does, and the extras it needs beyond the robot side."""

    target: str  # module:function, called with the remaining arguments, returns the exit status
    help: str  # one line
    example: str  # arguments of a call worth trying
    group: str  # heading in `pixelarm --help`
    extras: tuple[str, ...] = ()


START, LEARN, RUN, LOOK = "start here", "learn in simulation", "run on an arm", "look inside"

COMMANDS: dict[str, Command] = {
    "doctor": Command(
        "robot.commands.doctor:main", "what this machine has, and what to do about what is wrong", "", START
    ),
    "demo": Command(
        "policies.demo.pipeline:main",
        "all of the steps below on one task, with a report",
        "--budget smoke",
        START,
        ("train", "ros"),
    ),
    "collect": Command(
        "sim.demonstrations:main", "record demonstrations into a dataset", "--task lift --episodes 10", LEARN, ("sim",)
    ),
    "data": Command(
        "sim.commands.data:main",
        "demonstrations of the kitchen in bulk, drawn when wanted",
        "make kitchen --split no-kettle --out runs/no-kettle",
        LEARN,
        ("sim",),
    ),
    "train": Command(
        "policies.training.train:main", "train a policy", "experiment=ferm task=lift seed=1", LEARN, ("train",)
    ),
    "pretrain": Command(
        "policies.training.skills:pretrain",
        "learn skills from many demonstrations, to be reused",
        "experiment=fist data=runs/no-kettle",
        LEARN,
        ("train",),
    ),
    "adapt": Command(
        "policies.training.skills:adapt",
        "a policy for a new task, of skills and a few demonstrations",
        "skills=RUN demos=runs/no-kettle/target",
        LEARN,
        ("train",),
    ),
    "dagger": Command(
        "policies.training.dagger:main",
        "clone, let a person take over where it gets nowhere, and clone again",
        "demos=runs/demos task=move",
        LEARN,
        ("train",),
    ),
    "eval": Command(
        "policies.evaluation.evaluate:main",
        "success on fixed seeds, with n and interval",
        "BUNDLE --episodes 50",
        LEARN,
        ("train",),
    ),
    "compare": Command(
        "policies.evaluation.compare:main",
        "several runs on the same seeds, paired, and their learning curves",
        "runs/ferm-lift-seed* runs/curl-lift-seed*",
        LEARN,
        ("train",),
    ),
    "leaderboard": Command(
        "policies.bench.leaderboard:main",
        "every recipe on every task, from the same demonstrations, as one table",
        "--tasks reach --recipes bc ferm_pp --seeds 1",
        LEARN,
        ("train",),
    ),
    "diagnose": Command(
        "policies.diagnose.command:main",
        "why a run does not learn: failures sorted, values, sight, log",
        "RUN",
        LEARN,
        ("train",),
    ),
    "reuse": Command(
        "policies.reuse.command:main", "what a FIST policy looks up, step by step, on a page", "RUN", LEARN, ("train",)
    ),
    "export": Command(
        "policies.export.onnx:main",
        "write a policy bundle, checked against torch",
        "RUN --out BUNDLE",
        LEARN,
        ("train",),
    ),
    "report": Command(
        "policies.evaluation.report:main", "write a run's HTML report anew from its files", "RUN", LEARN, ("train",)
    ),
    "deploy": Command(
        "robot.commands.deploy:main", "run a bundle on an arm through ROS 2", "BUNDLE --arm sim_panda", RUN, ("ros",)
    ),
    "replay": Command(
        "robot.commands.replay:main", "play an episode of a dataset on an arm", "runs/demos --episode 0", RUN, ("ros",)
    ),
    "arbiter": Command(
        "robot.commands.arbiter:main", "own an arm's commands, whoever dies", "--arm sim_panda", RUN, ("ros",)
    ),
    "new-arm": Command(
        "robot.commands.new_arm:main",
        "a first draft of an arm profile, from a running driver or a URDF",
        "my_arm --urdf my_arm.urdf --tip tool0 --out my_arm.yaml",
        RUN,
    ),
    "teleop": Command(
        "hardware.commands.teleop:main",
        "drive an arm by hand, from a browser page or a terminal",
        "--task lift --device web",
        RUN,
        ("teleop", "ros"),
    ),
    "latency": Command(
        "robot.commands.latency:main",
        "how fast this machine runs a bundle, stage by stage, without ROS",
        "BUNDLE --seconds 10",
        RUN,
    ),
    "sim-arm": Command(
        "hardware.commands.sim_arm:main",
        "a simulated arm that speaks a real driver's topics",
        "--task lift",
        RUN,
        ("sim", "ros"),
    ),
    "faults": Command(
        "hardware.commands.faults:main",
        "break one thing after another under a running policy",
        "BUNDLE --arm sim_ur5e_forward --out runs/faults",
        RUN,
        ("sim", "ros"),
    ),
    "field": Command(
        "hardware.commands.field:main",
        "the same policy in the shapes in which others run one, side by side",
        "BUNDLE --load 2",
        LOOK,
        ("sim", "ros"),
    ),
    "so101": Command(
        "hardware.commands.so101:main",
        "an SO-101 over its own bus, without ROS: check, read, fold, follow",
        "check --port /dev/ttyACM0",
        RUN,
    ),
    "sim-bus": Command(
        "hardware.commands.sim_bus:main",
        "six emulated servos of an SO-101 behind a port, to rehearse with",
        "--latency-ms 1",
        RUN,
    ),
    "bench": Command(
        "policies.bench.command:main",
        "measurements anyone can repeat: speed against stock, experts, pictures",
        "sim",
        LOOK,
        ("sim",),
    ),
    "kinematics": Command(
        "sim.commands.kinematics:main",
        "an arm's joints as a table, and as rows for the robot's computer",
        "panda --out panda-kinematics.yaml",
        LOOK,
        ("sim",),
    ),
    "dataset": Command("robot.dataset.command:main", "check a dataset and list its episodes", "DATASET", LOOK),
    "bundle": Command("robot.bundle:main", "verify a policy bundle and show what it is", "BUNDLE", LOOK),
}

# verbs that need none of their command's extras
LIGHT = {f"data {verb}": "robot.commands.data:main" for verb in ("recover", "view")}
# Importable names that each extra brings. A missing one of these is for the user to install; any other is a bug.
EXTRAS: dict[str, tuple[str, ...]] = {
    "sim": ("mujoco", "robosuite", "gymnasium", "numba", "mujoco_warp", "warp", "matplotlib"),
    "train": (
        "torch", "torchvision", "lightning", "hydra", "omegaconf", "onnx", "onnxscript", "tensorboard", "safetensors",
        "matplotlib", "av",
    ),
    "ros": (
        "rclpy", "action_msgs", "builtin_interfaces", "diagnostic_msgs", "geometry_msgs", "lifecycle_msgs",
        "rcl_interfaces", "sensor_msgs", "std_msgs", "std_srvs", "trajectory_msgs", "PIL",
    ),
    "teleop": ("aiohttp",),
}  # fmt: skip
NEEDS_3_11 = "train"  # torch; the robot side alone runs on 3.10

WAY = """\
from demonstrations to an arm
    collect ──► dataset ──► train ──► eval ──► export ──► bundle ──► deploy ──► arm
    one contract describes every arrow; it is stored in each file and compared before anything moves"""


def help_text() -> str:
    """What ``pixelarm --help`` prints."""
    lines = [f"pixelarm {_version()}: learn to manipulate from pixels, in simulation, and run it on an arm", "", WAY]
    for group in (START, LEARN, RUN, LOOK):
        lines += ["", group]
        for name, command in COMMANDS.items():
            if command.group == group:
                lines.append(f"    {name:<9} {command.help}")
                lines.append(f"    {'':<9}   pixelarm {name} {command.example}".rstrip())
    lines += ["", "`pixelarm COMMAND --help` explains one command; `pixelarm --version` prints the version."]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the console command; returns the exit status. Errors a user can cure come without a traceback."""
    argv = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without UTF-8 shows "?" for an arrow instead of an error
    if sys.stderr is None or not sys.stderr.isatty():  # nobody watches
        os.environ.setdefault("TQDM_MININTERVAL", LOG_INTERVAL_S)
    try:
        status = _dispatch(argv)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        _complain("interrupted")
        return INTERRUPTED
    except (PixelarmError, HiddenPackage) as error:
        _complain(f"pixelarm: {error}")
        return USAGE_ERROR
    except BrokenPipeError:
        if not _reader_left():
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or the interpreter complains again when it flushes at exit
        return BROKEN_PIPE
    except Exception as error:
        if _interrupted(error):
            _complain("interrupted")
            return INTERRUPTED
        words = _words(error)
        if not words:
            raise
        _complain(f"pixelarm: {words}")
        return USAGE_ERROR


def _dispatch(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(help_text())
        return 0
    if argv[0] in ("-V", "--version"):
        print(f"pixelarm {_version()}")
        return 0
    name, rest = argv[0], argv[1:]
    if name not in COMMANDS:
        error = UnknownName("command", name, COMMANDS)
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        raise PixelarmError(f"{error}; did you mean {near[0]!r}?" if near else str(error))
    try:
        return int(resolve(name, *rest[:1])(rest) or 0)
    except ModuleNotFoundError as error:
        extra = _extra_of(error, COMMANDS[name])
        if extra is None:
            raise
        raise MissingDependency(_how_to_get(name, extra, str(error.name))) from error


def resolve(name: str, verb: str = "") -> Callable[[list[str]], int]:
    """Import and return the function behind the subcommand ``name``, for its first argument."""
    target = LIGHT.get(f"{name} {verb}", COMMANDS[name].target)
    module, _, function = target.partition(":")
    simulates = target == COMMANDS[name].target and {"sim", "train"} & set(COMMANDS[name].extras)
    require_ours("robot", module.partition(".")[0], *(["sim"] if simulates else []))
    return getattr(importlib.import_module(module), function)


def _extra_of(error: ModuleNotFoundError, command: Command) -> str | None:
    """The extra of ``command`` that would bring the missing module, if it is one of an extra's and really absent."""
    missing = (error.name or "").partition(".")[0]
    needed = ["sim", *command.extras] if "train" in command.extras else list(command.extras)
    for extra in needed:
        if missing in EXTRAS[extra] and importlib.util.find_spec(missing) is None:
            # training brings the simulator with it: name the one extra that is enough
            return "train" if extra == "sim" and "train" in command.extras else extra
    return None


def _how_to_get(name: str, extra: str, module: str) -> str:
    text = f"pixelarm {name} needs the extra [{extra}] ({module} is not installed): pip install 'pixelarm[{extra}]'"
    if extra == "ros":
        text += ", or source a ROS 2 Jazzy installation"
    if extra == NEEDS_3_11 and sys.version_info < (3, 11):
        text += f", with Python 3.11 or 3.12 (this is {sys.version_info[0]}.{sys.version_info[1]})"
    return text


def _version() -> str:
    try:
        return version("pixelarm")
    except PackageNotFoundError:
        return "(not installed)"


def _complain(message: str) -> None:
    try:
        print(message, file=sys.stderr, flush=True)
    except OSError:
        pass  # nobody reads stderr; the exit status still tells


def _reader_left() -> bool:
    """Whether a BrokenPipeError is about standard output, rather than a pipe or socket of the program's own."""
    poll = select.poll()
    poll.register(1, select.POLLOUT)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def _interrupted(error: BaseException | None) -> bool:
    """Whether it came of Ctrl-C: while a module written in C++ is imported, that arrives as an ImportError."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__
    return error is not None


def _words(error: Exception) -> str:
    """What a user can do about an error that the system raised; empty for any other, which is a bug."""
    path = (error.filename2 or error.filename) if isinstance(error, OSError) else None
    if _disk_full(error):
        where = f" while writing {path}" if path else ""
        return f"the disk is full{where}; free some space (df -h shows where) and repeat. {error}"
    if isinstance(error, MemoryError):
        return f"not enough memory: {str(error) or 'the system gave no more'}; ask for less, or use a larger machine"
    if isinstance(error, OSError) and error.errno in CURABLE:
        what = f"{path} cannot be used: {error.strerror}" if path else f"a file cannot be used: {error}"
        return f"{what}; {CURABLE[error.errno]}"
    return ""


def _disk_full(error: BaseException) -> bool:
    """Whether ``error``, or what it came from, is a full disk or quota; HDF5 and safetensors say so only in words."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if "No space left on device" in str(seen):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


if __name__ == "__main__":
    sys.exit(main())
