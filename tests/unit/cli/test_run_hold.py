"""A shell in the machine of a job that failed here, as the one who types sees it."""

from __future__ import annotations

import asyncio
import os
import pty
import sys
from collections.abc import AsyncIterator
from typing import cast

import pytest

from cupel.cli import run_hold
from cupel.host.providers.interface import Stream, Talk


class Shell:
    """Says nothing, and ends when it is hung up on."""

    def __init__(self) -> None:
        self.written = b""
        self.heard = asyncio.Event()
        self._over = asyncio.Event()

    async def output(self) -> AsyncIterator[tuple[Stream, bytes]]:
        await self._over.wait()
        for nothing in ():
            yield nothing

    async def write(self, data: bytes) -> None:
        self.written += data
        self.heard.set()

    async def hang_up(self) -> None:
        self._over.set()

    async def wait(self) -> int:
        return 129


@pytest.mark.parametrize("at_terminal", [False, True])
def test_a_shell_goes_with_what_it_is_typed_at(
    at_terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where that is no terminal that controls us, whose end would be a signal."""
    theirs, ours = pty.openpty() if at_terminal else os.pipe()[::-1]
    monkeypatch.setattr(sys, "stdin", os.fdopen(ours, "rb"))

    async def visit() -> tuple[int, bytes]:
        shell = Shell()
        carrying = asyncio.ensure_future(run_hold._carry(cast("Talk", shell)))
        os.write(theirs, b"exit\n")
        await asyncio.wait_for(shell.heard.wait(), 5)
        os.close(theirs)
        return await asyncio.wait_for(carrying, 5), shell.written

    assert asyncio.run(visit()) == (129, b"exit\n")
    sys.stdin.close()
