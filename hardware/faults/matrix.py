"""Faults on purpose: what is done to the nodes of a running policy, which rule must answer, and by when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from robot.actions import POSE
from robot.arbiter.arbiter import LOST_AFTER
from robot.contract import Contract
from robot.control.config import LoopConfig
from robot.profile import ArmProfile
from robot.profile.arbitration import ArbiterConfig
from robot.profile.grippers import WITH_JOINTS

LASTS_S = 2.0  # each fault that says nothing else
ASLEEP_S, AWAKE_S = 0.3, 0.1  # of a policy that is slow
LATE_S = 0.3  # by which each inference takes longer,
LATE_FOR_S = 1.5  # and for how long: too few to latch ``too_slow``
JUMP_S = 0.5  # of a clock: more than observations may be old, less than what is taken for another clock


class Scene(Protocol):
    """What a fault can do to the nodes (``hardware.ros.fault_scene``)."""

    def misbehave(self, **what: str) -> None: ...
    def freeze_policy(self, on: bool) -> None: ...
    def slow_policy(self, on: bool) -> None: ...
    def kill_policy(self) -> None: ...
    def order_policy(self, words: str) -> None: ...
    def kill_worker(self) -> None: ...
    def freeze_worker(self, on: bool) -> None: ...
    def kill_arbiter(self) -> None: ...
    def press_estop(self, on: bool) -> None: ...
    def button(self, held: bool | None) -> None: ...
    def publish_beside(self, on: bool) -> None: ...
    def send_nonsense(self, what: str) -> None: ...
    def stop_driver(self, on: bool) -> None: ...
    def busy(self, loops: int) -> None: ...


@dataclass(frozen=True)
class Fault:
    """One row.

    Args:
        name: of the row.
        words: what is done.
        rules: any of these must answer, of the control loop or of the arbiter; empty: the arm need not be held.
        within_s: from the fault to that rule, at most: until it can be noticed, and two control periods.
        by_itself: motion may go on when the fault is over; else somebody has to clear it first.
        restarts: a process has to be started anew afterwards.
        between: motion goes on between its holds, and each of them must come ``within_s`` of what it answers.
        heals: it is over before it is ended, and motion may go on: what counts is the way until then.
        cameras: those that fail.
        lasts_s: until it ends.
        worker: the policy's network runs in a process of its own (``pixelarm deploy --inference-python``).
    """

    name: str
    words: str
    rules: tuple[str, ...]
    within_s: float
    by_itself: bool = True
    restarts: bool = False
    between: bool = False
    heals: bool = False
    cameras: tuple[str, ...] = ()
    lasts_s: float = LASTS_S
    worker: bool = False

    def begin(self, scene: Scene) -> None:
        _ACTS[self.name.split(":")[0]](self, scene, True)

    def end(self, scene: Scene) -> None:
        _ACTS[self.name.split(":")[0]](self, scene, False)

    @property
    def what(self) -> str:
        """What follows the colon of the name."""
        return self.name.split(": ", 1)[1]


def matrix(profile: ArmProfile, contract: Contract) -> list[Fault]:
    """The faults that can be tried with this profile and a policy of this contract."""
    times, two = profile.arbiter, 2.0 * contract.period_s
    kind, silent, deadman = profile.told(contract.action.kind), times.silence_s + two, profile.enable.timeout_s + two
    lost_s = LOST_AFTER * times.silence_s  # then a silent policy has lost command, and somebody has to give it again
    found = [
        *camera_rows(contract),
        Fault("policy: stopped", "SIGSTOP to the policy's process", ("silent",), silent, by_itself=lost_s > LASTS_S),
        Fault("policy: slow", f"the policy's process sleeps {ASLEEP_S:g} s of each {ASLEEP_S + AWAKE_S:g} s",
              ("silent",) if times.silence_s < ASLEEP_S else (), silent + AWAKE_S, between=True),
        Fault("policy: killed", "SIGKILL to the policy's process", ("silent",), silent,
              by_itself=lost_s > 2 * LASTS_S, restarts=True),
        *_inference(contract),
        *_clocks(contract),
        Fault("target: nan", "not-a-number in place of targets", ("finite", "silent"), silent),
        Fault("target: frame", "targets in another frame, or of other joints", ("silent",), silent,
              by_itself=lost_s > LASTS_S),
        Fault("target: size", "targets of another size", ("silent",), silent, by_itself=lost_s > LASTS_S),
        Fault("target: old", "targets that answer an old observation", ("expiry", "silent"), 0.5 + two),
        Fault("button: released", "the enable button is let go", ("enable",), two),
        Fault("button: silent", "the enable button's device dies", ("enable",), deadman, by_itself=False),
        Fault("estop: pressed", "the emergency stop", ("estop",), two, by_itself=False),
        *_states(times, kind, two),
        Fault("publisher: second", "somebody else publishes on the command topic", ("second_publisher",), 0.5 + two,
              by_itself=False),
        Fault("load: busy", "four busy loops beside it", (), 0.0),
        Fault("disk: full", "no file of the policy's process can grow", (), 0.0),
        *_grippers(profile),
        Fault("arbiter: killed", "SIGKILL to the arbiter: the driver decides", ("not_in_command",), 0.7 + two,
              by_itself=False, restarts=True),
    ]  # fmt: skip
    if profile.driver is not None:
        rules, late = (("driver",), 0.2) if times.ready else (("not_followed",), times.follow_s)
        if times.ready or times.follow_rad or times.follow_m:
            stop = Fault(
                "driver: stop", "a protective stop of the driver", rules, late + two, by_itself=not times.ready
            )
            found.insert(-1, stop)
    return found


def camera_rows(contract: Contract) -> list[Fault]:
    """The first of the contract's cameras fails; two are swapped where there are two."""
    names, period_s = [camera.name for camera in contract.cameras[:2]], contract.period_s
    # a picture is missed when the one before is too old
    image = contract.max_age_ms * 1e-3 + 3.0 * period_s
    rows = {
        "lost": ("sends nothing", ("stale_observation",), image),
        "repeated": ("sends one message again and again",
                     ("frozen_picture", "repeated_observation", "stale_observation"), image),
        "frozen": ("sends its last picture with new stamps", ("frozen_picture",), 10.0 * period_s),
        "black": ("sends black pictures", ("dark_picture",), 3.0 * period_s),
        "late": ("is 0.4 s late", ("stale_observation", "skew"), image),
        "ahead": (f"has a clock that jumps {JUMP_S:g} s ahead", ("clock_domain", "stale_observation"), image),
    }  # fmt: skip
    found = [
        Fault(f"camera: {how}", f"{name} {words}", rules, within_s, cameras=(name,))
        for name in names[:1]
        for how, (words, rules, within_s) in rows.items()
    ]
    if len(names) == 2:
        words = f"{' and '.join(names)} under each other's name: nobody can notice, limits hold"
        found.append(Fault("camera: swapped", words, (), 0.0, cameras=tuple(names)))
    return found


