"""Where observations and actions lie in the memory that two processes share: plain arrays, one after another."""

from __future__ import annotations

import mmap
from dataclasses import dataclass

import numpy as np

from robot.contract import Contract

ALIGNED = 64  # bytes


@dataclass(frozen=True)
class Layout:
    """Array name -> shape, type and offset, of a contract; the actions come last."""

    arrays: dict[str, tuple[tuple[int, ...], np.dtype, int]]
    size: int  # bytes

    @staticmethod
    def of(contract: Contract) -> Layout:
        lead = (contract.history,) if contract.history > 1 else ()
        wanted: list[tuple[str, tuple[int, ...], type]] = [
            *((c.name, (*lead, *c.shape), np.uint8) for c in contract.cameras),
            *((p.name, (*lead, p.size), np.float32) for p in contract.proprio),
            ("action", (contract.chunk, contract.action.size), np.float32),
        ]
        arrays: dict[str, tuple[tuple[int, ...], np.dtype, int]] = {}
        offset = 0
        for name, shape, kind in wanted:
            arrays[name] = (shape, np.dtype(kind), offset)
            size = int(np.prod(shape)) * np.dtype(kind).itemsize
            offset += -(-size // ALIGNED) * ALIGNED
        return Layout(arrays, offset)

    def views(self, memory: mmap.mmap) -> dict[str, np.ndarray]:
        """The arrays in a memory of ``size`` bytes, ``action`` among them."""
        return {
            name: np.frombuffer(memory, kind, int(np.prod(shape)), offset).reshape(shape)
            for name, (shape, kind, offset) in self.arrays.items()
        }
