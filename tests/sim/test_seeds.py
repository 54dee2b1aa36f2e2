"""Random worlds, and proof that they can find faults: with a safeguard gone, some seed breaks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from cupel.control import engine as engines
from cupel.control import load
from cupel.core import admission, caching, events, evidence, fleet, intents, invariants, plan
from cupel.core.actions import Action, Land
from cupel.core.cache import Cache, CacheState
from cupel.core.draft import Draft
from cupel.core.model import Build, BuildState, Job, Machine, Row
from cupel.simulate import scenario
from cupel.simulate.faults import Faults, MortalStore
from cupel.simulate.run import simulate
from cupel.simulate.server import Server
from cupel.store.interface import Transaction

SEEDS = range(0, 50, 10)
MORE_SEEDS = range(50, 1050, 50)


def _play(name: str, seeds: Sequence[int]) -> None:
    for seed in seeds:
        trace = simulate(seed, scenario.SCENARIOS[name])
        if trace.broken is not None:
            lines = "\n".join(trace.lines[-60:])
            again = f"python -m cupel.simulate {seed} --scenario {name}"
            pytest.fail(f"{lines}\nseed {seed}: {trace.broken}\nto see all of it: {again}")


@pytest.mark.parametrize("name", sorted(scenario.SCENARIOS))
@pytest.mark.parametrize("first", SEEDS)
def test_nothing_breaks(name: str, first: int) -> None:
    _play(name, range(first, first + 10))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(scenario.SCENARIOS))
@pytest.mark.parametrize("first", MORE_SEEDS)
def test_nothing_breaks_in_thousands(name: str, first: int) -> None:
    _play(name, range(first, first + 50))


def test_a_seed_says_all() -> None:
    assert simulate(3) == simulate(3)


# What the simulator can find.


def _breaks(how: str, seeds: Sequence[int], what: scenario.Scenario = scenario.STORM) -> str:
    """How the first seed does that breaks in this way."""
    for seed in seeds:
        broken = simulate(seed, what).broken
        if broken is not None and how in broken:
            return broken
    pytest.fail(f"none of {len(seeds)} seeds found the fault")


AROUND = replace(scenario.CALM, pushes_around=8)
"""Branches move all the time."""

RESTLESS = replace(scenario.STORM, host_losses=8, broken_mains=0, flaky=0.0)
"""Hosts come and go."""


def _land_blindly(server: Server, action: Land) -> tuple[events.Fact, ...]:
    """Move the branches to what was proved, wherever they are."""
    for move in server._moves(action):
        if not server._git.contains(server._git.heads[move.ref], move.new):
            server._git.move(move.ref, move.new, by_gate=True)
    return (events.Landed(item_ids=tuple(item.id for _, item, _ in action.steps)),)


def test_it_finds_a_missing_compare_and_swap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Server, "_land", _land_blindly)
    assert _breaks("was proved on", range(100), AROUND)


def _any_attempt(draft: Draft, machine_id: int) -> Build | None:
    """The build that a report would mean if it named a job, and not a machine."""
    machine = draft.find(Machine, machine_id)
    first = draft.find(Build, machine.build_id) if machine is not None else None
    return next(
        (
            build
            for build in draft.all(Build)
            if first is not None
            and (build.buildset_id, build.job) == (first.buildset_id, first.job)
            and build.state in (BuildState.STARTING, BuildState.RUNNING, BuildState.CANCELLING)
        ),
        None,
    )


def test_it_finds_missing_fencing(monkeypatch: pytest.MonkeyPatch) -> None:
    fenced = load._on_machines

    async def unfenced(tx: Transaction, ids: Sequence[int]) -> list[Row]:
        rows = await fenced(tx, ids)
        builds = await tx.select(
            Build, {"id": {row.build_id for row in rows if isinstance(row, Machine)}}
        )
        return rows + await tx.select(Build, {"buildset_id": {b.buildset_id for b in builds}})

    monkeypatch.setattr(load, "_on_machines", unfenced)
    monkeypatch.setattr(Draft, "unfinished_build_on", _any_attempt)
    assert _breaks("is kept for nothing", range(50), RESTLESS)


class _Hasty(engines.Engine):
    """Asks of the world what is not stored yet."""

    ask: Callable[[list[Action]], None]

    async def step(self) -> list[Action]:
        async with self._store.write() as tx:
            draft = await self._draft(tx, await load.everything_live(tx))
            plan.decide(draft)
            await self._persist(tx, draft)
            self.ask(intents.outstanding(draft))
        return []


def test_it_finds_dispatch_before_persist(monkeypatch: pytest.MonkeyPatch) -> None:
    def hasty(server: Server, store: MortalStore) -> engines.Engine:
        engine = _Hasty(store, engines.Feed(), server._timeline)
        engine.ask = server.dispatch
        return engine

    monkeypatch.setattr(Server, "_make_engine", hasty)
    deadly = replace(scenario.CALM, faults=Faults(kill=0.05))
    assert _breaks("", range(100), deadly)


def _key_without_inputs(server: Server, job: Job, commit: str, beside: Mapping[str, str]) -> str:
    return job.name


def test_it_finds_evidence_that_does_not_know_its_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Server, "_key", _key_without_inputs)
    assert _breaks("has read something else", range(50), scenario.CALM)


def test_it_finds_evidence_that_does_not_know_its_image(monkeypatch: pytest.MonkeyPatch) -> None:
    combine = evidence.combine
    monkeypatch.setattr(
        evidence, "combine", lambda state, image, needed: combine(state, "", needed)
    )
    assert _breaks("of another image", range(300), scenario.CALM)


def _trust_at_once(draft: Draft, candidate: Cache) -> None:
    draft.put(replace(candidate, state=CacheState.READY))


def test_it_finds_a_cache_that_is_given_before_it_has_landed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(caching, "_decide", _trust_at_once)
    assert _breaks("is of a state that has not landed", range(20), scenario.CALM)
    monkeypatch.setattr(invariants, "_cache_changed", lambda *_: iter(()))
    assert _breaks("which has not landed", range(20), scenario.CALM)


def _merge_anew(server: Server, action: Land) -> tuple[events.Fact, ...]:
    """Land what comes of merging now, as a queue does that does not look at the tree."""
    for project, item, _ in action.steps:
        ref = (project.id, item.branch)
        made = server._git.merge(server._git.heads[ref], item.commit)
        if not isinstance(made, tuple):
            server._git.move(ref, made.id, by_gate=True)
    return (events.Landed(item_ids=tuple(item.id for _, item, _ in action.steps)),)


def test_it_finds_a_landing_that_is_not_what_was_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Server, "_land", _merge_anew)
    assert _breaks("moved to it", range(100), AROUND)


@pytest.mark.parametrize(
    ("where", "name", "instead", "how"),
    [
        (admission, "is_approved", lambda *_: True, "approvals"),
        (admission, "is_outdated", lambda *_: False, "which nobody asked to land"),
        (fleet, "_found", lambda *_: None, "still has machines"),
    ],
)
def test_it_finds_a_missing_rule(
    monkeypatch: pytest.MonkeyPatch,
    where: Any,
    name: str,
    instead: Callable[..., Any],
    how: str,
) -> None:
    monkeypatch.setattr(where, name, instead)
    assert _breaks(how, range(100), RESTLESS)
