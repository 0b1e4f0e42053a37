"""What a scene follows from besides its recipe, so that the cache of compiled scenes sees every change of it.

The functions that make a scene are its task's ``build`` and the terms of its recipe. What they do follows from

* the text of their modules, of the modules that the task's class inherits from, and of every module that one of these
  imports, directly or not, out of ``sim``, its own package or, for a script, the script's folder; installed packages
  count by version;
* the attributes of the task, of whose contract a scene can only follow camera names, actions and rate.

Where that cannot be seen ``NotSeen`` says why, and the scene is compiled each time: a class made inside a function or
typed in, an attribute that is no plain data, a module that reads files or whose file changed after this process
started. Two things are out of sight: modules imported by a computed name, and constants that a program changes while it
runs.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from types import FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from robot.contract import Contract

Maker = Callable[..., object]
OURS = "sim"
STARTED = time.time()  # a file that changed since is perhaps not what this process runs
# calls by which a module reads a file, and arguments by which it names one
READS = {"open", "read_text", "read_bytes", "from_file", "from_zip", "from_xml_path", "load", "loadtxt"}
FILE_ARGUMENTS = {"file", "filename"}


class NotSeen(Exception):
    """Something that a scene may follow from cannot be looked at; the message says what."""


@dataclass(frozen=True)
class Source:
    """One module that counts."""

    name: str
    package: str  # what its relative imports start from
    path: Path

    @property
    def top(self) -> str:
        return self.name.partition(".")[0]

    @property
    def root(self) -> Path:
        """The folder that Python found it in: of its top package, or of the script."""
        return self.path.parents[self.package.count(".") + 1 if self.package else 0]


def identity(base: str, makers: Iterable[Maker]) -> dict[str, Any]:
    """Plain data that changes when ``makers``, or the module named ``base``, would make something else.

    Raises:
        NotSeen: what cannot be looked at.
    """
    roots, states = [], []
    for maker in makers:
        owners, state = _owners(maker)
        roots += [_source_of(sys.modules[owner.__module__]) for owner in owners]
        states.append(state)
    texts: dict[Path, str] = {}
    _collect([_source_of(sys.modules[base])], texts, may_read=True)
    _collect(roots, texts, may_read=False)
    return {"texts": sorted(texts.values()), "states": states}


# --------------------------------------------------------------------------------------------------------- who makes it
def _owners(maker: Maker) -> tuple[list[Any], dict[str, Any]]:
    """The classes and functions whose modules hold what ``maker`` does, and the attributes it can read."""
    owners: list[Any] = [maker]
    state: dict[str, Any] = {}
    if isinstance(maker, MethodType):
        bound = maker.__self__
        kind = bound if isinstance(bound, type) else type(bound)
        owners = [c for c in kind.__mro__ if c.__module__.partition(".")[0] not in sys.stdlib_module_names]
        state = {} if bound is kind else _state(bound)
    elif not isinstance(maker, FunctionType):
        raise NotSeen(f"{maker!r} is neither a function nor a method of a task")
    for owner in owners:
        if "<" in owner.__qualname__:  # <locals>, <lambda>
            raise NotSeen(f"{owner.__qualname__} is made inside a function and may hold values of it")
        if owner.__module__ not in sys.modules:
            raise NotSeen(f"the module {owner.__module__} of {owner.__qualname__} is not loaded")
    return owners, state


def _state(task: object) -> dict[str, Any]:
    try:
        kept = {name: value for name, value in vars(task).items() if name != "recipe"}  # which is in the key anyway
        return json.loads(json.dumps(kept, default=_plain, sort_keys=True))
    except (TypeError, ValueError) as error:
        raise NotSeen(f"an attribute of {type(task).__name__} is no plain data: {error}") from error


def _plain(value: object) -> object:
    if isinstance(value, Contract):
        return [[camera.name for camera in value.cameras], asdict(value.action), value.rate_hz]
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} {value!r:.80}")


# ------------------------------------------------------------------------------------------------------------ modules
def _source_of(module: ModuleType) -> Source:
    if module.__name__ in ("__main__", "__mp_main__") and (hasattr(sys, "ps1") or sys.flags.interactive):
        raise NotSeen("what is typed in has no file")
    path = Path(getattr(module, "__file__", None) or "")
    if not path.is_file():
        raise NotSeen(f"{module.__name__} has no file")
    spec = module.__spec__  # of a script there is none
    return Source(spec.name if spec else module.__name__, module.__package__ or "", path.resolve())


def _collect(roots: Iterable[Source], texts: dict[Path, str], may_read: bool) -> None:
    """The hash of each module's text by its file, of ``roots`` and of what they import."""
    waiting = list(roots)
    while waiting:
        source = waiting.pop()
        if source.path in texts:
            continue
        if source.path.stat().st_ctime > STARTED:
            raise NotSeen(f"{source.path} changed after this process started")
        texts[source.path], reads_files, imported = _read(source)
        if reads_files and not may_read:
            raise NotSeen(f"{source.path} reads files")
        waiting += imported


@functools.cache  # one that changes later is refused before it gets here
def _read(source: Source) -> tuple[str, bool, list[Source]]:
    """The hash of a module's text, whether it reads files, and the modules it imports that count."""
    data = source.path.read_bytes()
    tree = ast.parse(data if source.path.suffix == ".py" else b"")
    return hashlib.sha256(data).hexdigest(), _reads_files(tree), list(_imports(source, tree))


def _reads_files(tree: ast.AST) -> bool:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in READS or not FILE_ARGUMENTS.isdisjoint(k.arg or "" for k in node.keywords):
                return True
    return False


def _imports(source: Source, tree: ast.AST) -> Iterator[Source]:
    """The modules that ``source`` imports, anywhere but for the type checker alone, and that count."""
    for name, members in _imported_names(source, tree):
        if not _counts(name, source):
            continue
        found = _find(name)
        if found is not None:
            yield found
        for member in members:
            part = _find(f"{name}.{member}")
            if part is not None:
                yield part


def _imported_names(source: Source, tree: ast.AST) -> Iterator[tuple[str, list[str]]]:
    """(module, what is taken out of it) of each import statement."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, []) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = source.package.rsplit(".", node.level - 1)[0] if node.level else ""
            name = ".".join(part for part in (start, node.module) if part)
            yield name, [alias.name for alias in node.names]
        else:
            yield from _imported_names(source, node)


def _counts(name: str, importer: Source) -> bool:
    """Whether a module that ``importer`` imports is part of what it does, rather than a library of a known version."""
    top = name.partition(".")[0]
    if top in (OURS, importer.top):
        return True
    if importer.top == OURS or _installed(importer.path) or top in sys.stdlib_module_names:
        return False
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return False
    places = [spec.origin, *(spec.submodule_search_locations or ())] if spec else []
    return any(
        importer.root in Path(place).resolve().parents and not _installed(Path(place)) for place in places if place
    )


def _installed(path: Path) -> bool:
    return not {"site-packages", "dist-packages"}.isdisjoint(path.parts)


def _find(name: str) -> Source | None:
    """The module of a name; None if there is none (the name is of something inside a module), or if it has no file."""
    try:
        module = sys.modules.get(name)
        spec = module.__spec__ if module is not None else importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return None
    if spec is None or spec.origin is None or not spec.has_location:
        return None
    package = spec.name if spec.submodule_search_locations is not None else spec.name.rpartition(".")[0]
    return Source(spec.name, package, Path(spec.origin).resolve())
