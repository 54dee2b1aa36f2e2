"""What the rows say against what truly happened in the world; only a simulator can know that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from cupel.core.model import Build, Buildset, Change, Item, ItemState, PatchSet, Row, Verdict

if TYPE_CHECKING:
    from cupel.simulate.world import World

_SAID = frozenset({Verdict.SUCCESS, Verdict.FAILURE, Verdict.TIMEOUT})
"""Verdicts that only a machine can reach."""


def changes(world: World, made: Iterable[tuple[Row | None, Row]]) -> list[str]:
    """What one transaction claims that is not so."""
    return [wrong for old, new in made for wrong in _change(world, old, new)]


def _change(world: World, old: Row | None, new: Row) -> Iterator[str]:
    match new:
        case Build(verdict=verdict) if verdict in _SAID and old != new:
            yield from _believed(world, new)
        case Item(state=ItemState.LANDED) if old != new:
            if not isinstance(old, Item) or old.state is not ItemState.LANDED:
                yield from _landed(world, new)
        case _:
            pass


def _believed(world: World, build: Build) -> Iterator[str]:
    """A verdict is what the build's own machine said of this very build."""
    said = {
        ran.verdict
        for host in world.hosts.values()
        for ran in host.ran
        if ran.machine == build.machine_id and ran.build == build.id
    }
    if build.verdict not in said:
        yield f"build {build.id} is a {build.verdict}, but its machine never said so"


def _landed(world: World, item: Item) -> Iterator[str]:
    """The branch holds exactly the tested tree: the patches beneath, and the approved ones."""
    present = world.rows.get(Buildset, item.buildset_id)
    assert present.commit is not None
    landed = world.git.commits[present.commit]
    if landed.tree != present.tree:
        yield f"item {item.id} landed tree {landed.tree}, but {present.tree} was tested"
    moves = [move for move in world.git.moves if move.new == landed.id]
    if len(moves) != 1 or not moves[0].by_gate:
        yield f"item {item.id} landed, but its branch moved to it {len(moves)} times"
    elif moves[0].old != present.onto:
        yield f"item {item.id} was proved on {present.onto} and landed on {moves[0].old}"
    assert item.change_id is not None
    assert item.patch_set is not None
    own = world.git.own_patch(world.rows.patch_set(item.change_id, item.patch_set).commit)
    beneath = world.git.commits[present.onto].patches if present.onto is not None else frozenset()
    extra = landed.patches - beneath - {own}
    if extra:
        names = ", ".join(sorted(map(str, extra)))
        yield f"{own} brought {names} into the branch, which nobody asked to land"


def rest(world: World) -> list[str]:
    """What is not as the rows say when nothing is under way."""
    return [
        *(
            f"{host.name} still has machines {sorted(host.machines)}"
            for host in world.hosts.values()
            if host.connected and host.machines
        ),
        *(
            f"machine {machine} was made for builds {sorted(builds)}"
            for machine, builds in _made(world).items()
            if len(builds) > 1
        ),
        *_landings(world),
    ]


def _made(world: World) -> dict[int, set[int]]:
    made: dict[int, set[int]] = {}
    for host in world.hosts.values():
        for machine, build in host.made:
            made.setdefault(machine, set()).add(build)
    return made


def _landings(world: World) -> Iterator[str]:
    """Each move of a branch by the gate is the landing of one change, and the other way round."""
    moved = Counter(move.new for move in world.git.moves if move.by_gate)
    landed = Counter(
        change.landed_commit for change in world.rows.all(Change) if change.landed_commit
    )
    if moved != landed:
        yield f"the gate moved branches to {dict(moved)}, the changes say {dict(landed)}"
    known = {patch_set.commit for patch_set in world.rows.all(PatchSet)}
    for ref, head in world.git.heads.items():
        for move in world.git.moves:
            if move.ref == ref and not world.git.contains(head, move.new):
                yield f"{move.new} was in {ref}, and is not any more ({len(known)} known)"
