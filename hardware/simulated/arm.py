"""A simulated arm in wall-clock time: physics in one thread, cameras in another, commands from whoever sends them.

``SimArm`` knows no ROS; ``hardware/ros/sim_arm_node.py`` gives it the topics of a real driver. It behaves like one:
it follows the newest target, keeps it when nobody speaks (a velocity only for a while), and ignores commands that
answer observations from before the last reset or that are too old. The stamp of an image is the instant of the
simulated state it shows, taken before it is drawn.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from hardware.simulated.episodes import Episodes
from robot.actions import JOINT_VELOCITY, PROPRIO, Target
from robot.stats import AFTER_STEPS

if TYPE_CHECKING:
    from robot.contract import Contract
    from robot.profile import ArmProfile
    from sim.physics.world import World
    from sim.tasks.common.base import Task

SLICE_S = 0.010  # s of simulated time per physics call
STATE_S = 0.020  # s between joint states: 50 Hz, as a driver might
FASTEST_CAMERA = 50.0  # pictures/s
SETTLE_S = 0.3  # s after a reset before commands count


@dataclass(frozen=True, eq=False)
class ArmState:
    """What a driver reports at one instant."""

    stamp_ns: int
    position: np.ndarray  # (3,) m, base frame
    quaternion: np.ndarray  # (4,) xyzw
    joint_names: list[str]
    joint_position: np.ndarray  # (joints and fingers,) rad and m
    joint_velocity: np.ndarray
    joint_effort: np.ndarray
    states: Mapping[str, np.ndarray] = field(default_factory=dict)  # what else the contract observes, by its names


class Listener(Protocol):
    """Who hears what the arm measures; each is called from the arm's threads."""

    def on_state(self, state: ArmState, exposed: bool) -> None:
        """At 50 Hz, and ``exposed`` at the camera rate: with the very stamp of the images."""

    def on_image(self, camera: str, pixels: np.ndarray, stamp_ns: int) -> None:
        """``(H, W, 3)`` uint8 as the camera sends it."""

    def on_episode(self, event: dict[str, Any]) -> None: ...


