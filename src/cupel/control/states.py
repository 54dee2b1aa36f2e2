"""Speculative states in git: merged, their jobs frozen, and one of them landed at last."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from pathlib import Path

from cupel.config import freeze
from cupel.config import load as configuration
from cupel.core import events
from cupel.core.actions import Land, PrepareState
from cupel.core.model import Job, Pipeline, Project
from cupel.errors import Bug, UserError
from cupel.git import commits, merge, repository

_AT_ONCE = 4
"""Merges under way at a time; each is a few short processes."""


class Repositories:
    """Where the repositories of projects lie."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, project: str) -> Path:
        return self.root / f"{project}.git"


class States:
    """Makes states and lands them; every method may be repeated after a crash, to the same end."""

    def __init__(self, repositories: Repositories, labels: Collection[str]) -> None:
        self._repositories = repositories
        self._labels = labels
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def prepare(
        self, action: PrepareState
    ) -> events.StatePrepared | events.StateConflicted | events.StateMisconfigured:
        """Merge, keep the result by a ref, and freeze the jobs of the item's pipeline."""
        async with self._turns:
            repo = self._repositories.path(action.project.name)
            item, buildset = action.item, action.buildset
            made = await merge.merge(
                repo,
                buildset.onto,
                item.commit,
                message=await _message(repo, action),
                when=item.enqueued_at,
            )
            if isinstance(made, merge.Conflicted):
                return events.StateConflicted(buildset_id=buildset.id, paths=made.paths)
            await repository.keep_state(repo, buildset.id, made.commit)
            try:
                jobs, notice = await self.jobs(repo, made.commit, item.pipeline)
            except UserError as error:
                return events.StateMisconfigured(buildset_id=buildset.id, error=str(error))
            return events.StatePrepared(
                buildset_id=buildset.id,
                commit=made.commit,
                tree=made.tree,
                jobs=jobs,
                notice=notice,
            )

    async def jobs(
        self, repo: Path, commit: str, pipeline: Pipeline, *, env: dict[str, str] | None = None
    ) -> tuple[tuple[Job, ...], str | None]:
        """The frozen jobs of a pipeline as `commit` defines them, and what to tell the user."""
        listing = await commits.list_files(repo, commit, env=env)
        wanted = configuration.config_paths(listing)
        files = {path: await commits.read_file(repo, commit, path, env=env) for path in wanted}
        texts = {path: text.decode(errors="replace") for path, text in files.items() if text}
        loaded = configuration.load(texts, listing, self._labels)
        return freeze.freeze(loaded.config, pipeline, self._labels), loaded.notice

    async def land(self, action: Land) -> events.Landed | events.LandingRefused:
        """Move the branch to exactly the tree that was proved, if it stands where that began."""
        item, buildset = action.item, action.buildset
        repo = self._repositories.path(action.project.name)
        if buildset.commit is None or buildset.tree is None:
            raise Bug(f"item {item.id} is to land without a proved state")
        tree = await commits.tree_of(repo, buildset.commit)
        if tree != buildset.tree:
            raise Bug(f"tree {buildset.tree} was proved, but {buildset.commit} has tree {tree}")
        moved = await repository.move(repo, item.branch, buildset.onto, buildset.commit)
        if isinstance(moved, repository.Elsewhere):
            return events.LandingRefused(item_id=item.id, head=moved.head)
        return events.Landed(item_id=item.id)

    async def heads(self, project: Project) -> dict[str, str | None]:
        """Where the guarded branches stand now."""
        found = await repository.heads(self._repositories.path(project.name))
        return {name: found.get(name) for name in project.branches}


async def _message(repo: Path, action: PrepareState) -> str:
    commit = await commits.commit_info(repo, action.item.commit)
    return merge.message(action.item.change_id or 0, commit.message.partition("\n")[0])
