"""Who asks: bearer tokens, login links, browser sessions, and the guard of their forms.

A secret has 256 random bits and is stored as its SHA-256 alone: the digest is what is looked up,
so a lookup's time tells nothing of the secret.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import enum
import hashlib
import hmac
import ipaddress
import secrets
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from cupel.core.model import Token
from cupel.errors import Forbidden, NotFound, UserError
from cupel.store.interface import Store, Transaction

PREFIX = "cupel_"
COOKIE = "cupel_session"
CSRF_FIELD = "csrf"
CSRF_HEADER = "X-CSRF-Token"
LOGIN_LIFETIME = 15 * 60.0
SESSION_LIFETIME = 30 * 86400.0
LOGIN_NAME = "login link"
SESSION_NAME = "browser session"
MAX_NAME = 100


class Scope(enum.StrEnum):
    """What a token allows. `admin` allows all but acting as a host; `write` allows reading."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"
    HOST = "host"


class Means(enum.StrEnum):
    """How somebody said who they are."""

    BEARER = "bearer"
    BASIC = "basic"
    COOKIE = "cookie"


IMPLIED = {
    Scope.READ: frozenset({Scope.READ}),
    Scope.WRITE: frozenset({Scope.READ, Scope.WRITE}),
    Scope.ADMIN: frozenset({Scope.READ, Scope.WRITE, Scope.ADMIN}),
    Scope.HOST: frozenset({Scope.HOST}),
}


