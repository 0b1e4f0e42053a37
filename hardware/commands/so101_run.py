"""``pixelarm so101 run``: a policy bundle on an SO-101 over its own bus, with cameras of this computer, without ROS."""

from __future__ import annotations

import argparse
import math
import os
import select
import sys
import termios
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tqdm import tqdm

from hardware.direct.cameras import Camera, UsbCamera
from hardware.direct.session import Options, Session, require_cameras, require_fast
from hardware.feetech.arm import Arm
from hardware.feetech.settings import SIMULATED, Settings
from hardware.teleop.keyboard import HELD_S
from robot import bundle, profile
from robot.contract import Contract
from robot.control.digest import digest
from robot.errors import PixelarmError
from robot.files import require_file, write_json
from robot.profile import ArmProfile
from robot.stats import rate

PROFILE, REHEARSED = "so101_bus", "sim_so101_bus"
EPISODES = 50
REAL = ("port", "calibration", "camera", "yes", "no_enable", "seconds", "settings")  # options that need the arm itself
REHEARSAL = ("episodes", "verbose")
FIRST_SEED = 10_000  # of rehearsed scenes: those of `pixelarm eval`
KEYS = "keep the space bar down to let the arm move, r goes on after a fault, q or Ctrl-C ends; the torque stays on"


def arguments(part: argparse.ArgumentParser) -> None:
    add = part.add_argument
    add("bundle", type=Path, help="policy bundle, as written by `pixelarm export`")
    add("--port", metavar="PORT", help="serial port of the arm, such as /dev/ttyACM0")
    add("--calibration", type=Path, metavar="FILE", help="LeRobot's file, compared with the servos' memory")
    add(
        "--camera", action="append", default=[], metavar="NAME=DEVICE",
        help="where a camera of the policy is: an index or a path, such as agentview=/dev/video0; once for each",
    )  # fmt: skip
    add("--arm", default="", metavar="PROFILE", help=f"arm profile: a name, or a file (default: {PROFILE})")
    add("--yes", action="store_true", help="really move the arm; without it nothing is written to the servos")
    add("--no-enable", action="store_true", help="move without the space bar kept down: a hand on the power switch!")
    add("--speed-scale", type=float, metavar="S", help="share of full speed (default: as the profile)")
    add("--allow-slow", action="store_true", help="start even if inference was measured too slow for the deadline")
    add("--seconds", type=float, metavar="S", help="default: until q or Ctrl-C")
    add("--stats", type=Path, metavar="FILE", help="write counters and times there (JSON) when it ends")
    add("--simulated", action="store_true", help=f"rehearse: the bundle's scene behind an emulated bus ({REHEARSED})")
    add("--verbose", action="store_true", help="of the rehearsal: say each event")
    add("--episodes", type=int, metavar="N", help=f"of the rehearsal (default: {EPISODES})")


def run(args: argparse.Namespace) -> int:
    """Until it is ended; with --simulated until the episodes are over."""
    _check(args)
    arm = ArmProfile.load(profile.find(args.arm or (REHEARSED if args.simulated else PROFILE), profile.shipped()))
    policy = bundle.load(args.bundle)
    arm.require_contract(policy.contract)
    if args.simulated:
        return _rehearse(args, policy, arm)
    settings = Settings.load(args.settings)
    options = Options(args.yes, not args.no_enable, args.speed_scale or 0.0, allow_slow=args.allow_slow)
    with ExitStack() as stack:
        cameras = open_cameras(args.camera, policy.contract, arm, stack)
        require_cameras([c.name for c in policy.contract.cameras], cameras)
        require_fast(policy, args.allow_slow)  # all of this before the torque comes
        body = stack.enter_context(
            Arm.connect(args.port, args.calibration, settings, not args.yes, timeout_s=args.timeout_ms / 1e3)
        )
        session = Session(policy, arm, body, cameras, options, print)
        stack.callback(_finish, session, args.stats)
        stack.callback(session.stop)
        if args.yes and not arm.verified:
            print(f"the profile {arm.name!r} was never tried on its arm: a hand on the power switch!")
        print(KEYS if args.yes else "dry run: nothing is written to the servos; --yes moves the arm", flush=True)
        session.start()
        _drive(session, math.inf if args.seconds is None else args.seconds)
        return 1 if session.failure else 0


def _check(args: argparse.Namespace) -> None:
    if not args.bundle.is_dir():
        raise PixelarmError(f"there is no policy bundle at {args.bundle}; `pixelarm export` writes one")
    if args.speed_scale is not None and not 0 < args.speed_scale <= 1:
        raise PixelarmError(f"--speed-scale must lie in (0, 1], got {args.speed_scale:g}")
    given = [f"--{name.replace('_', '-')}" for name in (REAL if args.simulated else REHEARSAL) if _given(args, name)]
    if given and args.simulated:
        raise PixelarmError(f"--simulated has an arm and cameras of its own: leave out {given[0]}")
    if given:
        raise PixelarmError(f"{given[0]} is an option of the rehearsal: add --simulated, or leave it out")
    if not args.simulated and not args.port:
        raise PixelarmError("--port is missing, such as --port /dev/ttyACM0; or rehearse with --simulated")
    if args.yes and not args.no_enable and not sys.stdin.isatty():
        raise PixelarmError("--yes moves while the space bar is kept down, and there is no terminal: run it in one")
    if args.episodes is not None and args.episodes < 1:
        raise PixelarmError(f"--episodes must be at least 1, got {args.episodes}")
    if args.stats:
        require_file(args.stats)


