"""The replay memory: each frame once, right successors, right stacks, also across the ring's end."""

import errno
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest_policies import random_episode, tiny_contract

from policies.data import replay as replay_module
from policies.data.batch import Batch, join
from policies.data.replay import Lookup, Replay
from robot.errors import PixelarmError


def numbered(contract, number):
    """An observation whose every value is ``number``."""
    images = {c.name: np.full(c.shape, number, np.uint8) for c in contract.cameras}
    return images | {p.name: np.full(p.size, number, np.float32) for p in contract.proprio}


def fill(replay, contract, episodes, length, first=0):
    """Episodes of ``length`` steps whose frames are numbered on; the action in frame k is k / 1000."""
    number = first
    for _ in range(episodes):
        replay.start(numbered(contract, number))
        for step in range(length):
            number += 1
            replay.add(
                np.full(4, (number - 1) / 1000),
                float(step == length - 1),
                step == length - 1,
                numbered(contract, number),
            )
        number += 1
    return number


def everything(replay):
    return replay.gather(replay.transitions())


@pytest.mark.parametrize("capacity", [100, 17, 23])
def test_successors_and_actions_belong_to_their_frame(capacity):
    contract = tiny_contract()
    replay = Replay(contract, capacity)
    fill(replay, contract, episodes=6, length=5)
    batch = everything(replay)
    now, after = batch.obs["eef_pos"][:, 0], batch.next_obs["eef_pos"][:, 0]
    assert torch.equal(after, now + 1)
    assert torch.equal(batch.obs["a"][:, 0, 0, 0].float(), now)
    assert torch.allclose(batch.action[:, 0], now / 1000)
    # frames 5, 11, 17, ... end an episode (6 frames each): no transition may start there
    assert not any(int(n) % 6 == 5 for n in now)
    assert torch.equal(batch.discount == 0, batch.reward == 1)
    # 36 frames were written; a frame more than the capacity costs one transition
    assert len(replay) == (
        30 if capacity == 100 else sum(1 for n in range(36 - capacity, 36) if n % 6 != 5 and n != 36 - capacity - 1)
    )


@pytest.mark.parametrize("history", [1, 3, 5])
def test_a_memory_that_is_just_full_loses_nothing(history):
    contract = tiny_contract(history)
    replay = Replay(
        contract, 12
    )  # two episodes of five transitions and their last frames: what a memory of demonstrations has
    fill(replay, contract, episodes=2, length=5)
    assert len(replay) == 10 and replay.room == 0


def test_a_frame_is_stored_once():
    contract = tiny_contract()
    replay = Replay(contract, 1000)
    image_bytes = sum(store.nbytes for store in replay._images.values())
    assert image_bytes == 1000 * 2 * 32 * 32 * 3


@pytest.mark.parametrize("capacity", [100, 19])
def test_stacks_repeat_the_first_frame_and_never_cross_episodes(capacity):
    contract = tiny_contract(history=3)
    replay = Replay(contract, capacity)
    fill(replay, contract, episodes=6, length=5)
    batch = everything(replay)
    stack = batch.obs["eef_pos"].reshape(-1, 3, 3)[:, :, 0]  # (B, history)
    for oldest, middle, newest in stack.tolist():
        start = newest - newest % 6
        assert (oldest, middle) == (max(start, newest - 2), max(start, newest - 1))
    assert batch.obs["a"].shape[1] == 9 and len(stack) > 5


def test_distinct_draws_without_replacement():
    contract = tiny_contract()
    replay = Replay(contract, 100)
    fill(replay, contract, episodes=2, length=5)
    drawn = replay.sample(10, np.random.default_rng(0), distinct=True).obs["eef_pos"][:, 0]
    assert len(set(drawn.tolist())) == 10


