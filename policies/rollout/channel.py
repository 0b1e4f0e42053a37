"""Between a learner and an actor in another process: frames one way, weights the other. Neither side ever waits for the
other.

Both lie in memory that the two processes share. Who may touch what is settled by two pipes that never block, a byte a
message:

* actor to learner: ``FRAME``, a slot of the ring holds the next frame; ``WEIGHTS``, the newest weights have been read
* learner to actor: ``FRAME``, a slot is free again; ``WEIGHTS``, new ones lie there

so nobody reads what the other is writing. A closed pipe means that the other side has gone. The memory has no name (see
``sim.envs.vector_worker``): nothing stays behind, however the processes end.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import torch

from robot.contract import Contract
from sim.envs.vector_worker import Layout

FRAME, WEIGHTS = b"f", b"w"
MOST_SLOTS = 4096  # a pipe holds at least this many bytes (PIPE_BUF on Linux), so a ring of it is never full

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Frame:
    """One observation and what led to it.

    A frame that opens an episode has no action, reward nor end.
    """

    observation: dict[str, np.ndarray]
    action: np.ndarray
    reward: float
    opens: bool  # an episode
    terminated: bool
    truncated: bool
    success: bool
    step: int  # environment steps until it, of the whole run
    weights_step: int  # environment steps that the learner knew when it sent the weights that acted


@dataclass(frozen=True)
class About:
    """What comes with weights."""

    updates: int  # of the agent that they are of
    step: int  # environment steps that the learner knows
    random: bool  # act uniformly at random instead


@dataclass(frozen=True)
class Wire:
    """What one side needs to make its end; picklable."""

    layout: Layout
    memory: Any
    slots: int
    names: tuple[str, ...]  # of what an observation holds
    hear: Connection
    tell: Connection

    def close(self) -> None:
        """Let go of a wire that was handed to another process, or this one would never hear that the other has gone."""
        self.hear.close()
        self.tell.close()


def open_channel(contract: Contract, slots: int, weights: Tensors) -> tuple[Wire, Wire]:
    """The learner's wire and the actor's: a ring of ``slots`` frames of a contract, and room for weights like these."""
    if not 2 <= slots <= MOST_SLOTS:
        raise ValueError(f"a ring has 2 to {MOST_SLOTS} slots, got {slots}")
    seen: list[tuple[str, tuple[int, ...], str]] = [(c.name, c.shape, "uint8") for c in contract.cameras]
    seen += [(p.name, (p.size,), "float32") for p in contract.proprio]
    wanted: list[tuple[str, tuple[int, ...], str]] = [
        (f"obs/{name}", (slots, *shape), kind) for name, shape, kind in seen
    ]
    wanted += [("action", (slots, contract.action.size), "float32"), ("reward", (slots,), "float32")]
    wanted += [(name, (slots,), "bool") for name in ("opens", "terminated", "truncated", "success")]
    wanted += [(name, (slots,), "int64") for name in ("step", "weights_step")]
    wanted += [(f"weights/{n}", tuple(t.shape), str(t.dtype).removeprefix("torch.")) for n, t in weights.items()]
    layout = Layout.pack([*wanted, ("about", (3,), "int64"), ("acted", (1,), "int64")])
    context = multiprocessing.get_context("spawn")
    names, memory = tuple(name for name, *_ in seen), context.RawArray("B", layout.size)
    (by_actor, to_actor), (by_learner, to_learner) = context.Pipe(duplex=False), context.Pipe(duplex=False)
    return (
        Wire(layout, memory, slots, names, by_learner, to_actor),
        Wire(layout, memory, slots, names, by_actor, to_learner),
    )


class _End:
    """One side: the shared arrays, and the two pipes as it uses them."""

    def __init__(self, wire: Wire) -> None:
        self.wire, self.slots, self.names = wire, wire.slots, wire.names
        self.views = wire.layout.views(wire.memory)
        self._next = 0  # slot
        for pipe in (wire.hear, wire.tell):
            os.set_blocking(pipe.fileno(), False)

    def _tell(self, words: bytes) -> None:
        try:
            os.write(self.wire.tell.fileno(), words)
        except BrokenPipeError:
            pass  # gone: the next _heard says so

    def _heard(self) -> bytes | None:
        """What the other side has said since the last time; None: it has gone."""
        try:
            return os.read(self.wire.hear.fileno(), 2 * MOST_SLOTS) or None
        except BlockingIOError:
            return b""

    def _weights(self, tensors: Tensors) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Each tensor, and the shared one of its name."""
        for name, tensor in tensors.items():
            yield tensor, torch.from_numpy(self.views[f"weights/{name}"])


