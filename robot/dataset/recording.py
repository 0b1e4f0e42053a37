"""How episodes were recorded, beyond what their contract says: the look of the pictures, delays, randomisation.

Every episode's provenance holds it under ``recording``, a dict of names and plain values; a simulated environment says
it of itself (``TaskEnv.recording``). It is compared like the contract, where a run reads demonstrations and where
episodes join others. A name that one of the two sides lacks (an older recorder, another device) is not compared.
"""

from __future__ import annotations

import json
from typing import Any

from robot.errors import DatasetError

KEY = "recording"
# differences that are said and not refused, with the reason
HARMLESS = {"renderer": "the renderers' pictures differ by less than 3 of 255 on average"}


def of(provenance: dict[str, Any]) -> dict[str, Any]:
    """How an episode with this provenance was recorded. Older recorders wrote ``hold_steps`` alone, or nothing."""
    former = {name: provenance[name] for name in ("hold_steps",) if name in provenance}
    return {**former, **provenance.get(KEY, {})}


def differences(here: dict[str, Any], there: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """``{name: (here, there)}`` of every name that both have with different values."""
    # a simulation that does not say what its pictures went through drew them at the contract's size
    said = [{"cameras": {}, **side} if "look" in side else side for side in (here, there)]
    mine, theirs = json.loads(json.dumps(said))  # as files hold them: tuples are lists
    return {name: (mine[name], theirs[name]) for name in mine if name in theirs and mine[name] != theirs[name]}


def words(name: str, here: Any, there: Any) -> str:
    return f"{name}: {here!r} here, {there!r} there"


def require_same(here: dict[str, Any], there: dict[str, Any], where: str) -> None:
    """Raise DatasetError if an episode recorded like ``here`` must not join the one at ``where``, with ``there``."""
    found = differences(here, there)
    if found.keys() - HARMLESS.keys():
        lines = "\n  - ".join(words(name, *values) for name, values in found.items())
        raise DatasetError(
            f"{where} (there) was recorded in another way than this recorder does (here):\n  - {lines}\n"
            "append with the same options, or record into another folder"
        )
