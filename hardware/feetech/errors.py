"""What can go wrong on the bus, each with what was expected, what came, and what to do."""

from __future__ import annotations

from robot.errors import PixelarmError


class BusError(PixelarmError):
    """Base of everything that the bus and its servos cause."""


class PortError(BusError):
    """The port is absent, cannot be used, or belongs to another process."""


class Unplugged(BusError):
    """The port went away while it was in use."""


class Silent(BusError):
    """A servo did not answer at all; ``ids`` says which."""

    def __init__(self, message: str, ids: tuple[int, ...] = ()) -> None:
        super().__init__(message)
        self.ids = ids


class PowerLost(Silent):
    """No servo answers, though the port is there."""


class ServoLost(Silent):
    """Some servos answer and others do not."""


class Garbled(BusError):
    """Answers came, but damaged or incomplete, again and again."""


class WrongServo(BusError):
    """A servo of another model, firmware, mode or supply than the arm needs."""


class DuplicateId(WrongServo):
    """Two servos answer to one id."""


class CalibrationMismatch(PixelarmError):
    """The calibration file and the servos' memory differ; the message names each joint and both numbers."""


class ServoFault(BusError):
    """A servo protects itself, or is beyond a limit of ours: overload, heat, current, voltage. The arm holds."""


class TorqueLost(BusError):
    """A servo that was switched on has no torque any more: it restarted."""


class Implausible(BusError):
    """A joint seems to have jumped further than it can move."""


class NotFolded(BusError):
    """The arm did not reach its rest pose, and holds where it is."""
