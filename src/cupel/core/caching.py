"""Which caches a build is given and may save, and what becomes of those that are there.

What a build of the gate saved is a candidate until its item lands on the very state that the build
ran on; a state that is given up takes its candidates with it, for it may hold a change that never
lands. A change that lands without being run again does so by the results of its check: what that
saved is a candidate until the change lands with exactly the tree that was checked. `post` and
audits run on what has landed, so what they save is ready at once; an audit is given nothing, so
that it finds results that hang on a cache, and leaves a clean one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

from cupel.core import cache, events, lifecycle
from cupel.core.cache import Cache, CacheState, CacheUse, JobCache, Wanted
from cupel.core.draft import Draft
from cupel.core.model import (
    LIVE_ITEMS,
    Build,
    Buildset,
    Change,
    ChangeState,
    Host,
    Item,
    ItemState,
    Job,
    Machine,
    Pipeline,
    Role,
    Verdict,
)

TRUSTED = frozenset({Pipeline.POST, Pipeline.PERIODIC})
"""The pipelines that run on what has landed."""


def wanted(draft: Draft, build: Build, buildset: Buildset, job: Job, host: Host) -> list[Wanted]:
    """What the build is to do with each of its job's caches on this host."""
    if not job.caches:
        return []
    there = [
        each
        for each in draft.all(Cache)
        if each.project_id == build.project_id and each.host_id == host.id
    ]
    saves = buildset.role is Role.PROOF
    return [_wanted(each, job.label, build, there, saves=saves) for each in job.caches]


def _wanted(
    job: JobCache, label: str, build: Build, there: Iterable[Cache], *, saves: bool
) -> Wanted:
    if build.pipeline is Pipeline.PERIODIC:
        return Wanted(cache=job, save=saves)
    found = cache.choose(there, cache.scope(job, label), job.contents)
    exact = found is not None and found.contents == job.contents
    # A check is most often run in vain for others: it saves where there is nothing that fits.
    enough = exact and (bool(job.files) or build.pipeline is Pipeline.CHECK)
    return Wanted(
        cache=job, restore=found, exact=exact, save=saves and not enough, if_changed=exact
    )


def build_finished(
    draft: Draft, build: Build, machine: Machine | None, uses: Iterable[CacheUse]
) -> None:
    """Take what the build says that it was given and has saved."""
    buildset = draft.find(Buildset, build.buildset_id)
    job = next((j for j in buildset.jobs if j.name == build.job), None) if buildset else None
    known = {each.name: each for each in job.caches} if job is not None else {}
    there = {(each.build_id, each.name): each for each in draft.all(Cache)}
    for use in uses:
        given = there.get((use.restored or 0, use.name))
        if given is not None:
            draft.put(replace(given, used_at=draft.now))
        if use.saved is not None and machine is not None and use.name in known:
            _saved(draft, build, machine, known[use.name], use.saved)


def _saved(draft: Draft, build: Build, machine: Machine, job: JobCache, size: int) -> None:
    state = CacheState.CANDIDATE
    if build.verdict is not Verdict.SUCCESS or build.visited_by is not None:
        state = CacheState.DROPPING  # whoever was there may have put anything into it
    elif build.pipeline in TRUSTED:
        state = CacheState.READY
    draft.put(
        Cache(
            id=draft.new_id(),
            project_id=build.project_id,
            host_id=machine.host_id,
            name=job.name,
            scope=cache.scope(job, build.label),
            contents=job.contents,
            item_id=build.item_id,
            buildset_id=build.buildset_id,
            build_id=build.id,
            state=state,
            size=size,
            created_at=draft.now,
            used_at=draft.now,
        )
    )
    text = f"{job.name}, {size} bytes"
    draft.tell("cache.saved", text, project_id=build.project_id, build_id=build.id)


def host_connected(draft: Draft, host: Host, files: Iterable[str]) -> None:
    """The host has these and no others."""
    there = set(files)
    for each in draft.all(Cache):
        if each.host_id == host.id and each.file not in there:
            _gone(draft, each, "its host does not have it any more")


def host_forgotten(draft: Draft, host: Host) -> None:
    for each in draft.all(Cache):
        if each.host_id == host.id:
            _gone(draft, each, "its host was forgotten")


