"""What `go test -json` prints: an event a line (`go doc test2json`)."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from typing import Any

from cupel.core.results import LONGEST_NAME, Outcome, Result
from cupel.report.results import source as sources
from cupel.report.results.source import Clip, Malformed, Source

MOST_OPEN = 10_000
"""Tests and packages that may be under way at once; the oldest are forgotten then."""

MOST_STRANGE = 1_000
"""Lines that are no events, such as what a compiler says, before the file is believed to be
something else."""

_END = {"pass": Outcome.PASSED, "fail": Outcome.FAILED, "skip": Outcome.SKIPPED}
_FRAME = re.compile(r"^(=== (RUN|PAUSE|CONT|NAME)\b|\s*--- (PASS|FAIL|SKIP|BENCH):)")
_SAID = re.compile(r"^\s*[\w./-]+\.go:\d+: (.*)")


@dataclasses.dataclass(slots=True)
class _Open:
    output: Clip = dataclasses.field(default_factory=Clip)
    failed_inside: bool = False


def read(source: Source) -> Iterator[Result]:
    """The results of a file, as they come. Raises `Malformed` for what is something else."""
    reader = _Reader()
    strange = 0
    for number, line in source.lines():
        if not line.strip():
            continue
        event = _event(line)
        if event is None:
            strange += 1
            if strange > MOST_STRANGE:
                raise Malformed("too many lines are no events of `go test -json`", number)
            continue
        yield from reader.take(event)
    if not source.is_cut:
        yield from reader.finish()


def _event(line: bytes) -> dict[str, Any] | None:
    if not line.startswith(b"{"):
        return None
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) and isinstance(event.get("Action"), str) else None


class _Reader:
    def __init__(self) -> None:
        self._open: dict[tuple[str, str], _Open] = {}

    def take(self, event: dict[str, Any]) -> Iterator[Result]:
        package = _text(event, "Package") or _text(event, "ImportPath")
        test = _text(event, "Test")
        action = event["Action"]
        if action in ("output", "build-output"):
            self._at(package, test).output.add(_text(event, "Output", sources.LONGEST_LINE))
        elif action == "run":
            self._at(package, test)
        elif action in _END and test:
            yield self._ended(package, test, _END[action], event.get("Elapsed"))
        elif action == "build-fail":
            built = self._open.pop((package, ""), _Open())
            yield self._package(package, "it could not be built", built)
        elif action in _END:
            yield from self._package_ended(package, _END[action])

    def finish(self) -> Iterator[Result]:
        """What began and did not end: the program was killed."""
        for (package, test), state in self._open.items():
            if test:
                yield self._unfinished(package, test, state)

    def _at(self, package: str, test: str) -> _Open:
        found = self._open.get((package, test))
        if found is None:
            if len(self._open) >= MOST_OPEN:
                del self._open[next(iter(self._open))]
            found = self._open[package, test] = _Open(sources.clip(len(self._open)))
        return found

    def _ended(self, package: str, test: str, outcome: Outcome, elapsed: object) -> Result:
        state = self._open.pop((package, test), _Open())
        text = _without_frame(state.output.text) if outcome is not Outcome.PASSED else ""
        if outcome is Outcome.FAILED:
            for around in ("", *_parents(test)):
                self._at(package, around).failed_inside = True
        message = _message(text)
        if outcome is Outcome.FAILED and not message and state.failed_inside:
            message = "a test inside it failed"
        return Result(
            suite=package,
            name=test,
            outcome=outcome,
            seconds=sources.bounded_seconds(elapsed),
            message=message,
            text=text if outcome is Outcome.FAILED else "",
        )

    def _package_ended(self, package: str, outcome: Outcome) -> Iterator[Result]:
        state = self._open.pop((package, ""), _Open())
        inside = [key for key in self._open if key[0] == package]
        for key in inside:
            yield self._unfinished(package, key[1], self._open.pop(key))
        if outcome is Outcome.FAILED and not inside and not state.failed_inside:
            yield self._package(package, "", state)

    def _package(self, package: str, message: str, state: _Open) -> Result:
        text = state.output.text
        return Result(
            suite=package,
            name="(package)",
            outcome=Outcome.ERROR,
            message=message or _message(text) or "it failed outside its tests",
            text=text,
        )

    def _unfinished(self, package: str, test: str, state: _Open) -> Result:
        return Result(
            suite=package,
            name=test,
            outcome=Outcome.ERROR,
            message="it began and did not end",
            text=_without_frame(state.output.text),
        )


def _parents(test: str) -> list[str]:
    parts = test.split("/", 50)
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def _without_frame(text: str) -> str:
    """Without the lines that only say which test ran, and how it ended."""
    return "".join(line for line in text.splitlines(True) if not _FRAME.match(line))


def _message(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    said = next((found.group(1) for line in lines if (found := _SAID.match(line))), None)
    if said is not None and said.strip():
        return said
    panic = next((line for line in lines if line.startswith(("panic:", "fatal error:"))), None)
    return panic or (lines[0] if lines else "")


def _text(event: dict[str, Any], key: str, most: int = 4 * LONGEST_NAME) -> str:
    value = event.get(key)
    return value[:most] if isinstance(value, str) else ""
