"""The bytes of Feetech's bus, protocol 0 (STS and SMS servos): instructions out, status packets in.

    instruction  FF FF ID LENGTH INSTRUCTION PARAMETERS... CHECKSUM
    status       FF FF ID LENGTH ERROR       PARAMETERS... CHECKSUM

LENGTH is the number of parameters + 2; CHECKSUM is the lowest byte of the inverted sum of all bytes after FF FF. Words
of two bytes are little-endian. A checksum of one byte lets one damaged packet in 256 pass, so whoever uses the values
must also check that they are plausible.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

HEADER = b"\xff\xff"
BROADCAST = 0xFE
MAX_ID = 252
PING, READ, WRITE, SYNC_READ, SYNC_WRITE = 0x01, 0x02, 0x03, 0x82, 0x83
LENGTH_AT, OVERHEAD = 3, 6  # place of LENGTH; bytes of a packet without parameters
MIN_LENGTH, MAX_LENGTH = 2, 250  # of LENGTH


def checksum(body: bytes) -> int:
    """Of the bytes from ID to the last parameter."""
    return ~sum(body) & 0xFF


def packet(id_: int, code: int, parameters: bytes = b"") -> bytes:
    """A whole packet; ``code`` is the instruction of one that goes out, the error byte of one that comes in.

    Raises:
        ValueError: an id, a code or a number of parameters that the protocol cannot carry.
    """
    if not (0 <= id_ <= MAX_ID or id_ == BROADCAST):
        raise ValueError(f"a servo's id must be 0 to {MAX_ID}, or {BROADCAST} for all, got {id_}")
    if not 0 <= code <= 255 or len(parameters) + 2 > MAX_LENGTH:
        raise ValueError(f"code must fit a byte and parameters {MAX_LENGTH - 2} bytes, got {code}, {len(parameters)}")
    body = bytes([id_, len(parameters) + 2, code]) + parameters
    return HEADER + body + bytes([checksum(body)])


def ping(id_: int) -> bytes:
    return packet(id_, PING)


def read(id_: int, address: int, size: int) -> bytes:
    """Ask for ``size`` bytes from register ``address`` on."""
    return packet(id_, READ, bytes([address, size]))


def sync_read(ids: Sequence[int], address: int, size: int) -> bytes:
    """Ask several servos at once; each answers with a status packet of its own, in the order of ``ids``."""
    return packet(BROADCAST, SYNC_READ, bytes([address, size, *ids]))


def sync_write(address: int, data: Mapping[int, bytes]) -> bytes:
    """Write equally many bytes to several servos at once, which nobody answers.

    Raises:
        ValueError: the servos' data differ in length, or there are none.
    """
    sizes = {len(value) for value in data.values()}
    if len(sizes) != 1:
        raise ValueError(f"each servo of a sync write must get equally many bytes, got lengths {sorted(sizes)}")
    rows = b"".join(bytes([id_]) + value for id_, value in data.items())
    return packet(BROADCAST, SYNC_WRITE, bytes([address, sizes.pop()]) + rows)


@dataclass(frozen=True)
class Packet:
    """One packet whose checksum was right."""

    id: int
    code: int  # error bits of a status packet, the instruction of an instruction packet
    parameters: bytes


class Parser:
    """Finds packets in a stream of bytes, and goes on after garbage, damaged and cut packets.

    A packet with a wrong checksum is never returned. The search then goes on one byte after its header, so that a
    whole packet inside of a damaged one is found.

    Args:
        largest: LENGTH of the largest packet that can come; what claims more is garbage, and nobody waits for it.
    """

    def __init__(self, largest: int = MAX_LENGTH) -> None:
        self._pending, self._largest = bytearray(), largest
        self.garbage = 0  # bytes that belonged to no packet
        self.corrupt = 0  # candidates whose checksum was wrong

    def feed(self, data: bytes) -> list[Packet]:
        """Packets that these bytes complete, in order; what is incomplete waits for the next bytes."""
        self._pending += data
        found = []
        while (one := self._next()) is not None:
            found.append(one)
        return found

    def reset(self) -> int:
        """Forget an incomplete packet; returns how many bytes it had."""
        left = len(self._pending)
        self.garbage += left
        self._pending.clear()
        return left

    def _next(self) -> Packet | None:
        pending = self._pending
        while True:
            start = pending.find(HEADER)
            if start < 0:
                self._drop(len(pending) - pending.endswith(HEADER[:1]))
                return None
            self._drop(start)
            if len(pending) <= LENGTH_AT:
                return None
            length = pending[LENGTH_AT]
            if pending[2] > BROADCAST or not MIN_LENGTH <= length <= self._largest:
                self._drop(1)  # FF FF FF: the header begins one byte later; or no packet at all
                continue
            end = LENGTH_AT + 1 + length
            if len(pending) < end:
                return None
            body = bytes(pending[2 : end - 1])
            if checksum(body) != pending[end - 1]:
                self.corrupt += 1
                self._drop(1)
                continue
            del pending[:end]
            return Packet(body[0], body[2], body[3:])

    def _drop(self, count: int) -> None:
        self.garbage += count
        del self._pending[:count]
