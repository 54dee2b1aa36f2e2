"""Which changes a stack of commits proposes, and which known ones they are versions of."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Collection, Mapping, Sequence

from cupel.core.model import ChangeState
from cupel.forge.push import TITLE_LIMIT, Refusal, Review
from cupel.git.commits import Commit

STACK_LIMIT = 50
"""Commits in one push for review."""
_CHANGE_ID = re.compile(r"^Change-Id:[ \t]*(.*?)[ \t]*$", re.MULTILINE | re.IGNORECASE)
_CHANGE_ID_VALUE = re.compile(r"I[0-9a-f]{8,64}", re.IGNORECASE)
_DEPENDS_ON = re.compile(r"^Depends-On:[ \t]*(.*?)[ \t]*$", re.MULTILINE | re.IGNORECASE)
_CHANGE_NUMBER = re.compile(r"#?([0-9]{1,18})|https?://[^\s?#]+/changes/([0-9]{1,18})/?")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ProposedChange:
    """A commit as a change. `needs` is the index of the change below it in the stack.

    `former` are other keys under which the same change may be known, see `find`. `depends_on` are
    the numbers of changes that its `Depends-On` lines name.
    """

    key: str
    former: tuple[str, ...]
    title: str
    description: str
    author: str
    commit: str
    tree: str
    parent: str | None
    needs: int | None
    topic: str | None
    depends_on: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A change that Cupel has already, with the commit of its newest patch set."""

    key: str
    title: str
    state: ChangeState
    commit: str


def propose(review: Review, stack: Sequence[Commit]) -> tuple[ProposedChange, ...] | Refusal:
    """The changes that a stack (oldest first) proposes, one a commit."""
    options = review.options
    if not stack:
        return Refusal(
            ref=review.ref,
            message=f"no new commits: {review.tip[:12]} has already landed on {review.branch}",
        )
    if len(stack) > STACK_LIMIT:
        return Refusal(
            ref=review.ref,
            message=f"more than {STACK_LIMIT} commits at once are not taken",
            hint=f"Is this meant for {review.branch}? Otherwise squash, or push in parts",
        )
    if len(stack) > 1 and (options.title or options.description):
        return Refusal(
            ref=review.ref,
            message=f"a title or description is for one change, and this is {len(stack)}",
            hint="Leave the options out, or push the commits one after the other",
        )
    changes = []
    for index, commit in enumerate(stack):
        change = _propose(review, commit, index, alone=len(stack) == 1)
        if isinstance(change, Refusal):
            return change
        changes.append(change)
    return _doubled(review.ref, changes) or tuple(changes)


def _propose(
    review: Review, commit: Commit, index: int, *, alone: bool
) -> ProposedChange | Refusal:
    options = review.options
    if not commit.subject:
        return Refusal(
            ref=review.ref,
            message=f"commit {commit.id[:12]} has no message",
            hint="git commit --amend",
        )
    keys = identity(commit, options.topic, alone=alone)
    if keys is None:
        return Refusal(
            ref=review.ref,
            message=f"commit {commit.id[:12]} needs one Change-Id, an I and up to 64 hex digits",
            hint="Leave only one such line in its last paragraph: git commit --amend",
        )
    depends_on = _depends_on(review.ref, commit)
    if isinstance(depends_on, Refusal):
        return depends_on
    return ProposedChange(
        key=keys[0],
        former=keys[1:],
        title=options.title or commit.subject[:TITLE_LIMIT],
        description=options.description or _description(commit.message),
        author=f"{commit.author_name} <{commit.author_email}>",
        commit=commit.id,
        tree=commit.tree,
        parent=commit.parents[0] if commit.parents else None,
        needs=index - 1 if index else None,
        topic=options.topic,
        depends_on=depends_on,
    )


