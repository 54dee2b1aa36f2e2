"""What is found in many lines at once is what Python finds in each of them alone."""

from __future__ import annotations

import dataclasses
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cupel.errors import UserError
from cupel.log import query
from cupel.log.query import Query

LINES = st.lists(st.text(alphabet="abBk \tſK-_.1é\u2028", max_size=12), min_size=1, max_size=8)
ATOMS = st.sampled_from(
    ["a", "b", "B", "k", " ", r"\s", r"\S", r"\w", r"\W", r"\d", r"\D", r"\b", r"\B", ".", "^", "$",
     "[ab]", "[^a]", r"[^\S]", r"[\s]", r"[\Wa]", "a*", "b+?", "(a|b)", "(?:a)?", "(?P<x>b)", r"\.",
     "(?=a)", r"\Z", r"\A", "é", r"\t", r"\x61", "[ -~]", r"[\b-z]", r"[^\d\s]", "(?i:A)", "|"]
)  # fmt: skip


def found(wanted: Query, lines: list[str]) -> list[int]:
    return list(query.finder(wanted)("\n".join(lines), len(lines)))


@settings(deadline=None)
@given(st.lists(ATOMS, min_size=1, max_size=4).map("".join), LINES, st.booleans(), st.booleans())
@example(r"\B", ["", "a"], True, False)
@example(r"a\s*b", ["a", "b"], True, False)
@example("x*", ["", "", ""], False, False)
def test_a_pattern_fits_lines_as_if_each_were_alone(
    pattern: str, lines: list[str], case: bool, word: bool
) -> None:
    wanted = Query(text=pattern, regex=True, case=case, word=word)
    whole = rf"(?<!\w)(?:{pattern})(?!\w)" if word else pattern
    try:
        alone = re.compile(whole, 0 if case else re.IGNORECASE)
    except re.error:
        with pytest.raises(UserError):
            wanted.check()
        return
    assert found(wanted, lines) == [at for at, line in enumerate(lines) if alone.search(line)]


@settings(deadline=None)
@given(st.text(alphabet="abBk .ſé", min_size=1, max_size=3), LINES, st.booleans(), st.booleans())
def test_a_text_fits_where_its_pattern_does(
    text: str, lines: list[str], case: bool, word: bool
) -> None:
    plain = Query(text=text, case=case, word=word)
    pattern = Query(text=re.escape(text), regex=True, case=case, word=word)
    assert found(plain, lines) == found(pattern, lines)


@pytest.mark.parametrize(
    ("pattern", "rewritten"),
    [
        (r"a\s+b", r"a[^\S\n]+b"),
        (r"[^\]a]", r"[^\]a\n]"),
        (r"[]a]", r"[]a]"),
        (r"(?P<name>\d+)|(?:x)", r"(?P<name>\d+)|(?:x)"),
        (r"[\s]", None),
        (r"\n", None),
        ("(?i)a", None),
        (r"(a)\1", None),
    ],
)
def test_patterns_are_kept_within_lines(pattern: str, rewritten: str | None) -> None:
    assert query.within_lines(pattern) == rewritten


def test_severities() -> None:
    lines = ["fine", "a.c:1:2: error: expected ';'", "warning: unused", "0 warnings", "no error"]
    assert found(Query(severity="error"), lines) == [1]
    assert found(Query(severity="warning"), lines) == [1, 2]
    assert found(Query(severity="warning", text="unused"), lines) == [2]


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (Query(text="(", regex=True), "not a regular expression"),
        (Query(text="a{99999999999}", regex=True), "not a regular expression"),
        (Query(text="a\nb"), "one line"),
        (Query(text="a" * 1001), "1,000"),
        (Query(severity="bad"), "severity: 'bad'"),
        (Query(stream="bad"), "out, err, cupel"),
    ],
)
def test_what_cannot_be_looked_for(wanted: Query, said: str) -> None:
    with pytest.raises(UserError, match=said):
        wanted.check()
    dataclasses.replace(wanted, text="", severity="", stream="").check()
