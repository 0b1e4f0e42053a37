"""Parts chosen in a configuration file: a name, or a name with options, in the order they apply.

augmentation: [shift, {grayscale: {p: 0.3}}]
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from robot.errors import PixelarmError, UnknownName

T = TypeVar("T")


def parse(items: Iterable[Any], where: str) -> list[tuple[str, dict[str, Any]]]:
    """``NAME`` or ``{NAME: {OPTION: VALUE}}`` each, as pairs of a name and its options."""
    found: list[tuple[str, dict[str, Any]]] = []
    for item in items:
        if isinstance(item, str):
            found.append((item, {}))
        elif isinstance(item, dict) and len(item) == 1 and isinstance(next(iter(item.values())), (dict, type(None))):
            name, options = next(iter(item.items()))
            found.append((str(name), dict(options or {})))
        else:
            raise PixelarmError(f"each of {where} is NAME or {{NAME: {{OPTION: VALUE}}}}, got {item!r}")
    return found


def build(make: Callable[..., T], name: str, what: str, options: dict[str, Any], skip: int = 0) -> Callable[..., T]:
    """``make`` with its options bound, after checking that it has them.

    Args:
        skip: leading parameters of ``make`` that are not options.
    """
    known = list(inspect.signature(make).parameters)[skip:]
    for option in options:
        if option not in known:
            raise UnknownName(f"option of {what} {name!r}", option, known)
    return functools.partial(make, **options)
