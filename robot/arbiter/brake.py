"""How an arm that trails its target comes to rest: impedance control, or a soft position controller.

Such an arm follows a target at a speed of ``v`` by its lag ``L`` behind: its target leads it by ``v L``, centimetres.
Held at that target, it goes on for several lags. Held at where it is, it stops sooner. But then it is swung back, or
carried on by what still moves in its other joints. So while it moves, a brake leads it from where it is measured:
against its velocity, as a damper does, and back by the way that it went since, of which the brake forgets more the
older it is, as a spring that gives way. When the arm rests, the target stands where it is.

What holds the arm up is kept: the distance across the motion, and of what lies along it the upward part that the lag
does not explain, up to ``SAG_M`` in all.

The brake is taken off an arm that goes back faster than half as fast as it came, which is too stiff for it; and where
states come too seldom to lead it, until they come again.

The shares were chosen in the simulation of the Panda, whose states are 50 Hz and 10 to 30 ms old. They scale with the
lag, since a softer arm bears more delay.
"""

from __future__ import annotations

import numpy as np

MOVES_M_S = 0.02  # a slower arm rests: its target may be what holds it up
RESTS_M_S = 0.003  # for FOR_S: the brake is taken off
FOR_S = 0.2
DAMPER = 0.8  # times the lag, s: of the velocity
SPRING = 2.0  # of the way
FORGETS = 0.8  # times the lag, s: the way that is so old counts 1/e
SELDOM = 0.5  # times the lag, s: between two states, or since the last one
SAG_M = 0.005
BACK = 0.5  # of its first speed
LONGEST_S = 0.6  # whatever moves an arm on for longer is no motion of its own


class Brake:
    """One stop at a time: ``begin``, then ``lead`` while it is ``on``.

    Args:
        lag_s: by which the arm trails a target that moves evenly.
    """

    def __init__(self, lag_s: float) -> None:
        self._lag_s = lag_s
        self.on = False
        self.lost = False  # taken off since no state came for too long; it may begin anew
        self._way, self._sag = np.zeros(3), np.zeros(3)  # m: since the stop began, as far as it is remembered
        self._first = np.zeros(3)  # m/s
        self._began_s = self._rested_s = 0.0  # steady clock
        self._at_s = 0.0  # of the newest state, the arm's clock

    def too_old(self, age_s: float) -> bool:
        """A state of this age says where the arm was, and not where it is."""
        return age_s > SELDOM * self._lag_s

    def begin(self, velocity: np.ndarray, ahead: np.ndarray, now_s: float) -> bool:
        """Whether an arm with this velocity, ``(3,)`` m/s, moves: then the brake is on.

        Args:
            ahead: of the target, ``(3,)`` m from where the arm is measured; z is up.
            now_s: of a steady clock.
        """
        speed = float(np.linalg.norm(velocity))
        self.on, self.lost = speed > MOVES_M_S, False
        if self.on:
            self._way, self._first = np.zeros(3), velocity
            self._began_s = self._rested_s = now_s
            self._at_s = -np.inf
            self._sag = _sag(ahead - self._lag_s * velocity, velocity / speed)
        return self.on

    def lead(self, velocity: np.ndarray, at_s: float, now_s: float) -> np.ndarray | None:
        """Where the target is to be, ``(3,)`` m from where the arm is measured; None: as before.

        Args:
            velocity: ``(3,)`` m/s, measured at ``at_s`` of the arm's clock.
            now_s: of a steady clock.
        """
        seconds = at_s - self._at_s
        if seconds == 0.0:
            self.on = now_s - self._began_s < LONGEST_S
            return None
        goes_back = velocity @ self._first < -BACK * (self._first @ self._first)
        # the first state is as old as it is
        self.lost = bool(np.isfinite(seconds)) and (seconds < 0.0 or self.too_old(seconds))
        self._at_s = at_s
        if np.isfinite(seconds) and not self.lost:
            self._way = self._way * np.exp(-seconds / (FORGETS * self._lag_s)) + velocity * seconds
        if np.linalg.norm(velocity) > RESTS_M_S:
            self._rested_s = now_s
        rests = now_s - self._rested_s >= FOR_S or now_s - self._began_s >= LONGEST_S
        self.on = not (goes_back or self.lost or rests)
        back = DAMPER * self._lag_s * velocity + SPRING * self._way if self.on else np.zeros(3)
        return self._sag - back

    def end(self) -> None:
        """The arm is told something else."""
        self.on = False


def _sag(unexplained: np.ndarray, along: np.ndarray) -> np.ndarray:
    """What of a lead holds the arm up: all of it across the motion, and along it what points up."""
    part = float(unexplained @ along) * along
    kept = unexplained - part + [0.0, 0.0, max(0.0, part[2])]
    return kept * min(1.0, SAG_M / max(float(np.linalg.norm(kept)), 1e-9))
