"""What housekeeping forgets, and in which order."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cupel.config.server import ServerConfig
from cupel.control import app
from cupel.core import results
from cupel.core.model import BuildsetState, BuildState, Evidence, ItemState
from cupel.core.results import FailedTest, Outcome, Result, Results
from cupel.errors import NotFound
from cupel.git import repository
from cupel.image.catalogue import Catalogue
from cupel.image.keeper import Keeper
from cupel.report.results import kept
from cupel.store.memory import MemoryStore
from unit.core import making


def test_old_passes_are_forgotten_and_young_ones_kept(tmp_path: Path) -> None:
    passes = [making.evidence(n, created_at=float(n)) for n in range(1, 2 * app._BATCH + 2)]

    async def run() -> list[int]:
        store = MemoryStore()
        async with store.write() as tx:
            await tx.put(passes)
        config = ServerConfig(slots=1)
        images = Keeper(Catalogue(tmp_path / "images"), named=())
        cupel = app.Cupel(
            state=tmp_path, config=config, store=store, clock=lambda: 0.0, url="", inner="",
            images=images,
        )  # fmt: skip
        await cupel._forget_passes(2 * app._BATCH)
        async with store.read() as tx:
            return [row.id for row in await tx.select(Evidence)]

    assert asyncio.run(run()) == [2 * app._BATCH, 2 * app._BATCH + 1]


def test_results_are_let_go_with_the_logs_of_their_build(tmp_path: Path) -> None:
    old = making.build(1, state=BuildState.FINISHED, finished_at=1.0)
    young = making.build(2, state=BuildState.FINISHED, finished_at=9.0)
    bad = Result(suite="s", name="t", outcome=Outcome.FAILED)

    async def run() -> list[int]:
        store = MemoryStore()
        config = ServerConfig(slots=1)
        images = Keeper(Catalogue(tmp_path / "images"), named=())
        cupel = app.Cupel(
            state=tmp_path, config=config, store=store, clock=lambda: 0.0, url="", inner="",
            images=images,
        )  # fmt: skip
        for build in (old, young):
            summary = Results(
                id=build.id, project_id=1, job="j", key=None, tally=results.tally([bad]),
                notices=(), at=1.0,
            )  # fmt: skip
            row = results.failed_test(summary, bad, id=100 + build.id)
            async with store.write() as tx:
                await tx.put([build, summary, row])
            with (tmp_path / "out").open("wb") as file:
                kept.write(file, [bad], summary.tally)
            cupel.results.keep(build.id, tmp_path / "out")
        await cupel._let_go(5.0)
        with pytest.raises(NotFound):
            cupel.results.open(1)
        cupel.results.open(2).close()
        async with store.read() as tx:
            assert len(await tx.select(Results)) == 2
            return [row.build_id for row in await tx.select(FailedTest)]

    assert asyncio.run(run()) == [2]


def test_a_pass_is_forgotten_before_its_artefacts_are() -> None:
    assert 0 < app._REUSED_FOR < 1


def test_every_state_of_a_live_item_is_kept_and_what_it_has_beside(tmp_path: Path) -> None:
    live = making.item(5, buildset_id=50)
    ended = making.item(6, state=ItemState.REMOVED, finished_at=1.0)
    other = making.item(7, project_id=2)
    states = [
        making.buildset(id=50, item_id=5),
        making.buildset(id=51, item_id=5, state=BuildsetState.PREPARING),
        making.buildset(id=52, item_id=5, state=BuildsetState.SUPERSEDED),
        making.buildset(id=60, item_id=6, state=BuildsetState.SUPERSEDED),
        making.buildset(id=61, item_id=6),
        making.buildset(id=62, item_id=6, state=BuildsetState.SUPERSEDED),
        making.buildset(id=70, item_id=7, beside=((1, "c62"), (3, "c61"))),
    ]
    runs = making.build(8, buildset_id=60, state=BuildState.RUNNING, machine_id=9)

    async def run() -> set[int]:
        store = MemoryStore()
        async with store.write() as tx:
            await tx.put([live, ended, other, *states, runs])
        config = ServerConfig(slots=1)
        images = Keeper(Catalogue(tmp_path / "images"), named=())
        cupel = app.Cupel(
            state=tmp_path, config=config, store=store, clock=lambda: 0.0, url="", inner="",
            images=images,
        )  # fmt: skip
        kept = {number: f"c{number}" for number in (50, 51, 52, 60, 61, 62, 99)}
        dropped: set[int] = set()

        async def states_there(repo: Path) -> dict[int, str]:
            return kept

        async def drop(repo: Path, numbers: list[int]) -> None:
            dropped.update(numbers)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(repository, "states", states_there)
            patch.setattr(repository, "drop_states", drop)
            await cupel._drop_states(making.project())
        return set(kept) - dropped

    assert asyncio.run(run()) == {50, 51, 60, 62}
