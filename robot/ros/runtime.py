"""What every pixelarm node needs around it: rclpy or a clear error, loopback by default, and an orderly end.

A node runs in a ``SingleThreadedExecutor`` in a thread of its own (the multi-threaded one has far worse tails), while
the main thread waits for SIGINT or SIGTERM, or for the node to say that it is done.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from robot.errors import MissingDependency, PixelarmError
from robot.files import write_results, write_text

if TYPE_CHECKING:
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.node import Node
    from rclpy.qos import QoSProfile

NICE = -10  # of a process that must not wait for others: before all that is normal, and behind the system's own
GROUPED = Path("/proc/sys/kernel/sched_autogroup_enabled")
SESSION = Path("/proc/self/autogroup")  # "/autogroup-7 nice 0", of this process's session
RANGE, OLD_RANGE = "ROS_AUTOMATIC_DISCOVERY_RANGE", "ROS_LOCALHOST_ONLY"


class Runnable(Protocol):
    """A node that ``run`` can end; any thread sets ``done`` when it wants to stop."""

    done: threading.Event
    exit_code: int

    def finish(self) -> None:
        """Stop threads and write files; called once, before the node is destroyed."""


def require_rclpy() -> None:
    """Raise MissingDependency, saying what to do, if rclpy cannot be imported."""
    try:
        import rclpy  # noqa: F401
    except ImportError as error:
        raise MissingDependency(
            f"this command needs ROS 2 for Python, and `import rclpy` says: {error}. On a robot: source "
            "/opt/ros/jazzy/setup.bash and use the system's Python; elsewhere: pip install 'pixelarm[ros]'"
        ) from error


def settle_discovery(network: bool = False) -> None:
    """Keep ROS traffic on this machine unless the user asked otherwise (``--network``, or a variable of their own)."""
    if network:
        os.environ.pop(OLD_RANGE, None)
        os.environ[RANGE] = "SUBNET"
    elif not os.environ.get(RANGE) and not os.environ.get(OLD_RANGE):
        os.environ[RANGE] = "LOCALHOST"


def go_first() -> None:
    """Let this thread, and those that it starts from now on, go before others that want the same core, where the system
    allows it: as root, or within the user's limit ``nice``.

    Linux shares cores between sessions first where it groups processes by session (autogroup, the default of most
    desktops: man 7 sched), and nice then counts within one session only. There the session of this process, such as the
    terminal that it was started in, goes before other sessions.
    """
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, min(NICE, os.getpriority(os.PRIO_PROCESS, 0)))
    if _session_nice() > NICE:
        with suppress(OSError):
            SESSION.write_text(str(NICE))


def goes_first() -> bool:
    return os.getpriority(os.PRIO_PROCESS, 0) <= NICE and _session_nice() <= NICE


def _session_nice() -> int:
    """The nice value of this process's session; ``NICE`` where the system does not group by session."""
    try:
        grouped = GROUPED.read_text().strip() == "1"
        return int(SESSION.read_text().split()[-1]) if grouped else NICE
    except (OSError, ValueError, IndexError):
        return NICE


def where() -> str:
    """Where this process's topics are heard, in words."""
    scope = os.environ.get(RANGE) or ("LOCALHOST" if os.environ.get(OLD_RANGE) == "1" else "")
    words = "this machine only" if scope == "LOCALHOST" else f"discovery range {scope or 'SUBNET'}"
    return f"ROS_DOMAIN_ID {os.environ.get('ROS_DOMAIN_ID') or 0}, {words}"


def qos(depth: int, reliable: bool = False, latched: bool = False) -> QoSProfile:
    """Keeps the ``depth`` newest; ``latched`` (transient local) also hears what was said before."""
    from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


def message_type(name: str) -> Any:
    """The class of a message such as ``std_msgs/msg/Bool``; raises MissingDependency if this ROS has none."""
    package, _, kind = name.split("/")
    try:
        return getattr(importlib.import_module(f"{package}.msg"), kind)
    except (ImportError, AttributeError) as error:
        raise MissingDependency(
            f"there is no message {name} here ({error}): install the ROS package {package} of the driver, and source it"
        ) from error


def choice(node: Node, name: str, default: bool) -> bool:
    """A parameter that is true, false, or ``profile`` for ``default``."""
    words = str(node.get_parameter(name).value).lower()
    if words not in ("profile", "true", "false"):
        raise PixelarmError(f"the parameter {name!r} must be true, false or profile, got {words!r}")
    return default if words == "profile" else words == "true"


def write_stats(node: Any, path: str, found: Mapping[str, Any]) -> None:
    """Write a node's statistics at its end, if a path is given. What cannot be written, on a full disk say, is said in
    the log and makes the exit code 2: the arm was brought to rest before, and the rest of the end goes on."""
    if not path:
        return
    text = json.dumps(found) + "\n"
    try:
        write_results({Path(path): lambda: write_text(Path(path), text)})
    except PixelarmError as error:
        node.get_logger().error(f"the statistics are lost: {error}")
        node.exit_code = node.exit_code or 2


def split_ros_args(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Our own arguments and the ``--ros-args ... [--]`` part that ``ros2 launch`` appends."""
    own, ros, inside = [], [], False
    for argument in argv:
        if argument == "--ros-args":
            inside = True
        if inside:
            ros.append(argument)
            inside = argument != "--"
        else:
            own.append(argument)
    return own, ros


def run(make_node: Callable[[], Any], ros_args: Sequence[str] = (), parent: int = 0) -> int:
    """Make a node (a ``Runnable``), spin it until it is done or a signal arrives, and end it; returns its exit code.

    It ends in the same order once the process ``parent`` is not the one above it any more; 0: whoever that is.
    """
    require_rclpy()
    settle_discovery()
    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.signals import SignalHandlerOptions

    stop = threading.Event()
    previous = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    node: Any = None
    try:
        rclpy.init(args=list(ros_args), signal_handler_options=SignalHandlerOptions.NO)
        node = make_node()
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        thread = threading.Thread(target=_spin, args=(executor, stop), name="ros", daemon=True)
        thread.start()
        while not stop.is_set() and not node.done.is_set() and (not parent or os.getppid() == parent):
            stop.wait(0.05)
        executor.shutdown(timeout_sec=1.0)  # first, so that no callback meets a finished node
        thread.join(timeout=1.0)
        node.finish()
        return int(node.exit_code)
    finally:
        _close(node)
        for number, handler in previous.items():
            signal.signal(number, handler)


def _spin(executor: SingleThreadedExecutor, stop: threading.Event) -> None:
    """Spin until shut down. A callback that raises is a bug: say so and end in order, rather than go deaf."""
    from rclpy.executors import ExternalShutdownException, ShutdownException

    try:
        executor.spin()
    except (ExternalShutdownException, ShutdownException):
        pass
    except Exception:
        sys.excepthook(*sys.exc_info())
        stop.set()


def _close(node: Node | None) -> None:
    import rclpy

    if node is not None:
        node.destroy_node()
    rclpy.try_shutdown()