class Unauthenticated(Forbidden):
    """Nobody said who they are, or what they said is not, or no longer, true."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who asks, and what they may do. `csrf` is the form token of a browser session."""

    user: str
    scopes: frozenset[Scope]
    token_id: int
    means: Means
    csrf: str | None = None

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A token just made, with the secret that nobody can see again."""

    token: Token
    secret: str


class Auth:
    """Tokens in the store. `clock` gives seconds since the epoch, `random` the text of a secret."""

    def __init__(
        self,
        store: Store,
        clock: Callable[[], float],
        random: Callable[[], str] = lambda: secrets.token_urlsafe(32),
    ) -> None:
        self._store = store
        self._clock = clock
        self._random = random

    async def verify(
        self, *, authorization: str | None = None, cookie: str | None = None
    ) -> Principal | None:
        """Who sent an `Authorization` header (Bearer or Basic) or a session cookie's value.

        None if neither is there; a header goes before a cookie. Raises `Unauthenticated` for a
        header that is not valid; an expired cookie is as good as none, and so is a mere name,
        which clients send that have seen one in an address.
        """
        if authorization is not None:
            presented = _presented(authorization)
            if presented is None:
                return None
            means, secret = presented
            token = await self._find(secret)
            if token is None or token.once or token.name == SESSION_NAME:
                raise Unauthenticated(
                    "this token is not valid",
                    hint="it was mistyped, revoked or has expired; `cupel token create` makes one",
                )
            return _principal(token, means)
        if cookie:
            token = await self._find(cookie)
            if token is not None and token.name == SESSION_NAME and not token.once:
                return _principal(token, Means.COOKIE, csrf=csrf_token(cookie))
        return None

    async def create(
        self,
        user: str,
        *,
        name: str,
        scopes: Collection[Scope],
        lifetime: float | None = None,
    ) -> Issued:
        """A new bearer token, valid for `lifetime` seconds or until revoked. Raises UserError."""
        if name in {SESSION_NAME, LOGIN_NAME}:
            raise UserError(f"a token cannot be called {name!r}")
        if not scopes:
            raise UserError("a token needs at least one scope", hint=f"one of {', '.join(Scope)}")
        if lifetime is not None and not 0 < lifetime < float("inf"):
            raise UserError("a token cannot expire before it is made")
        return await self._issue(user, name, scopes, lifetime)

    async def tokens(self, user: str | None = None) -> list[Token]:
        """Bearer tokens that are valid, of one user or of all, oldest first."""
        now = self._clock()
        async with self._store.read() as tx:
            rows = await tx.select(Token, None if user is None else {"user": user})
        return [
            row for row in rows if not row.once and row.name != SESSION_NAME and _valid(row, now)
        ]

    async def revoke(self, token_id: int, *, user: str | None = None) -> None:
        """End a token at once; with `user`, only one of theirs. Raises NotFound."""
        async with self._store.write() as tx:
            token = await tx.get(Token, token_id)
            if token is None or (user is not None and token.user != user):
                raise NotFound(f"there is no token {token_id}", hint="`cupel token list` has them")
            await tx.delete(Token, [token_id])

    async def login_link(self, user: str, *, scopes: Collection[Scope]) -> str:
        """The secret of a link that works once, for a quarter of an hour, on this computer."""
        issued = await self._issue(user, LOGIN_NAME, scopes, LOGIN_LIFETIME, once=True)
        return issued.secret

    async def redeem(self, secret: str, *, client: str | None) -> str:
        """A login link's secret becomes a session cookie's value, once.

        `client` is the address that asks. Raises `Unauthenticated` for a link that is used up,
        too old or not ours, and `Forbidden` for a client that is not on this computer.
        """
        if not is_loopback(client):
            raise Forbidden("a login link works only on the computer that Cupel runs on")
        async with self._store.write() as tx:
            now = self._clock()
            link = await _by_secret(tx, secret)
            if link is None or not link.once or link.used_at is not None or not _valid(link, now):
                raise Unauthenticated(
                    "this login link has been used or has expired",
                    hint="`cupel login` prints another one",
                )
            await tx.put([replace(link, used_at=now)])
            session = self._secret()
            scopes = [Scope(scope) for scope in link.scopes]
            await _insert(tx, link.user, SESSION_NAME, scopes, session, now, SESSION_LIFETIME)
        return session

    async def logout(self, cookie: str) -> None:
        """End a browser session; ending one that has ended changes nothing."""
        async with self._store.write() as tx:
            token = await _by_secret(tx, cookie)
            if token is not None and token.name == SESSION_NAME:
                await tx.delete(Token, [token.id])

    async def _issue(
        self,
        user: str,
        name: str,
        scopes: Collection[Scope],
        lifetime: float | None,
        *,
        once: bool = False,
    ) -> Issued:
        for what, text in (("user", user), ("name", name)):
            if not text.strip() or len(text) > MAX_NAME or not text.isprintable():
                raise UserError(f"a token's {what} is 1 to {MAX_NAME} printable characters")
        secret, now = self._secret(), self._clock()
        async with self._store.write() as tx:
            await _prune(tx, now)
            token = await _insert(tx, user, name, scopes, secret, now, lifetime, once=once)
        return Issued(token=token, secret=secret)

    async def _find(self, secret: str) -> Token | None:
        async with self._store.read() as tx:
            token = await _by_secret(tx, secret)
        return token if token is not None and _valid(token, self._clock()) else None

    def _secret(self) -> str:
        return PREFIX + self._random()


def require(principal: Principal | None, scope: Scope) -> Principal:
    """The one who asks, if they may. Raises `Unauthenticated` or `Forbidden`."""
    if principal is None:
        raise Unauthenticated(
            "this needs a token", hint="`cupel login` opens the pages, `cupel token create` the API"
        )
    if not principal.may(scope):
        raise Forbidden(
            f"this needs a token with the scope {scope}",
            hint=f"yours has {', '.join(sorted(principal.scopes))}",
        )
    return principal


def may_grant(principal: Principal, *, user: str, scopes: Collection[Scope]) -> None:
    """Whether somebody may make this token: nobody gives what they lack. Raises `Forbidden`."""
    if principal.may(Scope.ADMIN):
        return
    if user != principal.user:
        raise Forbidden("only an administrator can make a token for somebody else")
    if missing := sorted(set(scopes) - principal.scopes):
        raise Forbidden(f"you cannot give a scope that you lack: {', '.join(missing)}")


def csrf_token(session: str) -> str:
    """The token that every form of this browser session carries."""
    return hmac.new(session.encode(), b"cupel forms", hashlib.sha256).hexdigest()


def check_csrf(principal: Principal, given: str | None) -> None:
    """Whether a form or script of our own pages sent this. Raises `Forbidden`.

    Only a cookie is sent by browsers unasked; the other means need no guard.
    """
    if principal.means is not Means.COOKIE:
        return
    assert principal.csrf is not None
    if given is None or not hmac.compare_digest(principal.csrf.encode(), given.encode()):
        raise Forbidden(
            "this form is not one of ours, or its session has ended", hint="reload the page"
        )


def is_loopback(client: str | None) -> bool:
    """Whether an address is this computer's own; a Unix socket has none and is."""
    if client is None:
        return True
    try:
        address = ipaddress.ip_address(client.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _presented(authorization: str) -> tuple[Means, str] | None:
    """The means and the secret in an `Authorization` header; of Basic, the password.

    None for a name without a password that is no token itself: it proves nothing.
    """
    scheme, _, value = authorization.strip().partition(" ")
    if scheme.lower() == "bearer":
        return Means.BEARER, value.strip()
    if scheme.lower() == "basic":
        try:
            pair = base64.b64decode(value.strip(), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise Unauthenticated("the Authorization header cannot be read") from None
        user, _, password = pair.partition(":")
        if user and not password and not user.startswith(PREFIX):
            return None
        return Means.BASIC, password or user
    raise Unauthenticated("only Bearer and Basic are understood in the Authorization header")


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


async def _by_secret(tx: Transaction, secret: str) -> Token | None:
    digest = _digest(secret)
    rows: Sequence[Token] = await tx.select(Token, {"digest": digest}, limit=1)
    return rows[0] if rows and hmac.compare_digest(rows[0].digest, digest) else None


async def _insert(
    tx: Transaction,
    user: str,
    name: str,
    scopes: Collection[Scope],
    secret: str,
    now: float,
    lifetime: float | None,
    *,
    once: bool = False,
) -> Token:
    token = Token(
        id=await tx.reserve("token"),
        user=user,
        digest=_digest(secret),
        scopes=tuple(sorted(scopes)),
        name=name,
        once=once,
        created_at=now,
        expires_at=None if lifetime is None else now + lifetime,
    )
    await tx.put([token])
    return token


async def _prune(tx: Transaction, now: float) -> None:
    """Forget what has expired: nothing refers to it."""
    dead = [row.id for row in await tx.select(Token) if not _valid(row, now)]
    await tx.delete(Token, dead)


def _valid(token: Token, now: float) -> bool:
    return token.expires_at is None or now < token.expires_at


def _principal(token: Token, means: Means, *, csrf: str | None = None) -> Principal:
    scopes = frozenset[Scope]().union(*(IMPLIED[Scope(scope)] for scope in token.scopes))
    return Principal(user=token.user, scopes=scopes, token_id=token.id, means=means, csrf=csrf)
