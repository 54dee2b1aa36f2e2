"""What people may say of runs on their own computers: that a job of a commit has passed there."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from cupel.control import load
from cupel.control.auth import Principal, Scope
from cupel.control.engine import Engine
from cupel.control.states import Repositories, States
from cupel.core import events, offering
from cupel.core.draft import Draft
from cupel.core.key import combine
from cupel.core.model import (
    Build,
    Change,
    ChangeState,
    Evidence,
    Job,
    PatchSet,
    Pipeline,
    Project,
)
from cupel.errors import Conflict, Forbidden, NotFound
from cupel.git import commits, inputs, repository
from cupel.store.interface import Store

ALLOWED = {"write": Scope.WRITE, "admin": Scope.ADMIN}
"""The scope that a token must have, by the word of the configuration; none is enough else."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A pass of `job` on `commit`, by machines of `images`, in order; None if it is yet to be run.

    `key` is what the other side has worked out for it: only compared, never believed.
    """

    project: str
    commit: str
    job: str
    images: tuple[str, ...] | None = None
    key: str | None = None
    host: str = ""
    seconds: float = 0.0


class Offers:
    """`allowed` is whose passes are taken: `nobody`, or those with scope `write` or `admin`."""

    def __init__(
        self,
        store: Store,
        engine: Engine,
        repositories: Repositories,
        states: States,
        *,
        allowed: str,
    ) -> None:
        self._store = store
        self._engine = engine
        self._repositories = repositories
        self._states = states
        self._allowed = allowed

    async def check(self, wish: Wish, principal: Principal) -> None:
        """Raises UserError and its kin for a pass that would not be taken, whatever it ran on."""
        self._may(principal)
        await self._found(wish)

    async def take(self, wish: Wish, principal: Principal) -> int:
        """Keep a pass as evidence; the number of its build. Raises as `check` does.

        What the job is and depends on is worked out here, of our own objects.
        """
        self._may(principal)
        assert wish.images is not None
        project, branch, job, state = await self._found(wish)
        image = " ".join(wish.images)
        fact = events.PassOffered(
            project_id=project.id,
            branch=branch,
            commit=wish.commit,
            tree=await commits.tree_of(self._repo(project), wish.commit),
            job=job,
            key=state,
            image=image,
            user=principal.user,
            host=wish.host,
            seconds=wish.seconds,
        )
        await self._refuse(fact)
        key = combine(state, image, ())
        if wish.key is not None and wish.key != key:
            raise Conflict(
                f"{job.name} was not the same there as it is here",
                hint="run it with --url and the client of the server's version",
            )
        await self._engine.record(fact)
        return await self._kept(fact, key)

    def _may(self, principal: Principal) -> None:
        scope = ALLOWED.get(self._allowed)
        if scope is None:
            raise Forbidden(
                "this server takes no passes of runs elsewhere",
                hint="its operator can allow that: `evidence.offers` in the server's cupel.yaml",
            )
        if not principal.may(scope):
            raise Forbidden(f"this server takes passes only of those who may {scope}")

    async def _found(self, wish: Wish) -> tuple[Project, str, Job, str]:
        """The project, the branch that the commit is for, and the job there with its digest."""
        async with self._store.read() as tx:
            found = await tx.select(Project, {"name": wish.project})
        if not found:
            raise NotFound(
                f"there is no project {wish.project}", hint="`cupel project list` has them all"
            )
        project = found[0]
        repo = self._repo(project)
        branch = await self._branch(project, wish.commit)
        if branch is None:
            raise NotFound(
                f"commit {wish.commit[:12]} is in no branch of {project.name} and no open change",
                hint="push it first",
            )
        jobs = await self._jobs(repo, wish.commit)
        job = jobs.get(wish.job)
        if job is None:
            raise NotFound(f"no job {wish.job} of check or gate is in {wish.commit[:12]}")
        _raise(offering.unfit(job, list(jobs.values())))
        [(_, state)] = await inputs.keys(repo, wish.commit, [job])
        return project, branch, job, state

    def _repo(self, project: Project) -> Path:
        return self._repositories.path(project.name)

    async def _branch(self, project: Project, commit: str) -> str | None:
        async with self._store.read() as tx:
            versions = await tx.select(PatchSet, {"commit": commit})
            numbers = {each.change_id for each in versions}
            where = {"id": numbers, "project_id": project.id, "state": (ChangeState.OPEN,)}
            changes = await tx.select(Change, where) if numbers else []
        if changes:
            return changes[0].branch
        repo = self._repo(project)
        if await commits.kind_of(repo, commit) != "commit":
            return None
        for branch in project.branches:
            head = await repository.head(repo, branch)
            if head is not None and await repository.contains(repo, head, commit):
                return branch
        return None

    async def _jobs(self, repo: Path, commit: str) -> dict[str, Job]:
        """All jobs whose passes can be evidence, by name; those of `post` need them, too."""
        found: dict[str, Job] = {}
        for pipeline in (Pipeline.CHECK, Pipeline.GATE, Pipeline.POST):
            jobs, _ = await self._states.jobs(repo, commit, pipeline)
            found |= {job.name: job for job in jobs}
        return found

    async def _refuse(self, fact: events.PassOffered) -> None:
        async with self._store.read() as tx:
            draft = Draft(await load.offered_rows(tx, fact), now=0.0, ids=iter(()))
        _raise(offering.other_image(draft, fact.job, fact.image))
        _raise(offering.known(draft, combine(fact.key, fact.image, ())))

    async def _kept(self, fact: events.PassOffered, key: str) -> int:
        async with self._store.read() as tx:
            passes = await tx.select(Evidence, {"key": key, "offered": True})
            builds = await tx.select(Build, {"id": {each.build_id for each in passes}})
        for build in builds:
            if build.offer is not None and build.offer.by == fact.user:
                return build.id
        raise Conflict(f"{fact.job.name} has changed its state meanwhile", hint="offer it again")


def _raise(refusal: offering.Refusal | None) -> None:
    if refusal is not None:
        raise Conflict(refusal.text, hint=refusal.hint)
