"""Numbers that change over a run: a plain number, or ``linear(START, END, STEPS)``."""

from __future__ import annotations

from robot.errors import PixelarmError


def schedule(value: float | str, step: int) -> float:
    """The value at ``step`` of a number, or of ``linear(START, END, STEPS)``:
    START moves to END over STEPS, then stays.
    """
    text = str(value)
    try:
        if not text.startswith("linear("):
            return float(text)
        start, end, steps = (float(part) for part in text.removeprefix("linear(").removesuffix(")").split(","))
    except ValueError as error:
        raise PixelarmError(f"a schedule is a number or linear(START, END, STEPS), got {text!r}") from error
    return start + (end - start) * min(1.0, step / max(1.0, steps))
