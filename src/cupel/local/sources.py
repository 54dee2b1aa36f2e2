"""What jobs are given here: the state of the working tree, and what needed jobs have left."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

from cupel.git import snapshot
from cupel.git.snapshot import Worktree
from cupel.host.messages import BuildSpec, NeedSpec, SourceSpec
from cupel.host.source import Sources

if TYPE_CHECKING:
    from cupel.artefact.store import ArtefactStore
    from cupel.local.reading import Read

REMOTE = "cupel"
"""The remote that people push changes to, as the tutorial has it."""

FIRST = 1
"""The number of the first machine of a run."""


class LocalSources(Sources):
    """See `host.source.Sources`. Needed artefacts are in `store`, by the number of their builds."""

    def __init__(self, place: Path) -> None:
        super().__init__(place)
        self.store: ArtefactStore | None = None
        self._ahead: tuple[tuple[str, SourceSpec], asyncio.Future[Path]] | None = None

    def begin(self, project: str, source: SourceSpec) -> None:
        """Lay out ahead what the first machine will want, whichever job has it."""
        spec = BuildSpec(build=0, project=project, job="", source=source, steps=())
        coming = asyncio.ensure_future(super().lay_out(FIRST, spec, shared=True))
        self._ahead = (project, source), coming

    async def lay_out(self, machine: int, build: BuildSpec, *, shared: bool) -> Path:
        if machine != FIRST or self._ahead is None:
            return await super().lay_out(machine, build, shared=shared)
        wanted, coming = self._ahead
        alone = shared and not build.needs and not build.beside
        if alone and (build.project, build.source) == wanted:
            self._ahead = None
            return await coming
        await self.close()
        return await super().lay_out(machine, build, shared=shared)

    async def close(self) -> None:
        """Let go of what was laid out and nobody wants. Repeatable."""
        if self._ahead is not None:
            (_, coming), self._ahead = self._ahead, None
            coming.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await coming
            self.forget(FIRST)

    async def needed(self, need: NeedSpec) -> AsyncIterator[bytes]:
        assert self.store is not None
        for piece in self.store.tar(int(need.url), records=False):
            yield piece


def own(read: Read) -> tuple[str, SourceSpec]:
    """The project of a working tree that was read, and its source."""
    worktree = read.worktree
    branch = worktree.upstream or worktree.branch or "HEAD"
    return project_of(worktree), of(read.snapshot.repo, read.snapshot.commit, branch)


def of(repo: Path, commit: str, branch: str) -> SourceSpec:
    return SourceSpec(url=str(repo), ref=snapshot.REF, commit=commit, branch=branch)


def project_of(worktree: Worktree) -> str:
    """The project's name: as in the URL of its remote `cupel` or `origin`, else its directory's."""
    urls = (worktree.urls.get(name, "") for name in (REMOTE, "origin"))
    names = (re.split(r"[/:]", url.rstrip("/"))[-1].removesuffix(".git") for url in urls)
    name = next((each for each in (*names, worktree.root.name) if each), "")
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).lstrip("._-")[:64] or "project"
