"""The tests of a job, build by build, and how long they take."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any
from urllib.parse import urlencode

import fastapi
from starlette.responses import Response

from cupel.control import views
from cupel.core.model import Project
from cupel.web import site
from cupel.web.problem import PageRoute
from cupel.web.site import Frame, Site

BUILDS = 30
MOST_BUILDS = 100

_FRAME = Frame(section="/trends")

router = fastapi.APIRouter(
    include_in_schema=False, route_class=PageRoute, dependencies=[site.READER]
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What of the tests is shown, as it stands in the address."""

    project: str = ""
    job: str = ""
    view: str = ""
    builds: int = BUILDS
    before: int | None = None
    text: str = ""
    group: str = ""
    cluster: str = ""
    green: bool = False

    def address(self, **other: Any) -> str:
        """The same with something else about it."""
        fields = dataclasses.asdict(self) | other
        given = {
            name: 1 if value is True else value
            for name, value in fields.items()
            if value not in ("", None, False) and (name, value) != ("builds", BUILDS)
        }
        return "/trends/tests?" + urlencode(given)


@router.get("/trends/tests")
async def page(
    request: fastapi.Request,
    project: str = "",
    job: str = "",
    view: str = "",
    builds: Annotated[int, fastapi.Query(ge=2, le=MOST_BUILDS)] = BUILDS,
    before: Annotated[int | None, fastapi.Query(ge=0)] = None,
    text: Annotated[str, fastapi.Query(max_length=500)] = "",
    group: Annotated[str, fastapi.Query(max_length=100)] = "",
    cluster: Annotated[str, fastapi.Query(max_length=20)] = "",
    green: bool = False,
) -> Response:
    here = site.of(request)
    projects, jobs, project, job = await _chosen(here, project, job)
    shown = Shown(
        project=project, job=job, view="times" if view == "times" else "", builds=builds,
        before=before, text=text.strip(), group=group.strip(), cluster=cluster, green=green,
    )  # fmt: skip
    return await here.page(
        request,
        "grid.html",
        _FRAME,
        shown=shown,
        projects=projects,
        jobs=jobs,
        now=here.now(),
        **await _found(here, shown),
    )


async def _chosen(here: Site, project: str, job: str) -> tuple[list[str], list[str], str, str]:
    """All projects, the jobs of one with tests, and which of both is shown: the first that has
    tests, if nothing was asked for."""
    async with here.server.store.read() as tx:
        projects = sorted(name for (name,) in await tx.values(Project, ["name"]))
        jobs: list[str] = []
        for name in [project] if project else projects:
            jobs, project = await views.jobs_with_tests(tx, name), name
            if jobs:
                break
    return projects, jobs, project, job or (jobs[0] if jobs else "")


async def _found(here: Site, shown: Shown) -> dict[str, Any]:
    """What is known of the tests; nothing without a job."""
    found: dict[str, Any] = {"grid": None, "times": None}
    if not shown.job:
        return found
    async with views.reading(here.server.store) as tx:
        if shown.view == "times":
            found["times"] = await views.times_view(
                tx, here.server.results, shown.project, shown.job
            )
        else:
            found["grid"] = await views.grid_view(
                tx,
                here.server.results,
                shown.project,
                shown.job,
                now=here.now(),
                builds=shown.builds,
                before=shown.before,
                text=shown.text,
                group=shown.group,
                cluster=shown.cluster,
                green=shown.green,
            )
    return found
