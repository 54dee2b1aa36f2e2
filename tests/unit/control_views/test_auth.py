import asyncio
import base64
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from cupel.control import auth
from cupel.control.auth import Auth, Means, Principal, Scope, Unauthenticated
from cupel.core.model import Token
from cupel.errors import Forbidden, NotFound, UserError
from cupel.store.memory import MemoryStore

T = TypeVar("T")


class Clock:
    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


def run(ask: Callable[[Auth, Clock], Awaitable[T]], store: MemoryStore | None = None) -> T:
    clock = Clock()

    async def go() -> T:
        return await ask(Auth(store or MemoryStore(), clock), clock)

    return asyncio.run(go())


def test_a_token_is_known_by_its_secret_whose_digest_alone_is_stored() -> None:
    store = MemoryStore()

    async def ask(made: Auth, clock: Clock) -> tuple[str, Principal | None, list[Token]]:
        issued = await made.create("ada", name="ci", scopes=[Scope.WRITE])
        principal = await made.verify(authorization=f"Bearer {issued.secret}")
        async with store.read() as tx:
            return issued.secret, principal, await tx.select(Token)

    secret, principal, rows = run(ask, store)
    assert secret.startswith("cupel_")
    assert secret not in repr(rows)
    assert principal is not None
    assert (principal.user, principal.means) == ("ada", Means.BEARER)
    assert principal.scopes == {Scope.READ, Scope.WRITE}


def test_the_password_of_basic_is_a_token() -> None:
    async def ask(made: Auth, clock: Clock) -> Principal | None:
        issued = await made.create("ada", name="git", scopes=[Scope.READ])
        pair = base64.b64encode(f"whoever:{issued.secret}".encode()).decode()
        return await made.verify(authorization=f"Basic {pair}")

    principal = run(ask)
    assert principal is not None
    assert (principal.user, principal.means) == ("ada", Means.BASIC)


@pytest.mark.parametrize(
    "header",
    ["Bearer cupel_wrong", "Bearer", "", "Basic !!!", "Basic /w==", "Digest x", "Basic Og=="],
)
def test_a_header_that_is_not_valid_is_refused(header: str) -> None:
    with pytest.raises(Unauthenticated):
        run(lambda made, clock: made.verify(authorization=header))


def test_nothing_presented_is_nobody() -> None:
    assert run(lambda made, clock: made.verify()) is None
    assert run(lambda made, clock: made.verify(cookie="cupel_old")) is None


def test_a_token_expires_and_can_be_revoked() -> None:
    async def ask(made: Auth, clock: Clock) -> None:
        brief = await made.create("ada", name="brief", scopes=[Scope.READ], lifetime=10)
        other = await made.create("ada", name="other", scopes=[Scope.READ])
        clock.time += 10
        with pytest.raises(Unauthenticated):
            await made.verify(authorization=f"Bearer {brief.secret}")
        assert [token.name for token in await made.tokens()] == ["other"]
        with pytest.raises(NotFound):
            await made.revoke(other.token.id, user="eve")
        await made.revoke(other.token.id, user="ada")
        with pytest.raises(Unauthenticated):
            await made.verify(authorization=f"Bearer {other.secret}")

    run(ask)


def test_a_login_link_works_once_and_makes_a_session() -> None:
    async def ask(made: Auth, clock: Clock) -> None:
        link = await made.login_link("ada", scopes=[Scope.ADMIN])
        session = await made.redeem(link, client="127.0.0.1")
        principal = await made.verify(cookie=session)
        assert principal is not None
        assert principal.means is Means.COOKIE
        assert principal.may(Scope.ADMIN)
        with pytest.raises(Unauthenticated):
            await made.redeem(link, client="127.0.0.1")
        assert await made.tokens() == []
        await made.logout(session)
        assert await made.verify(cookie=session) is None

    run(ask)


