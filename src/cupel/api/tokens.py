"""Tokens, and links that open the pages as their user."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

import fastapi
import pydantic

from cupel.api.caller import Caller, Cupel, Writer
from cupel.api.nouns import IssuedView, LoginView, MeView, TokenView
from cupel.control import auth
from cupel.control.auth import Scope
from cupel.core.model import Token

router = fastapi.APIRouter(prefix="/api", tags=["tokens"])


class TokenRequest(pydantic.BaseModel):
    """A token to make. `user` is the caller if left out, `days` for ever."""

    model_config = pydantic.ConfigDict(extra="forbid")

    name: str
    scopes: list[Scope] = [Scope.READ]
    user: str | None = None
    days: Annotated[float, pydantic.Field(gt=0, le=36500)] | None = None


@router.get("/me", operation_id="me", summary="Whose token this is, and what it allows")
async def me(principal: Caller) -> MeView:
    found = auth.require(principal, Scope.READ)
    return MeView(user=found.user, scopes=sorted(found.scopes))


@router.get("/tokens", operation_id="token_list", summary="Your tokens; for administrators, all")
async def list_all(cupel: Cupel, by: Writer) -> list[TokenView]:
    everybody = by.may(Scope.ADMIN)
    tokens = await cupel.auth.tokens(None if everybody else by.user)
    return [_view(token) for token in tokens]


@router.post(
    "/tokens", operation_id="token_create", summary="Make a token", status_code=HTTPStatus.CREATED
)
async def create(cupel: Cupel, by: Writer, request: TokenRequest) -> IssuedView:
    user = request.user or by.user
    auth.may_grant(by, user=user, scopes=request.scopes)
    issued = await cupel.auth.create(
        user,
        name=request.name,
        scopes=request.scopes,
        lifetime=None if request.days is None else request.days * 86400,
    )
    return IssuedView(**dict(_view(issued.token)), secret=issued.secret)


@router.delete(
    "/tokens/{id}",
    operation_id="token_revoke",
    summary="End a token at once",
    status_code=HTTPStatus.NO_CONTENT,
)
async def revoke(cupel: Cupel, by: Writer, id: int) -> None:
    await cupel.auth.revoke(id, user=None if by.may(Scope.ADMIN) else by.user)


@router.post("/login", operation_id="login", summary="A login link", status_code=HTTPStatus.CREATED)
async def login(cupel: Cupel, by: Writer) -> LoginView:
    secret = await cupel.auth.login_link(by.user, scopes=by.scopes)
    return LoginView(url=f"{cupel.url}/login?token={secret}")


def _view(token: Token) -> TokenView:
    return TokenView(
        id=token.id,
        user=token.user,
        name=token.name,
        scopes=[Scope(scope) for scope in token.scopes],
        created_at=token.created_at,
        expires_at=token.expires_at,
    )
