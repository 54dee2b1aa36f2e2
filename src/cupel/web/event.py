"""What happened, newest first: of everything, of a project, to builds, machines and the like."""

from __future__ import annotations

from typing import Annotated

import fastapi
from starlette.responses import Response

from cupel.control import views
from cupel.errors import UserError
from cupel.web import live, site
from cupel.web.problem import PageRoute
from cupel.web.site import Frame

ABOUT = (
    "change", "item", "build", "test", "queue", "branch", "project", "machine", "pool", "host",
    "hold", "visit", "image", "cache", "evidence", "quarantine",
)  # fmt: skip
"""What events are about: what their kinds begin with."""

router = fastapi.APIRouter(
    include_in_schema=False, route_class=PageRoute, dependencies=[site.READER]
)


@router.get("/events")
async def events(
    request: fastapi.Request,
    project: Annotated[str, fastapi.Query(max_length=200)] = "",
    about: Annotated[str, fastapi.Query(max_length=40)] = "",
    change: Annotated[int | None, fastapi.Query()] = None,
    before: Annotated[int | None, fastapi.Query()] = None,
) -> Response:
    if about and about not in ABOUT:
        raise UserError(f"no event is about {about!r}", hint=f"they are about {', '.join(ABOUT)}")
    here = site.of(request)
    async with here.server.store.read() as tx:
        page = await views.event_list(
            tx, before=before, project=project or None, about=about or None, change=change
        )
        projects = [each.name for each in await views.project_list(tx, url=here.server.url)]
    chosen = {"project": project, "about": about, "change": change}
    return await here.page(
        request,
        "events.html",
        Frame(section="/events", stream=live.address()),
        now=here.now(),
        page=page,
        projects=projects,
        chosen={name: value for name, value in chosen.items() if value},
        subjects=ABOUT,
        older=before is not None,
    )