def test_save_and_load_continue_alike(tmp_path):
    contract = tiny_contract()
    first, second = Replay(contract, 31), Replay(contract, 31)
    number = fill(first, contract, episodes=7, length=5)
    first.save(tmp_path)
    second.load(tmp_path)
    for replay in (first, second):
        fill(replay, contract, episodes=2, length=4, first=number)
    a, b = (r.sample(16, np.random.default_rng(3)) for r in (first, second))
    assert all(torch.equal(a.obs[n], b.obs[n]) for n in a.obs) and torch.equal(a.action, b.action)
    with pytest.raises(ValueError, match="this memory wants"):
        Replay(tiny_contract(history=1), 7).load(tmp_path)


def test_copy_last_episode_is_that_episode():
    contract = tiny_contract()
    online, demos = Replay(contract, 50), Replay(contract, 50)
    fill(online, contract, episodes=3, length=5)
    demos.copy_last_episode(online)
    batch = everything(demos)
    assert batch.obs["eef_pos"][:, 0].tolist() == [12, 13, 14, 15, 16] and batch.reward.sum() == 1


def test_an_episode_becomes_transitions():
    contract = tiny_contract()
    replay, episode = Replay(contract, 50), random_episode(contract, 7)
    replay.add_episode(episode)
    batch = everything(replay)
    assert np.array_equal(batch.obs["a"].permute(0, 2, 3, 1).numpy(), episode.observations["a"][:-1])
    assert np.array_equal(batch.action.numpy(), episode.actions)


def test_what_was_wanted_beyond_the_bounds_is_learned_as_it_was_carried_out():
    contract = tiny_contract()
    replay, episode = Replay(contract, 50), random_episode(contract, 7)
    high = np.asarray(contract.action.high, np.float32)
    episode.actions[3] = 8 * high
    replay.add_episode(episode)
    assert np.array_equal(everything(replay).action[3].numpy(), high)


def test_joining_keeps_the_first_rows_first():
    contract = tiny_contract()
    replay = Replay(contract, 50)
    fill(replay, contract, episodes=2, length=5)
    a, b = replay.gather(np.array([0, 1])), replay.gather(np.array([6]))
    both = join([a], b)
    assert both.obs["eef_pos"][:, 0].tolist() == [0, 1, 6] and len(both.reward) == 3


def test_sampling_nothing_says_so():
    with pytest.raises(ValueError, match="no complete transition"):
        Replay(tiny_contract(), 5).sample(1, np.random.default_rng(0))


def test_n_step_returns_by_hand():
    """Episode of 5 steps, reward 1 at its end, gamma 0.5, n = 3.

    step 0: three steps on, nothing yet: reward 0, discount 0.5^3; step 2: 0 + 0 + 0.25 * 1 and the task ended: discount
    0;
    step 3: 0 + 0.5 * 1; step 4: 1.
    """
    contract = tiny_contract()
    replay = Replay(contract, 100, Lookup(discount=0.5, n_step=3))
    fill(replay, contract, episodes=2, length=5)
    batch = replay.gather(np.arange(5))
    assert batch.reward.tolist() == [0.0, 0.0, 0.25, 0.5, 1.0]
    assert batch.discount.tolist() == [0.125, 0.125, 0.0, 0.0, 0.0]
    assert batch.next_obs["eef_pos"][:, 0].tolist() == [3.0, 4.0, 5.0, 5.0, 5.0]


def test_n_steps_stop_at_a_time_limit_and_bootstrap_there():
    contract = tiny_contract()
    replay = Replay(contract, 100, Lookup(discount=0.5, n_step=3))
    replay.start(numbered(contract, 0))
    for k in range(2):  # two steps, then the clock: not terminated
        replay.add(np.zeros(4), 1.0, False, numbered(contract, k + 1))
    replay.start(numbered(contract, 9))
    batch = replay.gather(np.arange(2))
    assert batch.reward.tolist() == [1.5, 1.0] and batch.discount.tolist() == [0.25, 0.5]
    assert batch.next_obs["eef_pos"][:, 0].tolist() == [2.0, 2.0]


