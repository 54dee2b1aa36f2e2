"""What people do in a simulated world."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

from cupel.core import events
from cupel.core.model import Change, ChangeState, Item, Job, PatchSet
from cupel.errors import UserError
from cupel.simulate.findings import Findings, Ref
from cupel.simulate.git import ANYTHING, Commit, Patch
from cupel.simulate.server import Server
from cupel.simulate.timeline import Timeline

RETRY = 1.0
"""Seconds after which a person tries again whose request was not answered."""


class People(Findings):
    """The asking half of a world."""

    server: Server
    timeline: Timeline
    note: Callable[[str], None]
    _new_ids: Callable[[int], int]
    _telling: bool

    # Authors.

    def push(
        self,
        name: str,
        *,
        on: Ref | None = None,
        project: str | None = None,
        land: bool = False,
        depends_on: Iterable[Ref] = (),
        touches: Iterable[str] = ANYTHING,
        breaks: Iterable[str] = (),
        clashes: Iterable[str] = (),
        conflicts: Iterable[str] = (),
        repairs: Iterable[str] = (),
        hangs: Iterable[str] = (),
        flaky: float = 0.0,
        takes: float = 10.0,
        fails_at: float = 1.0,
        misconfigured: bool = False,
        jobs: Iterable[Job] | None = None,
    ) -> Ref:
        """A new change of one commit, on the branch head or on top of another change."""
        patch = Patch(
            name=name,
            touches=frozenset(touches),
            breaks=frozenset(breaks),
            clashes=frozenset(clashes),
            conflicts=frozenset(conflicts),
            repairs=frozenset(repairs),
            hangs=frozenset(hangs),
            flaky=flaky,
            takes=takes,
            fails_at=fails_at,
            misconfigured=misconfigured,
            jobs=None if jobs is None else tuple(jobs),
        )
        ref = Ref(name, self._new_ids(1))
        self._names[ref.id] = name
        project_id = self._project_id(project) if on is None else self.change(on).project_id
        self._push(ref, project_id, patch, on, land, tuple(each.id for each in depends_on))
        return ref

    def amend(
        self,
        ref: Ref,
        *,
        land: bool = False,
        depends_on: Iterable[Ref] | None = None,
        **differently: Any,
    ) -> None:
        """A new patch set of the change, in the same place of its stack."""
        patch_set = self.patch_set(ref)
        was = self.git.own_patch(patch_set.commit)
        patch = dataclasses.replace(was, number=was.number + 1, **differently)
        below = patch_set.needs_change
        on = None if below is None else Ref(self._names[below], below)
        needs = patch_set.depends_on if depends_on is None else tuple(r.id for r in depends_on)
        self._push(ref, self.change(ref).project_id, patch, on, land, needs)

    def _push(
        self,
        ref: Ref,
        project_id: int,
        patch: Patch,
        on: Ref | None,
        land: bool,
        depends_on: tuple[int, ...],
    ) -> None:
        parent = self.git.heads[project_id, "main"] if on is None else self.patch_set(on).commit
        commit = self.git.on(parent, patch)
        old = self.rows.find(Change, ref.id)
        now = self.timeline.now
        change = Change(
            id=ref.id,
            project_id=project_id,
            branch="main",
            key=ref.name,
            topic=None,
            title=ref.name,
            description="",
            author="ada",
            owner="ada",
            state=ChangeState.OPEN,
            patch_set=patch.number,
            wants_land=False,
            land_asked_at=None,
            landed_commit=None,
            created_at=now if old is None else old.created_at,
            updated_at=now,
            urgent=old is not None and old.urgent,
        )
        patch_set = self._patch_set(ref, commit, parent, patch, on)
        patch_set = dataclasses.replace(patch_set, depends_on=depends_on)
        approved_by = "bob" if land else None
        self.say(events.ChangePushed(change=change, patch_set=patch_set, approved_by=approved_by))

    def _patch_set(
        self, ref: Ref, commit: Commit, parent: str | None, patch: Patch, on: Ref | None
    ) -> PatchSet:
        return PatchSet(
            id=self._new_ids(1),
            change_id=ref.id,
            number=patch.number,
            commit=commit.id,
            tree=commit.tree,
            parent=parent,
            needs_change=None if on is None else on.id,
            pushed_by="ada",
            created_at=self.timeline.now,
        )

    def abandon(self, ref: Ref) -> None:
        self.say(events.Abandoned(change_id=ref.id, user="ada"))

    def push_around(
        self,
        name: str,
        *,
        project: str | None = None,
        seen: bool = True,
        **fields: Any,
    ) -> None:
        """Somebody moves the branch of a project, by default the first, without the gate.

        `fields` are those of the patch.
        """
        project_id = self._project_id(project)
        patch = Patch(name=name, **fields)
        commit = self.git.on(self.git.heads[project_id, "main"], patch)
        self.git.move((project_id, "main"), commit.id, by_gate=False)
        if seen:
            self.say(events.HeadSeen(project_id=project_id, branch="main", head=commit.id))

    # Reviewers.

    def approve(self, *refs: Ref, user: str = "bob") -> None:
        for ref in refs:
            patch_set = self.change(ref).patch_set
            self.say(events.Approved(change_id=ref.id, patch_set=patch_set, user=user))

    def withdraw(self, ref: Ref, user: str = "bob") -> None:
        self.say(events.ApprovalWithdrawn(change_id=ref.id, user=user))

    def land(self, ref: Ref) -> None:
        self.say(events.LandAsked(change_id=ref.id, user="bob"))

    def dequeue(self, ref: Ref) -> None:
        self.say(events.DequeueAsked(change_id=ref.id, user="bob"))

    def retry(self, ref: Ref, job: str | None = None, *, everything: bool = False) -> None:
        """Somebody wants what was last run of the change once more."""
        numbers = [each.id for each in self.rows.all(Item) if each.change_id == ref.id]
        if numbers:
            self.say(
                events.RetryAsked(item_id=max(numbers), job=job, everything=everything, user="ada")
            )

    # Those who look into machines.

    def hold(
        self,
        *,
        ref: Ref | None = None,
        count: int = 1,
        seconds: float = 60.0,
        within: float = 300.0,
    ) -> int:
        """Ask for the machines of the next builds that fail, of a change or of any."""
        number = self._new_ids(1)
        self.say(
            events.HoldAsked(
                hold_id=number,
                user="eve",
                reason="to look",
                count=count,
                seconds=seconds,
                expires_at=self.timeline.now + within,
                change_id=None if ref is None else ref.id,
            )
        )
        return number

    def release(self, hold: int) -> None:
        self.say(events.HoldReleased(hold_id=hold, user="eve"))

    def enter(self, machine: int, *, seconds: float) -> None:
        """Somebody is in a machine for a while."""
        self.say(events.VisitBegan(machine_id=machine, user="eve", what="a shell"))
        left = events.VisitEnded(machine_id=machine, user="eve", how="left")
        self.timeline.after(seconds, lambda: self.say(left))

    # Operators.

    def promote(self, *refs: Ref) -> None:
        self.say(events.PromoteAsked(change_ids=tuple(ref.id for ref in refs), user="eve"))

    def urgent(self, ref: Ref, *, urgent: bool = True) -> None:
        self.say(events.UrgencySet(change_id=ref.id, urgent=urgent, user="eve"))

    def set_queue(self, name: str | None = None, **fields: Any) -> None:
        """Change some rules of a queue, by default that of the first project."""
        wanted = dataclasses.replace(self.queue_row(name), **fields)
        self.say(
            events.QueueSet(
                name=wanted.name,
                landing=wanted.landing,
                planner=wanted.planner,
                window=wanted.window,
                window_floor=wanted.window_floor,
                window_ceiling=wanted.window_ceiling,
                cycles=wanted.cycles,
                closed=wanted.closed,
                user="eve",
            )
        )

    def close(self, reason: str, queue: str | None = None) -> None:
        self.set_queue(queue, closed=reason)

    def open(self, queue: str | None = None) -> None:
        self.set_queue(queue, closed=None)

    # How it comes to the server.

    def say(self, fact: events.Fact) -> None:
        """A request to the server, made again until it is answered; requests keep their order."""
        self._told.append(fact)
        if not self._telling:
            self._tell()

    def _tell(self) -> None:
        self._telling = bool(self._told)
        while self._told:
            try:
                answered = self.server.record(self._told[0])
            except UserError as refused:
                self.note(f"refused: {refused}")
                answered = True
            if not answered:
                self.timeline.after(RETRY, self._tell)
                return
            self._told.pop(0)
        self._telling = False

    def _project_id(self, name: str | None) -> int:
        return next(iter(self._projects.values())) if name is None else self._projects[name]