def test_a_login_link_is_neither_a_token_nor_for_other_computers_nor_for_later() -> None:
    async def ask(made: Auth, clock: Clock) -> None:
        link = await made.login_link("ada", scopes=[Scope.READ])
        with pytest.raises(Unauthenticated):
            await made.verify(authorization=f"Bearer {link}")
        assert await made.verify(cookie=link) is None
        with pytest.raises(Forbidden):
            await made.redeem(link, client="192.0.2.7")
        clock.time += auth.LOGIN_LIFETIME
        with pytest.raises(Unauthenticated):
            await made.redeem(link, client="::1")

    run(ask)


def test_a_session_is_no_bearer_token_and_a_token_no_session() -> None:
    async def ask(made: Auth, clock: Clock) -> None:
        issued = await made.create("ada", name="ci", scopes=[Scope.READ])
        assert await made.verify(cookie=issued.secret) is None
        session = await made.redeem(
            await made.login_link("ada", scopes=[Scope.READ]), client="::ffff:127.0.0.1"
        )
        with pytest.raises(Unauthenticated):
            await made.verify(authorization=f"Bearer {session}")

    run(ask)


def test_expired_rows_are_forgotten() -> None:
    store = MemoryStore()

    async def ask(made: Auth, clock: Clock) -> int:
        await made.create("ada", name="old", scopes=[Scope.READ], lifetime=1)
        clock.time += 5
        await made.create("ada", name="new", scopes=[Scope.READ])
        async with store.read() as tx:
            return await tx.count(Token)

    assert run(ask, store) == 1


@pytest.mark.parametrize("name", ["", "  ", "x" * 101, "a\nb", auth.SESSION_NAME, auth.LOGIN_NAME])
def test_a_token_has_a_name_that_can_be_printed(name: str) -> None:
    with pytest.raises(UserError):
        run(lambda made, clock: made.create("ada", name=name, scopes=[Scope.READ]))


def test_a_token_has_a_scope_and_a_future() -> None:
    with pytest.raises(UserError):
        run(lambda made, clock: made.create("ada", name="x", scopes=[]))
    with pytest.raises(UserError):
        run(lambda made, clock: made.create("ada", name="x", scopes=[Scope.READ], lifetime=0))


def principal(*scopes: Scope, means: Means = Means.BEARER, csrf: str | None = None) -> Principal:
    return Principal(user="ada", scopes=frozenset(scopes), token_id=1, means=means, csrf=csrf)


def test_what_is_required_is_there_or_it_is_said() -> None:
    assert auth.require(principal(Scope.READ), Scope.READ).user == "ada"
    with pytest.raises(Unauthenticated):
        auth.require(None, Scope.READ)
    with pytest.raises(Forbidden, match="scope admin"):
        auth.require(principal(Scope.READ), Scope.ADMIN)


def test_nobody_gives_what_they_lack() -> None:
    writer = principal(Scope.READ, Scope.WRITE)
    auth.may_grant(writer, user="ada", scopes=[Scope.READ])
    with pytest.raises(Forbidden):
        auth.may_grant(writer, user="bob", scopes=[Scope.READ])
    with pytest.raises(Forbidden):
        auth.may_grant(writer, user="ada", scopes=[Scope.HOST])
    auth.may_grant(principal(Scope.ADMIN), user="bob", scopes=[Scope.HOST])


def test_forms_of_a_session_carry_its_own_token() -> None:
    mine, others = auth.csrf_token("cupel_mine"), auth.csrf_token("cupel_others")
    session = principal(Scope.WRITE, means=Means.COOKIE, csrf=mine)
    auth.check_csrf(session, mine)
    for wrong in (None, "", others, "é"):
        with pytest.raises(Forbidden):
            auth.check_csrf(session, wrong)
    auth.check_csrf(principal(Scope.WRITE), None)


@pytest.mark.parametrize(
    ("client", "local"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        (None, True),
        ("192.0.2.1", False),
        ("::ffff:192.0.2.1", False),
        ("localhost.example.com", False),
    ],
)
def test_loopback(client: str | None, local: bool) -> None:
    assert auth.is_loopback(client) is local
