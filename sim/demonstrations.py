"""``pixelarm collect``: scripted demonstrations of a task, through the recorder that teleoperation uses."""

from __future__ import annotations

import argparse
import itertools
import math
from pathlib import Path

from tqdm import tqdm

from robot.actions import ORIGINS
from robot.dataset import recording
from robot.dataset.episodes import Recorder
from robot.errors import PixelarmError, UnknownName
from robot.files import require_folder
from robot.provenance import git_commit, versions
from robot.stats import AFTER_STEPS
from sim.arms import ARMS
from sim.envs.config import LARGEST_IMAGE, TaskConfig
from sim.envs.interface import Environment
from sim.envs.make import LOOKS, make_env
from sim.envs.task_env import ACTUATION_DELAY_MS, OBSERVATION_DELAY_MS, TaskEnv
from sim.scene.randomise import TERMS as RANDOMISATIONS
from sim.tasks import TASKS

SMALLEST_IMAGE = 25  # pixels, height and width, of which the convolutions of the default recipe leave anything
LONGEST_AFTER = 1000
DEMO_SEED = 1_000_000  # demonstrations of seed s use the seeds from DEMO_SEED + 1000 s


def collect(
    env: Environment,
    folder: Path,
    episodes: int,
    seed: int,
    append: bool = False,
    device: str = "scripted expert",
    after: int = AFTER_STEPS,
) -> int:
    """Record ``episodes`` successful demonstrations into ``folder``; returns their total number of steps.

    A failed attempt is discarded and the next seed is tried; a scene that the folder holds is not recorded again.
    Stamps are simulated time, starting from 0 in each episode.

    Args:
        after: control steps to go on past success. Each in which the task is still done pays 1 and is ``terminated``,
            as the first was; what is no longer done at the last step is a failed attempt.
    """
    period_ns = round(1e9 / env.contract.rate_hz)
    provenance = {
        "device": device,
        "operator": "script",
        "task": env.contract.task,
        "git": git_commit(),
        "versions": versions(),
        "after": after,
        recording.KEY: env.recording,
    }
    steps = attempts = 0
    with (
        Recorder(folder, env.contract, provenance, append=append) as recorder,
        tqdm(total=episodes, desc="demonstrations", unit="episode") as bar,
    ):
        recorded, known = 0, {header.provenance.get("seed") for header in recorder.existing}
        seeds = (s for s in itertools.count(DEMO_SEED + 1000 * seed) if s not in known)
        while recorded < episodes:
            if attempts >= 5 * episodes + 20:
                raise PixelarmError(
                    f"the scripted expert of {env.contract.task} succeeded only {recorded} times in {attempts} attempts"
                )
            episode_seed = next(seeds)
            attempts += 1
            observation, info = env.reset(seed=episode_seed)
            expert = env.expert(episode_seed)
            objects = env.world.loose_objects() if isinstance(env, TaskEnv) else {}
            about = {"seed": episode_seed, "randomisation": info.get("randomisation", {}), "objects": objects}
            recorder.start(observation, 0, about)
            step, success, end = 0, False, math.inf
            while step < end:
                action = expert()
                observation, reward, terminated, truncated, info = env.step(action)
                step, success = step + 1, bool(info["success"])
                recorder.add(action, reward, terminated, observation, step * period_ns)
                if math.isinf(end) and (terminated or truncated):
                    end = step + (after if success else 0)
            if success:
                recorder.end(success=True)
                recorded += 1
                steps += step
                bar.update()
            else:
                recorder.discard()
    return steps


