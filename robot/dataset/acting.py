"""Who acted: a code for each action of an episode, and which actions are a person's.

``source`` (N,) uint8 holds the codes; in the file it has the attribute ``codes``, which names them.
"""

from __future__ import annotations

import numpy as np

from robot.errors import DatasetError

PERSON, POLICY, BLEND, HOLD = range(4)
CODES = ("person", "policy", "blend", "hold")  # by their numbers; "blend": on the way from one to the other


def check(source: np.ndarray | None, actions: int) -> None:
    """Raise DatasetError unless ``source`` is None, or (N,) uint8 of known codes."""
    if source is None:
        return
    if source.shape != (actions,) or source.dtype != np.uint8:
        raise DatasetError(f"source must be ({actions},) uint8, got {source.shape} {source.dtype.name}")
    if source.max(initial=0) >= len(CODES):
        raise DatasetError(f"source holds {source.max()}; the codes are 0 to {len(CODES) - 1}: {', '.join(CODES)}")


def counts(source: np.ndarray) -> dict[str, int]:
    """Actions of each who acted, name -> number."""
    return {name: int(np.sum(source == code)) for code, name in enumerate(CODES) if np.any(source == code)}
