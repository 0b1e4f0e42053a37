"""Actions by the instant that each is for: what is left of the chunks that a policy returned, and how a new one joins.

The action ``k`` of a chunk is for the instant ``k`` periods after the observation that the chunk answers, as it was in
the demonstrations. The loop asks for the action of an instant, the stamp of what it observes now. It never
counts actions: a chunk that comes later begins later within itself, and a tick that was skipped skips its action.

What an action means does not change by waiting (``robot.actions``). A delta counts, at the tick that executes it, from
the pose that is measured then, or from the target that was commanded last, as the contract says; so it did when it was
recorded. A delta that was dropped is not made up for. Joint positions and velocities are what they are.

* late: an action whose instant is over half a period before now is dropped and counted
* between two instants, the action lies between theirs (``robot.actions.between``); nothing is extrapolated: from half a
  period after the last instant on, there is no action
* overlap: the newest chunk wins, by a linear cross-fade. Its share rises from ``period / (fade + period)`` at the tick
  at which it comes to 1 after ``fade``; rotations take the shortest turn from old to new. The gripper is the newest
  chunk's at once: it is never averaged.

ACT's temporal ensemble (Zhao et al. 2023, arXiv:2304.13705) averages all chunks that speak of an instant, with weights
that fall exponentially. Under delay such averages of old plans were seen to oscillate (real-time chunking, Black et al.
2025, arXiv:2506.07339), so no plan has a say here for longer than one fade.
"""

from __future__ import annotations

import numpy as np

from robot import actions


class Schedule:
    """See the module text. Instants are ns of the clock of the stamps.

    Args:
        kind: of the actions, one of ``robot.actions.KINDS``.
        period_s: between the actions of a chunk.
        fade_s: how long a new chunk takes to replace an old one; 0: at once.
    """

    def __init__(self, kind: str, period_s: float, fade_s: float = 0.0) -> None:
        self.kind, self.period_ns, self.fade_ns = kind, 1e9 * period_s, 1e9 * fade_s
        self._begins_ns = 0  # instant of the first action that is kept
        self._actions: list[np.ndarray] = []  # (size,) each, a period apart
        self.chunks = self.late = self.blended = 0  # that came; actions dropped, and actions made of two chunks
        self.voided = 0  # chunks that were not joined, since the arm may have been moved while they were inferred

    def clear(self) -> None:
        """Forget all that was planned."""
        self._actions = []

    def merge(self, begins_ns: int, chunk: np.ndarray, now_ns: int) -> None:
        """Join a chunk ``(n, size)`` whose first action is for ``begins_ns``; the newest wins (see the module text).

        Args:
            now_ns: the instant that is executed next. Nothing is changed by a chunk that is over by then.
        """
        late = int(np.ceil((now_ns - begins_ns) / self.period_ns - 0.5))
        late = min(max(late, 0), len(chunk))
        self.chunks, self.late = self.chunks + 1, self.late + late
        if late == len(chunk):
            return
        first_ns = begins_ns + round(late * self.period_ns)
        instants = [first_ns + round(k * self.period_ns) for k in range(len(chunk) - late)]
        joined = [self._joined(instant, action, now_ns) for instant, action in zip(instants, chunk[late:])]
        self._begins_ns, self._actions = first_ns, joined

    def _joined(self, instant_ns: int, new: np.ndarray, now_ns: int) -> np.ndarray:
        share = (instant_ns - now_ns + self.period_ns) / (self.fade_ns + self.period_ns) if self.fade_ns else 1.0
        old = self.at(instant_ns) if share < 1.0 else None
        if old is None:
            return new
        self.blended += 1
        mixed = np.array(actions.between(self.kind, old, new, share))
        mixed[-1] = new[-1]
        return mixed

    def at(self, instant_ns: int) -> np.ndarray | None:
        """The action ``(size,)`` for an instant; None where nothing is planned."""
        place, last = (instant_ns - self._begins_ns) / self.period_ns, len(self._actions) - 1
        if last < 0 or not -0.5 <= place < last + 0.5:
            return None
        place = min(max(place, 0.0), float(last))
        before = int(place)
        after = min(before + 1, last)
        return actions.between(self.kind, self._actions[before], self._actions[after], place - before)

    def counts(self) -> dict[str, int]:
        """For a report."""
        return {
            "chunks": self.chunks,
            "late_actions_dropped": self.late,
            "blended_actions": self.blended,
            "voided_chunks": self.voided,
        }
