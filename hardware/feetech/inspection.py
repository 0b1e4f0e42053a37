"""A look at the servos before anything moves: who is there, what they are, and how they are. Reads only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hardware.feetech import servos
from hardware.feetech.bus import Bus
from hardware.feetech.calibration import Calibration, JointCalibration
from hardware.feetech.errors import DuplicateId, Garbled, ServoFault, Silent, WrongServo
from hardware.feetech.packets import Packet
from hardware.feetech.port import Port
from hardware.feetech.servos import ServoState
from hardware.feetech.settings import Settings

RANGE_MARGIN = 60  # ticks, 5 degrees: how far outside of its calibrated range a joint may stand


@dataclass(frozen=True)
class Report:
    """What one servo says of itself."""

    name: str
    id: int
    model: int
    firmware: str  # major.minor
    mode: int  # 0 is position control
    return_delay_us: int
    min_voltage: float  # V, below which the servo reports a fault
    max_voltage: float  # V
    homing_offset: int  # ticks
    range_min: int  # ticks
    range_max: int  # ticks
    torque: bool
    state: ServoState
    error: int  # bits of servos.ERRORS in its answers


def connect(
    port: str, calibration: Path | None, settings: Settings, timeout_s: float
) -> tuple[Bus, Calibration, dict[str, Report]]:
    """An open bus whose servos fit and are well, what turns their ticks into joints, and what they say.

    Args:
        calibration: LeRobot's file, which must say what the servos' memory says; None: trust the memory.

    Raises:
        As ``Port``, ``look``, ``Calibration.load``, ``Calibration.require_same`` and ``require_fit``.
    """
    bus = Bus(Port(port), settings.names, timeout_s)
    try:
        reports = look(bus, settings)
        known = memory_of(reports, settings)
        if calibration is not None:
            file = Calibration.load(calibration, settings)
            file.require_same(known)
            known = file
        _ = known.range_rad  # refuses a range that the model does not have
        require_fit(reports, settings)
        return bus, known, reports
    except BaseException:
        bus.close()
        raise


def look(bus: Bus, settings: Settings) -> dict[str, Report]:
    """Ask every servo for its memory and its state.

    Raises:
        PowerLost, ServoLost: no servo, or not every servo, answers.
        DuplicateId: two servos answer to one id.
        Garbled: a servo's answers arrive damaged.
    """
    heard = {id_: bus.listen_twice(id_) for id_ in settings.names}
    silent = [id_ for id_, answers in heard.items() if not any(answers)]
    doubles = [id_ for id_, (whole, _) in heard.items() if whole > 1]
    blocks: dict[int, tuple[Packet, Packet]] = {}
    for id_ in settings.names:
        if id_ not in (*silent, *doubles):
            try:
                blocks[id_] = _read(bus, id_)
            except (Garbled, Silent) as error:  # somebody is silent: this one, or another while this one's were damaged
                (silent if isinstance(error, Silent) and id_ in error.ids else doubles).append(id_)
    if doubles:
        raise DuplicateId(
            f"expected one servo for each id from {min(heard)} to {max(heard)}; {', '.join(map(bus.name, doubles))} "
            f"answers as two servos with one id would{_and_silent(bus, silent)}. Connect one servo at a time and give "
            "each its own id (LeRobot's setup-motors does it); if each has its own, check plugs and cables"
        )
    if silent:
        raise bus.silence(tuple(silent))
    return {name: _report(name, id_, *blocks[id_]) for name, id_ in settings.ids.items()}


def _read(bus: Bus, id_: int) -> tuple[Packet, Packet]:
    """A servo's EEPROM, and its registers from the torque switch to the current. They differ between any two servos, so
    that the answers of two with one id damage each other, though their answers to a ping may look like one."""
    start = servos.TORQUE_ENABLE.address
    return bus.read(id_, 0, servos.MEMORY_SIZE), bus.read(id_, start, servos.STATE_START + servos.STATE_SIZE - start)


def _and_silent(bus: Bus, silent: list[int]) -> str:
    return f", and no answer came from {', '.join(map(bus.name, silent))}" if silent else ""


def _report(name: str, id_: int, kept: Packet, volatile: Packet) -> Report:
    memory, start = kept.parameters, servos.TORQUE_ENABLE.address

    def counts(register: servos.Register) -> int:
        return register.within(memory, 0)

    firmware = counts(servos.FIRMWARE)
    return Report(
        name=name,
        id=id_,
        model=counts(servos.MODEL_NUMBER),
        firmware=f"{firmware & 255}.{firmware >> 8}",
        mode=counts(servos.MODE),
        return_delay_us=2 * counts(servos.RETURN_DELAY),
        min_voltage=counts(servos.MIN_VOLTAGE) * servos.MIN_VOLTAGE.unit,
        max_voltage=counts(servos.MAX_VOLTAGE) * servos.MAX_VOLTAGE.unit,
        homing_offset=counts(servos.HOMING_OFFSET),
        range_min=counts(servos.MIN_POSITION),
        range_max=counts(servos.MAX_POSITION),
        torque=servos.TORQUE_ENABLE.within(volatile.parameters, start) == 1,
        state=ServoState.from_block(volatile.parameters[servos.STATE_START - start :]),
        error=volatile.code,
    )


def memory_of(reports: Mapping[str, Report], settings: Settings) -> Calibration:
    """The calibration that the servos hold; a drive_mode, which only files have, is 0."""
    entries = {
        name: JointCalibration(r.id, 0, r.homing_offset, r.range_min, r.range_max) for name, r in reports.items()
    }
    return Calibration(entries, settings)


def require_fit(reports: Mapping[str, Report], settings: Settings) -> None:
    """Refuse what no motion may begin with.

    Raises:
        WrongServo: another model, firmware that differs, another mode, a supply voltage out of range.
        ServoFault: a servo reports a fault or is too hot, or a joint stands outside of its calibrated range.
    """
    for report in reports.values():
        _require_kind(report)
    versions = {report.firmware for report in reports.values()}
    if len(versions) > 1:
        which = ", ".join(f"{r.name} {r.firmware}" for r in reports.values())
        raise WrongServo(
            f"all servos must have one firmware, got {which}: bring them to one version with Feetech's software before "
            "you trust their limits"
        )
    for report in reports.values():
        _require_well(report, settings.limits.max_temperature_c)


def _require_kind(report: Report) -> None:
    where = f"servo {report.id} ({report.name})"
    if report.model != servos.MODEL:
        raise WrongServo(f"{where} must be an STS3215 (model {servos.MODEL}), got model {report.model}: exchange it")
    if report.mode != 0:
        raise WrongServo(
            f"{where} must be in mode 0 (position), got mode {report.mode}: write 0 to register 33, with torque off"
        )
    voltage = report.state.voltage
    if not report.min_voltage <= voltage <= report.max_voltage:
        raise WrongServo(
            f"{where} must be supplied with {report.min_voltage:.1f} to {report.max_voltage:.1f} V, got {voltage:.1f} "
            "V: check that the power supply is the one for these servos, and its plug"
        )


def _require_well(report: Report, hottest: float) -> None:
    where, state = f"servo {report.id} ({report.name})", report.state
    bits = report.error | state.status
    if bits:
        raise ServoFault(
            f"{where} must be without fault before anything moves, and reports: {servos.error_words(bits)}; "
            f"{servos.error_advice(bits)}"
        )
    if state.temperature > hottest:
        raise ServoFault(f"{where} must be below {hottest:.0f} °C, got {state.temperature:.0f} °C: let it cool")
    if not report.range_min - RANGE_MARGIN <= state.ticks <= report.range_max + RANGE_MARGIN:
        raise ServoFault(
            f"{where} must stand in its calibrated range of {report.range_min} to {report.range_max} ticks, got "
            f"{state.ticks}: move it there by hand with the power off; if it stands right, calibrate the arm again"
        )


def advice(reports: Mapping[str, Report]) -> list[str]:
    """What would make the arm better, without being wrong."""
    slow = [r for r in reports.values() if r.return_delay_us > 100]
    if not slow:
        return []
    total = sum(r.return_delay_us for r in reports.values()) / 1e3
    return [
        f"{len(slow)} servos wait {slow[0].return_delay_us} us before they answer (register 7), {total:.1f} ms for one "
        "read of all: LeRobot's configuration sets it to 0"
    ]