def _inference(contract: Contract) -> list[Fault]:
    """Inference that is late, for a while or for good, and a process of its own that dies or stops.

    A miss is noticed at the deadline of the first observation that meets it, at most a period after it began; a chunk
    bridges it for as long as it lasts.
    """
    period_s, deadline_s = contract.period_s, contract.deadline_ms * 1e-3
    within_s = deadline_s + (contract.chunk - 1) * period_s + 3.0 * period_s
    missed = ("deadline_missed", "chunk_exhausted", "inference_error")
    most = LoopConfig.max_misses
    late = within_s - 2.0 * period_s < LATE_FOR_S and deadline_s < LATE_S  # else inference that is late is in time
    words = f"each inference takes {LATE_S:g} s longer"
    found = [
        Fault("inference: late", words, missed if late else (), within_s if late else 0.0, lasts_s=LATE_FOR_S),
        Fault("inference: killed", "SIGKILL to the process of the network", missed, within_s, heals=True,
              worker=True),
        Fault("inference: stopped", "SIGSTOP to the process of the network", missed, within_s, lasts_s=LATE_FOR_S,
              worker=True),
    ]  # fmt: skip
    if late and contract.chunk == 1:  # each control period is a miss
        latches_s = most * period_s + within_s
        found.append(Fault("inference: slow", f"{words}, for good", ("too_slow",), latches_s, by_itself=False,
                           lasts_s=latches_s + 0.5))  # fmt: skip
    return found


