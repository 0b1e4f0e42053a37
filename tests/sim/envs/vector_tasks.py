"""Tasks that go wrong on purpose, importable by the worker processes of test_vector.py."""

from __future__ import annotations

import os
import signal
import time

from sim.tasks.lift import Lift


class Fragile(Lift):
    """Breaks in the way named by ``how`` at the first step after its gripper was told to close."""

    def __init__(self, how: str) -> None:
        super().__init__(image_size=32)
        self.how = how

    def success(self, world):
        if world._gripper_goal > 0:
            if self.how == "raise":
                raise ZeroDivisionError("the cube melted")
            if self.how == "exit":
                os._exit(7)
            if self.how == "hang":
                time.sleep(60)
            os.kill(os.getpid(), signal.SIGKILL)
        return False
