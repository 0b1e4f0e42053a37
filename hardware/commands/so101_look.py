"""``pixelarm so101 check`` and ``read``: look at an arm, and write nothing to it."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import asdict
from typing import Any

import numpy as np
from tqdm import tqdm

from hardware.feetech import inspection, servos
from hardware.feetech.arm import Arm, JointState
from hardware.feetech.bus import BYTE_S, Bus
from hardware.feetech.calibration import Calibration
from hardware.feetech.errors import ServoFault
from hardware.feetech.inspection import Report
from hardware.feetech.port import Port
from hardware.feetech.settings import GRIPPER, JOINTS, Settings
from robot.files import require_file, write_json

WRITE_BYTES = 26  # of a sync write of six goals
MARGIN, LEAST_MARGIN_MS = 0.2, 1.0  # as of `pixelarm latency`


def check(args: argparse.Namespace) -> int:
    """Print a table of the servos, compare the calibration, measure the bus; exit code 0 if an arm could move."""
    if args.json:
        require_file(args.json)
    settings = Settings.load(args.settings)
    file = Calibration.load(args.calibration, settings) if args.calibration else None
    bus = Bus(Port(args.port), settings.names, args.timeout_ms / 1e3)
    try:
        reports = inspection.look(bus, settings)
        print(table(reports))
        found = {
            "servos": {name: asdict(report) for name, report in reports.items()},
            **_time(bus, settings, args.reads),
        }
        if args.json:
            write_json(args.json, found)
        for line in [*_bus_words(found), *inspection.advice(reports)]:
            print(line)
        known = inspection.memory_of(reports, settings)
        inspection.require_fit(reports, settings)
        if file:
            file.require_same(known)
            print(f"{file.source} is what the servos hold")
        _ = (file or known).range_rad  # refuses a range that the model does not have
        print("the arm is fit to be moved" + ("" if file else "; give --calibration to compare its file as well"))
    finally:
        bus.close()
    return 0


def table(reports: dict[str, Report]) -> str:
    """One line a servo."""
    lines = [
        f"{'joint':<14}{'id':>3}{'model':>7}{'firmware':>10}{'torque':>8}{'V':>6}{'°C':>4}{'ticks':>7}{'range':>12}"
        f"{'offset':>8}  faults"
    ]
    for name, one in reports.items():
        bits = one.error | one.state.status
        span = f"{one.range_min}..{one.range_max}"
        lines.append(
            f"{name:<14}{one.id:>3}{one.model:>7}{one.firmware:>10}{'on' if one.torque else 'off':>8}"
            f"{one.state.voltage:>6.1f}{one.state.temperature:>4.0f}{one.state.ticks:>7}{span:>12}"
            f"{one.homing_offset:>8}  {servos.error_words(bits) or 'none'}"
        )
    return "\n".join(lines)


def _time(bus: Bus, settings: Settings, reads: int) -> dict[str, Any]:
    """Read everything that the driver reads in a tick, ``reads`` times as fast as it goes."""
    bus.stats = type(bus.stats)()
    for _ in tqdm(range(reads), desc="bus", unit="read", leave=False):
        bus.sync_read(list(settings.names), servos.STATE_START, servos.STATE_SIZE)
    times = bus.stats.to_dict()
    return {"bus": times, "highest_hz": highest_rate(bus.stats.read_ms.percentile(99))}


def highest_rate(read_p99_ms: float) -> float:
    """Hz at which one read and one write fit, with a margin of a fifth of the read, at least 1 ms."""
    write_ms = WRITE_BYTES * BYTE_S * 1e3
    return round(1e3 / (read_p99_ms + write_ms + max(MARGIN * read_p99_ms, LEAST_MARGIN_MS)), 1)


def _bus_words(found: dict[str, Any]) -> list[str]:
    times, counts = found["bus"]["read_ms"], found["bus"]
    return [
        f"bus: {times['n']} reads of all six servos took p50 {times['p50']}, p99 {times['p99']}, max {times['max']} "
        f"ms; {counts['repeated']} repeated, {counts['corrupt']} damaged packets, {counts['garbage']} stray bytes",
        f"highest rate: {found['highest_hz']:g} Hz = 1000 / (p99 + write {WRITE_BYTES * BYTE_S * 1e3:.2f} ms + "
        f"margin), margin = max({MARGIN:g} * p99, {LEAST_MARGIN_MS:g} ms)",
    ]


def read(args: argparse.Namespace) -> int:
    """Print the arm's state again and again: in place on a terminal, one line each second elsewhere."""
    settings = Settings.load(args.settings)
    in_place = sys.stdout.isatty()
    with Arm.connect(args.port, args.calibration, settings, timeout_s=args.timeout_ms / 1e3) as arm:
        end, due, said = time.monotonic() + args.seconds, time.monotonic(), -np.inf
        first = True
        while first or time.monotonic() < end:
            fault = _read(arm)
            state = arm.state
            assert state is not None  # connect has read
            if in_place:
                up = "" if first else f"\x1b[{len(JOINTS) + 3}A"
                print(up + "\n".join(f"{line}\x1b[K" for line in [*rows(state), fault[:100]]), flush=True)
            elif time.monotonic() - said >= 1.0:
                print(one_line(state) + (f"; {fault}" if fault else ""), flush=True)
                said = time.monotonic()
            first = False
            due += 1.0 / args.rate
            time.sleep(max(0.0, due - time.monotonic()))
    return 0


def _read(arm: Arm) -> str:
    """Read; a fault of a servo in words, since looking may go on."""
    try:
        arm.read()
    except ServoFault as error:
        return str(error)
    return ""


def rows(state: JointState) -> list[str]:
    """The state as a table: a head, five joints, the gripper."""
    lines = [f"{'joint':<14}{'position':>14}{'rad/s':>8}{'load':>7}{'A':>7}{'°C':>5}{'V':>6}"]
    for number, name in enumerate((*JOINTS, GRIPPER)):
        if name == GRIPPER:
            place = f"{100 * state.gripper:>10.1f} % {'':>8}"
        else:
            place = f"{state.position[number]:>+10.3f} rad{state.velocity[number]:>+8.2f}"
        lines.append(
            f"{name:<14}{place:<22}{state.load[number]:>+7.2f}{state.current[number]:>+7.2f}"
            f"{state.temperature[number]:>5.0f}{state.voltage[number]:>6.1f}"
        )
    return lines


def one_line(state: JointState) -> str:
    joints = " ".join(f"{name} {value:+.3f}" for name, value in zip(JOINTS, state.position))
    return f"{joints} rad; gripper {100 * state.gripper:.0f} %; at most {state.temperature.max():.0f} °C"
