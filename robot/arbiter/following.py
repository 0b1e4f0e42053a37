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
        self._at: np.ndarray | None = None  # where the arm stands while its target is far
        self._since_s = 0.0
        self._stood: np.ndarray | None = None  # where it stood when this fired last
        self.tries = 0  # how often it has fired without the arm having moved

    def check(self, target: Target | None, measured: Reference, now_s: float) -> str:
        """Words when it fires, else empty."""
        away, at, bound, unit = self._distance(target, measured)
        if bound is None or at is None:
            return ""
        if self._stood is not None and _far(at, self._stood, bound):
            self._stood, self.tries = None, 0
        if away <= bound or self._at is None or _far(at, self._at, bound):
            self._at, self._since_s = (None if away <= bound else at), now_s
            return ""
        if now_s - self._since_s <= self._config.follow_s:
            return ""
        self._at, self._stood = None, at
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


def _far(here: np.ndarray, there: np.ndarray, bound: float) -> bool:
    return float(np.abs(here - there).max()) > 0.5 * bound
