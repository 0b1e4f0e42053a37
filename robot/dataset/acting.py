"""Who acted, and what was wanted before the limits: two arrays that an episode may have, with a row for each action.

* ``source`` (N,) uint8: who acted, a code; in the file its attribute ``codes`` names them in their order
* ``proposed`` (N, A) float32: what was proposed before limits changed it, in the units of ``actions``
"""

from __future__ import annotations

from collections.abc import Sequence

import h5py
import numpy as np

from robot.errors import DatasetError

PERSON, POLICY, BLEND, HOLD = range(4)
CODES = ("person", "policy", "blend", "hold")  # by their numbers; "blend": on the way from one to the other


def check(source: np.ndarray | None, proposed: np.ndarray | None, actions: np.ndarray) -> None:
    """Raise DatasetError unless shapes, dtypes and values are as above; None is left out."""
    wanted = {"source": (source, actions.shape[:1], np.uint8), "proposed": (proposed, actions.shape, np.float32)}
    for name, (values, shape, dtype) in wanted.items():
        if values is not None and (values.shape != shape or values.dtype != dtype):
            raise DatasetError(f"{name} must be {shape} {np.dtype(dtype).name}, got {values.shape} {values.dtype.name}")
    if source is not None and source.max(initial=0) >= len(CODES):
        raise DatasetError(f"source holds {source.max()}; the codes are 0 to {len(CODES) - 1}: {', '.join(CODES)}")
    if proposed is not None and not np.all(np.isfinite(proposed)):
        raise DatasetError("proposed holds numbers that are not finite")


def write(demo: h5py.Group, source: np.ndarray | None, proposed: np.ndarray | None) -> None:
    if source is not None:
        demo["source"] = source
        demo["source"].attrs["codes"] = CODES
    if proposed is not None:
        demo["proposed"] = proposed


def read(demo: h5py.Group) -> dict[str, np.ndarray | None]:
    """By name; None for what the episode lacks. Codes that another writer numbered otherwise are renumbered."""
    found = {name: demo[name][()] if name in demo else None for name in ("source", "proposed")}
    names = tuple(str(name) for name in demo["source"].attrs["codes"]) if "source" in demo else CODES
    source = found["source"]
    if source is not None and names != CODES:
        unknown = set(names) - set(CODES)
        if unknown or source.max(initial=0) >= len(names):
            raise ValueError(f"source has codes {', '.join(names)}; the known ones are {', '.join(CODES)}")
        found["source"] = np.array([CODES.index(name) for name in names], np.uint8)[source]
    return found


def together(rows: Sequence[np.ndarray | int | None], dtype: type) -> np.ndarray | None:
    """Those of all actions as one array; None if any of them was not said."""
    return None if any(row is None for row in rows) else np.array(rows, dtype)


def counts(source: np.ndarray) -> dict[str, int]:
    """Actions of each who acted, name -> number."""
    return {name: int(np.sum(source == code)) for code, name in enumerate(CODES) if np.any(source == code)}
