"""``pixelarm teleop``: drive an arm by hand, from a browser page or a terminal, through the arbiter."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import Popen, TimeoutExpired
from typing import Any

from hardware.teleop.access import LOOPBACK, Access, addresses, certificate, folder
from hardware.teleop.desk import Desk
from hardware.teleop.mapping import SPEED_M_S, TURN_SPEED_RAD_S, Shape
from hardware.teleop.teleop import kind_of
from robot import bundle, profile
from robot.contract import Contract
from robot.dataset.episodes import episode_files, read_headers
from robot.errors import MissingDependency, PixelarmError
from robot.files import require_file, require_folder
from robot.profile import ArmProfile
from robot.ros import runtime, shared_memory

DEVICES = ("web", "keyboard", "gamepad", "spacemouse", "replay")
PORT, IMAGE_SIZE = 8770, 128
Children = dict[str, Popen[bytes]]  # what it is -> its process


def _path(text: str) -> Path | None:
    """A path; an empty text (what a launch file passes for "not given") is none."""
    return Path(text) if text else None


def _yes(text: str) -> bool:
    """true or false, as a launch file passes it."""
    if text not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"true or false, got {text!r}")
    return text == "true"


def _port(text: str) -> int | None:
    return int(text) if text else None


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="pixelarm teleop",
        description="Drive an arm by hand. The arm moves only while you hold a key, a stick or the pointer down, "
        "and stops when you let go, when the page is left or hidden, and when it falls silent. Ctrl-C ends it.",
        epilog="example: pixelarm teleop --task lift --device web, then open the printed address in a browser",
    )
    add = made.add_argument
    add("--device", choices=DEVICES, default="web", help="web: a page in a browser; keyboard: of this terminal; "
        "gamepad and spacemouse: plugged in here; replay: inputs of a file (default: %(default)s)")  # fmt: skip
    add("--input", default="", metavar="FILE", help="of the gamepad or spacemouse, such as /dev/input/js1 (default: "
        "the first)")  # fmt: skip
    add("--arm", default="sim_panda", help="arm profile: a name among hardware/arms, or a file (default: %(default)s)")
    add("--task", default="", help="start the simulated arm with this scene; without it the arm is one that runs")
    add("--image-size", type=int, metavar="N", help="height and width of the simulated cameras, with --task (default: "
        f"{IMAGE_SIZE})")  # fmt: skip
    add("--camera-fps", type=float, metavar="HZ", help="pictures a second of simulated cameras, with --task; episodes "
        "hold as many as the task wants (default: as the task)")  # fmt: skip
    add("--seed", type=int, help="first scene, with --task; reset goes to the next (default: 0)")
    add(
        "--arbiter",
        choices=("own", "running"),
        default="own",
        help="own: start the process that alone commands the arm; running: use the one of `pixelarm arbiter` or "
        "`pixelarm deploy`, to take over from a policy (default: %(default)s)",
    )
    add("--dry-run", action=argparse.BooleanOptionalAction, help="command nothing, publish on ~/preview; of an arbiter "
        "of its own (default: as the profile)")  # fmt: skip
    add("--speed", type=float, default=SPEED_M_S, metavar="M_S", help="at full scale; the profile's limits stay "
        "(default: %(default)s)")  # fmt: skip
    add("--turn-speed", type=float, default=TURN_SPEED_RAD_S, metavar="RAD_S", help="likewise (default: %(default)s)")
    add("--port", type=_port, help=f"of the page (default: {PORT})")
    add("--lan", action="store_true", help="open the page to other machines of the network, with https")
    add("--record", type=_path, metavar="DIR", help="keep episodes there, for `pixelarm train demos=DIR`; the page has "
        "buttons for their outcomes, and episodes join those that are there")  # fmt: skip
    add("--policy-too", type=_yes, nargs="?", const=True, default=False, metavar="true|false", help="with --record: "
        "episodes hold what a policy does, too, and say of each step who acted; one begins when anybody moves the arm, "
        "and an outcome takes command away (default: false)")  # fmt: skip
    add("--contract", default="", metavar="WHAT", help="of what is recorded, where the arm does not say it, as no real "
        "one does: a task, a policy bundle, a dataset, or a file of `pixelarm dataset --contract`")  # fmt: skip
    add("--log", type=_path, metavar="FILE", help="write inputs and orders there (JSON lines), for --device replay")
    add("--replay", type=_path, metavar="FILE", help="inputs to play, with --device replay")
    add("--network", action="store_true", help="let other machines discover the ROS nodes; else ROS stays on this one")
    return made


def main(argv: list[str] | None = None) -> int:
    """``pixelarm teleop``, and ``python -m hardware.commands.teleop`` as the launch files start it."""
    own, ros_args = runtime.split_ros_args(sys.argv[1:] if argv is None else argv)
    args = parser().parse_args(own)
    arm, shape = _check(args)
    contract = find_contract(args.contract, arm) if args.contract else None
    shared_memory.settle(arm.cameras.values())
    runtime.require_rclpy()
    runtime.settle_discovery(args.network)
    device = _device(args)
    from hardware.ros.teleop_node import TeleopNode  # needs rclpy, which --help does not

    scene = (args.seed or 0) if args.task else None
    children = _start(args, ros_args)

    def make() -> TeleopNode:
        node = TeleopNode(arm, shape, device, scene, args.record, args.device, contract, args.policy_too)
        node.create_timer(0.5, lambda: _watch(children, node))
        return node

    try:
        return runtime.run(make, ros_args)
    finally:
        _end(children)


def _check(args: argparse.Namespace) -> tuple[ArmProfile, Shape]:
    """Refuse before anything starts what cannot work."""
    arm = ArmProfile.load(profile.find(args.arm, profile.shipped()))
    kind_of(arm)
    if (args.replay is None) == (args.device == "replay"):
        raise PixelarmError("--device replay and --replay FILE belong together")
    if args.input and args.device not in ("gamepad", "spacemouse"):
        raise PixelarmError("--input is the file of --device gamepad or spacemouse, and there is none")
    if args.lan and args.device != "web":
        raise PixelarmError("--lan opens the page of --device web, and there is none")
    if args.port is not None and args.device != "web":
        raise PixelarmError("--port is of the page of --device web, and there is none")
    if args.port is not None and not 1 <= args.port <= 65535:
        raise PixelarmError(f"--port must be 1 to 65535, got {args.port}")
    if not args.task and (args.image_size, args.seed, args.camera_fps) != (None, None, None):
        raise PixelarmError(
            "--image-size, --camera-fps and --seed are of the simulated arm that --task starts, and there is none"
        )
    if args.task and args.arbiter == "running":
        raise PixelarmError("--task starts an arm that has no arbiter yet: leave --arbiter running out")
    if args.dry_run is not None and args.arbiter == "running":
        raise PixelarmError("--dry-run is the arbiter's: give it to `pixelarm arbiter`")
    if args.log:
        require_file(args.log)
    if args.contract and (not args.record or arm.contract):
        why = "nothing is recorded" if not args.record else f"the arm {arm.name!r} says its own"
        raise PixelarmError(f"--contract would do nothing: {why}; leave it out")
    if args.policy_too and not args.record:
        raise PixelarmError(
            "--policy-too is of what --record keeps, and nothing is recorded: add --record, or leave it out"
        )
    if args.record:
        _require_recordable(args, arm)
    return arm, Shape.of(arm.limits, args.speed, args.turn_speed)


def _require_recordable(args: argparse.Namespace, arm: ArmProfile) -> None:
    if arm.contract is None and not args.contract:
        raise PixelarmError(
            f"--record needs to know what is recorded, and the arm of the profile {arm.name!r} does not say it: add "
            "--contract with a task's name, a policy bundle or a dataset"
        )
    if args.dry_run or (args.dry_run is None and args.arbiter == "own" and arm.dry_run):
        raise PixelarmError("--record keeps what the arm does, and in a dry run it does nothing: add --no-dry-run")
    require_folder(args.record)


def find_contract(what: str, arm: ArmProfile) -> Contract:
    """The contract of a bundle, of a dataset, of a file, or of a task for this arm."""
    path = Path(what)
    if path.is_file():
        contract = Contract.from_text(path.read_text())
    elif path.is_dir():
        # of a bundle that sees or returns several steps: what an episode of it holds
        contract = read_headers(path)[0].contract if episode_files(path) else bundle.read(path)[1].recorded()
    else:
        contract = _of_task(what, arm)
    arm.require_contract(contract)
    return contract


def _of_task(name: str, arm: ArmProfile) -> Contract:
    try:
        from hardware.simulated.contracts import contract_of

        return contract_of(name, arm.arm)
    except ImportError as error:
        raise MissingDependency(
            f"--contract {name} is neither a file nor a folder, and tasks are known where the simulator is installed: "
            "pip install 'pixelarm[sim]'"
        ) from error


# -------------------------------------------------------------------------------------------------------------- devices
def _device(args: argparse.Namespace) -> Callable[[Desk], Callable[[], None]]:
    """What starts the device for a desk and returns what ends it."""
    kinds = {
        "web": _web, "keyboard": _keyboard, "replay": _replay, "gamepad": _handheld, "spacemouse": _handheld
    }  # fmt: skip
    make = kinds[args.device](args)
    if args.log is None:
        return make
    from hardware.teleop.replay import Log

    def logged(desk: Desk) -> Callable[[], None]:
        log = Log(args.log)
        desk.receiver.listeners.append(log.put)
        desk.listeners.append(log.put_order)
        end = make(desk)

        def end_both() -> None:
            end()
            log.close()

        return end_both

    return logged


def _keyboard(args: argparse.Namespace) -> Callable[[Desk], Callable[[], None]]:
    from hardware.teleop.keyboard import Keyboard

    if not sys.stdin.isatty():
        raise PixelarmError("the device keyboard needs a terminal: run the command in one, or use --device web")

    def start(desk: Desk) -> Callable[[], None]:
        keyboard = Keyboard(desk)
        keyboard.start()
        return keyboard.stop

    return start


def _handheld(args: argparse.Namespace) -> Callable[[Desk], Callable[[], None]]:
    from hardware.teleop.handheld import JOYSTICK, Handheld, Hands, Pad, SpaceMouse, find_spacemouse

    pad = args.device == "gamepad"
    path = args.input or (JOYSTICK if pad else find_spacemouse())
    if not Path(path).exists():
        raise PixelarmError(f"there is no {path}: is the device plugged in? --input names another")

    def start(desk: Desk) -> Callable[[], None]:
        hands: Hands = Pad(desk.teleop.gripper) if pad else SpaceMouse(desk.teleop.gripper)
        handheld = Handheld(desk, path, hands)
        handheld.start()
        return handheld.stop

    return start


def _replay(args: argparse.Namespace) -> Callable[[Desk], Callable[[], None]]:
    from hardware.teleop.replay import Replay, read_log

    inputs = read_log(args.replay)

    def start(desk: Desk) -> Callable[[], None]:
        replay = Replay(desk, inputs, desk.leave)
        replay.start()
        return replay.stop

    return start


def _web(args: argparse.Namespace) -> Callable[[Desk], Callable[[], None]]:
    from hardware.teleop.web import Server  # needs aiohttp, which the other devices do not

    names: tuple[str, ...] = LOOPBACK
    context, fingerprint = None, ""
    if args.lan:
        names = (*addresses(), *LOOPBACK)
        context, fingerprint = certificate(names, folder())
    port = args.port or PORT
    allowed = Access.made(port, names, "https" if args.lan else "http")

    def start(desk: Desk) -> Callable[[], None]:
        server = Server(desk, allowed, "0.0.0.0" if args.lan else "127.0.0.1", port, context)
        server.start()
        print(_invitation(allowed, fingerprint), flush=True)
        return server.stop

    return start


def _invitation(allowed: Access, fingerprint: str) -> str:
    """What is printed when the page is there."""
    if not fingerprint:
        port = allowed.hosts[0].rpartition(":")[2]
        return (
            f"open in a browser of this machine: {allowed.urls[0]}\n"
            f"(this machine only; on another one: ssh -L {port}:127.0.0.1:{port} to here, then the same address)"
        )
    return (
        f"open from any machine of this network: {allowed.urls[0]}\n"
        f"the port is open to the whole network: whoever has this address can see the cameras and drive the arm.\n"
        f"the certificate was made on this machine: the browser warns; go on if its SHA-256 fingerprint is\n"
        f"  {fingerprint}"
    )


# ------------------------------------------------------------------------------------------------------------- children
def _start(args: argparse.Namespace, ros_args: Sequence[str]) -> Children:
    """The simulated arm, if a task is given, and the arbiter."""
    modules: dict[str, list[str]] = {}
    if args.task:
        options = ["--task", args.task, "--image-size", str(args.image_size or IMAGE_SIZE)]
        options += ["--camera-fps", str(args.camera_fps or 0.0)]
        modules["the simulated arm"] = ["hardware.commands.sim_arm", *options, "--seed", str(args.seed or 0)]
    if args.arbiter == "own":
        dry = {None: [], True: ["--dry-run"], False: ["--no-dry-run"]}[args.dry_run]
        modules["the arbiter"] = ["robot.commands.arbiter", "--command", "teleop", *dry]
    rest = ["--arm", str(profile.find(args.arm, profile.shipped())), "--end-with-parent"]
    rest += [*(["--network"] if args.network else []), *ros_args]
    # in sessions of their own: Ctrl-C ends this process first, and this one ends them
    return {
        name: Popen([sys.executable, "-m", *module, *rest], start_new_session=True) for name, module in modules.items()
    }


def _watch(children: Children, node: Any) -> None:
    """End with a child that ended: without the arm, or the arbiter, there is nothing to drive."""
    for name, child in children.items():
        status = child.poll()
        if status is not None and not node.done.is_set():
            node.get_logger().fatal(f"{name} ended ({status}), see above: teleoperation ends")
            node.exit_code = status or 1
            node.done.set()


def _end(children: Children) -> None:
    for child in reversed(children.values()):  # the arbiter first: it brings the arm to rest
        if child.poll() is None:
            child.terminate()  # as Ctrl-C; one that is still starting ends without a traceback
            try:
                child.wait(timeout=8.0)
            except TimeoutExpired:
                child.kill()


if __name__ == "__main__":
    sys.exit(main())