def _depends_on(ref: str, commit: Commit) -> tuple[int, ...] | Refusal:
    """The numbers in all `Depends-On` lines of the message, wherever they stand in it."""
    numbers: dict[int, None] = {}
    for value in _DEPENDS_ON.findall(commit.message):
        found = _CHANGE_NUMBER.fullmatch(value)
        if found is None:
            return Refusal(
                ref=ref,
                message=f"commit {commit.id[:12]} has a line that names no change: "
                f"Depends-On: {value}",
                hint="Write one change a line, as its number or the address of its page:"
                " git commit --amend",
            )
        numbers[int(found[1] or found[2])] = None
    return tuple(numbers)


def refuse_depends_on(
    review: Review, change: ProposedChange, own: int | None, known: Collection[int]
) -> list[Refusal]:
    """What is wrong with what the commit depends on; `own` is its change's number, if it has one.

    `known` are the numbers among them that there are.
    """
    refusals = []
    for number in change.depends_on:
        line = f"Depends-On: {number}"
        if number == own:
            why = "names its own change"
        elif number not in known:
            why = "names a change that does not exist"
        else:
            continue
        refusals.append(
            Refusal(
                ref=review.ref,
                message=f"a line of commit {change.commit[:12]} {why}: {line}",
                hint="Correct or remove that line: git commit --amend",
            )
        )
    return refusals


def identity(commit: Commit, topic: str | None, *, alone: bool) -> tuple[str, ...] | None:
    """The key of a commit's change, then other keys it may have had. None: its Change-Id is bad.

    The `Change-Id` if it has one. Else author and topic, as long as the commit is alone in its
    push; in a stack the subject joins them, since every commit has the same topic, and unlike a
    position it stays when the stack is reordered. Else author and subject.
    """
    ids = set(_CHANGE_ID.findall(_footer(commit.message)))
    if ids:
        value = ids.pop()
        return None if ids or not _CHANGE_ID_VALUE.fullmatch(value) else (value,)
    author = commit.author_email.casefold()
    if topic is None:
        return (_key("subject", author, commit.subject),)
    by_topic = _key("topic", author, topic)
    by_both = _key("topic and subject", author, topic, commit.subject)
    return (by_topic, by_both) if alone else (by_both, by_topic)


def _key(kind: str, *parts: str) -> str:
    digest = hashlib.sha256("\0".join((kind, *parts)).encode(errors="replace"))
    return f"D{digest.hexdigest()[:40]}"


def _footer(message: str) -> str:
    """The last paragraph, where trailers stand; nothing if it is the subject."""
    paragraphs = re.split(r"\n[ \t]*\n", message.strip())
    return paragraphs[-1] if len(paragraphs) > 1 else ""


def _description(message: str) -> str:
    parts = re.split(r"\n[ \t]*\n", message.strip(), maxsplit=1)
    return parts[1].strip() if len(parts) > 1 else ""


def _doubled(ref: str, changes: Sequence[ProposedChange]) -> Refusal | None:
    seen: dict[str, ProposedChange] = {}
    for change in changes:
        if (other := seen.setdefault(change.key, change)) is not change:
            return Refusal(
                ref=ref,
                message=f"commits {other.commit[:12]} and {change.commit[:12]} of the stack "
                "would be the same change",
                hint="Give them different Change-Ids or, without these, different subjects",
            )
    return None


def find(change: ProposedChange, known: Mapping[str, Known]) -> Known | None:
    """The change that this one is a new version of, among the newest of each key of its branch.

    A change that was alone in its push and is now part of a stack, or the other way round, is
    found by its former key while it is open; by its title, lest a commit takes another's place.
    Only a Change-Id names its change for ever: a subject or topic is free again after a landing.
    """
    found = known.get(change.key)
    if found and (found.state is not ChangeState.LANDED or change.key.startswith("I")):
        return found
    for key in change.former:
        found = known.get(key)
        if found and found.state is ChangeState.OPEN and found.title == change.title:
            return found
    return None


def refuse_known(review: Review, change: ProposedChange, found: Known) -> Refusal | None:
    """Why a change that is known cannot get this commit as a patch set; None if it can."""
    if found.state is not ChangeState.LANDED:
        return None
    return Refusal(
        ref=review.ref,
        message=f"the change of commit {change.commit[:12]} has landed: {found.title}",
        hint="Rebase onto the branch; for a new change remove the Change-Id: git commit --amend",
    )
