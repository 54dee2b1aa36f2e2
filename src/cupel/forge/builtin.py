"""The built-in forge: answers the hook of a push (`cupel.git.hook`) over a unix socket."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import re
import socket
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import structlog

from cupel.errors import CupelError, InfraError
from cupel.forge.push import Command, Push, Refusal

log = structlog.get_logger(__name__)

QUESTION_LIMIT = 64 << 20
"""Bytes of the largest push (its list of refs) that is looked at."""

_PAUSE = 0.2
"""Seconds of rest when no connection can be accepted, such as without a free file descriptor."""

_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Became:
    """The ref that a command for `refs/for/…` turned into, such as a patch set's."""

    ref: str
    old: str | None
    new: str
    forced: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RefResult:
    """What became of a command: `refused` says why not; several `became` for a stack."""

    ref: str
    refused: str | None = None
    became: tuple[Became, ...] = ()


class Receiver(Protocol):
    """Who takes pushes."""

    async def validate(self, push: Push) -> Sequence[Refusal]:
        """Why the push cannot be taken; nothing, if it can. Its objects are in quarantine.

        One refusal refuses the push as a whole, and leaves nothing behind. All commands are in
        `push`, also those for branches and tags that git moves itself. A `CupelError` refuses.
        """
        ...

    async def receive(self, push: Push, say: Say) -> Sequence[RefResult]:
        """Record the push; a result for each of its commands, which are all for `refs/for/…`.

        `say` prints lines for the person who pushes, at once. May take as long as it likes: it is
        cancelled when the client leaves or the server stops, so recording comes first and is
        shielded. A `CupelError` refuses the commands.
        """
        ...


class HookServer:
    """Listens for the hooks of all repositories: `listen`, then `run` until cancelled."""

    def __init__(self, socket_path: Path, receiver: Receiver) -> None:
        self._path = socket_path
        self._receiver = receiver
        self._listener: socket.socket | None = None

    def listen(self) -> None:
        """Bind the socket; from now on hooks find it. Raises `InfraError`."""
        try:
            self._listener = _bind(self._path)
        except OSError as error:
            raise InfraError(
                f"cannot listen on {self._path}: {error.strerror}",
                hint="the state directory must be on a local file system that you can write to",
            ) from error

    async def run(self) -> None:
        """Answer hooks until cancelled. What happens to one connection harms no other."""
        assert self._listener is not None
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    try:
                        connection, _ = await loop.sock_accept(self._listener)
                    except OSError:
                        log.exception("cannot accept a hook's connection")
                        await asyncio.sleep(_PAUSE)
                        continue
                    group.create_task(self._serve(connection))
        finally:
            self._listener.close()
            self._path.unlink(missing_ok=True)

    async def _serve(self, connection: socket.socket) -> None:
        reader, writer = await asyncio.open_unix_connection(sock=connection)
        try:
            async with asyncio.TaskGroup() as group:
                name, push = await _question(reader)
                leaving = group.create_task(_leave_with(reader))
                await _send(writer, {"done": await self._answer(name, push, _saying(writer))})
                leaving.cancel()
        except* (_Left, ConnectionError, asyncio.IncompleteReadError):
            log.info("a push was broken off by its client")
        except* Exception:
            log.exception("a push failed")
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, name: str, push: Push, say: Say) -> dict[str, Any]:
        if name == "pre-receive":
            refusals = await self._validate(push)
            for line in refusal_lines(refusals):
                say(line)
            return {"ok": not refusals}
        try:
            results = await self._receiver.receive(push, say)
        except CupelError as error:
            say(str(error))
            results = [RefResult(ref=each.ref, refused=error.message) for each in push.commands]
        return {"results": [_result(each) for each in results]}

    async def _validate(self, push: Push) -> Sequence[Refusal]:
        try:
            return await self._receiver.validate(push)
        except CupelError as error:
            return [Refusal(ref="", message=error.message, hint=error.hint)]


class _Left(Exception):
    """The hook is gone: its client left."""


def refusal_lines(refusals: Sequence[Refusal]) -> list[str]:
    """What the person who pushes reads when a push is refused."""
    lines = []
    for refusal in refusals:
        lines += ["", f"{refusal.ref}: {refusal.message}" if refusal.ref else refusal.message]
        lines += [f"  {line}" for line in (refusal.hint or "").splitlines()]
    return [*lines, "", "Nothing of this push was taken."] if lines else []


async def _question(reader: asyncio.StreamReader) -> tuple[str, Push]:
    (length,) = struct.unpack(">I", await reader.readexactly(4))
    if length > QUESTION_LIMIT:
        raise ConnectionError(f"a push of {length} bytes of refs")
    question = json.loads(await reader.readexactly(length))
    return question["hook"], Push(
        project=question["project"],
        user=question["user"],
        repo=Path(question["repo"]),
        commands=tuple(
            Command(ref=ref, old=_present(old), new=_present(new))
            for old, new, ref in question["commands"]
        ),
        options=tuple(question["options"]),
        env=question["quarantine"],
    )


def _present(oid: str) -> str | None:
    return oid if oid.strip("0") else None


async def _leave_with(reader: asyncio.StreamReader) -> None:
    """Raise when the hook is gone; it says nothing after its question."""
    while await reader.read(1 << 10):
        pass
    raise _Left


def _saying(writer: asyncio.StreamWriter) -> Say:
    def say(text: str) -> None:
        # Texts come from people: none may steer the terminal of who pushes.
        for line in text.split("\n"):
            writer.write(_line({"say": _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", line)}))

    return say


async def _send(writer: asyncio.StreamWriter, message: dict[str, Any]) -> None:
    writer.write(_line(message))
    await writer.drain()


def _line(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\n"


def _result(result: RefResult) -> dict[str, Any]:
    one_line = None if result.refused is None else " ".join(result.refused.split()) or "refused"
    return {**dataclasses.asdict(result), "refused": one_line}


def _bind(path: Path) -> socket.socket:
    """A listening socket at a path of any length; the kernel by itself takes 107 bytes."""
    path.unlink(missing_ok=True)
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(f"/proc/self/fd/{directory}/{path.name}")
        path.chmod(0o600)
        listener.listen(128)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    finally:
        os.close(directory)
    return listener
