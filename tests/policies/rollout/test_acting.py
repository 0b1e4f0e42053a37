"""From observations to actions, one a step, of policies that answer with chunks."""

from dataclasses import replace

import numpy as np
from conftest_policies import random_observation, tiny_contract

from policies.rollout.acting import Acting


def acting(chunk: int, execute: int, history: int = 1) -> tuple[Acting, list[int]]:
    """An answer of 10 n + k in its entry k to the n-th question; and how many observations each question had."""
    asked: list[int] = []

    def answer(seen):
        asked.append(len(seen))
        return np.arange(chunk, dtype=np.float32)[:, None] + 10 * len(asked)

    return Acting(replace(tiny_contract(history), chunk=chunk, execute=execute), answer), asked


def play(act: Acting, steps: int) -> list[int]:
    rng = np.random.default_rng(0)
    return [int(act(random_observation(act.contract, rng))[0]) for _ in range(steps)]


def test_so_many_actions_of_an_answer_are_carried_out():
    act, asked = acting(chunk=4, execute=3, history=2)
    assert play(act, 7) == [10, 11, 12, 20, 21, 22, 30] and asked == [2, 2, 2]


def test_with_execute_one_every_step_asks():
    act, _ = acting(chunk=4, execute=1)
    assert play(act, 3) == [10, 20, 30]


def test_an_episode_begins_with_a_question():
    act, _ = acting(chunk=4, execute=4)
    assert play(act, 2) == [10, 11]
    act.reset()
    assert play(act, 1) == [20]
