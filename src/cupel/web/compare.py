"""Two builds of a job beside each other: what differs first, then what is the same."""

from __future__ import annotations

from typing import Annotated

import fastapi
from starlette.responses import Response

from cupel.control import views
from cupel.errors import NotFound
from cupel.web import site
from cupel.web.problem import PageRoute
from cupel.web.site import Frame

router = fastapi.APIRouter(
    include_in_schema=False, route_class=PageRoute, dependencies=[site.READER]
)


@router.get("/builds/{id}/compare")
async def compare(
    request: fastapi.Request,
    id: int,
    other: Annotated[int | None, fastapi.Query(alias="with", ge=1)] = None,
) -> Response:
    here = site.of(request)
    found: views.ComparisonView | None = None
    async with here.server.store.read() as tx:
        build = await views.build_row(tx, id)
        try:
            found = await views.comparison(tx, here.server, id, other)
        except NotFound:
            if other is not None:
                raise
    return await here.page(
        request,
        "compare.html",
        Frame(section="/changes"),
        now=here.now(),
        build=build,
        found=found,
        longest=longest(found),
    )


def longest(found: views.ComparisonView | None) -> float:
    """The seconds of the longest step of either, for bars of one scale."""
    steps = [] if found is None else found.steps
    return max([1e-9, *(each for step in steps for each in (step.old, step.new) if each)])
