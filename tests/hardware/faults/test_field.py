"""`pixelarm field`: what it refuses, and what it makes of an arm that says nothing."""

from __future__ import annotations

import dataclasses
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")

import rclpy

from hardware.commands import faults, field
from hardware.faults import subject
from robot import bundle
from robot.contract import Contract
from robot.errors import PixelarmError

BOTH = pytest.mark.parametrize("main", [faults.main, field.main], ids=["faults", "field"])


@pytest.fixture
def contract(lift_bundle: Path) -> Contract:
    return bundle.read(lift_bundle)[1]


@pytest.fixture
def other(lift_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes the bundle one with another contract."""
    card, made, *rest = bundle.read(lift_bundle)

    def change(**what: Any) -> None:
        monkeypatch.setattr(bundle, "read", lambda path: (card, dataclasses.replace(made, **what), *rest))

    return change


@BOTH
def test_a_real_arm_is_refused_before_ros_starts(main: Any, lift_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rclpy, "init", lambda **_: pytest.fail("ROS is started"))
    with pytest.raises(PixelarmError, match="'franka_crisp' is no simulated arm.* sim_franka_crisp"):
        main([str(lift_bundle), "--arm", "franka_crisp"])


@BOTH
def test_so_are_an_arm_and_a_policy_that_do_not_fit(main: Any, lift_bundle: Path) -> None:
    with pytest.raises(PixelarmError, match="is for a ur5e, and the policy was made for a panda"):
        main([str(lift_bundle), "--arm", "sim_ur5e"])


@BOTH
def test_so_is_a_policy_that_sees_nothing(main: Any, lift_bundle: Path, other: Any) -> None:
    other(cameras=())
    with pytest.raises(PixelarmError, match="has no camera"):
        main([str(lift_bundle)])


def test_field_refuses_chunks_and_drivers_of_joints(lift_bundle: Path, other: Any) -> None:
    with pytest.raises(PixelarmError, match="takes no poses"):
        field.main([str(lift_bundle), "--arm", "sim_fr3_jtc"])
    other(chunk=4)
    with pytest.raises(PixelarmError, match="a history of 1 and chunks of 4"):
        field.main([str(lift_bundle)])


class Watch:
    """An arm that says nothing, and resets or does not."""

    def __init__(self, resets: bool) -> None:
        self.commands: list[Any] = []
        self.tip: list[Any] = []
        self._resets = resets

    def reset(self) -> bool:
        return self._resets


def test_silence_is_no_figure(contract: Contract, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(field.time, "sleep", lambda seconds: None)
    found = field.watched(6.0, Watch(True), contract)  # type: ignore[arg-type]
    assert found["age_ms"] == {"p50": None, "p99": None, "max": None} and found["jerk_rms_m_s3"] is None
    assert (found["missed"], found["cycles"]) == (50, 50)  # 5 s at 10 Hz
    text = field.table({"pixelarm": [found], "callback": [found | {"ages_ms": [8.0, 10.0]}]})
    assert "pixelarm   no command answered an observation" in text
    assert "callback       9.0    10.0    10.0         0 of 2        50 of 50           -" in text


def test_a_scene_that_is_not_set_up_is_an_error(contract: Contract, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(field.time, "sleep", lambda seconds: pytest.fail("measured on the scene before"))
    with pytest.raises(PixelarmError, match="no new scene"):
        field.watched(6.0, Watch(False), contract)  # type: ignore[arg-type]


@pytest.fixture
def ros() -> Iterator[None]:
    rclpy.init()
    yield
    rclpy.try_shutdown()


@pytest.mark.ros
@pytest.mark.serial
def test_a_reset_that_is_refused_is_none(ros: None) -> None:
    from std_srvs.srv import Trigger

    from hardware.ros.field_watch import FieldWatch

    arm = subject.ArmProfile.load(Path(field.__file__).parents[1] / "arms/sim_panda.yaml")
    watch, answers = FieldWatch(arm), iter([False, True])

    def answer(request: Any, response: Any) -> Any:
        response.success = next(answers)
        return response

    watch.node.create_service(Trigger, "sim_arm/reset", answer)
    try:
        assert [watch.reset(), watch.reset()] == [False, True]
    finally:
        watch.close()


@pytest.mark.ros
@pytest.mark.serial
def test_a_stamp_is_of_the_value_that_it_came_with(lift_bundle: Path, ros: None) -> None:
    """A message comes between any two lines, as another thread brings it: its number is its value and its stamp."""
    from hardware.ros.field_loops import FieldNode

    node, numbers = FieldNode(lift_bundle, "sim_panda", "callback"), itertools.count(1)
    sizes = {p.name: p.size for p in node.contract.proprio} | {"eef_pos": 3, "eef_quat": 4}
    seen, sent = [], []  # type: ignore[var-annotated]

    def act(observation: Any) -> Any:
        seen.append(min(int(observation[p.name][0]) for p in node.contract.proprio))
        return np.zeros((1, node.contract.action.size))

    def bring(frame: Any = None, event: str = "line", _: Any = None) -> Any:
        if frame is not None and frame.f_code is not FieldNode._act.__code__:
            return None
        number = next(numbers)
        for name, size in sizes.items():
            node._put(name, np.full(size, float(number)), number)
        return bring

    node.policy = SimpleNamespace(act=act)  # type: ignore[assignment]
    node._outputs = SimpleNamespace(publish=lambda command: sent.append(command.obs_stamp_ns))  # type: ignore[assignment]
    for camera in node.contract.cameras:
        node._put(camera.name, np.zeros(camera.shape, np.uint8), 2**62)
    bring()
    before = sys.gettrace()
    sys.settrace(bring)
    try:
        node._act()
    finally:
        sys.settrace(before)
        node.destroy_node()
    assert sent == seen and len(sent) == 1
    assert next(numbers) > 8, "nothing came in between"
