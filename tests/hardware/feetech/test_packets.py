"""Packets against bytes worked out by hand, and a parser that invents nothing whatever comes."""

from __future__ import annotations

import random

import pytest

from hardware.feetech import packets
from hardware.feetech.packets import Packet, Parser


def test_instructions_are_these_bytes() -> None:
    # 1 + 2 + 1 = 4, inverted fb
    assert packets.ping(1) == bytes.fromhex("ff ff 01 02 01 fb")
    # 1 + 4 + 2 + 56 + 2 = 65, inverted 190
    assert packets.read(1, 56, 2) == bytes.fromhex("ff ff 01 04 02 38 02 be")
    # 254 + 6 + 130 + 56 + 2 + 1 + 2 = 451, lowest byte 195, inverted 60
    assert packets.sync_read([1, 2], 56, 2) == bytes.fromhex("ff ff fe 06 82 38 02 01 02 3c")
    # 254 + 10 + 131 + 42 + 2 + 1 + 0 + 8 + 2 + 232 + 3 = 685, lowest byte 173, inverted 82
    written = packets.sync_write(42, {1: bytes.fromhex("0008"), 2: bytes.fromhex("e803")})
    assert written == bytes.fromhex("ff ff fe 0a 83 2a 02 01 00 08 02 e8 03 52")


def test_bus_time_of_six_positions() -> None:
    """Question 14 bytes, six answers of 8; six goals 26 bytes: 0.62 and 0.26 ms at 10 us a byte."""
    assert len(packets.sync_read(range(1, 7), 56, 2)) == 14
    assert len(packets.packet(1, 0, bytes(2))) == 8
    assert len(packets.sync_write(42, {id_: bytes(2) for id_ in range(1, 7)})) == 26


@pytest.mark.parametrize(("id_", "code", "size"), [(253, 1, 0), (255, 1, 0), (-1, 1, 0), (1, 256, 0), (1, 1, 249)])
def test_what_the_protocol_cannot_carry_is_refused(id_: int, code: int, size: int) -> None:
    with pytest.raises(ValueError, match="must"):
        packets.packet(id_, code, bytes(size))


def test_a_sync_write_has_one_length() -> None:
    with pytest.raises(ValueError, match="equally many"):
        packets.sync_write(42, {1: b"ab", 2: b"a"})


# ------------------------------------------------------------------------------------------------------------ parsing
ANSWER = bytes.fromhex("ff ff 01 04 00 20 08 d2")  # 1 + 4 + 0 + 32 + 8 = 45, inverted 210
FOUND = Packet(1, 0, bytes.fromhex("2008"))


def test_an_answer_is_read() -> None:
    assert Parser().feed(ANSWER) == [FOUND]


def test_an_answer_may_come_byte_by_byte() -> None:
    parser = Parser()
    assert [parser.feed(bytes([byte])) for byte in ANSWER] == [[]] * 7 + [[FOUND]]


@pytest.mark.parametrize(
    ("before", "garbage", "corrupt"),
    [
        ("00 13 07", 3, 0),
        ("ff", 1, 0),  # ff ff ff: the header begins one byte later
        ("ff ff 01", 3, 0),  # a packet that was cut: ff is no length of one
        ("ff ff 01 04 00 21 08 d2", 8, 1),  # a bit flipped
        ("ff ff 01 01", 4, 0),  # a length that none has
    ],
)
def test_the_parser_finds_its_way_back(before: str, garbage: int, corrupt: int) -> None:
    parser = Parser()
    assert parser.feed(bytes.fromhex(before) + ANSWER) == [FOUND]
    assert (parser.garbage, parser.corrupt) == (garbage, corrupt)


def test_a_packet_inside_of_a_damaged_one_is_found() -> None:
    """The damaged length of 12 swallows the next packet at first."""
    parser = Parser()
    assert parser.feed(bytes.fromhex("ff ff 02 0c 00 20 08 d1") + ANSWER) == [FOUND]
    assert parser.corrupt == 1


def test_nobody_waits_for_more_than_can_come() -> None:
    """A length of 100 is possible, but not where answers have two parameters."""
    claimed = bytes.fromhex("ff ff 02 64 00")
    assert Parser().feed(claimed + ANSWER) == []
    assert Parser(4).feed(claimed + ANSWER) == [FOUND]


def test_an_incomplete_packet_is_forgotten_on_reset() -> None:
    parser = Parser()
    parser.feed(ANSWER[:5])
    assert parser.reset() == 5
    assert parser.feed(ANSWER) == [FOUND]


def noise(dice: random.Random) -> bytes:
    """Bytes that look like packets often: headers, short lengths, whole and damaged packets."""
    data = bytearray()
    for _ in range(dice.randrange(1, 6)):
        whole = packets.packet(dice.randrange(8), dice.randrange(64), dice.randbytes(dice.randrange(6)))
        kind = dice.randrange(4)
        if kind == 0:
            data += whole
        elif kind == 1:
            data += whole[: dice.randrange(len(whole))]
        elif kind == 2:
            at = dice.randrange(len(whole))
            data += whole[:at] + dice.randbytes(1) + whole[at + 1 :]
        else:
            data += bytes(dice.choice((0xFF, 0xFF, 0xFE, 1, 2, 3, 4, dice.randrange(256))) for _ in range(8))
    return bytes(data)


def test_ten_thousand_noisy_streams_bring_no_invented_packet() -> None:
    """Each packet that is found stands in the stream with its right checksum, after the one before."""
    dice, found = random.Random(1), 0
    for _ in range(10_000):
        stream, parser = noise(dice), Parser()
        cut = dice.randrange(len(stream) + 1)
        at = whole_bytes = 0
        for packet in parser.feed(stream[:cut]) + parser.feed(stream[cut:]):
            whole = packets.packet(packet.id, packet.code, packet.parameters)
            place = stream.find(whole, at)
            assert place >= at, (stream.hex(" "), packet)
            at, found, whole_bytes = place + len(whole), found + 1, whole_bytes + len(whole)
        parser.reset()
        assert parser.garbage + whole_bytes == len(stream), "each byte is of a packet or garbage"
    assert found > 5_000


def test_whole_packets_between_garbage_are_all_found() -> None:
    dice = random.Random(2)
    for _ in range(1_000):
        sent = [Packet(dice.randrange(250), dice.randrange(256), dice.randbytes(dice.randrange(9))) for _ in range(4)]
        stream = b"".join(
            bytes(dice.randrange(255) for _ in range(dice.randrange(5))) + packets.packet(p.id, p.code, p.parameters)
            for p in sent
        )
        assert Parser().feed(stream) == sent