def gone(draft: Draft, fact: events.CachesGone) -> None:
    """The host has removed these."""
    host = next((host for host in draft.all(Host) if host.name == fact.host), None)
    for each in draft.all(Cache):
        if host is not None and each.host_id == host.id and each.file in fact.files:
            _gone(draft, each, "the disk of its host was nearly full")


def clear_asked(draft: Draft, fact: events.CachesClearAsked) -> None:
    """Somebody wants the caches of a project to go; those of one name, or all."""
    for each in draft.all(Cache):
        if each.project_id == fact.project_id and fact.name in (None, each.name):
            _drop(draft, each, f"cleared by {fact.user}")
    text = fact.name or "all caches"
    draft.tell("cache.cleared", text, project_id=fact.project_id, user=fact.user)


def plan(draft: Draft) -> None:
    """Decide on candidates whose items have ended; let go of what is of no use or too much."""
    there = draft.all(Cache)
    if not there:
        return
    for each in there:
        if each.state is CacheState.CANDIDATE:
            _decide(draft, each)
    for each in cache.superseded(draft.all(Cache)):
        _drop(draft, each, "a newer one took its place")
    by_host: defaultdict[int, list[Cache]] = defaultdict(list)
    for each in draft.all(Cache):
        by_host[each.host_id].append(each)
    for host_id, caches in by_host.items():
        _bound(draft, draft.get(Host, host_id), caches)


def _decide(draft: Draft, candidate: Cache) -> None:
    item = draft.find(Item, candidate.item_id)
    change = None if item is None else draft.find(Change, item.change_id)
    if item is None or change is None:
        _drop(draft, candidate, "its change is not known")
    elif change.state is not ChangeState.LANDED:
        if not _may_land(item, change):
            _drop(draft, candidate, "its change did not land")
    elif has_landed(draft, candidate, item):
        state = lifecycle.step(lifecycle.CACHE, candidate.state, "land")
        draft.put(replace(candidate, state=state))
    else:
        _drop(draft, candidate, "its change landed on another state")


def _may_land(item: Item, change: Change) -> bool:
    """Whether the item's change may still land on a state of the item."""
    if item.pipeline is Pipeline.CHECK:
        return change.state is ChangeState.OPEN and change.patch_set == item.patch_set
    return item.state in LIVE_ITEMS


def has_landed(draft: Draft, candidate: Cache, item: Item) -> bool:
    """Whether the state that a cache was saved on is one that has landed."""
    if item.pipeline is Pipeline.GATE:
        return item.state is ItemState.LANDED and item.buildset_id == candidate.buildset_id
    checked = draft.find(Buildset, candidate.buildset_id)
    landed = (
        draft.find(Buildset, other.buildset_id)
        for other in draft.all(Item)
        if other.change_id == item.change_id and other.state is ItemState.LANDED
    )
    return checked is not None and any(
        state is not None and (state.tree, state.beside) == (checked.tree, checked.beside)
        for state in landed
    )


def _bound(draft: Draft, host: Host, caches: Iterable[Cache]) -> None:
    """Keep the host's limits: of each project, then of all together.

    Candidates have as much again: what may never land takes no room from what has.
    """
    by_project: defaultdict[tuple[int, CacheState], list[Cache]] = defaultdict(list)
    for each in caches:
        by_project[each.project_id, each.state].append(each)
    for own in by_project.values():
        for each in cache.excess(own, host.cache_share):
            _drop(draft, each, "the project's share is full")
    for state in cache.KEPT:
        left = [c for c in draft.all(Cache) if c.host_id == host.id and c.state is state]
        for each in cache.excess(left, host.cache_room):
            _drop(draft, each, "the room for caches is full")


def _drop(draft: Draft, each: Cache, why: str) -> None:
    if each.state in cache.KEPT:
        state = lifecycle.step(lifecycle.CACHE, each.state, "drop")
        draft.put(replace(each, state=state, detail=why))
        text = f"{each.name}: {why}"
        draft.tell("cache.dropped", text, project_id=each.project_id, build_id=each.build_id)


def _gone(draft: Draft, each: Cache, why: str) -> None:
    if each.state is not CacheState.GONE:
        state = lifecycle.step(lifecycle.CACHE, each.state, "gone")
        draft.put(replace(each, state=state, detail=each.detail or why))
