"""Puts the results of a build's files together: cleaned, bounded, one for each test."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

from cupel.core import results
from cupel.core.results import FAILED, Findings, Outcome, Result, Tally
from cupel.report.results import detect, place
from cupel.report.results.source import Malformed, Source

MOST_TEXT = 32 << 20
"""Characters of failures' texts of a build; those past that are told without their text."""

_ROOM_AS_TEXT = 200


@dataclasses.dataclass(slots=True)
class _Kept:
    result: Result
    file: int


class Collector:
    """Takes the files of a build one after the other; `findings` and `ordered` tell the sum."""

    def __init__(self, *, most_tests: int = results.MOST_TESTS, most_text: int = MOST_TEXT) -> None:
        self.notices: list[str] = []
        self._most_tests = most_tests
        self._text_left = most_text
        self._kept: dict[str, _Kept] = {}
        self._left_out = 0
        self._without_text = 0
        self._files = 0

    def take(self, source: Source) -> None:
        """Read a file, as far as it can be read. Only what nobody foresaw is raised."""
        read = detect.reader(source)
        if read is None:
            if detect.is_meant(source):
                what = "in no format of test results that is known" if source.head else "empty"
                self.tell(source.name, f"it is {what}")
            return
        self._files += 1
        before = len(self._kept) + self._left_out
        try:
            for result in read(source):
                self._add(result)
        except Malformed as error:
            self.tell(source.name, f"{error}{self._so_far(before)}")
        except MemoryError:
            self.tell(source.name, f"it takes too much memory to read{self._so_far(before)}")
        if source.is_cut:
            self.tell(source.name, f"it is too large, so the end is not read{self._so_far(before)}")

    def tell(self, name: str, what: str) -> None:
        """Say of a file what could not be read."""
        if len(self.notices) < results.MOST_NOTICES:
            shown = results.one_line(name, 120)
            self.notices.append(results.one_line(f"{shown}: {what}", results.LONGEST_NOTICE))

    def ordered(self) -> list[Result]:
        """All results: those that failed first, then the flaky, the skipped and the rest."""
        found: dict[int, list[Result]] = {rank: [] for rank in range(4)}
        for kept in self._kept.values():
            found[_rank(kept.result)].append(kept.result)
        return [result for rank in sorted(found) for result in found[rank]]

    def findings(self, ordered: Iterable[Result]) -> Findings:
        notices = list(self.notices)
        if self._left_out:
            notices.append(f"{self._left_out} results past the first {self._most_tests} left out")
        if self._without_text:
            notices.append(
                f"the texts of {self._without_text} failures are left out: too much text"
            )
        return Findings(
            tally=results.tally(ordered), failing=tuple(_failing(ordered)), notices=tuple(notices)
        )

    @property
    def has_read(self) -> bool:
        """Whether there was anything that is, or should be, a file of results."""
        return bool(self._files or self.notices)

    def _so_far(self, before: int) -> str:
        return f"; {len(self._kept) + self._left_out - before} results of it were read"

    def _add(self, result: Result) -> None:
        result = self._clean(result)
        known = self._kept.get(result.id)
        if known is not None:
            join = _again if known.file == self._files else _worse
            known.result = join(known.result, result)
            known.file = self._files
        elif len(self._kept) >= self._most_tests * (2 if result.is_failed else 1):
            self._left_out += 1
        else:
            self._kept[result.id] = _Kept(result, self._files)

    def _clean(self, result: Result) -> Result:
        """The result within its bounds, and harmless to whoever shows it."""
        text = result.text
        if text and self._text_left <= 0:
            self._without_text += 1
            text = ""
        text = results.shortened(results.printable(text), results.LONGEST_TEXT).strip("\n")
        self._text_left -= len(text) + _ROOM_AS_TEXT if text else 0
        cleaned = dataclasses.replace(
            result,
            suite=results.one_line(result.suite, results.LONGEST_NAME),
            name=results.one_line(result.name, results.LONGEST_NAME) or "(no name)",
            message=results.one_line(result.message, results.LONGEST_MESSAGE),
            text=text,
            file=_path(result.file) if result.file else None,
        )
        return place.found(cleaned) if cleaned.is_failed or cleaned.flaky else cleaned


def _path(file: str) -> str:
    return place.own(results.one_line(file, results.LONGEST_PATH))


def _again(before: Result, after: Result) -> Result:
    """A test told of twice in one file: it ran again, and how it went at last is what counts."""
    if before.is_failed and after.outcome is Outcome.PASSED:
        return dataclasses.replace(before, outcome=Outcome.PASSED, flaky=True)
    if before.flaky or (before.outcome is Outcome.PASSED and after.is_failed):
        worse = _worse(before, after)
        return dataclasses.replace(worse, outcome=after.outcome, flaky=True)
    return _worse(before, after)


def _worse(one: Result, other: Result) -> Result:
    """A test told of in two files: it ran in two settings, and whichever failed is told."""
    return other if _rank(other) < _rank(one) else one


def _rank(result: Result) -> int:
    if result.outcome in FAILED:
        return 0
    if result.outcome is Outcome.SKIPPED:
        return 2
    return 1 if result.flaky else 3


def _failing(ordered: Iterable[Result]) -> Iterator[Result]:
    for count, result in enumerate(ordered):
        if count >= results.MOST_FAILED or _rank(result) > 1:
            return
        yield results.excerpt(result)


def span(tally: Tally, outcome: str) -> tuple[int, int]:
    """From where to where the results of an outcome stand among the `ordered` ones.

    `failed` are failures and errors alike; `flaky` are those that passed in the end. Raises
    `KeyError` for what is no outcome.
    """
    flaky = tally.bad + tally.flaky
    skipped = flaky + tally.skipped
    spans = {
        "failed": (0, tally.bad),
        "flaky": (tally.bad, flaky),
        "skipped": (flaky, skipped),
        "passed": (skipped, tally.total),
    }
    return spans[outcome]
