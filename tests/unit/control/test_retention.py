"""What housekeeping forgets, and in which order."""

from __future__ import annotations

import asyncio
from pathlib import Path

from cupel.config.server import ServerConfig
from cupel.control import app
from cupel.core.model import Evidence
from cupel.store.memory import MemoryStore
from unit.core import making


def test_old_passes_are_forgotten_and_young_ones_kept(tmp_path: Path) -> None:
    passes = [making.evidence(n, created_at=float(n)) for n in range(1, 2 * app._BATCH + 2)]

    async def run() -> list[int]:
        store = MemoryStore()
        async with store.write() as tx:
            await tx.put(passes)
        config = ServerConfig(slots=1)
        cupel = app.Cupel(
            state=tmp_path, config=config, store=store, clock=lambda: 0.0, url="", inner=""
        )
        await cupel._forget_passes(2 * app._BATCH)
        async with store.read() as tx:
            return [row.id for row in await tx.select(Evidence)]

    assert asyncio.run(run()) == [2 * app._BATCH, 2 * app._BATCH + 1]


def test_a_pass_is_forgotten_before_its_artefacts_are() -> None:
    assert 0 < app._REUSED_FOR < 1
