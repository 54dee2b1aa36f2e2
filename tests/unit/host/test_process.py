"""Reading a process's pipes, with the writer played by the test."""

from __future__ import annotations

import asyncio
import os

import pytest

from cupel.errors import InfraError
from cupel.host.providers.interface import Stream
from cupel.host.providers.namespace.process import NamespaceProcess


class Played:
    """A process whose pipes' other ends are ours."""

    def __init__(self) -> None:
        out, self.out = os.pipe()
        err, self.err = os.pipe()
        self.kills = 0
        self.process = NamespaceProcess({out: Stream.OUT, err: Stream.ERR}, self._kill)

    async def _kill(self) -> None:
        self.kills += 1

    def close(self) -> None:
        os.close(self.out)
        os.close(self.err)


def test_output_ends_with_the_pipes() -> None:
    async def scenario() -> None:
        played = Played()
        os.write(played.out, b"a")
        os.write(played.err, b"b")
        played.close()
        assert [piece async for piece in played.process.output()] == [
            (Stream.OUT, b"a"),
            (Stream.ERR, b"b"),
        ]

    asyncio.run(scenario())


def test_what_was_written_before_the_end_is_read_while_a_pipe_stays_open() -> None:
    async def scenario() -> None:
        played = Played()
        os.write(played.out, b"x" * 65536)
        played.process.end(0)
        read = [data async for _, data in played.process.output()]
        assert b"".join(read) == b"x" * 65536
        assert await played.process.wait() == 0
        played.close()

    asyncio.run(scenario())


def test_an_end_wakes_a_reader_that_waits() -> None:
    async def scenario() -> None:
        played = Played()
        asyncio.get_running_loop().call_soon(played.process.end, 3)
        assert [piece async for piece in played.process.output()] == []
        assert await played.process.wait() == 3
        played.close()

    asyncio.run(scenario())


def test_a_process_that_went_with_its_machine_has_no_status() -> None:
    async def scenario() -> None:
        played = Played()
        played.close()
        played.process.end(None)
        with pytest.raises(InfraError):
            await played.process.wait()
        await played.process.kill()
        assert played.kills == 0
        played.process.close()

    asyncio.run(scenario())
