"""Speculative states in git: made, their jobs frozen, and some of them landed at last."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Collection, Sequence
from pathlib import Path

from cupel.config import freeze
from cupel.control import configuration
from cupel.core import events
from cupel.core.actions import Land, PrepareState
from cupel.core.model import Buildset, Item, Job, MergeMethod, Pipeline, Project, Role
from cupel.errors import Bug, UserError
from cupel.git import commits, inputs, merge, repository

_AT_ONCE = 4
"""States being made at a time; each is a few short processes."""

CHANGE_TRAILER = "Cupel-Change"
"""The trailer that names the change of a squashed commit."""

_PICKED = frozenset({MergeMethod.REBASE, MergeMethod.SQUASH})


class Repositories:
    """Where the repositories of projects lie."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, project: str) -> Path:
        return self.root / f"{project}.git"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Move:
    """A branch that is to go from `old` to `new`, which lands `items`."""

    repo: Path
    branch: str
    old: str | None
    new: str
    items: tuple[int, ...]


class States:
    """Makes states and lands them; every method may be repeated after a crash, to the same end."""

    def __init__(self, repositories: Repositories, labels: Collection[str]) -> None:
        self._repositories = repositories
        self._labels = labels
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def prepare(
        self, action: PrepareState
    ) -> events.StatePrepared | events.StateConflicted | events.StateMisconfigured:
        """Make the state, keep it by a ref, and freeze the jobs of the item's pipeline in it."""
        async with self._turns:
            repo = self._repositories.path(action.project.name)
            buildset = action.buildset.id
            made = await _make(repo, action)
            if isinstance(made, merge.Conflicted):
                why = None if made.paths else "; ".join(made.messages)
                return events.StateConflicted(buildset_id=buildset, paths=made.paths, why=why)
            await repository.keep_state(repo, buildset, made.commit)
            if action.buildset.jobs:  # they are frozen, and stay so
                return events.StatePrepared(
                    buildset_id=buildset,
                    commit=made.commit,
                    tree=made.tree,
                    jobs=(),
                    notice=action.buildset.notice,
                )
            beside = [
                (project.name, self._repositories.path(project.name), commit)
                for project, commit in action.beside
            ]
            projects = [name for name, _, _ in beside]
            try:
                jobs, notice = await self.jobs(
                    repo, made.commit, action.item.pipeline, projects=projects
                )
            except UserError as error:
                return events.StateMisconfigured(buildset_id=buildset, error=str(error))
            return events.StatePrepared(
                buildset_id=buildset,
                commit=made.commit,
                tree=made.tree,
                jobs=await inputs.with_contents(repo, made.commit, jobs),
                notice=notice,
                keys=await inputs.keys(repo, made.commit, jobs, beside=beside),
            )

    async def jobs(
        self,
        repo: Path,
        commit: str,
        pipeline: Pipeline,
        *,
        projects: Collection[str] | None = None,
        env: dict[str, str] | None = None,
    ) -> tuple[tuple[Job, ...], str | None]:
        """The frozen jobs of a pipeline as `commit` defines them, and what to tell the user.

        `projects` are those that can be beside; None if that is not known here.
        """
        loaded = (await configuration.sources(repo, commit, env=env)).load(self._labels)
        return freeze.freeze(loaded.config, pipeline, self._labels, projects), loaded.notice

    async def land(self, action: Land) -> tuple[events.Landed | events.LandingRefused, ...]:
        """Move the branches to exactly the trees that were proved, if all stand where that began.

        Nothing moves while one of them stands elsewhere. If that comes to light on the way,
        because of a crash or of somebody faster, what has moved has landed and the rest is refused.
        """
        landed: list[_Move] = []
        waiting: list[_Move] = []
        refused: list[tuple[_Move, str | None]] = []
        for move in await self._moves(action):
            found = await repository.look(move.repo, move.branch, move.old, move.new)
            if isinstance(found, repository.Elsewhere):
                refused.append((move, found.head))
            else:
                (landed if found else waiting).append(move)
        while waiting and not refused:
            move = waiting.pop(0)
            moved = await repository.move(move.repo, move.branch, move.old, move.new)
            if isinstance(moved, repository.Elsewhere):
                refused.append((move, moved.head))
            else:
                landed.append(move)
        return _told(action, landed, refused, waiting)

    async def _moves(self, action: Land) -> list[_Move]:
        """One for each branch. Raises `Bug` unless each state is proved on the one before it."""
        moves: dict[tuple[int, str], _Move] = {}
        for project, item, buildset in action.steps:
            repo = self._repositories.path(project.name)
            commit = await _proved(repo, item, buildset)
            key = (project.id, item.branch)
            below = moves.get(key)
            if below is None:
                below = _Move(
                    repo=repo, branch=item.branch, old=buildset.onto, new=commit, items=()
                )
            elif buildset.onto != below.new:
                raise Bug(f"item {item.id} was proved on {buildset.onto}, not on {below.new}")
            moves[key] = dataclasses.replace(below, new=commit, items=(*below.items, item.id))
        return list(moves.values())

    async def heads(self, project: Project) -> dict[str, str | None]:
        """Where the guarded branches stand now."""
        found = await repository.heads(self._repositories.path(project.name))
        return {name: found.get(name) for name in project.branches}


