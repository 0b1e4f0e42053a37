"""Replay memory for image observations: uint8, each frame stored once.

Frames lie in a ring in the order they were seen. A transition is a frame that has a successor of the same episode;
``next`` observations, frame stacks and n-step returns are looked up, not copied, so 100,000 steps of two 84 x 84
cameras take 4.2 GB. The frames can lie in a memory-mapped file instead, when a folder is given.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from policies.data.batch import Batch
from robot.contract import Contract
from robot.dataset import acting
from robot.dataset.episodes import Episode
from robot.errors import PixelarmError
from robot.history import steps_back


@dataclass(frozen=True)
class Lookup:
    """What ``Replay.sample`` makes of the frames after a transition."""

    discount: float = 1.0  # gamma, per control step
    n_step: int = 1  # rewards summed, at most to the episode's end, before ``next_obs``
    sequence: int = 1  # actions given from each frame on; the last one repeats at the episode's end
    ahead: int = 0  # control steps to ``ahead_obs``; 0: none
    floor: bool = False  # give what the rest of an episode that ended paid
    proposals: bool = False  # keep a frozen prior's action with each frame
    decision: int = 0  # numbers of what was decided in each frame; 0: it was the contract's action


class Replay:
    """A ring of frames with the action taken in each and what came of it.

    ``start(observation)`` opens an episode, ``add(action, reward, terminated, observation)`` continues it. ``sample``
    draws uniformly from complete transitions; ``lookup`` says what it makes of the frames after them. Every row of a
    sample says in ``imitate`` whether its action is an example to follow: a demonstrator's, or of an own success.

    Args:
        folder: keep the frames in memory-mapped files in this folder instead of in memory.
        reuse: the folder may hold such files already, whose content is given up; a run that is resumed loads its own
            into them.
    """

    def __init__(
        self,
        contract: Contract,
        capacity: int,
        lookup: Lookup | None = None,
        folder: Path | None = None,
        reuse: bool = False,
    ) -> None:
        self.contract, self.capacity, self.lookup = contract, capacity, lookup or Lookup()
        self._images = {c.name: _frames(folder, c.name, (capacity, *c.shape), reuse) for c in contract.cameras}
        self._proprio = {p.name: np.zeros((capacity, p.size), np.float32) for p in contract.proprio}
        self._action = np.zeros((capacity, self.lookup.decision or contract.action.size), np.float32)
        self._reward = np.zeros(capacity, np.float32)
        self._terminated = np.zeros(capacity, bool)
        self._imitate = np.zeros(capacity, bool)
        self._complete = np.zeros(capacity, bool)  # has a successor
        self._usable = np.zeros(capacity, bool)  # complete, and may be learned from
        self._age = np.zeros(capacity, np.int64)  # steps since its episode began, for stacking
        self._floor = np.full(capacity if self.lookup.floor else 0, -np.inf, np.float32)
        self._proposal = np.zeros((capacity if self.lookup.proposals else 0, contract.action.size), np.float32)
        self._head = 0  # slot of the next frame
        self._used = 0  # frames ever written
        self._index: np.ndarray | None = None

    def __len__(self) -> int:
        """Transitions that can be sampled."""
        return len(self.transitions())

    @property
    def room(self) -> int:
        """Frames that can still be written before the oldest are overwritten."""
        return max(0, self.capacity - self._used)

    # ------------------------------------------------------------------- write
    def start(self, observation: dict[str, np.ndarray]) -> None:
        self._write(observation, age=0)

    def add(
        self,
        action: np.ndarray,
        reward: float,
        terminated: bool,
        observation: dict[str, np.ndarray],
        imitate: bool = False,
        usable: bool = True,
    ) -> None:
        """What was done in the newest frame, and the frame it led to.

        Args:
            imitate: the action is an example to follow.
            usable: False keeps the transition for stacks and returns only, and never samples it.
        """
        last = (self._head - 1) % self.capacity
        self._action[last], self._reward[last], self._terminated[last] = action, reward, terminated
        self._imitate[last] = imitate
        self._write(observation, age=int(self._age[last]) + 1)
        self._complete[last], self._usable[last] = True, usable
        self._index = None
        if terminated and self.lookup.floor:
            self._set_floor()

    def _set_floor(self) -> None:
        """The discounted rewards from each frame of the newest episode to its end, now that it has ended; a
        demonstration that goes on past success ends there, and again with every step on which it is still done.
        """
        total = np.float32(0)
        for slot in self._newest_slots()[::-1]:
            going = np.float32(0 if self._terminated[slot] else self.lookup.discount)
            total = self._reward[slot] + going * total
            self._floor[slot] = total

    def _newest_slots(self) -> np.ndarray:
        """Slots of the newest episode's transitions, in order, as far as the memory still holds it."""
        last = (self._head - 1) % self.capacity
        length = min(int(self._age[last]), self.capacity - 1)
        return (last - np.arange(length, 0, -1)) % self.capacity

    def propose(self, prior: Callable[[dict[str, torch.Tensor]], torch.Tensor]) -> None:
        """Keep with the newest frame what a frozen ``prior`` would do in it: ``(1, A)`` in [-1, 1]."""
        self._proposal[(self._head - 1) % self.capacity] = prior(self.last_observation)[0].cpu().numpy()

    def propose_all(self, prior: Callable[[dict[str, torch.Tensor]], torch.Tensor], rows: int = 256) -> None:
        """The same with every frame so far, ``rows`` at a time."""
        frames = np.arange(min(self._used, self.capacity))
        for first in range(0, len(frames), rows):
            slots = frames[first : first + rows]
            self._proposal[slots] = prior(self._observations(slots)).cpu().numpy()

    def add_episode(self, episode: Episode) -> None:
        """A recorded episode. Where a person took over, only that person's actions are examples to follow.

        Actions are clipped to the contract's bounds, as they were when the arm carried them out: what a device or a
        script wanted beyond them happened to nobody, and no policy can learn it.
        """
        follow, executed = examples(episode), self.contract.clip_action(episode.actions)
        self.start(episode.observation(0))
        for t in range(len(episode)):
            done, observation = bool(episode.terminated[t]), episode.observation(t + 1)
            self.add(executed[t], float(episode.rewards[t]), done, observation, imitate=bool(follow[t]))

    def copy_last_episode(self, source: Replay, since: int = 0) -> None:
        """Append the newest episode of another memory, from its control step ``since`` on and as far as that memory
        still holds it, as an example to follow.
        """
        last = (source._head - 1) % source.capacity
        length = min(int(source._age[last]) - since, source.capacity - 1)
        slots = (last - np.arange(length, -1, -1)) % source.capacity
        frames = [{n: store[slot] for n, store in source._stores().items()} for slot in slots]
        self.start(frames[0])
        self._copy_proposal(source, slots[0])
        for slot, following, frame in zip(slots, slots[1:], frames[1:]):
            done = bool(source._terminated[slot])
            self.add(source._action[slot], float(source._reward[slot]), done, frame, imitate=True)
            self._copy_proposal(source, following)

    def _copy_proposal(self, source: Replay, slot: int) -> None:
        if self.lookup.proposals:
            self._proposal[(self._head - 1) % self.capacity] = source._proposal[slot]

    def _stores(self) -> dict[str, np.ndarray]:
        return {**self._images, **self._proprio}

    def _write(self, observation: dict[str, np.ndarray], age: int) -> None:
        slot = self._head
        for name, store in self._stores().items():
            store[slot] = observation[name]
        self._age[slot] = age
        if self.lookup.floor:
            self._floor[slot] = -np.inf
        self._complete[slot] = False
        # this frame, and the old ones after it whose stacks reach back over it, are no transitions (any more)
        self._usable[slot] = False
        for k in range(1, self.contract.history):
            later = (slot + k) % self.capacity
            if self._age[later] >= k:
                self._usable[later] = False
        self._head = (slot + 1) % self.capacity
        self._used += 1
        self._index = None

    # ------------------------------------------------------------------ sample
    def transitions(self) -> np.ndarray:
        """Slots of the transitions that can be sampled, in order."""
        if self._index is None:
            self._index = np.flatnonzero(self._usable)
        return self._index

    def sample(self, size: int, rng: np.random.Generator, distinct: bool = False) -> Batch:
        """``size`` transitions; ``distinct`` draws without replacement as far as there are enough."""
        index = self.transitions()
        if len(index) == 0:
            raise ValueError("the replay memory holds no complete transition yet")
        if distinct and size <= len(index):
            return self.gather(rng.choice(index, size, replace=False))
        return self.gather(index[rng.integers(0, len(index), size)])

    def gather(self, slots: np.ndarray) -> Batch:
        """The transitions that start in these slots."""
        look = self.lookup
        reward, discount, after = self._returns(slots)
        extra: dict[str, Any] = {}
        if look.sequence > 1:
            steps = [self._later(slots, k) for k in range(look.sequence)]
            extra["actions"] = torch.from_numpy(self._action[np.stack([slot for slot, _ in steps], axis=1)])
            extra["valid"] = torch.from_numpy(np.stack([within for _, within in steps], axis=1))
        if look.ahead:
            frames, valid = self._frame_ahead(slots, look.ahead)
            extra["ahead_obs"], extra["ahead_valid"] = self._observations(frames), torch.from_numpy(valid)
        if look.floor:
            extra["floor"] = torch.from_numpy(self._floor[slots])
        if look.proposals:
            extra["proposal"] = torch.from_numpy(self._proposal[slots])
            extra["next_proposal"] = torch.from_numpy(self._proposal[after])
        return Batch(
            obs=self._observations(slots),
            next_obs=self._observations(after),
            action=torch.from_numpy(self._action[slots]),
            reward=torch.from_numpy(reward),
            discount=torch.from_numpy(discount),
            imitate=torch.from_numpy(self._imitate[slots]),
            **extra,
        )

    def _returns(self, slots: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Discounted rewards ``(B,)``, gamma^n or 0 ``(B,)``, and the slots ``(B,)`` of the frames they lead to."""
        gamma, at = np.float32(self.lookup.discount), slots
        reward, discount, going = (
            np.zeros(len(slots), np.float32),
            np.ones(len(slots), np.float32),
            np.ones(len(slots), bool),
        )
        for _ in range(self.lookup.n_step):
            going = going & self._complete[at]
            reward += np.where(going, discount * self._reward[at], np.float32(0))
            discount = np.where(going, discount * gamma, discount)
            over = going & self._terminated[at]
            at = np.where(going, (at + 1) % self.capacity, at)
            discount = np.where(over, np.float32(0), discount)
            going = going & ~over
        return reward, discount, at

    def _later(self, slots: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
        """Slots of the transitions ``steps`` on, or of the episode's last one, and whether they are that far on."""
        at, whole = slots, np.ones(len(slots), bool)
        for _ in range(steps):
            following = (at + 1) % self.capacity
            whole = whole & self._complete[at] & self._complete[following]
            at = np.where(whole, following, at)
        return at, whole

    def _frame_ahead(self, slots: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
        """Slots of the frames ``steps`` on, of the episode's last frame where it is shorter, and whether it is not."""
        at, whole = self._later(slots, steps - 1)
        return (at + 1) % self.capacity, whole

    def _observations(self, slots: np.ndarray) -> dict[str, torch.Tensor]:
        stacked = self._stacks(slots)
        out = {}
        for name, images in self._images.items():
            frames = torch.from_numpy(images[stacked]).permute(0, 1, 4, 2, 3)  # (B, history, C, H, W)
            out[name] = frames.flatten(1, 2)
        for name, vectors in self._proprio.items():
            out[name] = torch.from_numpy(vectors[stacked]).flatten(1, 2)
        return out

    def _stacks(self, slots: np.ndarray) -> np.ndarray:
        """Slots of the observations that a policy sees at each of ``slots``, ``(B, history)``, oldest first."""
        return (slots[:, None] - steps_back(self._age[slots], self.contract.history)) % self.capacity

    def all_proprio(self) -> torch.Tensor:
        """Every transition's proprioception, ``(N, history * size)``, in the contract's order;
        N x 0 if there is none.
        """
        slots = self.transitions()
        stacked = self._stacks(slots)
        parts = [torch.from_numpy(self._proprio[p.name][stacked]).flatten(1, 2) for p in self.contract.proprio]
        return torch.cat(parts, dim=1) if parts else torch.zeros(len(slots), 0)

    @property
    def last_observation(self) -> dict[str, torch.Tensor]:
        """The newest frame as the network sees it, with its stack: name -> ``(1, history * C, H, W)`` tensors."""
        return self._observations(np.array([(self._head - 1) % self.capacity]))

    @property
    def last_age(self) -> int:
        """Control steps of the newest episode so far."""
        return int(self._age[(self._head - 1) % self.capacity])

    def last_rewards(self) -> np.ndarray:
        """Rewards of the newest episode so far, ``(N,)``, as far as the memory still holds it."""
        return self._reward[self._newest_slots()]

    # ------------------------------------------------------------------ resume
    def save(self, folder: Path) -> None:
        """Write the used part of the memory as plain arrays into an existing folder."""
        used = min(self._used, self.capacity)
        for name, array in self._arrays().items():
            np.save(folder / f"{name}.npy", array[:used])
        np.save(folder / "counters.npy", np.array([self._head, self._used], np.int64))

    def load(self, folder: Path) -> None:
        head, frames = np.load(folder / "counters.npy", allow_pickle=False)
        used = min(int(frames), self.capacity)
        for name, array in self._arrays().items():
            saved = np.load(folder / f"{name}.npy", allow_pickle=False)
            if saved.shape != (used, *array.shape[1:]) or saved.dtype != array.dtype:
                raise ValueError(
                    f"{folder / name}.npy holds {saved.shape} {saved.dtype}, this memory wants "
                    f"{(used, *array.shape[1:])} {array.dtype}"
                )
            array[:used] = saved
        self._head, self._used, self._index = int(head), int(frames), None

    def _arrays(self) -> dict[str, np.ndarray]:
        named = {f"image.{k}": v for k, v in self._images.items()} | {
            f"proprio.{k}": v for k, v in self._proprio.items()
        }
        more = {"floor": self._floor} if self.lookup.floor else {}
        more |= {"proposal": self._proposal} if self.lookup.proposals else {}
        return named | {
            "action": self._action, "reward": self._reward, "terminated": self._terminated,
            "imitate": self._imitate, "complete": self._complete, "usable": self._usable, "age": self._age,
        } | more  # fmt: skip


def examples(episode: Episode) -> np.ndarray:
    """Which of an episode's N actions are examples to follow, ``(N,)`` bool.

    Where it says who acted (``source``), those of a person. Else all of a demonstration, and where a person intervened
    in a policy's episode, what that person did (``interventions`` of its provenance: ``[first, last]`` steps).
    """
    if episode.source is not None:
        return np.asarray(episode.source == acting.PERSON)
    spans = episode.provenance.get("interventions")
    if spans is None:
        return np.ones(len(episode), bool)
    follow = np.zeros(len(episode), bool)
    for first, last in spans:
        follow[first : last + 1] = True
    return follow


def _frames(folder: Path | None, name: str, shape: tuple[int, ...], reuse: bool) -> np.ndarray:
    """Zeroed uint8 storage, in memory or in a file of its own."""
    if folder is None:
        return np.zeros(shape, np.uint8)
    path = folder / f"{name}.npy"
    if path.exists() and not reuse:
        raise PixelarmError(f"{path} exists; give recipe.replay_folder an empty folder, or remove what is there")
    folder.mkdir(parents=True, exist_ok=True)
    frames = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    size = path.stat().st_size
    try:  # its blocks now: a disk that is full later would end the process with a bus error
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        path.unlink()
        raise PixelarmError(
            f"{path} cannot have the {size / 1e9:.2f} GB of a replay memory ({error.strerror}): lower "
            f"recipe.replay_capacity, or "
            "choose another recipe.replay_folder"
        ) from error
    return frames
