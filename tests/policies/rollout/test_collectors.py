"""Lanes are sampled like one memory; several actors learn, keep the update-to-data ratio and resume exactly."""

import json
import shutil

import numpy as np
import pytest
import torch
from conftest_policies import random_observation, tiny_contract
from safetensors.torch import load_file

from policies.data.batch import Batch
from policies.data.replay import Lookup, Replay
from policies.data.vector_replay import VectorReplay
from policies.rollout.collectors import Finished, Recorder
from policies.runs import checkpoint
from policies.runs.metrics import read_log
from policies.training.online import _crossed
from policies.training.train import compose, train
from robot.errors import PixelarmError


def record(recorder, episodes, length, seed):
    """Episodes of random frames; each ends with its ``length``-th step, in success."""
    rng, contract = np.random.default_rng(seed), recorder.memory.contract
    for _ in range(episodes):
        recorder.start(random_observation(contract, rng))
        for step in range(1, length + 1):
            last = step == length
            action = rng.uniform(-0.04, 0.04, 4).astype(np.float32)
            recorder.add(action, float(last), last, False, random_observation(contract, rng), last)


def same(a, b):
    if isinstance(a, Batch):
        return same(vars(a), vars(b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


@pytest.fixture
def lanes():
    """Two lanes of 20 frames; of 3 episodes of 4 steps and 1 of 7, so 12 and 7 transitions."""
    lanes = VectorReplay(tiny_contract(history=2), 40, 2, Lookup(discount=0.9, n_step=2, sequence=2, ahead=3))
    for number, (episodes, length) in enumerate([(3, 4), (1, 7)]):
        record(Recorder(lanes.lanes[number], None, "bootstrap"), episodes, length, seed=number)
    return lanes


def test_lanes_sample_like_one_memory(lanes):
    one = Replay(lanes.lanes[0].contract, 40, lanes.lanes[0].lookup)
    for number, (episodes, length) in enumerate([(3, 4), (1, 7)]):
        record(Recorder(one, None, "bootstrap"), episodes, length, seed=number)
    assert len(lanes) == len(one) == 19
    assert same(lanes.sample(64, np.random.default_rng(1)), one.sample(64, np.random.default_rng(1)))
    assert same(
        lanes.sample(1, np.random.default_rng(1)), one.sample(1, np.random.default_rng(1))
    )  # from one lane only
    assert torch.equal(lanes.all_proprio(), one.all_proprio())


def test_lanes_are_saved_and_share_the_capacity(lanes, tmp_path):
    lanes.save(tmp_path)
    again = VectorReplay(tiny_contract(history=2), 40, 2, lanes.lanes[0].lookup)
    again.load(tmp_path)
    assert same(lanes.sample(16, np.random.default_rng(2)), again.sample(16, np.random.default_rng(2)))
    record(Recorder(again.lanes[1], None, "bootstrap"), 9, 7, seed=3)  # runs over its 20 frames, and only over those
    assert same(lanes.lanes[0].gather(np.arange(4)), again.lanes[0].gather(np.arange(4)))
    assert len(again) < 12 + 20
    with pytest.raises(ValueError, match="no complete transition"):
        VectorReplay(tiny_contract(), 40, 2).sample(1, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("time_limit", "discounts"), [("bootstrap", [0.5, 0.5]), ("terminal", [0.5, 0.0]), ("drop", [0.5])]
)
def test_what_an_episode_cut_by_the_clock_means(time_limit, discounts):
    contract, rng = tiny_contract(), np.random.default_rng(0)
    memory, successes = Replay(contract, 20, Lookup(discount=0.5)), Replay(contract, 20)
    recorder = Recorder(memory, successes, time_limit)
    recorder.start(random_observation(contract, rng))
    assert recorder.add(np.zeros(4), 0.25, False, False, random_observation(contract, rng), False) == []
    ended = recorder.add(np.zeros(4), 0.5, False, True, random_observation(contract, rng), False)
    assert ended == [Finished(success=False, total=0.75, steps=2)]
    assert memory.gather(memory.transitions()).discount.tolist() == discounts
    assert len(successes) == 0
    recorder.start(random_observation(contract, rng))
    assert recorder.total == 0.0


def test_successes_of_every_lane_join_the_demonstrations():
    contract = tiny_contract()
    lanes, demos = VectorReplay(contract, 40, 2), Replay(contract, 40)
    for number, lane in enumerate(lanes.lanes):
        record(Recorder(lane, demos, "bootstrap"), 1, 3 + number, seed=number)
    joined = demos.gather(demos.transitions())
    assert len(demos) == 3 + 4 and joined.imitate.all()
    ours = torch.cat([lane.gather(lane.transitions()).obs["a"] for lane in lanes.lanes])
    assert torch.equal(joined.obs["a"], ours)


def test_own_successes_never_overwrite_the_demonstrations():
    contract = tiny_contract()
    memory, demos = Replay(contract, 40), Replay(contract, 16)  # 7 frames of a demonstration, and room for 9
    record(Recorder(Replay(contract, 40), demos, "bootstrap"), 1, 6, seed=0)
    before = demos.gather(demos.transitions()).action
    record(Recorder(memory, demos, "bootstrap"), 3, 4, seed=1)  # 5 frames each: one joins, for two there is no room
    after = demos.gather(demos.transitions()).action
    assert len(after) == 6 + 4 and torch.equal(after[:6], before)


def test_an_interval_is_crossed_however_long_the_stride():
    assert [step for step in range(3, 31, 3) if _crossed(10, step - 3, step)] == [12, 21, 30]
    assert _crossed(10, 8, 41) and not _crossed(10, 10, 19) and _crossed(1, 0, 1)


# nothing to imitate: uniform actions at first, then the actor. 2 x 60 steps make an episode of lift each
TINY = [
    "experiment=ablation/no_demonstrations",
    "recipe.random_steps=20", "recipe.learning_starts=21", "recipe.batch_size=8",
    "recipe.updates_per_step=0.25", "recipe.replay_capacity=1000", "trainer.accelerator=cpu", "trainer.threads=1",
    "trainer.eval_episodes=0", "task.image_size=32", "algo.actor.gaussian.hidden=32", "algo.critic.mlp.hidden=32",
]  # fmt: skip


@pytest.mark.train
def test_two_actors_learn_and_resume_exactly(tmp_path):
    """Killed after its checkpoint at 100 steps and resumed equals uninterrupted, an end of both episodes later."""
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    overrides = [
        *TINY, "recipe.steps=129", "trainer.num_envs=2", "trainer.checkpoint_every=99", "trainer.log_every=25",
    ]  # fmt: skip
    train(compose([*overrides, f"run={straight}"]))
    place = straight / "checkpoints" / "rank0"
    assert sorted(folder.name for folder in place.iterdir()) == ["step_000000100", "step_000000130"]
    assert [line["step"] for line in read_log(straight, "train")] == [26, 50, 76, 100, 126]
    state = json.loads((place / "step_000000130" / "state.json").read_text())
    # the steps from the 21st on, 110, ask for 0.25 updates each
    assert (state["updates"], state["owed"]) == (27, 0.5) and len(state["recent"]) == 2
    shutil.copytree(straight, killed)
    shutil.rmtree(killed / "checkpoints" / "rank0" / "step_000000130")
    train(compose([*overrides, f"run={killed}", "resume=true"]))
    again = checkpoint.newest(killed / "checkpoints" / "rank0")
    assert again is not None and again.name == "step_000000130"
    for file in sorted((place / again.name).rglob("*.npy")):
        assert file.read_bytes() == (again / file.relative_to(place / again.name)).read_bytes(), file
    for name in ("agent.safetensors", "environment.safetensors"):
        a, b = load_file(place / again.name / name), load_file(again / name)
        assert a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)
    frames = [np.load(again / "online" / f"lane{i}" / "image.agentview.npy") for i in (0, 1)]
    assert frames[0].shape == (67, 32, 32, 3) and not np.array_equal(*frames)  # 65 steps and two openings, each its own


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["trainer.num_envs=0"], "trainer.num_envs must be at least 1, got 0"),
        (["trainer.num_envs=600"], "replay_capacity 1000 is too small: each of the 600 environments needs 2 frames"),
        (["trainer.pace=0"], "trainer.pace would do nothing: set trainer.asynchronous=true"),
        (
            ["trainer.asynchronous=true", "trainer.num_envs=2"],
            "acts in one environment: trainer.num_envs must be 1, got 2",
        ),
        (["trainer.asynchronous=true", "trainer.pace=-1"], "trainer.pace must be at least 0, got -1"),
        (["trainer.asynchronous=true", "trainer.publish_every=0"], "publish_every must be at least 1"),
        (
            ["trainer.asynchronous=true", "trainer.frames_waiting=9999"],
            "frames_waiting must be between 2 and 4096, got 9999",
        ),
    ],
)
def test_actors_that_do_not_fit_are_refused_before_the_first_step(tmp_path, overrides, words):
    with pytest.raises(PixelarmError, match=words):
        train(compose([*TINY, *overrides, f"run={tmp_path / 'r'}"]))


def test_asynchronous_learning_on_several_devices_is_refused():
    from policies.training.checks import check_recipe

    with pytest.raises(PixelarmError, match="learns on one device: trainer.devices must be 1, got 2"):
        check_recipe(compose([*TINY, "trainer.asynchronous=true", "trainer.devices=2"]))
    with pytest.raises(PixelarmError, match="learns on one device"):
        check_recipe(compose([*TINY, "trainer.asynchronous=true"]), processes=2)
