"""The kitchen observed by true states: what is seen, what recorded episodes become, what is refused."""

import dataclasses

import numpy as np
import pytest

from robot.dataset.episodes import read_episode
from robot.errors import ContractMismatch, DatasetError, PixelarmError, UnknownName
from sim.envs.config import TaskConfig
from sim.envs.make import contract_for, make, make_env_for
from sim.kitchen.states import States, has_states, read_states
from sim.tasks.kitchen import Kitchen

TARGET = "kitchen_microwave_kettle_slide_cabinet_hinge_cabinet"


@pytest.fixture(scope="module")
def env():
    made = make("kitchen", observe="states")
    yield made
    made.close()


def test_it_observes_the_30_positions_of_the_scene_in_order(env):
    seen, _ = env.reset(seed=1)
    assert {name: value.shape for name, value in seen.items()} == {
        "joint_pos": (7,), "finger_pos": (2,), "object_state": (21,),
    }  # fmt: skip
    assert np.array_equal(np.concatenate(list(seen.values())), env.world.data.qpos.astype(np.float32))


def test_the_contract_of_pixels_is_as_it_was():
    """Written down before states were there: datasets and bundles of pixels go on being read."""
    pixels, states = Kitchen().contract, Kitchen(observe="states").contract
    assert [camera.name for camera in pixels.cameras] == ["agentview", "eye_in_hand"]
    assert [entry.name for entry in pixels.proprio] == ["joint_pos", "gripper_opening"]
    assert states.action == pixels.action and not states.cameras and has_states(states) and not has_states(pixels)
    assert contract_for(TaskConfig(name="kitchen")) == pixels


def test_a_policy_of_states_is_judged_in_its_own_task(env):
    other = make_env_for(env.contract.for_policy(chunk=8), {"task": {"look": ""}})
    assert other.contract == env.contract and other.task.subtasks == env.task.subtasks
    other.close()


def test_recorded_positions_become_observations(made):
    contract = contract_for(TaskConfig(name=TARGET, observe="states"))
    (episode,) = read_states(made / "target", contract)
    episode.check()
    recorded = read_episode(made / "target" / "episode_000000.hdf5")
    rows = np.concatenate([episode.observations[entry.name] for entry in contract.proprio], axis=1)
    assert np.array_equal(rows, recorded.simulation["qpos"].astype(np.float32))
    assert np.array_equal(episode.actions, recorded.actions)
    # what the arm's own proprioception says of the same moments
    assert np.array_equal(episode.observations["joint_pos"], recorded.observations["joint_pos"])


def test_episodes_without_states_are_refused_and_named(made):
    path = made / "target" / "episode_000000.hdf5"
    episode, contract = read_episode(path), contract_for(TaskConfig(name=TARGET, observe="states"))
    for simulation, words in (
        ({}, "episode_000000.hdf5 has no true states"),
        ({"qpos": episode.simulation["qpos"][:, :9]}, "states of 9 numbers, not the kitchen's"),
    ):
        with pytest.raises(DatasetError, match=words):
            States().observed(dataclasses.replace(episode, simulation=simulation), contract, path)


def test_episodes_of_another_task_are_refused(made):
    with pytest.raises(ContractMismatch, match=f"task: 'kitchen' here, '{TARGET}' there"):
        read_states(made / "target", contract_for(TaskConfig(name="kitchen", observe="states")))


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"name": "lift", "observe": "states"}, PixelarmError, "lift is observed by its cameras"),
        ({"name": "kitchen", "observe": "smell"}, UnknownName, "smell"),
        ({"name": "kitchen", "observe": "states", "image_size": 32}, PixelarmError, "task.image_size would do nothing"),
    ],
)
def test_what_nobody_can_observe_is_refused(options, error, words):
    with pytest.raises(error, match=words):
        contract_for(TaskConfig(**options))
