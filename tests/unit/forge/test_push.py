"""What pushes ask for, as tables, and what holds for any."""

from __future__ import annotations

import base64
import string

import hypothesis
import pytest
from hypothesis import strategies as st

from cupel.core.model import ChangeState
from cupel.forge import push
from cupel.forge.push import Command, Direct, Known, PushOptions, Refusal, Review
from cupel.git.commits import Commit

OID = "1" * 40
BRANCHES = ("main", "release", "release/1.0")


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


def decide(ref: str, *options: str, new: str | None = OID) -> Review | Direct | Refusal:
    return push.decide(Command(ref=ref, old=None, new=new), options, BRANCHES)


@pytest.mark.parametrize(
    ("ref", "branch", "topic"),
    [
        ("refs/for/main", "main", None),
        ("refs/for/main/", "main", None),
        ("refs/for/main/some/topic", "main", "some/topic"),
        ("refs/for/release", "release", None),
        ("refs/for/release/1.0", "release/1.0", None),
        ("refs/for/release/1.0/t", "release/1.0", "t"),
        ("refs/for/release/1.1", "release", "1.1"),
        ("refs/for/refs/heads/main", "main", None),
        ("refs/for-review/main", "main", None),
        ("refs/for/main%topic=x", "main", "x"),
        ("refs/for/main%land,topic=x", "main", "x"),
        ("refs/for/main/x%topic=x", "main", "x"),
    ],
)
def test_a_ref_names_a_branch_and_a_topic(ref: str, branch: str, topic: str | None) -> None:
    found = decide(ref)
    assert isinstance(found, Review)
    assert (found.branch, found.options.topic, found.tip) == (branch, topic, OID)


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ((), PushOptions()),
        (("land", "wait", "hold"), PushOptions(land=True, wait=True, hold=True)),
        (("land=true", "wait=false"), PushOptions(land=True)),
        (("land", "land=false"), PushOptions()),
        (("title=a\udcff\0",), PushOptions(title="a\ufffd\ufffd")),
        (("title=a=b", "topic=t", "topic=t"), PushOptions(title="a=b", topic="t")),
        (
            ("description=base64:" + base64.b64encode("ä\n\nb".encode()).decode(),),
            PushOptions(description="ä\n\nb"),
        ),
    ],
)
def test_options_are_read(words: tuple[str, ...], options: PushOptions) -> None:
    found = decide("refs/for/main", *words)
    assert isinstance(found, Review)
    assert found.options == options


@pytest.mark.parametrize(
    ("ref", "words", "message", "hint"),
    [
        ("refs/for/main", ["lnad"], "no push option 'lnad'", "Did you mean -o land?"),
        ("refs/for/main%wiat", [], "no push option 'wiat'", "Did you mean -o wait?"),
        ("refs/for/main", ["zzz"], "no push option 'zzz'", "There is: -o land, -o wait"),
        ("refs/for/main", ["land=yes"], "on or off, not 'yes'", ""),
        ("refs/for/main", ["topic"], "topic needs a value", "-o topic=…"),
        ("refs/for/main", ["topic= "], "topic needs a value", ""),
        ("refs/for/main/a", ["topic=b"], "given twice, and differently", ""),
        ("refs/for/main/a\udcff", [], "cannot be a topic", ""),
        ("refs/for/main", ["topic=a b"], "cannot be a topic", "no spaces"),
        ("refs/for/main", ["title=base64:ä"], "not base64", ""),
        ("refs/for/main", ["title=base64:/w=="], "not base64 of UTF-8", ""),
        ("refs/for/main", ["title=" + "x" * 251], "one line of at most", "description"),
        ("refs/for/mian", [], "no guarded branch", "Did you mean refs/for/main?"),
        ("refs/for/", [], "no guarded branch", "There is: refs/for/main"),
        ("refs/heads/main", [], "main is guarded", "git push REMOTE HEAD:refs/for/main"),
        ("refs/heads/release/1.0", [], "is guarded", "git push REMOTE HEAD:refs/for/release/1.0"),
        ("refs/changes/01/1/2", [], "Cupel itself keeps", "HEAD:refs/for/main"),
        ("refs/cupel/states/1", [], "Cupel itself keeps", ""),
        ("refs/notes/commits", [], "only branches, tags", "HEAD:refs/for/main"),
    ],
)
def test_what_cannot_be_is_refused(ref: str, words: list[str], message: str, hint: str) -> None:
    found = decide(ref, *words)
    assert isinstance(found, Refusal)
    assert found.ref == ref
    assert message in found.message
    assert hint in (found.hint or "")


@pytest.mark.parametrize("ref", ["refs/heads/main", "refs/for/main", "refs/changes/01/1/1"])
def test_what_is_not_the_pusher_s_is_not_deleted(ref: str) -> None:
    assert isinstance(decide(ref, new=None), Refusal)


@pytest.mark.parametrize("ref", ["refs/heads/feature", "refs/heads/main2", "refs/tags/v1"])
@pytest.mark.parametrize("new", [OID, None])
def test_what_nobody_guards_is_git_s(ref: str, new: str | None) -> None:
    assert decide(ref, new=new) == Direct(ref=ref)


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
        assert push.identity(commit(message=message), topic, alone=True) == (key,)