class LearnerEnd(_End):
    """Takes frames, gives weights."""

    def __init__(self, wire: Wire) -> None:
        super().__init__(wire)
        self.ready = 0  # frames to be taken
        self.taken = True  # the actor has read the weights that were given last

    @property
    def acted(self) -> int:
        """Environment steps of the run that the actor has made by now,
        those whose frames have not been taken included.
        """
        return int(self.views["acted"][0])

    def listen(self) -> bool:
        """Hear what the actor has said; False when it has gone."""
        heard = self._heard()
        if heard is None:
            return False
        self.ready += heard.count(FRAME)
        self.taken = self.taken or WEIGHTS in heard
        return True

    def frames(self) -> Iterator[Frame]:
        """The frames that are there, oldest first. Each one's arrays are the shared memory's own,
        until the next is taken.
        """
        for _ in range(self.ready):
            at, views = self._next, self.views
            yield Frame(
                {name: views[f"obs/{name}"][at] for name in self.names},
                views["action"][at], float(views["reward"][at]), bool(views["opens"][at]),
                bool(views["terminated"][at]), bool(views["truncated"][at]), bool(views["success"][at]),
                int(views["step"][at]), int(views["weights_step"][at]),
            )  # fmt: skip
            self._next = (at + 1) % self.slots
            self.ready -= 1
            self._tell(FRAME)

    def give(self, weights: Tensors, about: About) -> None:
        """New weights for the actor; only when ``taken``."""
        for tensor, shared in self._weights(weights):
            shared.copy_(tensor)
        self.views["about"][:] = about.updates, about.step, about.random
        self.taken = False
        self._tell(WEIGHTS)


class ActorEnd(_End):
    """Gives frames, takes weights."""

    def __init__(self, wire: Wire) -> None:
        super().__init__(wire)
        self._free = wire.slots
        self.fresh = False  # weights lie there that have not been read

    def listen(self) -> bool:
        """Hear what the learner has said; False when it has gone."""
        heard = self._heard()
        if heard is None:
            return False
        self._free += heard.count(FRAME)
        self.fresh = self.fresh or WEIGHTS in heard
        return True

    def take(self, weights: Tensors) -> About:
        """Read the newest weights into these tensors; only when ``fresh``."""
        with torch.no_grad():
            for tensor, shared in self._weights(weights):
                tensor.copy_(shared)
        updates, step, random = (int(number) for number in self.views["about"])
        self.fresh = False
        self._tell(WEIGHTS)
        return About(updates, step, bool(random))

    def count(self, step: int) -> None:
        """Say how many environment steps were made, whether or not their frames could be sent."""
        self.views["acted"][0] = step

    def send(self, frame: Frame) -> bool:
        """Hand a frame over; False, and nothing is done, when the learner has left no slot free."""
        if self._free == 0:
            return False
        at = self._next
        for name in self.names:
            self.views[f"obs/{name}"][at] = frame.observation[name]
        for name in ("action", "reward", "opens", "terminated", "truncated", "success", "step", "weights_step"):
            self.views[name][at] = getattr(frame, name)
        self._next = (at + 1) % self.slots
        self._free -= 1
        self._tell(FRAME)
        return True
