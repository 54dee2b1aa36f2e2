"""What all commands share: the state directory, and how to reach the server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cupel import directory

if TYPE_CHECKING:
    from cupel.client import Client
    from cupel.directory import Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """`connect` makes the client; tests put theirs in its place."""

    state: Path | None = None
    url: str | None = None
    token: str | None = None
    connect: Callable[[Address], Client] | None = None

    @property
    def directory(self) -> Path:
        """The state directory."""
        return self.state or directory.default_state()

    def address(self) -> Address:
        """The server to speak to. Raises InfraError when none is known."""
        return directory.find(url=self.url, token=self.token, state=self.directory)

    def client(self, *, timeout: float | None = None) -> Client:
        """One that speaks to that server, which must answer in that many seconds. Raises InfraError
        when none is known."""
        from cupel import client

        if self.connect is not None:
            return self.connect(self.address())
        return client.Client(self.address(), timeout=timeout or client.TIMEOUT)


pass_session = click.make_pass_decorator(Session)
