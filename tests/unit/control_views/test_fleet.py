"""Why builds wait for machines, as the pages tell it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from cupel.control.views import fleet
from cupel.control.views.nouns.fleet import HostView
from cupel.core.model import (
    BuildState,
    Host,
    HostState,
    Machine,
    MachineState,
    Row,
    Verdict,
)
from cupel.store.memory import MemoryStore
from unit.core import making

HOST = Host(
    id=1,
    name="here",
    slots=1,
    labels=(),
    state=HostState.CONNECTED,
    detail=None,
    last_seen=0.0,
)
MACHINE = Machine(
    id=50,
    label="debian-12",
    image=None,
    host_id=1,
    build_id=2,
    state=MachineState.USED,
    detail=None,
    created_at=0.0,
)
GUARDED = making.buildset(jobs=(making.job(semaphores=(("licence", 1),)),))
QUEUED = making.build(1, queued_at=100.0)


def waits(*rows: Row) -> str | None:
    """Why the queued build waits, a second after it was queued."""

    async def run() -> dict[int, str]:
        store = MemoryStore()
        async with store.write() as tx:
            await tx.put([QUEUED, *rows])
        async with store.read() as tx:
            return await fleet.waits(tx, [QUEUED], now=101.0)

    return asyncio.run(run()).get(1)


def test_nothing_is_told_where_a_slot_is_free() -> None:
    assert waits(HOST, replace(MACHINE, state=MachineState.GONE)) is None


def test_machines_that_are_busy_are_counted() -> None:
    assert waits(HOST, MACHINE) == "the only machine is busy"


def test_who_holds_a_semaphore_is_named_wherever_it_runs() -> None:
    other = making.build(2, buildset_id=9, state=BuildState.RUNNING, machine_id=50)
    rows: list[Row] = [replace(HOST, slots=4), MACHINE, GUARDED, replace(GUARDED, id=9), other]
    assert waits(*rows) == "waits for semaphore licence, held by build 2"


def test_a_host_that_failed_the_job_is_not_asked_again_at_once() -> None:
    lost = making.build(2, verdict=Verdict.INFRA, machine_id=50)
    gone = replace(MACHINE, state=MachineState.GONE)
    assert waits(HOST, lost, gone) == "its host failed it and is asked again in 4 s"


def host_view(host: Host) -> HostView:
    async def run() -> HostView:
        store = MemoryStore()
        async with store.write() as tx:
            await tx.put([host])
        async with store.read() as tx:
            return await fleet.host_view(tx, host.name, now=101.0)

    return asyncio.run(run())


def test_a_host_says_that_it_is_in_quarantine_or_on_probation() -> None:
    assert host_view(HOST).waiting is None
    bad = host_view(replace(HOST, strikes=3, quarantined_until=161.0))
    assert (bad.strikes, bad.quarantined_until) == (3, 161.0)
    assert bad.waiting == (
        "host here is quarantined until 1970-01-01 00:02:41 UTC: "
        "it failed 3 builds in a row within seconds"
    )
    probed = host_view(replace(HOST, strikes=4, quarantined_until=100.0))
    assert probed.waiting == (
        "host here is on probation, with one build at a time until one ends well: "
        "it failed 4 builds in a row within seconds"
    )
