"""``pixelarm so101 follow --record``: episodes of an arm that follows a leader, as those of teleoperation."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from hardware.commands.so101_run import PROFILE, open_cameras, typed_keys
from hardware.commands.teleop import find_contract
from hardware.direct.session import require_cameras
from hardware.feetech.arm import JointState
from hardware.feetech.leader import LeaderState
from hardware.teleop.desk import DISCARD, FAILURE, SUCCESS
from hardware.teleop.recording import Recording
from robot import profile, rotations
from robot.actions import Target
from robot.control.timing import Clock
from robot.errors import PixelarmError
from robot.files import require_folder
from robot.profile import ArmProfile
from robot.provenance import git_commit, versions

OUTCOMES = {"1": SUCCESS, "2": FAILURE, "3": DISCARD}
MOVED = 0.02  # rad, or of the gripper's way: less is the noise of an encoder and of a hand at rest
REST_S = 0.5  # without such a motion: a pause, which is left out
KEYS = "an episode begins when you move the leader, and ends with 1 success, 2 failure, 3 discard; Ctrl-C ends all"


def arguments(part: argparse.ArgumentParser) -> None:
    add = part.add_argument
    add(
        "--record",
        type=Path,
        metavar="DIR",
        help="keep episodes there; the keys 1 success, 2 failure, 3 discard end one",
    )
    add("--contract", default="", metavar="WHAT", help="of what is recorded: a task, a policy bundle, a dataset, or a "
        "file of `pixelarm dataset --contract`")  # fmt: skip
    add("--camera", action="append", default=[], metavar="NAME=DEVICE", help="where a camera of the contract is: an "
        "index or a path, such as agentview=/dev/video0; once for each")  # fmt: skip


def check(args: argparse.Namespace) -> None:
    """Refuse what makes no sense, before an arm is spoken to."""
    if not args.record:
        if args.contract or args.camera:
            raise PixelarmError("--contract and --camera are of what --record keeps: add --record, or leave them out")
        return
    if not args.contract:
        raise PixelarmError(
            "--record needs to know what is recorded: add --contract with a task, a bundle or a dataset"
        )
    if not sys.stdin.isatty():
        raise PixelarmError("--record ends episodes by the keys 1, 2 and 3, and there is no terminal: run it in one")
    if not args.yes:
        raise PixelarmError("--record keeps what the arm does, and without --yes it does nothing: add --yes")
    require_folder(args.record)


class FollowRecorder:
    """Hears the follower and its leader; ``typed`` gives what was typed since."""

    def __init__(self, recording: Recording, arm: ArmProfile, typed: Callable[[float], str]) -> None:
        chain = arm.read_chain()
        assert chain is not None
        self.recording, self._arm, self._chain, self._typed = recording, arm, chain, typed
        self._rested: np.ndarray | None = None  # leader and gripper, where they rested last
        self._moved_s = -REST_S

    def put(self, state: JointState, goal: np.ndarray, opening: float) -> None:
        """What the follower measured, and the goals that its servos got then: ``(5,)`` rad, 0 closed to 1 open."""
        stamp_ns = time.time_ns() - round((time.monotonic() - state.stamp) * 1e9)
        position, rotation = self._chain.forward(state.position)
        gripper = self._arm.gripper_state
        told_position, told_rotation = self._chain.forward(goal)
        told = {"joint_positions": goal, "position": told_position, "rotation": told_rotation}
        for name, value in {
            "joint_pos": state.position, "joint_vel": state.velocity, "eef_pos": position,
            "eef_quat": rotations.canonical(rotations.to_quaternion(rotation)),
            "gripper_opening": np.array([gripper.offset + gripper.scale * state.gripper]),
        }.items():  # fmt: skip
            self.recording.put_state(name, value, stamp_ns)
        self.recording.put_command(Target(1.0 - 2.0 * opening, **told))

    def tick(self, lead: LeaderState, aligned: bool) -> None:
        """``aligned``: the follower has come to its leader."""
        at = np.append(lead.position, lead.gripper)
        if self._rested is None or np.abs(at - self._rested).max() > MOVED:
            self._moved_s = -REST_S if self._rested is None else lead.stamp
            self._rested = at
        self.recording.step(aligned and lead.stamp - self._moved_s < REST_S)
        for key in self._typed(0.0):
            if key in OUTCOMES:
                self.recording.end(OUTCOMES[key])


class NoRecorder:
    """Where nothing is recorded."""

    def put(self, state: JointState, goal: np.ndarray, opening: float) -> None: ...

    def tick(self, lead: LeaderState, aligned: bool) -> None: ...


@contextmanager
def recording(args: argparse.Namespace) -> Iterator[FollowRecorder | NoRecorder]:
    """What hears the arms; its cameras run until it is left."""
    if not args.record:
        yield NoRecorder()
        return
    arm = ArmProfile.load(profile.find(PROFILE, profile.shipped()))
    contract = find_contract(args.contract, arm)
    with ExitStack() as stack:
        cameras = open_cameras(args.camera, contract, arm, stack)
        require_cameras([camera.name for camera in contract.cameras], cameras)
        about = {
            "device": "leader arm", "operator": "hand", "task": contract.task, "git": git_commit(),
            "versions": versions(),
        }  # fmt: skip
        made = Recording(args.record, arm, contract, about, _say, Clock(), joints=True)
        stack.callback(made.close)
        for name, camera in cameras.items():
            camera.start(partial(made.put_image, name), _say)
            stack.callback(camera.stop)  # before the recording closes
        typed = stack.enter_context(typed_keys())
        print(KEYS, flush=True)
        yield FollowRecorder(made, arm, typed)


def _say(words: str) -> None:
    print(f"\n{words}", flush=True)
