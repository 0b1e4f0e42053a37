"""What a folder with a policy is, read from its small files: recipe, seed, contract. No simulator, no network is
loaded.

Three kinds of folder hold a policy: a run of ``pixelarm train``, one of the policies inside a run (``RUN/cloned``), and
a policy bundle. A record (``policies/runs/record.py``) stands for any of them. Runs that differ in nothing but the seed
make a group.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from policies.config import TrainConfig
from policies.policy import POLICIES
from policies.runs.checkpoint import read_json
from policies.runs.record import load_record
from robot import bundle
from robot.contract import Contract
from robot.errors import PixelarmError

# Options that do not decide what is learned: runs that differ in them alone are seeds of one group.
FREE = (
    "seed", "run", "demos", "resume", "experiment", "task.name", "recipe.replay_folder",
    "trainer.accelerator", "trainer.threads", "trainer.compile", "trainer.checkpoint_every", "trainer.log_every",
)  # fmt: skip
# option that asks for it -> option that follows from the run's own demonstrations then (policies/training/settle.py)
SETTLED = {"recipe.discount_from_demos": "algo.discount", "recipe.episode_limit": "task.time_limit"}
NAMED = 3  # a label names so many differing options; more of them are only counted


@dataclass(frozen=True)
class Source:
    """One folder with a policy, or with a run that has none yet; or the record of one."""

    path: Path
    kind: str  # run | policy (a folder in a run) | bundle
    task: str
    experiment: str
    seed: int | None  # of the training; None when the bundle does not say
    config: dict[str, Any]  # of the training, as saved
    contract: Contract | None  # None: a run that has saved no policy yet
    digest: str = ""  # of the policy to evaluate; "" when there is none yet
    repeat: int = 1  # environment steps that one action of the policy lasts (DeepMind Control)
    record: dict[str, Any] | None = None  # ``path`` is such a file: there is no policy that could be loaded

    @property
    def name(self) -> str:
        """Of its folder, or of the folder that its record was made of."""
        return self.record["name"] if self.record else self.path.name

    @property
    def steps_hz(self) -> float | None:
        """Environment steps in a second of the robot's time; None when that is not known yet."""
        return self.contract.rate_hz * self.repeat if self.contract else None


@dataclass
class Group:
    """The seeds of one experiment on one task."""

    task: str
    label: str  # the experiment's name, and what else tells this group from others of that name
    differs: dict[str, Any]  # options in which it differs from other groups of the same experiment
    sources: list[Source] = field(default_factory=list)

    @property
    def seeds(self) -> str:
        return ", ".join("?" if s.seed is None else str(s.seed) for s in self.sources)


def find(paths: Sequence[Path]) -> tuple[list[Source], list[str]]:
    """Every run and bundle among ``paths``, each once, and in words what else was there (a shell's ``runs/*`` holds
    other things).

    Raises:
        PixelarmError: a path does not exist, a file in it is damaged, or nothing is left.
    """
    sources, notes, seen = [], [], set()
    for path in paths:
        if not path.exists():
            raise PixelarmError(
                f"{path} does not exist; give run folders of `pixelarm train`, policy bundles or records of them"
            )
        if path.resolve() in seen:
            continue
        seen.add(path.resolve())
        source = read_record(path) or read_source(path)
        if source is None:
            notes.append(f"{path} is no run of `pixelarm train`, no policy bundle and no record: left out")
        else:
            sources.append(source)
    if not sources:
        raise PixelarmError("no run of `pixelarm train` and no policy bundle among: " + ", ".join(map(str, paths)))
    return sources, notes


def read_source(path: Path) -> Source | None:
    """What the folder ``path`` holds; None when that is neither a run, nor a policy, nor a bundle."""
    if (path / bundle.POLICY).exists() or (path / bundle.CARD).exists():
        onnx, contract, card = bundle.read(path)
        return _source(path, "bundle", card.get("config", {}), contract, onnx, card)
    if (path / "policy.json").exists():
        return _of_policy(path, "policy", path)
    if (path / "policy" / "policy.json").exists():
        return _of_policy(path, "run", path / "policy")
    config = _yaml(path / "config.yaml")
    if isinstance(config, dict) and "experiment" in config and isinstance(config.get("task"), dict):
        cloned = path / "cloned" / "policy.json"  # saved before the first evaluation, with the same contract
        early = Contract.from_dict(read_json(cloned)["contract"]) if cloned.exists() else None
        return _source(path, "run", config, early, None, {})
    return None


def read_record(path: Path) -> Source | None:
    """The policy that a file is the record of; None when it is none."""
    kept = load_record(path)
    if kept is None:
        return None
    _check_sections(path, kept["config"])
    contract = Contract.from_dict(kept["contract"])
    return Source(
        path, kept["kind"], kept["task"], kept["experiment"], kept["seed"], kept["config"], contract, kept["digest"],
        kept["repeat"], kept,
    )  # fmt: skip


def _of_policy(path: Path, kind: str, folder: Path) -> Source:
    about, weights = read_json(folder / "policy.json"), folder / "policy.safetensors"
    if "config" not in about or "contract" not in about:
        raise PixelarmError(f"{folder / 'policy.json'} does not describe a policy of `pixelarm train`")
    data = weights.read_bytes() if weights.exists() else None
    repeat = round(about["frames"] / about["step"]) if about.get("frames") and about.get("step") else 1
    # a resumed run may have been given more steps since its best policy was saved
    config = _yaml(path / "config.yaml") if kind == "run" else None
    return _source(path, kind, config or about["config"], Contract.from_dict(about["contract"]), data, {}, repeat)


