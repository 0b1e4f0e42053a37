"""Prints what pixelarm says of itself as one line of JSON: help texts, parts with their options, tasks.
Run by ``made.py``.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import json
import re
from typing import Any

from robot import cli

VERBS = {  # of the commands that have some
    "bench": ("sim", "tasks", "demo", "learner", "kinematics", "experts", "chunks", "kitchen", "cameras"),
    "data": ("make", "check", "render", "recover", "view"),
    "so101": ("check", "read", "fold", "follow"),
}
# option -> (registry of its parts, leading parameters of a part that are not options)
PARTS = {
    "algo.actor": ("policies.rl.actors:ACTORS", 3),
    "algo.critic": ("policies.rl.critics:CRITICS", 3),
    "algo.exploration": ("policies.rl.exploration:EXPLORATIONS", 2),
    "algo.auxiliary": ("policies.rl.auxiliary:AUXILIARY_LOSSES", 3),
    "algo.augmentation": ("policies.augment:AUGMENTATIONS", 0),
    "algo.encoder.convs": ("policies.networks.convs:CONVS", 1),
    "task.randomise": ("sim.scene.randomise:TERMS", 0),
}


def help_of(*argv: str) -> str:
    """What a command prints when it is given ``--help``."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        cli.main([*argv, "--help"])
    return out.getvalue()


def commands() -> dict[str, str]:
    """Name -> help text, that of each verb too."""
    found = {}
    for name in cli.COMMANDS:
        found[name] = help_of(name)
        found |= {f"{name} {verb}": help_of(name, verb) for verb in VERBS.get(name, ())}
    return found


def parts(registry: str, skip: int) -> list[dict[str, Any]]:
    """Name, options with their defaults, and first sentence of every part of a registry."""
    module, _, name = registry.partition(":")
    found = []
    for part, make in getattr(importlib.import_module(module), name).items():
        parameters = list(inspect.signature(make).parameters.values())[skip:]
        options = {p.name: shown(p.default) for p in parameters if p.default is not p.empty}
        found.append({"name": part, "options": options, "summary": sentence(inspect.getdoc(make) or "")})
    return found


def shown(value: Any) -> str:
    """A default as a person would write it in YAML."""
    return f"{value:.3g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)


def sentence(text: str) -> str:
    """The first sentence of a docstring, in one line."""
    words = " ".join(text.split("\n\n")[0].split())
    return re.split(r"(?<=\.) (?=[A-Z])", words)[0]


def kinds() -> list[dict[str, str]]:
    """Every kind of action: what its numbers are, what an arm is told because of it, and what it counts from."""
    from robot.actions import KINDS, TARGETS

    return [
        {"name": name, "words": kind.words, "target": TARGETS.get(kind.target, "-"), "needs": ", ".join(kind.needs)}
        for name, kind in KINDS.items()
    ]


def proprioception() -> list[dict[str, str]]:
    """What an arm measures of itself."""
    from robot.actions import PROPRIO

    return [
        {
            "name": name,
            "size": str(field.size or "joints"),
            "unit": field.unit,
            "frame": field.frame,
            "words": field.words,
        }
        for name, field in PROPRIO.items()
    ]


def tasks() -> list[dict[str, Any]]:
    """Name, instruction and longest episode of every registered task."""
    from sim.tasks import TASKS, make_task

    made = {name: make_task(name) for name in TASKS}
    return [{"name": name, "language": task.language, "max_steps": task.max_steps} for name, task in made.items()]


if __name__ == "__main__":
    described = {
        "overview": cli.help_text(),
        "commands": commands(),
        "parts": {option: parts(*where) for option, where in PARTS.items()},
        "kinds": kinds(),
        "proprioception": proprioception(),
        "tasks": tasks(),
    }
    print(json.dumps(described))
