"""Where the end of a log names things, such as the tests that failed."""

from __future__ import annotations

import re
from collections.abc import Sequence

from cupel.log import plain
from cupel.log.stream import LogReader

TAIL = 20_000
"""Lines of the end that are looked at."""

WIDEST = 1_000
"""Characters of a line that are looked at."""

MOST = 50
"""Names that are looked for."""

SHORTEST = 3
"""Characters of a name: a shorter one is in many lines that do not mean it."""

_FAILED = re.compile(r"FAIL|ERROR|not ok|panicked|✗|✘|_{3,}|={3,}|-{3} ", re.IGNORECASE)
"""What a line has in it that says that something failed, beside its name."""


def lines(reader: LogReader, names: Sequence[str]) -> dict[str, int]:
    """Name → the number, from 0, of the first line that says it failed, or else that names it."""
    wanted = [name for name in dict.fromkeys(names) if SHORTEST <= len(name) <= WIDEST][:MOST]
    if not wanted:
        return {}
    named: dict[str, int] = {}
    failed: dict[str, int] = {}
    at = max(0, reader.line_count - TAIL)
    while batch := reader.lines(at, TAIL):
        for line in batch:
            text = line.text[:WIDEST]
            for name in wanted:
                if name in text and _stands_alone(name, shown := plain.plain(text)):
                    named.setdefault(name, line.number)
                    if _FAILED.search(shown.replace(name, " ")):
                        failed.setdefault(name, line.number)
        at = batch[-1].number + 1
    return named | failed


def _stands_alone(name: str, text: str) -> bool:
    """Whether a text has the name, and not only as a part of a longer one."""
    at = text.find(name)
    while at >= 0:
        around = text[at - 1 : at] + text[at + len(name) : at + len(name) + 1]
        if not any(each.isalnum() or each == "_" for each in around):
            return True
        at = text.find(name, at + 1)
    return False
