"""Tests over builds."""

from __future__ import annotations

import pytest

from cupel.core import grid
from cupel.core.grid import Row

LETTERS = {"P": "passed", "F": "failed", "~": "flaky", "-": "skipped", ".": "absent"}


def row(outcomes: str, name: str = "suite::test") -> Row:
    return Row(test=name, name=name, outcomes=tuple(LETTERS[each] for each in outcomes))


@pytest.mark.parametrize(
    ("outcomes", "state"),
    [
        ("FPPPPPPP", "failing"),
        (".FPPPPPP", "failing"),
        ("PPPFFFPP", "mended"),
        ("PFPFPPFP", "flaky"),
        ("P~PP~P~P", "flaky"),
        ("PPPPPPPP", "passed"),
        ("---", "skipped"),
        ("...", "absent"),
    ],
)
def test_what_a_test_is_in_a_word(outcomes: str, state: str) -> None:
    assert row(outcomes).state == state


def test_what_fails_now_comes_first() -> None:
    names = ["PPP", "FPP", "PFPFP", "PPPPPPFF", "FFF", "--"]
    found = [each.name for each in grid.ordered(row(each, each) for each in names)]
    assert found == ["FFF", "FPP", "PFPFP", "PPPPPPFF", "--", "PPP"]


def test_rows_are_grouped_by_their_names() -> None:
    names = ["a.lru::test_get_x", "a.lru::test_set_y", "b.ttl::test_get_z", "other"]
    rows = [row("P", name) for name in names]

    def groups(by: str) -> list[tuple[str, int]]:
        return [(name, len(members)) for name, members in grid.grouped(rows, by)]

    assert groups("") == [("", 4)]
    assert groups("file") == [("a.lru", 2), ("b.ttl", 1), ("", 1)]
    assert groups("test_*_") == [("get", 2), ("set", 1), ("", 1)]
    assert groups("lru::*") == [("test_get_x", 1), ("test_set_y", 1), ("", 2)]
    assert groups("*.") == [("a", 2), ("b", 1), ("", 1)]
    assert groups("ttl") == [("ttl", 1), ("", 3)]
    assert groups("(a+)+$") == [("", 4)]  # it is a text, and takes no time


def test_errors_that_differ_in_numbers_alone_are_the_same() -> None:
    found = grid.clusters(
        [
            (9, "x", "Timeout after 5.2 s at 0x7f3a\nmore"),
            (8, "y", "\n Timeout after 17 s at 0x00ff"),
            (8, "x", "KeyError: 'a'"),
            (7, "x", "Timeout after 1:30 s at 0x1"),
            (7, "z", ""),
        ]
    )
    assert [(each.error, each.count, each.tests, each.builds) for each in found] == [
        ("Timeout after … s at …", 3, ("x", "y"), (9, 8, 7)),
        ("KeyError: 'a'", 1, ("x",), (8,)),
    ]
    assert len({each.key for each in found}) == 2


def test_a_test_is_new_if_older_builds_were_without_it() -> None:
    old, both = frozenset({"a"}), frozenset({"a", "b"})
    assert grid.new([both, both, old, old, old, old, old]) == {"b"}
    assert grid.new([both, old, old]) == frozenset()  # too few to tell
    assert grid.new([old, *[both] * 6]) == frozenset()
    assert grid.new([both, *[frozenset()] * 6]) == frozenset()  # nothing is known of these


def test_what_takes_longest_and_what_has_grown() -> None:
    newer, older = {"slow": 9.0, "grew": 4.0, "quick": 0.1}, {"slow": 9.0, "grew": 1.0}
    found = grid.timed([newer] * 4 + [older] * 4)
    assert [(each.test, each.seconds, each.grew) for each in found] == [
        ("slow", 9.0, None),
        ("grew", 4.0, 1.0),
        ("quick", 0.1, None),
    ]
    assert grid.timed([]) == []
