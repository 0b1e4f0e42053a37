"""OPTION=VALUE on the command lines of `pixelarm pretrain`, `adapt` and `dagger`, which pass most of them on."""

from __future__ import annotations

from collections.abc import Sequence

from robot.errors import PixelarmError


def own_options(argv: Sequence[str], names: tuple[str, ...]) -> tuple[dict[str, str], list[str]]:
    """The options that a command reads itself, and the others."""
    pairs = [(text, text.partition("=")) for text in argv]
    for text, (_, equals, _) in pairs:
        if not equals:
            raise PixelarmError(f"options are OPTION=VALUE, got {text!r}")
    mine = {name: value for _, (name, _, value) in pairs if name in names}
    return mine, [text for text, (name, _, _) in pairs if name not in names]


def required(given: dict[str, str], name: str, usage: str) -> str:
    if not given.get(name):
        raise PixelarmError(f"{name}= is missing\n{usage}")
    return given[name]


def seed_of(given: dict[str, str]) -> int:
    return whole(given, "seed", 1, 0)


def whole(given: dict[str, str], name: str, default: int, least: int) -> int:
    """An option that is a whole number."""
    text = given.get(name, str(default))
    if not text.isdecimal() or int(text) < least:
        raise PixelarmError(f"{name} must be a whole number, at least {least}, got {text!r}")
    return int(text)


def wants_help(argv: list[str], usage: str) -> bool:
    if argv and argv[0] in ("-h", "--help"):
        print(usage)
        return True
    return False
