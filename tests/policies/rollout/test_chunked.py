"""Chunks in control steps: what is executed of each, and which of its actions belongs to which step."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from policies.rollout.chunked import Chunked
from robot.contract import Action, Contract, Proprio
from robot.errors import PixelarmError

NAMES, UNITS = ("dx", "dy", "dz", "gripper"), ("m", "m", "m", "1")
CONTRACT = Contract(
    task="lift",
    cameras=(),
    proprio=(Proprio("eef_pos", 3, "m", "base"),),
    action=Action("eef_delta_position", NAMES, UNITS, (-1e3,) * 4, (1e3,) * 4),
    rate_hz=20, deadline_ms=40, max_age_ms=100, chunk=8,
)  # fmt: skip


class Counting:
    """The action for step n is n in x, and y says at which step the policy was asked for it."""

    def __init__(self, contract: Contract = CONTRACT) -> None:
        self.contract, self.resets = contract, 0

    def reset(self) -> None:
        self.resets += 1

    def see(self, observation: dict[str, np.ndarray]) -> Callable[[], np.ndarray]:
        step = float(observation["step"][0])
        return lambda: np.float32([[step + k, step, 0.0, -1.0] for k in range(self.contract.chunk)])


def steps(act: Chunked, n: int = 14) -> tuple[list[float], list[float]]:
    found = [act({"step": np.float32([step])}) for step in range(n)]
    return [float(a[0]) for a in found], [round(float(a[1]), 3) for a in found]


@pytest.mark.parametrize("execute", [1, 3, 8])
def test_so_many_actions_of_each_chunk_are_carried_out(execute: int) -> None:
    executed, asked = steps(Chunked(Counting(), execute))
    assert executed == list(range(14))
    assert asked == [step - step % execute for step in range(14)]


def test_a_chunk_that_comes_late_begins_within_itself() -> None:
    """150 ms at 20 Hz are three steps: asked at 0, 3, 6, ..., and used from three steps later on."""
    executed, asked = steps(Chunked(Counting(), inference_ms=150.0, fade_ms=0.0))
    assert executed == list(range(14))
    assert asked == [0] * 6 + [3] * 3 + [6] * 3 + [9] * 2


def test_a_chunk_that_comes_late_fades_in() -> None:
    """Fade 100 ms, period 50 ms: shares of 1 / 3, 2 / 3 and 1; from what was asked at 0 to what was asked at 3."""
    asked = steps(Chunked(Counting(), inference_ms=150.0))[1]
    assert asked[6:9] == [1.0, 2.0, 3.0]
    assert asked[9:12] == [4.0, 5.0, 6.0]


def test_an_episode_begins_with_nothing_of_the_one_before() -> None:
    actor = Counting()
    act = Chunked(actor, inference_ms=150.0)
    first = steps(act, 5)
    act.reset()
    assert steps(act, 5) == first and actor.resets == 2


@pytest.mark.parametrize(
    ("chunk", "execute", "inference_ms", "words"),
    [
        (8, 0, 0.0, "can be executed for 1 to 8 steps"),
        (8, 9, 0.0, "can be executed for 1 to 8 steps"),
        (8, 1, 250.0, "executed for 1 to 3 steps with 250 ms of inference \\(which take 5 of them\\), got 5"),
        (8, 1, -1.0, "inference_ms must be finite and not negative"),
        (1, 1, 10.0, "a chunk of 1 actions"),
    ],
)
def test_what_a_chunk_does_not_cover_is_refused(chunk: int, execute: int, inference_ms: float, words: str) -> None:
    with pytest.raises(PixelarmError, match=words):
        Chunked(Counting(dataclasses.replace(CONTRACT, chunk=chunk)), execute, inference_ms)
