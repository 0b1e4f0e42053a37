"""When a tip came to rest, how fast it was and how far it went; and that every fault knows what to do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hardware.faults.motion import after
from robot import profile
from robot.profile import ArmProfile

TIMES = np.arange(0.0, 3.0, 0.02)


def line(stops_s: float, speed: float = 0.2) -> np.ndarray:
    """A tip that goes along x at ``speed`` until ``stops_s``."""
    return np.stack([speed * np.minimum(TIMES, stops_s), 0 * TIMES, 0 * TIMES], axis=1)


def test_rest_begins_where_the_tip_stops() -> None:
    motion = after(1.0, TIMES, line(1.5))
    assert motion.rest_s == pytest.approx(0.5, abs=0.021)
    assert motion.peak_m_s == pytest.approx(0.2)
    assert motion.travel_m == pytest.approx(0.1)


def test_a_tip_that_never_rests_has_no_rest() -> None:
    assert after(1.0, TIMES, line(9.0)).rest_s is None


def test_one_that_stood_before_rests_at_once() -> None:
    motion = after(1.0, TIMES, line(0.5))
    assert (motion.rest_s, motion.travel_m) == (0.0, 0.0)


def test_a_second_motion_counts() -> None:
    positions = line(1.1)
    positions[TIMES > 2.0, 1] += 0.05
    motion = after(1.0, TIMES, positions)
    assert motion.rest_s is not None and motion.rest_s > 0.9
    assert motion.peak_m_s > 0.4


class Scene:
    """Writes down what is done to it."""

    def __init__(self) -> None:
        self.done: list[tuple[object, ...]] = []

    def __getattr__(self, name: str) -> object:
        return lambda *values, **named: self.done.append((name, *values, *sorted(named.items())))


def test_each_fault_is_done_and_undone() -> None:
    pytest.importorskip("rclpy")
    from hardware.faults.matrix import matrix

    folder = profile.shipped()
    assert folder is not None
    arm = ArmProfile.load(Path(folder) / "sim_ur5e_forward.yaml")
    faults = matrix(arm, "joint_position", 0.1, 0.1, "agentview")
    assert len({fault.name for fault in faults}) == len(faults) > 20
    acts = {}
    for fault in faults:
        scene = Scene()
        fault.begin(scene)
        begun = list(scene.done)
        fault.end(scene)
        acts[fault.name] = (begun, scene.done[len(begun) :])
        assert begun, fault.name
        assert acts[fault.name][1] or fault.restarts, fault.name
    assert acts["camera: black"] == (
        [("misbehave", ("camera", "agentview"), ("how", "black"))],
        [("misbehave",)],
    )
    assert acts["target: nan"] == (
        [("freeze_policy", True), ("send_nonsense", "nan")],
        [("freeze_policy", False), ("send_nonsense", "")],
    )
    assert acts["button: silent"] == ([("button", None)], [("button", True)])