@pytest.mark.parametrize(
    "message",
    [
        "S\n\nChange-Id: nonsense",
        "S\n\nChange-Id:",
        "S\n\nChange-Id: I01234567\nChange-Id: I7654321f",
    ],
)
def test_a_bad_change_id_is_refused(message: str) -> None:
    found = push.propose(review(), [commit(message=message)])
    assert isinstance(found, Refusal)
    assert "needs one Change-Id" in found.message


@pytest.mark.parametrize("message", ["Change-Id: I01234567", "S\n\nChange-Id: I01234567\n\nEnd"])
def test_a_change_id_elsewhere_is_text(message: str) -> None:
    keys = push.identity(commit(message=message), None, alone=True)
    assert keys is not None
    assert keys[0].startswith("D")


def test_without_a_change_id_author_and_topic_or_subject_are_the_identity() -> None:
    def key(message: str, topic: str | None, email: str = "anna@example.org") -> str:
        keys = push.identity(commit(message=message, email=email), topic, alone=True)
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
    found = push.propose(review(**options), stack)
    assert isinstance(found, Refusal)
    assert message in found.message


def test_a_change_is_found_again_when_its_stack_grows_or_shrinks() -> None:
    first, second = commit(1, "First"), commit(2, "Second")
    (alone,) = _proposed(review(topic="t"), first)
    stacked, top = _proposed(review(topic="t"), first, second)
    known = {alone.key: _known(alone)}
    assert push.find(stacked, known) == known[alone.key]
    assert push.find(top, known) is None
    known = {change.key: _known(change) for change in (stacked, top)}
    assert push.find(alone, known) == known[stacked.key]


@pytest.mark.parametrize("message", ["First", "First\n\nChange-Id: I01234567"])
def test_what_has_landed_frees_a_subject_but_no_change_id(message: str) -> None:
    (change,) = _proposed(review(), commit(1, message))
    landed = {change.key: _known(change, ChangeState.LANDED)}
    found = push.find(change, landed)
    if "Change-Id" not in message:
        assert found is None
        return
    assert found is not None
    refusal = push.refuse_known(review(), change, found)
    assert refusal is not None
    assert "has landed: First" in refusal.message


@pytest.mark.parametrize("state", [ChangeState.OPEN, ChangeState.ABANDONED])
def test_what_is_open_or_abandoned_takes_a_patch_set(state: ChangeState) -> None:
    (change,) = _proposed(review(), commit(1))
    found = push.find(change, {change.key: _known(change, state)})
    assert found is not None
    assert push.refuse_known(review(), change, found) is None


refs = st.text(string.ascii_letters + string.digits + "/%=,.-_äé\udcff", max_size=40)


@hypothesis.given(prefix=st.sampled_from(["refs/for/", "refs/heads/", ""]), rest=refs)
def test_any_ref_is_decided(prefix: str, rest: str) -> None:
    ref = prefix + rest
    found = decide(ref)
    assert found.ref == ref
    if isinstance(found, Direct):
        assert ref.removeprefix("refs/heads/") not in BRANCHES


@hypothesis.given(st.lists(st.text(max_size=30), max_size=4))
def test_any_options_are_read_or_refused(words: list[str]) -> None:
    assert isinstance(decide("refs/for/main", *words), Review | Refusal)


messages = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=200)


@hypothesis.given(st.lists(messages, min_size=1, max_size=5), st.sampled_from([None, "t"]))
def test_a_stack_gives_a_change_a_commit_with_keys_of_their_own(
    texts: list[str], topic: str | None
) -> None:
    stack = [commit(number, text) for number, text in enumerate(texts, start=1)]
    found = push.propose(review(topic=topic) if topic else review(), stack)
    if isinstance(found, Refusal):
        return
    assert [change.commit for change in found] == [each.id for each in stack]
    assert len({change.key for change in found}) == len(stack)
    assert all(change.title and "\n" not in change.title for change in found)


def _proposed(asked: Review, *stack: Commit) -> tuple[push.ProposedChange, ...]:
    found = push.propose(asked, stack)
    assert not isinstance(found, Refusal), found
    return found


def _known(change: push.ProposedChange, state: ChangeState = ChangeState.OPEN) -> Known:
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
    found = push.propose(review(), [commit(7, f"Add\n\nDepends-On: {value}\n")])
    assert isinstance(found, Refusal)
    assert found.message.endswith(f"has a line that names no change: Depends-On: {value}")
    assert "one change a line" in (found.hint or "")


def test_a_change_depends_on_others_that_there_are() -> None:
    (change,) = _proposed(review(), commit(7, "Add\n\nDepends-On: 12\nDepends-On: 15\n"))
    assert push.refuse_depends_on(review(), change, None, {12, 15}) == []
    own, unknown = push.refuse_depends_on(review(), change, 12, {12})
    assert own.message.endswith("names its own change: Depends-On: 12")
    assert unknown.message.endswith("names a change that does not exist: Depends-On: 15")
