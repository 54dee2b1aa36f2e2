"""Reads a log, while it grows and after."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from cupel.errors import InfraError
from cupel.log import append, index

BATCH = 1000
"""Lines that a follower reads at once."""

MOST = 100_000
"""Lines that `lines` gives at most."""

BATCH_BYTES = 4 << 20
"""Bytes of text after which `lines` gives fewer lines than were asked for."""

GLIMPSE = 0.25
"""Seconds of silence after which a follower is shown a line that has not ended yet."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line, or a piece of one, without its end.

    `continues`: it goes on where the last `Line` of the same step, stream and part stopped.
    `ended`: it is complete. Bytes that are not UTF-8 are replaced; escapes are as printed.
    """

    number: int
    at: float
    step: int
    stream: str
    text: str
    continues: bool = False
    ended: bool = True
    part: int = 0
    """Which of the build's machines it came from, by its place among `Build.parts`."""


class LogReader:
    """The log of one build; empty when nothing was printed yet."""

    def __init__(self, directory: Path, live: Callable[[], append.LogWriter | None]) -> None:
        self._text = directory / "log"
        self._index = directory / "index"
        self._live = live

    @property
    def size(self) -> int:
        """Bytes of text."""
        try:
            return self._text.stat().st_size
        except FileNotFoundError:
            return 0

    @property
    def line_count(self) -> int:
        return index.consistent(self._index, self.size)

    def read(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes of the text as printed, from `offset` on."""
        try:
            with self._text.open("rb") as file:
                file.seek(offset)
                return file.read(length)
        except FileNotFoundError:
            return b""

    def lines(self, first: int, count: int) -> list[Line]:
        """Up to `count` lines from number `first` (of 0) on.

        There are fewer at the end of the log, or when that is more than `MOST` or holds more than
        `BATCH_BYTES`; one at least, if there is one.
        """
        count = min(count, MOST, self.line_count - first)
        if first < 0 or count <= 0:
            return []
        records = index.read(self._index, first, count)
        start = records[0].offset
        fitting = [r for r in records if r.end - start <= BATCH_BYTES] or records[:1]
        text = self.read(start, fitting[-1].end - start)
        return [
            _line(first + number, record, text[record.offset - start : record.end - start])
            for number, record in enumerate(fitting)
        ]

    def span(self, first: int, last: int | None) -> tuple[int, int]:
        """Where the text of lines `first` to `last` begins and ends; None is the last one."""
        last = self.line_count - 1 if last is None else last
        return index.end_of(self._index, first), index.end_of(self._index, last + 1)

    def at(self, time: float) -> int:
        """The number of the first line that is not older than a time; of the last one if all are.

        Times hardly ever go back in a log: lines of several streams may be in each other's way.
        """
        low, high = 0, max(self.line_count - 1, 0)
        micros = int(time * 1_000_000)
        while low < high:
            middle = (low + high) // 2
            if index.read(self._index, middle, 1)[0].micros < micros:
                low = middle + 1
            else:
                high = middle
        return low

    async def follow(self, start: int = 0) -> AsyncIterator[Line]:
        """The lines from number `start` on, those to come too; ends when nobody writes the log."""
        changed = asyncio.Event()
        writer = self._live()
        if writer is not None:
            writer.waiters.add(changed)
        try:
            while True:
                over = writer is None or writer.closed
                changed.clear()
                batch = self.lines(start, BATCH)
                for line in batch:
                    yield line
                start += len(batch)
                if batch:
                    await asyncio.sleep(0)  # a long log must not keep others from running
                elif over or writer is None:
                    return
                else:
                    await _news(changed, writer)
        finally:
            if writer is not None:
                writer.waiters.discard(changed)


async def _news(changed: asyncio.Event, writer: append.LogWriter) -> None:
    """Wait for more to read, and show the beginning of a line if its end does not come."""
    try:
        async with asyncio.timeout(GLIMPSE if writer.waiting else None):
            await changed.wait()
    except TimeoutError:
        if not writer.closed:
            with contextlib.suppress(InfraError):  # the disk is full: its writer will be told
                writer.flush()


def _line(number: int, record: index.Record, data: bytes) -> Line:
    ended = bool(record.flags & index.ENDED)
    return Line(
        number=number,
        at=record.micros / 1_000_000,
        step=record.step,
        stream=record.stream,
        text=(data[:-1] if ended else data).decode(errors="replace"),
        continues=bool(record.flags & index.CONTINUES),
        ended=ended,
        part=record.part,
    )