@pytest.mark.parametrize("capacity", [100, 19])
def test_sequences_repeat_the_last_action_and_stay_in_their_episode(capacity):
    contract = tiny_contract()
    replay = Replay(contract, capacity, Lookup(sequence=3))
    fill(replay, contract, episodes=6, length=5)
    batch = everything(replay)
    for frame, actions in zip(batch.obs["eef_pos"][:, 0].tolist(), batch.actions[:, :, 0].tolist()):
        last = frame - frame % 6 + 4  # the last frame of the episode in which something was done
        assert actions == pytest.approx([min(frame + k, last) / 1000 for k in range(3)])


def test_a_step_that_is_not_usable_is_never_sampled_but_its_reward_counts():
    contract = tiny_contract()
    replay = Replay(contract, 100, Lookup(n_step=2))
    replay.start(numbered(contract, 0))
    replay.add(np.zeros(4), 1.0, False, numbered(contract, 1))
    replay.add(np.zeros(4), 1.0, False, numbered(contract, 2), usable=False)
    assert len(replay) == 1 and everything(replay).reward.tolist() == [2.0]


def test_only_what_a_person_did_is_an_example():
    contract = tiny_contract()
    episode = random_episode(contract, 6)
    replay = Replay(contract, 100)
    replay.add_episode(episode)
    assert everything(replay).imitate.all()  # a demonstration
    episode.provenance["interventions"] = [[1, 2], [5, 5]]
    corrected = Replay(contract, 100)
    corrected.add_episode(episode)
    assert everything(corrected).imitate.tolist() == [False, True, True, False, False, True]


def test_who_acted_decides_where_an_episode_says_it():
    """Person, policy, blend, hold, person: the first and the last, whatever the provenance says."""
    contract = tiny_contract()
    episode = random_episode(contract, 5)
    episode.provenance["interventions"] = [[1, 2]]
    episode.source = np.array([0, 1, 2, 3, 0], np.uint8)
    replay = Replay(contract, 100)
    replay.add_episode(episode)
    assert everything(replay).imitate.tolist() == [True, False, False, False, True]


def test_frames_can_lie_in_files(tmp_path):
    """The same batches as from memory; the files hold the frames; a second memory may not take the same folder."""
    contract = tiny_contract()
    plain, mapped = Replay(contract, 30), Replay(contract, 30, folder=tmp_path)
    for replay in (plain, mapped):
        fill(replay, contract, episodes=6, length=5)
    a, b = everything(plain), everything(mapped)
    assert torch.equal(a.next_obs["a"], b.next_obs["a"])
    assert (tmp_path / "a.npy").stat().st_size >= 30 * 32 * 32 * 3
    with pytest.raises(PixelarmError, match="replay_folder"):
        Replay(contract, 30, folder=tmp_path)
    assert len(Replay(contract, 30, folder=tmp_path, reuse=True)) == 0


def test_files_of_frames_have_their_blocks_from_the_start(tmp_path, monkeypatch):
    """A file with holes ends the process with a bus error when the disk is full at the time a hole is written to."""
    Replay(tiny_contract(), 30, folder=tmp_path / "room")
    for file in (tmp_path / "room").iterdir():
        assert file.stat().st_blocks * 512 >= 30 * 32 * 32 * 3

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(replay_module.os, "posix_fallocate", full)
    with pytest.raises(PixelarmError, match="No space left on device.: lower recipe.replay_capacity"):
        Replay(tiny_contract(), 30, folder=tmp_path / "none")
    assert not list((tmp_path / "none").iterdir())  # the next attempt finds the folder empty


