"""What is wrong with a configuration, and where: all of it, not only the first."""

from __future__ import annotations

import dataclasses
import difflib
import itertools
from collections.abc import Iterable

from cupel.errors import ConfigError

MAX_REPORTED = 50
MAX_SHOWN = 60
MAX_CANDIDATES = 300


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Mark:
    """A place in a file; lines and columns count from 1."""

    file: str
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        return f"{printable(self.file)}:{self.line}:{self.column}"


@dataclasses.dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong at a place, and what to write instead."""

    at: Mark
    message: str
    hint: str | None = None

    def __str__(self) -> str:
        return f"{self.at}: {self.text}"

    @property
    def text(self) -> str:
        """What is wrong, and the hint on a line of its own."""
        return f"{self.message}\n  {self.hint}" if self.hint else self.message


class ConfigErrors(ConfigError):
    """Every problem of a configuration, in the order of files and lines; there is at least one."""

    def __init__(self, problems: Iterable[Problem], *, unreported: int = 0) -> None:
        self.problems = tuple(dict.fromkeys(sorted(problems, key=lambda problem: problem.at)))
        text = "\n".join(str(problem) for problem in self.problems)
        if unreported:
            text += f"\nand {unreported} more"
        where = str(self.problems[0].at)
        super().__init__(text.removeprefix(f"{where}: "), where=where)


class Problems:
    """Collects problems while reading goes on; beyond a bound they are only counted."""

    def __init__(self) -> None:
        self._found: dict[Problem, None] = {}
        self._unreported = 0

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, at: Mark, message: str, hint: str | None = None) -> None:
        """Add a problem; one of a template is the same in each job that extends it."""
        problem = Problem(at, message, hint)
        if problem in self._found or len(self._found) < MAX_REPORTED:
            self._found[problem] = None
        else:
            self._unreported += 1

    def add_unknown(
        self, at: Mark, message: str, name: str, known: Iterable[str], what: str
    ) -> None:
        """A name that is not among the known ones: the hint is the nearest, else all of them."""
        if len(self._found) < MAX_REPORTED:
            self.add(at, message, suggest(name, known, what))
        else:
            self._unreported += 1

    def extend(self, errors: ConfigErrors) -> None:
        for problem in errors.problems:
            self.add(problem.at, problem.message, problem.hint)

    def raise_any(self) -> None:
        if self._found:
            raise ConfigErrors(self._found, unreported=self._unreported)


def suggest(name: str, known: Iterable[str], what: str) -> str:
    """The hint for an unknown name: the nearest known one, else the known ones; bounded work."""
    # Comparing is quadratic in the lengths and runs on hostile input: both sides are bounded.
    names = list(itertools.islice(known, MAX_CANDIDATES))
    near = difflib.get_close_matches(name[:MAX_SHOWN], names, n=1)
    if near:
        return f"did you mean {show(near[0])}?"
    if not names:
        return f"there are no {what}"
    listed = ", ".join(printable(known_name) for known_name in names[:20])
    return f"{what}: {listed}{', …' if len(names) > 20 else ''}"


def printable(text: str) -> str:
    """The text with everything escaped that a terminal would act on."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def show(text: str) -> str:
    """The text in quotation marks for a message: printable and short."""
    short = text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"
    return f'"{printable(short)}"'
