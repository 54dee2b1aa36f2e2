"""What a person may ask for, whether by page, API, command line or push."""

from __future__ import annotations

import asyncio
import re
import shutil
from pathlib import Path

from cupel.control.engine import Engine
from cupel.control.states import Repositories
from cupel.core import admission, events
from cupel.core.draft import Draft
from cupel.core.model import (
    LIVE_ITEMS,
    Approval,
    Change,
    ChangeState,
    Item,
    ItemState,
    Pipeline,
    Policy,
    Project,
)
from cupel.errors import Conflict, NotFound, UserError
from cupel.git import imports, repository
from cupel.store.interface import Store

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_RESERVED = frozenset(
    ["api", "queue", "changes", "builds", "machines", "login", "static", "events", "live"]
)


class Commands:
    """Each method checks that the request fits the present state, and records it as a fact."""

    def __init__(
        self, store: Store, engine: Engine, repositories: Repositories, hooks: Path
    ) -> None:
        self._store = store
        self._engine = engine
        self._repositories = repositories
        self._hooks = hooks
        self._adding = asyncio.Lock()

    async def add_project(
        self, name: str, *, source: str | None, branch: str | None, policy: Policy, user: str
    ) -> Project:
        """Guard a new repository: empty, or with all branches and tags of `source`."""
        _check_name(name)
        async with self._adding:
            if await self._project(name) is not None:
                raise Conflict(f"there is a project {name} already", hint="choose another name")
            path = self._repositories.path(name)
            if path.exists():
                # A repository without a project is what a crash between the two leaves.
                await asyncio.to_thread(_discard, path)
            if source is None:
                branch = branch or "main"
                await repository.create(path, branch, self._hooks)
            else:
                imported = await imports.import_from(path, source, self._hooks)
                branch = branch or imported.branch
            head = await repository.head(path, branch)
            fact = events.ProjectAdded(name=name, branches=(branch,), heads=(head,), policy=policy)
            await self._engine.record(fact)
        project = await self._project(name)
        assert project is not None
        return project

    async def approve(self, change_id: int, *, user: str, patch_set: int | None = None) -> Change:
        """Approve the present patch set; enough approvals send the change into the gate."""
        change = await self._open_change(change_id)
        if patch_set is not None and patch_set != change.patch_set:
            raise Conflict(
                f"change {change_id} is at patch set {change.patch_set}, not {patch_set}",
                hint="look at the newer one, then approve that",
            )
        await self._engine.record(
            events.Approved(change_id=change_id, patch_set=change.patch_set, user=user)
        )
        return await self._change(change_id)

    async def withdraw(self, change_id: int, *, user: str) -> Change:
        """Take one's approval back; a change that then lacks one leaves the gate."""
        change = await self._open_change(change_id)
        async with self._store.read() as tx:
            where = {"change_id": change_id, "user": user, "withdrawn_at": None}
            given = await tx.count(Approval, where)
        if not given:
            raise Conflict(f"{user} has not approved change {change.id}")
        await self._refuse_while_landing(change_id)
        await self._engine.record(events.ApprovalWithdrawn(change_id=change_id, user=user))
        return await self._change(change_id)

    async def land(self, change_id: int, *, user: str) -> Change:
        """Ask for the change, and the approved ones of its stack, to enter the gate."""
        change = await self._open_change(change_id)
        await self._check_approved(change)
        await self._engine.record(events.LandAsked(change_id=change_id, user=user))
        return await self._change(change_id)

    async def dequeue(self, change_id: int, *, user: str) -> Change:
        """Take the change out of the gate; what depends on it leaves too."""
        change = await self._change(change_id)
        if await self._gate_item(change_id) is None and not change.wants_land:
            raise Conflict(f"change {change_id} is not in the gate")
        await self._refuse_while_landing(change_id)
        await self._engine.record(events.DequeueAsked(change_id=change_id, user=user))
        return await self._change(change_id)

    async def abandon(self, change_id: int, *, user: str) -> Change:
        """Give the change up; its builds stop. Pushing it again opens it again."""
        await self._open_change(change_id)
        await self._refuse_while_landing(change_id)
        await self._engine.record(events.Abandoned(change_id=change_id, user=user))
        return await self._change(change_id)

    async def _project(self, name: str) -> Project | None:
        async with self._store.read() as tx:
            found = await tx.select(Project, {"name": name})
        return found[0] if found else None

    async def _change(self, change_id: int) -> Change:
        async with self._store.read() as tx:
            change = await tx.get(Change, change_id)
        if change is None:
            raise NotFound(f"there is no change {change_id}")
        return change

    async def _open_change(self, change_id: int) -> Change:
        change = await self._change(change_id)
        if change.state is not ChangeState.OPEN:
            raise Conflict(f"change {change_id} is {change.state}")
        return change

    async def _gate_item(self, change_id: int) -> Item | None:
        where = {"change_id": change_id, "pipeline": Pipeline.GATE, "state": tuple(LIVE_ITEMS)}
        async with self._store.read() as tx:
            found = await tx.select(Item, where)
        return found[0] if found else None

    async def _refuse_while_landing(self, change_id: int) -> None:
        item = await self._gate_item(change_id)
        if item is not None and item.state is ItemState.LANDING:
            raise Conflict(f"change {change_id} is landing at this moment")

    async def _check_approved(self, change: Change) -> None:
        async with self._store.read() as tx:
            approvals = await tx.select(Approval, {"change_id": change.id})
            projects = await tx.select(Project, {"id": [change.project_id]})
        draft = Draft([change, *approvals, *projects], now=0.0, ids=iter(()))
        if not admission.is_approved(draft, change):
            needed = projects[0].policy.approvals
            raise Conflict(
                f"change {change.id} lacks approval: patch set {change.patch_set} needs {needed}",
                hint=f"cupel approve {change.id}",
            )


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name) or name.endswith((".git", ".lock", ".")) or ".." in name:
        raise UserError(
            f"{name!r} cannot be the name of a project",
            hint="use up to 64 of: letters, digits, dot, dash, underscore; begin with a letter",
        )
    if name in _RESERVED:
        raise UserError(f"{name!r} is a word of Cupel's own addresses", hint="choose another name")


def _discard(path: Path) -> None:
    shutil.rmtree(path)
