"""Metrics of a run: one JSON line a record in ``metrics.jsonl``, and the same in TensorBoard."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from robot.errors import PixelarmError
from robot.files import write_text


class RunLog:
    """Appends records; a resumed run cuts the lines that lie after its checkpoint, so no step appears twice."""

    def __init__(self, folder: Path, resume_at: int | None = None, enabled: bool = True) -> None:
        self._path = folder / "metrics.jsonl"
        self._file = self._board = None
        if not enabled:
            return
        kept = [line for line in _lines(self._path) if resume_at is not None and line.get("step", 0) <= resume_at]
        write_text(self._path, "".join(json.dumps(line) + "\n" for line in kept))
        self._file = self._path.open("a")
        from torch.utils.tensorboard import SummaryWriter

        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=resume_at)

    def write(self, step: int, kind: str, **values: Any) -> None:
        """``kind`` names the record (pretrain, train, eval); numbers go to TensorBoard as ``kind/name``."""
        if self._file is None or self._board is None:
            return
        self._file.write(json.dumps({"step": step, "kind": kind, **values}) + "\n")
        self._file.flush()
        for name, value in values.items():
            if isinstance(value, (int, float)):
                self._board.add_scalar(f"{kind}/{name}", value, step)

    def close(self) -> None:
        if self._file is not None and self._board is not None:
            self._file.close()
            self._board.close()


def read_log(folder: Path, kind: str) -> list[dict[str, Any]]:
    """The records of one kind, in order."""
    return [line for line in _lines(folder / "metrics.jsonl") if line.get("kind") == kind]


def _lines(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    lines = []
    for text in path.read_text(errors="replace").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            break  # the line a killed run was writing
        if not isinstance(line, dict):
            raise PixelarmError(f"{path} is not a log of `pixelarm train`: a line of it is {text[:60]!r}")
        lines.append(line)
    return lines
