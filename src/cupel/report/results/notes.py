"""What tools said of lines of the source, and which lines were run, of all files of a build.

It is kept as one compressed JSON document: small, and read as a whole.
"""

from __future__ import annotations

import dataclasses
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from cupel.core import coverage as lines
from cupel.core import results
from cupel.core.coverage import FileCoverage, Span
from cupel.core.results import Annotation, Level
from cupel.errors import InfraError
from cupel.report.results import coverage, sarif
from cupel.report.results.source import Malformed, Source

MOST_LINES = 2_000_000
"""Lines that a build may say whether they were run."""

MOST_FILES = 20_000
LARGEST = 64 << 20
"""Bytes of the document, unpacked."""

Tell = Callable[[str, str], None]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Notes:
    annotations: tuple[Annotation, ...] = ()
    coverage: Mapping[str, FileCoverage] = dataclasses.field(default_factory=dict)


class Collector:
    """Takes the files of a build that are notes; `tell` gets a file and what is wrong with it."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._annotations: list[Annotation] = []
        self._files: dict[str, dict[int, bool]] = {}
        self._lines = 0
        self._left_out = 0
        self._has_read = False

    def take(self, source: Source) -> bool:
        """Whether the file is one of notes; it is read then."""
        head = source.head
        if sarif.is_sarif(head):
            self._read(source, self._annotate(sarif.read(source)))
        elif coverage.is_cobertura(head):
            self._read(source, self._cover(coverage.read_cobertura(source)))
        elif coverage.is_lcov(head):
            self._read(source, self._cover(coverage.read_lcov(source)))
        else:
            return False
        return True

    @property
    def notes(self) -> Notes | None:
        """All of them; None if there were no files of notes."""
        if not self._has_read:
            return None
        if self._left_out:
            self._tell("annotations", f"{self._left_out} past the first are left out")
        return Notes(
            annotations=tuple(self._annotations),
            coverage={
                path: FileCoverage(
                    covered=lines.spans(at for at, run in found.items() if run),
                    missed=lines.spans(at for at, run in found.items() if not run),
                )
                for path, found in self._files.items()
            },
        )

    def _read(self, source: Source, work: Iterator[None]) -> None:
        self._has_read = True
        try:
            for _ in work:
                pass
        except Malformed as error:
            self._tell(source.name, str(error))
        except MemoryError:
            self._tell(source.name, "it takes too much memory to read")
        if source.is_cut:
            self._tell(source.name, "it is too large, so the end is not read")

    def _annotate(self, found: Iterable[Annotation]) -> Iterator[None]:
        for each in found:
            if len(self._annotations) < results.MOST_ANNOTATIONS:
                self._annotations.append(_clean(each))
            else:
                self._left_out += 1
            yield

    def _cover(self, found: Iterable[coverage.Line]) -> Iterator[None]:
        for path, number, run in found:
            if path not in self._files and len(self._files) >= MOST_FILES:
                raise Malformed(f"there are more than {MOST_FILES} files")
            file = self._files.setdefault(path, {})
            if number not in file:
                self._lines += 1
                if self._lines > MOST_LINES:
                    raise Malformed(f"there are more than {MOST_LINES} lines")
            file[number] = run or file.get(number, False)
            yield


def _clean(annotation: Annotation) -> Annotation:
    """Within its bounds, and harmless to whoever shows it."""
    return dataclasses.replace(
        annotation,
        title=results.one_line(annotation.title, results.LONGEST_NAME),
        message=results.one_line(annotation.message, results.LONGEST_MESSAGE) or "(no message)",
        tool=results.one_line(annotation.tool, results.LONGEST_NAME),
    )


def packed(notes: Notes) -> bytes:
    document = {
        "annotations": [dataclasses.asdict(each) for each in notes.annotations],
        "coverage": {path: [file.covered, file.missed] for path, file in notes.coverage.items()},
    }
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return zlib.compress(text.encode("utf-8", "replace"), 3)


def unpacked(data: bytes) -> Notes:
    """Raises `InfraError` for what is no such document."""
    try:
        text = zlib.decompressobj().decompress(data, LARGEST)
        document = json.loads(text)
        return Notes(
            annotations=tuple(_annotation(each) for each in document["annotations"]),
            coverage={
                str(path): FileCoverage(covered=_spans(covered), missed=_spans(missed))
                for path, (covered, missed) in document["coverage"].items()
            },
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, zlib.error) as error:
        raise InfraError("what was said of lines is damaged") from error


def _annotation(fields: dict[str, Any]) -> Annotation:
    return Annotation(**{**fields, "level": Level(fields["level"])})


def _spans(found: Iterable[Any]) -> tuple[Span, ...]:
    return tuple((int(first), int(last)) for first, last in found)
