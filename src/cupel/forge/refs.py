"""Which ref of a push is a proposal, which one git may move itself, and which one is refused."""

from __future__ import annotations

from collections.abc import Sequence

from cupel.forge.options import nearest, parse_options
from cupel.forge.push import Command, Direct, Refusal, Review

_REVIEW = ("refs/for/", "refs/for-review/")


def decide(
    command: Command, options: Sequence[str], branches: Sequence[str]
) -> Review | Direct | Refusal:
    """What a command of a push is, in a project whose guarded branches are `branches`."""
    ref = command.ref
    if ref.startswith(_REVIEW):
        return _review(command, options, branches)
    if ref.startswith(("refs/changes/", "refs/cupel/")):
        return Refusal(
            ref=ref,
            message="Cupel itself keeps what is below refs/changes/ and refs/cupel/",
            hint=f"A new patch set is pushed like the first: {_instead(branches)}",
        )
    if ref.startswith("refs/heads/") and ref.removeprefix("refs/heads/") in branches:
        return _guarded(ref, command)
    if ref.startswith(("refs/heads/", "refs/tags/")):
        return Direct(ref=ref)
    return Refusal(
        ref=ref,
        message="only branches, tags and refs/for/BRANCH can be pushed to",
        hint=f"To propose a change: {_instead(branches)}",
    )


def _instead(branches: Sequence[str]) -> str:
    return f"git push REMOTE HEAD:refs/for/{branches[0] if branches else 'BRANCH'}"


def _guarded(ref: str, command: Command) -> Refusal:
    branch = ref.removeprefix("refs/heads/")
    if command.new is None:
        return Refusal(ref=ref, message=f"{branch} is guarded: it cannot be deleted")
    return Refusal(
        ref=ref,
        message=f"{branch} is guarded: it only moves when a change lands",
        hint=f"Propose your commits instead: git push REMOTE HEAD:refs/for/{branch}",
    )


def _review(command: Command, options: Sequence[str], branches: Sequence[str]) -> Review | Refusal:
    ref = command.ref
    if command.new is None:
        return Refusal(
            ref=ref,
            message="a place for changes cannot be deleted",
            hint="To give a change up: cupel abandon NUMBER",
        )
    target, _, suffix = ref.partition("%")
    found = _branch(target, branches)
    if found is None:
        return Refusal(
            ref=ref,
            message=f"no guarded branch is named by {target}",
            hint=nearest("refs/for/", _rest(target), branches),
        )
    branch, topic = found
    words = [*filter(None, suffix.split(",")), *options]
    parsed = parse_options(ref, words, topic)
    if isinstance(parsed, Refusal):
        return parsed
    return Review(ref=ref, branch=branch, tip=command.new, options=parsed)


def _rest(target: str) -> str:
    prefix = next(prefix for prefix in _REVIEW if target.startswith(prefix))
    return target.removeprefix(prefix).removeprefix("refs/heads/")


def _branch(target: str, branches: Sequence[str]) -> tuple[str, str | None] | None:
    """The longest guarded branch that begins the target, and the topic after it."""
    rest = _rest(target)
    for branch in sorted(branches, key=len, reverse=True):
        if rest == branch:
            return branch, None
        if rest.startswith(f"{branch}/"):
            return branch, rest.removeprefix(f"{branch}/") or None
    return None
