"""What a host and its server say to each other before a session: JSON, one message each."""

from __future__ import annotations

import dataclasses
import enum
import json
import re
from typing import Any, TypeVar

import pydantic

from cupel.errors import InfraError, UserError

PATH = "/api/hosts/join"

T = TypeVar("T")


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


def check_name(name: str) -> str:
    """The name, if a host can have it: it stands in URLs and tables. Raises `UserError` if not."""
    if not _NAME.fullmatch(name):
        raise UserError(
            f"a host cannot be called {name[:80]!r}",
            hint="up to 63 letters, digits, dots, dashes and underscores, as in a computer's name",
        )
    return name


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    """A host wants to begin a session, or to go on with one of which it has `received` so much.

    `identity` is that of its state directory, which only one process uses at a time. `server` is
    the URL by which it reaches the server.
    """

    version: int
    name: str
    identity: str
    server: str
    session: str | None = None
    received: int = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """The session begins or goes on; the server has `received` so much of it.

    A host of which nothing is heard for `lease` seconds is lost, and so is what it does.
    """

    session: str
    received: int
    lease: float


class Why(enum.StrEnum):
    """What a host that is refused can do about it."""

    VERSION = "version"
    """Nothing, without an upgrade."""
    TAKEN = "taken"
    """Wait until the other one of its name is gone."""
    OVER = "over"
    """Begin another session."""
    NAME = "name"
    """Nothing, under this name."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    why: Why
    reason: str
    hint: str | None = None


def encode(message: Join | Joined | Refused) -> bytes:
    named = {"type": type(message).__name__, **dataclasses.asdict(message)}
    return json.dumps(named).encode()


def decode_join(data: bytes) -> Join:
    """Raises `InfraError`."""
    return _read(Join, _fields(data))


def decode_answer(data: bytes) -> Joined | Refused:
    """Raises `InfraError`."""
    fields = _fields(data)
    if fields.get("type") == "Refused":
        return _read(Refused, fields)
    return _read(Joined, fields)


def _fields(data: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise InfraError(f"the other end broke the protocol: it began with {data[:80]!r}")
    return fields


def _read(kind: type[T], fields: dict[str, Any]) -> T:
    if fields.pop("type", None) != kind.__name__:
        raise InfraError("the other end broke the protocol: it began with something else")
    try:
        return pydantic.TypeAdapter(kind).validate_json(json.dumps(fields), strict=True)
    except ValueError as error:
        raise InfraError(f"the other end broke the protocol: {error}") from error