def open_cameras(given: list[str], contract: Contract, arm: ArmProfile, stack: ExitStack) -> dict[str, Camera]:
    """The cameras of a contract, by ``NAME=DEVICE``; ``stack`` lets them go whatever happens."""
    found: dict[str, Camera] = {}
    fps = {camera.name: float(camera.fps) for camera in contract.cameras}
    for text in given:
        name, equals, device = text.partition("=")
        if not (name and equals and device):
            raise PixelarmError(f"--camera must be NAME=DEVICE, such as agentview=/dev/video0, got {text!r}")
        if name not in fps:
            raise PixelarmError(f"the contract has {', '.join(fps) or 'no camera'}, and not {name!r}: leave it out")
        size = arm.cameras[name].size
        found[name] = camera = UsbCamera(name, device, (size[0], size[1]) if size else None, fps[name])
        stack.callback(camera.stop)
    return found


def _given(args: argparse.Namespace, name: str) -> bool:
    return getattr(args, name) not in (None, False, [])


def _drive(session: Session, seconds: float) -> None:
    """Keys of the terminal, until it is over."""
    now_s, pressed_s = time.monotonic(), -HELD_S
    until = now_s + seconds
    with typed_keys() as typed:
        while session.alive and now_s < until:
            keys, now_s = typed(0.02), time.monotonic()
            pressed_s = now_s if " " in keys else pressed_s
            session.put_enable(now_s - pressed_s < HELD_S)
            if "r" in keys:
                print(session.recover() or "goes on", flush=True)
            if "q" in keys:
                return


def _wait(seconds: float) -> str:
    time.sleep(seconds)
    return ""


@contextmanager
def typed_keys() -> Iterator[Callable[[float], str]]:
    """What is typed within some seconds; nothing where there is no terminal."""
    if not sys.stdin.isatty():
        yield _wait
        return
    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)

    def read(seconds: float) -> str:
        ready, _, _ = select.select([sys.stdin], [], [], seconds)
        return os.read(sys.stdin.fileno(), 256).decode("ascii", "ignore").lower() if ready else ""

    try:
        yield read
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _rehearse(args: argparse.Namespace, policy: Any, arm: ArmProfile) -> int:
    """Episodes on the simulated arm behind an emulated bus, moved by the real driver."""
    from hardware.simulated.rehearsal import Rehearsal

    settings = Settings.load(SIMULATED)
    seeds = [FIRST_SEED + i for i in range(args.episodes or EPISODES)]
    sessions: list[Session] = []
    with tqdm(total=len(seeds), desc="episodes over the bus", unit="episode") as bar, ExitStack() as stack:

        def go_on() -> None:  # whatever ended the last scene
            rehearsal.rest()
            sessions[0].go_on()

        def on_event(event: dict[str, Any]) -> None:
            if event["event"] == "reset" and sessions:
                threading.Thread(target=go_on, daemon=True).start()
            if event["event"] == "end":
                bar.update()
                results = rehearsal.arm.episodes.results if rehearsal.arm.episodes else []
                bar.set_postfix_str(f"{sum(r['success_once'] for r in results)} of {len(results)}", refresh=False)

        rehearsal = Rehearsal(policy.contract, arm, settings, seeds, on_event)
        stack.callback(rehearsal.close)
        body = stack.enter_context(Arm.connect(rehearsal.path, None, settings, False, timeout_s=args.timeout_ms / 1e3))
        options = Options(True, False, args.speed_scale or 0.0, jumps=True, allow_slow=args.allow_slow)
        say = bar.write if args.verbose else _say_nothing
        session = Session(policy, arm, body, rehearsal.cameras, options, say)
        stack.callback(session.stop)
        sessions.append(session)
        session.on_commanded = rehearsal.arm.heard
        session.start()
        while session.alive and not rehearsal.arm.ended.wait(0.1):
            pass
        if rehearsal.arm.failure is not None:
            bar.write(f"the arbiter's mode was {session.arbiter.mode}: {session.arbiter.words}")
        results = rehearsal.arm.episodes.results if rehearsal.arm.episodes else []
    _report(session, args.stats, {"episodes": results})
    print(f"success at any step {rate([r['success_once'] for r in results])}")
    print(f"success at the end  {rate([r['success_end'] for r in results])}")
    return 1 if session.failure or len(results) < len(seeds) else 0


def _say_nothing(words: str) -> None: ...


def _finish(session: Session, path: Path | None) -> None:
    _report(session, path, {})


def _report(session: Session, path: Path | None, more: dict[str, Any]) -> None:
    found = session.stats()
    print("\n" + digest(found))
    bus, between = found["bus_ms"], found["interval_ms"]
    if bus["n"]:
        print(
            f"bus: read and write p50 {bus['p50']} ms, p99 {bus['p99']} ms; between two cycles p50 "
            f"{between['p50']} ms, p99 {between['p99']} ms, max {between['max']} ms; faults {found['bus_faults']}",
            flush=True,
        )
    for words in found["protections"]:
        print(f"a servo protected itself: {words}")
    if path:
        write_json(path, {**found, **more})
