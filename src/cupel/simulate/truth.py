"""What the rows say against what truly happened in the world; only a simulator can know that."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from cupel.core import admission, cache, evidence
from cupel.core.cache import Cache
from cupel.core.model import (
    Build,
    Buildset,
    Change,
    ChangeState,
    Host,
    Item,
    ItemState,
    Landing,
    Machine,
    MachineState,
    Pipeline,
    Project,
    Reason,
    Role,
    Row,
    Verdict,
)
from cupel.simulate import git
from cupel.simulate.fate import Cause, beside_of
from cupel.simulate.host import CACHE_ROOM, Ran

if TYPE_CHECKING:
    from cupel.simulate.world import World

_SAID = frozenset({Verdict.SUCCESS, Verdict.FAILURE, Verdict.TIMEOUT})
"""Verdicts that only a machine can reach."""


def changes(world: World, made: Iterable[tuple[Row | None, Row]]) -> list[str]:
    """What one transaction claims that is not so."""
    made = list(made)
    wrong = [each for old, new in made for each in _change(world, old, new)]
    landing = [new for old, new in made if _became(old, new, ItemState.LANDING)]
    for group in _groups(world, landing):
        wrong += _decided(world, group)
    return wrong


def _change(world: World, old: Row | None, new: Row) -> Iterator[str]:
    match new:
        case Build(verdict=verdict) if verdict in _SAID and old != new:
            yield from _believed(world, new)
        case Item() if _became(old, new, ItemState.LANDED):
            yield from _landed(world, new)
        case Item() if _became(old, new, ItemState.REJECTED):
            yield from _rejected(world, new)
        case _:
            pass


def _became(old: Row | None, new: Row, state: ItemState) -> bool:
    """Whether the row is an item that has just come into this state."""
    was = old.state if isinstance(old, Item) else None
    return isinstance(new, Item) and new.state is state and was is not state


def _groups(world: World, items: Sequence[Row]) -> list[list[Item]]:
    """The items that land with one move of their branches each, each after what it rests on: a
    state that was begun before somebody was promoted may be the one that lands."""
    groups: defaultdict[int, list[Item]] = defaultdict(list)
    for item in items:
        assert isinstance(item, Item)
        groups[item.lands_with or item.id].append(item)
    return [list(_from_below(world, group)) for group in groups.values()]


def _from_below(world: World, group: list[Item]) -> Iterator[Item]:
    states = {item.id: world.rows.get(Buildset, item.buildset_id) for item in group}
    waiting = sorted(group, key=lambda item: item.position)
    while waiting:
        made = {(item.project_id, states[item.id].commit): item for item in waiting}
        free = (
            item
            for item in waiting
            if made.get((item.project_id, states[item.id].onto), item) is item
        )
        low = next(free, waiting[0])
        waiting.remove(low)
        yield low


def _believed(world: World, build: Build) -> Iterator[str]:
    """A verdict is what the build's own machine said of it, a pass of all that matters to it, or
    the word of somebody whose machines are none of ours."""
    if build.offer is not None:
        if build.verdict is not Verdict.SUCCESS or build.machine_id is not None:
            yield f"build {build.id} was offered, and is no pass of another's machine"
        return
    if build.reused_from is not None:
        yield from _reused(world, build)
        return
    ran = _run(world, build)
    if ran is None or ran.verdict is not build.verdict:
        yield f"build {build.id} is a {build.verdict}, but its machine never said so"


def _run(world: World, build: Build) -> Ran | None:
    """What became of the build on its machine."""
    found = (host.ran.get(build.machine_id or 0) for host in world.hosts.values())
    return next((ran for ran in found if ran is not None and ran.build == build.id), None)


def _reused(world: World, build: Build) -> Iterator[str]:
    """What passed has read the same as this build would have, on a machine of the same image."""
    origin = world.rows.get(Build, build.reused_from)
    if origin.offer is not None:
        if origin.key != build.key:
            yield f"build {build.id} reuses build {origin.id}, which was offered for something else"
        return
    ran = _run(world, origin)
    state = world.rows.get(Buildset, build.buildset_id)
    job = next(job for job in state.jobs if job.name == build.job)
    assert state.commit is not None
    key = world.git.key(job, state.commit, beside_of(state, world.project_names()))
    if ran is None or ran.verdict is not Verdict.SUCCESS:
        yield f"build {build.id} reuses build {origin.id}, which never passed"
    elif ran.key != key:
        yield f"build {build.id} reuses build {origin.id}, which has read something else"
    elif ran.image != evidence.image_of(world.rows, job.label) and _is_older(origin, build):
        yield f"build {build.id} reuses build {origin.id} of another image, {ran.image}"


def _is_older(origin: Build, build: Build) -> bool:
    """Whether one had ended before the other was asked for; else they were asked for together."""
    return origin.finished_at is not None and origin.finished_at < build.queued_at


# Landings.


def _decided(world: World, group: list[Item]) -> Iterator[str]:
    """The decision to land these: what was proved is what there will be, and nothing is closed."""
    queue = world.rows.queue(group[-1].project_id)
    if queue.closed is not None:
        yield f"item {group[-1].id} lands although the queue is closed: {queue.closed}"
    if queue.landing is Landing.STRICT and len(group) > 1 and not queue.cycles:
        yield f"{len(group)} items land at once, though each needs builds of its own"
    last = {item.project_id: item for item in group}
    beneath: dict[int, str] = {}
    for item in group:
        yield from _approved(world, item)
        state = world.rows.get(Buildset, item.buildset_id)
        below = beneath.get(item.project_id)
        if below is not None and state.onto != below:
            yield f"item {item.id} was proved on {state.onto} and lands on {below}"
        assert state.commit is not None
        beneath[item.project_id] = state.commit
        if last[item.project_id] is item:
            yield from _proved(world, item, state, beneath | _with(world, item, group))


def _with(world: World, item: Item, group: list[Item]) -> dict[int, str]:
    """Where the branches are, by project, when all of the item's circle has landed."""
    circle = admission.bundle(world.rows, world.rows.get(Change, item.change_id))
    states = ((e, world.rows.get(Buildset, e.buildset_id)) for e in group if e.change_id in circle)
    return {each.project_id: state.commit for each, state in states if state.commit is not None}


