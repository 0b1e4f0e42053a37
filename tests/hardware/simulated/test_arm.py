"""The simulated arm without ROS: episodes on a clock by hand, and the real threads around a toy world."""

from __future__ import annotations

import dataclasses
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hardware.commands import sim_arm as command
from hardware.simulated import arm as sim_arm
from hardware.simulated.arm import ArmState, SimArm
from hardware.simulated.episodes import Episodes
from robot import profile
from robot.actions import Reference, Target
from robot.contract import Action, Camera, Contract, Proprio
from robot.control.limits import Context, default_limits
from robot.errors import PixelarmError
from robot.profile import ArmProfile
from sim.arms.table import TABLE_WORKSPACE

pytestmark = pytest.mark.serial  # threads in real time
PERIOD = 0.1
CONTRACT = Contract(
    task="toy",
    cameras=(Camera("front", 8, 8, fps=20), Camera("wrist", 8, 8, fps=20)),
    proprio=(Proprio("eef_pos", 3, "m", "base"),),
    action=Action(
        "eef_delta_position", ("x", "y", "z", "g"), ("m", "m", "m", "1"), (-0.04,) * 3 + (-1,), (0.04,) * 3 + (1,)
    ),
    rate_hz=10,
    deadline_ms=80,
    max_age_ms=100,
)


# ------------------------------------------------------------------------ episodes
def play(
    episodes: Episodes, success_at: dict[int, float], command_after: float = 0.35, lasts_s: float = 0.2
) -> list[dict[str, Any]]:
    """Step in slices of 10 ms; success holds from ``success_at[seed]`` s after the reset, ``lasts_s`` if negative."""
    events: list[dict[str, Any]] = []
    reset_s, seed = 0.0, None
    for k in range(100_000):
        now = k * 0.01

        def success(seed: int | None = None, since: float = 0.0) -> bool:
            at = success_at.get(seed, 1e9) if seed is not None else 1e9
            return since >= at if at >= 0 else -at <= since < -at + lasts_s

        if seed is not None and now - reset_s >= command_after:
            episodes.on_command(now)
        event = episodes.step(now, lambda s=seed, t=now - reset_s: success(s, t))
        if event:
            events.append(event)
            if event["event"] == "reset":
                reset_s, seed = now, event["seed"]
            if event["event"] == "done":
                return events
    raise AssertionError("the episodes never end")


def test_an_episode_is_counted_from_its_first_command() -> None:
    """Command at 0.35 s, success from 1.05 s on: the 7th period ends at 1.05 s."""
    events = play(Episodes([7], PERIOD, max_steps=60, hold_steps=1), {7: 1.05})
    assert [e["event"] for e in events] == ["reset", "start", "end", "done"]
    assert {k: events[2][k] for k in ("seed", "success_once", "success_end", "steps")} == {
        "seed": 7,
        "success_once": True,
        "success_end": True,
        "steps": 7,
    }


@pytest.mark.parametrize(("lasts_s", "at_the_end"), [(0.95, False), (1.05, True)])
def test_the_end_is_ten_periods_after_the_first_success(lasts_s: float, at_the_end: bool) -> None:
    """First success at 1.05 s, so the end is at 2.05 s: a success of 0.95 s is over by then, one of 1.05 s is not."""
    result = play(Episodes([1], PERIOD, max_steps=60, hold_steps=1), {1: -1.05}, lasts_s=lasts_s)[2]
    assert (result["success_once"], result["success_end"]) == (True, at_the_end)


def test_a_dropped_object_is_a_success_once_but_not_at_the_end() -> None:
    result = play(Episodes([1], PERIOD, max_steps=60, hold_steps=1), {1: -1.05})[2]
    assert (result["success_once"], result["success_end"]) == (True, False)


@pytest.mark.parametrize(("lasts_s", "success"), [(0.35, False), (0.45, True)])
def test_a_success_has_to_last(lasts_s: float, success: bool) -> None:
    """Done from 1.05 s on, for 0.35 s: at the ends of 4 periods; for 0.45 s: of 5."""
    result = play(Episodes([1], PERIOD, max_steps=30, hold_steps=5), {1: -1.05}, lasts_s=lasts_s)[2]
    assert result["success_once"] is success
    assert result["steps"] == (11 if success else 30)


