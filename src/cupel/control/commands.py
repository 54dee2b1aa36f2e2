"""What a person may ask for, whether by page, API, command line or push."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cupel.control import load
from cupel.control.clock import Clock
from cupel.control.engine import ID_COUNTER, Engine
from cupel.control.states import Repositories
from cupel.core import admission, events, quarantine, results, retry, speculation
from cupel.core import host as hosts
from cupel.core.cache import KEPT, Cache
from cupel.core.draft import Draft
from cupel.core.model import (
    LIVE_ITEMS,
    Approval,
    Build,
    Change,
    ChangeState,
    Event,
    Host,
    HostState,
    Item,
    ItemState,
    Machine,
    MachineState,
    Pipeline,
    Policy,
    Project,
    Queue,
)
from cupel.core.quarantine import Quarantine
from cupel.errors import Conflict, NotFound, UserError
from cupel.git import imports, repository
from cupel.store.interface import Store, Transaction

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_RESERVED = frozenset(
    ["api", "queue", "changes", "builds", "machines", "login", "static", "events", "live"]
)


class Commands:
    """Each method checks that the request fits the present state, and records it as a fact."""

    def __init__(
        self,
        store: Store,
        engine: Engine,
        repositories: Repositories,
        hooks: Path,
        clock: Clock,
        has_image: Callable[[str], bool],
    ) -> None:
        self._store = store
        self._has_image = has_image
        self._engine = engine
        self._repositories = repositories
        self._hooks = hooks
        self._clock = clock
        self._adding = asyncio.Lock()
        self._ruling = asyncio.Lock()

    async def add_project(
        self,
        name: str,
        *,
        source: str | None,
        branch: str | None,
        policy: Policy,
        user: str,
        queue: str | None = None,
    ) -> Project:
        """Guard a new repository: empty, or with all branches and tags of `source`.

        It joins the named queue, which must exist, or gets one of its own.
        """
        _check_name(name)
        async with self._adding:
            if await self._project(name) is not None:
                raise Conflict(f"there is a project {name} already", hint="choose another name")
            await self._check_queue(name, queue)
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
            fact = events.ProjectAdded(
                name=name, queue=queue, branches=(branch,), heads=(head,), policy=policy
            )
            await self._engine.record(fact)
        project = await self._project(name)
        assert project is not None
        return project

    async def set_project(
        self, name: str, *, policy: Mapping[str, Any], queue: str | None, user: str
    ) -> Project:
        """Change fields of a project's policy, and the queue that its changes go through.

        The queue can be changed while none of the project's changes is in the gate.
        """
        project = await self._project(name)
        if project is None:
            raise NotFound(f"there is no project {name}", hint="`cupel project list` has them all")
        if queue is not None:
            await self._move_project(project, queue, user)
        if policy:
            wanted = replace(project.policy, **policy)
            await self._engine.record(
                events.PolicySet(project_id=project.id, policy=wanted, user=user)
            )
        changed = await self._project(name)
        assert changed is not None
        return changed

    async def _move_project(self, project: Project, name: str, user: str) -> None:
        """In one transaction, so that nothing enters the gate meanwhile."""
        where = {"project_id": project.id, "pipeline": Pipeline.GATE, "state": tuple(LIVE_ITEMS)}
        async with self._store.write() as tx:
            queue = await _queue(tx, name)
            project = await tx.get(Project, project.id) or project
            if queue.id == project.queue_id:
                return
            if count := await tx.count(Item, where):
                raise Conflict(
                    f"{project.name} has changes in the gate ({count})",
                    hint="change its queue when they have landed, or dequeue them",
                )
            told = Event(
                id=await tx.reserve(ID_COUNTER),
                at=self._clock(),
                kind="project.queue-set",
                project_id=project.id,
                user=user,
                text=name,
            )
            await tx.put([replace(project, queue_id=queue.id), told])
        self._engine.wake()

    async def set_queue(self, name: str, rules: Mapping[str, Any], *, user: str) -> Queue:
        """Change rules of a queue, fields of `Queue`; one of a new name is made."""
        async with self._ruling:
            async with self._store.read() as tx:
                found = await tx.select(Queue, {"name": name})
            if not found:
                _check_name(name)
            present = found[0] if found else Queue(id=0, name=name, created_at=0.0)
            wanted = replace(present, **rules)
            _check_rules(wanted)
            await self._engine.record(
                events.QueueSet(
                    name=name,
                    landing=wanted.landing,
                    planner=wanted.planner,
                    window=wanted.window,
                    window_floor=wanted.window_floor,
                    window_ceiling=wanted.window_ceiling,
                    cycles=wanted.cycles,
                    closed=wanted.closed,
                    user=user,
                )
            )
        async with self._store.read() as tx:
            return await _queue(tx, name)

    async def delete_machine(self, number: int, *, user: str) -> None:
        """Delete a machine; what it runs is lost, and run again elsewhere."""
        async with self._store.read() as tx:
            machine = await tx.get(Machine, number)
        if machine is None:
            raise NotFound(f"there is no machine {number}", hint="`cupel machine list` has them")
        if machine.state in (MachineState.DELETING, MachineState.GONE):
            raise Conflict(f"machine {number} is {machine.state} already")
        await self._engine.record(events.MachineDeleteAsked(machine_id=number, user=user))

    async def clear_caches(self, name: str, *, cache: str | None, user: str) -> int:
        """Have a project's caches removed, those of a name or all; how many there are."""
        project = await self._project(name)
        if project is None:
            raise NotFound(f"there is no project {name}", hint="`cupel project list` has them all")
        async with self._store.read() as tx:
            where = {"project_id": project.id, "state": tuple(KEPT)}
            there = await tx.select(Cache, where)
        count = sum(cache in (None, each.name) for each in there)
        if count:
            await self._engine.record(
                events.CachesClearAsked(project_id=project.id, name=cache, user=user)
            )
        return count

    async def drain_host(self, name: str, *, draining: bool, user: str) -> None:
        """Let a host get nothing more, and lose its idle machines; or end that."""
        async with self._store.read() as tx:
            known = await tx.select(Host, {"name": name})
        if not known:
            raise NotFound(f"there is no host {name}", hint="`cupel host list` has them all")
        if known[0].draining == draining:
            word = "is being drained already" if draining else "is not being drained"
            raise Conflict(f"host {name} {word}")
        await self._engine.record(events.HostDrainSet(name=name, draining=draining, user=user))

    async def release_host(self, name: str, *, user: str) -> None:
        """Give a host builds again that is in quarantine, or on probation after it."""
        async with self._store.read() as tx:
            known = await tx.select(Host, {"name": name})
        if not known:
            raise NotFound(f"there is no host {name}", hint="`cupel host list` has them all")
        if not hosts.is_suspect(known[0]):
            raise Conflict(f"host {name} is not in quarantine")
        await self._engine.record(events.HostReleased(name=name, user=user))

    async def forget_host(self, name: str, *, user: str) -> None:
        """Do not wait for a host any more that is lost."""
        async with self._store.read() as tx:
            known = await tx.select(Host, {"name": name})
        if not known or known[0].state is HostState.FORGOTTEN:
            raise NotFound(f"there is no host {name}", hint="`cupel host list` has them all")
        if known[0].state is HostState.CONNECTED:
            raise Conflict(f"host {name} is connected", hint="stop its process first")
        await self._engine.record(events.HostForgotten(name=name, user=user))

    async def close_queue(self, name: str, *, reason: str, user: str) -> Queue:
        """Let nothing land until the queue is opened again; changes are still proved."""
        reason = " ".join(reason.split())
        if not reason:
            raise UserError("a queue is closed for a reason", hint="say it, for all who wait")
        async with self._store.read() as tx:
            await _queue(tx, name)
        return await self.set_queue(name, {"closed": reason}, user=user)

    async def open_queue(self, name: str, *, user: str) -> Queue:
        async with self._store.read() as tx:
            queue = await _queue(tx, name)
        if queue.closed is None:
            raise Conflict(f"the queue {name} is open")
        return await self.set_queue(name, {"closed": None}, user=user)

    async def promote(self, change_ids: Sequence[int], *, user: str) -> list[Change]:
        """Put changes first in their queue, in this order, with what they need ahead of them."""
        for number in change_ids:
            await self._change(number)
            if await self._gate_item(number) is None:
                raise Conflict(f"change {number} is not in the gate", hint=f"cupel land {number}")
            await self._refuse_while_landing(number)
        await self._engine.record(events.PromoteAsked(change_ids=tuple(change_ids), user=user))
        return [await self._change(number) for number in change_ids]

    async def set_urgent(self, change_id: int, *, urgent: bool, user: str) -> Change:
        """Have the change go to the front of its queue, now or when it enters; or not any more."""
        await self._open_change(change_id)
        await self._engine.record(events.UrgencySet(change_id=change_id, urgent=urgent, user=user))
        return await self._change(change_id)

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
        """Ask for the change, what it needs and what needs it to enter the gate, if approved.

        Raises `Conflict` for what will never enter as it is.
        """
        change = await self._open_change(change_id)
        await self._check_approved(change)
        await self._check_needs(change)
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

    async def retry_change(self, change_id: int, *, everything: bool, user: str) -> Change:
        """Run again what failed of what was last run of the change, or everything."""
        await self._change(change_id)
        async with self._store.read() as tx:
            last = await load.last_run(tx, change_id)
        if last is None:
            raise Conflict(f"nothing has been run of change {change_id} yet")
        await self._retry(
            events.RetryAsked(item_id=last.id, job=None, everything=everything, user=user)
        )
        return await self._change(change_id)

    async def retry_build(self, build_id: int, *, everything: bool, user: str) -> Build:
        """Run the job of a build again, or everything that was run with it."""
        async with self._store.read() as tx:
            build = await tx.get(Build, build_id)
            item = None if build is None else await tx.get(Item, build.item_id)
        if build is None or item is None:
            raise NotFound(f"there is no build {build_id}")
        if item.state is not ItemState.LANDED and build.buildset_id != item.buildset_id:
            raise Conflict(
                f"build {build_id} is of a state that was given up",
                hint=f"`cupel change show {item.change_id}` has the builds of the present one",
            )
        await self._retry(
            events.RetryAsked(item_id=item.id, job=build.job, everything=everything, user=user)
        )
        return build

    async def _retry(self, fact: events.RetryAsked) -> None:
        async with self._store.read() as tx:
            draft = await load.to_retry(tx, fact.item_id)
        refusal = retry.refusal(draft, fact)
        if refusal is not None:
            raise Conflict(refusal.text, hint=refusal.hint)
        for image, build in retry.images(draft, fact).items():
            if not self._has_image(image):
                raise Conflict(
                    f"the image that build {build} had is gone: {image}",
                    hint="push the change again: it is run on the image that its label has now",
                )
        await self._engine.record(fact)

    async def quarantine(
        self,
        project: str,
        test: str,
        *,
        job: str | None,
        owner: str,
        reason: str,
        seconds: float,
        user: str,
    ) -> Quarantine:
        """Let a test fail for so long without blocking; `job` None: in every job."""
        found = await self._project(project)
        if found is None:
            raise NotFound(
                f"there is no project {project}", hint="`cupel project list` has them all"
            )
        if not 0 < seconds <= quarantine.LONGEST:
            days = quarantine.LONGEST / 86_400
            raise UserError(
                f"a test is quarantined for at most {days:.0f} days",
                hint="quarantine it again when that has passed",
            )
        test, owner, reason = test.strip(), owner.strip(), reason.strip()
        if not (test and owner and reason):
            raise UserError("a quarantine names a test, an owner and a reason")
        await self._engine.record(
            events.QuarantineAdded(
                project_id=found.id,
                job=job,
                name=test,
                owner=owner,
                reason=reason,
                until=self._clock() + seconds,
                user=user,
            )
        )
        where = {"project_id": found.id, "job": job, "test": results.digest(test)}
        async with self._store.read() as tx:
            rows = await tx.select(Quarantine, {**where, "ended_at": None})
        return rows[-1]

    async def release(self, number: int, *, user: str) -> Quarantine:
        """Have a quarantined test block again."""
        async with self._store.read() as tx:
            known = await tx.get(Quarantine, number)
        if known is None:
            raise NotFound(
                f"there is no quarantine {number}", hint="`cupel quarantine list` has them all"
            )
        if not known.is_in_force(self._clock()):
            raise Conflict(f"quarantine {number} has ended already")
        await self._engine.record(events.QuarantineRemoved(quarantine_id=number, user=user))
        async with self._store.read() as tx:
            return await tx.get(Quarantine, number) or known

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

    async def _check_needs(self, change: Change) -> None:
        """What an abandoned change or a circle keeps out waits for a new patch set, not in vain."""
        async with self._store.read() as tx:
            draft = await load.with_needs(tx, [change])
        if (why := admission.never(draft, change)) is not None:
            raise Conflict(
                f"change {change.id} cannot enter the gate: {why}",
                hint="push it again without that need, or what it needs once more",
            )

    async def _check_queue(self, project: str, queue: str | None) -> None:
        """Whether a new project may have this queue: a named one that exists, or one of its own."""
        async with self._store.read() as tx:
            if queue is not None:
                await _queue(tx, queue)
                return
            found = await tx.select(Queue, {"name": project})
            shared = found and await tx.count(Project, {"queue_id": found[0].id})
        if shared:
            raise Conflict(
                f"there is a queue {project} of other projects",
                hint=f"join it with --queue {project}, or choose another name",
            )

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