async def _make(repo: Path, action: PrepareState) -> merge.Merged | merge.Conflicted:
    item, buildset, policy = action.item, action.buildset, action.project.policy
    if buildset.role is Role.BASE:
        if buildset.onto is None:
            raise Bug(f"state {buildset.id} is the base of item {item.id}, and there is none")
        return await merge.as_is(repo, buildset.onto)
    commit = await commits.commit_info(repo, item.commit)
    proposal = merge.Proposal(
        commit=item.commit,
        branch=item.branch,
        method=policy.merge if item.pipeline is Pipeline.GATE else MergeMethod.MERGE,
        merged=merge.message(item.change_id or 0, commit.message.partition("\n")[0]),
        trailers=() if item.change_id is None else ((CHANGE_TRAILER, str(item.change_id)),),
        when=item.enqueued_at,
    )
    made = await merge.make(repo, buildset.onto, proposal)
    if isinstance(made, merge.Merged) or item.pipeline is Pipeline.GATE:
        return made
    # A check merges a whole stack, but what is below the change may have landed made anew.
    if policy.merge in _PICKED:
        picked = await merge.make(
            repo, buildset.onto, dataclasses.replace(proposal, method=policy.merge)
        )
        return picked if isinstance(picked, merge.Merged) else made
    return made


async def _proved(repo: Path, item: Item, buildset: Buildset) -> str:
    """The commit that lands with an item. Raises `Bug` unless its tree is the one proved."""
    if buildset.commit is None or buildset.tree is None or buildset.role is not Role.PROOF:
        raise Bug(f"item {item.id} is to land without a proved state")
    tree = await commits.tree_of(repo, buildset.commit)
    if tree != buildset.tree:
        raise Bug(f"tree {buildset.tree} was proved, but {buildset.commit} has tree {tree}")
    return buildset.commit


def _told(
    action: Land,
    landed: Sequence[_Move],
    refused: Sequence[tuple[_Move, str | None]],
    waiting: Sequence[_Move],
) -> tuple[events.Landed | events.LandingRefused, ...]:
    """What became of the items; those that might have moved are refused with the first refusal."""
    done = {number for move in landed for number in move.items}
    in_order = tuple(item.id for _, item, _ in action.steps if item.id in done)
    facts: list[events.Landed | events.LandingRefused] = []
    if in_order:
        facts.append(events.Landed(item_ids=in_order))
    others = tuple(number for move in waiting for number in move.items)
    for move, head in refused:
        facts.append(events.LandingRefused(item_ids=(*move.items, *others), head=head))
        others = ()
    return tuple(facts)
