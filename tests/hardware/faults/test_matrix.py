"""Every fault knows what is done, to which camera, and what must follow."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from hardware.faults.matrix import Fault, matrix
from robot import profile
from robot.contract import Action, Camera, Contract, Proprio
from robot.profile import ArmProfile


def arm(name: str) -> ArmProfile:
    folder = profile.shipped()
    assert folder is not None
    return ArmProfile.load(Path(folder) / f"{name}.yaml")


CAMERAS = ("front", "wrist", "side")


def contract(cameras: int = 2) -> Contract:
    """At 10 Hz, 100 ms old at most."""
    return Contract(
        task="lift",
        cameras=tuple(Camera(name, 8, 8, fps=10.0, frame_id=name) for name in CAMERAS[:cameras]),
        proprio=(Proprio("joint_pos", 6, "rad", "base"),),
        action=Action("joint_position", ("a",) * 6, ("rad",) * 6, (-1.0,) * 6, (1.0,) * 6, "base"),
        rate_hz=10.0,
        deadline_ms=80.0,
        max_age_ms=100.0,
    )


def by_name(found: list[Fault]) -> dict[str, Fault]:
    return {fault.name: fault for fault in found}


class Scene:
    """Writes down what is done to it."""

    def __init__(self) -> None:
        self.done: list[tuple[object, ...]] = []

    def __getattr__(self, name: str) -> object:
        return lambda *values, **named: self.done.append((name, *values, *sorted(named.items())))


def test_each_fault_is_done_and_undone() -> None:
    faults = matrix(arm("sim_ur5e_forward"), contract())
    assert len({fault.name for fault in faults}) == len(faults) > 20
    acts = {}
    for fault in faults:
        scene = Scene()
        fault.begin(scene)
        begun = list(scene.done)
        fault.end(scene)
        acts[fault.name] = (begun, scene.done[len(begun) :])
        assert begun, fault.name
        assert acts[fault.name][1] or fault.name.endswith("killed"), fault.name
    assert acts["camera: black"] == (
        [("misbehave", ("camera", "front"), ("how", "black"))],
        [("misbehave",)],
    )
    assert acts["target: nan"] == (
        [("freeze_policy", True), ("send_nonsense", "nan")],
        [("freeze_policy", False), ("send_nonsense", "")],
    )
    assert acts["inference: late"] == ([("order_policy", "late 0.3")], [("order_policy", "late 0")])
    assert acts["clock: back"] == ([("order_policy", "clock -0.5")], [("order_policy", "clock 0")])
    assert acts["disk: full"] == ([("order_policy", "disk full")], [("order_policy", "disk free")])
    assert acts["gripper: refuses"] == ([("misbehave", ("gripper", "refuses"))], [("misbehave",)])
    assert acts["inference: killed"] == ([("kill_worker",)], [])
    assert acts["inference: stopped"] == ([("freeze_worker", True)], [("freeze_worker", False)])
    assert acts["button: silent"] == ([("button", None)], [("button", True)])


@pytest.mark.parametrize(("cameras", "broken"), [(3, [("front",), ("front", "wrist")]), (1, [("front",)]), (0, [])])
def test_the_first_camera_of_the_contract_fails_and_the_first_two_are_swapped(cameras, broken) -> None:
    faults = [fault for fault in matrix(arm("sim_panda"), contract(cameras)) if fault.name.startswith("camera")]
    assert sorted({fault.cameras for fault in faults}) == broken
    if cameras == 3:
        scene = Scene()
        by_name(faults)["camera: swapped"].begin(scene)
        assert scene.done == [("misbehave", ("camera", name), ("how", "swapped")) for name in ("front", "wrist")]
        assert by_name(faults)["camera: lost"].words == "front sends nothing"


def test_times_are_of_the_contract_and_the_profile() -> None:
    faults = by_name(matrix(arm("sim_panda"), contract()))
    assert faults["camera: lost"].within_s == pytest.approx(0.4)  # 0.1 s old at most, and three periods
    assert faults["policy: stopped"].within_s == pytest.approx(0.45)  # silent for 0.25 s, and two periods


def test_who_has_lost_command_must_not_go_on_by_itself() -> None:
    """After ten times the profile's silence, and after a second without states: each fault lasts 2 s."""
    panda = arm("sim_panda")
    assert (panda.arbiter.silence_s, panda.arbiter.state_lost_s) == (0.25, 3.0)
    never = {
        "inference: slow",
        "button: silent",
        "estop: pressed",
        "publisher: second",
        "arbiter: killed",
        "policy: killed",
    }
    assert {f.name for f in matrix(panda, contract()) if not f.by_itself} - {"state: permuted"} == never
    times = dataclasses.replace(panda.arbiter, silence_s=0.1, state_lost_s=1.0)
    strict = matrix(dataclasses.replace(panda, arbiter=times), contract())
    lost = {"policy: stopped", "target: frame", "target: size", "state: lost"}
    assert {f.name for f in strict if not f.by_itself} - {"state: permuted"} == never | lost


def test_a_sleep_shorter_than_the_silence_that_is_allowed_needs_no_hold() -> None:
    panda = arm("sim_panda")
    patient = dataclasses.replace(panda, arbiter=dataclasses.replace(panda.arbiter, silence_s=0.5))
    rows = [by_name(matrix(profile, contract()))["policy: slow"] for profile in (panda, patient)]
    assert [(row.rules, row.between) for row in rows] == [(("silent",), True), ((), True)]


def test_inference_that_is_late_must_be_noticed_where_no_deadline_and_no_chunk_bridges_it() -> None:
    short = by_name(matrix(arm("sim_panda"), contract()))
    assert short["inference: late"].within_s == pytest.approx(0.38)  # a deadline of 0.08 s and three periods
    assert "deadline_missed" in short["inference: late"].rules
    assert short["inference: slow"].within_s == pytest.approx(2.38)  # 20 misses more, and then it latches
    assert short["inference: slow"].lasts_s > 2.38 > short["inference: late"].lasts_s
    patient = by_name(matrix(arm("sim_panda"), dataclasses.replace(contract(), chunk=16, deadline_ms=350.0)))
    assert patient["inference: late"].rules == () and "inference: slow" not in patient
    workers = {fault.name for fault in matrix(arm("sim_panda"), contract()) if fault.worker}
    assert workers == {"inference: killed", "inference: stopped"}


def test_only_a_gripper_whose_goals_are_answered_can_be_busy() -> None:
    panda = arm("sim_panda")
    action = dataclasses.replace(
        panda.gripper_command, type="gripper_command_action", on_change=None, min_change=None, min_interval_s=None,
        max_effort=5.0,
    )  # fmt: skip
    names = [{f.name for f in matrix(profile, contract()) if f.name.startswith("gripper")}
             for profile in (panda, dataclasses.replace(panda, gripper_command=action))]  # fmt: skip
    assert names == [{"gripper: refuses"}, {"gripper: refuses", "gripper: busy"}]
