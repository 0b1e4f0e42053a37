"""A run in one small file: its configuration, its validation curve, and what its policy did on every test scene.

``pixelarm compare --records FOLDER`` writes one for each policy that it plays, and takes such files in place of runs:
results can be compared in pairs, scene by scene, where the run itself is no longer there, or was made elsewhere. A
record has no weights: it cannot be played again, nor on more scenes than it holds.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from policies.runs.checkpoint import read_json
from robot import bundle
from robot.errors import PixelarmError
from robot.files import write_text

FORMAT = "pixelarm-record/1"
SUFFIX = ".json"
# options that name folders: of what one of them holds, its last name says enough
FOLDERS = ("run", "demos", "recipe.replay_folder", "recipe.skills", "recipe.prior_data")


def make_record(source: Any, evaluation: dict[str, Any], log: list[dict[str, Any]], ended: bool) -> dict[str, Any]:
    """What ``write_record`` writes and ``load_record`` reads.

    Args:
        source: a ``policies.runs.find.Source``.
        evaluation: what it did on the test scenes, as ``pixelarm compare`` keeps it.
        log: its records of kind "eval".
        ended: whether it has learned to its end.
    """
    config = copy.deepcopy(source.config)
    for option in FOLDERS:
        section, name = config, option
        if "." in option:
            first, name = option.split(".")
            section = config.get(first) or {}
        if section.get(name):
            section[name] = Path(str(section[name])).name
    return {
        "format": FORMAT, "kind": source.kind, "name": source.path.name, "task": source.task,
        "experiment": source.experiment, "seed": source.seed, "digest": source.digest, "repeat": source.repeat,
        "ended": ended, "config": config, "contract": source.contract.to_dict() if source.contract else None,
        "made_with": _made_with(source.path), "log": log, "evaluation": {**evaluation, "policy": source.path.name},
    }  # fmt: skip


def _made_with(folder: Path) -> dict[str, Any]:
    """Versions, commit and hardware of the training, as far as the folder says them."""
    for file in (folder / "policy" / "policy.json", folder / "policy.json", folder / bundle.CARD):
        if file.exists():
            return {name: of for name, of in read_json(file).items() if name in ("versions", "git", "hardware")}
    return {}


def write_record(path: Path, record: dict[str, Any]) -> None:
    """One line for each item of the two long lists, so that a change reads well in a repository."""
    text = json.dumps({**record, "log": [], "evaluation": {**record["evaluation"], "outcomes": []}}, indent=1)
    for name, items in (("log", record["log"]), ("outcomes", record["evaluation"]["outcomes"])):
        lines = ",\n".join(json.dumps(item) for item in items)
        head, _, rest = text.rpartition(f'"{name}": []')  # what stands before it is the configuration
        text = f'{head}"{name}": [\n{lines}\n]{rest}'
    write_text(path, text + "\n")


def load_record(path: Path) -> dict[str, Any] | None:
    """The record in a file; None where the file is none.

    Raises:
        PixelarmError: it is one of another version, or lacks something.
    """
    if path.suffix != SUFFIX or not path.is_file():
        return None
    try:
        found = json.loads(path.read_text())
    except ValueError:
        return None
    if not isinstance(found, dict) or not str(found.get("format", "")).startswith(FORMAT.partition("/")[0]):
        return None
    wanted = (
        "kind", "name", "task", "experiment", "seed", "digest", "repeat", "ended", "config", "contract", "log",
        "evaluation",
    )  # fmt: skip
    missing = [name for name in wanted if name not in found]
    if found["format"] != FORMAT or missing:
        what = f"it has no {', '.join(missing)}" if missing else f"it is {found['format']}"
        raise PixelarmError(f"{path} is not a record as `pixelarm compare --records` writes it ({FORMAT}): {what}")
    return found
