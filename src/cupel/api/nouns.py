"""What only the API speaks of: tokens, login links, lines of logs. The rest is in the views."""

from __future__ import annotations

import pydantic

from cupel.control.auth import Scope


class MeView(pydantic.BaseModel):
    """Who asks."""

    user: str
    scopes: list[Scope]


class TokenView(pydantic.BaseModel):
    id: int
    user: str
    name: str
    scopes: list[Scope]
    created_at: float
    expires_at: float | None


class IssuedView(TokenView):
    """A token just made; `secret` cannot be seen again."""

    secret: str


class LoginView(pydantic.BaseModel):
    """A link that works once, for a quarter of an hour, on the server's own computer."""

    url: str


class MetricsView(pydantic.BaseModel):
    """What a build's machine used: rows of numbers that `columns` names; None is not known."""

    columns: list[str]
    total: int
    rows: list[list[float | None]]


class Problem(pydantic.BaseModel):
    """Why a request was not served (RFC 9457). `instance` names a bug in the server's log."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    hint: str | None = None
    instance: str | None = None
