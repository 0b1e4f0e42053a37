"""How an arm that trails its target comes to rest: impedance control, or a soft position controller.

Such an arm follows a target at a speed of ``v`` by its lag ``L`` behind: its target leads it by ``v L``, centimetres.
Held at that target it goes on for several lags. Held at where it is it stops sooner, and then is swung back, or carried
on by what still moves in its other joints. So while it moves, a brake leads it from where it is measured: against its
velocity, as a damper does, and back by the way that it went since, of which the brake forgets more the older it is, as
a spring that gives way. When the arm rests, the target stands where it is.

An arm that goes back faster than half as fast as it came is too stiff for it: the brake is taken off at once.

Across the motion the target keeps its distance from the arm, up to ``SAG_M``: that is what holds the arm up.

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
        self._way, self._sag = np.zeros(3), np.zeros(3)  # m: since the stop began, as far as it is remembered
        self._first = np.zeros(3)  # m/s
        self._began_s = self._at_s = self._rested_s = 0.0

    def begin(self, velocity: np.ndarray, at_s: float, ahead: np.ndarray) -> bool:
        """Whether an arm with this velocity, ``(3,)`` m/s, measured at that time, moves: then the brake is on.

        ``ahead``: of the target, ``(3,)`` m from where the arm is measured.
        """
        speed = float(np.linalg.norm(velocity))
        self.on = speed > MOVES_M_S
        self._way, self._began_s, self._at_s, self._rested_s = np.zeros(3), at_s, at_s, at_s
        if self.on:
            self._first, along = velocity, velocity / speed
            across = ahead - along * (ahead @ along)
            self._sag = across * min(1.0, SAG_M / max(float(np.linalg.norm(across)), 1e-9))
        return self.on

    def lead(self, velocity: np.ndarray, at_s: float) -> np.ndarray | None:
        """Where the target is to be, ``(3,)`` m from where the arm is measured; None: as before, since nothing was
        measured since."""
        seconds = at_s - self._at_s
        if seconds < 0 or (seconds == 0 and at_s > self._began_s):
            return None
        self._at_s = at_s
        self._way = self._way * np.exp(-seconds / (FORGETS * self._lag_s)) + velocity * seconds
        if np.linalg.norm(velocity) > RESTS_M_S:
            self._rested_s = at_s
        goes_back = velocity @ self._first < -BACK * (self._first @ self._first)
        self.on = not goes_back and at_s - self._rested_s < FOR_S and at_s - self._began_s < LONGEST_S
        back = DAMPER * self._lag_s * velocity + SPRING * self._way if self.on else np.zeros(3)
        return self._sag - back

    def end(self) -> None:
        """Another motion has begun."""
        self.on = False
