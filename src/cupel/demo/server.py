"""The Cupel of the demo: a process of its own, started as a user would."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from cupel import directory
from cupel.client import Client
from cupel.errors import InfraError

SLOTS = 4
"""Machines at a time, on any computer."""

_START = 60.0
"""Seconds that the server may take until it answers."""


@contextlib.asynccontextmanager
async def running(state: Path, settings: str = "", *, slots: int = SLOTS) -> AsyncIterator[Client]:
    """Start `cupel up` on a free port and a state directory; stop it at the end.

    `settings` are more of its `cupel.yaml`.
    """
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    (state / "cupel.yaml").write_text(f"slots: {slots}\n{settings}")
    known = state / directory.FILE
    known.unlink(missing_ok=True)
    with (state / "up.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "cupel", "--state", str(state), "up", "--listen", "127.0.0.1:0",
            stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        await _answers(process, state, known)
        with Client(directory.find(url=None, token=None, state=state, env={})) as found:
            yield found
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.wait()


async def _answers(process: asyncio.subprocess.Process, state: Path, known: Path) -> None:
    """Wait until the server does. It says where it is once it stands."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_START):
            while process.returncode is None:
                if known.exists() and _is_up(state):
                    return
                await asyncio.sleep(0.05)
    raise InfraError("cupel up did not start", hint=(state / "up.log").read_text()[-2000:] or None)


def _is_up(state: Path) -> bool:
    with contextlib.suppress(InfraError):
        with Client(directory.find(url=None, token=None, state=state, env={})) as found:
            found.status()
        return True
    return False