def _approved(world: World, item: Item) -> Iterator[str]:
    """So many people as the project asks for have approved exactly what lands."""
    assert item.change_id is not None
    users = {
        approval.user
        for approval in world.rows.approvals(item.change_id)
        if approval.patch_set == item.patch_set and approval.withdrawn_at is None
    }
    if len(users) < world.rows.get(Project, item.project_id).policy.approvals:
        yield f"item {item.id} lands with {len(users)} approvals"


def _proved(world: World, item: Item, state: Buildset, landing: dict[int, str]) -> Iterator[str]:
    """Every voting job has passed on what it sees when the item has landed, and rightly so.

    `landing` are the commits, by project, that have landed by then with the same move.
    """
    names = world.project_names()
    beside = dict(state.beside) | landing
    known = {names[number]: commit for number, commit in beside.items()}
    assert state.commit is not None
    patches = world.git.commits[state.commit].patches
    for job in world.jobs_of(item.project_id, Pipeline.GATE, patches):
        if not job.voting:
            continue
        if not set(job.projects) <= set(known):
            yield f"item {item.id} lands without what {job.name} needs beside it"
        elif world.git.key(job, state.commit, known) not in world.nature.passed:
            yield f"item {item.id} lands although {job.name} never passed on {state.commit}"
        elif not world.nature.true_inputs and world.nature.is_broken(job, state.commit, known):
            yield f"item {item.id} lands although it breaks {job.name}"


