"""Training sees what the policy node sees: pictures of one scene through the environment, and through the simulated
arm's messages and the node's inputs. And: large images over real DDS with the settings that ship.
"""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("mujoco")

from sensor_msgs.msg import CompressedImage, Image

from hardware.ros.sim_arm_node import SimArmNode
from hardware.simulated.misbehave import Misbehaviour
from robot import profile
from robot.commands import cameras as bench
from robot.control.limits import default_limits
from robot.control.loop import ControlLoop, LoopConfig
from robot.errors import PixelarmError
from robot.images import Fit
from robot.profile import ArmProfile
from robot.ros import shared_memory
from robot.ros.inputs import Inputs
from sim.envs import make as making
from sim.envs.config import TaskConfig
from sim.envs.task_env import TaskEnv
from sim.envs.task_world import build_world, reset_world

SEED, NAME, SIZE = 3, "agentview", 84
STAMP_NS = 7_000_000_000


def arm_with(**keys: Any) -> ArmProfile:
    """sim_panda_vga with other keys of the camera agentview."""
    folder = profile.shipped()
    assert folder is not None
    arm = ArmProfile.load(folder / "sim_panda_vga.yaml")
    camera = dataclasses.replace(arm.cameras[NAME], **keys)
    return dataclasses.replace(arm, cameras={**arm.cameras, NAME: camera})


def seen_in_training(arm: ArmProfile, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    monkeypatch.setattr(ArmProfile, "load", lambda path: arm)
    env = making.make_env(TaskConfig("lift", SIZE, camera_profile="sim_panda_vga"))
    observation, _ = env.reset(seed=SEED)
    env.close()
    return observation[NAME]


def seen_on_the_arm(arm: ArmProfile) -> tuple[np.ndarray, Any]:
    """What the node's inputs hand to the loop of what the simulated arm's node sends, and the message."""
    task = making.configured_task(TaskConfig("lift", SIZE))
    world = build_world(task, fits={name: source.fit for name, source in arm.cameras.items()})
    reset_world(world, task, SEED)
    sent: list[Any] = []
    node = SimpleNamespace(
        arm_profile=arm,
        _images={NAME: SimpleNamespace(publish=sent.append)},
        _frame_ids={NAME: "camera"},
        options=SimpleNamespace(camera_noise=0),
        _misbehaviour=Misbehaviour(),
    )
    SimArmNode.on_image(node, NAME, world.render_native(NAME), STAMP_NS)  # type: ignore[arg-type]
    world.close()
    heard: dict[str, np.ndarray] = {}
    policy: Any = SimpleNamespace(contract=task.contract, act=None)  # no observation is complete here
    limits = default_limits(arm.limits, task.contract)
    loop: Any = ControlLoop(policy, limits, lambda command, hold: None, LoopConfig(home_xyzw=arm.home_xyzw))
    loop.put_image = lambda name, pixels, stamp: heard.update({name: pixels})
    subscribed: dict[str, Any] = {}

    def subscribe(kind: Any, topic: str, callback: Any, depth: int, reliable: bool = False) -> None:
        subscribed[topic] = (kind, callback, depth, reliable)

    inputs = Inputs(subscribe, arm, loop, lambda xyzw: None)
    kind, callback, depth, reliable = subscribed[arm.cameras[NAME].topic]
    assert isinstance(sent[0], kind) and (depth, reliable) == (1, False)
    callback(sent[0])
    loop.close()
    assert inputs.stages.to_dict()["decode"]["n"] == 1
    return heard[NAME], sent[0]


@pytest.mark.gl
@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"resize": "stretch"},
        {"crop": (100, 60, 200, 300), "resize": "stretch"},
        {"rotate": 180},
        {"rotate": 90, "crop": (0, 0, 480, 480)},
        {"size": (SIZE, SIZE), "resize": "exact", "rotate": 270},
    ],
    ids=str,
)
def test_raw_images_are_the_very_same_in_training_and_on_the_arm(
    keys: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    arm = arm_with(**keys)
    on_the_arm, message = seen_on_the_arm(arm)
    in_training = seen_in_training(arm, monkeypatch)
    assert isinstance(message, Image) and (message.width, message.height) == arm.cameras[NAME].size
    assert in_training.shape == (SIZE, SIZE, 3) and in_training.std() > 10
    assert np.array_equal(in_training, on_the_arm)


@pytest.mark.gl
def test_compressed_images_differ_by_what_jpeg_does(monkeypatch: pytest.MonkeyPatch) -> None:
    arm = arm_with(type="compressed")
    on_the_arm, message = seen_on_the_arm(arm)
    assert isinstance(message, CompressedImage) and len(message.data) < 640 * 480 * 3 / 5
    difference = np.abs(on_the_arm.astype(int) - seen_in_training(arm, monkeypatch))
    assert 0 < difference.mean() < 0.5 and difference.max() <= 10


@pytest.mark.gl
def test_turned_cameras_show_the_scene_upright(monkeypatch: pytest.MonkeyPatch) -> None:
    upright = seen_in_training(arm_with(), monkeypatch)
    turned = seen_in_training(arm_with(rotate=180), monkeypatch)
    assert np.array_equal(upright, turned)


@pytest.mark.gl
def test_the_centred_square_is_what_was_drawn_directly_before() -> None:
    env, plain = (making.make("lift", image_size=SIZE, camera_profile=name) for name in ("sim_panda_vga", ""))
    assert isinstance(env, TaskEnv) and isinstance(plain, TaskEnv)
    fitted, drawn = (made.reset(seed=SEED)[0] for made in (env, plain))
    assert np.abs(fitted[NAME].astype(int) - drawn[NAME]).mean() < 2
    assert env.contract.hash == plain.contract.hash  # a policy may be trained either way and run on either arm
    wanted = {"size": [640, 480], "crop": None, "resize": "center", "rotate": 0}
    assert env.recording["cameras"] == {"agentview": wanted, "eye_in_hand": wanted}
    assert plain.recording["cameras"] == {}
    env.close(), plain.close()


def test_a_profile_that_cannot_be_trained_for_is_refused_in_words() -> None:
    with pytest.raises(PixelarmError, match="agentview, eye_in_hand of the arm profile 'sim_panda' have no size: add"):
        making.make("lift", camera_profile="sim_panda")
    with pytest.raises(PixelarmError, match="'sim_ur5e' is for a ur5e, and the policy was made for a panda"):
        making.make("lift", camera_profile="sim_ur5e")
    with pytest.raises(PixelarmError, match="runs on no arm: leave task.camera_profile=sim_panda_vga out"):
        making.make("dmc/cartpole-swingup", camera_profile="sim_panda_vga")
    with pytest.raises(PixelarmError, match=r"camera 'agentview' is cropped, resized or turned.*add size"):
        build_world(making.configured_task(TaskConfig("lift")), fits={NAME: Fit(rotate=90)})


# ------------------------------------------------------------------------------------------------------------------ DDS
@pytest.mark.ros
@pytest.mark.serial
@pytest.mark.thorough
def test_the_settings_that_ship_let_large_images_through() -> None:
    """20 images of 1280x720 at 10 Hz: with Fast DDS as it comes next to none arrive."""
    found = bench.transported(1280, 720, "raw", 20, 10.0, str(shared_memory.shipped()))
    assert found["sent"] == 20 and found["n"] >= 18
