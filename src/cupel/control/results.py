"""Has the results of builds read, by a process that may break over them, and keeps them."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence

from cupel import logger, process
from cupel.core import results
from cupel.core.results import Annotation, Findings, Tally
from cupel.errors import InfraError
from cupel.report.results import findings
from cupel.report.results.notes import Notes
from cupel.report.results.store import SUFFIX, ResultStore, Spool

log = logger.of(__name__)

AT_ONCE = 2
"""Builds whose results are read at a time; others wait for their turn."""

SECONDS = 120.0
"""How long reading the results of a build may take, whatever the process does meanwhile."""


class Reader:
    """Reads what builds left. What goes wrong with that is a notice, and never their failure."""

    def __init__(self, store: ResultStore) -> None:
        self._store = store
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def read(self, build_id: int, spool: Spool, machines: Sequence[str]) -> Findings | None:
        """What the tests of a build said; None if it left no results.

        `machines` are the names of its machines, if there are several.
        """
        try:
            if not spool.parts():
                return None
            async with self._turns:
                found = await self._read(build_id, spool, machines)
        except InfraError as error:
            log.warning("results are not read", build=build_id, error=str(error))
            return _lost(f"the results could not be read: {error.message}")
        finally:
            await asyncio.to_thread(spool.discard)
        if spool.is_cut and found is not None:
            return _with(found, "there is more than may be read; the rest was left out")
        return found

    async def keep_printed(self, build_id: int, found: Sequence[Annotation]) -> None:
        """Keep what a build has printed of lines."""
        if found:
            notes = Notes(annotations=tuple(found))
            try:
                await asyncio.to_thread(self._store.keep_notes, build_id, notes, printed=True)
            except InfraError as error:
                log.warning("annotations are lost", build=build_id, error=str(error))

    async def _read(self, build_id: int, spool: Spool, machines: Sequence[str]) -> Findings | None:
        assert spool.directory is not None
        out = spool.directory / "kept"
        words: list[str] = []
        for part in spool.parts():
            name = machines[part] if 0 < part < len(machines) else ""
            words += [f"{name}/" if name else "", str(spool.path(part))]
        told = await process.run(
            [sys.executable, "-I", "-m", "cupel.report.results", str(out), *words],
            env={"PATH": os.environ.get("PATH", os.defpath)},
            timeout=SECONDS,
            check=False,
        )
        if told.exit_status != 0:
            why = told.err.decode(errors="replace").strip().splitlines()
            log.warning("reading results failed", build=build_id, why=why[-1:] or told.exit_status)
            raise InfraError("reading them took more time or memory than there is for it")
        await asyncio.to_thread(self._store.take_notes, build_id, out.with_suffix(SUFFIX))
        if not told.out:
            return None
        found = findings.parse(told.out)
        await asyncio.to_thread(self._store.keep, build_id, out)
        return found


def _lost(why: str) -> Findings:
    return Findings(tally=Tally(), notices=(results.one_line(why, results.LONGEST_NOTICE),))


def _with(found: Findings, notice: str) -> Findings:
    return Findings(tally=found.tally, failing=found.failing, notices=(*found.notices, notice))
