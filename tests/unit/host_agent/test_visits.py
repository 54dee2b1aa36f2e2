"""People's processes on a host: begun, typed to, paced, and ended in whatever way."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from cupel.host import agent, messages, transport
from cupel.host.messages import (
    BuildFinished,
    Destroy,
    Hello,
    Keep,
    MachineGone,
    Visit,
    VisitEnded,
    VisitInput,
    VisitLeft,
    VisitOutput,
    VisitRoom,
    VisitSize,
    VisitTaken,
    Welcome,
)
from cupel.host.providers.interface import Size
from fakes import provider as fakes
from unit.host_agent.test_agent import LABELS, Repository, Server, World, play, repository

__all__ = ["play", "repository"]

WAITS = {"wait": fakes.Script(exit=fakes.FOREVER)}


async def running(world: World) -> fakes.FakeMachine:
    await world.server.say(*world.both(1, "wait"))
    await world.provider.stepping.wait()
    (machine,) = world.provider.made
    return machine


async def ended(world: World, number: int) -> VisitEnded:
    def found() -> list[VisitEnded]:
        return [each for each in world.server.of(VisitEnded) if each.visit == number]

    await until(found)
    return found()[0]


async def until(what: Callable[[], object]) -> None:
    """Wait for what is not told by a message of its own."""
    for _ in range(2000):
        if what():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen")


def written(world: World, number: int) -> bytes:
    return b"".join(each.data for each in world.server.of(VisitOutput) if each.visit == number)


def test_a_shell_has_what_the_steps_have_and_its_status_is_told(play):
    async def scenario(world: World) -> None:
        machine = await running(world)
        wish = Visit(machine=1, visit=7, env=(("TERM", "xterm"),), rows=30, columns=90)
        await world.server.say(wish, VisitInput(visit=7, data=b"hello"))
        await world.server.say(VisitSize(visit=7, rows=40, columns=100))
        await until(lambda: written(world, 7) == b"hello")
        await world.server.say(VisitInput(visit=7, data=b"exit 3"))
        assert await ended(world, 7) == VisitEnded(visit=7, status=3)
        argv, env, cwd = machine.ran[-1]
        assert (argv, cwd) == (("/bin/bash", "-i"), "/build/src")
        assert env["TERM"] == "xterm"
        assert env.items() >= machine.ran[0][1].items()
        assert machine.talks[0].sizes == [Size(30, 90), Size(40, 100)]
        assert [each.count for each in world.server.of(VisitTaken)] == [5, 6]

    play(scenario, WAITS)


def test_no_more_comes_than_was_asked_for(play):
    async def scenario(world: World) -> None:
        await running(world)
        await world.server.say(Visit(machine=1, visit=1, argv=("cat",)))
        most = messages.VISIT_WINDOW
        for _ in range(2 * most // 10_000):
            await world.server.say(VisitInput(visit=1, data=b"y" * 10_000))
        await until(lambda: len(written(world, 1)) >= most)
        await asyncio.sleep(0.2)
        assert len(written(world, 1)) == most
        await world.server.say(VisitRoom(visit=1, count=5))
        await until(lambda: len(written(world, 1)) > most)
        assert len(written(world, 1)) == most + 5
        await world.server.say(VisitLeft(visit=1))
        assert (await ended(world, 1)).status == -9

    play(scenario, WAITS)


def test_what_nobody_is_at_any_more_is_hung_up_on(play):
    async def scenario(world: World) -> None:
        machine = await running(world)
        await world.server.say(Visit(machine=1, visit=1, rows=24, columns=80))
        await until(lambda: machine.talks)
        await world.server.say(VisitLeft(visit=1), VisitLeft(visit=1), VisitLeft(visit=2))
        assert (await ended(world, 1)).status == -1
        assert machine.talks[0].hung_up

    play(scenario, WAITS)


def test_a_visit_ends_with_its_machine(play):
    async def scenario(world: World) -> None:
        await running(world)
        await world.server.say(Visit(machine=1, visit=1, rows=24, columns=80), Destroy(machine=1))
        await world.server.hears(MachineGone, 1)
        gone = await ended(world, 1)
        assert gone.status is None
        assert gone.reason

    play(scenario, WAITS)


def test_nobody_visits_what_is_not_there(play):
    async def scenario(world: World) -> None:
        await world.server.say(Visit(machine=5, visit=1))
        gone = await ended(world, 1)
        assert (gone.status, gone.reason) == (None, "there is no such machine here")

    play(scenario)


def test_a_visit_waits_for_what_its_build_needs(play):
    async def scenario(world: World) -> None:
        world.provider.may_create.clear()
        await world.server.say(*world.both(1, "wait"), Visit(machine=1, visit=1, argv=("cat",)))
        await world.provider.creating.wait()
        assert not world.server.of(VisitEnded)
        world.provider.may_create.set()
        await world.provider.stepping.wait()
        await world.server.say(VisitInput(visit=1, data=b"in"), VisitInput(visit=1, data=b""))
        assert (await ended(world, 1)).status == 0

    play(scenario, WAITS)


def test_what_is_held_outlives_its_session_and_is_visited_in_the_next(tmp_path, repository):
    async def scenario() -> None:
        provider = fakes.FakeProvider()
        host = agent.Agent("here", 4, provider, tmp_path, pauses=(0.0,), grace=1.0)
        async with session(host, provider, repository) as (world, hello):
            assert hello.held == ()
            for number in (1, 2):
                await world.server.say(*world.both(number, "true"))
                await world.server.hears(BuildFinished, number)
            await world.server.say(Keep(machine=1), Keep(machine=7))
            await world.server.hears(MachineGone, 7)
            (tmp_path / "lent/1/seen").touch()
        await until(lambda: sorted(provider.existing) == [1])
        assert (tmp_path / "lent/1/seen").exists()
        async with session(host, provider, repository) as (world, hello):
            assert (hello.machines, hello.held) == ((1,), (1,))
            await world.server.say(Visit(machine=1, visit=1), VisitInput(visit=1, data=b"exit 5"))
            assert (await ended(world, 1)).status == 5
            await world.server.say(Destroy(machine=1))
            await world.server.hears(MachineGone, 1)
            await world.server.say(*world.both(3, "true"), Keep(machine=3))
            await world.server.hears(BuildFinished, 3)
            await world.server.say(Keep(machine=3))
            await world.server.say(Visit(machine=3, visit=2, argv=("cat",)))
            await world.server.say(VisitInput(visit=2, data=b""))
            await ended(world, 2)
        assert list(provider.existing) == [3]
        await host.let_go(0.01)
        assert provider.existing == {}

    asyncio.run(scenario())


@contextlib.asynccontextmanager
async def session(
    host: agent.Agent, provider: fakes.FakeProvider, repository: Repository
) -> AsyncIterator[tuple[World, Hello]]:
    """A server that goes away, and means to come back."""
    ours, theirs = transport.pair()
    server = Server(theirs)
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        group.create_task(host.serve(ours))
        group.create_task(server.listen())
        hello = await server.hears(Hello)
        welcome = Welcome(version=messages.VERSION, heartbeat=60.0, token="t", labels=LABELS)
        await server.say(welcome)
        yield World(provider, host, server, repository), hello
        theirs.close()
