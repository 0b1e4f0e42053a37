"""``pixelarm bench learner``: updates per second of each recipe, and of CURL's losses as one would first write them.

A recipe has its own image size, history, batch and networks, and samples from a replay memory of random frames, so that
what is counted is all that a learner does between two environment steps. With ``--against eager`` the recipe ``curl``
is measured in turn with ``policies.bench.eager_curl``, on the same batches, in a process as Python starts it;
``eager-kept-memory`` gives that process ``policies.runtime.allocator`` too, so that what is left of the ratio is the
agent's.

On a CPU each process has one core and its speed is counted per second of processor time (see ``sim.bench.harness``); on
a GPU per second of the clock, and the process waits for the device every ``GROUP["cuda"]`` updates.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from tqdm import tqdm

from policies.bench.updates import COMPARED, GROUP, PARTS, configured, contract_of, eager, ours
from robot.errors import MissingDependency, PixelarmError, UnknownName
from robot.files import require_folder
from sim.bench.harness import BUSY, Row, Sample, Subject, cores, keep, one_thread, provenance

RECIPES = ("curl", "rad", "ferm", "ferm_plus", "ferm_pp", "ibrl", "atc", "flare", "drq", "drqv2", "rlpd")
AGAINST = {"eager": False, "eager-kept-memory": True}  # whether the baseline's process keeps freed memory, as ours does
SMALL = "ferm_plus"  # the recipe of small images
TARGETS = {"cpu": 2.0, "cuda": 5.0}  # ratio to reach
SMALL_TARGET = 300.0  # updates/s to reach on a GPU


# ------------------------------------------------------------------------------------------------------------ the rows
@dataclass
class LearnerRow(Row):
    """One recipe in one precision, compiled one way."""

    recipe: str = ""
    device: str = "cpu"
    settings: dict[str, Any] = field(default_factory=dict)  # batch, precision, compile, pixels, cameras, history
    notes: dict[str, Any] = field(default_factory=dict)  # first_updates_s, parts

    @property
    def speed(self) -> float:
        """Updates/s, the median of the rounds."""
        return median(sample.rate for sample in self.ours)

    @property
    def shares(self) -> dict[str, float]:
        whole = sum(self.notes["parts"].values())
        return {part: seconds / whole for part, seconds in self.notes["parts"].items()}

    def count_updates(self) -> None:
        """From units and processor time to updates, and on a GPU to time on the clock."""

        def counted(sample: Sample) -> Sample:
            cpu_s = sample.cpu_s if self.device == "cpu" else sample.wall_s
            return Sample(sample.count * GROUP[self.device], cpu_s, sample.wall_s)

        self.ours, self.stock = [counted(s) for s in self.ours], [counted(s) for s in self.stock]

    def to_dict(self) -> dict[str, Any]:
        found = super().to_dict() | {"recipe": self.recipe, **self.settings, **self.notes, "shares": self.shares}
        if self.recipe == SMALL and self.device == "cuda":
            found |= {"speed_target": SMALL_TARGET, "speed_reached": self.speed >= SMALL_TARGET}
        return found


def plan(
    recipes: list[str], batch: int, device: str, precision: str, compile: list[str], against: bool
) -> list[LearnerRow]:
    """A row for each recipe, each precision and each way to compile; refuses what this machine cannot do."""
    import torch

    from policies.runtime.compiling import Compiler
    from policies.runtime.precision import choose_precision

    rows: list[LearnerRow] = []
    for recipe in recipes:
        cfg = configured(recipe, batch)
        wanted = precision.split(",") if precision else [cfg.trainer.precision]
        for chosen in dict.fromkeys(choose_precision(p, device) for p in wanted):
            for mode in compile:
                Compiler(mode, torch.device(device))
                settings = {
                    "batch": cfg.recipe.batch_size, "precision": chosen, "compile": mode, "pixels": cfg.task.image_size,
                    "cameras": len(contract_of(cfg).cameras), "history": cfg.algo.history,
                }  # fmt: skip
                target = TARGETS[device] if against and recipe == COMPARED else None
                key = f"{recipe}/{chosen}/{mode}"
                rows.append(
                    LearnerRow(key, f"{recipe}, {chosen}, {mode}", "update", target, [], [], recipe, device, settings)
                )
    return rows


def measure(rows: list[LearnerRow], against: str | None, seconds: float, rounds: int) -> None:
    """Each row in turn with the baseline where it has one."""
    with tqdm(total=len(rows) * rounds, desc="in turn", unit="round") as bar, TemporaryDirectory() as scratch:
        for number, row in enumerate(rows):
            bar.set_postfix_str(row.what)
            core = cores()[-1] if row.device == "cpu" else None
            shared = {"batch": row.settings["batch"], "device": row.device}
            notes = Path(scratch) / f"{number}.json"
            chosen = {"precision": row.settings["precision"], "compile": row.settings["compile"], "notes": str(notes)}
            with Subject(ours, core, recipe=row.recipe, **shared, **chosen) as a:
                if against and row.recipe == COMPARED:
                    with Subject(eager, core, keep_memory=AGAINST[against], **shared) as b:
                        row.run(a, b, rounds, seconds, bar.update)
                else:
                    row.run(a, None, rounds, seconds, bar.update)
            row.count_updates()
            row.notes = json.loads(notes.read_text())


def table(rows: list[LearnerRow]) -> str:
    """Rows for a terminal: medians over rounds; the ratio is the median of the rounds' ratios (min..max)."""
    lines = [
        f"{'recipe':<11}{'images':<14}{'batch':>5}  {'precision':<11}{'compile':<12}{'updates/s':>9}{'first s':>8}"
        f"{'sampling':>10}{'augment.':>9}{'learning':>9}  against eager"
    ]
    for row in rows:
        has, shares = row.settings, row.shares
        images = f"{has['cameras']}x{has['pixels']}px" + (f" x{has['history']}" if has["history"] > 1 else "")
        ratio = ""
        if row.stock:
            ratio = f"{median(row.ratios):.3g}x ({min(row.ratios):.3g}..{max(row.ratios):.3g}), target {row.target:g}x"
        lines.append(
            f"{row.recipe:<11}{images:<14}{has['batch']:>5}  "
            f"{has['precision']:<11}{has['compile']:<12}{row.speed:>9.3g}"
            f"{max(row.notes['first_updates_s']):>8.3g}"
            + "".join(f"{shares[part]:>9.0%}" for part in PARTS)
            + f"   {ratio}"
        )
        if row.recipe == SMALL and row.device == "cuda":
            lines[-1] += f"target {SMALL_TARGET:g}/s"
    busy = [row.what for row in rows if row.device == "cpu" and row.busy > BUSY]
    if busy:
        lines.append(f"the machine was busy with something else during: {'; '.join(busy)}; trust the ratios less")
    return "\n".join(lines)


