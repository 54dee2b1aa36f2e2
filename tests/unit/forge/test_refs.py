"""What a push asks for by its refs and options, as tables, and what holds for any."""

from __future__ import annotations

import base64
import string

import hypothesis
import pytest
from hypothesis import strategies as st

from cupel.forge import refs as named
from cupel.forge.push import Command, Direct, PushOptions, Refusal, Review

OID = "1" * 40
BRANCHES = ("main", "release", "release/1.0")


def decide(ref: str, *options: str, new: str | None = OID) -> Review | Direct | Refusal:
    return named.decide(Command(ref=ref, old=None, new=new), options, BRANCHES)


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
