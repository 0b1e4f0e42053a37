"""Success rates as they may be printed: with n and a 95 % interval, and compared in pairs;
scores of several training seeds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Z95 = 1.959963984540054  # two-sided 95 % point of the normal distribution
# Control steps that an evaluation episode goes on for after its first success, in simulation and over ROS 2 alike:
# "success at the end" asks whether the task is still done then.
AFTER_STEPS = 10
# Control steps in a row that a task must be done for before that is a success, in demonstrations, learning and
# evaluation alike, unless another number is asked for.
HOLD_STEPS = 5


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
    """Two policies on the same seeds: how often only the first, only the second succeeded, and the exact two-sided
    p-value.

    Under the null hypothesis the discordant pairs are fair coin flips (McNemar 1947, exact binomial form).
    """
    if len(first) != len(second):
        raise ValueError(f"pairs need the same seeds: {len(first)} outcomes against {len(second)}")
    only_first = sum(bool(a) and not b for a, b in zip(first, second))
    only_second = sum(bool(b) and not a for a, b in zip(first, second))
    n, k = only_first + only_second, min(only_first, only_second)
    tail = sum(math.comb(n, i) for i in range(k + 1)) / 2**n
    return only_first, only_second, min(1.0, 2 * tail)


# ----------------------------------------------------------------------------------------------- several training seeds
Statistic = Callable[[np.ndarray], np.ndarray]  # (..., n) -> (...)

DRAWS = 2000  # resamples of a bootstrap: enough for the second decimal of a 95 % interval


def mean(values: npt.ArrayLike) -> np.ndarray:
    """Arithmetic mean over the last axis."""
    return np.asarray(values, float).mean(axis=-1)


def iqm(values: npt.ArrayLike) -> np.ndarray:
    """Interquartile mean over the last axis: what is left without the lowest and the highest quarter of the values.

    A quarter of n is rounded down, as in the published figures that use it (Agarwal et al. 2021, arXiv 2108.13264): up
    to three values it is the plain mean.
    """
    ordered = np.sort(np.asarray(values, float), axis=-1)
    n = ordered.shape[-1]
    if n == 0:
        raise ValueError("the interquartile mean of no values does not exist")
    return ordered[..., n // 4 : n - n // 4].mean(axis=-1)


def bootstrap_interval(
    strata: Sequence[npt.ArrayLike],
    statistic: Statistic = mean,
    *,
    resample_strata: bool = False,
    draws: int = DRAWS,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval (Efron 1979) of ``statistic`` over all values, drawn anew within each stratum.

    Strata that are fixed (the tasks of a suite, with the scores of their training seeds) keep their share in every
    resample: the stratified bootstrap of Agarwal et al. 2021. Strata that are a sample themselves (training seeds, with
    their episodes) are drawn too, with ``resample_strata``: first a stratum, then its values; they must then be equally
    long.

    An interval like this knows only what occurred: where all values are equal it is a point, and over two or three
    seeds it is narrower than the truth.

    Args:
        strata: one sequence of numbers each.
        statistic: ``mean``, ``iqm`` or another reduction of the last axis.
        draws: number of resamples.
        level: share of resamples inside the interval.
        seed: of the resampling; the same input gives the same interval.
    """
    arrays = [np.asarray(values, float).ravel() for values in strata]
    sizes = [array.size for array in arrays]
    if not sizes or 0 in sizes:
        raise ValueError(f"a bootstrap needs at least one value in each stratum, got {sizes} values")
    rng = np.random.default_rng(seed)
    if resample_strata:
        if len(set(sizes)) != 1:
            raise ValueError(f"strata that are drawn must be equally long, got {sizes} values")
        table = np.stack(arrays)
        rows = rng.integers(0, len(arrays), (draws, len(arrays), 1))
        columns = rng.integers(0, sizes[0], (draws, len(arrays), sizes[0]))
        resampled = table[rows, columns].reshape(draws, -1)
    else:
        resampled = np.concatenate([a[rng.integers(0, a.size, (draws, a.size))] for a in arrays], axis=1)
    low, high = np.quantile(statistic(resampled), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
