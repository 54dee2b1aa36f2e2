"""What a mail to the author of a change says. It leads with the error."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from cupel.report.mail import Text, line

LONGEST_LINE = 300

_WORDS = {
    "change.landed": "landed",
    "change.pushed": "was pushed",
    "change.approved": "was approved",
    "change.abandoned": "was abandoned",
    "item.enqueued": "entered {pipeline}",
    "item.passed": "passed {pipeline}",
    "item.rejected": "was rejected in {pipeline}",
    "item.removed": "left {pipeline}",
    "machine.held": "has a machine that is held",
    "hold.ending": "has a held machine that is deleted soon",
    "hold.ended": "has no held machine any more",
}
_BAD = frozenset({"failure", "error", "skipped"})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """An event as a letter tells it. `reports` are (context, state, description) of its jobs."""

    key: str
    event: str
    text: str
    why: str | None
    pipeline: str | None
    project: str
    branch: str
    change: int | None
    title: str
    patch_set: int
    landed_commit: str | None
    page: str
    errors: tuple[str, ...]
    reports: tuple[tuple[str, str, str], ...]

    @property
    def what(self) -> str:
        """What became of the change: `was rejected in gate`."""
        word = _WORDS.get(self.event, self.text or self.event)
        return word.format(pipeline=self.pipeline) if self.event in _WORDS else word


def write(facts: Sequence[Fact], *, url: str) -> Text:
    """A mail about one change, of what happened to it, or about several changes, oldest first."""
    if len({fact.change for fact in facts}) > 1:
        return _of_several(facts, url)
    last = facts[-1]
    name = f"#{last.change}" if last.change is not None else last.project
    return Text(
        subject=f"[{last.project}] {name} {last.what}: {line(last.title)}",
        body="\n".join([*_story(last), *_before(facts[:-1]), *_foot(url)]) + "\n",
        key=last.key,
        thread=f"change-{last.change}.{last.project}" if last.change is not None else None,
        list_name=last.project,
    )


def _story(fact: Fact) -> list[str]:
    """The error first; then what happened, where, and how each job stands that did not pass."""
    lines = [_quoted(each) for each in fact.errors]
    lines += [""] if lines else []
    lines.append(f"Change {fact.change}, patch set {fact.patch_set}, {fact.what}.")
    if fact.landed_commit is not None and fact.event == "change.landed":
        lines.append(f"{fact.branch} of {fact.project} is at {fact.landed_commit}.")
    if fact.event.startswith("hold.") and fact.text:
        lines.append(f"{line(fact.text)[:LONGEST_LINE]}.")
    elif fact.why:
        lines.append(f"{line(fact.why)[:LONGEST_LINE]}.")
    bad = [each for each in fact.reports if each[1] in _BAD]
    if bad and fact.event == "item.rejected":
        lines += ["", *(f"  {context}: {line(said)[:LONGEST_LINE]}" for context, _, said in bad)]
    return [*lines, "", f"  {fact.title}", f"  {fact.page}"]


def _quoted(text: str) -> str:
    """A line of an error, as far to the right as it stands among the others."""
    indent = len(text) - len(text.lstrip(" "))
    return f"    {' ' * min(indent, 20)}{line(text)[:LONGEST_LINE]}"


def _before(facts: Sequence[Fact]) -> list[str]:
    if not facts:
        return []
    return ["", "Before that:", *(f"  {fact.what} {fact.page}" for fact in facts)]


def _of_several(facts: Sequence[Fact], url: str) -> Text:
    changes = len({fact.change for fact in facts})
    lines: list[str] = []
    for fact in facts:
        lines.append(f"#{fact.change} {fact.what}: {line(fact.title)}")
        lines += [_quoted(each) for each in fact.errors[:1]]
        lines.append(f"    {fact.page}")
    projects = sorted({fact.project for fact in facts})
    return Text(
        subject=f"[{', '.join(projects)}] news of {changes} of your changes",
        body="\n".join([*lines, *_foot(url)]) + "\n",
        key=facts[-1].key,
        thread=None,
        list_name=projects[0] if len(projects) == 1 else None,
    )


def _foot(url: str) -> list[str]:
    return ["", "-- ", f"Cupel at {url}; you are the author of the commit."]