def _landed(world: World, item: Item) -> Iterator[str]:
    """The branch holds exactly the tested tree: the patches beneath, and the approved ones."""
    present = world.rows.get(Buildset, item.buildset_id)
    assert present.commit is not None
    landed = world.git.commits[present.commit]
    if landed.tree != present.tree:
        yield f"item {item.id} landed tree {landed.tree}, but {present.tree} was tested"
    moves = world.git.moves_with((item.project_id, item.branch), landed.id)
    if len(moves) != 1 or not moves[0].by_gate:
        yield f"item {item.id} landed, but its branch moved to it {len(moves)} times"
    else:
        move = moves[0]
        place = move.brought.index(landed.id)
        below = move.brought[place - 1] if place else move.old
        first = next(iter(world.git.commits[move.brought[0]].parents), None)
        if below != present.onto or (move.old is not None and first != move.old):
            yield f"item {item.id} was proved on {present.onto} and landed on {move.old}"
    yield from _brought(world, item, present, landed)
    yield from _needs_landed(world, item)


def _brought(world: World, item: Item, present: Buildset, landed: git.Commit) -> Iterator[str]:
    assert item.change_id is not None
    assert item.patch_set is not None
    own = world.git.own_patch(world.rows.patch_set(item.change_id, item.patch_set).commit)
    beneath = world.git.commits[present.onto].patches if present.onto is not None else frozenset()
    extra = landed.patches - beneath - {own}
    if extra:
        names = ", ".join(sorted(map(str, extra)))
        yield f"{own} brought {names} into the branch, which nobody asked to land"


def _needs_landed(world: World, item: Item) -> Iterator[str]:
    """What the change needs, in whatever project, has landed before or with it."""
    assert item.change_id is not None
    assert item.patch_set is not None
    patch_set = world.rows.patch_set(item.change_id, item.patch_set)
    for number in (patch_set.needs_change, *patch_set.depends_on):
        needed = world.rows.find(Change, number)
        if needed is not None and needed.state is not ChangeState.LANDED:
            companion = world.rows.gate_item(needed.id)
            if companion is None or companion.lands_with != item.lands_with:
                yield f"item {item.id} landed before change {needed.id}, which it needs"


# Rejections.


def _rejected(world: World, item: Item) -> Iterator[str]:
    """Nobody is rejected for a job that the change does not break, bad luck aside."""
    if item.pipeline is not Pipeline.GATE or item.reason is not Reason.BUILD_FAILED:
        return
    circle = _circle(world, item)
    states = [
        state
        for each in circle
        for state in world.rows.buildsets(each.id)
        if state.role is Role.PROOF and state.commit is not None
    ]
    builds = [build for state in states for build in world.rows.builds(state.id)]
    causes = {ran.cause for build in builds if (ran := _run(world, build)) is not None}
    own = [world.git.own_patch(each.commit) for each in circle]
    if not causes & {Cause.FLAKE, Cause.MAIN} and not any(
        _is_guilty(world, own, state) for state in states
    ):
        yield f"item {item.id} was rejected, but breaks nothing"


def _is_guilty(world: World, own: Iterable[git.Patch], state: Buildset) -> bool:
    """Whether a job fails in this state by one of these patches."""
    assert state.commit is not None
    beside = beside_of(state, world.project_names())
    return any(
        git.breaks(patch, world.nature.sees(job, state.commit, beside), job.base)
        for job in state.jobs
        for patch in own
    )


def _circle(world: World, item: Item) -> list[Item]:
    """The items that are proved and land as one with this one, itself included."""
    circle = admission.bundle(world.rows, world.rows.get(Change, item.change_id))
    return [
        each
        for each in world.rows.all(Item)
        if each.pipeline is Pipeline.GATE and each.change_id in circle
    ]


# At rest.


def rest(world: World) -> list[str]:
    """What is not as the rows say when nothing is under way."""
    kept = {row.id for row in world.rows.all(Machine) if row.state is MachineState.READY}
    return [
        *(
            f"{host.name} still has machines {sorted(set(host.machines) - kept)}"
            for host in world.hosts.values()
            if host.connected and set(host.machines) - kept
        ),
        *(
            f"machine {machine} was used by builds {sorted(builds)}"
            for machine, builds in _made(world).items()
            if len(builds) > 1
        ),
        *_landings(world),
        *_order(world),
        *_given(world),
        *_kept(world),
    ]


