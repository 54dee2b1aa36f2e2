"""The in-process pair."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from cupel.host import transport
from cupel.host.transport import Transport
from unit.host_agent.transport_contract import TransportContract


class TestPair(TransportContract):
    @contextlib.asynccontextmanager
    async def ends(self) -> AsyncIterator[tuple[Transport, Transport]]:
        yield transport.pair()


def test_a_writer_waits_until_less_than_the_capacity_is_left():
    async def scenario():
        here, there = transport.pair(capacity=4)
        async with asyncio.TaskGroup() as group:
            writing = group.create_task(here.write(b"12345"))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert not writing.done()
            assert await there.read() == b"12345"
        assert writing.done()

    asyncio.run(scenario())
