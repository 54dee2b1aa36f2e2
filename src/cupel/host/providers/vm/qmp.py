"""QEMU's control socket (QMP): commands, their answers, and events."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable, Mapping
from typing import Any

from cupel.errors import InfraError
from cupel.host.providers.inside import wire

_LONGEST = 1 << 20


class Control:
    """One QEMU. `on_event` gets the name and the data of each event, and `None` at the end."""

    def __init__(
        self, sock: socket.socket, on_event: Callable[[str | None, Mapping[str, Any]], None]
    ) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._on_event = on_event
        self._loop = asyncio.get_running_loop()
        self._received = bytearray()
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._number = 0
        self._sending = asyncio.Lock()
        self._loop.add_reader(sock, self._read)

    async def execute(
        self, command: str, *, descriptor: int | None = None, **arguments: Any
    ) -> Any:
        """The answer to a command; InfraError when QEMU refuses it or is gone."""
        self._number += 1
        number = self._number
        order = {"execute": command, "arguments": arguments, "id": number}
        answer: asyncio.Future[Any] = self._loop.create_future()
        self._answers[number] = answer
        try:
            await self._send(json.dumps(order).encode() + b"\n", descriptor)
            return await answer
        except OSError as error:
            raise InfraError(f"QEMU does not answer: {error}") from error
        finally:
            self._answers.pop(number, None)

    async def _send(self, data: bytes, descriptor: int | None) -> None:
        async with self._sending:
            if self._sock.fileno() < 0:
                raise InfraError("QEMU is gone")
            if descriptor is not None:  # commands are short: the buffer of an idle socket has room
                sent = self._sock.sendmsg([data], wire.ancillary([descriptor]))
                data = data[sent:]
            await self._loop.sock_sendall(self._sock, data)

    def _read(self) -> None:
        try:
            data = self._sock.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._received += data
        if not data or len(self._received) > _LONGEST:
            self.close()
            return
        *lines, rest = self._received.split(b"\n")
        self._received = bytearray(rest)
        try:
            for line in lines:
                if line.strip():
                    self._hear(json.loads(line))
        except (ValueError, LookupError, TypeError, AttributeError):
            self.close()  # that is not QEMU as we know it any more

    def _hear(self, message: dict[str, Any]) -> None:
        if "event" in message:
            self._on_event(message["event"], message.get("data", {}))
            return
        answer = self._answers.get(message.get("id", 0))
        if answer is None or answer.done():
            return
        if "error" in message:
            answer.set_exception(InfraError(f"QEMU says: {message['error']['desc']}"))
        else:
            answer.set_result(message.get("return"))

    def close(self) -> None:
        if self._sock.fileno() < 0:
            return
        self._loop.remove_reader(self._sock)
        self._sock.close()
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(InfraError("QEMU is gone"))
        self._on_event(None, {})
