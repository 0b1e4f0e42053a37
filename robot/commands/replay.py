"""``pixelarm replay``: an episode of a dataset on an arm, through the arbiter; ``ros2 launch`` starts the same.

The recorded actions go the way of a policy's: the control loop asks for one at each tick, the limits and the arbiter
have their say, and whatever holds the arm holds the episode too: its next action waits. Nobody looks at the pictures,
but the streams must be there, as for the policy that learned from them.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from robot import profile, rotations
from robot.actions import JOINT_POSITION, KINDS, MEASURED, Reference, recount
from robot.arbiter.modes import POLICY
from robot.commands.deploy import ending_with, overrides_of, start_arbiter
from robot.control.digest import digest
from robot.dataset.dataset import Dataset
from robot.dataset.episodes import Episode
from robot.errors import PixelarmError
from robot.files import require_file
from robot.profile import ArmProfile
from robot.ros import runtime, shared_memory

# how far from where it was recorded a replay may begin
START = {"eef_pos": (0.05, "m"), "eef_quat": (0.2, "rad"), "joint_pos": (0.2, "rad")}
MOVES = ("", "source_holds", "waiting", "silent")  # rules of the arbiter that end when targets come
# a policy answers what it sees: these are of no network
NONE = {"max_age_ms": None, "deadline_ms": None, "speed_scale": None, "inference_python": "", "provider": "cpu",
        "allow_slow": False}  # fmt: skip


class EpisodePolicy:
    """A ``Policy`` that acts as an episode did, one recorded action after the other.

    A delta that counts from what is measured leads to the target that it led to when it was recorded: played as it is,
    it would add up how this arm lags otherwise than that one. ``refusal`` says why it does not begin, ``ended`` that
    all actions were asked for. Afterwards it stays.

    Args:
        home_xyzw: orientation of the end effector with the arm at home, for actions that count from it.
    """

    def __init__(self, episode: Episode, home_xyzw: tuple[float, ...] | None = None) -> None:
        self.contract, self._episode = episode.contract, episode
        self._home = rotations.from_quaternion(np.array(home_xyzw)) if home_xyzw else None
        action = self.contract.action
        self._recounts = KINDS[action.kind].deltas and action.counts_from == MEASURED
        self._next: int | None = None  # None: it has not begun, and is only measured
        self._sent: Callable[[], int] | None = None
        self._before = 0
        self.refusal, self.ended = "", False

    def begin(self, sent: Callable[[], int] | None = None) -> None:
        """``sent``: how many commands have left, so that an action that did not, missing its deadline, say, comes once
        more; None: each that was asked for did."""
        self._next, self.refusal, self.ended = 0, "", False
        self._sent, self._before = sent, sent() if sent else 0

    def act(self, observation: dict[str, np.ndarray]) -> np.ndarray:
        """Raises PixelarmError where the arm does not stand where the episode began."""
        actions, at = self._episode.actions, self._next
        if at is None:
            return actions[:1].copy()
        if self._sent is not None:
            at = self._sent() - self._before
        if at == 0:
            self._require_start(observation)
        if at >= len(actions):
            self.ended = True
            return self._stay()[None]
        self._next = at + 1
        return self._recounted(at, observation)[None] if self._recounts else actions[at : at + 1].copy()

    def _recounted(self, at: int, observation: dict[str, np.ndarray]) -> np.ndarray:
        recorded = Reference.of(self._episode.observation(at), self._home)
        return recount(
            self.contract.action.kind, self._episode.actions[at], recorded, Reference.of(observation, self._home)
        )

    def _require_start(self, observation: dict[str, np.ndarray]) -> None:
        for name, (most, unit) in START.items():
            if name in observation:
                away = _away(name, observation[name], self._episode.observations[name][0])
                if away > most:
                    self.refusal = (
                        f"{name} is {away:.2f} {unit} from where the episode began, and may be {most:g} {unit}: bring "
                        "the arm there first; of a simulated one choose the episode's scene (--seed)"
                    )
                    raise PixelarmError(self.refusal)

    def _stay(self) -> np.ndarray:
        """The action that moves nothing: no delta and no velocity, or the last position again; the gripper as it is."""
        last = self._episode.actions[-1]
        absolute = KINDS[self.contract.action.kind].target == JOINT_POSITION
        return last.copy() if absolute else np.append(np.zeros_like(last[:-1]), last[-1:])


def _away(name: str, here: np.ndarray, there: np.ndarray) -> float:
    if name == "eef_quat":  # q and -q are one rotation
        return 2.0 * float(np.arccos(min(1.0, abs(float(here @ there)))))
    return float(np.abs(here - there).max())


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="pixelarm replay",
        description="Play an episode of a dataset on an arm through its ROS 2 driver, behind the arbiter and the "
        "safety limits of the arm's profile. The arm must stand where the episode began. After its last action "
        "the arm comes to rest and holds, and the command ends.",
        epilog="example: pixelarm replay runs/demos --episode 0 --arm sim_panda",
    )
    add = made.add_argument
    add("dataset", type=Path, help="folder of episodes, as of `pixelarm collect` or `pixelarm teleop --record`")
    add("--episode", type=int, default=0, metavar="N", help="which one; -1 is the last (default: %(default)s)")
    add("--arm", default="sim_panda", help="arm profile: a name among hardware/arms, or a file (default: %(default)s)")
    add("--arbiter", choices=("own", "running"), default="own", help="own: start the process that alone commands the "
        "arm; running: use the one of `pixelarm arbiter` (default: %(default)s)")  # fmt: skip
    add("--dry-run", action=argparse.BooleanOptionalAction, help="command nothing, publish on ~/preview (default: as "
        "the profile)")  # fmt: skip
    add("--require-enable", action=argparse.BooleanOptionalAction, help="move only while a button is held (default: as "
        "the profile)")  # fmt: skip
    add("--stats", type=_path, metavar="FILE", help="write counters and latencies there (JSON) when it ends")
    add("--network", action="store_true", help="let other machines discover this node; else ROS stays on this one")
    add("--end-with-parent", action="store_true", help="end when the process that started it is gone")
    return made


def _path(text: str) -> Path | None:
    """A path; an empty text (what a launch file passes for "not given") is none."""
    return Path(text) if text else None


def read(folder: Path, number: int) -> Episode:
    """One episode; raises PixelarmError, saying which there are."""
    dataset = Dataset(folder)
    if not -len(dataset) <= number < len(dataset):
        raise PixelarmError(f"{folder} holds episodes 0 to {len(dataset) - 1}, and no episode {number}")
    return dataset[number]


def main(argv: list[str] | None = None) -> int:
    parent = os.getppid()  # first: one that dies later is noticed
    own, ros_args = runtime.split_ros_args(sys.argv[1:] if argv is None else argv)
    args = parser().parse_args(own)
    if args.stats:
        require_file(args.stats)
    episode = read(args.dataset, args.episode)
    if not {"eef_pos", "joint_pos"} & set(episode.observations):
        raise PixelarmError(
            f"{args.dataset} holds neither eef_pos nor joint_pos, so nobody can tell whether the arm stands where the "
            "episode began"
        )
    arm = ArmProfile.load(profile.find(args.arm, profile.shipped()))
    arm.require_contract(episode.contract)
    overrides = overrides_of(argparse.Namespace(**{**NONE, **vars(args), "bundle": args.dataset}))
    shared_memory.settle(arm.cameras.values())
    runtime.require_rclpy()
    runtime.settle_discovery(args.network)
    policy, made = EpisodePolicy(episode, arm.home_xyzw), list[Any]()

    def make() -> Any:
        made.append(_node(policy, overrides, f"episode {args.episode} of {args.dataset}, {len(episode)} actions"))
        return made[-1]

    command = start_arbiter(arm, episode.contract, overrides, ros_args) if args.arbiter == "own" else None
    with ending_with(command, made):
        status = runtime.run(make, ros_args, parent if args.end_with_parent else 0)
    if made and made[-1].final_stats:
        print(digest(made[-1].final_stats), flush=True)
    return status


def _node(policy: EpisodePolicy, overrides: dict[str, Any], words: str) -> Any:
    from std_msgs.msg import String  # needs rclpy, which --help does not

    from robot.ros.arbitration import NODE
    from robot.ros.policy_node import PolicyNode

    class ReplayNode(PolicyNode):
        """A policy's node, which ends with the episode."""

        def __init__(self) -> None:
            super().__init__(overrides)
            self.create_timer(0.05, self._watch)
            self.create_subscription(String, f"{NODE}/status", self._on_arbiter, runtime.qos(1, True))

        def _load(self, path: str) -> EpisodePolicy:
            return policy

        def _activate(self) -> None:
            loop = self.loop
            assert loop is not None
            policy.begin(lambda: loop.commands)
            super()._activate()

        def _on_arbiter(self, message: Any) -> None:
            """What holds the arm holds the episode: it would go on without the arm."""
            status = json.loads(message.data)
            held = status["mode"] == POLICY and status["rule"] not in MOVES
            if self.loop is not None:
                self.loop.bars.put("arbiter_holds", f"{status['rule']}: {status['words']}" if held else "")

        def _watch(self) -> None:
            if self.done.is_set():
                return
            if policy.refusal:
                self.get_logger().error(f"refused to replay: {policy.refusal}")
                self.exit_code = 2
                self.done.set()
            elif policy.ended:
                self.get_logger().info(f"{words}: played")
                self.done.set()

    return ReplayNode()


if __name__ == "__main__":
    sys.exit(main())