def main(argv: list[str]) -> int:
    args = _parser().parse_args(argv)
    _check(args)
    (low, high), (newest, oldest) = args.actuation_delay_ms, args.observation_delay_ms
    task = TaskConfig(
        name=args.task,
        arm=args.arm,
        counts_from=args.counts_from,
        image_size=args.image_size,
        look=args.look,
        actuation_delay_ms=(low, high),
        observation_delay_ms=(newest, oldest),
        hold_steps=args.hold_steps,
        randomise=args.randomise,
        camera_profile=args.camera_profile,
    )
    env = make_env(task)
    steps = collect(env, args.out, args.episodes, args.seed, args.append, after=args.after)
    env.close()
    print(
        f"{args.episodes} demonstrations, {steps} steps ({steps / env.contract.rate_hz / 60:.1f} robot minutes) in "
        f"{args.out}"
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="pixelarm collect",
        description="Record scripted demonstrations of a task: one HDF5 file an episode, robomimic layout, contract "
        "inside.",
        epilog="example: pixelarm collect --task lift --episodes 10 --out runs/demos",
    )
    parser.add_argument("--task", default="lift", help=f"one of: {', '.join(TASKS)} (default lift)")
    parser.add_argument("--arm", default=TaskConfig.arm, help=f"one of: {', '.join(ARMS)} (default {TaskConfig.arm})")
    parser.add_argument("--episodes", type=int, default=10, help="successful demonstrations to record (default 10)")
    parser.add_argument(
        "--seed", type=int, default=1, help="of the recorded scenes (default 1); training reads whatever demos= names"
    )
    parser.add_argument(
        "--image-size", type=int, default=64, help="height and width of every camera in pixels (default 64)"
    )
    parser.add_argument(
        "--camera-profile",
        default="",
        metavar="ARM",
        help="arm profile whose cameras' size, crop, resize and rotate the pictures go through (default: none, they "
        "are drawn at --image-size)",
    )
    parser.add_argument("--out", type=Path, default=Path("runs/demos"), help="dataset folder (default runs/demos)")
    parser.add_argument(
        "--randomise", nargs="*", default=[], metavar="TERM", help=f"draw for each episode: {', '.join(RANDOMISATIONS)}"
    )
    parser.add_argument(
        "--hold-steps",
        type=int,
        default=TaskConfig.hold_steps,
        metavar="N",
        help="record until the task has been done for N steps in a row, for training with task.hold_steps=N (default "
        f"{TaskConfig.hold_steps})",
    )
    parser.add_argument(
        "--after",
        type=int,
        default=AFTER_STEPS,
        metavar="N",
        help="go on for N steps past success, so that a policy learns to stay there; an attempt that undoes it is "
        f"recorded anew (default {AFTER_STEPS})",
    )
    parser.add_argument(
        "--look",
        default=LOOKS[0],
        help=f"of the pictures: {', '.join(LOOKS)}, for training with task.look (default {LOOKS[0]})",
    )
    low, high = ACTUATION_DELAY_MS
    parser.add_argument(
        "--actuation-delay-ms",
        type=float,
        nargs=2,
        default=ACTUATION_DELAY_MS,
        metavar=("LOW", "HIGH"),
        help="range of the delay between observing and acting, for training with task.actuation_delay_ms=[LOW,HIGH] "
        f"(default {low:g} {high:g})",
    )
    parser.add_argument(
        "--observation-delay-ms",
        type=float,
        nargs=2,
        default=OBSERVATION_DELAY_MS,
        metavar=("LOW", "HIGH"),
        help="range of the age of what is observed, one value an episode, for training with "
        "task.observation_delay_ms=[LOW,HIGH] (default 0 0)",
    )
    parser.add_argument(
        "--counts-from",
        choices=list(ORIGINS),
        default=TaskConfig.counts_from,
        help="what deltas are added to, for training with task.counts_from (default: as the task has it): "
        + "; ".join(f"{name}: {words}" for name, words in ORIGINS.items()),
    )
    parser.add_argument("--append", action="store_true", help="add to a folder that holds episodes already")
    return parser


def _check(args: argparse.Namespace) -> None:
    """Refuse before anything slow what cannot work."""
    if args.episodes < 1:
        raise PixelarmError(f"--episodes must be at least 1, got {args.episodes}")
    if not 0 <= args.after <= LONGEST_AFTER:
        raise PixelarmError(f"--after must be 0 to {LONGEST_AFTER} steps, got {args.after}")
    if args.task not in TASKS:
        raise UnknownName("task", args.task, TASKS)
    if args.arm not in ARMS:
        raise UnknownName("arm", args.arm, ARMS)
    if not SMALLEST_IMAGE <= args.image_size <= LARGEST_IMAGE:
        raise PixelarmError(
            f"--image-size must be {SMALLEST_IMAGE} to {LARGEST_IMAGE} pixels, got {args.image_size}: the networks of "
            "`pixelarm train` read no smaller pictures"
        )
    if args.seed < 0:
        raise PixelarmError(f"--seed must be at least 0, got {args.seed}")
    require_folder(args.out)