def test_failures_end_after_max_steps_and_seeds_follow_in_order() -> None:
    episodes = Episodes([3, 4], PERIOD, max_steps=20, hold_steps=1)
    play(episodes, {4: 0.5})
    assert [(r["seed"], r["success_once"], r["steps"]) for r in episodes.results] == [(3, False, 20), (4, True, 2)]


def test_episodes_give_up_in_words_when_nobody_commands() -> None:
    episodes = Episodes([0, 1], PERIOD, max_steps=60)
    episodes.step(0.0, lambda: False)
    assert episodes.step(29.9, lambda: False) is None
    with pytest.raises(PixelarmError, match="no command arrived for 30 s.*after 0 of 2.*policy node"):
        episodes.step(30.1, lambda: False)


# ------------------------------------------------------------------------- threads
class ToyWorld:
    """A point that goes to its target; each camera shows how often physics had run."""

    contract = CONTRACT
    timestep = 0.005

    def __init__(self) -> None:
        self.count, self.target, self.threads = 0, None, set()
        self.targets: list[Target] = []
        self.grippers: list[float] = []

    def start(self, rng: np.random.Generator) -> None:
        self.target = None

    def settle(self) -> None:
        pass

    def follow(self, target: Target) -> None:
        self.targets.append(target)
        values = next(v for v in (target.position, target.joint_velocities) if v is not None)
        self.target = (*values.tolist(), target.gripper)

    def set_gripper(self, gripper: float) -> None:
        self.grippers.append(gripper)

    def advance(self, substeps: int) -> None:
        self.count += substeps

    def eef_pose(self) -> tuple[np.ndarray, np.ndarray]:
        return np.array([0.5, 0.0, 0.1]), np.array([1.0, 0.0, 0.0, 0.0])

    def joint_state(self) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray]:
        return ["a"], np.zeros(1), np.zeros(1), np.zeros(1)

    def snapshot(self) -> int:
        return self.count

    def render(self, camera: str, snapshot: int) -> np.ndarray:
        return self.fitted(camera, self.render_native(camera, snapshot))

    def render_native(self, camera: str, snapshot: int) -> np.ndarray:
        self.threads.add(threading.get_ident())
        return np.full((16, 8, 3), snapshot % 256, np.uint8)

    def fitted(self, camera: str, native: np.ndarray) -> np.ndarray:
        return native[:8]


class ToyTask:
    """Never done; remembers the first number of each scene's random stream."""

    def __init__(self) -> None:
        self.drawn: list[float] = []

    def place_objects(self, world: ToyWorld, rng: np.random.Generator) -> None:
        self.drawn.append(rng.random())

    def success(self, world: ToyWorld) -> bool:
        return False


class Ear:
    def __init__(self) -> None:
        self.states: list[tuple[ArmState, bool]] = []
        self.images: list[tuple[str, int]] = []
        self.enough = threading.Event()

    def on_state(self, state: ArmState, exposed: bool) -> None:
        self.states.append((state, exposed))

    def on_image(self, camera: str, pixels: np.ndarray, stamp_ns: int) -> None:
        self.images.append((camera, stamp_ns))
        if len(self.images) >= 16:
            self.enough.set()

    def on_episode(self, event: dict[str, Any]) -> None:
        pass


def test_images_carry_the_stamp_of_the_state_they_show() -> None:
    world, ear = ToyWorld(), Ear()
    arm = SimArm(world, ToyTask(), ear, seed=5)  # type: ignore[arg-type]
    arm.start()
    assert ear.enough.wait(20)
    arm.stop()
    assert arm.failure is None
    stamps = {state.stamp_ns for state, exposed in ear.states if exposed}
    assert {stamp for _, stamp in ear.images} <= stamps
    assert len(world.threads) == 1  # one thread draws: the OpenGL context is bound to it
    assert any(not exposed for _, exposed in ear.states)


def commands(arm: SimArm, age_s: float = 0.0, **what: Any) -> bool:
    return arm.command(time.time_ns() - round(age_s * 1e9), **what)


