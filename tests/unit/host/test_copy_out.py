"""What lies in a machine comes out whole, however long its packer takes to end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from cupel.host.providers.interface import Stream
from cupel.host.providers.namespace.machine import NamespaceMachine
from cupel.host.providers.vm.machine import VmMachine


class Packer:
    """Has written all, closed its pipes, and not ended yet."""

    killed = False

    async def output(self) -> AsyncIterator[tuple[Stream, bytes]]:
        yield Stream.OUT, b"all"
        yield Stream.OUT, b" of it"

    async def kill(self) -> None:
        self.killed = True

    async def wait(self) -> int:
        return -9 if self.killed else 0


@pytest.fixture(params=[NamespaceMachine, VmMachine])
def machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    async def packs(*_: object, **__: object) -> Packer:
        return packer

    packer = Packer()
    monkeypatch.setattr(request.param, "exec", packs)
    made = object.__new__(request.param)
    made.id, made.packer = 1, packer
    return made


def test_a_packer_that_has_not_ended_yet_is_waited_for(machine: Any) -> None:
    async def read() -> bytes:
        return b"".join([data async for data in machine.copy_out("/x")])

    assert asyncio.run(read()) == b"all of it"


def test_a_packer_whose_reader_has_left_is_ended(machine: Any) -> None:
    async def read() -> None:
        pieces = machine.copy_out("/x")
        assert await anext(pieces) == b"all"
        await pieces.aclose()

    asyncio.run(read())
    assert machine.packer.killed
