"""Searches the logs of all builds, in a process of its own for each question."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from pathlib import Path

from cupel import process
from cupel.errors import InfraError
from cupel.log import scan
from cupel.log.pattern import Pattern

AT_ONCE = 2
"""Questions that are answered at a time; others wait for their turn."""

GRACE = 0.5
"""Seconds after its time in which an answer is still waited for: an expression may take for ever,
and then nothing but the end of its process stops it."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A line that fits, in three parts: before, in and after what fits. `number` is from 0."""

    number: int
    text: tuple[str, str, str]
    before: str | None
    after: str | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A log that `lines` fit in; `hits` are the first of them."""

    build: int
    lines: int
    hits: tuple[Hit, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """How far a search has got: `searched` logs, `skipped` of them by their signatures, have
    `lines` lines in `logs` logs. `last` is the oldest one looked at, `last_shown` of those found.
    Once `done` the numbers are all there is, otherwise at least that."""

    searched: int = 0
    skipped: int = 0
    logs: int = 0
    lines: int = 0
    last: int | None = None
    last_shown: int | None = None
    done: bool = False
    over: bool = False
    """This is the last word."""
    stuck: bool = False
    """It was stopped within a log, which the expression would have taken too long for."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Which builds, both exclusive; and how much of an answer: up to `hits` lines of each of
    `logs` logs, within `seconds`."""

    before: int | None = None
    after: int | None = None
    logs: int = 20
    hits: int = 3
    seconds: float = 2.5


class LogSearch:
    """Answers questions about the logs below a directory. Use it from one event loop."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def search(
        self,
        pattern: Pattern,
        bounds: Bounds,
        builds: AsyncIterator[Sequence[int]] | None = None,
    ) -> AsyncGenerator[Found | Reached, None]:
        """Each log that fits, newest first, and now and then, and at the end, how far it has got.

        `builds` are those that it is about, newest first; otherwise all that have a log. Close the
        iterator to stop.
        """
        argv = [sys.executable, "-I", "-m", "cupel.log.scan"]
        question = self._question(pattern, bounds, told=builds is not None)
        reached = Reached()
        async with self._turns:
            answer = process.lines(argv, _asked(question, builds), timeout=bounds.seconds + GRACE)
            async with aclosing(answer):
                with contextlib.suppress(InfraError):
                    async for line in answer:
                        said = _parsed(line)
                        if isinstance(said, Reached):
                            reached = said
                        yield said
        if not reached.over:
            yield dataclasses.replace(reached, over=True, stuck=True)

    def _question(self, pattern: Pattern, bounds: Bounds, *, told: bool) -> scan.Question:
        return scan.Question(
            root=str(self._root),
            text=pattern.text,
            regex=pattern.regex,
            case=pattern.case,
            seconds=bounds.seconds,
            shown=bounds.logs,
            each=bounds.hits,
            before=bounds.before,
            after=bounds.after,
            told=told,
        )


async def _asked(
    question: scan.Question, builds: AsyncIterator[Sequence[int]] | None
) -> AsyncIterator[bytes]:
    yield json.dumps(dataclasses.asdict(question)).encode() + b"\n"
    if builds is not None:
        async for batch in builds:
            yield " ".join(map(str, batch)).encode() + b"\n"


def _parsed(line: bytes) -> Found | Reached:
    said = json.loads(line)
    if "build" not in said:
        return Reached(**said)
    hits = tuple(
        Hit(
            number=hit["number"],
            text=(hit["text"][0], hit["text"][1], hit["text"][2]),
            before=hit["before"],
            after=hit["after"],
        )
        for hit in said["hits"]
    )
    return Found(build=said["build"], lines=said["lines"], hits=hits)