async def _queue(tx: Transaction, name: str) -> Queue:
    found = await tx.select(Queue, {"name": name})
    if not found:
        raise NotFound(
            f"there is no queue {name}",
            hint=f"`cupel queue set {name}` makes one, `cupel queue list` has them all",
        )
    return found[0]


def _check_rules(queue: Queue) -> None:
    if queue.planner not in speculation.POLICIES:
        raise UserError(
            f"there is no planner {queue.planner!r}",
            hint=f"one of {', '.join(sorted(speculation.POLICIES))}",
        )
    floor, window, ceiling = queue.window_floor, queue.window, queue.window_ceiling
    if floor < 1:
        raise UserError("a window's floor is at least 1")
    if ceiling is not None and ceiling < floor:
        raise UserError(f"the window's ceiling {ceiling} is below its floor {floor}")
    if window is not None and not floor <= window <= (ceiling or window):
        raise UserError(
            f"a window of {window} is not between its floor {floor} and its ceiling"
            f" {'without limit' if ceiling is None else ceiling}",
            hint="set --window-floor or --window-ceiling too, or --window off",
        )


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name) or name.endswith((".git", ".lock", ".")) or ".." in name:
        raise UserError(
            f"{name!r} cannot be a name",
            hint="use up to 64 of: letters, digits, dot, dash, underscore; begin with a letter",
        )
    if name in _RESERVED:
        raise UserError(f"{name!r} is a word of Cupel's own addresses", hint="choose another name")


def _discard(path: Path) -> None:
    shutil.rmtree(path)
