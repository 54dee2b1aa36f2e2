"""What is looked for in logs, and what a log must have for it."""

from __future__ import annotations

import re

import hypothesis
import pytest
from hypothesis import strategies as st

from cupel.errors import UserError
from cupel.log import pattern
from cupel.log.pattern import Pattern


def lines(text: bytes, wanted: str, **how: bool) -> list[tuple[int, bytes]]:
    """Where lines that fit begin, and what fits in them."""
    found = pattern.checked(wanted, **how).finder().lines(text)
    return [(start, text[at:to]) for start, at, to in found]


def test_a_line_is_found_once_whatever_its_case() -> None:
    text = b"Error: error\nfine\nan ERROR\n"
    assert lines(text, "error") == [(0, b"Error"), (18, b"ERROR")]
    assert lines(text, "error", case=True) == [(0, b"error")]
    assert lines(text, "nothing") == []


def test_other_letters_are_compared_as_they_are() -> None:
    text = "Ärger und ärger\n".encode()
    assert [fits.decode() for _, fits in lines(text, "ÄRGER")] == ["Ärger"]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (r"e\w+ \d", [(0, b"Error 1"), (18, b"error 3")]),
        (r"^error", [(0, b"Error"), (18, b"error")]),
        (r"2$", [(8, b"2")]),
        (r"\s+", [(0, b" "), (8, b" "), (18, b" ")]),
        (r"1[^x]*w", []),  # no line has both
        (r"(?<=warning )\d", [(8, b"2")]),
        (r"\Aerror", [(0, b"Error"), (18, b"error")]),
        (r"$", [(0, b""), (8, b""), (18, b"")]),
    ],
)
def test_an_expression_stays_within_a_line(
    expression: str, expected: list[tuple[int, bytes]]
) -> None:
    assert lines(b"Error 1\nwarning 2\nerror 3\n", expression, regex=True) == expected


@hypothesis.given(
    st.text("ab1 .\n", max_size=40),
    st.sampled_from(["a", "a+", "b 1", "^a", "1$", "a|b", "[^a]b", r"\sb", "(ab)*1", r"\.", "a.b"]),
)
def test_expressions_find_what_looking_at_each_line_finds(text: str, expression: str) -> None:
    data = text.encode()
    wanted = re.compile(expression.encode(), re.IGNORECASE)
    expected = [
        (found.start(), fits.group())
        for found in re.finditer(rb"[^\n]*\n|[^\n]+", data)
        if (fits := wanted.search(found.group().removesuffix(b"\n")))
    ]
    assert lines(data, expression, regex=True) == expected


@pytest.mark.parametrize(
    ("expression", "literals"),
    [
        ("plain", [b"plain"]),
        ("Error: .*Timeout", [b"error: ", b"timeout"]),
        (r"build (\d+) failed", [b"build ", b" failed"]),
        ("colou?r", [b"colo", b"r"]),
        ("ab{2}c", [b"a", b"c"]),
        ("ab+c", [b"ab", b"c"]),
        ("a|b", []),
        ("(?i)abc", []),
        (r"a\.b\w[c(]d", [b"a.b", b"d"]),
        ("(a(b|c)[)])?end", [b"end"]),
    ],
)
def test_what_a_line_must_have(expression: str, literals: list[bytes]) -> None:
    assert Pattern(text=expression, regex=True).literals() == literals


EXPRESSIONS = st.recursive(
    st.sampled_from(["a", "bc", r"\d", ".", "[xy]", "[^]z]", r"\.", "Q"]),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=4).map("".join),
        inner.map("({})".format),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{0,2}", "*?"])).map(
            lambda pair: f"({pair[0]}){pair[1]}"
        ),
        st.tuples(inner, inner).map("|".join),
    ),
)


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(st.data())
def test_whatever_an_expression_fits_has_its_literals(data: st.DataObject) -> None:
    expression = data.draw(EXPRESSIONS)
    fitting = data.draw(st.from_regex(expression, fullmatch=True))
    lowered = fitting.encode().lower()
    assert all(each in lowered for each in Pattern(text=expression, regex=True).literals())


@pytest.mark.parametrize("text", ["", "  ", "x" * 1001, "two\nlines"])
def test_what_cannot_be_looked_for(text: str) -> None:
    with pytest.raises(UserError):
        pattern.checked(text)


def test_what_is_no_expression() -> None:
    with pytest.raises(UserError, match=r"no regular expression"):
        pattern.checked("(", regex=True)


def test_colours_are_not_looked_at() -> None:
    assert pattern.shown(b"\x1b[1;31mFAILED\x1b[0m \x1b]8;;http://a\x07link\n") == b"FAILED link\n"
