"""What a file that a build left is shown as. It is hostile: it is read up to a bound, and told.

What a file is, its own first bytes say; its name only chooses among the ways to show text. Nothing
is rendered that a browser would run something of: an HTML report is offered for download, and a
vector image is only ever shown as an image.
"""

from __future__ import annotations

import dataclasses
from pathlib import PurePosixPath
from typing import BinaryIO, assert_never

from cupel.web.viewer import archive, picture, table, written
from cupel.web.viewer.archive import Listing
from cupel.web.viewer.picture import Picture
from cupel.web.viewer.table import Table
from cupel.web.viewer.written import Text

HEAD = 8 << 10
"""Bytes of the beginning by which it is known what a file is."""

DUMPED = 1 << 10
"""Bytes that are shown of a file of which nothing else is known."""

WIDTH = 16

_REPORTS = frozenset({".html", ".htm", ".xhtml", ".mhtml"})
_PICTURES = frozenset({".png", ".jpg", ".jpeg", ".gif", ".webp"})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A page that would run in the reader's browser, in the name of the server: never shown."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Dump:
    """The first bytes, in rows: the place, the bytes and the characters among them."""

    rows: tuple[tuple[str, str, str], ...]
    note: str = ""


Shown = Text | Table | Picture | Listing | Report | Dump


def kind(shown: Shown) -> str:
    """The word by which templates tell them apart."""
    match shown:
        case Text():
            return "text"
        case Table():
            return "table"
        case Picture():
            return "picture"
        case Listing():
            return "listing"
        case Report():
            return "report"
        case Dump():
            return "dump"
        case _:
            assert_never(shown)


def of(path: str, file: BinaryIO, size: int, *, first: int = 1) -> Shown:
    """How a file is shown; of text and tables from line or row `first` (of 1) on.

    It reads files: call it in a thread.
    """
    name = PurePosixPath(path.lower())
    head = file.read(HEAD)
    found = picture.of(head, name.suffix)
    if found is not None:
        return found
    if name.suffix in _PICTURES:
        return dump(head, note=f"Its name says {name.suffix[1:].upper()}, but it is no such image.")
    listing = archive.of(file, head, size)
    if listing is not None:
        return listing
    if not written.is_text(head):
        return dump(head)
    if name.suffix in _REPORTS:
        return Report()
    file.seek(0)
    if name.suffix in table.SEPARATORS:
        return table.of(file, table.SEPARATORS[name.suffix], first)
    if name.suffix == ".json" and first == 1 and size <= written.LARGEST_JSON:
        arranged = written.arranged(file.read(size))
        if arranged is not None:
            return arranged
        file.seek(0)
    return written.of(file, first)


def dump(head: bytes, *, note: str = "") -> Dump:
    """The first bytes as numbers and, where they are ASCII, as characters."""
    pieces = [head[at : at + WIDTH] for at in range(0, min(len(head), DUMPED), WIDTH)]
    return Dump(
        rows=tuple(
            (
                f"{number * WIDTH:06x}",
                piece.hex(" "),
                "".join(chr(byte) if 0x20 <= byte < 0x7F else "·" for byte in piece),
            )
            for number, piece in enumerate(pieces)
        ),
        note=note,
    )
