"""What goes over the wire between a server and a host, without doing any I/O.

A frame is two unsigned 32-bit lengths in network order, a JSON object that names its message's type
and fields, and a payload: the `data` of the messages that carry bytes. Feed what was read to
`receive` and write what `send` returns; neither waits for anything. Input that breaks the protocol
is the other end's fault and raises `InfraError`; the connection is closed from then on. Sending out
of turn is ours and raises `Bug`.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import json
import struct
import typing
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import pydantic

from cupel.errors import Bug, InfraError
from cupel.host import messages
from cupel.host.messages import (
    ArtefactData,
    Hello,
    Output,
    ResultData,
    ToHost,
    ToServer,
    VisitInput,
    VisitOutput,
    Welcome,
)

MAX_HEADER = 4 << 20
"""Bytes of JSON in a frame: the scripts of a build are the longest thing that it holds."""

_LENGTHS = struct.Struct("!II")

Message = ToHost | ToServer
Sent = TypeVar("Sent", bound=Message)
Received = TypeVar("Received", bound=Message)


class Phase(enum.StrEnum):
    """How far a connection is."""

    NEW = "new"
    GREETED = "greeted"
    OPEN = "open"
    CLOSED = "closed"


PHASES: Mapping[tuple[Phase, type], Phase] = {
    (Phase.NEW, Hello): Phase.GREETED,
    (Phase.GREETED, Welcome): Phase.OPEN,
    **{
        (Phase.OPEN, kind): Phase.OPEN
        for kind in typing.get_args(ToHost | ToServer)
        if kind not in {Hello, Welcome}
    },
}
"""`{(phase, message): phase}` for both ends; what the table lacks is out of order."""

_TO_HOST: Mapping[str, type[Any]] = {kind.__name__: kind for kind in typing.get_args(ToHost)}
_TO_SERVER: Mapping[str, type[Any]] = {kind.__name__: kind for kind in typing.get_args(ToServer)}

_PAYLOADS: Mapping[type[Any], Mapping[str, type | tuple[type, ...]]] = {
    Output: {"machine": int, "step": int, "stream": str, "at": (int, float), "part": int},
    ResultData: {"machine": int, "part": int},
    ArtefactData: {"machine": int, "last": bool},
    VisitInput: {"visit": int},
    VisitOutput: {"visit": int, "stream": str},
}
"""The messages with a payload, most of the traffic: the types of their other fields."""


class Connection(Generic[Sent, Received]):
    """One end of a connection; use `HostConnection` or `ServerConnection`."""

    _sends: Mapping[str, type[Any]]
    _receives: Mapping[str, type[Any]]

    def __init__(self) -> None:
        self.phase = Phase.NEW
        self._buffer = bytearray()

    def send(self, message: Sent) -> bytes:
        """The bytes to write. Raises `Bug` when this end may not say that now."""
        kind = type(message)
        after = PHASES.get((self.phase, kind))
        if after is None or kind.__name__ not in self._sends:
            raise Bug(f"cannot send {kind.__name__} on a connection that is {self.phase}")
        frame = _encode(message)
        self.phase = after
        return frame

    def receive(self, data: bytes) -> list[Received]:
        """The messages that `data` completes. Raises `InfraError` when it breaks the rules."""
        if self.phase is Phase.CLOSED:
            raise InfraError("the connection is closed")
        self._buffer += data
        try:
            return self._messages()
        except InfraError:
            self.close()
            raise

    def close(self) -> None:
        """Neither send nor receive anything more."""
        self.phase = Phase.CLOSED
        self._buffer.clear()

    def _messages(self) -> list[Received]:
        received: list[Received] = []
        at = 0
        buffer = self._buffer
        while len(buffer) - at >= _LENGTHS.size:
            header_size, payload_size = _LENGTHS.unpack_from(buffer, at)
            if header_size > MAX_HEADER or payload_size > messages.MAX_PAYLOAD:
                raise _broken(f"a message of {header_size} and {payload_size} bytes")
            payload_at = at + _LENGTHS.size + header_size
            end = payload_at + payload_size
            if len(buffer) < end:
                break
            header = bytes(buffer[at + _LENGTHS.size : payload_at])
            received.append(self._accept(_decode(header, buffer[payload_at:end], self._receives)))
            at = end
        del buffer[:at]
        return received

    def _accept(self, message: Any) -> Received:
        kind = type(message)
        after = PHASES.get((self.phase, kind))
        if after is None:
            raise _broken(f"{kind.__name__} on a connection that is {self.phase}")
        if isinstance(message, Hello | Welcome) and message.version != messages.VERSION:
            raise InfraError(
                f"the other end speaks version {message.version} of the protocol, "
                f"this one version {messages.VERSION}",
                hint="run the same version of Cupel on the server and on its hosts",
            )
        self.phase = after
        return typing.cast("Received", message)


class HostConnection(Connection[ToServer, ToHost]):
    """The host's end: it says `Hello` first."""

    _sends = _TO_SERVER
    _receives = _TO_HOST


class ServerConnection(Connection[ToHost, ToServer]):
    """The server's end: it answers `Hello` with `Welcome`."""

    _sends = _TO_HOST
    _receives = _TO_SERVER


def _encode(message: Message) -> bytes:
    kind = type(message)
    fields: dict[str, Any] = {"type": kind.__name__}
    payload = b""
    if isinstance(message, Output | ResultData | ArtefactData | VisitInput | VisitOutput):
        payload = message.data
        fields |= {name: getattr(message, name) for name in _PAYLOADS[kind]}
    else:
        fields |= dataclasses.asdict(message)
    try:
        text = json.dumps(fields, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        header = text.encode()
    except (TypeError, ValueError) as error:
        raise Bug(f"{kind.__name__} cannot be sent: {error}") from error
    if len(header) > MAX_HEADER or len(payload) > messages.MAX_PAYLOAD:
        raise Bug(f"{kind.__name__} is too long: {len(header)} and {len(payload)} bytes")
    return b"".join((_LENGTHS.pack(len(header), len(payload)), header, payload))


def _decode(header: bytes, payload: bytearray, kinds: Mapping[str, type[Any]]) -> Any:
    try:
        fields = json.loads(header)
        kind = kinds[fields.pop("type")]
    except (ValueError, RecursionError, AttributeError, TypeError, KeyError) as error:
        raise _broken(f"a message of no known type: {header[:80]!r}") from error
    if kind in _PAYLOADS:
        return _with_payload(kind, fields, bytes(payload))
    if payload:
        raise _broken(f"{kind.__name__} with {len(payload)} bytes of data")
    adapter: pydantic.TypeAdapter[Any] = _adapter(kind.__name__)
    try:
        return adapter.validate_json(header, strict=True)
    except (ValueError, RecursionError) as error:
        raise _broken(f"{kind.__name__} that cannot be read: {error}") from error


def _with_payload(kind: type[Any], fields: Mapping[str, Any], data: bytes) -> Any:
    types = _PAYLOADS[kind]
    for name, wanted in types.items():
        value = fields.get(name)
        if not isinstance(value, wanted) or (wanted is not bool and isinstance(value, bool)):
            raise _broken(f"{kind.__name__} whose {name} is {value!r:.80}")
    return kind(data=data, **{name: fields[name] for name in types})


@functools.cache  # made on first use: building one takes milliseconds
def _adapter(name: str) -> pydantic.TypeAdapter[Any]:
    return pydantic.TypeAdapter(_TO_HOST.get(name) or _TO_SERVER[name])


def _broken(what: str) -> InfraError:
    return InfraError(f"the other end broke the protocol: it sent {what}")
