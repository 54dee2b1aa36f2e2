"""Looks at a push in its repository: every command decided, every stack read."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from cupel.forge import refs
from cupel.forge import stack as stacks
from cupel.forge.push import Direct, Push, Refusal, Review
from cupel.forge.stack import ProposedChange
from cupel.git import commits, repository


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """The changes, oldest first, that one command proposes."""

    review: Review
    changes: tuple[ProposedChange, ...]


async def examine(push: Push, branches: Sequence[str]) -> tuple[list[Proposal], list[Refusal]]:
    """What a push proposes in a project with these guarded branches, and what is refused of it.

    Gives the same answer while the objects are in quarantine and after, unless a branch moved.
    """
    proposals: list[Proposal] = []
    refusals: list[Refusal] = []
    for command in push.commands:
        match refs.decide(command, push.options, branches):
            case Refusal() as refusal:
                refusals.append(refusal)
            case Direct():
                pass
            case Review() as review:
                match await _propose(push, review):
                    case Refusal() as refusal:
                        refusals.append(refusal)
                    case Proposal() as proposal:
                        proposals.append(proposal)
    return proposals, refusals + _twice(proposals)


async def _propose(push: Push, review: Review) -> Proposal | Refusal:
    if await commits.kind_of(push.repo, review.tip, env=push.env) != "commit":
        return Refusal(
            ref=review.ref,
            message=f"{review.tip[:12]} is not a commit",
            hint="Push the commit that a tag points to: TAG^{}",
        )
    head = await repository.head(push.repo, review.branch)
    # The first push to an empty branch is one change, however long its history is.
    bases, limit = ([], 1) if head is None else ([head], stacks.STACK_LIMIT + 1)
    stack = await commits.stack(push.repo, bases, review.tip, limit=limit, env=push.env)
    changes = stacks.propose(review, stack)
    if isinstance(changes, Refusal):
        return changes
    return Proposal(review=review, changes=changes)


def _twice(proposals: Sequence[Proposal]) -> list[Refusal]:
    """Refusals of changes that more than one command of the push proposes."""
    seen: set[tuple[str, str]] = set()
    refusals = []
    for proposal in proposals:
        keys = {(proposal.review.branch, change.key) for change in proposal.changes}
        if keys & seen:
            refusals.append(
                Refusal(
                    ref=proposal.review.ref, message="another ref of this push proposes the same"
                )
            )
        seen |= keys
    return refusals
