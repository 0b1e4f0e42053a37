"""Numbers as one of a few: k-means over a data set, and codes that are learned along with a network."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from policies.networks.layers import full_precision
from robot.errors import PixelarmError

ROUNDS = 50  # of k-means at most, as BeT's code (notmahi/bet)
DEAD = 0.05  # a code that is used less often than this share of an equal one is dead


def nearest(points: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
    """Which of ``centres`` ``(K, n)`` is nearest to each of ``points`` ``(..., n)``: ``(...)`` int64, the first of
    equals.
    """
    with full_precision(points):  # |p - c|^2 but for |p|^2, which is the same for all: no (..., K, n) is made
        return (centres.square().sum(dim=-1) - 2.0 * points @ centres.T).argmin(dim=-1)


def kmeans(points: np.ndarray, number: int, seed: int = 0) -> np.ndarray:
    """Centres ``(number, n)`` float64 of ``points`` ``(N, n)``: Lloyd's algorithm from a k-means++ start (Arthur and
    Vassilvitskii 2007), in float64. The same points and seed give the same centres.

    Each next centre of the start is a point drawn with a probability in proportion to its squared distance from those
    there are. A centre to which no point is nearest stays where it is.

    Raises:
        PixelarmError: there are fewer different points than centres.
    """
    points = np.asarray(points, np.float64)
    rng = np.random.default_rng(seed)
    centres = [points[rng.integers(len(points))]]
    away = _squared(points, centres[0])
    while len(centres) < number:
        total = np.cumsum(away)
        if total[-1] <= 0.0:
            raise PixelarmError(f"{number} centres of {len(points)} points, of which {len(centres)} are different")
        drawn = int(np.searchsorted(total, rng.random() * total[-1], side="right"))
        centres.append(points[min(drawn, len(points) - 1)])
        away = np.minimum(away, _squared(points, centres[-1]))
    found = np.stack(centres)
    for _ in range(ROUNDS):
        own = np.argmin(np.square(found).sum(axis=1) - 2.0 * points @ found.T, axis=1)
        count = np.bincount(own, minlength=number)[:, None]
        total = np.stack([np.bincount(own, column, minlength=number) for column in points.T], axis=1)
        moved = np.where(count > 0, total / np.maximum(count, 1), found)
        if np.array_equal(moved, found):
            break
        found = moved
    return found


def _squared(points: np.ndarray, centre: np.ndarray) -> np.ndarray:
    return np.square(points - centre).sum(axis=1)


class ResidualQuantiser(nn.Module):
    """Vectors as sums of codes, one of each book: the first book's is the nearest to the vector, the next one's to what
    is left of it (residual quantisation; SoundStream, arXiv 2107.03312).

    Codes are no weights that a gradient moves. ``learn`` moves each towards the moving average of what it stood for
    (van den Oord et al. 2017, arXiv 1711.00937, appendix A.1), and one that hardly stands for anything is put where
    some vector is. So they begin: at first all are dead.

    Args:
        books: of codes.
        codes: in each book.
        size: of a vector.
        decay: of the moving averages, an update.

    Attributes:
        codes: ``(books, codes, size)``.
    """

    codes: torch.Tensor
    counts: torch.Tensor
    sums: torch.Tensor

    def __init__(self, books: int, codes: int, size: int, decay: float) -> None:
        super().__init__()
        self.decay = decay
        self.register_buffer("codes", torch.zeros(books, codes, size))
        self.register_buffer("counts", torch.zeros(books, codes))  # share of the vectors that each code stood for
        self.register_buffer("sums", torch.zeros(books, codes, size))  # those vectors', times that share

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """Which code of each book: ``(..., books)`` int64 of ``vectors`` ``(..., size)``."""
        left, chosen = vectors, []
        for book in self.codes:
            chosen.append(nearest(left, book))
            left = left - book[chosen[-1]]
        return torch.stack(chosen, dim=-1)

    def vectors(self, chosen: torch.Tensor) -> torch.Tensor:
        """``(..., size)``, the sums of the codes ``(..., books)``."""
        books = torch.arange(len(self.codes), device=chosen.device)
        return self.codes[books, chosen].sum(dim=-2)

    @torch.no_grad()
    def learn(self, vectors: torch.Tensor) -> None:
        """Move the codes towards ``vectors`` ``(N, size)``, N at least 1. Draws from torch's own stream."""
        left = vectors.float()
        for codes, counts, sums in zip(self.codes, self.counts, self.sums):
            self._revive(codes, counts, sums, left)
            own = nn.functional.one_hot(nearest(left, codes), len(codes)).float()  # (N, codes)
            counts.lerp_(own.mean(dim=0), 1.0 - self.decay)
            sums.lerp_(own.T @ left / len(left), 1.0 - self.decay)
            codes.copy_(torch.where(counts[:, None] > 0.0, sums / counts[:, None].clamp(min=1e-12), codes))
            left = left - codes[nearest(left, codes)]

    @staticmethod
    def _revive(codes: torch.Tensor, counts: torch.Tensor, sums: torch.Tensor, left: torch.Tensor) -> None:
        """Put dead codes where some of the vectors ``left`` are, with the weight of codes that are all used alike."""
        equal = 1.0 / len(codes)
        dead = counts < DEAD * equal
        drawn = left[torch.randint(len(left), (len(codes),), device=left.device)]
        codes.copy_(torch.where(dead[:, None], drawn, codes))
        counts.copy_(torch.where(dead, equal, counts))
        sums.copy_(torch.where(dead[:, None], equal * drawn, sums))


def perplexity(chosen: torch.Tensor, codes: int) -> torch.Tensor:
    """How many codes ``chosen`` ``(N,)`` int64 uses: exp of the entropy of their shares, 1 to ``codes``."""
    share = torch.bincount(chosen, minlength=codes).float() / max(1, len(chosen))
    return (-(share * share.clamp(min=1e-12).log()).sum()).exp()
