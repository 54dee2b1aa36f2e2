"""Which changes a stack of commits proposes."""

from __future__ import annotations

import hypothesis
import pytest
from hypothesis import strategies as st

from cupel.core.model import ChangeState
from cupel.forge import stack as stacks
from cupel.forge.push import PushOptions, Refusal, Review
from cupel.forge.stack import Known
from cupel.git.commits import Commit

OID = "1" * 40


def commit(
    number: int = 1,
    message: str = "Add a thing\n",
    email: str = "anna@example.org",
    parents: int = 1,
) -> Commit:
    return Commit(
        id=f"{number:040x}",
        tree=f"{number + 1000:040x}",
        parents=tuple(f"{number - 1 - n:040x}" for n in range(parents)),
        author_name="Anna",
        author_email=email,
        authored_at=0,
        message=message,
    )


def review(**options: str) -> Review:
    return Review(ref="refs/for/main", branch="main", tip=OID, options=PushOptions(**options))


def test_a_change_is_its_commit() -> None:
    message = "Add\na thing\n\nBecause.\n\nIndeed.\n"
    (change,) = _proposed(review(), commit(7, message))
    assert (change.title, change.description) == ("Add a thing", "Because.\n\nIndeed.")
    assert (change.commit, change.parent) == (f"{7:040x}", f"{6:040x}")
    assert (change.author, change.needs, change.topic) == ("Anna <anna@example.org>", None, None)
    (titled,) = _proposed(review(title="T", description="D", topic="t"), commit(7, message))
    assert (titled.title, titled.description, titled.topic) == ("T", "D", "t")
    (root,) = _proposed(review(), commit(1, parents=0))
    assert root.parent is None


@pytest.mark.parametrize(
    ("message", "key"),
    [
        ("Subject\n\nChange-Id: I0123456789abcdef\n", "I0123456789abcdef"),
        (
            "Subject\n\nBody\n\nFixes: 1\nchange-id:  I0123456789abcdef \nSigned: x",
            "I0123456789abcdef",
        ),
        ("Subject\n\nChange-Id: I01234567\nChange-Id: I01234567", "I01234567"),
    ],
)
def test_a_change_id_is_the_identity(message: str, key: str) -> None:
    for topic in (None, "t"):
        assert stacks.identity(commit(message=message), topic, alone=True) == (key,)


@pytest.mark.parametrize(
    "message",
    [
        "S\n\nChange-Id: nonsense",
        "S\n\nChange-Id:",
        "S\n\nChange-Id: I01234567\nChange-Id: I7654321f",
    ],
)
def test_a_bad_change_id_is_refused(message: str) -> None:
    found = stacks.propose(review(), [commit(message=message)])
    assert isinstance(found, Refusal)
    assert "needs one Change-Id" in found.message


@pytest.mark.parametrize("message", ["Change-Id: I01234567", "S\n\nChange-Id: I01234567\n\nEnd"])
def test_a_change_id_elsewhere_is_text(message: str) -> None:
    keys = stacks.identity(commit(message=message), None, alone=True)
    assert keys is not None
    assert keys[0].startswith("D")


def test_without_a_change_id_author_and_topic_or_subject_are_the_identity() -> None:
    def key(message: str, topic: str | None, email: str = "anna@example.org") -> str:
        keys = stacks.identity(commit(message=message, email=email), topic, alone=True)
        assert keys is not None
        return keys[0]

    assert key("A\n\nfirst", None) == key("A\n\nsecond", None)
    assert key("A", None) == key("A", None, "Anna@Example.org")
    assert key("A", "t") == key("B", "t")
    different = {
        key("A", None),
        key("B", None),
        key("A", "t"),
        key("A", "A"),
        key("A", None, "b@x"),
    }
    assert len(different) == 5


def test_a_stack_depends_from_change_to_change() -> None:
    changes = _proposed(review(topic="t"), *(commit(n, f"Part {n}") for n in range(1, 4)))
    assert [change.needs for change in changes] == [None, 0, 1]
    assert len({change.key for change in changes}) == 3


@pytest.mark.parametrize(
    ("stack", "options", "message"),
    [
        ([], {}, "already landed on main"),
        ([commit(n, f"Part {n}") for n in range(51)], {}, "more than 50 commits"),
        ([commit(1, "A"), commit(2, "B")], {"title": "T"}, "is for one change, and this is 2"),
        ([commit(1, "A"), commit(2, "A")], {}, "would be the same change"),
        (
            [commit(n, f"{n}\n\nChange-Id: I01234567") for n in range(2)],
            {},
            "would be the same change",
        ),
        ([commit(1, "\n")], {}, "has no message"),
    ],
)
def test_a_stack_that_cannot_be_is_refused(
    stack: list[Commit], options: dict[str, str], message: str
) -> None:
    found = stacks.propose(review(**options), stack)
    assert isinstance(found, Refusal)
    assert message in found.message


