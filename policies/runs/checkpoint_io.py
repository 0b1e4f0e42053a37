"""Checkpoints of Lightning's Trainer as a run's own are: a folder of safetensors and JSON that explains itself. No
pickles.

``state.json`` holds a checkpoint as it is, arrays by their names in ``tensors-*.safetensors``. JSON has no tuples, no
keys but text, no NaN: what it lacks is an object with the key ``$``, which says what to make of it (``{"$": "tuple",
"items": [1, 2]}``). What comes back equals what was saved, types and strides of tensors included; tensors come back on
the CPU, without a gradient.

    Trainer(plugins=[FolderCheckpoints()], callbacks=[RandomStreams(), ModelCheckpoint(...)])
"""

from __future__ import annotations

import collections
import functools
import json
import math
import os
import random
import secrets
import shutil
from pathlib import Path, PosixPath
from typing import Any, NoReturn

import lightning
import numpy as np
import torch
from lightning.fabric.plugins.io.checkpoint_io import CheckpointIO
from lightning.pytorch.callbacks import Callback
from safetensors.torch import save

from policies.runs.checkpoint import load_tensors, read_json, reading, save_tensors
from robot.errors import PixelarmError
from robot.files import write_text

FORMAT = "pixelarm-trainer/1"
STATE, TENSORS = "state.json", "tensors-{}.safetensors"
KIND = "$"  # key of an object that stands for a value of another type
PLAIN = (type(None), bool, int, str)
SEQUENCES: dict[str, type] = {"tuple": tuple, "set": set, "frozenset": frozenset}
MAPPINGS: dict[str, type] = {"dict": dict, "OrderedDict": collections.OrderedDict, "Counter": collections.Counter}


