"""Parts chosen in a configuration: a name, or a name with options. One syntax for every part.

    augmentation: [shift, {grayscale: {p: 0.3}}]     # several, in the order they apply
    actor: {gaussian: {hidden: 1024}}                # exactly one
    critic: {mlp: null, simba: {hidden: 512}}        # null takes away what another file chose

A part is a class or a function; its options are its parameters, checked by name and by type, so what a part does not
have cannot be set.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from robot.errors import PixelarmError, UnknownName

T = TypeVar("T")


def parse(items: Iterable[Any], where: str) -> list[tuple[str, dict[str, Any]]]:
    """``NAME`` or ``{NAME: {OPTION: VALUE}}`` each, as pairs of a name and its options."""
    return [_pair(item, f"each of {where}") for item in items]


def parse_one(item: Any, where: str) -> tuple[str, dict[str, Any]]:
    """The one part that ``item`` chooses, and its options; ``where`` names the option for messages."""
    if isinstance(item, Mapping) and len(item) > 1:
        item = {name: options for name, options in item.items() if options is not None}
        if len(item) != 1:
            names = ", ".join(item) or "none"
            raise PixelarmError(
                f"{where} chooses exactly one part, got {names}: choose with {where}=NAME, or take the others away "
                f"with {where}.OTHER=null"
            )
    return _pair(item, where)


def _pair(item: Any, where: str) -> tuple[str, dict[str, Any]]:
    if isinstance(item, str):
        return item, {}
    if isinstance(item, Mapping) and len(item) == 1:
        name, options = next(iter(item.items()))
        if options is None or isinstance(options, Mapping):
            return str(name), dict(options or {})
    raise PixelarmError(f"{where} is NAME or {{NAME: {{OPTION: VALUE}}}}, got {item!r}")


def choose(item: Any, parts: Mapping[str, Callable[..., T]], what: str, where: str, skip: int = 0) -> Callable[..., T]:
    """The one of ``parts`` that ``item`` names, with its options bound and checked.

    Args:
        what: kind of part, for messages: "actor", say.
        where: the option that chooses it: "algo.actor", say.
        skip: leading parameters of a part that are not options.
    """
    name, options = parse_one(item, where)
    if name not in parts:
        raise UnknownName(f"{what} ({where})", name, parts)
    return build(parts[name], name, what, options, skip)


def build(make: Callable[..., T], name: str, what: str, options: Mapping[str, Any], skip: int = 0) -> Callable[..., T]:
    """``make`` with its options bound, after checking that it has them and that their values are of its types.

    Args:
        skip: leading parameters of ``make`` that are not options.
    """
    parameters = dict(list(inspect.signature(make).parameters.items())[skip:])
    for option, value in options.items():
        if option not in parameters:
            raise UnknownName(f"option of {what} {name!r}", option, parameters)
        wanted = _annotation(parameters[option].annotation)
        if not _fits(value, wanted):
            raise PixelarmError(f"option {option} of {what} {name!r} must be {wanted}, got {value!r}")
    return functools.partial(make, **options)


def _annotation(annotation: Any) -> str:
    """A parameter's type as text, "float | str" say."""
    return annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))


TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "str": (str,),
    "None": (type(None),),
}


def _fits(value: Any, wanted: str) -> bool:
    """Whether a value from a file is of a type; of a type that is not in ``TYPES``, yes."""
    names = [name.strip() for name in wanted.split("|")]
    if not all(name in TYPES for name in names):
        return True
    if isinstance(value, bool):  # which Python counts as an int
        return "bool" in names
    return isinstance(value, tuple(kind for name in names for kind in TYPES[name]))
