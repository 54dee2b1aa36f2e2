"""Takes pushes for review: each commit of a stack becomes a change or a new patch set of one."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from dataclasses import replace

import structlog

from cupel.control import holds, load
from cupel.control.clock import Clock
from cupel.control.engine import ID_COUNTER, Engine
from cupel.control.feed import Feed
from cupel.control.follow import Follower
from cupel.control.states import States
from cupel.core import admission, events
from cupel.core.hold import Hold, HoldState
from cupel.core.model import Change, ChangeState, PatchSet, Pipeline, Project
from cupel.errors import InfraError, NotFound, UserError
from cupel.forge import examine
from cupel.forge import stack as stacks
from cupel.forge.builtin import Became, RefResult, Say
from cupel.forge.examine import Proposal
from cupel.forge.push import Push, Refusal, Review
from cupel.forge.stack import ProposedChange
from cupel.git import extent as extents
from cupel.git import repository
from cupel.git.extent import Extent
from cupel.log.store import LogStore
from cupel.report import messages
from cupel.store.interface import Store, Transaction

log = structlog.get_logger(__name__)

CHANGE_COUNTER = "change"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Taken:
    """A proposed change as recorded; `old` is the commit of the patch set before, if any."""

    change: Change
    patch_set: PatchSet
    old: str | None

    @property
    def is_new(self) -> bool:
        return self.old != self.patch_set.commit


class Pushes:
    """The `Receiver` of the built-in forge."""

    def __init__(
        self,
        store: Store,
        engine: Engine,
        feed: Feed,
        states: States,
        logs: LogStore,
        clock: Clock,
        *,
        url: str,
    ) -> None:
        self._store = store
        self._engine = engine
        self._feed = feed
        self._states = states
        self._logs = logs
        self._clock = clock
        self._url = url
        self._recording = asyncio.Lock()

    async def validate(self, push: Push) -> Sequence[Refusal]:
        """Why the push cannot be taken; its objects are in quarantine."""
        project = await self._project(push.project)
        proposals, refusals = await examine.examine(push, project.branches)
        for proposal in proposals:
            refusals += await self._refuse_known(project, proposal)
            refusals += await self._refuse_depends_on(project, proposal)
            refusals += await self._refuse_misconfigured(push, proposal)
        return refusals

    async def receive(self, push: Push, say: Say) -> Sequence[RefResult]:
        """Record the changes, tell of them, and with `-o wait` stay until their verdicts."""
        project = await self._project(push.project)
        proposals, refusals = await examine.examine(push, project.branches)
        results = [RefResult(ref=refusal.ref, refused=refusal.message) for refusal in refusals]
        follower = Follower(self._store, self._logs, url=self._url)
        waiting, began = False, self._clock()
        with self._feed.subscribe() as news:
            for proposal in proposals:
                # A client that leaves must not undo half of what it sent.
                taken = await asyncio.shield(self._record(push, project, proposal))
                results.append(_result(proposal.review, taken))
                land = proposal.review.options.land
                for each in taken:
                    # What was said of a commit stands, unless this push asks for something.
                    since = began if each.is_new or land else 0.0
                    follower.add(each.change, land=land, since=since)
                    say(messages.push_taken(each.change, each.patch_set, self._url, each.is_new))
                if land:
                    await self._say_obstacles([each.change.id for each in taken], say)
                waiting = waiting or proposal.review.options.wait
            await follower.follow(news, say, until_verdict=waiting)
        return results

    async def _say_obstacles(self, change_ids: Sequence[int], say: Say) -> None:
        """What keeps changes that were asked to land out of the gate."""
        async with self._store.read() as tx:
            changes = await tx.select(Change, {"id": change_ids})
            draft = await load.with_needs(tx, changes)
        for change in changes:
            if (why := admission.why_not(draft, change)) is not None:
                say(messages.kept_out(change, why))

    async def _project(self, name: str) -> Project:
        async with self._store.read() as tx:
            found = await tx.select(Project, {"name": name})
        if not found:
            raise NotFound(f"there is no project {name}")
        return found[0]

    async def _refuse_known(self, project: Project, proposal: Proposal) -> list[Refusal]:
        async with self._store.read() as tx:
            known = await _known(tx, project.id, proposal)
        refusals = []
        for proposed in proposal.changes:
            found = stacks.find(proposed, {key: _as_known(*known[key]) for key in known})
            refusal = found and stacks.refuse_known(proposal.review, proposed, found)
            if refusal:
                refusals.append(refusal)
        return refusals

    async def _refuse_depends_on(self, project: Project, proposal: Proposal) -> list[Refusal]:
        named = {number for change in proposal.changes for number in change.depends_on}
        if not named:
            return []
        async with self._store.read() as tx:
            there = {change.id for change in await tx.select(Change, {"id": named})}
            known = await _known(tx, project.id, proposal)
        refusals = []
        for proposed in proposal.changes:
            found = stacks.find(proposed, {key: _as_known(*known[key]) for key in known})
            own = known[found.key][0].id if found else None
            refusals += stacks.refuse_depends_on(proposal.review, proposed, own, there)
        return refusals

    async def _refuse_misconfigured(self, push: Push, proposal: Proposal) -> list[Refusal]:
        """Every commit of the stack must be one whose jobs can be known."""
        refusals: list[Refusal] = []
        for proposed in proposal.changes:
            try:
                for pipeline in Pipeline:
                    await self._states.jobs(
                        push.repo, proposed.commit, pipeline, env=dict(push.env)
                    )
            except UserError as error:
                message = f"commit {proposed.commit[:12]} has a configuration that cannot be used"
                refusals.append(Refusal(ref=proposal.review.ref, message=message, hint=str(error)))
        return refusals

    async def _record(self, push: Push, project: Project, proposal: Proposal) -> list[_Taken]:
        async with self._recording:
            sizes = [await _extent(push, change) for change in proposal.changes]
            taken = await self._number(push, project, proposal, sizes)
            for each in taken:
                if each.is_new:
                    await repository.keep_patch_set(
                        push.repo, each.change.id, each.patch_set.number, each.patch_set.commit
                    )
            land = proposal.review.options.land
            await self._engine.record(*_facts(taken, push.user if land else None))
            if proposal.review.options.hold:
                await self._hold(push.user, taken)
            return taken

    async def _hold(self, user: str, taken: Sequence[_Taken]) -> None:
        """Have the machine of the next build of each change that fails kept, unless one is."""
        async with self._store.write() as tx:
            ids = {each.change.id for each in taken}
            asked = {
                hold.change_id
                for hold in await tx.select(Hold, {"state": (HoldState.OPEN,)})
                if hold.owner == user and hold.build_id is None
            }
            numbers = {change: await tx.reserve(ID_COUNTER) for change in sorted(ids - asked)}
        projects = {each.change.id: each.change.project_id for each in taken}
        now = self._clock()
        await self._engine.record(
            *(
                events.HoldAsked(
                    hold_id=number,
                    user=user,
                    reason="asked for with the push",
                    count=1,
                    seconds=holds.SECONDS,
                    expires_at=now + holds.WISH,
                    project_id=projects[change],
                    change_id=change,
                )
                for change, number in numbers.items()
            )
        )

    async def _number(
        self, push: Push, project: Project, proposal: Proposal, sizes: Sequence[Extent]
    ) -> list[_Taken]:
        """Give each proposed change its number and its rows, but store none of them."""
        taken: list[_Taken] = []
        async with self._store.write() as tx:
            known = await _known(tx, project.id, proposal)
            as_known = {key: _as_known(*known[key]) for key in known}
            for proposed, size in zip(proposal.changes, sizes, strict=True):
                found = stacks.find(proposed, as_known)
                below = None if proposed.needs is None else taken[proposed.needs].change.id
                if found is None:
                    made = await self._first(tx, push, project, proposal.review, proposed, below)
                else:
                    made = await self._next(tx, push, proposed, *known[found.key], below)
                if made.is_new:
                    sized = replace(made.patch_set, files=size.files, lines=size.lines)
                    made = replace(made, patch_set=sized)
                taken.append(made)
        return taken

    async def _first(
        self,
        tx: Transaction,
        push: Push,
        project: Project,
        review: Review,
        proposed: ProposedChange,
        below: int | None,
    ) -> _Taken:
        now = self._clock()
        change = Change(
            id=await tx.reserve(CHANGE_COUNTER),
            project_id=project.id,
            branch=review.branch,
            key=proposed.key,
            topic=proposed.topic,
            title=proposed.title,
            description=proposed.description,
            author=proposed.author,
            owner=push.user,
            state=ChangeState.OPEN,
            patch_set=1,
            wants_land=False,
            land_asked_at=None,
            landed_commit=None,
            created_at=now,
            updated_at=now,
        )
        patch_set = await self._patch_set(tx, push, proposed, change, below)
        return _Taken(change=change, patch_set=patch_set, old=None)

    async def _next(
        self,
        tx: Transaction,
        push: Push,
        proposed: ProposedChange,
        change: Change,
        newest: PatchSet,
        below: int | None,
    ) -> _Taken:
        same = proposed.commit == newest.commit and newest.needs_change == below
        if same and change.state is ChangeState.OPEN:
            return _Taken(change=change, patch_set=newest, old=newest.commit)
        change = replace(
            change,
            key=proposed.key,
            topic=proposed.topic or change.topic,
            title=proposed.title,
            description=proposed.description,
            author=proposed.author,
            state=ChangeState.OPEN,
            patch_set=change.patch_set + 1,
            updated_at=self._clock(),
        )
        patch_set = await self._patch_set(tx, push, proposed, change, below)
        return _Taken(change=change, patch_set=patch_set, old=newest.commit)

    async def _patch_set(
        self,
        tx: Transaction,
        push: Push,
        proposed: ProposedChange,
        change: Change,
        below: int | None,
    ) -> PatchSet:
        return PatchSet(
            id=await tx.reserve(ID_COUNTER),
            change_id=change.id,
            number=change.patch_set,
            commit=proposed.commit,
            tree=proposed.tree,
            parent=proposed.parent,
            needs_change=below,
            pushed_by=push.user,
            created_at=self._clock(),
            depends_on=proposed.depends_on,
        )


async def _extent(push: Push, proposed: ProposedChange) -> Extent:
    """How much the commit changes; nothing where git cannot say it in time: it is an estimate."""
    try:
        return await extents.extent(push.repo, proposed.parent, proposed.commit)
    except InfraError as error:
        log.warning("could not measure a commit", commit=proposed.commit, error=str(error))
        return Extent()


def _facts(taken: Sequence[_Taken], approved_by: str | None) -> list[events.Fact]:
    facts: list[events.Fact] = []
    for each in taken:
        change, patch_set = each.change, each.patch_set
        if each.is_new:
            facts.append(
                events.ChangePushed(change=change, patch_set=patch_set, approved_by=approved_by)
            )
        elif approved_by is not None:
            facts.append(
                events.Approved(change_id=change.id, patch_set=patch_set.number, user=approved_by)
            )
            facts.append(events.LandAsked(change_id=change.id, user=approved_by))
    return facts


async def _known(
    tx: Transaction, project_id: int, proposal: Proposal
) -> dict[str, tuple[Change, PatchSet]]:
    """The newest change of each key that the proposal may mean, with its newest patch set."""
    keys = {key for change in proposal.changes for key in (change.key, *change.former)}
    where = {"project_id": project_id, "branch": proposal.review.branch, "key": keys}
    found = {change.key: change for change in await tx.select(Change, where)}
    known = {}
    for key, change in found.items():
        where = {"change_id": change.id, "number": change.patch_set}
        (newest,) = await tx.select(PatchSet, where)
        known[key] = (change, newest)
    return known


def _as_known(change: Change, newest: PatchSet) -> stacks.Known:
    return stacks.Known(
        key=change.key, title=change.title, state=change.state, commit=newest.commit
    )


def _result(review: Review, taken: Sequence[_Taken]) -> RefResult:
    became = tuple(
        Became(
            ref=repository.change_ref(each.change.id, each.patch_set.number),
            old=None,
            new=each.patch_set.commit,
        )
        for each in taken
        if each.is_new
    )
    if not became and not review.options.land:
        return RefResult(ref=review.ref, refused="no new changes")
    return RefResult(ref=review.ref, became=became)
