"""``pixelarm faults``: a policy on a simulated arm, and everything that can go wrong, one after another."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hardware.commands.fault_run import Course, Outcome, run
from hardware.commands.so101_run import REHEARSED
from hardware.faults import subject
from hardware.faults.bus_matrix import bus_matrix
from hardware.faults.matrix import Fault, matrix
from hardware.faults.processes import ended_by_sigterm
from robot.errors import PixelarmError, UnknownName
from robot.files import write_text
from robot.ros import runtime

TIMEOUT_MS = 20.0


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
    add("--arm", default="sim_panda", help=f"profile of a simulated arm (default: %(default)s); with {REHEARSED} what "
        "fails is the SO-101's own bus, in one process, without ROS")  # fmt: skip
    add("--task", help="scene (default: the bundle's task)")
    add("--only", nargs="+", metavar="FAULT", default=[], help="names, or their beginnings, such as camera")
    add("--out", type=Path, metavar="DIR", help="write faults.md and faults.json there")
    add("--timeout-ms", type=float, metavar="MS", help=f"with {REHEARSED}: how long its driver waits for an answer "
        f"(default: {TIMEOUT_MS:g})")  # fmt: skip
    add("--list", action="store_true", help="say what would be tried, and end")
    return made


def main(argv: list[str]) -> int:
    args = parser().parse_args(argv)
    arm, contract = subject.load(args.bundle, args.arm)
    bus = arm.name == REHEARSED
    if bus and args.task not in (None, contract.task):
        raise PixelarmError(f"--task: the rehearsal of {REHEARSED} plays the bundle's own scene, {contract.task}")
    if args.timeout_ms is not None and not (bus and 1.0 <= args.timeout_ms <= 1000.0):
        raise PixelarmError(f"--timeout-ms is of --arm {REHEARSED} alone, and lies in [1, 1000]")
    timeout_s = 1e-3 * (args.timeout_ms or TIMEOUT_MS)
    wanted = _wanted(bus_matrix(arm, contract, timeout_s) if bus else matrix(arm, contract), args.only)
    if args.list:
        for fault in wanted:
            print(f"{fault.name:18} {fault.words}")
        return 0
    if not bus:
        runtime.require_rclpy()
        runtime.settle_discovery()
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
    table = Table(args, contract.task, len(wanted))
    with ended_by_sigterm():
        if bus:
            from hardware.faults.bus_scene import BusScene

            _rows(lambda: BusScene(args.bundle, arm, timeout_s), wanted, table)
        else:
            _over_ros(args, contract.task, wanted, table)
    if args.out:
        print(f"table in {args.out / 'faults.md'}")
    wrong = [str(row["fault"]) for row in table.rows if not row["safe"]]
    missed = f"; not: {', '.join(wrong)}" if wrong else ""
    print(f"{len(table.rows) - len(wrong)} of {len(table.rows)} faults ended in a safe state in time{missed}")
    return 1 if wrong else 0


def _wanted(faults: list[Fault], only: Sequence[str]) -> list[Fault]:
    """Those whose names begin with one of ``only``; without any, all."""
    names = [fault.name for fault in faults]
    for name in only:
        if not any(known.startswith(name) for known in names):
            raise UnknownName("fault", name, names)
    return [fault for fault in faults if not only or fault.name.startswith(tuple(only))]


class Table:
    """The rows so far, written anew after each: whatever ends the command later, they are there."""

    def __init__(self, args: argparse.Namespace, task: str, planned: int) -> None:
        self.rows: list[dict[str, Any]] = []
        self._args, self._task, self._planned = args, task, planned

    def add(self, row: dict[str, Any]) -> None:
        self.rows.append(row)
        out, arm = self._args.out, self._args.arm
        if out:
            found = {"arm": arm, "task": self._task, "planned": self._planned, "rows": self.rows}
            write_text(out / "faults.json", json.dumps(found, indent=1) + "\n")
            write_text(out / "faults.md", page(arm, self._args.bundle, self.rows, self._planned))


def _over_ros(args: argparse.Namespace, task: str, wanted: Sequence[Fault], table: Table) -> None:
    import rclpy
    from rclpy.signals import SignalHandlerOptions

    from hardware.ros.fault_scene import FaultScene

    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    try:
        _rows(lambda: FaultScene(args.bundle, args.arm, args.task or task), wanted, table)
    finally:
        rclpy.try_shutdown()


def _rows(make: Callable[[], Course], wanted: Sequence[Fault], table: Table) -> None:
    from tqdm import tqdm

    with tqdm(total=len(wanted), desc="faults", unit="fault") as bar:

        def done(outcome: Outcome) -> None:
            table.add(outcome.row())
            bar.write(line(table.rows[-1]))
            bar.update()

        run(make, wanted, done)


def _ms(value: object) -> str:
    return "-" if value is None else str(value)


def line(row: dict[str, object]) -> str:
    if not row["recovery"]:
        return f"{row['fault']!s:18} {row['verdict']}"
    return (
        f"{row['fault']!s:18} {row['verdict']}: {row['rule'] or '-'} after {_ms(row['after_ms'])} ms, at rest after "
        f"{_ms(row['rest_ms'])} ms, {row['peak_m_s']} m/s, {row['travel_mm']} mm; {row['recovery']}"
    )


def page(arm: str, path: Path, rows: Sequence[dict[str, object]], planned: int) -> str:
    """The table as Markdown, of ``planned`` rows in the end."""
    head = ["fault", "what is done", "rule", "after, ms (at most)", "at rest, ms", "peak, m/s", "travel, mm", "goes on",
            "verdict"]  # fmt: skip
    lines = [f"# Faults on {arm}", "", f"Bundle {path}, {platform.machine()}. `pixelarm faults {path} --arm {arm}`", "",
             "| " + " | ".join(head) + " |", "|" + "---|" * len(head)]  # fmt: skip
    for row in rows:
        within = f" ({row['within_ms']})" if row["within_ms"] else ""
        ran = bool(row["recovery"])
        measured = [row["rule"] or "none needed", f"{_ms(row['after_ms'])}{within}", _ms(row["rest_ms"]),
                    row["peak_m_s"], row["travel_mm"], row["recovery"]] if ran else ["-"] * 6  # fmt: skip
        cells = [row["fault"], row["what"], *measured, row["verdict"]]
        lines.append("| " + " | ".join(" ".join(str(cell).replace("|", "/").split()) for cell in cells) + " |")
    if len(rows) < planned:
        lines += ["", f"{len(rows)} of {planned} rows: not finished."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
