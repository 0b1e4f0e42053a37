"""Observations stacked over time: the one rule for what a policy with history sees.

The newest observation comes last, those before it one control period apart. At an episode's start, and after a gap of
more than 1.5 periods, the first observation since stands for those before it. Replay memories, acting in simulation,
the control loop and the exported network all follow this.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

import numpy as np

GAP = 1.5  # control periods between two observations, beyond which the ones before are forgotten

T = TypeVar("T")


class History(Generic[T]):
    """The last ``length`` observations.

    Args:
        period_ns: control period; needed where observations carry stamps.
    """

    def __init__(self, length: int, period_ns: float = 0.0) -> None:
        self.length, self.period_ns = length, period_ns
        self._seen: deque[T] = deque(maxlen=length)
        self._stamp_ns: int | None = None

    def clear(self) -> None:
        """The next observation is the first."""
        self._seen.clear()
        self._stamp_ns = None

    def add(self, observation: T, stamp_ns: int | None = None) -> list[T]:
        """All that the policy sees now, the newest last; ``length`` of them."""
        if stamp_ns is not None:
            if self._stamp_ns is not None and not 0 < stamp_ns - self._stamp_ns <= GAP * self.period_ns:
                self._seen.clear()
            self._stamp_ns = stamp_ns
        self._seen.append(observation)
        return [self._seen[0]] * (self.length - len(self._seen)) + list(self._seen)


def steps_back(age: np.ndarray, length: int) -> np.ndarray:
    """How many observations before the newest each of a stack lies, ``(B, length)``, the newest last.

    Args:
        age: ``(B,)``, observations since the first one.
    """
    back = np.arange(length - 1, -1, -1)
    return np.minimum(back, np.asarray(age)[:, None])


def stack(seen: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Observations by name with a leading axis of time, ``(length, ...)``."""
    return {name: np.stack([one[name] for one in seen]) for name in seen[-1]}