def test_old_senseless_and_pre_reset_commands_are_ignored() -> None:
    world, task = ToyWorld(), ToyTask()
    arm = SimArm(world, task, Ear())  # type: ignore[arg-type]
    there = np.array([0.5, 0.1, 0.2])
    assert commands(arm, position=there, gripper=1.0)
    assert world.target == (0.5, 0.1, 0.2, 1.0)
    assert commands(arm, gripper=-1.0)
    assert world.grippers == [1.0, -1.0] and len(world.targets) == 1  # the fingers move, the arm is not told anew
    assert commands(arm, position=there)
    assert world.target == (0.5, 0.1, 0.2, -1.0)  # a motion keeps what the gripper was told
    assert not commands(arm, age_s=0.6, position=there + 1)  # older than the command timeout
    assert not commands(arm, position=there * np.nan)
    before = time.time_ns() - 1
    assert arm.reset() == 1
    assert not arm.command(before, position=there)
    assert world.target is None
    assert task.drawn == [np.random.default_rng(1).random()]  # the scene of seed 1
    assert arm.rejected == 3


def test_servos_lead_the_joints_and_are_nobodys_command() -> None:
    """Only what their driver hears begins an episode, which waits for a command."""
    world, episodes, joints = ToyWorld(), Episodes([0], PERIOD, max_steps=60), np.array([0.1, 0.2])
    world.follow = lambda target: world.targets.append(target)  # type: ignore[assignment]
    arm = SimArm(world, ToyTask(), Ear(), episodes=episodes)  # type: ignore[arg-type]
    assert episodes.step(0.0, lambda: False) == {"event": "reset", "seed": 0}
    goals: list[float] = []
    world.lead_gripper = goals.append  # type: ignore[attr-defined]
    arm.lead(joints, 0.3)
    assert world.targets[0].joint_positions is joints
    assert goals == [0.3]  # in between, where a policy's command is one of two
    arm.lead(joints * np.nan, 1.0)
    assert episodes.step(0.1, lambda: False) is None
    arm._accept_ns = time.time_ns() + 10**12  # the scene was set up just now
    arm.lead(joints, 1.0)
    arm.heard()
    assert len(world.targets) == 1 and episodes.step(0.2, lambda: False) is None and arm.rejected == 0
    arm._accept_ns = 0
    arm.heard()
    assert episodes.step(0.3, lambda: False) == {"event": "start", "seed": 0}


def test_a_thread_that_fails_ends_the_arm_and_says_why() -> None:
    world = ToyWorld()
    world.advance = lambda substeps: 1 / 0  # type: ignore[assignment]
    arm = SimArm(world, ToyTask(), Ear())  # type: ignore[arg-type]
    arm.start()
    assert arm.ended.wait(20)
    arm.stop()
    assert isinstance(arm.failure, ZeroDivisionError)


VELOCITIES = dataclasses.replace(
    CONTRACT,
    proprio=(Proprio("joint_pos", 2, "rad", "joint"),),
    action=Action("joint_velocity", ("a", "b", "g"), ("rad/s", "rad/s", "1"), (-1,) * 3, (1,) * 3),
)


def test_velocities_end_when_nobody_speaks() -> None:
    world = ToyWorld()
    world.contract = VELOCITIES  # type: ignore[misc]
    arm = SimArm(world, ToyTask(), Ear(), velocity_timeout_s=0.05)  # type: ignore[arg-type]
    arm.start()
    wanted, end = np.array([0.5, -0.5]), time.monotonic() + 20
    while world.count == 0 and time.monotonic() < end:
        time.sleep(0.02)  # what comes before the first scene is there goes with it
    while not commands(arm, joint_velocities=wanted, gripper=1.0) and time.monotonic() < end:
        time.sleep(0.02)  # not yet ready
    while len(world.targets) < 2 and time.monotonic() < end:
        time.sleep(0.02)
    time.sleep(0.1)
    arm.stop()
    assert arm.failure is None
    assert [target.joint_velocities.tolist() for target in world.targets] == [[0.5, -0.5], [0.0, 0.0]]  # type: ignore[union-attr]
    assert world.targets[-1].gripper == 1.0


