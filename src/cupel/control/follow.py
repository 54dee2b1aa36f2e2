"""Tells a person who waits at a push how their changes fare, line by line."""

from __future__ import annotations

import asyncio
import dataclasses

from cupel.control.feed import Subscription
from cupel.control.views.cause import causes, to_tell
from cupel.core.model import (
    Build,
    Buildset,
    BuildsetState,
    BuildState,
    Change,
    ChangeState,
    Item,
    ItemState,
    Machine,
    MachineState,
    Pipeline,
    Reason,
    Role,
    Verdict,
)
from cupel.forge.builtin import Say
from cupel.log.store import LogStore
from cupel.report import cause as words
from cupel.report import messages
from cupel.store.interface import Store, Transaction

_FIRST_LOOK = 3.0
"""Seconds that a push without `-o wait` stays to say which jobs run."""

_QUIET = 1.0
"""Seconds without news after which what a change waits for is said, or its old verdict."""

_DECIDING = frozenset({Pipeline.CHECK, Pipeline.GATE})
"""The pipelines that a change has a verdict of; what comes after its landing is no part of it."""


@dataclasses.dataclass(slots=True)
class _Followed:
    """A change and what has been said of it. `land`: the gate's word counts, not the check's.

    Places in pipelines that ended before `since` are of no interest.
    """

    change_id: int
    land: bool
    since: float
    buildset_id: int | None = None
    waits: bool = False
    said: dict[int, tuple[BuildState, Verdict | None]] = dataclasses.field(default_factory=dict)
    reasons: set[str] = dataclasses.field(default_factory=set)
    done: bool = False


