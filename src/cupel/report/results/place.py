"""Where a test failed: the file and line that the text of its failure ends with.

Each tool says it in its own way. What lies in the project is preferred to what lies in a library.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator

from cupel.core import results
from cupel.core.results import Result

SOURCE = "/build/src/"
"""Where the project is in a machine."""

_MOST = 60
"""Lines that are looked at: the last ones, or the first."""

_LONGEST = 400
"""Characters of a line that are looked at."""

_LAST = (
    # pytest: `tests/test_x.py:12: AssertionError`
    re.compile(r"^((?!E  )[^\s:()\"'][^:()\"']{0,300}\.\w{1,8}):(\d{1,9}): \w"),
    # Python: `  File "tests/test_x.py", line 12, in test`
    re.compile(r"^\s*File \"([^\"]{1,300})\", line (\d{1,9})"),
)
"""What stands in a text whose last place is the nearest to the failure."""

_FIRST = (
    # Go, compilers, Rust, JavaScript: `x_test.go:12: got 1`, `src/lib.rs:12:5`, `(a/b.js:12:5)`;
    # Java: `at com.x.FooTest.bar(FooTest.java:12)`; PHPUnit: `/build/src/tests/X.php:12`
    re.compile(r"(?:^|[\s(@']|file://)([\w./@+-]{1,300}\.[A-Za-z]\w{0,7}):(\d{1,9})\b"),
)
"""What stands in a text whose first place is the nearest."""

_LIBRARY = re.compile(
    r"site-packages|dist-packages|node_modules|/lib/python\d|/usr/|\.cargo/|/rustc/|node:|"
    r"^\s*at (?:java|javax|jdk|sun|junit|kotlin|scala|groovy|"
    r"org\.(?:junit|hamcrest|assertj|opentest4j|gradle|apache|testng|mockito))\."
)


def found(result: Result) -> Result:
    """The result with the place of its failure, where its text names one.

    A place that the tool has said itself is where the test begins: another in that file is nearer.
    """
    lines = [line[:_LONGEST] for line in result.text.splitlines()]
    places = [*_places(_LAST, lines[: -_MOST - 1 : -1]), *_places(_FIRST, lines[:_MOST])]
    for file, line in places:
        if result.file is None or _same(file, result.file):
            return dataclasses.replace(result, file=file, line=line)
    return result


def own(path: str) -> str:
    """The path as seen from the project's root."""
    return path.removeprefix("file://").removeprefix(SOURCE).removeprefix("./")


def _places(
    patterns: Iterable[re.Pattern[str]], lines: Iterable[str]
) -> Iterator[tuple[str, int | None]]:
    for pattern in patterns:
        for line in lines:
            match = pattern.search(line)
            if match is not None and not _LIBRARY.search(line):
                file = results.one_line(match.group(1), results.LONGEST_PATH)
                yield own(file), int(match.group(2)) or None


def _same(one: str, other: str) -> bool:
    return one == other or one.endswith(f"/{other}") or other.endswith(f"/{one}")
