"""When a system that was booted has passed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cupel.host import console
from cupel.host.console import Watch
from cupel.host.messages import BootSpec
from cupel.host.providers.interface import Ending, How

OFF = Ending(how=How.OFF)


@pytest.mark.parametrize(
    ("line", "text", "is_there"),
    [
        ("12 tests passed", "tests passed", True),
        ("12 tests passed", "12*passed", True),
        ("12 tests passed", "passed*12", False),
        ("aXbXa", "a*b*a", True),
        ("ab", "a*b*a", False),
        ("(a+)+$", "(a+)+$", True),
        ("a" * 4000, "*a" * 99 + "b", False),
    ],
)
def test_a_star_stands_for_anything_and_nothing_else_does(line, text, is_there):
    assert console.holds(line, text) == is_there


def watch(rule: BootSpec, *pieces: bytes) -> Watch:
    made = Watch(rule)
    for piece in pieces:
        made.feed(piece)
    return made


def test_all_that_is_expected_has_to_come_in_whatever_order():
    rule = BootSpec(expect=("one", "two"))
    assert not watch(rule, b"two\r\nthree\r\n").is_over
    passed = watch(rule, b"two\r\no", b"ne")
    assert passed.is_over
    assert passed.failed is None


def test_escapes_of_terminals_are_not_read():
    assert watch(BootSpec(expect=("all good",)), b"\x1b[1;32mall\x1b[0m \x1b[Kgood").is_over


def test_what_must_not_come_is_quoted_to_the_end_of_its_line():
    rule = BootSpec(expect=("done",), fail=("panic",))
    failed = watch(rule, b"kernel panic", b": no root", b" here\nnext\n")
    assert failed.failed == "the console said: kernel panic: no root here"
    assert watch(rule, b"done\npanic\n").failed is None
    assert watch(rule, b"panic\ndone\n").failed == "the console said: panic"


@pytest.mark.parametrize(
    ("rule", "ending", "failed"),
    [
        (BootSpec(exit=3), Ending(how=How.EXIT, number=3), None),
        (BootSpec(exit=3), Ending(how=How.EXIT, number=4), "the system ended with 4"),
        (BootSpec(exit=3), OFF, "the system switched itself off"),
        (BootSpec(off=True), OFF, None),
        (BootSpec(off=True), Ending(how=How.RESTART), "the system restarted itself"),
        (BootSpec(off=True, expect=("x",)), OFF,
         "the system switched itself off before its console said: x"),
        (BootSpec(expect=("x",)), OFF,
         "the system switched itself off before its console said: x"),
        (BootSpec(expect=("x",)), Ending(how=How.PANIC), "the system panicked"),
    ],
)  # fmt: skip
def test_how_it_ends_counts_where_the_rule_says_so(rule, ending, failed):
    made = watch(rule, b"nothing\n")
    made.end(ending)
    assert made.failed == failed


def test_what_has_come_is_not_enough_where_it_must_end():
    assert not watch(BootSpec(expect=("x",), exit=0), b"x\n").is_over


@given(st.lists(st.binary(max_size=20), max_size=20))
def test_the_verdict_does_not_depend_on_how_the_console_is_cut(pieces):
    rule = BootSpec(expect=("\0", "a"), fail=("b*c",))
    apart, whole = watch(rule, *pieces), watch(rule, b"".join(pieces))
    assert (apart.is_over, apart.failed is None) == (whole.is_over, whole.failed is None)
