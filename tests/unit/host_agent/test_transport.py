"""The in-process pair: order, backpressure, ends."""

from __future__ import annotations

import asyncio

from cupel.host import transport


def test_bytes_arrive_in_order_both_ways():
    async def scenario():
        here, there = transport.pair()
        await here.write(b"one")
        await here.write(b"two")
        await there.write(b"back")
        assert await there.read() == b"onetwo"
        assert await here.read() == b"back"

    asyncio.run(scenario())


def test_a_writer_waits_for_its_reader():
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


def test_close_ends_both_directions_after_what_was_written():
    async def scenario():
        here, there = transport.pair(capacity=4)
        async with asyncio.TaskGroup() as group:
            group.create_task(here.write(b"12345"))
            waiting = group.create_task(here.read())
            await asyncio.sleep(0)
            here.close()
        assert waiting.result() == b""
        assert await there.read() == b"12345"
        assert await there.read() == b""
        await there.write(b"nobody hears this")
        assert await here.read() == b""

    asyncio.run(scenario())