def _given(world: World) -> Iterator[str]:
    """No build was ever given what was saved on a state that is not in its branch."""
    builds = {build.id: build for build in world.rows.all(Build)}
    for host in world.hosts.values():
        for given, origin in host.given:
            buildset = world.rows.get(Buildset, builds[origin].buildset_id)
            item = world.rows.get(Item, buildset.item_id)
            if not _is_in(world, world.git.heads[item.project_id, item.branch], buildset.tree):
                yield f"build {given} was given a cache of {origin}, which has not landed"
            if builds[given].project_id != builds[origin].project_id:
                yield f"build {given} was given a cache of another project"


def _is_in(world: World, head: str | None, tree: str | None) -> bool:
    """Whether a branch has ever been at a tree."""
    seen: set[str] = set()
    waiting = [head] if head is not None else []
    while waiting:
        commit = world.git.commits[waiting.pop()]
        if commit.tree == tree:
            return True
        waiting += [parent for parent in commit.parents if parent not in seen]
        seen.update(commit.parents)
    return False


def _kept(world: World) -> Iterator[str]:
    """Hosts have the caches that the rows say, and no more than they have room for."""
    for host in world.rows.all(Host):
        there = [each for each in world.rows.all(Cache) if each.host_id == host.id]
        kept = {each.file: each.size for each in there if each.state in cache.KEPT}
        files = world.hosts[host.name].caches
        if world.hosts[host.name].connected and not files.issuperset(kept):
            yield f"{host.name} lacks caches {sorted(set(kept) - files)}"
        ready = sum(each.size for each in there if each.state is cache.CacheState.READY)
        if ready > CACHE_ROOM:
            yield f"{host.name} has {ready} bytes of caches"


def _made(world: World) -> dict[int, set[int]]:
    made: dict[int, set[int]] = {}
    for host in world.hosts.values():
        for machine, build in host.used:
            made.setdefault(machine, set()).add(build)
    return made


def _landings(world: World) -> Iterator[str]:
    """What the gate brought into a branch are the landed changes, and the other way round."""
    brought = Counter(commit for move in world.git.moves if move.by_gate for commit in move.brought)
    landed = Counter(
        change.landed_commit for change in world.rows.all(Change) if change.landed_commit
    )
    if brought != landed:
        yield f"the gate brought {dict(brought)} into branches, the changes say {dict(landed)}"
    for ref, head in world.git.heads.items():
        for move in world.git.moves:
            if move.ref == ref and not world.git.contains(head, move.new):
                yield f"{move.new} was in {ref}, and is not any more"


_REORDERING = frozenset({"change.promoted", "change.urgent"})


def _order(world: World) -> Iterator[str]:
    """What came with one move of a branch came in the order of the queue, unless that was changed
    after the states were begun."""
    landed = {
        world.rows.get(Buildset, item.buildset_id).commit: item
        for item in world.rows.all(Item)
        if item.pipeline is Pipeline.GATE and item.state is ItemState.LANDED
    }
    reordered = [event.at for event in world.events if event.kind in _REORDERING]
    for move in world.git.moves:
        items = [landed[commit] for commit in move.brought if commit in landed]
        places = [item.position for item in items]
        if not move.by_gate or places == sorted(places):
            continue
        begun = min(world.rows.get(Buildset, item.buildset_id).created_at for item in items)
        ended = max(item.finished_at or 0.0 for item in items)
        if not any(begun <= at <= ended for at in reordered):
            yield f"{move.new} landed items in the order {places}"


def waited(world: World) -> list[tuple[float, Item]]:
    """How many seconds each item of the gate that has landed was in it, longest first."""
    found = [
        (item.finished_at - item.enqueued_at, item)
        for item in world.rows.all(Item)
        if item.pipeline is Pipeline.GATE
        and item.state is ItemState.LANDED
        and item.finished_at is not None
    ]
    return sorted(found, key=lambda pair: -pair[0])