def plot(rows: list[LearnerRow], device: str, path: Path) -> Path:
    """Updates/s as bars, the baseline beside what is held against it."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    bars: list[tuple[str, float, str]] = []
    for row in rows:
        if row.stock:
            bars.append((f"{row.recipe}, eager baseline", median(s.rate for s in row.stock), "tab:gray"))
        size = f"{row.settings['pixels']} px, batch {row.settings['batch']}"
        ratio = f", {median(row.ratios):.3g}x" if row.stock else ""
        bars.append((f"{row.what}\n{size}{ratio}", row.speed, "tab:blue"))
    figure, axes = pyplot.subplots(figsize=(9, 1 + 0.5 * len(bars)), layout="constrained")
    drawn = axes.barh(range(len(bars)), [speed for _, speed, _ in bars], color=[colour for *_, colour in bars])
    axes.bar_label(drawn, fmt="%.3g", padding=3, fontsize=8)
    axes.set_yticks(range(len(bars)), [label for label, *_ in bars], fontsize=8)
    axes.invert_yaxis()
    clock = "of one core" if device == "cpu" else "on the GPU"
    axes.set(xlabel=f"updates per second {clock}, sampling included", xscale="log")
    axes.margins(x=0.15)
    axes.grid(axis="x", alpha=0.3)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    return path


def choose_device(wanted: str) -> str:
    """cpu or cuda; refused where there is none."""
    import torch

    if wanted not in ("auto", *GROUP):
        raise UnknownName("device", wanted, ("auto", *GROUP))
    if wanted == "cuda" and not torch.cuda.is_available():
        raise PixelarmError("--device cuda, but torch finds no CUDA device here: leave it out, or see pixelarm doctor")
    return wanted if wanted != "auto" else ("cuda" if torch.cuda.is_available() else "cpu")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="pixelarm bench learner",
        description="Measure updates per second of each recipe, sampling included, and of an eager baseline of CURL's "
        "losses.",
    )
    parser.add_argument("--recipes", default=",".join(RECIPES), help="which, by commas (default: %(default)s)")
    parser.add_argument(
        "--against",
        metavar="WHAT",
        help=f"measure {COMPARED} in turn with this, and print ratios: {' or '.join(AGAINST)}",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu (one core) or cuda (default: auto)")
    parser.add_argument("--batch", type=int, default=0, help="rows of a batch (default: each recipe's own)")
    parser.add_argument(
        "--precision", default="", help="32-true, bf16-mixed or auto, by commas (default: each recipe's own)"
    )
    parser.add_argument("--compile", default="off", help="off, default or cuda-graphs, by commas (default: off)")
    parser.add_argument(
        "--seconds", type=float, default=10.0, help="measuring time of each side of a row (default: 10)"
    )
    parser.add_argument("--rounds", type=int, default=5, help="turns of each side within that time (default: 5)")
    parser.add_argument("--json", action="store_true", help="print the whole result as JSON instead of the table")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/bench-learner"), help="folder for bench.json and bench.png"
    )
    return parser


def _recipes(args: argparse.Namespace) -> list[str]:
    return list(dict.fromkeys(args.recipes.split(",")))


def _check(args: argparse.Namespace) -> None:
    """Refuse before anything slow what cannot work."""
    if importlib.util.find_spec("torch") is None:
        raise MissingDependency(
            "pixelarm bench learner needs the extra [train] (torch is not installed): pip install 'pixelarm[train]'"
        )
    if args.against is not None and args.against not in AGAINST:
        raise UnknownName("thing to measure against", args.against, AGAINST)
    recipes = _recipes(args)
    for recipe in recipes:
        if recipe not in RECIPES:
            raise UnknownName("recipe", recipe, RECIPES)
    if args.against and COMPARED not in recipes:
        raise PixelarmError(
            f"--against {args.against} measures the recipe {COMPARED}: add it to --recipes, got {args.recipes}"
        )
    if not 0 < args.seconds < math.inf or args.rounds < 1:
        raise PixelarmError(
            f"--seconds must be positive and --rounds at least 1, got {args.seconds:g} and {args.rounds}"
        )
    if args.batch < 0 or args.batch == 1:
        raise PixelarmError(f"--batch must be at least 2, or 0 for each recipe's own, got {args.batch}")
    require_folder(args.out)


def main(argv: list[str]) -> int:
    args = _parser().parse_args(argv)
    _check(args)
    one_thread()
    device, recipes = choose_device(args.device), _recipes(args)
    rows = plan(recipes, args.batch, device, args.precision, args.compile.split(","), args.against is not None)
    measure(rows, args.against, args.seconds, args.rounds)
    result = {
        "suite": "learner",
        **learner_provenance("pixelarm bench learner " + shlex.join(argv)),
        "device": device,
        "clock": "processor" if device == "cpu" else "wall",  # what per_cpu_s counts
        "against": args.against,
        "seconds": args.seconds,
        "rounds": args.rounds,
        "rows": [row.to_dict() for row in rows],
    }
    print(json.dumps(result, indent=1) if args.json else table(rows))
    keep(args.out, result, "bench.png", lambda: plot(rows, device, args.out / "bench.png"))
    return 0


def learner_provenance(command: str) -> dict[str, Any]:
    """The benchmarks' provenance, with torch's version and the GPU."""
    from policies.runs.provenance import hardware, versions

    base = provenance(command)
    return base | {"versions": base["versions"] | versions(), "hardware": base["hardware"] | hardware()}