class SimArm:
    """A task's world in real time. ``start`` and ``stop`` it; ``reset`` and the commands may come from any thread."""

    def __init__(
        self,
        world: World,
        task: Task,
        listener: Listener,
        seed: int = 0,
        episodes: Episodes | None = None,
        command_timeout_s: float = 0.5,
        now_ns: Callable[[], int] = time.time_ns,
        velocity_timeout_s: float = 0.25,
    ) -> None:
        self.world, self.task, self.listener, self.episodes = world, task, listener, episodes
        self.command_timeout_s, self.now_ns = command_timeout_s, now_ns
        self.state_s = STATE_S  # between two joint states; a multiple of SLICE_S
        self.velocity_timeout_s = velocity_timeout_s  # joint velocities end when no other come for so long
        self.camera_s = 1.0 / world.contract.cameras[0].fps if world.contract.cameras else world.contract.period_s
        self.seed = episodes.seeds[0] if episodes else seed
        self.rejected = 0  # commands ignored as too old, from before a reset, or senseless
        self.slip_s = 0.0  # wall-clock time by which the physics could not keep up
        self.failure: BaseException | None = None
        self.ended = threading.Event()  # set when the episodes are done, or a thread failed
        self.frames: list[np.ndarray] | None = None  # images of the episode in progress, side by side, when filming
        self._states = [p.name for p in world.contract.proprio if p.name not in PROPRIO]
        self._lock = threading.RLock()  # guards the world and the fields below
        self._gripper = -1.0
        self._moving: Target | None = None  # joint velocities that are being followed
        self._begun_s = self._moved_s = 0.0  # simulated time when they came, and when they were said last
        self._accept_ns = 0  # commands answering older observations are ignored
        self._sim_s = 0.0  # simulated time since start
        self._ready = threading.Event()
        self._pending: tuple[int, Any] | None = None  # stamp and snapshot to draw
        self._wake = threading.Condition()
        self._running = False
        self._threads: list[threading.Thread] = []

    # ---------------------------------------------------------------- control
    def start(self) -> None:
        self._running = True
        for name, body in (("cameras", self._draw), ("physics", self._simulate)):
            thread = threading.Thread(target=self._guarded, args=(body,), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        self._running = False
        with self._wake:
            self._wake.notify_all()
        for thread in self._threads:
            thread.join(timeout=5.0)
        self._threads.clear()

    def _guarded(self, body: Callable[[], None]) -> None:
        try:
            body()
        except BaseException as error:  # a thread that dies silently would look like a frozen camera
            self.failure = self.failure or error
            self._running = False
            self.ended.set()

    @property
    def ready(self) -> bool:
        """The cameras have drawn once, and time runs."""
        return self._ready.is_set()

    def reset(self, seed: int | None = None) -> int:
        """A new scene (the next seed unless one is given); older commands no longer count. Returns the seed."""
        with self._lock:
            self.seed = self.seed + 1 if seed is None else seed
            self._new_scene()
            self._moving, self._gripper = None, -1.0
            self._accept_ns = self.now_ns()
            return self.seed

    def _new_scene(self) -> None:
        from sim.envs.task_world import reset_world

        reset_world(self.world, self.task, self.seed)

    def command(self, stamp_ns: int, gripper: float | None = None, **motion: Any) -> bool:
        """A motion and/or a gripper command that answer an observation of ``stamp_ns``; says whether they were
        accepted.

        Args:
            gripper: -1 opens, +1 closes.
            motion: what a ``robot.actions.Target`` sets: ``position`` and perhaps ``rotation``, or ``joint_positions``,
                or ``joint_velocities``, as the contract's kind of action makes them.

        Raises:
            PixelarmError: a motion of another kind than the contract's.
        """
        values = np.concatenate([*(np.ravel(v) for v in motion.values()), [] if gripper is None else [gripper]])
        with self._lock:
            late = self.now_ns() - stamp_ns > self.command_timeout_s * 1e9
            if late or stamp_ns < self._accept_ns or not np.isfinite(values).all():
                self.rejected += 1
                return False
            if gripper is not None:
                self._gripper = float(gripper)
                self.world.set_gripper(self._gripper)
            if motion:
                self._move(Target(self._gripper, **motion))
            return True

    def lead(self, joints: np.ndarray, gripper: float) -> None:
        """Servos lead the joints ``(n,)`` rad and the gripper (-1 opens, +1 closes), hundreds of times a second.

        That is nobody's command: it is not counted, and begins no episode (``heard`` does). Just after a scene was set
        up they lead nowhere.
        """
        if not (np.isfinite(joints).all() and np.isfinite(gripper)):
            return
        with self._lock:
            if self.now_ns() >= self._accept_ns:
                self._gripper = float(gripper)
                self.world.follow(Target(self._gripper, joint_positions=joints))
                self.world.lead_gripper(self._gripper)

    def heard(self) -> None:
        """Somebody commands the driver that leads the arm: an episode that waits for it begins."""
        with self._lock:
            if self.episodes and self.now_ns() >= self._accept_ns:
                self.episodes.on_command(self._sim_s)

    def joints(self) -> tuple[np.ndarray, np.ndarray]:
        """Positions of the joints and fingers, rad or m, and the share of its greatest force that each uses."""
        with self._lock:
            _, positions, _, effort = self.world.joint_state()
            arm = self.world.arm
            top = self.world.model.actuator_forcerange[[*arm.actuators, *arm.finger_actuators], 1]
            share = np.divide(effort[: len(top)], top, out=np.zeros(len(top)), where=top > 0)
            return positions, np.resize(share, len(positions))

    def measured(self, fields: Iterable[str]) -> dict[str, np.ndarray]:
        """Fields of a ``robot.actions.Target`` that leave the arm where it is."""
        with self._lock:
            found = self.world.reference()
            n = len(self.world.arm.qpos)
            known = {"joint_velocities": np.zeros(n), **{k: v for k, v in vars(found).items() if v is not None}}
            return {field: known[field] for field in fields}

    def _move(self, target: Target) -> None:
        """Follow a target. Joint velocities that are said again, as an arbiter does a hundred times a second, are the
        same command until a control period is over: servos go on to where they were sent when it came, as they do in
        the environment. Begun anew each time, they would lead the arm at about twice the speed.
        """
        if target.kind != JOINT_VELOCITY:
            self.world.follow(target)
        elif not self._said_again(target):
            self.world.follow(target)
            self._moving, self._begun_s = target, self._sim_s
        self._moved_s = self._sim_s
        if self.episodes:
            self.episodes.on_command(self._sim_s)

    def _said_again(self, target: Target) -> bool:
        if self._moving is None or self._sim_s - self._begun_s > self.world.contract.period_s - 0.5 * SLICE_S:
            return False
        said, before = target.joint_velocities, self._moving.joint_velocities
        return said is not None and before is not None and np.array_equal(said, before)

    def _end_motion(self) -> None:
        """What drivers do with velocities when nobody speaks any more."""
        if self._moving is not None and self._sim_s - self._moved_s > self.velocity_timeout_s:
            self.world.follow(self._moving.replace(gripper=self._gripper).to_hold())
            self._moving = None

    # ---------------------------------------------------------------- physics
    def _simulate(self) -> None:
        self._ready.wait()
        with self._lock:
            self.reset(self.seed)
            self._accept_ns = self.now_ns() + round(SETTLE_S * 1e9)
        substeps, count = round(SLICE_S / self.world.timestep), 0
        per_state, per_camera = max(1, round(self.state_s / SLICE_S)), round(self.camera_s / SLICE_S)
        due = time.monotonic()
        while self._running:
            with self._lock:
                self.world.advance(substeps)
                count += 1
                self._sim_s = count * SLICE_S
                self._end_motion()
                if count % per_camera == 0:
                    self._expose()
                elif count % per_state == 0:
                    self.listener.on_state(self._state(self.now_ns()), False)
                if self.episodes:
                    self._episodes_step(self.episodes)
            due += SLICE_S
            wait = due - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            elif wait < -0.1:  # a tenth of a second behind: let time go rather than race through it
                self.slip_s -= wait
                due = time.monotonic()

    def _state(self, stamp_ns: int) -> ArmState:
        position, quaternion = self.world.eef_pose()
        names, angles, velocity, effort = self.world.joint_state()
        states = (
            {name: value for name, value in self.world.proprio().items() if name in self._states}
            if self._states
            else {}
        )
        return ArmState(stamp_ns, position, quaternion, names, angles, velocity, effort, states)

    def _expose(self) -> None:
        """Take a picture: the state now, to be drawn by the camera thread."""
        stamp = self.now_ns()
        self.listener.on_state(self._state(stamp), True)
        with self._wake:
            self._pending = (stamp, self.world.snapshot())
            self._wake.notify_all()

    def _episodes_step(self, episodes: Episodes) -> None:
        event = episodes.step(self._sim_s, lambda: self.task.success(self.world))
        if event is None:
            return
        if event["event"] == "reset":
            self.reset(event["seed"])
            self._accept_ns = self.now_ns() + round(SETTLE_S * 1e9)
            self.frames = [] if self.frames is not None else None
        elif event["event"] == "end" and self.frames is not None:
            event["frames"], self.frames = self.frames, []
        self.listener.on_episode(event)
        if event["event"] == "done":
            self.ended.set()

    # ---------------------------------------------------------------- cameras
    def _draw(self) -> None:
        names = [camera.name for camera in self.world.contract.cameras]
        with self._lock:
            self._new_scene()
            snapshot = self.world.snapshot()
        for name in names:
            self.world.render(name, snapshot)  # makes the OpenGL context, half a second, before anybody watches
        self._ready.set()
        while self._running:
            with self._wake:
                self._wake.wait_for(lambda: self._pending is not None or not self._running)
                pending, self._pending = self._pending, None
            if pending is None:
                continue
            images = []
            for name in names:
                native = self.world.render_native(name, pending[1])
                self.listener.on_image(name, native, pending[0])
                if self.frames is not None:
                    images.append(self.world.fitted(name, native))
            frames = self.frames
            if frames is not None and images:
                frames.append(np.concatenate(images, axis=1))


@dataclass(frozen=True)
class Options:
    """What ``pixelarm sim-arm`` was asked for."""

    task: str
    arm: str
    seed: int
    episodes: int
    seed_start: int
    results: Path | None
    video_dir: Path | None
    command_timeout_s: float
    image_size: int = 64
    observe: str = ""  # of a task that can be observed in several ways; empty: as it is by itself
    bus: Path | None = None  # link to the port of an emulated bus, behind which the arm is then
    bus_calibration: Path | None = None
    camera_noise: int = 0  # of 255: pictures differ by up to so much from what is drawn, as a sensor's do
    camera_fps: float = 0.0  # pictures a second; 0: as the task
    parent: int = 0  # process with which it ends; 0: none


def ready_words(options: Options, arm: ArmProfile, contract: Contract, namespace: str, where: str) -> str:
    """One line: what is simulated, its topics and where they are heard, and how it ends."""
    scenes = f"scene {options.seed}"
    end = "Ctrl-C ends it"
    if options.episodes:
        scenes = f"scenes {options.seed_start} to {options.seed_start + options.episodes - 1}"
        end = f"it ends after {options.episodes} episodes, or with Ctrl-C"
    others = [source.topic for source in (arm.eef_pose, arm.joint_state, arm.gripper_state) if source]
    sent = dict.fromkeys([*(source.topic for source in arm.cameras.values()), *others])  # a topic may have two uses
    heard = [arm.outputs[arm.told(contract.action.kind)].topic, arm.gripper_command.topic]
    said = f"; its contract is on {arm.contract.topic}" if arm.contract else ""
    return (
        f"ready: simulated arm {arm.name}, task {options.task}, {scenes}; out: {', '.join(sent)}; waits for a policy "
        f"({contract.summary}) on {', '.join(heard)}{said}; namespace {namespace}, {where}; {end}"
    )


def summary(arm: SimArm, options: Options, complete: bool) -> dict[str, Any]:
    """What ``--results`` holds; written after every episode, so that an interrupted run keeps what it has."""
    return {
        "task": options.task,
        "complete": complete,
        "episodes": arm.episodes.results if arm.episodes else [],
        "after_steps": AFTER_STEPS,
        "rejected_commands": arm.rejected,
        "slip_s": round(arm.slip_s, 3),
        "contract_hash": arm.world.contract.hash,
        "options": {key: str(value) if isinstance(value, Path) else value for key, value in asdict(options).items()},
    }