def small_batch():
    one = torch.ones(2)
    return Batch(
        obs={"a": torch.ones(2, 3)}, next_obs={"a": torch.zeros(2, 3)}, action=torch.zeros(2, 4), reward=one,
        discount=one, imitate=torch.ones(1, dtype=torch.bool),
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["cpu", "cuda"])
def test_a_copy_that_is_not_waited_for_comes_from_pinned_memory(kind, monkeypatch):
    """An asynchronous copy reads the memory later; pageable memory makes it wait all the same,
    so it is not asked for.
    """
    pinned, copies = set(), []

    def pin(tensor):
        copy = tensor.clone()
        pinned.add(id(copy))
        return copy

    def to(tensor, device, non_blocking=False):
        copies.append((device.type, non_blocking, id(tensor) in pinned))
        return tensor

    monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
    monkeypatch.setattr(torch.Tensor, "to", to)
    moved = small_batch().to(torch.device(kind))
    assert moved.obs["a"].tolist() == [[1, 1, 1], [1, 1, 1]] and moved.actions is None
    assert copies == [(kind, kind == "cuda", kind == "cuda")] * 6


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_batch_arrives_on_the_gpu_as_it_was():
    batch = small_batch()
    moved = batch.to(torch.device("cuda"))
    assert moved.reward.is_cuda and torch.equal(moved.obs["a"].cpu(), batch.obs["a"])
    assert torch.equal(moved.reward.cpu(), batch.reward)


def test_a_hundred_thousand_steps_of_two_cameras_fit_in_four_and_a_half_gigabytes():
    """Counted on a small memory: bytes a frame of two 84 x 84 cameras, times 100,000."""
    contract = tiny_contract()
    cameras = tuple(replace(c, height=84, width=84) for c in contract.cameras)
    replay = Replay(replace(contract, cameras=cameras), 10)
    assert sum(array.nbytes for array in replay._arrays().values()) / 10 * 100_000 < 4.5e9


@pytest.mark.parametrize("capacity", [100, 8])
def test_the_newest_episodes_rewards(capacity):
    contract = tiny_contract()
    replay = Replay(contract, capacity)
    fill(replay, contract, episodes=2, length=5)
    assert replay.last_rewards().tolist() == [0, 0, 0, 0, 1]
    assert replay.last_age == 5


def test_the_floor_is_what_the_rest_of_an_ended_episode_paid():
    """Rewards 0, 0, 1 at gamma 0.5: 0.25, 0.5, 1. One that the clock cut has none, also in an old one's place."""
    contract = tiny_contract()
    replay = Replay(contract, 7, Lookup(discount=0.5, floor=True))
    fill(replay, contract, episodes=1, length=3)
    assert everything(replay).floor.tolist() == [0.25, 0.5, 1.0]
    replay.start(numbered(contract, 9))
    for _ in range(6):
        replay.add(np.zeros(4), 0.0, False, numbered(contract, 9))
    assert set(everything(replay).floor.tolist()) == {-np.inf}


def test_the_floor_of_a_demonstration_that_goes_on_past_success():
    """Done with the second step, undone with the third, done again: no frame is worth more than one success."""
    contract = tiny_contract()
    replay = Replay(contract, 9, Lookup(discount=0.5, floor=True))
    replay.start(numbered(contract, 0))
    for done in (False, True, True, False, True):
        replay.add(np.zeros(4), float(done), done, numbered(contract, 0))
    assert everything(replay).floor.tolist() == [0.5, 1.0, 1.0, 0.5, 1.0]


def test_proposals_and_floors_survive_saving(tmp_path):
    contract = tiny_contract()
    look = Lookup(discount=0.5, floor=True, proposals=True)
    replay, other = Replay(contract, 20, look), Replay(contract, 20, look)
    fill(replay, contract, episodes=2, length=3)
    replay.propose_all(lambda observations: observations["eef_pos"][:, :1].expand(-1, 4) / 100, rows=3)
    replay.save(tmp_path)
    other.load(tmp_path)
    mine, theirs = everything(replay), everything(other)
    assert torch.equal(mine.proposal, theirs.proposal) and torch.equal(mine.floor, theirs.floor)
    assert torch.allclose(mine.proposal[:, 0], mine.obs["eef_pos"][:, 0] / 100)
    assert torch.allclose(mine.next_proposal[:, 0], mine.next_obs["eef_pos"][:, 0] / 100)
