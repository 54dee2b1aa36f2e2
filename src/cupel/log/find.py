"""Finds lines in a log, in processes of their own: they are killed when nobody waits for them."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

from cupel import process
from cupel.errors import InfraError, UserError
from cupel.log import sweep
from cupel.log.query import Query

SECONDS = 60
"""How long it may take: a regular expression may try for ever."""

AT_ONCE = 2
"""Logs that are looked through at the same time; others wait."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Of the lines up to number `end`, `count` fit; `numbers` are the first of them."""

    end: int
    count: int
    numbers: tuple[int, ...]


class Finder:
    """Looks through logs, not too many at once."""

    def __init__(self, seconds: int = SECONDS) -> None:
        self._seconds = seconds
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def messages(
        self, directory: Path, wanted: Query, first: int
    ) -> AsyncGenerator[bytes, None]:
        """Lines of JSON with what fits, from line number `first` on, as they come.

        They are what `sweep.Tally` says. Raises `UserError` for what cannot be looked for, or takes
        too long. Close it to end the search.
        """
        wanted.check()
        asked = {
            "directory": str(directory),
            "query": dataclasses.asdict(wanted),
            "first": first,
            "seconds": self._seconds,
        }
        argv = [sys.executable, "-m", sweep.__name__, json.dumps(asked)]
        line = b""
        async with self._turns:
            lines = process.lines(argv, _nothing(), timeout=self._seconds)
            try:
                async with aclosing(lines):
                    async for line in lines:
                        yield line
            except InfraError:
                raise _slow(self._seconds) from None
        if not line.endswith(b'"done":true}\n'):
            raise _slow(self._seconds)  # the kernel counts what it takes of the processor, too

    async def find(self, directory: Path, wanted: Query, first: int, limit: int) -> Found:
        """How many lines fit, and the numbers of the first ones."""
        numbers: dict[int, list[int]] = {}
        last: dict[str, Any] = {}
        async with aclosing(self.messages(directory, wanted, first)) as messages:
            async for message in messages:
                last = json.loads(message)
                for block, said in last["blocks"]:
                    if len(numbers) <= limit or block in numbers:
                        numbers[block] = sweep.unsaid(block, said)
        some = [number for block in sorted(numbers) for number in numbers[block]]
        return Found(end=last["scanned"], count=last["count"], numbers=tuple(some[:limit]))


async def _nothing() -> AsyncIterator[bytes]:
    """Its stdin: it is told all that it needs to know by its argument."""
    for piece in tuple[bytes]():
        yield piece


def _slow(seconds: int) -> UserError:
    return UserError(
        f"looking through the log was ended because it took longer than {seconds} s",
        hint="look for something simpler, such as plain text",
    )
