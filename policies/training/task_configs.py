"""The config group ``task`` for Hydra, made of the registered tasks: a task needs no YAML file to be ``task=NAME``.

A file ``task/NAME.yaml``, in ``configs/`` or in a folder named by ``--config-dir``, comes first where there is one.
"""

from __future__ import annotations

import re

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigLoadError, ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import OmegaConf

GROUP = "task"
DMC = re.compile(r"dmc/[a-z_]+-[a-z0-9_]+")  # DOMAIN-TASK; which there are is known once dm_control is imported


class TaskSource(ConfigSource):
    """``task/NAME`` for each name in ``sim.tasks.TASKS`` at the moment, and ``task/dmc/DOMAIN-TASK``."""

    @staticmethod
    def scheme() -> str:
        return "tasks"

    def available(self) -> bool:
        return True

    def is_group(self, config_path: str) -> bool:
        return config_path.rstrip("/") in ("", GROUP)

    def is_config(self, config_path: str) -> bool:
        from sim.tasks import TASKS  # not before somebody asks: `import policies.training.train` stays quick

        group, _, name = config_path.removesuffix(".yaml").partition("/")
        return group == GROUP and (name in TASKS or DMC.fullmatch(name) is not None)

    def load_config(self, config_path: str) -> ConfigResult:
        if not self.is_config(config_path):
            raise ConfigLoadError(f"Config not found : {config_path}")
        name = config_path.removesuffix(".yaml").removeprefix(f"{GROUP}/")
        return ConfigResult(
            provider=self.provider,
            path=self.full_path(),
            config=OmegaConf.create({"name": name}),
            header={"package": None},
        )

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        from sim.tasks import TASKS

        if config_path.rstrip("/") == GROUP:
            return [] if results_filter == ObjectType.GROUP else sorted(TASKS)
        return [GROUP] if config_path == "" and results_filter != ObjectType.CONFIG else []


class TaskSearchPath(SearchPathPlugin):
    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        # Hydra puts what --config-dir names before the first provider of this name, and so before the registry
        search_path.append("schema", f"{TaskSource.scheme()}://")


def register() -> None:
    """From now on every configuration that this process composes knows the tasks."""
    for plugin in (TaskSource, TaskSearchPath):
        Plugins.instance().register(plugin)
