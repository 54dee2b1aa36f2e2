"""Results read from text, for tests."""

from __future__ import annotations

import io

from cupel.core.results import Result
from cupel.report.results.collect import Collector
from cupel.report.results.source import Source


def source(data: bytes | str, name: str = "file", limit: int = 1 << 30) -> Source:
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    return Source(name, io.BytesIO(raw), limit)


def collected(*files: bytes | str, name: str = "file", **bounds: int) -> Collector:
    made = Collector(**bounds)
    for data in files:
        made.take(source(data, name))
    return made


def read(*files: bytes | str, name: str = "file") -> tuple[list[Result], list[str]]:
    """All results of the files in their order, and the notices."""
    made = collected(*files, name=name)
    return made.ordered(), made.notices


def lines(*files: bytes | str, name: str = "file") -> list[str]:
    """A line for each result: its outcome, id and message."""
    found, _ = read(*files, name=name)
    return [f"{each.outcome} {each.id} {each.message}".rstrip() for each in found]
