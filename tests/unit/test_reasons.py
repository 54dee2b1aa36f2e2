from __future__ import annotations

import pytest

from cupel.core.explain import Aside, Failure, Pending, Proved
from cupel.report import reasons


@pytest.mark.parametrize(
    ("chance", "said"),
    [(0.0, "under 1 %"), (0.01, "1 %"), (0.125, "12 %"), (0.99, "99 %"), (0.995, "over 99 %")],
)
def test_chances_are_whole_percents(chance: float, said: str) -> None:
    assert reasons.percent(chance) == said


@pytest.mark.parametrize(
    ("odds", "said"),
    [
        (0.0, "size: says nothing"),
        (0.2, "size: a little likelier to be bad"),
        (-0.8, "size: less likely to be bad"),
        (-1.8, "size: much less likely to be bad"),
    ],
)
def test_factors_say_which_way_and_how_strongly(odds: float, said: str) -> None:
    assert reasons.factor("size", odds) == said


def test_the_usual_change_is_told_in_percent() -> None:
    assert reasons.usual(0.0) == "50 % of the project's changes are bad"


def test_a_deep_state_names_the_outer_changes_only() -> None:
    assert reasons.state([1, 2], "main") == "main + #1 + #2"
    assert reasons.state([], "main") == "main"
    assert reasons.expected([], "main") == "expected on main"
    assert reasons.expected(None, "main") == "what it will land on is not clear yet"
    assert reasons.state(range(1, 11), "main") == "main + #1 + #2 + 6 more + #9 + #10"


def test_a_failure_says_how_often_with_whom_and_whether_it_is_anybodys_fault() -> None:
    failed = Failure(project="p", job="tests", changes=(1, 2), doubted=(2,), times=2, flake=0.04)
    assert reasons.failure(failed) == ("tests failed twice with #1 #2; nobody's fault: 4 %")


@pytest.mark.parametrize(
    ("needs", "first", "closed", "landing", "said"),
    [
        ((7,), (3,), "x", True, "waits for what it needs: #7"),
        ((), (3, 4), "x", True, "waits for its turn, after #3 #4"),
        ((), (), "x", False, "the tree is closed: x"),
        ((), (), None, True, "lands after what is landing"),
        ((), (), None, False, "lands now"),
    ],
)
def test_what_keeps_a_proved_change_from_landing(
    needs: tuple[int, ...], first: tuple[int, ...], closed: str | None, landing: bool, said: str
) -> None:
    found = Proved(changes=(9,), needs=needs, first=first)
    assert reasons.proved(found, closed=closed, landing=landing) == said


def test_every_reason_has_its_words() -> None:
    assert set(reasons.ASIDE) == set(Aside)
    assert set(reasons.PENDING) == set(Pending)