def _source(
    path: Path,
    kind: str,
    config: dict[str, Any],
    contract: Contract | None,
    weights: bytes | None,
    card: dict[str, Any],
    repeat: int = 1,
) -> Source:
    _check_sections(path, config)
    config = json.loads(json.dumps(config, default=str))  # tuples and lists compare equal, as files hold them
    task = contract.task if contract else str(config["task"].get("name"))
    experiment = str(card.get("recipe") or config.get("experiment") or "unknown")
    digest = ""
    if weights is not None:
        about = json.dumps([config, contract.to_dict() if contract else None], sort_keys=True)
        digest = hashlib.sha256(weights + about.encode()).hexdigest()[:16]
    return Source(path, kind, task, experiment, card.get("seed", config.get("seed")), config, contract, digest, repeat)


def _check_sections(path: Path, config: Any) -> None:
    """Refuse what cannot be a training's configuration, whatever its version."""
    sections = [config, *(config.get(name, {}) for name in ("task", "algo", "recipe", "trainer"))] if config else []
    if not all(isinstance(section, dict) for section in sections):
        raise PixelarmError(f"the configuration in {path} is not one of `pixelarm train`: {str(config)[:80]}")


def _yaml(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text()) if path.exists() else None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise PixelarmError(f"{path} is not YAML: {error}") from error


# --------------------------------------------------------------------------------------------------------------- groups
def make_groups(sources: Sequence[Source]) -> tuple[list[Group], list[str]]:
    """Groups in order of appearance, their sources by seed; and in words which options tell groups of one experiment
    apart.

    Raises:
        PixelarmError: one seed twice in a group: counted as two it would narrow every interval.
    """
    families: dict[tuple[str, str], list[Source]] = {}
    with_runs = {(s.task, s.experiment) for s in sources if s.kind == "run"}
    for source in sources:
        name = source.experiment
        if source.kind == "policy" and source.name != "policy":
            name += f", {source.name}"
        elif source.kind == "bundle" and (source.task, name) in with_runs:
            name += ", bundle"
        families.setdefault((source.task, name), []).append(source)
    groups, notes = [], []
    for (task, name), members in families.items():
        variants = _variants(members)
        if len(variants) > 1:
            notes.append(f"{task}: the runs of {name} are not seeds of one configuration and are kept apart")
        for number, (differs, inside) in enumerate(variants, 1):
            groups.append(Group(task, _label(name, differs, number), differs, inside))
            if len(differs) > NAMED:
                shown = ", ".join(f"{key}={value}" for key, value in differs.items())
                notes.append(f"{task}: {groups[-1].label} has {shown}")
    for group in groups:
        group.sources.sort(key=lambda s: (s.seed is None, s.seed or 0))
        for one, two in zip(group.sources, group.sources[1:]):
            if one.seed is not None and one.seed == two.seed:
                raise PixelarmError(
                    f"{one.path} and {two.path} are the same configuration with the same seed {one.seed}; "
                    "counted as two seeds they would narrow every interval: give one of them"
                )
    return groups, notes


def _variants(members: list[Source]) -> list[tuple[dict[str, Any], list[Source]]]:
    """``members`` by configuration, each with the options (and values) in which they are not all alike."""
    flat = [{k: v for k, v in all_options(m.config).items() if k not in FREE} for m in members]
    for options in flat:
        for rule, follows in SETTLED.items():
            if options.get(rule):
                options.pop(follows, None)
    keys = sorted(set().union(*flat))
    varying = [k for k in keys if any(f.get(k) != flat[0].get(k) for f in flat)]
    found: dict[str, tuple[dict[str, Any], list[Source]]] = {}
    for member, options in zip(members, flat):
        differs = {k: options.get(k) for k in varying}
        found.setdefault(json.dumps(differs), (differs, []))[1].append(member)
    return list(found.values())


def _label(name: str, differs: dict[str, Any], number: int) -> str:
    if not differs:
        return name
    if len(differs) > NAMED:
        return f"{name}, variant {number}"
    return f"{name}, " + ", ".join(f"{key}={value}" for key, value in differs.items())


# options whose default is another than what was done before they existed
FORMER = {"task.hold_steps": 1}


def all_options(saved: dict[str, Any]) -> dict[str, Any]:
    """A training's configuration as ``{dotted name: value}``, as JSON holds values; empty if it is.

    An option that came after it has its default, or what it was before: new options leave what was done as it was.
    """
    defaults = flatten(asdict(TrainConfig(algo=_algo_defaults(saved)))) if saved else {}
    return json.loads(json.dumps({**defaults, **(FORMER if saved else {}), **flatten(saved)}))


def _algo_defaults(saved: dict[str, Any]) -> Any:
    """Default options of the saved family of policies; none of a family that is not known here."""
    name = (saved.get("algo") or {}).get("family")
    return POLICIES[name].options()() if name in POLICIES else {}


def flatten(data: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested options as ``{dotted name: value}``."""
    flat: dict[str, Any] = {}
    for key, value in data.items():
        flat.update(flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value})
    return flat
