"""Whether each of several misses was answered by a hold, where motion goes on between them."""

from __future__ import annotations

import math
from collections.abc import Sequence

MOVES = "running"  # said when a hold ends
NO_HOLDS = ("malformed", "clock_domain")  # said of a target that is dropped, while the arm goes on


def ended(said: Sequence[tuple[float, str]], begun_s: float) -> float:
    """When motion went on after the first hold since ``begun_s``; infinite if it did not, or was not held."""
    after = [(when, rule) for when, rule in said if when >= begun_s and rule not in NO_HOLDS]
    held = next((i for i, (_, rule) in enumerate(after) if rule != MOVES), len(after))
    return next((when for when, rule in after[held:] if rule == MOVES), math.inf)


def slowest(misses: Sequence[float], said: Sequence[tuple[float, str]], within_s: float, end_s: float) -> float | None:
    """Seconds from a miss to the hold that answers it, of the one that took longest; 0 where the arm was held already.

    Args:
        misses: when each was, s.
        said: ``(when, rule or "running")`` of the arbiter in order, from a moment on at which the arm moved.
        within_s: time for an answer; a miss that had less before ``end_s`` and was not answered does not count.
        end_s: until when was listened.

    Returns:
        None if a miss was not answered before the next one, or if there was none.
    """
    told = [(when, rule) for when, rule in said if rule not in NO_HOLDS]
    delays: list[float] = []
    for miss, following in zip(misses, [*misses[1:], end_s]):
        before = [rule for when, rule in told if when <= miss]
        if before and before[-1] != MOVES:
            delays.append(0.0)
            continue
        answer = next((when for when, rule in told if miss < when <= following and rule != MOVES), None)
        if answer is not None:
            delays.append(answer - miss)
        elif miss is not misses[-1] or end_s - miss >= within_s:
            return None
    return max(delays, default=None)
