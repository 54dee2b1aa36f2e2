"""A terminal in the machine of a build, for those who may go in."""

from __future__ import annotations

from typing import Annotated, Literal

import fastapi
from starlette.responses import Response

from cupel.control import auth, views
from cupel.control.auth import Scope
from cupel.errors import Conflict
from cupel.report import messages
from cupel.web import hold, live, site
from cupel.web.problem import PageRoute
from cupel.web.site import Frame

router = fastapi.APIRouter(include_in_schema=False, route_class=PageRoute)


@router.get("/builds/{id}/terminal")
async def terminal(
    request: fastapi.Request,
    id: int,
    machine: Annotated[str, fastapi.Query(max_length=100)] = "",
    enter: Annotated[Literal["yes"] | None, fastapi.Query()] = None,
) -> Response:
    """Into a build that runs only with `enter`, since that may cost what it proves."""
    here = site.of(request)
    who = auth.require(await here.principal(request), Scope.WRITE)
    now = here.now()
    try:
        found, _ = await here.server.visits.find(id, machine, who)
        closed = None
    except Conflict as error:
        found, closed = None, error
    async with here.server.store.read() as tx:
        row = await views.build_row(tx, id)
        return await here.page(
            request,
            "terminal.html",
            Frame(section="/machines", stream=live.address(build=id)),
            now=now,
            build=await views.build_view(tx, id, now=now),
            machine=None if found is None else await views.machine_view(tx, found.id, now=now),
            part=machine,
            closed=closed,
            company=() if found is None else here.server.visits.company(found.id),
            warning=None if enter else messages.before_visit(row),
            who=who.user,
            longer=hold.LONGER,
        )
