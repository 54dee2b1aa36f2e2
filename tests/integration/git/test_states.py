"""States made and landed in real repositories, by the methods that projects ask for."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from cupel.control.states import Repositories, States
from cupel.core import actions, events
from cupel.core.model import (
    Buildset,
    BuildsetState,
    Item,
    ItemState,
    MergeMethod,
    Pipeline,
    Policy,
    Project,
    Role,
)
from cupel.errors import Bug
from cupel.git import commits, repository
from integration.git import bare

CONFIG = """\
jobs:
  t: {machine: m, steps: [x], inputs: [src]}
  c: {machine: m, steps: [x]}
gate: [t]
check: [c]
post: [c]
"""
FILES = {".cupel.yaml": CONFIG, "src": "1"}


@dataclasses.dataclass
class World:
    """Two projects, `p` and `lib`, whose branches `main` stand at `heads`."""

    states: States
    repos: dict[str, Path]
    projects: dict[str, Project]
    heads: dict[str, str]

    async def commit(self, name: str, files: Any, *parents: str) -> str:
        whole = {**FILES, **files}
        return await bare.commit(self.repos[name], whole, *(parents or (self.heads[name],)))

    async def push(self, name: str, commit: str, branch: str = "main") -> None:
        moved = await repository.move(self.repos[name], branch, self.heads.get(name), commit)
        assert moved == repository.Moved()
        self.heads[name] = commit

    async def head(self, name: str, branch: str = "main") -> str | None:
        return await repository.head(self.repos[name], branch)

    async def prepare(
        self, item: Item, *, beside: tuple[str, ...] = (), **fields: Any
    ) -> tuple[Buildset, Any]:
        """A state of the item, and what came of making it."""
        name = "p" if item.project_id == self.projects["p"].id else "lib"
        state = buildset(item, **{"onto": self.heads[name], **fields})
        asked = actions.PrepareState(
            project=self.projects[name],
            item=item,
            buildset=state,
            beside=tuple((self.projects[each], self.heads[each]) for each in beside),
        )
        fact = await self.states.prepare(asked)
        assert fact == await self.states.prepare(asked)
        if isinstance(fact, events.StatePrepared):
            state = dataclasses.replace(
                state, state=BuildsetState.READY, commit=fact.commit, tree=fact.tree
            )
            assert (await repository.states(self.repos[name]))[state.id] == fact.commit
        return state, fact

    def step(self, item: Item, state: Buildset) -> tuple[Project, Item, Buildset]:
        [project] = [each for each in self.projects.values() if each.id == item.project_id]
        return project, item, state

    async def land(self, *steps: tuple[Item, Buildset]) -> tuple[events.Fact, ...]:
        return await self.states.land(
            actions.Land(steps=tuple(self.step(item, state) for item, state in steps))
        )


def item(number: int, commit: str, *, project: int = 1, **fields: Any) -> Item:
    made = Item(
        id=number,
        pipeline=Pipeline.GATE,
        project_id=project,
        branch="main",
        change_id=number * 10,
        patch_set=1,
        commit=commit,
        state=ItemState.LIVE,
        position=number,
        buildset_id=number * 100,
        enqueued_at=1234.0,
    )
    return dataclasses.replace(made, **fields)


def buildset(of: Item, **fields: Any) -> Buildset:
    made = Buildset(
        id=of.id * 100,
        item_id=of.id,
        number=1,
        onto=None,
        state=BuildsetState.PREPARING,
        commit=None,
        tree=None,
        jobs=(),
        detail=None,
        notice=None,
        created_at=0.0,
    )
    return dataclasses.replace(made, **fields)


Scenario = Callable[[World], Awaitable[None]]


@pytest.fixture
def play(tmp_path: Path) -> Callable[..., None]:
    def play(scenario: Scenario, merge: MergeMethod = MergeMethod.MERGE) -> None:
        async def all_of_it() -> None:
            root = tmp_path / "repositories"
            repos, projects, heads = {}, {}, {}
            for number, name in enumerate(("p", "lib"), start=1):
                repos[name] = root / f"{name}.git"
                await repository.create(repos[name], "main", tmp_path / "hooks")
                heads[name] = await bare.commit(repos[name], FILES)
                await repository.move(repos[name], "main", None, heads[name])
                projects[name] = Project(
                    id=number,
                    name=name,
                    queue_id=9,
                    branches=("main",),
                    policy=Policy(merge=merge),
                    created_at=0.0,
                )
            await scenario(World(States(Repositories(root), ["m"]), repos, projects, heads))

        asyncio.run(all_of_it())

    return play


@pytest.mark.parametrize("method", MergeMethod)
def test_a_change_lands_by_each_method(play, method: MergeMethod) -> None:
    async def scenario(world: World) -> None:
        base = world.heads["p"]
        change = item(1, await world.commit("p", {"a": "1"}))
        if method is not MergeMethod.FAST_FORWARD:
            await world.push("p", await world.commit("p", {"b": "1"}))
        state, fact = await world.prepare(change)
        assert isinstance(fact, events.StatePrepared)
        parents = {
            MergeMethod.MERGE: (world.heads["p"], change.commit),
            MergeMethod.FAST_FORWARD: (base,),
        }.get(method, (world.heads["p"],))
        made = await commits.commit_info(world.repos["p"], fact.commit)
        assert made.parents == parents
        assert ("Cupel-Change: 10" in made.message) == (method is MergeMethod.SQUASH)
        assert await world.land((change, state)) == (events.Landed(item_ids=(1,)),)
        assert await world.head("p") == fact.commit

    play(scenario, method)


def test_a_fast_forward_that_is_none_says_what_to_do(play) -> None:
    async def scenario(world: World) -> None:
        change = item(1, await world.commit("p", {"a": "1"}))
        await world.push("p", await world.commit("p", {"b": "1"}))
        _, fact = await world.prepare(change)
        assert fact == events.StateConflicted(
            buildset_id=100, paths=(), why="`main` has moved: rebase the change onto it"
        )

    play(scenario, MergeMethod.FAST_FORWARD)


def test_a_conflict_names_its_paths_and_needs_no_other_reason(play) -> None:
    async def scenario(world: World) -> None:
        change = item(1, await world.commit("p", {"a": "1"}))
        await world.push("p", await world.commit("p", {"a": "2"}))
        _, fact = await world.prepare(change)
        assert fact == events.StateConflicted(buildset_id=100, paths=("a",))

    play(scenario)


def test_a_base_is_what_is_beneath_without_the_change(play) -> None:
    async def scenario(world: World) -> None:
        change = item(1, await world.commit("p", {"src": "2"}))
        await world.push("p", await world.commit("p", {"b": "1"}))
        _, proof = await world.prepare(change)
        _, fact = await world.prepare(change, id=7, role=Role.BASE)
        assert fact.commit == world.heads["p"]
        assert fact.tree == await commits.tree_of(world.repos["p"], fact.commit)
        assert dict(fact.keys)["t"] != dict(proof.keys)["t"]
        with pytest.raises(Bug, match="there is none"):
            await world.prepare(change, role=Role.BASE, onto=None)

    play(scenario)


@pytest.mark.parametrize(("pipeline", "jobs"), [(Pipeline.POST, ["c"]), (Pipeline.PERIODIC, ["t"])])
def test_what_has_landed_is_proved_as_it_is(play, pipeline: Pipeline, jobs: list[str]) -> None:
    async def scenario(world: World) -> None:
        landed = item(1, world.heads["p"], pipeline=pipeline, change_id=None)
        await world.push("p", await world.commit("p", {"b": "1"}))
        _, fact = await world.prepare(landed, onto=None)
        assert fact.commit == landed.commit
        assert [job.name for job in fact.jobs] == jobs

    play(scenario, MergeMethod.SQUASH)


def test_a_key_is_the_same_where_nothing_that_a_job_depends_on_has_changed(play) -> None:
    async def scenario(world: World) -> None:
        change = item(1, await world.commit("p", {"src": "2"}))
        _, before = await world.prepare(change)
        await world.push("p", await world.commit("p", {"b": "1"}))
        _, after = await world.prepare(change, id=101)
        assert before.tree != after.tree
        assert [name for name, _ in after.keys] == ["t"]
        assert before.keys == after.keys

    play(scenario)


BOTH = CONFIG.replace("inputs: [src]", "inputs: [src], projects: [lib]")


def test_projects_beside_are_in_the_keys(play) -> None:
    async def scenario(world: World) -> None:
        change = item(1, await world.commit("p", {".cupel.yaml": BOTH}))
        _, before = await world.prepare(change, beside=("lib",))
        await world.push("lib", await world.commit("lib", {"l": "1"}))
        _, after = await world.prepare(change, id=101, beside=("lib",))
        assert after.jobs[0].projects == ("lib",)
        assert before.keys != after.keys
        _, fact = await world.prepare(change, id=102)
        assert fact == events.StateMisconfigured(
            buildset_id=102,
            error='.cupel.yaml:2:57: no project "lib" with this branch shares the queue\n'
            "  there are no other projects in the queue",
        )

    play(scenario)


@pytest.mark.parametrize("method", [MergeMethod.REBASE, MergeMethod.SQUASH])
def test_a_stack_lands_commit_by_commit_in_one_move(play, method: MergeMethod) -> None:
    async def scenario(world: World) -> None:
        one = item(1, await world.commit("p", {"a": "1"}))
        two = item(2, await world.commit("p", {"a": "2"}, one.commit))
        await world.push("p", await world.commit("p", {"b": "1"}))
        first, _ = await world.prepare(one)
        second, _ = await world.prepare(two, onto=first.commit)
        assert await world.land((one, first), (two, second)) == (events.Landed(item_ids=(1, 2)),)
        log = await commits.stack(world.repos["p"], [world.heads["p"]], second.commit, limit=9)
        assert [each.id for each in log] == [first.commit, second.commit]
        assert await world.head("p") == second.commit
        assert await commits.read_file(world.repos["p"], second.commit, "a") == b"2"

    play(scenario, method)


@pytest.mark.parametrize("method", [MergeMethod.REBASE, MergeMethod.SQUASH])
def test_a_check_takes_a_stack_as_a_whole_and_what_landed_made_anew(
    play, method: MergeMethod
) -> None:
    async def scenario(world: World) -> None:
        repo = world.repos["p"]
        one = item(1, await world.commit("p", {"a": "1"}))
        two = item(2, await world.commit("p", {"a": "2"}, one.commit), pipeline=Pipeline.CHECK)
        _, fact = await world.prepare(two)
        assert await commits.read_file(repo, fact.commit, "a") == b"2"
        await world.push("p", await world.commit("p", {"b": "1"}))
        first, _ = await world.prepare(one)
        await world.land((one, first))
        world.heads["p"] = first.commit
        _, fact = await world.prepare(two, id=201)
        assert isinstance(fact, events.StatePrepared)
        assert await commits.read_file(repo, fact.commit, "a") == b"2"

    play(scenario, method)


async def two_projects(world: World) -> tuple[tuple[Item, Buildset], ...]:
    """Three items that land together: two of `p`, and one of `lib` between them."""
    one = item(1, await world.commit("p", {"a": "1"}))
    two = item(2, await world.commit("lib", {"a": "1"}), project=2)
    three = item(3, await world.commit("p", {"b": "1"}))
    first, _ = await world.prepare(one)
    second, _ = await world.prepare(two)
    third, _ = await world.prepare(three, onto=first.commit)
    return (one, first), (two, second), (three, third)


def test_items_of_several_projects_land_at_once_and_again_the_same(play) -> None:
    async def scenario(world: World) -> None:
        steps = await two_projects(world)
        for _ in range(2):
            assert await world.land(*steps) == (events.Landed(item_ids=(1, 2, 3)),)
            assert await world.head("p") == steps[2][1].commit
            assert await world.head("lib") == steps[1][1].commit

    play(scenario)


@pytest.mark.parametrize(("ahead", "order"), [("p", (1, 3, 2)), ("lib", (2, 1, 3))])
def test_no_branch_moves_while_one_stands_elsewhere(
    play, ahead: str, order: tuple[int, ...]
) -> None:
    async def scenario(world: World) -> None:
        steps = await two_projects(world)
        before = dict(world.heads)
        await world.push(ahead, await world.commit(ahead, {"c": "1"}))
        refused = events.LandingRefused(item_ids=order, head=world.heads[ahead])
        assert await world.land(*steps) == (refused,)
        for name in before:
            assert await world.head(name) == world.heads[name]

    play(scenario)


def test_each_branch_that_stands_elsewhere_is_told(play) -> None:
    async def scenario(world: World) -> None:
        steps = await two_projects(world)
        for name in ("p", "lib"):
            await world.push(name, await world.commit(name, {"c": "1"}))
        assert await world.land(*steps) == (
            events.LandingRefused(item_ids=(1, 3), head=world.heads["p"]),
            events.LandingRefused(item_ids=(2,), head=world.heads["lib"]),
        )

    play(scenario)


def test_a_landing_that_a_crash_cut_short_is_finished(play) -> None:
    async def scenario(world: World) -> None:
        steps = await two_projects(world)
        (_, first), _, (_, third) = steps
        await repository.move(world.repos["p"], "main", first.onto, third.commit)
        assert await world.land(*steps) == (events.Landed(item_ids=(1, 2, 3)),)
        assert await world.head("lib") == steps[1][1].commit

    play(scenario)


def test_what_has_moved_has_landed_though_the_rest_is_refused(play) -> None:
    async def scenario(world: World) -> None:
        steps = await two_projects(world)
        (_, first), _, (_, third) = steps
        await repository.move(world.repos["p"], "main", first.onto, third.commit)
        await world.push("lib", await world.commit("lib", {"c": "1"}))
        assert await world.land(*steps) == (
            events.Landed(item_ids=(1, 3)),
            events.LandingRefused(item_ids=(2,), head=world.heads["lib"]),
        )

    play(scenario)


@pytest.mark.parametrize("raced", ["p", "lib"])
def test_somebody_faster_stops_the_landing_where_it_is(
    play, monkeypatch: pytest.MonkeyPatch, raced: str
) -> None:
    async def scenario(world: World) -> None:
        steps = await two_projects(world)
        before = dict(world.heads)
        faster = await world.commit(raced, {"c": "1"})
        looked = repository.look

        async def look(repo: Path, *expected: Any) -> Any:
            """The last look still finds all as it should be; then somebody pushes."""
            found = await looked(repo, *expected)
            if repo == world.repos["lib"] and world.heads == before:
                await world.push(raced, faster)
            return found

        monkeypatch.setattr(repository, "look", look)
        facts = await world.land(*steps)
        if raced == "p":
            assert facts == (events.LandingRefused(item_ids=(1, 3, 2), head=faster),)
            assert await world.head("lib") == before["lib"]
        else:
            refused = events.LandingRefused(item_ids=(2,), head=faster)
            assert facts == (events.Landed(item_ids=(1, 3)), refused)
            assert await world.head("p") == steps[2][1].commit

    play(scenario)


def test_only_what_was_proved_lands(play) -> None:
    async def scenario(world: World) -> None:
        one, _, three = await two_projects(world)
        other = await commits.tree_of(world.repos["p"], world.heads["p"])
        for wrong in (
            dataclasses.replace(one[1], tree=other),
            dataclasses.replace(one[1], tree=None),
            dataclasses.replace(one[1], role=Role.BASE),
        ):
            with pytest.raises(Bug):
                await world.land((one[0], wrong))
        with pytest.raises(Bug, match="item 3 was proved on"):
            await world.land(one, (three[0], dataclasses.replace(three[1], onto=other)))
        assert await world.head("p") == world.heads["p"]

    play(scenario)


def test_branches_of_one_project_move_by_themselves(play) -> None:
    async def scenario(world: World) -> None:
        await repository.move(world.repos["p"], "stable", None, world.heads["p"])
        one = item(1, await world.commit("p", {"a": "1"}))
        two = item(2, await world.commit("p", {"b": "1"}), branch="stable")
        first, _ = await world.prepare(one)
        second, _ = await world.prepare(two)
        assert await world.land((one, first), (two, second)) == (events.Landed(item_ids=(1, 2)),)
        assert await world.head("p") == first.commit
        assert await world.head("p", "stable") == second.commit

    play(scenario)
