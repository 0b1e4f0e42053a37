"""Arrays in one block of memory that several processes see.

The block has no name: the standard library makes it in ``/dev/shm``, removes the name at once and hands the open file
to the children, so nothing can stay behind there, not even when every process is killed at the same instant (a named
block needs somebody who lives on to remove it).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from robot.contract import Contract

ALIGNMENT = 64  # bytes; a cache line, so that two workers never write to the same one


@dataclass(frozen=True)
class Layout:
    """Where each array lies in the shared block: name -> (offset in bytes, shape, dtype). Rows are environments."""

    arrays: dict[str, tuple[int, tuple[int, ...], str]]
    size: int  # bytes

    @staticmethod
    def of(contract: Contract, envs: int, workers: int) -> Layout:
        """Observations and final observations ``(envs, ...)``, actions, rewards, flags,
        and each worker's place of work.
        """
        wanted: list[tuple[str, tuple[int, ...], str]] = []
        for group in ("obs", "final"):
            wanted += [(f"{group}/{c.name}", (envs, *c.shape), "uint8") for c in contract.cameras]
            wanted += [(f"{group}/{p.name}", (envs, p.size), "float32") for p in contract.proprio]
        wanted += [("action", (envs, contract.action.size), "float32"), ("reward", (envs,), "float32")]
        wanted += [("terminated", (envs,), "bool"), ("truncated", (envs,), "bool"), ("next_seed", (envs,), "int64")]
        return Layout.pack([*wanted, ("at", (workers,), "int64")])

    @staticmethod
    def pack(wanted: list[tuple[str, tuple[int, ...], str]]) -> Layout:
        """Arrays of these names, shapes and dtypes, one after the other."""
        arrays, end = {}, 0
        for name, shape, dtype in wanted:
            arrays[name] = (end, shape, dtype)
            end += -(-int(np.prod(shape)) * np.dtype(dtype).itemsize // ALIGNMENT) * ALIGNMENT
        return Layout(arrays, end)

    def views(self, memory: Any) -> dict[str, np.ndarray]:
        """The arrays, by name, as views of ``memory`` (a ctypes array of bytes)."""
        raw = np.frombuffer(memory, np.uint8)
        return {
            name: raw[start : start + int(np.prod(shape)) * np.dtype(dtype).itemsize].view(dtype).reshape(shape)
            for name, (start, shape, dtype) in self.arrays.items()
        }