def _clocks(contract: Contract) -> list[Fault]:
    """The clock of the policy's process jumps, which is noticed with the next observation."""
    within_s, rules = 3.0 * contract.period_s, ("stale_observation", "clock_domain")
    return [
        Fault("clock: ahead", f"the policy's clock jumps {JUMP_S:g} s ahead", rules, within_s),
        Fault("clock: back", f"the policy's clock jumps {JUMP_S:g} s back", rules, within_s),
    ]


def _grippers(profile: ArmProfile) -> list[Fault]:
    """The arm goes on, and the gripper is told again what it did not take; only actions are answered."""
    refuses = Fault("gripper: refuses", "the gripper's driver takes no command", (), 0.0)
    busy = Fault("gripper: busy", "the gripper's driver does not say what became of its goal", (), 0.0)
    if profile.gripper_command.type == WITH_JOINTS:
        return []
    return [refuses, busy] if profile.gripper_command.is_action else [refuses]


def _states(times: ArbiterConfig, kind: str, two: float) -> list[Fault]:
    stale = times.state_age_s + two
    old, moved = ("stale_state", "stale_observation"), ("state_jump", "stale_state")
    permuted = Fault("state: permuted", "joints under each other's names", moved, stale, by_itself=False)
    return [
        Fault("state: lost", "joint states and pose end", old, stale, by_itself=times.state_lost_s > LASTS_S),
        Fault("state: stale", "states with stamps of half a second ago", old, stale),
        Fault("state: ahead", f"states whose clock jumps {JUMP_S:g} s ahead", ("clock_domain", *old), stale),
        *([] if kind == POSE else [permuted]),  # poses come by a topic of their own
        Fault("state: jumping", "every second state half a radian away: dropped one by one", (), 0.0),
    ]


def _camera(fault: Fault, scene: Scene, on: bool) -> None:
    if not on:
        scene.misbehave()
        return
    for camera in fault.cameras:
        scene.misbehave(camera=camera, how=fault.what)


def _policy(fault: Fault, scene: Scene, on: bool) -> None:
    if fault.what == "killed":
        scene.kill_policy() if on else None
    else:
        (scene.slow_policy if fault.what == "slow" else scene.freeze_policy)(on)


def _target(fault: Fault, scene: Scene, on: bool) -> None:
    scene.freeze_policy(on)  # nonsense in place of what it says
    scene.send_nonsense(fault.what if on else "")


def _inference_act(fault: Fault, scene: Scene, on: bool) -> None:
    if fault.what == "killed":
        scene.kill_worker() if on else None
    elif fault.what == "stopped":
        scene.freeze_worker(on)
    else:
        scene.order_policy(f"late {LATE_S if on else 0:g}")


def _clock(fault: Fault, scene: Scene, on: bool) -> None:
    scene.order_policy(f"clock {(JUMP_S if fault.what == 'ahead' else -JUMP_S) if on else 0:g}")


_ACTS = {
    "camera": _camera,
    "policy": _policy,
    "inference": _inference_act,
    "clock": _clock,
    "target": _target,
    "button": lambda fault, scene, on: scene.button((None if fault.what == "silent" else False) if on else True),
    "estop": lambda fault, scene, on: scene.press_estop(on),
    "state": lambda fault, scene, on: scene.misbehave(**({"state": fault.what} if on else {})),
    "publisher": lambda fault, scene, on: scene.publish_beside(on),
    "load": lambda fault, scene, on: scene.busy(4 if on else 0),
    "disk": lambda fault, scene, on: scene.order_policy(f"disk {'full' if on else 'free'}"),
    "gripper": lambda fault, scene, on: scene.misbehave(**({"gripper": fault.what} if on else {})),
    "driver": lambda fault, scene, on: scene.stop_driver(on),
    "arbiter": lambda fault, scene, on: scene.kill_arbiter() if on else None,
}
