"""Changes: the list, one with all its history, and what one may ask for."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated

import fastapi
from starlette.responses import RedirectResponse, Response

from cupel.control import auth, holds, views
from cupel.control.auth import Scope
from cupel.control.context import Commands
from cupel.control.views import ChangeView, CostView
from cupel.core.model import LIVE_ITEMS, ChangeState, Pipeline
from cupel.errors import NotFound, UserError
from cupel.web import attempts, graph, live, site
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


EVENTS = 30
"""Events of a change that are shown unless more are asked for."""

JOBS = 50
"""Frozen jobs on a page."""

REPRODUCED = 3


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """What was spent on a change in all pipelines, in machine-seconds."""

    seconds: float


@router.get("/changes")
async def changes(
    request: fastapi.Request,
    state: Annotated[str, fastapi.Query()] = "open",
    project: Annotated[str, fastapi.Query()] = "",
    author: Annotated[str, fastapi.Query()] = "",
    branch: Annotated[str, fastapi.Query()] = "",
    topic: Annotated[str, fastapi.Query()] = "",
    text: Annotated[str, fastapi.Query()] = "",
    before: Annotated[int | None, fastapi.Query()] = None,
) -> Response:
    here = site.of(request)
    wanted = views.Wanted(
        project=project or None,
        state=_state(state),
        author=author or None,
        branch=branch or None,
        topic=topic or None,
        text=text or None,
    )
    async with here.server.store.read() as tx:
        projects = await views.project_list(tx, url=here.server.url)
        page = await views.change_list(tx, wanted, before=before)
    asked = {"state": state, **{key: text for key, text in _words(wanted).items() if text}}
    frame = Frame(section="/changes", stream=live.address())
    return await here.page(
        request,
        "changes.html",
        frame,
        now=here.now(),
        page=page,
        wanted=wanted,
        asked=asked,
        before=before,
        projects=[each.name for each in projects],
        branches=sorted({each.name for known in projects for each in known.branches}),
    )


def _words(wanted: views.Wanted) -> dict[str, str | None]:
    """What is asked for besides the state."""
    asked = dataclasses.asdict(wanted)
    return {key: asked[key] for key in ("project", "branch", "author", "topic", "text")}


def _state(text: str) -> ChangeState | None:
    if text in ("all", ""):
        return None
    if text not in set(ChangeState):
        known = ", ".join(map(str, ChangeState))
        raise UserError(f"state={text[:40]} is no state of a change", hint=f"{known}, or all")
    return ChangeState(text)


@router.get("/changes/{id}")
async def change(
    request: fastapi.Request,
    id: int,
    states: Annotated[str, fastapi.Query()] = "",
    events: Annotated[str, fastapi.Query()] = "",
) -> Response:
    here = site.of(request)
    server, now = here.server, here.now()
    root = server.repositories.root
    async with server.store.read() as tx:
        shown = await views.change_view(tx, id, now=now, logs=server.logs)
        project = await views.project_view(tx, shown.project, url=server.url)
        again = await views.retriable(tx, id)
        notes = await views.change_notes(tx, server.results, root, id)
        proved = await views.proved(tx, id)
        past = await views.event_list(tx, change=id, limit=500 if events == "all" else EVENTS)
    live_item = next((h.item for h in shown.items if h.item.state in LIVE_ITEMS), None)
    return await here.page(
        request,
        "change.html",
        Frame(section="/changes", stream=live.address(project=project.id)),
        now=now,
        change=shown,
        git_url=project.git_url,
        in_gate=live_item is not None and live_item.pipeline is Pipeline.GATE,
        stands=live_item or (shown.items[0].item if shown.items else None),
        cost=total(shown.costs),
        tried_of=[
            (history, attempts.matrix(history, everything=states == "all"))
            for history in shown.items
        ],
        blames={cause.build: str(cause.blame.blame) for cause in shown.causes},
        problems=await views.problem_views(root, proved),
        arcs=graph.arcs(shown.chain),
        to_reproduce=to_reproduce(shown),
        run_command=run_command,
        events=past,
        again=again,
        notes=notes,
    )


def total(costs: Sequence[CostView]) -> Total:
    return Total(seconds=sum(cost.seconds for cost in costs))


def to_reproduce(change: ChangeView) -> list[str]:
    """The jobs whose failures somebody would want to see at home, or else any one."""
    causes = [cause.job for cause in change.causes]
    jobs = [job.name for history in change.items[:1] for job in history.item.jobs]
    return list(dict.fromkeys(causes))[:REPRODUCED] or jobs[:1]


def run_command(job: str) -> str:
    """What runs a job, or one cell of its matrix, in the work tree that has the change."""
    return f"cupel run {shlex.quote(job)}"


@router.get("/changes/{id}/jobs")
async def jobs(
    request: fastapi.Request,
    id: int,
    pipeline: Annotated[str, fastapi.Query()] = "",
    first: Annotated[int, fastapi.Query(alias="from", ge=0)] = 0,
) -> Response:
    """Its jobs as they are frozen."""
    here = site.of(request)
    chosen = _pipeline(pipeline) if pipeline else None
    async with here.server.store.read() as tx:
        ref = await views.change_ref(tx, id)
        project = await views.project_view(tx, ref.project, url=here.server.url)
        proved = await views.proved(tx, id, chosen)
    frozen = await views.frozen_view(
        here.server.repositories.root, here.server.config.labels, proved
    )
    return await here.page(
        request,
        "frozen.html",
        Frame(section="/changes", stream=live.address(project=project.id)),
        change=ref,
        frozen=frozen,
        shown=frozen.jobs[first : first + JOBS],
        first=first,
        picture=graph.jobs(frozen.jobs),
    )


def _pipeline(text: str) -> Pipeline:
    known = [str(each) for each in (Pipeline.CHECK, Pipeline.GATE, Pipeline.POST)]
    if text not in known:
        raise UserError(
            f"pipeline={text[:40]} has no jobs of a change", hint=f"it is one of {', '.join(known)}"
        )
    return Pipeline(text)


@router.get("/changes/{id}/abandon")
async def ask_abandon(request: fastapi.Request, id: int) -> Response:
    """Asks before what cannot be taken back."""
    here = site.of(request)
    auth.require(await here.principal(request), Scope.WRITE)
    async with here.server.store.read() as tx:
        shown = await views.change_view(tx, id, now=here.now())
    return await here.page(
        request,
        "abandon.html",
        Frame(section="/changes"),
        change=shown,
        needed_by=[each for each in shown.needed_by if each.state is ChangeState.OPEN],
    )


@router.post("/changes/{id}/hold")
async def hold(request: fastapi.Request, id: int) -> Response:
    """Keep the machine of its next failure for whoever asks."""
    here = site.of(request)
    who, fields = await here.form(request, Scope.WRITE)
    wish = holds.Wish(
        change=id,
        reason=fields.get("reason", ""),
        seconds=holds.seconds(fields.get("for", "")),
    )
    await here.server.holds.ask(wish, who)
    return RedirectResponse(f"/changes/{id}", status_code=303)


@router.post("/changes/{id}/{action}")
async def act(request: fastapi.Request, id: int, action: str) -> Response:
    """Do what a button says, for those who may, and show the change again."""
    here = site.of(request)
    who, _ = await here.form(request, Scope.ADMIN if action in RULING else Scope.WRITE)
    if action not in ACTIONS and action not in RULING:
        raise NotFound(f"a change cannot be asked to {action[:40]}")
    await (ACTIONS | RULING)[action](here.server.commands, id, who.user)
    return RedirectResponse(f"/changes/{id}", status_code=303)
