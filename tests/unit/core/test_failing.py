"""Whether two failures are of the same kind."""

from __future__ import annotations

import pytest

from cupel.core import failing
from cupel.core.results import Outcome, Result


def said(message: str, text: str = "") -> str:
    return failing.way(
        Result(suite="s", name="n", outcome=Outcome.FAILED, message=message, text=text)
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("<Foo object at 0x7f3a> is dead", "<Foo object at 0x11aa90> is dead"),
        ("took 3.21 s, limit 2", "took 17.5 s, limit 2"),
        ("no /tmp/pytest-of-root/12/a.txt", "no /tmp/pytest-of-root/9/b.txt"),
        ("commit deadbeefdeadbeef lost", "commit 0123456789abcdef lost"),
        ("id 123e4567-e89b-12d3-a456-426614174000", "id aaaaaaaa-e89b-12d3-a456-426614174fff"),
        ("a\n  b", "a b"),
    ],
)
def test_what_varies_does_not_count(one: str, other: str) -> None:
    assert said(one) == said(other)


def test_what_was_said_counts() -> None:
    assert said("KeyError: a") != said("KeyError: b")
    assert said("", "first line\nsecond") == said("first line")
    assert said("", "") == ""
    assert len(said("x" * 100_000)) == failing.LONGEST
