"""From overrides on a command line to a checked configuration, through Hydra; wrong options in our own words."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

import policies.families  # noqa: F401  (fills POLICIES)
from policies.config import TrainConfig
from policies.policy import POLICIES
from policies.training import task_configs
from robot.errors import PixelarmError
from robot.packages import require_ours

require_ours("policies", "configs")  # Hydra would look for its files in another folder of that name
OmegaConf.register_new_resolver("file_name", lambda name: name.replace("/", "-"), replace=True)
task_configs.register()

PART_OPTION = re.compile(r"algo\.(actor|critic|exploration)\.\w+\.\w+=")
UNKNOWN = re.compile(r"Key '(\w+)' not in '(\w+)'")
UNPACKAGED = "the first line of a recipe's file must be `# @package _global_`"


_registered: dict[str, type] = {}  # what Hydra has as the schema of a family: to store all takes as long as to compose


def register_families() -> None:
    """Give Hydra the schema of every family of policies, as ``algo=FAMILY``."""
    store = ConfigStore.instance()
    if not _registered:
        store.store(name="train_schema", node=TrainConfig)
    for name, family in POLICIES.items():
        options = family.options()
        if _registered.get(name) is not options:
            store.store(group="algo", name=name, node=options)
            _registered[name] = options


def typed(config: DictConfig) -> TrainConfig:
    """The composed configuration as checked dataclasses, every reference resolved."""
    cfg = OmegaConf.to_object(config)
    assert isinstance(cfg, TrainConfig)
    _refuse_more(OmegaConf.to_container(config), cfg, "")
    cfg.task.actuation_delay_ms = tuple(cfg.task.actuation_delay_ms)  # type: ignore[assignment]
    cfg.task.observation_delay_ms = tuple(cfg.task.observation_delay_ms)  # type: ignore[assignment]
    return cfg


def _refuse_more(given: Any, cfg: Any, where: str) -> None:
    """What was added with a plus, and no field takes, would be dropped without a word."""
    names = [field.name for field in dataclasses.fields(cfg)]
    for name, value in given.items():
        if name not in names:
            raise PixelarmError(unknown_option(f"{where}{name}", names))
        if dataclasses.is_dataclass(getattr(cfg, name)):
            _refuse_more(value, getattr(cfg, name), f"{where}{name}.")


def unknown_option(name: str, names: list[str]) -> str:
    near = difflib.get_close_matches(name.rpartition(".")[2], names, n=1)
    meant = f" (did you mean {near[0]}?)" if near else ""
    return f"unknown option {name}{meant}; the options there are: {', '.join(names)}"


def part_options(overrides: list[str]) -> list[str]:
    """Overrides as Hydra wants them: an option of a part may be set whether or not the recipe mentions it (``++``), and
    ``arm=NAME`` is short for ``task.arm=NAME``.
    """
    whole = [f"task.{text}" if text.startswith("arm=") else text for text in overrides]
    return [f"++{text}" if PART_OPTION.match(text) else text for text in whole]


def compose(overrides: list[str]) -> TrainConfig:
    """The configuration that ``pixelarm train`` would use with these overrides.
    Raises PixelarmError for a wrong one.
    """
    register_families()
    with our_words():
        with hydra.initialize_config_module("configs", version_base="1.3"):
            config = hydra.compose("train", part_options(overrides), return_hydra_config=True)
        with open_dict(config):
            config.experiment = config.hydra.runtime.choices.experiment
            del config.hydra
        return typed(config)


@contextmanager
def our_words() -> Iterator[None]:
    """Hydra's errors about options, which are the user's to cure, as ours."""
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise PixelarmError(_words(error)) from error


def _words(error: Exception) -> str:
    words, cause = str(error).partition("\nConfig search path")[0].strip(), error.__cause__
    text = f"{words}: {cause}" if isinstance(cause, OmegaConfBaseException) else words
    unknown = UNKNOWN.search(text)
    if unknown is not None:
        schema = {kind.__name__: kind for kind in _schemas(TrainConfig)}.get(unknown[2])
        if schema is not None:
            return unknown_option(unknown[1], [field.name for field in dataclasses.fields(schema)])
    if "full_key: experiment" in text and "DictConfig" in text:
        return f"{words.splitlines()[0]}: {UNPACKAGED}"
    return text


def _schemas(*roots: type) -> Iterator[type]:
    """Every dataclass of a configuration, those of the families of policies included."""
    for root in (*roots, *(family.options() for family in POLICIES.values())):
        yield root
        made = root()
        yield from (type(v) for f in dataclasses.fields(root) if dataclasses.is_dataclass(v := getattr(made, f.name)))
