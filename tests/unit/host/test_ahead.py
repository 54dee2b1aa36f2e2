"""What is kept ahead of machines; the shells are fakes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from cupel.errors import InfraError
from cupel.host.providers import ahead as module
from cupel.host.providers.ahead import Ahead

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


Kept = Ahead[str, FakeShell]


async def take(ahead: Kept, kind: str) -> FakeShell:
    """As providers do it: the next one is wanted from then on."""
    shell = await ahead.take(kind)
    ahead.renew(kind)
    return shell


def play(scenario: Callable[[Kept, Maker], Awaitable[None]]) -> Maker:
    maker = Maker()

    async def whole() -> None:
        ahead = Ahead(maker)
        await scenario(ahead, maker)
        await ahead.close()

    asyncio.run(whole())
    return maker


def test_the_next_one_is_made_when_one_is_taken_and_ends_with_all():
    async def scenario(ahead: Kept, maker: Maker) -> None:
        first = await take(ahead, ONE)
        await asyncio.sleep(0.01)
        assert await take(ahead, ONE) is maker.made[1]
        assert first is maker.made[0]
        await asyncio.sleep(0.01)

    maker = play(scenario)
    assert [shell.is_there for shell in maker.made] == [True, True, False]


def test_one_of_another_kind_is_given_up():
    async def scenario(ahead: Kept, maker: Maker) -> None:
        await take(ahead, ONE)
        taken = await take(ahead, OTHER)
        assert taken.kind == OTHER

    maker = play(scenario)
    assert [(shell.kind, shell.is_there) for shell in maker.made if shell.is_there] == [
        (ONE, True),
        (OTHER, True),
    ]


def test_one_that_has_ended_while_it_waited_is_not_handed_out():
    async def scenario(ahead: Kept, maker: Maker) -> None:
        await take(ahead, ONE)
        await asyncio.sleep(0.01)
        maker.made[1].is_there = False
        assert await take(ahead, ONE) is maker.made[2]

    play(scenario)


def test_what_prevents_the_next_one_is_said_when_it_is_needed():
    async def scenario(ahead: Kept, maker: Maker) -> None:
        await take(ahead, ONE)
        maker.error = InfraError("the disk is full")
        with pytest.raises(InfraError, match="the disk is full"):
            await take(ahead, ONE)
        maker.error = None
        assert await take(ahead, ONE) is maker.made[1]

    play(scenario)


def test_one_that_nobody_wants_goes(monkeypatch):
    monkeypatch.setattr(module, "IDLE", 0.01)

    async def scenario(ahead: Kept, maker: Maker) -> None:
        await take(ahead, ONE)
        for _ in range(200):
            if len(maker.made) == 2 and not maker.made[1].is_there:
                return
            await asyncio.sleep(0.01)
        raise AssertionError("it waits for ever")

    play(scenario)


def test_those_who_take_at_once_leave_none_behind():
    async def scenario(ahead: Kept, maker: Maker) -> None:
        await take(ahead, ONE)
        taken = await asyncio.gather(*(take(ahead, ONE) for _ in range(5)))
        assert len({id(shell) for shell in taken}) == 5
        await asyncio.sleep(0.01)
        handed_out.extend(taken)

    handed_out: list[FakeShell] = []
    maker = play(scenario)
    there = [shell for shell in maker.made[1:] if shell.is_there]
    assert {id(shell) for shell in there} == {id(shell) for shell in handed_out}


def test_the_next_one_is_begun_after_a_pause_and_not_by_then_when_it_is_closed():
    made: list[FakeShell] = []

    async def scenario() -> None:
        maker = Maker()
        ahead: Kept = Ahead(maker, pause=60.0)
        await take(ahead, ONE)
        await asyncio.sleep(0.01)
        assert await take(ahead, ONE) is maker.made[1]
        await ahead.close()
        made.extend(maker.made)

    asyncio.run(scenario())
    assert len(made) == 2
