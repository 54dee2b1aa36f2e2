"""Changes: the list, one with all its history, and what one may ask for."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable
from typing import Annotated

import fastapi
from starlette.responses import RedirectResponse, Response

from cupel.control import views
from cupel.control.auth import Scope
from cupel.control.context import Commands
from cupel.core.model import LIVE_ITEMS, ChangeState, Pipeline
from cupel.errors import NotFound
from cupel.web import live, site
from cupel.web.problem import PageRoute
from cupel.web.site import Frame

router = fastapi.APIRouter(
    include_in_schema=False, route_class=PageRoute, dependencies=[site.READER]
)

ACTIONS: dict[str, Callable[[Commands, int, str], Awaitable[object]]] = {
    "approve": lambda commands, id, user: commands.approve(id, user=user),
    "withdraw": lambda commands, id, user: commands.withdraw(id, user=user),
    "land": lambda commands, id, user: commands.land(id, user=user),
    "dequeue": lambda commands, id, user: commands.dequeue(id, user=user),
    "retry": lambda commands, id, user: commands.retry_change(id, everything=False, user=user),
    "retry-all": lambda commands, id, user: commands.retry_change(id, everything=True, user=user),
    "abandon": lambda commands, id, user: commands.abandon(id, user=user),
}

RULING: dict[str, Callable[[Commands, int, str], Awaitable[object]]] = {
    "promote": lambda commands, id, user: commands.promote([id], user=user),
    "urgent": lambda commands, id, user: commands.set_urgent(id, urgent=True, user=user),
    "not-urgent": lambda commands, id, user: commands.set_urgent(id, urgent=False, user=user),
}
"""What is for administrators, since it is at the cost of others."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which changes are listed."""

    project: str | None
    state: ChangeState | None


@router.get("/changes")
async def changes(
    request: fastapi.Request,
    state: Annotated[str, fastapi.Query()] = "open",
    project: Annotated[str, fastapi.Query()] = "",
    before: Annotated[int | None, fastapi.Query()] = None,
) -> Response:
    here = site.of(request)
    chosen = Filter(
        project=project or None, state=ChangeState(state) if state in set(ChangeState) else None
    )
    async with here.server.store.read() as tx:
        page = await views.change_list(
            tx, project=chosen.project, state=chosen.state, before=before
        )
    frame = Frame(section="/changes", stream=live.address())
    return await here.page(request, "changes.html", frame, now=here.now(), page=page, filter=chosen)


@router.get("/changes/{id}")
async def change(request: fastapi.Request, id: int) -> Response:
    here = site.of(request)
    now = here.now()
    async with here.server.store.read() as tx:
        shown = await views.change_view(tx, id, now=now, logs=here.server.logs)
        project = await views.project_view(tx, shown.project, url=here.server.url)
        again = await views.retriable(tx, id)
        notes = await views.change_notes(tx, here.server.results, here.server.repositories.root, id)
    return await here.page(
        request,
        "change.html",
        Frame(section="/changes", stream=live.address(project=project.id)),
        now=now,
        change=shown,
        git_url=project.git_url,
        in_gate=any(
            entry.item.pipeline is Pipeline.GATE and entry.item.state in LIVE_ITEMS
            for entry in shown.items
        ),
        again=again,
        notes=notes,
    )


@router.post("/changes/{id}/{action}")
async def act(request: fastapi.Request, id: int, action: str) -> Response:
    """Do what a button says, for those who may, and show the change again."""
    here = site.of(request)
    who, _ = await here.form(request, Scope.ADMIN if action in RULING else Scope.WRITE)
    if action not in ACTIONS and action not in RULING:
        raise NotFound(f"a change cannot be asked to {action[:40]}")
    await (ACTIONS | RULING)[action](here.server.commands, id, who.user)
    return RedirectResponse(f"/changes/{id}", status_code=303)
