"""When a servo's numbers are a fault: its own error bits, heat, and current for too long."""

from __future__ import annotations

from collections.abc import Sequence

from hardware.feetech import servos
from hardware.feetech.errors import ServoFault
from hardware.feetech.servos import ServoState
from hardware.feetech.settings import GRIPPER, Settings


class Health:
    """Judges each read; remembers since when a servo has drawn too much current."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._names = list(settings.ids)
        self._over_since: dict[str, float] = {}
        self.pushing: list[str] = []  # servos of the last fault that should stop pushing

    def judge(self, measured: Sequence[ServoState], bits: Sequence[int], stamp: float) -> None:
        """Raise ServoFault if a servo reports a fault, is too hot, or has drawn too much current for too long.

        Args:
            measured: of the joints in order and the gripper.
            bits: of each servo's answer and status register.
            stamp: s.
        """
        limits, problems, advice = self._settings.limits, list[str](), dict[str, None]()
        self.pushing = []
        for name, one, error in zip(self._names, measured, bits):
            where = f"servo {self._settings.ids[name]} ({name})"
            numbers = f"load {one.load:+.2f}, {one.current:+.2f} A, {one.temperature:.0f} °C, {one.voltage:.1f} V"
            if error:
                problems.append(f"{where} reports: {servos.error_words(error)} ({numbers})")
                advice[servos.error_advice(error)] = None
            if one.temperature > limits.max_temperature_c:
                problems.append(f"{where} must stay below {limits.max_temperature_c:.0f} °C ({numbers})")
                advice[servos.ADVICE[servos.HEAT_BIT]] = None
            over = self._too_long(name, one, stamp)
            if over:
                problems.append(
                    f"{where} must draw at most {limits.max_current_a:.1f} A for longer than "
                    f"{limits.over_current_s:.1f} s ({numbers})"
                )
                advice["something blocks it or it carries too much: clear it, then go on"] = None
            if over or error & (servos.OVERLOAD_BIT | servos.CURRENT_BIT):
                self.pushing.append(name)
        if problems:
            raise ServoFault(f"{'; '.join(problems)}. The arm holds: {'; '.join(advice)}")

    def _too_long(self, name: str, one: ServoState, stamp: float) -> bool:
        limits = self._settings.limits
        if name == GRIPPER or abs(one.current) <= limits.max_current_a:  # the gripper's current bounds its goal instead
            self._over_since.pop(name, None)
            return False
        return stamp - self._over_since.setdefault(name, stamp) >= limits.over_current_s
