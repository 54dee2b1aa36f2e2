"""Goes through a whole log, many lines at once: what searches it and what makes its outline.

`python -m cupel.log.sweep` does it in a process of its own, which can be killed: nothing else
interrupts a regular expression that tries for ever.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import re
import resource
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from cupel.log import index, query, screen
from cupel.log.query import Query

MOST = 4 * 4096
"""Lines of a chunk."""

MOST_BYTES = 256 << 10
"""Bytes of text of a chunk, unless one line has more: as much as a processor's cache holds."""

BLOCK = 4096
"""Lines that a result speaks of together."""

GATHER = 0.05
"""Seconds of results that are said together, unless they become too many."""

_TOO_MANY = 32
"""Blocks of them."""

NICE = 5
"""Who looks at a log waits rather than what lands."""

_OFFSET = struct.Struct("<Q")
_LENGTH = struct.Struct("<I")
_LENGTH_AT = 16
_STEP_AT = 20
_STREAM_AT = 22
_FLAGS_AT = 23
_CONTROLS = bytes(each for each in (*range(32), 127) if each not in b"\t\n")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_C1 = re.compile("[\x80-\x9f]")
_STYLE = re.compile(rb"[0-9;:]*m").match


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Lines from number `first` on: their records as they are in the index, and their text."""

    first: int
    records: bytes
    text: bytes

    @property
    def count(self) -> int:
        return len(self.records) // index.SIZE

    @property
    def streams(self) -> bytes:
        """For each line its byte of stream and part; see `index.pack`."""
        return self.records[_STREAM_AT :: index.SIZE]

    def steps(self) -> Iterator[tuple[int, int]]:
        """Where lines of another step than before begin, the first one included: line and step."""
        low, high = (self.records[at :: index.SIZE] for at in (_STEP_AT, _STEP_AT + 1))
        if low.count(low[:1]) == high.count(high[:1]) == self.count:
            yield self.first, low[0] | high[0] << 8
            return
        before = None
        for number, step in enumerate(zip(low, high, strict=True), self.first):
            if step != before:
                yield number, step[0] | step[1] << 8
                before = step

    def shown(self) -> str:
        """What a terminal would show of the lines; none of them has an end of its own."""
        flags = self.records[_FLAGS_AT :: index.SIZE]
        whole = flags.count(index.ENDED) + flags.count(index.ENDED | index.CONTINUES)
        if whole < self.count:
            return "\n".join(map(screen.text, self._pieces()))
        text = self.text.removesuffix(b"\n")
        bare = _without_styles(text)
        shown = bare.decode(errors="replace")
        if _is_plain(bare) and (bare.isascii() or not _C1.search(shown)):
            return shown
        return _played(text.decode(errors="replace"), shown)

    def _pieces(self) -> Iterator[str]:
        start = _OFFSET.unpack_from(self.records)[0]
        for record in index.unpack(self.records):
            data = self.text[record.offset - start : record.end - start]
            yield data.removesuffix(b"\n").decode(errors="replace")


def _is_plain(text: bytes) -> bool:
    # (To look for each of them is several times quicker than for any, as hardly any is there.)
    return not any(map(text.__contains__, _CONTROLS))


def _without_styles(text: bytes) -> bytes:
    """Without colours and weights, and without returns at the ends of lines."""
    if b"\x1b" not in text and b"\r" not in text:
        return text
    if b"\r" in text:
        text = text.replace(b"\r\n", b"\n").removesuffix(b"\r")
    first, *rest = text.split(b"\x1b[")
    # (Several times quicker than to substitute, as most of the text is no escape sequence.)
    return first + b"".join(
        piece[found.end() :] if (found := _STYLE(piece)) else b"\x1b[" + piece for piece in rest
    )


def _played(text: str, quick: str) -> str:
    """Most lines are well without their styles; those that have more to them are played."""
    return "\n".join(
        screen.text(line) if _CONTROL.search(bare) else bare
        for line, bare in zip(text.split("\n"), quick.split("\n"), strict=True)
    )


def chunks(directory: Path, first: int = 0, end: int | None = None) -> Iterator[Chunk]:
    """The log from line number `first` up to `end`, by default to the last one that is there."""
    total = index.consistent(directory / "index", _size(directory / "log"))
    end = total if end is None else min(end, total)
    if first >= end:
        return
    with (directory / "index").open("rb") as records, (directory / "log").open("rb") as text:
        while first < end:
            records.seek(first * index.SIZE)
            packed = records.read(min(MOST, end - first) * index.SIZE)
            start = _OFFSET.unpack_from(packed)[0]
            packed = packed[: _fitting(packed, start) * index.SIZE]
            text.seek(start)
            chunk = Chunk(first=first, records=packed, text=text.read(_end(packed) - start))
            yield chunk
            first += chunk.count


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _end(packed: bytes) -> int:
    at = len(packed) - index.SIZE
    end: int = _OFFSET.unpack_from(packed, at)[0] + _LENGTH.unpack_from(packed, at + _LENGTH_AT)[0]
    return end


def _fitting(packed: bytes, start: int) -> int:
    """How many of the records have at most `MOST_BYTES` of text; at least one."""
    low, high = 1, len(packed) // index.SIZE
    while low < high:
        middle = (low + high + 1) // 2
        if _end(packed[: middle * index.SIZE]) - start <= MOST_BYTES:
            low = middle
        else:
            high = middle - 1
    return low


# Searching.


def matches(directory: Path, wanted: Query, first: int = 0) -> Iterator[tuple[Chunk, list[int]]]:
    """Chunk by chunk the numbers of the lines, of the whole log, that fit."""
    find = query.finder(wanted)
    streams = _streams(wanted)
    textual = bool(wanted.text or wanted.severity)
    for chunk in chunks(directory, first):
        found = find(chunk.shown() if textual else "", chunk.count)
        if streams is not None:
            of = chunk.streams
            found = (number for number in found if of[number] in streams)
        yield chunk, [chunk.first + number for number in found]


def _streams(wanted: Query) -> frozenset[int] | None:
    """The bytes of the index that stand for the streams and the machine that are asked for."""
    if not wanted.stream and wanted.part is None:
        return None
    kinds = len(index.STREAMS)
    return frozenset(
        byte
        for byte in range(256)
        if wanted.stream in ("", index.STREAMS[byte % kinds])
        and wanted.part in (None, byte // kinds)
    )


class Tally:
    """What of a search is found so far, in messages that say what is new.

    A message has `scanned` (lines that were looked at), `count` and `blocks`: pairs of a block's
    number and its lines that fit, as numbers in the block, or where they are many as a bitmap of it
    in base64, least bit first.
    """

    def __init__(self) -> None:
        self.count = 0
        self._blocks: dict[int, bytearray] = {}

    def add(self, numbers: list[int]) -> None:
        """Take more lines, the numbers of which are beyond those that were taken."""
        self.count += len(numbers)
        for number in numbers:
            bits = self._blocks.get(number // BLOCK)
            if bits is None:
                bits = self._blocks[number // BLOCK] = bytearray(BLOCK // 8)
            bits[number % BLOCK // 8] |= 1 << number % 8

    @property
    def waiting(self) -> int:
        """How many blocks the next message will have."""
        return len(self._blocks)

    def message(self, scanned: int, *, done: bool) -> str:
        """What is new since the last one; a block that is not full is said again when it grows."""
        blocks = [[number, _said(bits)] for number, bits in self._blocks.items()]
        current = scanned // BLOCK
        self._blocks = {at: bits for at, bits in self._blocks.items() if at == current}
        return json.dumps(
            {"scanned": scanned, "count": self.count, "blocks": blocks, "done": done},
            separators=(",", ":"),
        )


def _said(bits: bytearray) -> str | list[int]:
    if int.from_bytes(bits, "little").bit_count() > BLOCK // 32:
        return base64.b64encode(bits).decode()
    filled = ((at, byte) for at, byte in enumerate(bits) if byte)
    return [at * 8 + bit for at, byte in filled for bit in range(8) if byte >> bit & 1]


def unsaid(block: int, said: str | list[int]) -> list[int]:
    """The numbers of lines that a message gives for a block."""
    if isinstance(said, str):
        bits = int.from_bytes(base64.b64decode(said), "little")
        said = [at for at in range(BLOCK) if bits >> at & 1]
    return [block * BLOCK + at for at in said]


def search(directory: Path, wanted: Query, first: int) -> None:
    """Print messages of what fits, from line number `first` on."""
    tally, scanned, said = Tally(), first, time.monotonic() - GATHER
    for chunk, numbers in matches(directory, wanted, first):
        tally.add(numbers)
        scanned = chunk.first + chunk.count
        now = time.monotonic()
        if now >= said + GATHER or tally.waiting >= _TOO_MANY:
            print(tally.message(scanned, done=False), flush=True)
            said = now
    print(tally.message(scanned, done=True), flush=True)


def main(arguments: list[str]) -> None:
    """Search as the one argument says; what `cupel.log.find` starts."""
    asked = json.loads(arguments[0])
    os.nice(NICE)
    resource.setrlimit(resource.RLIMIT_CPU, (asked["seconds"], asked["seconds"]))
    search(Path(asked["directory"]), Query(**asked["query"]), asked["first"])


if __name__ == "__main__":
    main(sys.argv[1:])
