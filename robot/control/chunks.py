"""Which action of a policy's answer belongs to which moment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from robot.contract import Contract


@dataclass(frozen=True, eq=False)
class Chunk:
    """One answer of a policy: actions ``(chunk, size)``; entry k is meant for ``stamp_ns + k`` control periods."""

    stamp_ns: int
    actions: np.ndarray
    contract: Contract

    def next(self, stamp_ns: int) -> int:
        """The entry to carry out in answer to the observation of ``stamp_ns``; 0 when the policy is to be asked again,
        after ``contract.execute`` entries.
        """
        k = round((stamp_ns - self.stamp_ns) * 1e-9 / self.contract.period_s)
        return k if 0 < k < self.contract.execute else 0

    def bridge(self, now_ns: int) -> int:
        """The entry meant for now, where no answer came in time; 0 when there is none."""
        k = int((now_ns - self.stamp_ns) * 1e-9 / self.contract.period_s)
        return k if 0 < k < self.contract.chunk else 0
