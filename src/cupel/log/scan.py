"""Looks through the logs of builds, newest first: a process of its own, which can be killed.

`python -m cupel.log.scan` reads a question in a line of JSON from stdin and, if it is about certain
builds, their numbers in the lines that follow. It answers in lines of JSON: each log that has lines
that fit, when it has been looked through, how far it has got, and at the end what it all came to.
"""

from __future__ import annotations

import dataclasses
import json
import os
import struct
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from cupel.log import index, pattern, signature
from cupel.log.pattern import Finder, Pattern

TELL = 0.1
"""Seconds after which it says how far it has got."""

_SHOWN = 300
"""Bytes of a line on either side of what fits."""

_OFFSET = struct.Struct("<Q")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Question:
    """What to look for, below `root`, and for how long. `shown` logs are answered with up to `each`
    of their lines; of others it is only said that they are there. `told`: which builds comes in the
    lines that follow; otherwise all that are between `after` and `before`."""

    root: str
    text: str
    regex: bool
    case: bool
    seconds: float
    shown: int
    each: int
    before: int | None
    after: int | None
    told: bool


@dataclasses.dataclass
class Progress:
    """How far it has got. `next`: from which build on to go on; None when all has been seen."""

    searched: int = 0
    skipped: int = 0
    logs: int = 0
    lines: int = 0
    last: int | None = None
    last_shown: int | None = None
    done: bool = False
    over: bool = False


def main() -> None:
    os.nice(10)
    question = Question(**json.loads(sys.stdin.readline()))
    root = Path(question.root)
    if question.told:
        numbers: Iterable[int] = (int(word) for line in sys.stdin for word in line.split())
    else:
        numbers = signature.builds(root, before=question.before, after=question.after)
    look(question, numbers)


def look(question: Question, numbers: Iterable[int]) -> None:
    """Look through the logs of builds, and say what is found."""
    end = time.monotonic() + question.seconds
    wanted = Pattern(text=question.text, regex=question.regex, case=question.case)
    finder, needs = wanted.finder(), signature.needed(wanted.literals())
    told, progress = time.monotonic(), Progress()
    for number in numbers:
        now = time.monotonic()
        if now >= end:
            break
        if now - told >= TELL:
            told = now
            _say(dataclasses.asdict(progress))
        _look_at(question, number, finder, needs, progress, end)
        if progress.last != number:
            break
    else:
        progress.done = True
    progress.over = True
    _say(dataclasses.asdict(progress))


def _look_at(
    question: Question,
    number: int,
    finder: Finder,
    needs: Sequence[int],
    progress: Progress,
    end: float,
) -> None:
    """Look through one log. It is not `last` if there was no time for all of it."""
    place = f"{question.root}/{number // 1000}/{number}"
    try:
        size = os.stat(f"{place}/log").st_size  # noqa: PTH116 - a Path takes longer than the look
        skipped = bool(needs) and not signature.may_have(place, needs, size)
        each = question.each if progress.logs < question.shown else 0
        lines, hits = (0, []) if skipped else _search(Path(place), finder, each, end)
    except FileNotFoundError:
        progress.last = number  # it has been deleted, or has printed nothing
        return
    except TimeoutError:
        return
    progress.searched += 1
    progress.skipped += skipped
    progress.last = number
    if lines:
        progress.logs += 1
        progress.lines += lines
        if each:
            progress.last_shown = number
            _say({"build": number, "lines": lines, "hits": hits})


def _search(place: Path, finder: Finder, most: int, end: float) -> tuple[int, list[dict[str, Any]]]:
    """How many lines fit, and the first of them. Raises `TimeoutError`."""
    count, offset = 0, 0
    hits: list[dict[str, Any]] = []
    for piece in signature.pieces(place / "log"):
        if time.monotonic() >= end:
            raise TimeoutError
        text = pattern.shown(piece)
        for start, at, to in finder.lines(text):
            count += 1
            if len(hits) < most:
                line = text.count(b"\n", 0, start)
                hit = _hit(text, start, at, to)
                hits.append(hit | {"number": _record(place, offset + _start(piece, line))})
        offset += len(piece)
    return count, hits


def _hit(text: bytes, start: int, at: int, to: int) -> dict[str, Any]:
    """A line that fits: before, in and after what fits, with the lines around it."""
    end = text.find(b"\n", to)
    end = len(text) if end < 0 else end
    start = max(start, text.rfind(b"\r", start, at) + 1, at - _SHOWN)
    fits = text[at : min(to, at + _SHOWN)]
    rest = text[to : min(end, to + _SHOWN)].partition(b"\r")[0]
    return {
        "text": [each.decode(errors="replace") for each in (text[start:at], fits, rest)],
        "before": _line(text, text.rfind(b"\n", 0, at)),
        "after": _line(text, text.find(b"\n", end + 1)) if end + 1 < len(text) else None,
    }


def _line(text: bytes, end: int) -> str | None:
    """The line that ends there, as far as it is shown."""
    if end == -1:
        end = len(text)
    if end == 0:
        return None
    start = text.rfind(b"\n", 0, end) + 1
    line = text[start : min(end, start + 2 * _SHOWN)].rstrip(b"\r").rpartition(b"\r")[2]
    return line.decode(errors="replace")


def _start(piece: bytes, line: int) -> int:
    """Where the line of this number begins in a piece."""
    return len(piece) - len(piece.split(b"\n", line)[-1]) if line else 0


def _record(place: Path, offset: int) -> int:
    """The number, from 0, of the line in the log's index that holds this byte."""
    with (place / "index").open("rb", buffering=0) as file:
        low, high = 0, os.fstat(file.fileno()).st_size // index.SIZE
        while high - low > 1:
            middle = (low + high) // 2
            at = os.pread(file.fileno(), _OFFSET.size, middle * index.SIZE)
            if _OFFSET.unpack(at)[0] <= offset:
                low = middle
            else:
                high = middle
    return low


def _say(words: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