class Follower:
    """Follow changes until their jobs are known, or until their verdicts are."""

    def __init__(self, store: Store, logs: LogStore, *, url: str) -> None:
        self._store = store
        self._logs = logs
        self._url = url
        self._followed: list[_Followed] = []

    def add(self, change: Change, *, land: bool, since: float) -> None:
        self._followed.append(_Followed(change_id=change.id, land=land, since=since))

    async def follow(self, news: Subscription, say: Say, *, until_verdict: bool) -> None:
        """`news` was subscribed to before the changes were recorded, so nothing is missed."""
        try:
            async with asyncio.timeout(None if until_verdict else _FIRST_LOOK):
                quiet = False
                while not await self._look(say, until_verdict=until_verdict, quiet=quiet):
                    quiet = await _is_quiet(news)
        except TimeoutError:
            pass
        except StopAsyncIteration:
            unsaid = [each.change_id for each in self._followed if not each.done]
            if until_verdict:
                say(messages.follows_no_more(unsaid, self._url))

    async def _look(self, say: Say, *, until_verdict: bool, quiet: bool) -> bool:
        """Say what is new; whether all has been said."""
        for followed in self._followed:
            if not followed.done:
                async with self._store.read() as tx:
                    await self._tell(tx, followed, say, quiet=quiet)
        if until_verdict:
            return all(each.done for each in self._followed)
        return all(each.buildset_id is not None or each.done for each in self._followed)

    async def _tell(self, tx: Transaction, followed: _Followed, say: Say, *, quiet: bool) -> None:
        change = await tx.get(Change, followed.change_id)
        item = await self._item(tx, followed)
        assert change is not None
        if item is None:
            if quiet:
                await self._tell_outside(tx, followed, change, say)
            return
        buildset = await tx.get(Buildset, item.buildset_id) if item.buildset_id else None
        if buildset is not None and buildset.state is not BuildsetState.PREPARING:
            await self._tell_jobs(tx, followed, item, buildset, say, quiet=quiet)
        if item.state not in (ItemState.LIVE, ItemState.LANDING):
            followed.done = True
            say(messages.verdict(change, item, self._url, await self._why(tx, item)))
        elif quiet and item.wait is not None and item.wait not in followed.reasons:
            followed.reasons.add(item.wait)
            say(messages.waits_inside(item))

    async def _tell_outside(
        self, tx: Transaction, followed: _Followed, change: Change, say: Say
    ) -> None:
        """Of a change in no pipeline: what it waits for, or the verdict that it has already."""
        if followed.land and change.state is ChangeState.OPEN:
            if not followed.waits:
                followed.waits = True
                say(messages.waits_outside(change))
            return
        items = await tx.select(Item, {"change_id": change.id}, descending=True)
        ended = [item for item in items if item.pipeline in _DECIDING]
        if ended:
            followed.done = True
            why = await self._why(tx, ended[0])
            say(messages.verdict(change, ended[0], self._url, why))

    async def _item(self, tx: Transaction, followed: _Followed) -> Item | None:
        """The newest place of the change whose word counts."""
        where: dict[str, object] = {"change_id": followed.change_id}
        items = await tx.select(Item, where, descending=True)
        items = [
            item
            for item in items
            if item.pipeline in _DECIDING
            and (item.finished_at is None or item.finished_at >= followed.since)
        ]
        if followed.land:
            items = [item for item in items if item.pipeline is Pipeline.GATE]
        if items and items[0].reason is Reason.ENTERED_GATE:
            followed.land = True
            return None
        return items[0] if items else None

    async def _tell_jobs(
        self,
        tx: Transaction,
        followed: _Followed,
        item: Item,
        buildset: Buildset,
        say: Say,
        *,
        quiet: bool,
    ) -> None:
        states = await tx.select(Buildset, {"item_id": item.id})
        bases = {each.id for each in states if each.role is Role.BASE}
        builds = await tx.select(Build, {"buildset_id": {buildset.id, *bases}})
        if followed.buildset_id != buildset.id:
            again = followed.buildset_id is not None
            followed.buildset_id = buildset.id
            say(messages.jobs_begin(followed.change_id, item, buildset, again=again))
        for build in builds:
            now = (build.state, build.verdict)
            if build.state is BuildState.STARTING and not quiet:
                continue
            if followed.said.get(build.id) != now:
                followed.said[build.id] = now
                if build.state is BuildState.STARTING:
                    say(messages.waits_long(followed.change_id, build, self._url))
                if build.reused_from is not None:
                    say(await _reused(tx, followed.change_id, build))
                elif build.state in (BuildState.RUNNING, BuildState.FINISHED):
                    base = build.buildset_id in bases
                    say(messages.build_line(followed.change_id, build, self._url, base=base))
                if build.verdict in (Verdict.FAILURE, Verdict.TIMEOUT):
                    for each in await causes(tx, self._logs, [build]):
                        for line in words.error(each.tests, each.failing, each.lines):
                            say(f"      {line}")
                if build.state is BuildState.FINISHED:
                    await self._tell_hold(tx, followed.change_id, build, say)

    async def _tell_hold(self, tx: Transaction, change: int, build: Build, say: Say) -> None:
        where = {"build_id": build.id, "state": (MachineState.HELD,)}
        for machine in await tx.select(Machine, where):
            if machine.held_until is not None and machine.id == build.machine_id:
                say(messages.held(change, build, machine.held_until, f"cupel shell {build.id}"))

    async def _why(self, tx: Transaction, item: Item) -> list[str]:
        """For an item that has not passed: the error in a line, and whose fault that is."""
        if item.state in (ItemState.LANDED, ItemState.PASSED):
            return []
        builds = await tx.select(Build, {"item_id": item.id})
        states = await tx.select(Buildset, {"item_id": item.id})
        said: list[str] = []
        for each in await causes(tx, self._logs, to_tell(builds, states)):
            error = words.brief(each.tests, each.failing, each.lines)
            said += [error] if error is not None else []
            proofs = [proof.text for proof in each.blame.proofs]
            said.append(words.blame(each.job, each.blame.text, proofs))
        return said


async def _reused(tx: Transaction, change_id: int, build: Build) -> str:
    assert build.reused_from is not None
    origin = await tx.get(Build, build.reused_from)
    item = await tx.get(Item, origin.item_id) if origin is not None else None
    change = None if item is None else item.change_id
    return f"  {change_id} {messages.build_reused(build.job, build.reused_from, change)}"


async def _is_quiet(news: Subscription) -> bool:
    """Wait for news and drop it: the store is read anyway. Whether none came for a while."""
    try:
        async with asyncio.timeout(_QUIET):
            await anext(news)
    except TimeoutError:
        return True
    news.skip()
    return False
