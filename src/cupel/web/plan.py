"""Why a queue does what it does: what it believes of each change, and the states that may come."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Annotated

import fastapi
from starlette.responses import Response

from cupel.control import views
from cupel.control.views import PlanView, StateView, WantView
from cupel.web import lane, live, site
from cupel.web.lane import Node, Picture
from cupel.web.problem import PageRoute
from cupel.web.site import Frame
from cupel.web.status import Look

router = fastapi.APIRouter(
    include_in_schema=False, route_class=PageRoute, dependencies=[site.READER]
)

LISTED = 60
"""Rows of each part of the page, unless all are asked for: of a long queue the front matters."""

LOOKS = {
    "passed": Look("pass", "passed", "good"),
    "failing": Look("fail", "failed", "bad"),
    "cannot": Look("conflict", "cannot pass", "bad"),
    "running": Look("running", "running", "run"),
    "waiting": Look("waiting", "waiting", "quiet"),
    "unmade": Look("merge", "not made yet", "quiet"),
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Possibility:
    """A state with its part of the lattice, and the runs that are wanted of it."""

    state: StateView
    look: Look
    picture: Picture
    wants: Sequence[WantView]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Lattice:
    """The states that may come, each joined to the one beneath it."""

    rows: Sequence[Possibility]
    base: Picture
    columns: int


@router.get("/queue/{project}/plan")
async def plan(
    request: fastapi.Request,
    project: str,
    branch: Annotated[str | None, fastapi.Query()] = None,
    every: Annotated[bool, fastapi.Query(alias="all")] = False,
) -> Response:
    """Why the queue does what it does, and what it does next."""
    here = site.of(request)
    now = here.now()
    async with here.server.store.read() as tx:
        shown = await views.plan_view(tx, project, branch, now=now)
    frame = Frame(section="/queue", stream=live.address())
    listed = max(len(shown.states), len(shown.wants)) if every else LISTED
    return await here.page(
        request,
        "plan.html",
        frame,
        now=now,
        plan=shown,
        lattice=lattice(shown, listed),
        listed=listed,
    )


def lattice(plan: PlanView, listed: int = LISTED) -> Lattice:
    """The first so many states, drawn as a lane: what is expected goes straight on, what else may
    come stands beside it."""
    states = plan.states[:listed]
    ids = {tuple(state.changes): number for number, state in enumerate(states, 1)}
    wanted: dict[tuple[int, ...], list[WantView]] = {}
    for want in plan.wants:
        wanted.setdefault(tuple(want.state), []).append(want)
    drawing = lane.draw(
        [
            Node(
                id=ids[tuple(state.changes)],
                parent=_beneath(state, ids),
                out=not state.expected,
                bad=state.how in ("failing", "cannot"),
                to_be=state.how == "unmade",
            )
            for state in states
        ]
    )
    return Lattice(
        rows=[
            Possibility(
                state=state,
                look=LOOKS[state.how],
                picture=picture,
                wants=wanted.get(tuple(state.changes), ()),
            )
            for state, picture in zip(states, drawing.pictures, strict=True)
        ],
        base=drawing.base,
        columns=drawing.columns,
    )


def _beneath(state: StateView, ids: dict[tuple[int, ...], int]) -> int | None:
    return ids.get(tuple(state.changes[: len(state.changes) - len(state.own)]))
