"""What is kept ahead of virtual machines; the QEMUs are fakes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from cupel.errors import InfraError
from cupel.host.providers.vm import shell as shells
from cupel.host.providers.vm.shell import Ahead

ONE, OTHER = "one kind", "another"


class FakeShell:
    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.is_there = True

    async def end(self) -> None:
        self.is_there = False


class Maker:
    """Makes shells, unless `error` says why it can't."""

    def __init__(self) -> None:
        self.made: list[FakeShell] = []
        self.error: Exception | None = None

    async def __call__(self, kind: str) -> FakeShell:
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        self.made.append(FakeShell(kind))
        return self.made[-1]


def play(scenario: Callable[[Ahead, Maker], Awaitable[None]]) -> Maker:
    maker = Maker()

    async def whole() -> None:
        ahead = Ahead(maker)  # type: ignore[arg-type]
        await scenario(ahead, maker)
        await ahead.close()

    asyncio.run(whole())
    return maker


def test_the_next_one_is_made_when_one_is_taken_and_ends_with_all():
    async def scenario(ahead: Ahead, maker: Maker) -> None:
        first = await ahead.take(ONE)
        assert await ahead.take(ONE) is maker.made[1]
        assert first is maker.made[0]

    maker = play(scenario)
    assert [shell.is_there for shell in maker.made] == [True, True, False]


def test_one_of_another_kind_is_given_up():
    async def scenario(ahead: Ahead, maker: Maker) -> None:
        await ahead.take(ONE)
        taken = await ahead.take(OTHER)
        assert taken.kind == OTHER  # type: ignore[attr-defined]

    maker = play(scenario)
    assert [(shell.kind, shell.is_there) for shell in maker.made if shell.is_there] == [
        (ONE, True),
        (OTHER, True),
    ]


def test_one_that_has_ended_while_it_waited_is_not_handed_out():
    async def scenario(ahead: Ahead, maker: Maker) -> None:
        await ahead.take(ONE)
        await asyncio.sleep(0.01)
        maker.made[1].is_there = False
        assert await ahead.take(ONE) is maker.made[2]

    play(scenario)


def test_what_prevents_the_next_one_is_said_when_it_is_needed():
    async def scenario(ahead: Ahead, maker: Maker) -> None:
        await ahead.take(ONE)
        maker.error = InfraError("the disk is full")
        with pytest.raises(InfraError, match="the disk is full"):
            await ahead.take(ONE)
        maker.error = None
        assert await ahead.take(ONE) is maker.made[1]

    play(scenario)


def test_one_that_nobody_wants_goes(monkeypatch):
    monkeypatch.setattr(shells, "IDLE", 0.01)

    async def scenario(ahead: Ahead, maker: Maker) -> None:
        await ahead.take(ONE)
        for _ in range(200):
            if len(maker.made) == 2 and not maker.made[1].is_there:
                return
            await asyncio.sleep(0.01)
        raise AssertionError("it waits for ever")

    play(scenario)
