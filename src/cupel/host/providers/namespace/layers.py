"""The agent's end of laying an image's directories into a machine."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from cupel.errors import InfraError, UserError
from cupel.host.providers.inside import wire
from cupel.host.providers.namespace import wires
from cupel.host.providers.namespace.channel import Channel
from cupel.host.providers.namespace.shell import Shell

SECONDS = 20.0


async def lay(
    sock: socket.socket, shell: Shell, directory: Path, name: str, image: Path, paths: Sequence[str]
) -> None:
    """Have the launcher's fork behind `sock` do it, in `directory` of the shell's own view.

    `name` is for what lies on the machine's disk. Raises `UserError` where it can't be done.
    """
    answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def hear(frame: wire.Frame | None) -> None:
        if answer.done():
            return
        match frame:
            case {"event": "laid"}:
                answer.set_result(None)
            case {"event": "failed", "text": str(text)}:
                answer.set_exception(UserError(text))
            case _:
                answer.set_exception(InfraError("it ended before it was done"))

    channel = Channel(sock, hear)
    order = {
        "image": str(image),
        "directory": str(directory),
        "name": name,
        "base": shell.owner,
        "paths": list(paths),
    }
    try:
        with ExitStack() as held:
            namespaces = [
                os.open(f"/proc/{shell.pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC),
                wires.namespace_of(shell.init, shell.pid, "user"),
                wires.namespace_of(shell.init, shell.pid, "mnt"),
            ]
            for namespace in namespaces:
                held.callback(os.close, namespace)
            async with asyncio.timeout(SECONDS):
                await channel.send(order, namespaces)
                await answer
    except OSError as error:  # TimeoutError is one
        raise InfraError(f"an image can't be laid into a machine: {error}") from error
    finally:
        channel.close()
