"""Plain YAML to dataclasses: every key and type is checked, and what is wrong is named."""

from __future__ import annotations

import dataclasses
import types
import typing
from pathlib import Path
from typing import Any

import yaml

from robot.errors import PixelarmError, UnknownName


def read_yaml(path: Path, where: str) -> Any:
    try:
        return yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise PixelarmError(f"cannot read the {where}: {error}") from error


def one_of(what: str, value: str, valid: tuple[str, ...]) -> None:
    if value not in valid:
        raise UnknownName(what, value, valid)


def build(kind: Any, value: Any, where: str) -> Any:
    """Plain YAML data as a value of type ``kind``: dataclasses, tuples, mappings, numbers, text."""
    if kind is Any:
        return value
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return None if value is None else build(arguments[0], value, where)
    if dataclasses.is_dataclass(kind):
        return _build_dataclass(kind, value, where)
    if origin is tuple:
        if not isinstance(value, list):
            raise PixelarmError(f"{where} must be a list, got {value!r}")
        return tuple(build(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if origin is not None:  # Mapping[str, X]
        if not isinstance(value, dict):
            raise PixelarmError(f"{where} must be a mapping, got {value!r}")
        return {str(key): build(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise PixelarmError(f"{where} must be {kind.__name__}, got {value!r}")
    return value


def _build_dataclass(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise PixelarmError(f"{where} must be a mapping, got {value!r}")
    hints = typing.get_type_hints(kind)
    for key in value:
        if key not in hints:
            raise UnknownName(f"key in {where}:", str(key), hints)
    needed = (dataclasses.MISSING, dataclasses.MISSING)
    missing = [
        f.name for f in dataclasses.fields(kind) if (f.default, f.default_factory) == needed and f.name not in value
    ]
    if missing:
        raise PixelarmError(f"{where} lacks: {', '.join(missing)}")
    return kind(**{key: build(hints[key], item, f"{where}.{key}") for key, item in value.items()})
