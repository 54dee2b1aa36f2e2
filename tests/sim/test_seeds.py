"""Random worlds, and proof that they can find faults: with a safeguard gone, some seed breaks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from cupel.control import engine as engines
from cupel.control import load
from cupel.core import admission, facts, intents, plan, queue
from cupel.core.actions import Action
from cupel.core.draft import Draft
from cupel.core.model import Build, BuildState, Machine, Row
from cupel.simulate import scenario
from cupel.simulate.faults import MortalStore
from cupel.simulate.git import Git, Ref
from cupel.simulate.run import simulate
from cupel.simulate.server import Server
from cupel.store.interface import Transaction

SEEDS = range(0, 120, 10)
MORE_SEEDS = range(120, 4120, 100)


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
    _play(name, range(first, first + 100))


def test_a_seed_says_all() -> None:
    assert simulate(3) == simulate(3)


# What the simulator can find.


def _breaks(seeds: Sequence[int], what: scenario.Scenario = scenario.STORM) -> str:
    """How the first seed that breaks does."""
    for seed in seeds:
        broken = simulate(seed, what).broken
        if broken is not None:
            return broken
    pytest.fail(f"none of {len(seeds)} seeds found the fault")


def _swap_blindly(git: Git, ref: Ref, old: str | None, new: str) -> bool:
    git.move(ref, new, by_gate=True)
    return True


def test_it_finds_a_missing_compare_and_swap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Git, "compare_and_swap", _swap_blindly)
    assert "was proved on" in _breaks(range(50))


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
    assert _breaks(range(200))


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
    deadly = replace(scenario.STORM, faults=replace(scenario.STORM.faults, kill=0.05))
    assert _breaks(range(100), deadly)


@pytest.mark.parametrize(
    ("where", "name", "instead"),
    [
        (queue, "why_unfit", lambda *_: None),
        (admission, "is_outdated", lambda *_: False),
        (facts, "_found", lambda *_: None),
        (queue, "_needs", lambda *_: set()),
    ],
)
def test_it_finds_a_missing_rule(
    monkeypatch: pytest.MonkeyPatch, where: Any, name: str, instead: Callable[..., Any]
) -> None:
    monkeypatch.setattr(where, name, instead)
    assert _breaks(range(100))
