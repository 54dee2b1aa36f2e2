"""The queues: what lands next, on what each change is proved, and why it waits."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated
from urllib.parse import parse_qsl, quote

import fastapi
from starlette.responses import RedirectResponse, Response

from cupel.control import auth, views
from cupel.control.auth import Scope
from cupel.control.context import Commands
from cupel.control.views import ItemView, KeptOutView, QueueView
from cupel.errors import NotFound, UserError
from cupel.web import choice, live, row, site
from cupel.web.choice import Choice
from cupel.web.problem import PageRoute
from cupel.web.row import Gate
from cupel.web.site import Frame

router = fastapi.APIRouter(
    include_in_schema=False, route_class=PageRoute, dependencies=[site.READER]
)

ACTIONS: Mapping[str, tuple[Scope, Callable[[Commands, int, str], Awaitable[object]]]] = {
    "dequeue": (Scope.WRITE, lambda commands, id, user: commands.dequeue(id, user=user)),
    "promote": (Scope.ADMIN, lambda commands, id, user: commands.promote([id], user=user)),
    "urgent": (
        Scope.ADMIN,
        lambda commands, id, user: commands.set_urgent(id, urgent=True, user=user),
    ),
    "not-urgent": (
        Scope.ADMIN,
        lambda commands, id, user: commands.set_urgent(id, urgent=False, user=user),
    ),
}
"""What can be done with a change in a queue, and by whom; some are at the cost of others."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A queue as far as it is asked for, of `total` items and changes."""

    queue: QueueView
    gates: Sequence[Gate]
    gate_count: int
    kept_out: Sequence[KeptOutView]
    check: Sequence[ItemView]
    post: Sequence[ItemView]
    recent: Sequence[ItemView]
    count: int
    total: int


@router.get("/queue")
async def all_queues(request: fastapi.Request) -> Response:
    here = site.of(request)
    now = here.now()
    chosen = choice.read(request.query_params)
    async with here.server.store.read() as tx:
        queues = await views.queue_views(tx, now=now)
    branches = sorted({queue.branch for queue in queues})
    if chosen.branch:
        queues = [queue for queue in queues if queue.branch == chosen.branch]
    frame = Frame(section="/queue", stream=live.address())
    return await _page(request, frame, chosen, queues, branches, one=False)


@router.get("/queue/{project}")
async def queue(request: fastapi.Request, project: str) -> Response:
    here = site.of(request)
    chosen = choice.read(request.query_params)
    now = here.now()
    async with here.server.store.read() as tx:
        shown = await views.queue_view(tx, project, chosen.branch or None, now=now)
        branches = await views.branches(tx, shown.name)
        about = [
            await views.project_view(tx, name, url=here.server.url) for name in shown.rules.projects
        ]
    only = about[0].id if len(about) == 1 else None
    frame = Frame(section="/queue", stream=live.address(project=only))
    return await _page(request, frame, chosen, [shown], branches, one=True)


async def _page(
    request: fastapi.Request,
    frame: Frame,
    chosen: Choice,
    queues: Sequence[QueueView],
    branches: Sequence[str],
    *,
    one: bool,
) -> Response:
    here = site.of(request)
    return await here.page(
        request,
        "queue.html",
        frame,
        now=here.now(),
        chosen=chosen,
        offers=choice.offers(chosen, queues if "HX-Request" not in request.headers else ()),
        queues=[show(chosen, queue) for queue in queues],
        branches=branches,
        one=one,
    )


def show(chosen: Choice, queue: QueueView) -> Shown:
    """What of a queue fits."""
    gate = [item for item in queue.gate if chosen.fits(item)]
    check, post, recent = (
        [item for item in items if chosen.fits(item)]
        for items in (queue.check, queue.post, queue.recent)
    )
    kept_out = [each for each in queue.kept_out if chosen.fits_change(each.change)]
    places = (queue.gate, queue.check, queue.post, queue.recent)
    return Shown(
        queue=queue,
        gates=[
            row.gate(group.name, queue.gate, group.items) for group in choice.grouped(chosen, gate)
        ],
        gate_count=len(gate),
        kept_out=kept_out,
        check=check,
        post=post,
        recent=recent,
        count=len(gate) + len(check) + len(post) + len(recent) + len(kept_out),
        total=sum(len(items) for items in places) + len(queue.kept_out),
    )


@router.get("/queue/{name}/close")
async def ask_to_close(request: fastapi.Request, name: str) -> Response:
    """What closing the tree does, and why it is wanted."""
    here = site.of(request)
    auth.require(await here.principal(request), Scope.ADMIN)
    async with here.server.store.read() as tx:
        shown = await views.queue_view(tx, name, None, now=here.now())
    return await here.page(request, "queue_close.html", Frame(section="/queue"), queue=shown)


@router.post("/queue/{name}/close")
async def close(request: fastapi.Request, name: str) -> Response:
    here = site.of(request)
    who, fields = await here.form(request, Scope.ADMIN)
    await here.server.commands.close_queue(name, reason=fields.get("reason", ""), user=who.user)
    return RedirectResponse(f"/queue/{quote(name)}", status_code=303)


@router.post("/queue/{name}/open")
async def reopen(request: fastapi.Request, name: str) -> Response:
    here = site.of(request)
    who, _ = await here.form(request, Scope.ADMIN)
    await here.server.commands.open_queue(name, user=who.user)
    return RedirectResponse(f"/queue/{quote(name)}", status_code=303)


@router.get("/queue/{name}/dequeue")
async def ask_to_dequeue(
    request: fastapi.Request, name: str, change: Annotated[int, fastapi.Query()]
) -> Response:
    """What taking a change out of the queue does, and whether that is meant."""
    here = site.of(request)
    auth.require(await here.principal(request), Scope.WRITE)
    async with here.server.store.read() as tx:
        about = await views.change_view(tx, change, now=here.now())
        shown = await views.queue_view(tx, about.project, about.branch, now=here.now())
    places = [item.change for item in shown.gate]
    return await here.page(
        request,
        "queue_dequeue.html",
        Frame(section="/queue"),
        back=name,
        queue=shown,
        change=about,
        place=places.index(change) + 1 if change in places else None,
        on_it=row.standing_on(change, shown.gate),
        needing=[item.change for item in shown.gate if change in item.needs],
    )


@router.post("/queue/{name}/{action}")
async def act(request: fastapi.Request, name: str, action: str) -> Response:
    """Do what a button of a row says, for those who may, and show the queue again."""
    here = site.of(request)
    if action not in ACTIONS:
        raise NotFound(f"a queue cannot be asked to {action[:40]}")
    scope, command = ACTIONS[action]
    who, fields = await here.form(request, scope)
    number = fields.get("change", "")
    if not (number.isascii() and number.isdecimal() and len(number) < 16):
        raise UserError("the form does not say which change", hint="go back and choose one again")
    await command(here.server.commands, int(number), who.user)
    query = choice.read(dict(parse_qsl(fields.get("query", "")))).query
    back = f"/queue/{quote(name)}" + (f"?{query}" if query else "")
    return RedirectResponse(back, status_code=303)
