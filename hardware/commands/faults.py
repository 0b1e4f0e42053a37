"""``pixelarm faults``: a policy on a simulated arm, and everything that can go wrong, one after another."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

from hardware.faults import subject
from robot.errors import UnknownName
from robot.files import write_text
from robot.ros import runtime


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="pixelarm faults",
        description="Run a policy bundle on a simulated arm through the arbiter, break one thing after another in the "
        "middle of a motion, and write a table: which rule answered after how long, how fast and how far the arm went "
        "after the fault, and what it took to go on. It ends with 1 if one fault was not answered in time.",
        epilog="example: pixelarm faults runs/demo/bundle --arm sim_ur5e_forward --out runs/faults",
    )
    add = made.add_argument
    add("bundle", type=Path, help="policy bundle, as written by `pixelarm export`")
    add("--arm", default="sim_panda", help="profile of a simulated arm (default: %(default)s)")
    add("--task", help="scene (default: the bundle's task)")
    add("--only", nargs="+", metavar="FAULT", default=[], help="names, or their beginnings, such as camera")
    add("--out", type=Path, metavar="DIR", help="write faults.md and faults.json there")
    add("--list", action="store_true", help="say what would be tried, and end")
    return made


def main(argv: list[str]) -> int:
    args = parser().parse_args(argv)
    arm, contract = subject.load(args.bundle, args.arm)
    runtime.require_rclpy()
    runtime.settle_discovery()
    import rclpy

    from hardware.commands.fault_run import Outcome, run
    from hardware.faults.matrix import matrix
    from hardware.ros.fault_scene import FaultScene

    wanted = matrix(arm, contract)
    if args.only:
        names = [fault.name for fault in wanted]
        for name in args.only:
            if not any(known.startswith(name) for known in names):
                raise UnknownName("fault", name, names)
        wanted = [fault for fault in wanted if fault.name.startswith(tuple(args.only))]
    if args.list:
        for fault in wanted:
            print(f"{fault.name:18} {fault.words}")
        return 0
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
    from tqdm import tqdm

    rclpy.init()
    scene = FaultScene(args.bundle, args.arm, args.task or contract.task)
    bar = tqdm(total=len(wanted), desc="faults", unit="fault")

    def done(outcome: Outcome) -> None:
        bar.write(line(outcome.row()))
        bar.update()

    try:
        outcomes = run(scene, wanted, done)
    finally:
        bar.close()
        scene.close()
        rclpy.try_shutdown()
    rows = [outcome.row() for outcome in outcomes]
    if args.out:
        write_text(
            args.out / "faults.json", json.dumps({"arm": args.arm, "task": contract.task, "rows": rows}, indent=1)
        )
        write_text(args.out / "faults.md", page(args.arm, args.bundle, rows))
        print(f"table in {args.out / 'faults.md'}")
    late = [str(row["fault"]) for row in rows if not row["safe"]]
    missed = f"; not: {', '.join(late)}" if late else ""
    print(f"{len(rows) - len(late)} of {len(rows)} faults ended in a safe state in time{missed}")
    return 1 if late else 0


def _ms(value: object) -> str:
    return "-" if value is None else str(value)


def line(row: dict[str, object]) -> str:
    mark = "ok  " if row["safe"] else "LATE"
    return (
        f"{mark} {row['fault']!s:18} {row['rule'] or '-'!s:18} after {_ms(row['after_ms']):>5} ms, at rest after "
        f"{_ms(row['rest_ms']):>5} ms, {row['peak_m_s']} m/s, {row['travel_mm']} mm; {row['recovery']}"
    )


def page(arm: str, path: Path, rows: Sequence[dict[str, object]]) -> str:
    """The table as Markdown."""
    head = ["fault", "what is done", "rule", "after, ms (at most)", "at rest, ms", "peak, m/s", "travel, mm", "goes on"]
    lines = [f"# Faults on {arm}", "", f"Bundle {path}, {platform.machine()}. `pixelarm faults {path} --arm {arm}`", "",
             "| " + " | ".join(head) + " |", "|" + "---|" * len(head)]  # fmt: skip
    for row in rows:
        within = f" ({row['within_ms']})" if row["within_ms"] else ""
        cells = [row["fault"], row["what"], row["rule"] or "none needed", f"{_ms(row['after_ms'])}{within}",
                 _ms(row["rest_ms"]), row["peak_m_s"], row["travel_mm"], row["recovery"]]  # fmt: skip
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
