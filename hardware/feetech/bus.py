"""Questions and answers on the servos' bus: time-outs, repeats that are counted, and who is silent.

Only one side speaks at a time. A question is repeated for those servos alone whose answer is missing. What is written
is not confirmed by the servos (a sync write); ``Bus.write_surely`` reads back what matters.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hardware.feetech import packets
from hardware.feetech.errors import Garbled, PowerLost, ServoLost
from hardware.feetech.packets import OVERHEAD, Packet, Parser
from hardware.feetech.port import Port
from hardware.feetech.servos import Register
from robot.control.timing import Samples

BYTE_S = 1e-5  # 10 bits at 1 Mbaud
DELAY_S = 5.1e-4  # the longest return delay that a servo can be told: 255 * 2 us
LATEST = 2.0  # an answer comes after so many time-outs at the latest, or is mistaken for a later one
TWIN_S = 0.005  # after an answer to a ping: until a second servo with that id would have answered too
QUIET_S, SETTLE_S = 0.003, 0.05  # after a failure: until nobody has spoken for so long, at most so long
RETRIES = 2  # of a question


def question_s(timeout_s: float, servos: int) -> float:
    """After how many seconds at most a question to all servos has failed: each try, then two pings of each servo."""
    return LATEST * timeout_s + (1 + RETRIES) * (timeout_s + servos * DELAY_S + SETTLE_S) + 2 * servos * timeout_s


@dataclass
class BusStats:
    """What the bus did since it was opened."""

    questions: int = 0  # that want answers
    repeated: int = 0
    failed: int = 0  # without a whole answer after all repeats
    corrupt: int = 0  # packets with a wrong checksum
    garbage: int = 0  # bytes that belonged to no packet
    read_ms: Samples = field(default_factory=Samples)  # from the question to its whole answer, repeats included
    write_ms: Samples = field(default_factory=Samples)  # of handing a sync write to the system

    def to_dict(self) -> dict[str, Any]:
        counts = {name: getattr(self, name) for name in ("questions", "repeated", "failed", "corrupt", "garbage")}
        return {**counts, "read_ms": self.read_ms.summary(), "write_ms": self.write_ms.summary()}


class Bus:
    """The bus behind one port.

    Args:
        names: id -> what the servo moves, of every servo that must be there; for messages, and to find out which
            servos are silent when a question fails.
        timeout_s: how long to wait for an answer beyond the time that its bytes take: adapter and system.
        retries: how often a question is repeated.
    """

    def __init__(self, port: Port, names: Mapping[int, str], timeout_s: float = 0.02, retries: int = RETRIES) -> None:
        self.port, self.names, self.timeout_s, self.retries = port, dict(names), timeout_s, retries
        self.stats = BusStats()
        self._stale_until = -1.0  # late answers to a repeated question may come until then (time.monotonic)

    def name(self, id_: int) -> str:
        """A servo as messages name it: ``servo 3 (elbow_flex)``."""
        return f"servo {id_} ({self.names[id_]})" if id_ in self.names else f"servo {id_}"

    # ------------------------------------------------------------------------------------------------------ questions
    def read(self, id_: int, address: int, size: int) -> Packet:
        """``size`` bytes of one servo from register ``address`` on; errors as of ``sync_read``."""
        return self._ask(packets.read(id_, address, size), [id_], size)[id_]

    def sync_read(self, ids: Sequence[int], address: int, size: int) -> dict[int, Packet]:
        """The same registers of several servos, whose error bits are left to the caller.

        Raises:
            PowerLost: no servo of ``names`` answers.
            ServoLost: some do not.
            Garbled: all answer a ping, and yet this question got no whole answer.
            Unplugged: the port went away.
        """
        return self._ask(None, list(ids), size, address)

    def values(self, ids: Sequence[int], register: Register) -> dict[int, int]:
        """One register of several servos, in counts."""
        answers = self.sync_read(ids, register.address, register.size)
        return {id_: register.decode(answer.parameters) for id_, answer in answers.items()}

    def _ask(self, request: bytes | None, ids: list[int], size: int, address: int = 0) -> dict[int, Packet]:
        """Repeat until each of ``ids`` has answered; without a ``request`` a sync read of those that have not."""
        self.stats.questions += 1
        self._drain()
        start, found = time.perf_counter(), dict[int, Packet]()
        for attempt in range(1 + self.retries):
            left = [id_ for id_ in ids if id_ not in found]
            self.stats.repeated += attempt > 0
            if attempt:
                self._stale_until = time.monotonic() + LATEST * self.timeout_s
            found |= self._attempt(request or packets.sync_read(left, address, size), left, size)
            if len(found) == len(ids):
                self.stats.read_ms.add((time.perf_counter() - start) * 1e3)
                return {id_: found[id_] for id_ in ids}
            self._settle()
        self.stats.failed += 1
        raise self._why([id_ for id_ in ids if id_ not in found])

    def _attempt(self, request: bytes, ids: list[int], size: int) -> dict[int, Packet]:
        """What came in time from ``ids``; an answer of another length belongs to another question."""
        found: dict[int, Packet] = {}
        parser = Parser(size + 2)
        self.port.discard()
        self.port.write(request)
        sent = len(request) + len(ids) * (OVERHEAD + size)
        until = time.monotonic() + self.timeout_s + sent * BYTE_S + len(ids) * DELAY_S
        while len(found) < len(ids):
            data = self.port.read(until)
            if not data:
                break
            for answer in parser.feed(data):
                if answer.id in ids and len(answer.parameters) == size:
                    found[answer.id] = answer
        parser.reset()
        self.stats.corrupt += parser.corrupt
        self.stats.garbage += parser.garbage
        return found

    def _settle(self) -> None:
        """After a time-out, let what is arriving arrive."""
        end = time.monotonic() + SETTLE_S
        while time.monotonic() < end and self.port.read(time.monotonic() + QUIET_S):
            pass

    def _drain(self) -> None:
        """Before another question, throw away what may still come in answer to one that was repeated: answers carry no
        number, and a late one would be taken for an answer to this question."""
        while time.monotonic() < self._stale_until:
            self.port.read(self._stale_until)

    # --------------------------------------------------------------------------------------------------------- silence
    def listen(self, id_: int) -> tuple[int, int]:
        """Ping a servo and go on listening for a while after its answer: how many whole answers of that id came, and
        how many damaged ones. Two whole answers are two servos with one id."""
        parser, whole = Parser(2), 0
        self.port.discard()
        self.port.write(packets.ping(id_))
        until = time.monotonic() + self.timeout_s + 2 * OVERHEAD * BYTE_S + DELAY_S
        while data := self.port.read(until):
            whole += sum(answer.id == id_ and not answer.parameters for answer in parser.feed(data))
            until = min(until, time.monotonic() + TWIN_S) if whole else until
        parser.reset()
        return whole, parser.corrupt + (parser.garbage > 0)

    def listen_twice(self, id_: int) -> tuple[int, int]:
        """``listen``, again if nothing or two answers came: either may be by chance, and so may a late answer to the
        first ping beside the one to the second."""
        first = self.listen(id_)
        if first[0] == 1:
            return first
        whole, damaged = self.listen(id_)
        return whole if first[0] else min(whole, 1), damaged

    def _why(self, missing: list[int]) -> Exception:
        silent = tuple(id_ for id_ in (self.names or missing) if not any(self.listen_twice(id_)))
        if silent:
            return self.silence(silent)
        return Garbled(
            f"{', '.join(map(self.name, missing))} answered a ping, but gave no whole answer to {1 + self.retries} "
            "questions: a loose plug, a cable beside a motor's, or another program on the bus. Check the cables; the "
            "arm holds its last goal"
        )

    def silence(self, silent: tuple[int, ...]) -> Exception:
        """The error that says which servos do not answer."""
        if len(silent) == len(self.names):
            return PowerLost(
                f"none of the {len(silent)} servos on {self.port.path} answers: their power supply is off, or the "
                "cable from the adapter to the first servo is loose. Without power the arm is limp: support it, "
                "restore the power, then start again; the servos come back without torque",
                silent,
            )
        last = max(self.names)
        chain = silent == tuple(range(silent[0], last + 1)) and silent[0] > min(self.names)
        where = f"the cable between servo {silent[0] - 1} and servo {silent[0]}" if chain else "their cables"
        return ServoLost(
            f"expected {len(self.names)} servos, and no answer came from {', '.join(map(self.name, silent))}. The "
            f"others hold their last goal. Support the arm, then check {where} and the ids",
            silent,
        )

    # ---------------------------------------------------------------------------------------------------------- writes
    def sync_write(self, register: Register, counts: Mapping[int, int]) -> None:
        """Write a register of several servos at once. Nobody answers.

        Raises:
            Unplugged: the port went away.
            ValueError: the register cannot hold a value.
        """
        start = time.perf_counter()
        self.port.write(packets.sync_write(register.address, {id_: register.encode(v) for id_, v in counts.items()}))
        self.stats.write_ms.add((time.perf_counter() - start) * 1e3)

    def write_surely(self, register: Register, counts: Mapping[int, int]) -> None:
        """As ``sync_write``, read back, and repeated for the servos that do not hold it yet.

        Raises:
            Garbled: a servo does not take the value.
            As ``sync_read``.
        """
        left = dict(counts)
        for _ in range(1 + self.retries):
            self.sync_write(register, left)
            held = self.values(list(left), register)
            left = {id_: value for id_, value in left.items() if held[id_] != value}
            if not left:
                return
        raise Garbled(
            f"{', '.join(map(self.name, left))} must take what is written to register {register.address}, and did not "
            f"in {1 + self.retries} tries: check the cables, and whether another program uses the bus"
        )

    def close(self) -> None:
        self.port.close()
