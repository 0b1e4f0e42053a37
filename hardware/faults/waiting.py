"""What every scene of the fault matrix does alike: wait for something, and press the enable button anew."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable

LOOK_S = 0.01  # between two looks
RELEASED_S = 0.7  # longer than a button may be silent


class Waiting(ABC):
    """Of a scene that has an enable button."""

    @abstractmethod
    def button(self, held: bool | None) -> None:
        """Hold it, let it go, or, with None, say nothing of it."""

    def until(self, what: Callable[[], bool], timeout_s: float) -> bool:
        """Wait for it; says whether it came to pass."""
        end = time.monotonic() + timeout_s
        while not what():
            if time.monotonic() > end:
                return False
            time.sleep(LOOK_S)
        return True

    def press(self) -> None:
        """Press the button anew: only that takes hold after its device was silent, or where the arbiter is new."""
        self.button(False)
        time.sleep(RELEASED_S)
        self.button(True)
