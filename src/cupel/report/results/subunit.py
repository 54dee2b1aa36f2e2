"""subunit, version 2: binary packets, each with a checksum, with anything between them.

The format is that of testrepository's README and of python-subunit's `v2.py`.
"""

from __future__ import annotations

import dataclasses
import struct
import zlib
from collections.abc import Iterator

from cupel.core.results import LONGEST_NAME, Outcome, Result
from cupel.report.results import source as sources
from cupel.report.results.source import Clip, Malformed, Source

SIGNATURE = 0xB3
LARGEST = 1 << 22
"""Bytes of a packet: its length has three bytes at most, of which two bits say how many."""

MOST_OPEN = 10_000
"""Tests that may be under way at once; the oldest are forgotten then."""

_ROUTE, _TIMESTAMP, _ID, _TAGS, _MIME, _FILE = 0x400, 0x200, 0x800, 0x80, 0x20, 0x40
_FINAL = {
    3: Outcome.PASSED,
    4: Outcome.FAILED,
    5: Outcome.SKIPPED,
    6: Outcome.FAILED,
    7: Outcome.SKIPPED,
}
_IN_PROGRESS, _UNEXPECTED, _SKIPPED, _EXPECTED = 2, 4, 5, 7


@dataclasses.dataclass(slots=True)
class Packet:
    """What a packet says; `time` in seconds, `name` and `content` of an attachment."""

    status: int
    test: str | None
    time: float | None
    name: str
    content: bytes


@dataclasses.dataclass(slots=True)
class _Open:
    began: float | None
    text: Clip
    reason: str = ""


def read(source: Source) -> Iterator[Result]:
    """The results of a file, as they come. Raises `Malformed` for a broken packet."""
    running: dict[str, _Open] = {}
    for packet in _packets(source):
        if packet.test is None:
            continue
        test = running.get(packet.test)
        if test is None:
            if len(running) >= MOST_OPEN:
                del running[next(iter(running))]
            test = running[packet.test] = _Open(packet.time, sources.clip(len(running)))
        _attach(test, packet)
        if packet.status in _FINAL:
            del running[packet.test]
            yield _result(packet, test)
    if not source.is_cut:
        for name, test in running.items():
            yield dataclasses.replace(
                _named(name),
                outcome=Outcome.ERROR,
                message="it began and did not end",
                text=test.text.text,
            )


def _attach(test: _Open, packet: Packet) -> None:
    if not packet.content:
        return
    text = sources.text_of(packet.content)
    if packet.name == "reason":
        test.reason = (test.reason + text)[:2000]
    else:
        if test.text:
            test.text.add("\n")
        test.text.add(text)


def _result(packet: Packet, test: _Open) -> Result:
    outcome = _FINAL[packet.status]
    assert packet.test is not None
    began, ended = test.began, packet.time
    took = ended - began if ended is not None and began is not None else None
    message = test.reason
    if packet.status == _UNEXPECTED:
        message = "it passed, which was not expected"
    elif packet.status == _EXPECTED:
        message = f"expected to fail: {test.reason}"
    elif outcome is Outcome.FAILED and not message:
        lines = [line for line in test.text.text.splitlines() if line.strip()]
        message = lines[-1] if lines else ""
    return dataclasses.replace(
        _named(packet.test),
        outcome=outcome,
        seconds=sources.bounded_seconds(took),
        message=message,
        text=test.text.text if outcome is Outcome.FAILED else "",
    )


def _named(test: str) -> Result:
    """`module.Class.test` is what nearly everything that writes subunit calls a test."""
    head, bracket, rest = test.partition("(")
    suite, _, name = head.rpartition(".")
    return Result(suite=suite, name=f"{name}{bracket}{rest}", outcome=Outcome.PASSED)


def _packets(source: Source) -> Iterator[Packet]:
    """The packets of a stream; what is between them is passed over."""
    held = b""
    for piece in source.pieces():
        held += piece
        at = 0
        while True:
            at = held.find(SIGNATURE, at)
            if at < 0:
                held, at = b"", 0
                break
            size = _size(held, at)
            if size is None or at + size > len(held):
                break
            yield _packet(held[at : at + size])
            at += size
        held = held[at:]
    if held and not source.is_cut:
        raise Malformed("it ends in the middle of a packet")


def _size(data: bytes, at: int) -> int | None:
    """How long the packet there is; None while too little of it is known."""
    if len(data) - at < 6:
        return None
    if data[at + 1] >> 4 != 2:
        raise Malformed("a packet is not of version 2 of subunit")
    size, _ = _number(data, at + 3)
    if not 8 <= size <= LARGEST:
        raise Malformed("a packet has an impossible length")
    return size


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A number of 1 to 4 bytes, whose first two bits say how many; and where it ends."""
    if at >= len(data):
        raise Malformed("a packet is shorter than it says")
    size = (data[at] >> 6) + 1
    if at + size > len(data):
        raise Malformed("a packet is shorter than it says")
    value = int.from_bytes(data[at : at + size], "big")
    return value & ((1 << (8 * size - 2)) - 1), at + size


def _bytes(data: bytes, at: int) -> tuple[bytes, int]:
    size, at = _number(data, at)
    if at + size > len(data):
        raise Malformed("a packet is shorter than it says")
    return data[at : at + size], at + size


def _packet(data: bytes) -> Packet:
    """A whole packet. Raises `Malformed` if its checksum is wrong."""
    (expected,) = struct.unpack(">I", data[-4:])
    data = data[:-4]
    if zlib.crc32(data) != expected:
        raise Malformed("the checksum of a packet is wrong")
    (flags,) = struct.unpack(">H", data[1:3])
    _, at = _number(data, 3)
    packet = Packet(flags & 7, None, None, "", b"")
    if flags & _TIMESTAMP:
        if at + 4 > len(data):
            raise Malformed("a packet is shorter than it says")
        (whole,) = struct.unpack(">I", data[at : at + 4])
        nanoseconds, at = _number(data, at + 4)
        packet.time = whole + nanoseconds / 1e9
    if flags & _ID:
        name, at = _bytes(data, at)
        packet.test = sources.text_of(name[: 4 * LONGEST_NAME])
    if flags & _TAGS:
        count, at = _number(data, at)
        for _ in range(count):
            _, at = _bytes(data, at)
    if flags & _MIME:
        _, at = _bytes(data, at)
    if flags & _FILE:
        name, at = _bytes(data, at)
        packet.name = sources.text_of(name[:LONGEST_NAME])
        packet.content, at = _bytes(data, at)
    return packet