# ------------------------------------------------------------------------ the command
def test_help_and_bad_options(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(["--help"])
    assert ended.value.code == 0
    assert "--episodes" in capsys.readouterr().out
    with pytest.raises(PixelarmError, match="--episodes"):
        command.main(["--episodes", "-1"])
    with pytest.raises(PixelarmError, match="--camera-fps must be 1 to 50"):
        command.main(["--camera-fps", "60"])
    assert command.parser().parse_args(["--results", ""]).results is None


def test_empty_values_of_a_launch_file_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    class Begun(Exception): ...

    def begin() -> None:
        raise Begun

    monkeypatch.setattr(command.runtime, "require_rclpy", begin)
    empty = ["--results", "", "--video-dir", "", "--bus", "", "--bus-calibration", "", "--seed-start", "0"]
    with pytest.raises(Begun):
        command.main(empty)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--image-size", "0"], "--image-size must be 1 to 2048, got 0"),
        (["--image-size", "100000"], "--image-size must be 1 to 2048, got 100000"),
        (["--seed", "-5"], "--seed and --seed-start must be at least 0, got -5 and 0"),
        (["--seed-start", "-5"], "--seed and --seed-start must be at least 0, got 0 and -5"),
        (["--results", "FILE/r.json", "--episodes", "1"], "nothing can be written into FILE: File exists"),
        (["--video-dir", "FILE/films", "--episodes", "1"], "nothing can be written into FILE/films: Not a directory"),
        (["--results", "r.json"], "--results is for episodes: give --episodes N"),
        (["--video-dir", "films"], "--video-dir is for episodes"),
        (["--seed-start", "3"], "--seed-start is for episodes"),
        (["--bus-calibration", "c.json"], "--bus-calibration .* give --bus LINK"),
        (["--bus", "FILE"], "FILE is there already"),
    ],
)
def test_what_it_cannot_do_is_refused_before_ros_starts(
    options: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command.runtime, "require_rclpy", lambda: pytest.fail("ROS is started"))
    (tmp_path / "FILE").write_text("")
    with pytest.raises(PixelarmError, match=words):
        command.main(options)


# ------------------------------------------------------- the profile against the task
def test_the_simulated_arms_profile_fits_lift() -> None:
    """No limit binds for an action within the contract's bounds, and the table's top is just inside the box."""
    pytest.importorskip("mujoco")
    from sim.tasks import make_task

    contract = make_task("lift").contract
    folder = profile.shipped()
    assert folder is not None
    arm = ArmProfile.load(folder / "sim_panda.yaml")
    arm.require_contract(contract)
    chain = default_limits(arm.limits, contract)
    measured = np.array([0.5, 0.0, 0.1])
    corner = np.asarray(contract.action.high[:3])
    for previous, delta in ((None, corner), (Target(1.0, position=measured + corner), -corner)):
        target = Target(1.0, position=measured + delta)
        assert chain.apply(target, Context(measured=Reference(measured), previous=previous)) is target
    assert sum(chain.counts().values()) == 0
    assert -0.112 <= arm.limits.box_low[2] <= -0.1  # the table's top is at 0.8 - 0.912 m, a cube's centre 2 cm above
    assert (
        arm.limits.box_low,
        arm.limits.box_high,
    ) == TABLE_WORKSPACE  # what policies learn in is what the arm keeps to


def test_it_says_in_a_line_what_it_simulates_where_and_how_to_end_it() -> None:
    folder = profile.shipped()
    assert folder is not None
    arm = ArmProfile.load(folder / "sim_panda.yaml")
    options = sim_arm.Options("lift", "sim_panda", 4, 0, 0, None, None, 0.5)
    assert sim_arm.ready_words(options, arm, CONTRACT, "/left", "ROS_DOMAIN_ID 7, this machine only") == (
        "ready: simulated arm sim_panda, task lift, scene 4; out: agentview/image_raw, eye_in_hand/image_raw, "
        "current_pose, joint_states; waits for a policy (task toy, arm panda, 10 Hz, eef_delta_position) on "
        "target_pose, gripper/target; its contract is on sim_arm/contract; namespace /left, ROS_DOMAIN_ID 7, this "
        "machine only; Ctrl-C ends it"
    )
    episodes = dataclasses.replace(options, episodes=20, seed_start=100)
    said = sim_arm.ready_words(episodes, arm, CONTRACT, "/", "")
    assert "task lift, scenes 100 to 119;" in said and said.endswith("it ends after 20 episodes, or with Ctrl-C")


def test_options_are_what_the_parser_gives() -> None:
    args = command.parser().parse_args(["--episodes", "2", "--seed-start", "100", "--video-dir", "v"])
    assert SimpleNamespace(**vars(args)).video_dir == Path("v")
