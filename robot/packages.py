"""Whether the packages that Python finds under pixelarm's short names are pixelarm's own.

Python looks first in the folder of the script, or in the current one (``python -m``): a folder named ``sim`` there
hides the package ``sim``. This file needs no other of pixelarm's, so that the packages can run it by its path when
``robot`` itself is hidden.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HOME = Path(__file__).resolve().parents[1]  # where the packages stand side by side


class HiddenPackage(ImportError):
    """Something else stands in for one of pixelarm's packages; the message says what, and what to do."""


def require_ours(*names: str) -> None:
    """Raise HiddenPackage if Python finds one of these packages elsewhere than beside this one."""
    for name in names:
        found, own = list(_places(name)), HOME / name
        if found and own not in found:
            raise HiddenPackage(
                f"{found[0]} hides pixelarm's package {name!r} ({own}), because Python looks there first. "
                f"Rename it, or keep it out of the folder that the script lies in or that python is started from"
            )


def _places(name: str) -> Iterator[Path]:
    """The folders that a package would be imported from, or the file of a module."""
    try:
        spec = importlib.util.find_spec(name)
    except ValueError:  # something without a specification has been put among the imported modules
        return
    if spec is None:
        return
    if spec.submodule_search_locations is not None:
        yield from (Path(place).resolve() for place in spec.submodule_search_locations)
    elif spec.origin is not None:
        yield Path(spec.origin).resolve()


def resolve(what: Any) -> Any:
    """What "module:name" (or "module:name.attribute") stands for, imported now; anything but text as it is."""
    if not isinstance(what, str):
        return what
    module, _, names = what.partition(":")
    found: Any = importlib.import_module(module)
    for name in names.split("."):
        found = getattr(found, name)
    return found
