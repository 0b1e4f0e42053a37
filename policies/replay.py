"""Replay memory for image observations: uint8, each frame stored once.

Frames lie in a ring in the order they were seen. A transition is a frame that has a successor of the same episode; ``next``
observations and frame stacks are looked up, not copied, so 100,000 steps of two 64 x 64 cameras take 2.5 GB.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from robot.contract import Contract
from robot.episodes import Episode

Batch = dict[str, Any]


class Replay:
    """A ring of frames with the action taken in each and what came of it.

    ``start(observation)`` opens an episode, ``add(action, reward, terminated, observation)`` continues it. ``sample`` draws
    uniformly from complete transitions:

    * ``obs``, ``next_obs``: name -> ``(B, history * C, H, W)`` uint8 or ``(B, history * n)`` float32 tensors
    * ``action``: ``(B, A)`` float32 in contract units; ``reward``: ``(B,)`` float32; ``discount``: ``(B,)`` float32, 0 where the
      task ended there, 1 elsewhere (a time limit is no end)
    """

    def __init__(self, contract: Contract, capacity: int) -> None:
        self.contract, self.capacity = contract, capacity
        self._images = {c.name: np.zeros((capacity, *c.shape), np.uint8) for c in contract.cameras}
        self._proprio = {p.name: np.zeros((capacity, p.size), np.float32) for p in contract.proprio}
        self._action = np.zeros((capacity, contract.action.size), np.float32)
        self._reward = np.zeros(capacity, np.float32)
        self._terminated = np.zeros(capacity, bool)
        self._complete = np.zeros(capacity, bool)  # has a successor: can be sampled
        self._age = np.zeros(capacity, np.int64)  # steps since its episode began, for stacking
        self._head = 0  # slot of the next frame
        self._frames = 0  # frames ever written
        self._index: np.ndarray | None = None

    def __len__(self) -> int:
        """Transitions that can be sampled."""
        return len(self._transitions())

    # ------------------------------------------------------------------- write
    def start(self, observation: dict[str, np.ndarray]) -> None:
        self._write(observation, age=0)

    def add(self, action: np.ndarray, reward: float, terminated: bool, observation: dict[str, np.ndarray]) -> None:
        """What was done in the newest frame, and the frame it led to."""
        last = (self._head - 1) % self.capacity
        self._action[last], self._reward[last], self._terminated[last] = action, reward, terminated
        self._write(observation, age=int(self._age[last]) + 1)
        self._complete[last] = True
        self._index = None

    def add_episode(self, episode: Episode) -> None:
        self.start(episode.observation(0))
        for t in range(len(episode)):
            self.add(
                episode.actions[t], float(episode.rewards[t]), bool(episode.terminated[t]), episode.observation(t + 1)
            )

    def copy_last_episode(self, source: Replay) -> None:
        """Append the newest episode of another memory, as far as that memory still holds it."""
        last = (source._head - 1) % source.capacity
        length = min(int(source._age[last]), source.capacity - 1)
        slots = (last - np.arange(length, -1, -1)) % source.capacity
        frames = [{n: store[slot] for n, store in source._stores().items()} for slot in slots]
        self.start(frames[0])
        for slot, frame in zip(slots, frames[1:]):
            self.add(source._action[slot], float(source._reward[slot]), bool(source._terminated[slot]), frame)

    def _stores(self) -> dict[str, np.ndarray]:
        return {**self._images, **self._proprio}

    def _write(self, observation: dict[str, np.ndarray], age: int) -> None:
        slot = self._head
        for name, store in self._stores().items():
            store[slot] = observation[name]
        self._age[slot] = age
        # this frame, and the old ones after it whose stacks reach back over it, are no transitions (any more)
        for k in range(self.contract.history):
            self._complete[(slot + k) % self.capacity] = False
        self._head = (slot + 1) % self.capacity
        self._frames += 1
        self._index = None

    # ------------------------------------------------------------------ sample
    def _transitions(self) -> np.ndarray:
        if self._index is None:
            self._index = np.flatnonzero(self._complete)
        return self._index

    def sample(self, size: int, rng: np.random.Generator, distinct: bool = False) -> Batch:
        """``size`` transitions; ``distinct`` draws without replacement as far as there are enough."""
        index = self._transitions()
        if len(index) == 0:
            raise ValueError("the replay memory holds no complete transition yet")
        if distinct and size <= len(index):
            return self.gather(rng.choice(index, size, replace=False))
        return self.gather(index[rng.integers(0, len(index), size)])

    def gather(self, slots: np.ndarray) -> Batch:
        return {
            "obs": self._observations(slots),
            "next_obs": self._observations((slots + 1) % self.capacity),
            "action": torch.from_numpy(self._action[slots]),
            "reward": torch.from_numpy(self._reward[slots]),
            "discount": torch.from_numpy(1.0 - self._terminated[slots].astype(np.float32)),
        }

    def _observations(self, slots: np.ndarray) -> dict[str, torch.Tensor]:
        back = np.arange(self.contract.history - 1, -1, -1)  # oldest first
        stacked = (slots[:, None] - np.minimum(back, self._age[slots][:, None])) % self.capacity  # (B, history)
        out = {}
        for name, images in self._images.items():
            frames = torch.from_numpy(images[stacked]).permute(0, 1, 4, 2, 3)  # (B, history, C, H, W)
            out[name] = frames.flatten(1, 2)
        for name, vectors in self._proprio.items():
            out[name] = torch.from_numpy(vectors[stacked]).flatten(1, 2)
        return out

    def all_proprio(self) -> torch.Tensor:
        """Every transition's proprioception, ``(N, history * size)``, in the contract's order."""
        observations = self._observations(self._transitions())
        return torch.cat([observations[p.name] for p in self.contract.proprio], dim=1)

    @property
    def last_observation(self) -> dict[str, torch.Tensor]:
        """The newest frame as the network sees it, with its stack: name -> ``(1, history * C, H, W)`` tensors."""
        return self._observations(np.array([(self._head - 1) % self.capacity]))

    # ------------------------------------------------------------------ resume
    def save(self, folder: Path) -> None:
        """Write the used part of the memory as plain arrays into an existing folder."""
        used = min(self._frames, self.capacity)
        for name, array in self._arrays().items():
            np.save(folder / f"{name}.npy", array[:used])
        np.save(folder / "counters.npy", np.array([self._head, self._frames], np.int64))

    def load(self, folder: Path) -> None:
        head, frames = np.load(folder / "counters.npy", allow_pickle=False)
        used = min(int(frames), self.capacity)
        for name, array in self._arrays().items():
            saved = np.load(folder / f"{name}.npy", allow_pickle=False)
            if saved.shape != (used, *array.shape[1:]) or saved.dtype != array.dtype:
                raise ValueError(
                    f"{folder / name}.npy holds {saved.shape} {saved.dtype}, this memory wants {(used, *array.shape[1:])} {array.dtype}"
                )
            array[:used] = saved
        self._head, self._frames, self._index = int(head), int(frames), None

    def _arrays(self) -> dict[str, np.ndarray]:
        named = {f"image.{k}": v for k, v in self._images.items()} | {
            f"proprio.{k}": v for k, v in self._proprio.items()
        }
        return named | {
            "action": self._action, "reward": self._reward, "terminated": self._terminated,
            "complete": self._complete, "age": self._age,
        }  # fmt: skip


def join(first: Batch, second: Batch) -> Batch:
    """Two batches end to end, ``first``'s rows first."""
    joined: Batch = {}
    for key, value in first.items():
        if isinstance(value, dict):
            joined[key] = {name: torch.cat([value[name], second[key][name]]) for name in value}
        else:
            joined[key] = torch.cat([value, second[key]])
    return joined


def to_device(batch: Batch, device: torch.device) -> Batch:
    return {
        key: {k: v.to(device, non_blocking=True) for k, v in value.items()}
        if isinstance(value, dict)
        else value.to(device)
        for key, value in batch.items()
    }
