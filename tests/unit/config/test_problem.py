"""How problems are collected and told."""

from __future__ import annotations

import pytest

from cupel.config.problem import ConfigErrors, Mark, Problem, Problems, show
from cupel.errors import ConfigError


def test_errors_are_told_in_the_order_of_places() -> None:
    errors = ConfigErrors(
        [
            Problem(Mark("a", 10, 1), "later"),
            Problem(Mark("a", 2, 3), "first", "do this"),
            Problem(Mark("b", 1, 1), "elsewhere"),
        ]
    )
    assert str(errors) == "a:2:3: first\n  do this\na:10:1: later\nb:1:1: elsewhere"
    assert errors.where == "a:2:3"
    assert isinstance(errors, ConfigError)


def test_the_same_problem_is_told_once() -> None:
    problem = Problem(Mark("a"), "wrong")
    assert ConfigErrors([problem, problem]).problems == (problem,)


def test_too_many_problems_are_counted() -> None:
    problems = Problems()
    for line in range(1, 101):
        problems.add(Mark("a", line), "wrong")
    with pytest.raises(ConfigErrors) as caught:
        problems.raise_any()
    assert str(caught.value).endswith("a:50:1: wrong\nand 50 more")


def test_nothing_wrong_raises_nothing() -> None:
    Problems().raise_any()


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        ("machne", ["machine", "steps"], 'did you mean "machine"?'),
        ("q", ["machine", "steps"], "keys: machine, steps"),
        ("q", [], "there are no keys"),
    ],
)
def test_unknown_names_get_the_nearest_or_all(name: str, known: list[str], hint: str) -> None:
    problems = Problems()
    problems.add_unknown(Mark("a"), "unknown", name, known, "keys")
    with pytest.raises(ConfigErrors) as caught:
        problems.raise_any()
    assert caught.value.problems[0].hint == hint


def test_names_are_shown_short_and_printable() -> None:
    assert show("a\x1b[2J\n") == '"a\\x1b[2J\\n"'
    assert len(show("x" * 1000)) == 62
