"""TAP, the Test Anything Protocol, versions 12 to 14: a line for each test.

Subtests are indented by four spaces; a test point that ends them is told only if it failed and none
of them did. A YAML block is shown as it is, and read for a message and a place, never as YAML: its
aliases are a way to fill a memory. What is no TAP is ignored, as the protocol has it.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from cupel.core.results import Outcome, Result
from cupel.report.results import source as sources
from cupel.report.results.source import Clip, Source

DEEPEST = 50

_POINT = re.compile(r"(not )?ok\b(?:[ \t]+(\d{1,9}))?(?:[ \t]+-(?=[ \t]|$))?[ \t]*(.*)", re.DOTALL)
_PLAN = re.compile(r"(\d{1,9})\.\.(\d{1,9})(?:\s*#\s*(?:skip\S*\s*)?(.*))?$", re.IGNORECASE)
_DIRECTIVE = re.compile(r"(?<!\\)#\s*(todo|skip\S*)\b[:\s]*(.*)$", re.IGNORECASE | re.DOTALL)
_TIME = re.compile(r"(?<!\\)#\s*time=([0-9.]{1,20})(ms|s)?\s*", re.IGNORECASE)
_FIELD = re.compile(r"\s*[\"']?(\w+)[\"']?:\s*(.*?)\s*$")
_LOCATION = re.compile(r"(.+?):(\d{1,9})(?::\d{1,9})?")
_NOTHING = frozenset({"", "|", ">", "|-", ">-"})
_ESCAPED = re.compile(r"\\([\\#])")


def read(source: Source) -> Iterator[Result]:
    """The results of a file, as they come."""
    reader = _Reader(PurePosixPath(source.name).stem)
    for _, data in source.lines():
        yield from reader.line(sources.text_of(data))
        if reader.is_over:
            return
    yield from reader.finish(is_cut=source.is_cut)


@dataclasses.dataclass(slots=True)
class _Level:
    """A stream of test points: the outermost, or the subtests of a point.

    `point` is the one that they are of, if it stands before them, as `not ok 1 - name {` does.
    """

    name: str
    point: Result | None = None
    planned: int | None = None
    seen: int = 0
    failed: bool = False


class _Reader:
    def __init__(self, suite: str) -> None:
        self.is_over = False
        self._suite = suite
        self._levels = [_Level("")]
        self._ended: _Level | None = None
        self._titles: dict[int, str] = {}
        self._opened: dict[int, Result] = {}
        self._point: Result | None = None
        self._about = Clip()
        self._block: int | None = None

    def line(self, text: str) -> Iterator[Result]:
        bare = text.lstrip(" \t")
        indent = len(text) - len(bare)
        if self._block is not None:
            if bare.rstrip() == "..." and indent <= self._block:
                self._block = None
            else:
                self._about.add(f"{text[self._block :]}\n")
            return
        if bare.rstrip() == "---" and self._point is not None:
            self._block = indent
            return
        if bare.startswith("Bail out!"):
            yield from self._flush()
            yield self._outside("(bail out)", bare.removeprefix("Bail out!").strip())
            self.is_over = True
            return
        depth = min(indent // 4, DEEPEST)
        if bare.startswith("#"):
            yield from self._comment(bare, depth)
        elif bare.rstrip() == "}":
            yield from self._flush()
            yield from self._close(depth)
            yield from self._opened_in_vain(depth)
        elif indent % 4 == 0 and (plan := _PLAN.match(bare)) is not None:
            yield from self._flush()
            yield from self._plan(plan, depth)
        elif indent % 4 == 0 and (point := _POINT.match(bare)) is not None:
            yield from self._flush()
            yield from self._test(point, depth)
        elif indent and bare and self._point is not None and self._point.is_failed:
            self._about.add(f"{text}\n")  # as Mocha prints it

    def finish(self, *, is_cut: bool) -> Iterator[Result]:
        yield from self._flush()
        if not is_cut:
            yield from self._close(0)
            yield from self._check(self._levels[0])

    def _comment(self, text: str, depth: int) -> Iterator[Result]:
        title = text.lstrip("# \t")
        if title.startswith("Subtest:"):
            yield from self._flush()
            self._titles[depth] = title.removeprefix("Subtest:").strip()
        elif self._point is not None and self._point.is_failed:
            self._about.add(f"{text.removeprefix('#').removeprefix(' ')}\n")

    def _plan(self, found: re.Match[str], depth: int) -> Iterator[Result]:
        yield from self._go_to(depth)
        level = self._levels[-1]
        level.planned = max(int(found.group(2)) - int(found.group(1)) + 1, 0)
        if level.planned == 0 and depth == 0 and found.group(3):
            yield self._result("(all)", Outcome.SKIPPED, found.group(3))

    def _test(self, found: re.Match[str], depth: int) -> Iterator[Result]:
        yield from self._go_to(depth)
        level = self._levels[-1]
        level.seen += 1
        not_ok, number, said = found.groups()
        said, seconds = _without_time(said)
        name, directive, reason = _split(said)
        outcome = Outcome.FAILED if not_ok else Outcome.PASSED
        message = ""
        if directive == "skip":
            outcome, message = Outcome.SKIPPED, reason
        elif directive == "todo" and not_ok:
            outcome, message = Outcome.SKIPPED, f"to do: {reason}"
        level.failed |= outcome is Outcome.FAILED
        inner, self._ended = self._ended, None
        if inner is not None and inner.seen and (outcome is not Outcome.FAILED or inner.failed):
            return
        is_open = name.endswith("{")
        name = name.removesuffix("{").rstrip() or f"test {number or level.seen}"
        point = dataclasses.replace(self._result(name, outcome, message), seconds=seconds)
        if is_open:
            self._opened[len(self._levels) - 1] = point
        else:
            self._point = point

    def _go_to(self, depth: int) -> Iterator[Result]:
        """Begin or end subtests, so that the innermost level is at this depth."""
        if depth < len(self._levels) - 1:
            yield from self._close(depth)
        while (inside := len(self._levels)) <= depth:
            # Its name stands before it, as deep as the point that ends it, or in that point.
            point = self._opened.pop(inside - 1, None)
            title = self._titles.pop(inside - 1, "")
            self._levels.append(_Level(title if point is None else point.name, point))

    def _close(self, depth: int) -> Iterator[Result]:
        while len(self._levels) - 1 > depth:
            yield from self._check(self._levels[-1])
            ended = self._levels.pop()
            self._levels[-1].failed |= ended.failed
            self._ended = ended if ended.point is None else None
            if ended.point is not None and ended.point.is_failed and not ended.failed:
                yield ended.point

    def _opened_in_vain(self, depth: int) -> Iterator[Result]:
        """A point in whose braces nothing stood."""
        point = self._opened.pop(depth, None)
        if point is not None:
            yield point

    def _check(self, level: _Level) -> Iterator[Result]:
        """Whether as many ran as were planned: a program that died ran fewer."""
        if level.planned is not None and level.planned != level.seen:
            level.failed = True
            yield self._outside("(plan)", f"{level.planned} tests were planned, {level.seen} ran")

    def _outside(self, name: str, message: str) -> Result:
        return self._result(name, Outcome.ERROR, message)

    def _result(self, name: str, outcome: Outcome, message: str) -> Result:
        names = [self._suite, *(level.name for level in self._levels[1:] if level.name)]
        return Result(suite=" > ".join(names), name=name, outcome=outcome, message=message)

    def _flush(self) -> Iterator[Result]:
        """The last test point, with what was said of it."""
        point, self._point = self._point, None
        self._block = None
        if point is None:
            return
        if self._about:
            about = self._about.text
            self._about = Clip()
            point = _described(point, about)
        yield point


def _described(point: Result, about: str) -> Result:
    """The result with what its YAML block or its comments say."""
    fields: dict[str, str] = {}
    for each in about.splitlines()[:200]:
        found = _FIELD.match(each[:2000])
        if found is not None:
            fields.setdefault(found.group(1), found.group(2).strip("\"'"))
    seconds = sources.seconds(fields.get("duration_ms"))
    point = dataclasses.replace(
        point, seconds=seconds / 1000 if seconds is not None else point.seconds
    )
    if not point.is_failed:
        return point
    lines = [line.strip() for line in about.splitlines() if line.strip()]
    said = [fields.get(key, "") for key in ("message", "error")]
    message = next((each for each in said if each not in _NOTHING), lines[0] if lines else "")
    file, line = fields.get("file") or fields.get("fileName"), sources.number(fields.get("line"))
    at = _LOCATION.fullmatch(fields.get("location") or fields.get("at", ""))
    if file is None and at is not None:
        file, line = at.group(1), sources.number(at.group(2))
    return dataclasses.replace(
        point, message=point.message or message, text=about, file=file, line=line
    )


def _split(said: str) -> tuple[str, str, str]:
    """A description, its directive (`skip`, `todo` or none) and the reason for that."""
    found = _DIRECTIVE.search(said)
    name = said if found is None else said[: found.start()]
    name = _ESCAPED.sub(r"\1", name).strip()
    if found is None:
        return name, "", ""
    kind = "todo" if found.group(1).lower() == "todo" else "skip"
    return name, kind, found.group(2).strip()


def _without_time(said: str) -> tuple[str, float | None]:
    found = _TIME.search(said)
    if found is None:
        return said, None
    value = sources.seconds(found.group(1))
    if value is not None and (found.group(2) or "ms").lower() == "ms":
        value /= 1000
    return said[: found.start()] + said[found.end() :], value
