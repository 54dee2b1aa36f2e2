"""What somebody who means harm would write, in every text that comes from outside."""

from __future__ import annotations

import dataclasses
import enum
import re
from collections.abc import Mapping
from typing import Any

from cupel.core.model import Artefact, Build, Change, Event, Host, Project, Queue
from fakes import left
from fakes.busy import Busy
from fakes.served import Served

HARMS = (
    "<script>window.ran = 1</script>",
    '"><img src=x onerror="window.ran = 1">',
    "x" * 10_000,
    "\u202e\u2066txt.exe\u202c مرحبا بالعالم שלום \u200b",
    "🧪👩\u200d🔬" * 40,
    "\x1b[31mred\x1b]0;owned\x07\x1b[2J\x1b]8;;javascript:window.ran=1\x07link",
    "javascript:window.ran=1//'onmouseover='window.ran=1",
    "{{ 7 * 7 }}{% raw %}</title></textarea></style><svg/onload=window.ran=1>",
    "W" * 300 + " " + "\u0301" * 200,
)

_OURS = re.compile(r"[0-9a-f]{7,128}|sha256:[0-9a-f]+|I[0-9a-f]{40}|debian-1[23]|\d+(\.\d+)*|")
"""Values that cannot come from outside as they like: ids, digests, versions, nothing."""

_KEPT: Mapping[type, frozenset[str]] = {
    Queue: frozenset({"name", "planner"}),  # names that are checked when they are made
    Project: frozenset({"name"}),
    Host: frozenset({"name"}),
    Event: frozenset({"kind"}),
    Change: frozenset({"owner"}),
    Build: frozenset({"label"}),
    Artefact: frozenset({"path"}),
}
_NEVER = frozenset(
    {"id", "key", "commit", "tree", "parent", "onto", "digest", "sha256", "image", "test", "label"}
)


FILES = {
    "<img src=x onerror=window.ran=1>.html": b"<script>window.ran = 1</script>",
    "\u202e txt.exe": b"MZ",
    "\U0001f9ea" * 40 + ".csv": b"<b>,\x1b[31m,=1+1\n",
    "javascript:window.ran=1": b"",
}
"""What a build leaves whose files are named so."""


class Soil:
    """Adds harm to texts; the same to the same, so that what refers to something still does."""

    def __init__(self) -> None:
        self._given: dict[str, str] = {}

    def text(self, text: str) -> str:
        if _OURS.fullmatch(text):
            return text
        if text not in self._given:
            self._given[text] = f"{text} {HARMS[len(self._given) % len(HARMS)]}"
        return self._given[text]

    def value(self, value: Any, kept: frozenset[str] = frozenset()) -> Any:
        """The same with harm in every text, however deep; fields of the names `kept` stay."""
        if isinstance(value, enum.Enum):
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, tuple):
            return tuple(self.value(each) for each in value)
        if isinstance(value, Mapping):
            return {key: self.value(each) for key, each in value.items()}
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return self._row(value, kept | _KEPT.get(type(value), frozenset()) | _NEVER)
        return value

    def _row(self, row: Any, kept: frozenset[str]) -> Any:
        fields = {
            field.name: self.value(getattr(row, field.name))
            for field in dataclasses.fields(row)
            if field.init and field.name not in kept
        }
        return dataclasses.replace(row, **fields)


def soil(told: Busy) -> None:
    """Put harm into every text of a world."""
    world = told.world
    left.leave(world, world.row(Build, told.failed_build), FILES)
    soiled = Soil()
    for row in world.rows:
        world.put(soiled.value(row))


def fill(served: Served, told: Busy, others: Mapping[str, bytes]) -> None:
    """A log that tries everything, of the build that had none, and files with `others` beside."""
    left.keep(served.artefacts, told.failed_build, {**others, **FILES})
    log = served.logs.writer(told.infra_build)
    for number, harm in enumerate(HARMS):
        log.append(
            int(number > len(HARMS) // 2),
            "out",
            told.world.now,
            f"{harm}\n::group::{harm}\n".encode(),
        )
    log.append(1, "err", told.world.now, b"\xff\xfe\x00broken\r\rover\r\n")
    log.close()
