"""Success rates as they may be printed: with n and a 95 % interval, and compared in pairs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

Z95 = 1.959963984540054  # two-sided 95 % point of the normal distribution


@dataclass(frozen=True)
class Rate:
    """``successes`` of ``n``, with its Wilson interval."""

    successes: int
    n: int
    low: float
    high: float

    @property
    def value(self) -> float:
        return self.successes / self.n if self.n else math.nan

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}] ({self.successes} of {self.n})"

    def to_dict(self) -> dict[str, float]:
        return {"success": self.value, "n": self.n, "low": self.low, "high": self.high}


def wilson(successes: int, n: int, z: float = Z95) -> Rate:
    """Wilson score interval (Wilson 1927): the one that keeps its coverage near 0 and 1, where robots live."""
    if not 0 <= successes <= n:
        raise ValueError(f"successes must be between 0 and n, got {successes} of {n}")
    if n == 0:
        return Rate(0, 0, 0.0, 1.0)
    p = successes / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return Rate(successes, n, max(0.0, centre - half), min(1.0, centre + half))


def rate(outcomes: Sequence[bool]) -> Rate:
    return wilson(sum(bool(o) for o in outcomes), len(outcomes))


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> tuple[int, int, float]:
    """Two policies on the same seeds: how often only the first, only the second succeeded, and the exact two-sided p-value.

    Under the null hypothesis the discordant pairs are fair coin flips (McNemar 1947, exact binomial form).
    """
    if len(first) != len(second):
        raise ValueError(f"pairs need the same seeds: {len(first)} outcomes against {len(second)}")
    only_first = sum(bool(a) and not b for a, b in zip(first, second))
    only_second = sum(bool(b) and not a for a, b in zip(first, second))
    n, k = only_first + only_second, min(only_first, only_second)
    tail = sum(math.comb(n, i) for i in range(k + 1)) / 2**n
    return only_first, only_second, min(1.0, 2 * tail)
