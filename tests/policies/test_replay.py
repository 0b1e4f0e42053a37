"""The replay memory: each frame once, right successors, right stacks, also across the ring's end."""

import numpy as np
import pytest
import torch
from conftest_policies import random_episode, tiny_contract

from policies.replay import Replay, join


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
    return replay.gather(replay._transitions())


@pytest.mark.parametrize("capacity", [100, 17, 23])
def test_successors_and_actions_belong_to_their_frame(capacity):
    contract = tiny_contract()
    replay = Replay(contract, capacity)
    fill(replay, contract, episodes=6, length=5)
    batch = everything(replay)
    now, after = batch["obs"]["eef_pos"][:, 0], batch["next_obs"]["eef_pos"][:, 0]
    assert torch.equal(after, now + 1)
    assert torch.equal(batch["obs"]["a"][:, 0, 0, 0].float(), now)
    assert torch.allclose(batch["action"][:, 0], now / 1000)
    # frames 5, 11, 17, ... end an episode (6 frames each): no transition may start there
    assert not any(int(n) % 6 == 5 for n in now)
    assert torch.equal(batch["discount"] == 0, batch["reward"] == 1)
    # 36 frames were written; a frame more than the capacity costs one transition
    assert len(replay) == (
        30 if capacity == 100 else sum(1 for n in range(36 - capacity, 36) if n % 6 != 5 and n != 36 - capacity - 1)
    )


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
    stack = batch["obs"]["eef_pos"].reshape(-1, 3, 3)[:, :, 0]  # (B, history)
    for oldest, middle, newest in stack.tolist():
        start = newest - newest % 6
        assert (oldest, middle) == (max(start, newest - 2), max(start, newest - 1))
    assert batch["obs"]["a"].shape[1] == 9 and len(stack) > 5


def test_distinct_draws_without_replacement():
    contract = tiny_contract()
    replay = Replay(contract, 100)
    fill(replay, contract, episodes=2, length=5)
    drawn = replay.sample(10, np.random.default_rng(0), distinct=True)["obs"]["eef_pos"][:, 0]
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
    assert all(torch.equal(a["obs"][n], b["obs"][n]) for n in a["obs"]) and torch.equal(a["action"], b["action"])
    with pytest.raises(ValueError, match="this memory wants"):
        Replay(tiny_contract(history=1), 7).load(tmp_path)


def test_copy_last_episode_is_that_episode():
    contract = tiny_contract()
    online, demos = Replay(contract, 50), Replay(contract, 50)
    fill(online, contract, episodes=3, length=5)
    demos.copy_last_episode(online)
    batch = everything(demos)
    assert batch["obs"]["eef_pos"][:, 0].tolist() == [12, 13, 14, 15, 16] and batch["reward"].sum() == 1


def test_an_episode_becomes_transitions():
    contract = tiny_contract()
    replay, episode = Replay(contract, 50), random_episode(contract, 7)
    replay.add_episode(episode)
    batch = everything(replay)
    assert np.array_equal(batch["obs"]["a"].permute(0, 2, 3, 1).numpy(), episode.observations["a"][:-1])
    assert np.array_equal(batch["action"].numpy(), episode.actions)


def test_joining_keeps_the_first_rows_first():
    contract = tiny_contract()
    replay = Replay(contract, 50)
    fill(replay, contract, episodes=2, length=5)
    a, b = replay.gather(np.array([0, 1])), replay.gather(np.array([6]))
    both = join(a, b)
    assert both["obs"]["eef_pos"][:, 0].tolist() == [0, 1, 6] and len(both["reward"]) == 3


def test_sampling_nothing_says_so():
    with pytest.raises(ValueError, match="no complete transition"):
        Replay(tiny_contract(), 5).sample(1, np.random.default_rng(0))
