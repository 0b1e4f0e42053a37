"""``pixelarm diagnose``: where a run's policy fails, what its critics think, what it sees, what its log says."""

from __future__ import annotations

import argparse
from pathlib import Path

from policies.diagnose import findings, page
from policies.diagnose.examine import Examined, examine
from policies.diagnose.subject import Subject, subject_of
from policies.runs.provenance import made_with
from robot.errors import PixelarmError
from robot.files import require_folder, write_json, write_text

FORMAT = "pixelarm-diagnosis/1"
RESULT, PAGE = "diagnosis.json", "index.html"


def main(argv: list[str]) -> int:
    """``pixelarm diagnose``."""
    args = _parser().parse_args(argv)
    if args.episodes < 1:
        raise PixelarmError(f"--episodes must be at least 1, got {args.episodes}")
    subject = subject_of(args.run)
    out = args.out or args.run / "diagnosis"
    require_own(out)
    require_folder(out)
    examined = examine(subject, args.episodes)
    found = findings.judge(examined.numbers)
    print(findings.table(found))
    for note in examined.notes:
        print(f"note: {note}")
    write_json(out / RESULT, result(subject, examined, found))
    write_text(out / PAGE, page.write(subject, examined, found))
    print(f"wrote {out / PAGE}")
    return 0


def require_own(out: Path, result: str = RESULT, what: str = "a diagnosis") -> None:
    """Refuse a place that holds anything but an earlier one of what is to be written, told by its file ``result``.

    Raises:
        PixelarmError: it does; or it is a file.
    """
    if out.exists() and not out.is_dir():
        raise PixelarmError(f"{out} is a file, and a folder is to be written there: choose another place with --out")
    if not out.exists() or (out / result).exists() or not any(out.iterdir()):
        return
    raise PixelarmError(f"{out} holds something else than {what} (it has no {result}): choose another place with --out")


def result(subject: Subject, examined: Examined, found: list[findings.Finding]) -> dict[str, object]:
    """What ``diagnosis.json`` holds."""
    return {
        "format": FORMAT,
        "run": str(subject.folder),
        "task": subject.contract.task,
        "experiment": subject.cfg.experiment,
        "seed": subject.cfg.seed,
        **made_with(),
        "findings": [{**vars(finding), "sentence": finding.sentence} for finding in found],
        **examined.to_dict(),
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="pixelarm diagnose",
        description="Say why a training run does not learn. Plays its policy on the test seeds and sorts the failures "
        "by the simulator's true state; compares what the critics of the run's snapshots promise with what came; reads "
        "positions from the frozen encoder; reads the log. Each number comes with its healthy range, and with advice "
        "where it is outside. The run itself is not changed.",
        epilog="example: pixelarm diagnose runs/ferm-lift-seed1",
    )
    parser.add_argument("run", type=Path, help="run folder of `pixelarm train`, ended or still going on")
    parser.add_argument(
        "--episodes",
        type=int,
        default=50,
        help="how many test episodes to sort (default 50); of these, the first 20 for each snapshot's values",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="where to write index.html and diagnosis.json (default RUN/diagnosis)",
    )
    return parser