def test_a_change_is_found_again_when_its_stack_grows_or_shrinks() -> None:
    first, second = commit(1, "First"), commit(2, "Second")
    (alone,) = _proposed(review(topic="t"), first)
    stacked, top = _proposed(review(topic="t"), first, second)
    known = {alone.key: _known(alone)}
    assert stacks.find(stacked, known) == known[alone.key]
    assert stacks.find(top, known) is None
    known = {change.key: _known(change) for change in (stacked, top)}
    assert stacks.find(alone, known) == known[stacked.key]


@pytest.mark.parametrize("message", ["First", "First\n\nChange-Id: I01234567"])
def test_what_has_landed_frees_a_subject_but_no_change_id(message: str) -> None:
    (change,) = _proposed(review(), commit(1, message))
    landed = {change.key: _known(change, ChangeState.LANDED)}
    found = stacks.find(change, landed)
    if "Change-Id" not in message:
        assert found is None
        return
    assert found is not None
    refusal = stacks.refuse_known(review(), change, found)
    assert refusal is not None
    assert "has landed: First" in refusal.message


@pytest.mark.parametrize("state", [ChangeState.OPEN, ChangeState.ABANDONED])
def test_what_is_open_or_abandoned_takes_a_patch_set(state: ChangeState) -> None:
    (change,) = _proposed(review(), commit(1))
    found = stacks.find(change, {change.key: _known(change, state)})
    assert found is not None
    assert stacks.refuse_known(review(), change, found) is None


messages = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=200)


@hypothesis.given(st.lists(messages, min_size=1, max_size=5), st.sampled_from([None, "t"]))
def test_a_stack_gives_a_change_a_commit_with_keys_of_their_own(
    texts: list[str], topic: str | None
) -> None:
    stack = [commit(number, text) for number, text in enumerate(texts, start=1)]
    found = stacks.propose(review(topic=topic) if topic else review(), stack)
    if isinstance(found, Refusal):
        return
    assert [change.commit for change in found] == [each.id for each in stack]
    assert len({change.key for change in found}) == len(stack)
    assert all(change.title and "\n" not in change.title for change in found)


def _proposed(asked: Review, *stack: Commit) -> tuple[stacks.ProposedChange, ...]:
    found = stacks.propose(asked, stack)
    assert not isinstance(found, Refusal), found
    return found


def _known(change: stacks.ProposedChange, state: ChangeState = ChangeState.OPEN) -> Known:
    return Known(key=change.key, title=change.title, state=state, commit=change.commit)


@pytest.mark.parametrize(
    ("message", "numbers"),
    [
        ("Add\n\nDepends-On: 12\n", (12,)),
        ("Add\n\nDepends-On: #12\ndepends-on:   https://cupel.example/x/changes/15/ \n", (12, 15)),
        ("Add\n\nDepends-On: 12\n\nWhy.\n\nChange-Id: I0123456789abcdef\n", (12,)),
        ("Add\n\nDepends-On: 12\nDepends-On: http://127.0.0.1:8470/changes/12\n", (12,)),
        ("Add\n\nIt Depends-On: nothing\n", ()),
    ],
)
def test_what_a_commit_depends_on_is_read_wherever_it_stands(
    message: str, numbers: tuple[int, ...]
) -> None:
    (change,) = _proposed(review(), commit(7, message))
    assert change.depends_on == numbers


@pytest.mark.parametrize(
    "value", ["", "12 15", "I0123456789abcdef", "-1", "https://cupel.example/builds/12", "9" * 30]
)
def test_a_line_that_names_no_change_is_refused(value: str) -> None:
    found = stacks.propose(review(), [commit(7, f"Add\n\nDepends-On: {value}\n")])
    assert isinstance(found, Refusal)
    assert found.message.endswith(f"has a line that names no change: Depends-On: {value}")
    assert "one change a line" in (found.hint or "")


def test_a_change_depends_on_others_that_there_are() -> None:
    (change,) = _proposed(review(), commit(7, "Add\n\nDepends-On: 12\nDepends-On: 15\n"))
    assert stacks.refuse_depends_on(review(), change, None, {12, 15}) == []
    own, unknown = stacks.refuse_depends_on(review(), change, 12, {12})
    assert own.message.endswith("names its own change: Depends-On: 12")
    assert unknown.message.endswith("names a change that does not exist: Depends-On: 15")
