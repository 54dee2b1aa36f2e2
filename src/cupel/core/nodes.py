"""What test runners call the tests that a build has failed, for a step that runs these alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cupel.core.results import Result


def variables(tests: Sequence[Result]) -> dict[str, str]:
    """What a step is told of the tests that it is to run alone, in lines."""
    names = dict.fromkeys(test.name for test in tests)
    return {
        "CUPEL_FAILED_TESTS": "\n".join(dict.fromkeys(test.id for test in tests)),
        "CUPEL_FAILED_PYTEST": "\n".join(dict.fromkeys(map(_node, tests))),
        "CUPEL_FAILED_GO": f"^({'|'.join(dict.fromkeys(map(_top, names)))})$",
    }


def _node(test: Result) -> str:
    """What pytest calls the test: of a suite `tests.test_a.TestB`, `tests/test_a.py::TestB`."""
    parts = test.suite.split(".")
    classes = next((at for at, part in enumerate(parts) if part[:1].isupper()), len(parts))
    module = "/".join(parts[:classes])
    return "::".join([f"{module}.py", *parts[classes:], test.name])


def _top(name: str) -> str:
    """The Go test that a subtest belongs to, as a pattern."""
    return "".join(
        char if char.isalnum() or char == "_" else "." for char in name.split("/", maxsplit=1)[0]
    )