class FolderCheckpoints(CheckpointIO):
    """What ``Trainer(plugins=[...])`` writes checkpoints with, and reads them again, for ``fit(ckpt_path=...)`` too.

    A checkpoint is a folder of the name that the Trainer gives. It is there whole or not at all, and one that is
    written anew stays the old one until the new one is whole.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Raises PixelarmError naming what is neither JSON nor an array, by its place and type."""
        if storage_options is not None:
            raise PixelarmError(
                f"a checkpoint's folder has no storage options, got {storage_options!r}: leave them out"
            )
        folder = Path(path)
        encoder = Encoder()
        state = {
            "format": FORMAT,
            "tensors": TENSORS.format(secrets.token_hex(4)),
            "checkpoint": encoder.encode(checkpoint),
        }
        if (folder / STATE).exists():
            _fill(folder, state, encoder.tensors)
            return
        partial = folder.with_name(f".{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        _fill(partial, state, encoder.tensors)
        os.rename(partial, folder)

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """The dict that was saved.

        Args:
            map_location: a device, or its name; None: the CPU.
            weights_only: nothing here can run code, so both values are the same.
        """
        if map_location is not None and not isinstance(map_location, (str, torch.device)):
            raise PixelarmError(f"map_location must be a device or its name, got {map_location!r}")
        folder = Path(path)
        if not (folder / STATE).exists():
            raise PixelarmError(f"{folder} is not a checkpoint of the Trainer: there is no {STATE} in it")
        state = read_json(folder / STATE)
        if state.get("format") != FORMAT:
            raise PixelarmError(f"{folder / STATE} has format {state.get('format')!r}, expected {FORMAT!r}")
        with reading(folder, "remove it, and resume from the checkpoint before"):
            tensors = load_tensors(folder / state["tensors"])
            if map_location is not None:
                tensors = {name: tensor.to(map_location) for name, tensor in tensors.items()}
            return decode(state["checkpoint"], tensors)

    def remove_checkpoint(self, path: str | Path) -> None:
        shutil.rmtree(path)


def _fill(folder: Path, state: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    """Write a checkpoint into its folder. The old one counts until ``state.json`` names the new tensors."""
    save_tensors(folder / state["tensors"], tensors)
    write_text(folder / STATE, json.dumps(state) + "\n")
    for old in folder.glob(TENSORS.format("*")):
        if old.name != state["tensors"]:
            old.unlink()


# ----------------------------------------------------------------------------------------------------- to JSON and back
class Encoder:
    """Makes JSON of a checkpoint, and collects its arrays in ``tensors`` under names that say where they stand."""

    def __init__(self) -> None:
        self.tensors: dict[str, torch.Tensor] = {}

    def encode(self, value: Any, *place: str) -> Any:
        """``value``, which stands at ``place`` (keys and indices from the top), as JSON. Types count exactly, not what
        inherits them.

        Raises:
            PixelarmError: a value of any other type; its place and type.
        """
        kind = type(value)
        if kind in PLAIN:
            return value
        if kind is float:
            return value if math.isfinite(value) else {KIND: "float", "value": str(value)}
        if kind is list:
            return self._items(value, place)
        if kind in SEQUENCES.values():
            return {KIND: kind.__name__, "items": self._items(value, place)}
        if kind in MAPPINGS.values():
            return self._mapping(value, place)
        if kind is bytes:
            return {KIND: "bytes", "hex": value.hex()}
        if kind is PosixPath:
            return {KIND: "path", "value": str(value)}
        if kind is torch.Tensor:
            return self._tensor(value, place)
        if kind is np.ndarray and value.dtype.kind in "biuf" and value.dtype.isnative and value.itemsize <= 8:
            return {KIND: "array", "name": self._name(torch.from_numpy(value.copy()), place)}
        if isinstance(value, np.generic) and value.dtype.kind in "biuf" and value.itemsize <= 8:
            return {KIND: "number", "dtype": value.dtype.name, "value": self.encode(value.item(), *place)}
        _refuse(place, f"of type {kind.__module__}.{kind.__qualname__}")

    def _items(self, values: Any, place: tuple[str, ...]) -> list[Any]:
        return [self.encode(value, *place, str(index)) for index, value in enumerate(values)]

    def _mapping(self, value: Any, place: tuple[str, ...]) -> dict[str, Any]:
        if type(value) is dict and KIND not in value and all(type(key) is str for key in value):
            return {key: self.encode(inner, *place, key) for key, inner in value.items()}
        items = [[self.encode(key, *place, "(key)"), self.encode(v, *place, str(key))] for key, v in value.items()]
        found = {KIND: type(value).__name__, "items": items}
        own = getattr(value, "__dict__", {})  # torch keeps the versions of modules in an attribute of their state_dict
        return {**found, "attributes": self.encode(own, *place, "(attributes)")} if own else found

    def _tensor(self, value: torch.Tensor, place: tuple[str, ...]) -> dict[str, Any]:
        if value.layout != torch.strided or value.device.type == "meta" or not _storable(value.dtype):
            _refuse(place, f"a tensor of {value.dtype}, {value.layout}, on {value.device}")
        found = {KIND: "tensor", "name": self._name(value, place)}
        same = torch.empty_like(value, memory_format=torch.preserve_format).stride() == value.stride()
        return found if value.is_contiguous() or not same else {**found, "stride": list(value.stride())}

    def _name(self, tensor: torch.Tensor, place: tuple[str, ...]) -> str:
        name = ".".join(place)
        while name in self.tensors:  # a key with a dot in it
            name += "'"
        self.tensors[name] = tensor
        return name


def _refuse(place: tuple[str, ...], what: str) -> NoReturn:
    raise PixelarmError(
        f"a checkpoint holds no pickles, and {'.'.join(place) or 'it'} is {what}: keep it as numbers, text, lists, "
        f"dicts or "
        "arrays (a callback's or module's state_dict; save_hyperparameters(ignore=[...]) leaves one out)"
    )


@functools.lru_cache
def _storable(dtype: torch.dtype) -> bool:
    """Whether safetensors knows this type."""
    try:
        save({"x": torch.empty(0, dtype=dtype)})
    except KeyError:
        return False
    return True


def decode(node: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """What ``Encoder.encode`` made ``node`` of. Raises KeyError for a kind that it does not write."""
    if isinstance(node, list):
        return [decode(item, tensors) for item in node]
    if not isinstance(node, dict):
        return node
    if KIND not in node:
        return {key: decode(value, tensors) for key, value in node.items()}
    kind = node[KIND]
    if kind in SEQUENCES:
        return SEQUENCES[kind](decode(node["items"], tensors))
    if kind in MAPPINGS:
        items = {decode(key, tensors): decode(value, tensors) for key, value in node["items"]}
        found = items if kind == "dict" else MAPPINGS[kind](items)
        for name, value in decode(node.get("attributes", {}), tensors).items():
            setattr(found, name, value)
        return found
    if kind == "tensor":
        return _laid_out(tensors[node["name"]], node.get("stride"))
    if kind == "array":
        return tensors[node["name"]].cpu().numpy()
    if kind == "number":
        return np.dtype(node["dtype"]).type(decode(node["value"], tensors))
    return {"float": _float, "bytes": _bytes, "path": _path}[kind](node)


def _laid_out(tensor: torch.Tensor, stride: list[int] | None) -> torch.Tensor:
    if stride is None:
        return tensor
    return torch.empty_strided(tensor.shape, stride, dtype=tensor.dtype, device=tensor.device).copy_(tensor)


def _float(node: dict[str, Any]) -> float:
    return float(node["value"])


def _bytes(node: dict[str, Any]) -> bytes:
    return bytes.fromhex(node["hex"])


def _path(node: dict[str, Any]) -> Path:
    return PosixPath(node["value"])


# ------------------------------------------------------------------------------------------------------- random streams
class RandomStreams(Callback):
    """Keeps the random states of torch, numpy and Python in the Trainer's checkpoints, and goes on from them.

    They are restored when training begins, after whatever setting up has drawn: a resumed run then draws what the
    uninterrupted one would have drawn. The order of the data is the loader's own affair, see
    ``policies.data.resumable``. A checkpoint of several processes holds the states of the first, which all go on from.
    """

    def __init__(self) -> None:
        self._saved: dict[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        return {
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            "numpy": np.random.get_state(),
            "python": random.getstate(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._saved = state_dict

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if self._saved is None:
            return
        torch.set_rng_state(self._saved["torch"])
        if len(self._saved["cuda"]) == torch.cuda.device_count():  # on other devices nothing would be the same anyway
            torch.cuda.set_rng_state_all(self._saved["cuda"])
        np.random.set_state(self._saved["numpy"])
        random.setstate(self._saved["python"])
        self._saved = None
