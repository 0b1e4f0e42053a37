"""``pixelarm compare``: runs or bundles side by side, on the same test seeds and by their learning curves.

Every policy plays the same seeds. A rate comes with n and its 95 % Wilson interval; where an experiment has several
training seeds, also with a bootstrap interval that draws the seeds first and then their episodes. Policies are compared
in pairs, run by run, on the same scenes, with the first experiment of each task: exact McNemar test, and the difference
with its interval over the pairs.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from policies.config import TaskConfig
from policies.evaluation.curves import GroupCurve, draw, finished, make_curves
from policies.evaluation.tables import to_markdown
from policies.runs.checkpoint import read_json
from policies.runs.find import Group, Source, find, make_groups
from policies.runs.metrics import read_log
from policies.runs.provenance import git_commit, versions
from policies.runs.record import make_record, write_record
from robot.errors import PixelarmError
from robot.files import require_folder, write_json, write_results, write_text
from robot.stats import bootstrap_interval, mcnemar, mean, rate

FORMAT, CACHED = "pixelarm-compare/1", "pixelarm-evaluation/1"
EPISODES = 50  # seeds that each policy plays, unless asked otherwise
OUTCOME = {
    "success": "success_once",
    "at_end": "success_end",
    "return": "total",
}  # measure -> field of policies.evaluation.evaluate.Outcome
# parts of a contract that only say what a policy sees, or when: the scene is the same whatever they are
VIEW = ("cameras", "proprio", "order of ", "history", "chunk", "deadline_ms", "max_age_ms")

Record = dict[str, Any]  # one policy's evaluation, as cached


# ---------------------------------------------------------------------------------------------------- evaluation
def play(sources: Sequence[Source], seeds: range, out: Path) -> tuple[dict[Path, Record], list[str]]:
    """Every policy on every seed. Results are kept in ``out/evaluations`` by policy and seeds, and not played again."""
    records: dict[Path, Record] = {}
    notes, missing, older, now = [], [], set(), git_commit()
    for source in sources:
        if not source.digest:
            notes.append(f"{source.path} has saved no policy yet: not evaluated")
        elif found := outcomes_of(source, seeds, out):
            records[source.path] = found
            if found["git"] != now and not source.record:
                older.add(found["git"])
        elif source.record:
            first, last = source.record["evaluation"]["seeds"]
            notes.append(
                f"{source.path} holds the test seeds {first} to {last}, not all of {seeds[0]} to {seeds[-1]}: left out "
                f"of the results; --episodes {last - first + 1} is what it has"
            )
        else:
            missing.append(source)
    if older:
        notes.append(
            f"some results were played at commit {', '.join(sorted(older))}, this is {now}: "
            f"remove {out / 'evaluations'} to play all again"
        )
    with ExitStack() as stack:
        for number, (source, act, env) in enumerate(_load(missing, stack), 1):
            from policies.evaluation.evaluate import evaluate

            found = evaluate(env, act, seeds, title=f"[{number}/{len(missing)}] {source.path}").to_dict()
            records[source.path] = {
                "format": CACHED, "policy": str(source.path), "digest": source.digest, "seeds": [seeds[0], seeds[-1]],
                "metric": getattr(env, "metric", "success"), "git": now, "versions": versions(), **found,
            }  # fmt: skip
            try:
                write_json(_cache(source, seeds, out), records[source.path])
            except OSError as error:
                notes.append(f"what {source.path} did could not be kept for another time: {error}")
    return records, notes


def outcomes_of(source: Source, seeds: range, out: Path) -> Record | None:
    """What a policy did on these seeds, as an earlier comparison in ``out`` or its own record kept it; None if none
    did.
    """
    if source.record:
        kept = source.record["evaluation"]
        of = {outcome["seed"]: outcome for outcome in kept["outcomes"]}
        return {**kept, "outcomes": [of[seed] for seed in seeds]} if all(seed in of for seed in seeds) else None
    file = _cache(source, seeds, out)
    found = read_json(file) if file.exists() else {}
    return found if found.get("format") == CACHED else None


def _cache(source: Source, seeds: range, out: Path) -> Path:
    return out / "evaluations" / f"{source.digest}-{seeds[0]}-{len(seeds)}.json"


def _load(sources: Sequence[Source], stack: ExitStack) -> list[tuple[Source, Callable[..., Any], Any]]:
    """Policies and their environments, all of them before the first episode:
    what cannot be played is refused at once.
    """
    if not sources:
        return []
    from policies.evaluation.evaluate import load_actor, make_env_for

    environments: dict[str, Any] = {}
    loaded = []
    for source in sources:
        try:
            act, contract, config = load_actor(source.path)
            key = json.dumps([contract.hash, config.get("task")], sort_keys=True, default=list)
            if key not in environments:
                environments[key] = make_env_for(contract, config)
                stack.callback(environments[key].close)
        except PixelarmError as error:
            raise PixelarmError(f"{source.path} cannot be played, leave it out or export it again: {error}") from error
        loaded.append((source, act, environments[key]))
    return loaded


def measures(metric: str) -> tuple[str, ...]:
    """What is compared; the first of them is the one that differences are taken of."""
    return ("success", "at_end") if metric == "success" else (metric,)


def scores(record: Record, measure: str) -> list[float]:
    """One number an episode, in the order of the seeds: success at any step or at the end as 0 or 1, or a return."""
    return [float(outcome[OUTCOME.get(measure, measure)]) for outcome in record["outcomes"]]


# ---------------------------------------------------------------------------------------------------- statistics
def summarise(records: Sequence[Record]) -> dict[str, dict[str, Any]]:
    """Runs of one configuration together, for each measure.

    ``value`` is the mean of all episodes; ``episodes`` its interval as if they were independent (Wilson for success,
    bootstrap for a return); ``over_seeds`` that of the bootstrap over runs, None with one run; ``runs`` the value of
    each run. ``low`` and ``high`` are the interval to draw: over seeds, unless there is one run or all episodes ended
    alike.
    """
    result = {}
    for measure in measures(records[0]["metric"]):
        runs = [scores(record, measure) for record in records]
        everything = [x for run in runs for x in run]
        found: dict[str, Any] = {"value": float(mean(everything)), "n": len(everything)}
        if records[0]["metric"] == "success":
            pooled = rate([bool(x) for x in everything])
            found |= {"successes": pooled.successes, "episodes": (pooled.low, pooled.high)}
        else:
            found["episodes"] = bootstrap_interval(runs)
        over = bootstrap_interval(runs, resample_strata=True) if len(runs) > 1 else None
        low, high = over if over and over[0] < over[1] else found["episodes"]
        result[measure] = found | {
            "over_seeds": over,
            "low": low,
            "high": high,
            "runs": [float(mean(run)) for run in runs],
        }
    return result


def compare_pairs(first: Group, other: Group, records: dict[Path, Record]) -> tuple[dict[str, Any] | None, list[str]]:
    """Two groups of one task, run by run on the same seeds. Runs pair by training seed; one run against one always
    pairs.

    Returns None, and why in words, where nothing can be paired.
    """
    one, two = (played(group, records) for group in (first, other))
    of = {s.seed: s for s in one if s.seed is not None}
    pairs = [(of[s.seed], s) for s in two if s.seed in of]
    if len(one) == len(two) == 1:
        pairs = [(one[0], two[0])]
    if not pairs:
        return None, [f"{first.label} and {other.label} have no training seed in common: not paired"]
    rows, differences, notes = [], [], []
    for a, b in pairs:
        words = scene_differences(a, b, records)
        if words:
            notes.append(f"{a.path} and {b.path} are not paired, their scenes differ: {'; '.join(words)}")
            continue
        metric = records[a.path]["metric"]
        tests = {}
        for measure in measures(metric) if metric == "success" else ():
            only_first, only_second, p = mcnemar(*([bool(x) for x in scores(records[s.path], measure)] for s in (a, b)))
            tests[measure] = {"only_first": only_first, "only_second": only_second, "p": p}
        differences.append([y - x for x, y in zip(*(scores(records[s.path], metric) for s in (a, b)))])
        rows.append({"seeds": [a.seed, b.seed], "difference": float(mean(differences[-1])), "tests": tests})
    if not rows:
        return None, notes
    return {
        "task": first.task, "first": first.label, "second": other.label, "metric": metric,
        "difference": float(mean([x for d in differences for x in d])),
        "interval": bootstrap_interval(differences, resample_strata=True), "pairs": rows,
    }, notes  # fmt: skip


def played(group: Group, records: dict[Path, Record]) -> list[Source]:
    return [source for source in group.sources if source.path in records]


def scene_differences(one: Source, two: Source, records: dict[Path, Record]) -> list[str]:
    """In words, why the same seed does not show two policies the same scene and job; empty when it does."""
    assert one.contract is not None and two.contract is not None  # both were played
    words = [w for w in one.contract.diff(two.contract) if not w.startswith(VIEW)]
    for name in ("actuation_delay_ms", "observation_delay_ms"):
        here, there = (list(s.config.get("task", {}).get(name, getattr(TaskConfig(), name))) for s in (one, two))
        if here != there:
            words.append(f"{name}: {here} here, {there} there")
    metrics = [records[s.path]["metric"] for s in (one, two)]
    if metrics[0] != metrics[1]:
        words.append(f"measured by {metrics[0]} here, by {metrics[1]} there")
    return words


# ---------------------------------------------------------------------------------------------------- the command
def compare(
    paths: Sequence[Path],
    out: Path,
    episodes: int | None = EPISODES,
    show: Callable[[dict[str, Any]], object] = lambda report: None,
    keep: Path | None = None,
) -> dict[str, Any]:
    """Compare what ``paths`` hold and write ``compare.json``, ``compare.md`` and ``compare.png`` into ``out``.

    Args:
        episodes: None plays nothing: the curves alone, without a simulator.
        show: called with the report before it is written, which may fail.
        keep: a folder for the record of each policy that was played (``policies/runs/record.py``).
    """
    sources, notes = find(paths)
    groups, more = make_groups(sources)
    require_folder(out)
    curves, remarks = make_curves(groups)
    notes += more + remarks
    report: dict[str, Any] = {
        "format": FORMAT, "tasks": list(dict.fromkeys(g.task for g in groups)), "test_seeds": None, "results": [],
        "pairs": [], "runs": [], "curves": [c.to_dict() for c in curves], "notes": notes, "git": git_commit(),
        "versions": versions(),
    }  # fmt: skip
    records: dict[Path, Record] = {}
    if episodes is not None:
        from policies.evaluation.evaluate import EVAL_SEED

        seeds = range(EVAL_SEED, EVAL_SEED + episodes)
        records, remarks = play(sources, seeds, out)
        notes += remarks
        report["test_seeds"] = [seeds[0], seeds[-1]]
        for task in report["tasks"]:
            there = [g for g in groups if g.task == task and played(g, records)]
            report["results"] += [_result(g, records) for g in there]
            for other in there[1:]:
                pair, words = compare_pairs(there[0], other, records)
                report["pairs"] += [pair] if pair else []
                notes += words
    report["runs"] = [_run(s, g, records.get(s.path)) for g in groups for s in g.sources]
    if not curves and not records:
        raise PixelarmError("nothing to compare:\n  - " + "\n  - ".join(notes))
    show(report)
    write_results(
        {
            out / "compare.json": lambda: write_json(out / "compare.json", report),
            out / "compare.md": lambda: write_text(out / "compare.md", to_markdown(report)),
            out / "compare.png": lambda: _save_figure(curves, report["results"], out / "compare.png"),
            **({keep: lambda: keep_records(groups, records, keep)} if keep else {}),
        }
    )
    return report


def keep_records(groups: Sequence[Group], records: dict[Path, Record], folder: Path) -> None:
    """One file for each policy that was played here, ``TASK-LABEL-seed1.json``. Records among them stay as they are."""
    for group in groups:
        for source in (s for s in played(group, records) if not s.record):
            log = read_log(source.path, "eval") if source.kind == "run" else []
            fitted = source.config.get("recipe", {}).get("fit_updates")  # by updates, and not by steps
            ended = source.kind == "run" and finished(source.path, log[-1]["step"] if log and not fitted else -1)
            words = re.sub(r"[^a-zA-Z0-9_.=]+", "-", f"{group.task}-{group.label}")
            seed = "" if source.seed is None else f"-seed{source.seed}"
            write_record(folder / f"{words}{seed}.json", make_record(source, records[source.path], log, ended))


def _result(group: Group, records: dict[Path, Record]) -> dict[str, Any]:
    found = [records[s.path] for s in played(group, records)]
    return {
        "task": group.task, "label": group.label, "differs": group.differs, "metric": found[0]["metric"],
        "episodes": len(found[0]["outcomes"]), "seeds": [s.seed for s in played(group, records)],
        "measures": summarise(found),
    }  # fmt: skip


def _run(source: Source, group: Group, record: Record | None) -> dict[str, Any]:
    return {
        "path": str(source.path), "kind": source.kind, "task": group.task, "label": group.label, "seed": source.seed,
        "digest": source.digest, "contract": source.contract.hash if source.contract else None,
        "measures": summarise([record]) if record else None,
    }  # fmt: skip


def _save_figure(curves: Sequence[GroupCurve], results: Sequence[dict[str, Any]], path: Path) -> None:
    import matplotlib.pyplot as plt

    figure = draw(curves, results)
    figure.savefig(path, dpi=140)
    plt.close(figure)


def main(argv: list[str]) -> int:
    """``pixelarm compare``."""
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="pixelarm compare",
        description="Compare runs or bundles: success on the same test seeds with intervals, paired with the first "
        "experiment of "
        "each task, and learning curves over environment steps. Runs that differ only in the seed make one line.",
        epilog="example: pixelarm compare runs/ferm-lift-seed* runs/curl-lift-seed* --out runs/compare",
    )
    parser.add_argument(
        "paths",
        type=Path,
        nargs="+",
        metavar="PATH",
        help="run folders of `pixelarm train`, policy bundles, or records of either",
    )
    parser.add_argument("--episodes", type=int, help=f"test seeds that each policy plays (default {EPISODES})")
    parser.add_argument("--out", type=Path, default=Path("runs/compare"), help="folder to write (default runs/compare)")
    parser.add_argument(
        "--curves-only", action="store_true", help="play nothing: the curves in the logs, without a simulator"
    )
    parser.add_argument(
        "--records",
        type=Path,
        metavar="FOLDER",
        help="keep a record of each policy: a file of some kB with its configuration, its curve and what it did on "
        "each test seed, which later comparisons take in its place",
    )
    parser.add_argument("--json", action="store_true", help="print compare.json instead of the tables")
    args = parser.parse_args(argv)
    if args.curves_only and args.episodes is not None:
        raise PixelarmError("--curves-only plays no episodes: leave --episodes out, or --curves-only")
    if args.curves_only and args.records:
        raise PixelarmError(
            "--curves-only plays no episodes, which a record holds: leave --records out, or --curves-only"
        )
    if args.records:
        require_folder(args.records)
    episodes = EPISODES if args.episodes is None else args.episodes
    if episodes < 1:
        raise PixelarmError(f"--episodes must be at least 1, got {episodes}")

    def show(report: dict[str, Any]) -> None:
        print(json.dumps(report, indent=2) if args.json else to_markdown(report), flush=True)

    compare(args.paths, args.out, None if args.curves_only else episodes, show, args.records)
    if not args.json:
        print(f"wrote {args.out / 'compare.png'}, compare.md and compare.json")
    return 0
