"""``pixelarm reuse``: what a FIST policy looks up and does again, on one page."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from policies.diagnose.command import require_own
from policies.diagnose.findings import Finding, judge, table
from policies.evaluation.evaluate import EVAL_SEED
from policies.reuse import page
from policies.reuse.examine import Examined, examine
from policies.reuse.rules import RULES
from policies.reuse.subject import Subject, subject_of
from policies.runs.provenance import made_with
from robot.errors import PixelarmError
from robot.files import require_folder, write_json, write_results, write_text
from sim.kitchen.protocol import LIMITS

FORMAT = "pixelarm-reuse/1"
RESULT, PAGE = "reuse.json", "index.html"


def main(argv: list[str]) -> int:
    """``pixelarm reuse``."""
    args = _parser().parse_args(argv)
    for option, low in (("episodes", 1), ("seed_start", 0), ("steps", 1)):
        if getattr(args, option) < low:
            raise PixelarmError(f"--{option.replace('_', '-')} must be at least {low}, got {getattr(args, option)}")
    subject = subject_of(args.run, args.demos, args.data)
    env = subject.make_env()
    out = args.out or args.run / "reuse"
    require_own(out, RESULT, "such a report")
    require_folder(out)
    found = examine(subject, env, range(args.seed_start, args.seed_start + args.episodes), args.steps)
    env.close()
    findings = judge(found.numbers, RULES)
    for rows in (page.episode_rows(found), page.subtask_rows(found)):
        print(text_table(rows) + "\n")
    print(table(findings))
    for note in found.notes:
        print(f"note: {note}")
    written = {
        out / RESULT: lambda: write_json(out / RESULT, result(subject, found, findings)),
        out / PAGE: lambda: write_text(out / PAGE, page.write(subject, found, findings)),
    }
    write_results(written)
    print(f"wrote {out / PAGE}")
    return 0


def result(subject: Subject, found: Examined, findings: list[Finding]) -> dict[str, object]:
    """What ``reuse.json`` holds."""
    return {
        "format": FORMAT,
        "run": str(subject.folder),
        "task": subject.policy.contract.task,
        "experiment": subject.cfg.experiment,
        "seed": subject.cfg.seed,
        **made_with(),
        "findings": [{**vars(finding), "sentence": finding.sentence} for finding in findings],
        **found.to_dict(),
    }


def text_table(rows: Sequence[Mapping[str, str]]) -> str:
    """Rows of ``{heading: cell}`` for a terminal: the first column to the left, the others to the right."""
    headings = list(rows[0])
    lines = [headings, *([row[heading] for heading in headings] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(headings))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width) for i, (cell, width) in enumerate(zip(line, widths))
        )
        for line in lines
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="pixelarm reuse",
        description="Show what a FIST policy reuses. Plays test scenes of its task, and writes one page: at each "
        "control step which moment of which demonstration was looked up, jumps between them and back, when each "
        "subtask was completed, pictures of the scene above the looked-up states, and the skills in a plane. Each "
        "number comes with its healthy range, and with advice where it is outside. The run itself is not changed.",
        epilog="example: pixelarm reuse runs/kettle --episodes 3",
    )
    parser.add_argument("run", type=Path, help="run folder of a FIST policy: of `pixelarm adapt` or `pixelarm train`")
    parser.add_argument("--episodes", type=int, default=3, help="how many scenes to play (default 3)")
    parser.add_argument(
        "--seed-start", type=int, default=EVAL_SEED, help=f"first scene (default {EVAL_SEED}, the test scenes)"
    )
    parser.add_argument(
        "--steps",
        type=int,
        default=LIMITS[-1],
        help=f"control steps after which an episode ends in which subtasks are left (default {LIMITS[-1]})",
    )
    parser.add_argument(
        "--demos", type=Path, metavar="FOLDER", help="the demonstrations that it looks up (default: where the run says)"
    )
    parser.add_argument(
        "--data",
        type=Path,
        metavar="FOLDER",
        help="what its skills were learned from, without target demonstrations (default: where the skills say)",
    )
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="where to write index.html and reuse.json (default RUN/reuse)"
    )
    return parser
