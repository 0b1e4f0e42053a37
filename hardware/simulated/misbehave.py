"""Sensors that fail on purpose, between the simulated arm and its topics: for tests and ``pixelarm faults``."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from hardware.simulated.arm import ArmState
from robot.errors import PixelarmError

CAMERA = {
    "lost": "sends nothing",
    "frozen": "sends its last picture, with new stamps",
    "repeated": "sends its last picture, with its stamp",
    "black": "sends black pictures",
    "late": "sends each picture 0.4 s late",
    "swapped": "shows what the other camera sees",
    "ahead": "sends stamps half a second ahead, as after a jump of its clock",
}
STATE = {
    "lost": "sends nothing",
    "frozen": "sends its last state, with new stamps",
    "stale": "sends stamps from half a second ago",
    "ahead": "sends stamps half a second ahead",
    "permuted": "sends the values of one joint under the name of the next",
    "jumping": "says half a radian more, every second time",
}
GRIPPER = {
    "refuses": "takes no command, and rejects each goal of an action",
    "busy": "takes goals, and does not say what became of them",
}
LATE_PICTURES = 4  # at 10 Hz
STALE_NS = AHEAD_NS = 500_000_000


class Misbehaviour:
    """Everything is passed on as it is until somebody orders something else."""

    def __init__(self) -> None:
        self._cameras: dict[str, str] = {}
        self._state = ""
        self.gripper = ""
        self._last: dict[str, tuple[np.ndarray, int]] = {}  # camera -> its last good picture, and stamp
        self._waiting: dict[str, deque[tuple[np.ndarray, int]]] = {}
        self._last_state: ArmState | None = None
        self._jumped = False

    def order(self, what: Mapping[str, str]) -> None:
        """``{"camera": NAME, "how": ...}``, ``{"state": ...}``, ``{"gripper": ...}``, or ``{}``: be good again.

        Raises:
            PixelarmError: nothing that can be ordered.
        """
        if not what:
            self.__init__()  # type: ignore[misc]
        elif what.get("how") in CAMERA and "camera" in what:
            self._cameras[what["camera"]] = what["how"]
        elif what.get("state") in STATE:
            self._state = what["state"]
        elif what.get("gripper") in GRIPPER:
            self.gripper = what["gripper"]
        else:
            raise PixelarmError(
                f"cannot misbehave as {dict(what)}: give a camera and how ({', '.join(CAMERA)}), state "
                f"({', '.join(STATE)}), or gripper ({', '.join(GRIPPER)})"
            )

    def image(self, camera: str, pixels: np.ndarray, stamp_ns: int) -> tuple[np.ndarray, int] | None:
        """What the camera sends, None: nothing."""
        how = self._cameras.get(camera, "")
        last = self._last.get(camera, (pixels, stamp_ns))
        if how not in ("frozen", "repeated"):
            self._last[camera] = (pixels, stamp_ns)
        if how == "lost":
            return None
        if how == "frozen":
            return last[0], stamp_ns
        if how == "repeated":
            return last
        if how == "black":
            return np.zeros_like(pixels), stamp_ns
        if how == "late":
            queue = self._waiting.setdefault(camera, deque())
            queue.append((pixels, stamp_ns))
            return queue.popleft() if len(queue) > LATE_PICTURES else None
        if how == "swapped":
            others = [name for name in self._last if name != camera]
            others.sort(key=lambda name: self._cameras.get(name) != "swapped")  # with a third one: the one swapped too
            other = self._last[others[0]] if others else None
            return (other[0], stamp_ns) if other is not None and other[0].shape == pixels.shape else (pixels, stamp_ns)
        return pixels, stamp_ns + AHEAD_NS * (how == "ahead")

    def state(self, state: ArmState) -> ArmState | None:
        """What the driver says of the arm, None: nothing."""
        how, last = self._state, self._last_state or state
        if how != "frozen":
            self._last_state = state
        if how == "lost":
            return None
        if how == "frozen":
            return replace(last, stamp_ns=state.stamp_ns)
        if how == "stale":
            return replace(state, stamp_ns=state.stamp_ns - STALE_NS)
        if how == "ahead":
            return replace(state, stamp_ns=state.stamp_ns + AHEAD_NS)
        if how == "permuted":
            return replace(state, joint_position=np.roll(state.joint_position, 1))
        if how == "jumping":
            self._jumped = not self._jumped
            return replace(state, joint_position=state.joint_position + 0.5 * self._jumped)
        return state
