"""The machine of a job that failed, for whoever ran it: a shell, or the wait until they let go."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import click

from cupel.cli import output, terminal
from cupel.errors import InfraError
from cupel.host import visits
from cupel.host.providers.interface import Size, Talk
from cupel.local import place as places

PIECE = 32 << 10
_ASKED = "Enter lets it go, s opens a shell there: "


class Hold:
    """See `local.build.Visit`. `place` is the run's directory; `keep` waits, after any shell."""

    def __init__(self, place: Path, *, keep: bool) -> None:
        self._place = place
        self._keep = keep

    async def __call__(self, job: str, place: visits.Place) -> None:
        name = terminal.single(job)
        if not self._keep:
            click.echo(f"A shell in the machine of {name}; it goes when you leave.", err=True)
            await shell(place)
            return
        with places.kept(self._place):
            click.echo(f"The machine of {name} is kept.", err=True)
            if output.has_terminal():
                await self._ask(place)
            else:
                click.echo("`cupel run --release` lets it go.", err=True)
                await asyncio.Event().wait()

    async def _ask(self, place: visits.Place) -> None:
        while True:
            click.echo(_ASKED, nl=False, err=True)
            answer = await anext(aiter(typed()), b"")
            if answer.strip().lower() != b"s":
                return
            await shell(place)


async def shell(place: visits.Place) -> int | None:
    """A shell at our own terminal, until it ends; its exit status, None if the machine went."""
    env = {**place.env, "TERM": os.environ.get("TERM", "xterm")}
    with contextlib.suppress(InfraError):
        talk = await place.machine.talk(visits.SHELL, env=env, cwd=place.cwd, size=_size())
        try:
            with _raw(), _resizing(talk):
                return await _carry(talk)
        finally:
            await talk.hang_up()
    return None


async def _carry(talk: Talk) -> int:
    typing = asyncio.ensure_future(_type(talk))
    try:
        async for _, data in talk.output():
            _write(data)
        return await talk.wait()
    finally:
        typing.cancel()
        with contextlib.suppress(asyncio.CancelledError, InfraError):
            await typing


async def _type(talk: Talk) -> None:
    """Hand on what is typed. At the end of stdin the terminal is gone, and the shell goes too."""
    async for data in typed():
        await talk.write(data)
    await talk.hang_up()


async def typed() -> AsyncIterator[bytes]:
    """What is typed, until the end of stdin. Nothing that comes later is read."""
    loop = asyncio.get_running_loop()
    descriptor = sys.stdin.fileno()
    while True:
        ready = asyncio.Event()
        loop.add_reader(descriptor, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_reader(descriptor)
        try:
            data = os.read(descriptor, PIECE)
        except OSError:  # how a terminal ends that is not the one which controls us
            return
        if not data:
            return
        yield data


def _write(data: bytes) -> None:
    sys.stdout.flush()
    view = memoryview(data)
    while view:
        view = view[os.write(sys.stdout.fileno(), view) :]


def _size() -> Size:
    size = os.get_terminal_size(sys.stdout.fileno())
    return Size(size.lines or 24, size.columns or 80)


@contextlib.contextmanager
def _resizing(talk: Talk) -> Iterator[None]:
    """Tell the shell each new size of our terminal."""
    loop = asyncio.get_running_loop()
    told: set[asyncio.Future[None]] = set()

    def resized() -> None:
        task = asyncio.ensure_future(talk.resize(_size()))
        told.add(task)
        task.add_done_callback(told.discard)

    loop.add_signal_handler(signal.SIGWINCH, resized)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGWINCH)


def _raw() -> contextlib.AbstractContextManager[None]:
    from cupel.cli import visit

    return visit.raw()
