"""Whether the arm follows at all: a driver that stopped, or ignores what is too far away, leaves it standing."""

from __future__ import annotations

import numpy as np

from robot.actions import Reference, Target
from robot.profile.arbitration import ArbiterConfig

TRIES = 5  # times in a row that an arm is told to begin where it stands, before that is a fault


class Following:
    """Fires when the target is further from the arm than the profile's ``follow_m`` or ``follow_rad`` and the arm has
    not moved by half of that for ``follow_s``. Targets then begin anew where the arm is: a driver that wakes up would
    otherwise jump.
    """

    def __init__(self, config: ArbiterConfig) -> None:
        self._config = config
        self._at: np.ndarray | None = None
        self._since_s = 0.0
        self.tries = 0

    def check(self, target: Target | None, measured: Reference, now_s: float) -> str:
        """Words when it fires, else empty."""
        away, at, bound, unit = self._distance(target, measured)
        if bound is None or at is None or away <= bound:
            self._at = None
            return ""
        moved = self._at is not None and float(np.abs(at - self._at).max()) > 0.5 * bound
        if self._at is None or moved:
            self._at, self._since_s = at, now_s
            self.tries = 0 if moved else self.tries
            return ""
        if now_s - self._since_s <= self._config.follow_s:
            return ""
        self._at = None
        self.tries += 1
        return (
            f"the arm has stood {away:.3f} {unit} from its target for {self._config.follow_s:g} s: does the driver "
            "follow commands?"
        )

    def _distance(
        self, target: Target | None, measured: Reference
    ) -> tuple[float, np.ndarray | None, float | None, str]:
        """How far the target is, where the arm is, what is allowed, and in what."""
        if target is not None and target.joint_positions is not None and measured.joint_positions is not None:
            away = float(np.abs(target.joint_positions - measured.joint_positions).max())
            return away, measured.joint_positions, self._config.follow_rad, "rad"
        if target is not None and target.position is not None and measured.position is not None:
            away = float(np.linalg.norm(target.position - measured.position))
            return away, measured.position, self._config.follow_m, "m"
        return 0.0, None, None, ""
