"""What every transport promises, whatever it goes over."""

from __future__ import annotations

import asyncio
import contextlib

from cupel.host.transport import Transport

MOST = 4 << 20
"""Bytes that may be on their way while nobody reads: more is no back-pressure."""


class TransportContract:
    """`ends` gives both ends of a transport, inside an event loop."""

    def ends(self) -> contextlib.AbstractAsyncContextManager[tuple[Transport, Transport]]:
        raise NotImplementedError

    def test_bytes_arrive_in_order_both_ways(self):
        async def scenario():
            async with asyncio.timeout(20), self.ends() as (here, there):
                await here.write(b"one")
                await here.write(b"two")
                await there.write(b"back")
                assert await exactly(there, 6) == b"onetwo"
                assert await exactly(here, 4) == b"back"

        asyncio.run(scenario())

    def test_what_is_long_arrives_whole_while_both_write(self):
        async def scenario():
            there_data = bytes(range(256)) * (12 << 10)
            back_data = there_data[::-1]
            async with asyncio.timeout(20), self.ends() as (here, there):
                async with asyncio.TaskGroup() as group:
                    got = group.create_task(exactly(there, len(there_data)))
                    came = group.create_task(exactly(here, len(back_data)))
                    for end, data in ((here, there_data), (there, back_data)):
                        group.create_task(write_in_pieces(end, data))
                assert got.result() == there_data
                assert came.result() == back_data

        asyncio.run(scenario())

    def test_a_writer_waits_for_its_reader(self):
        async def scenario():
            async with asyncio.timeout(20), self.ends() as (here, there):
                written = 0

                async def write():
                    nonlocal written
                    while True:
                        written += 64 << 10
                        await here.write(bytes(64 << 10))

                writing = asyncio.create_task(write())
                await asyncio.sleep(0.3)
                assert written <= MOST
                before = written
                await exactly(there, before)
                await asyncio.sleep(0.1)
                assert written > before
                writing.cancel()

        asyncio.run(scenario())

    def test_close_ends_both_directions_after_what_was_written(self):
        async def scenario():
            async with asyncio.timeout(20), self.ends() as (here, there):
                await here.write(b"12345")
                async with asyncio.TaskGroup() as group:
                    waiting = group.create_task(here.read())
                    await asyncio.sleep(0)
                    here.close()
                assert waiting.result() == b""
                assert await exactly(there, 5) == b"12345"
                assert await there.read() == b""
                await there.write(b"nobody hears this")
                assert await here.read() == b""

        asyncio.run(scenario())

    def test_close_frees_a_writer_that_waits(self):
        async def scenario():
            async with (
                asyncio.timeout(20),
                self.ends() as (here, _),
                asyncio.TaskGroup() as group,
            ):
                group.create_task(here.write(bytes(MOST)))
                await asyncio.sleep(0)
                here.close()

        asyncio.run(scenario())


async def write_in_pieces(end: Transport, data: bytes) -> None:
    for at in range(0, len(data), 50_000):
        await end.write(data[at : at + 50_000])


async def exactly(end: Transport, count: int) -> bytes:
    """So many bytes, or fewer at the end; whatever comes with the last of them."""
    got = b""
    while len(got) < count and (data := await end.read()):
        got += data
    return got
