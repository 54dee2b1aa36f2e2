"""The front page, for somebody who comes by: is it green, what lands, how long does that take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import fastapi
from starlette.responses import Response

from cupel.control import views
from cupel.control.views import FrontProjectView, FrontView, ItemView
from cupel.control.views.nouns.front import Health
from cupel.web import live, site
from cupel.web.problem import PageRoute
from cupel.web.site import Frame

router = fastapi.APIRouter(
    include_in_schema=False, route_class=PageRoute, dependencies=[site.READER]
)

OVER = frozenset({"success", "reused", "failure", "timeout", "skipped"})
"""Icons of jobs of which nothing more is expected."""

_WORST = (Health.BROKEN, Health.CLOSED)


@router.get("/")
async def front(request: fastapi.Request) -> Response:
    here = site.of(request)
    now = here.now()
    async with here.server.store.read() as tx:
        shown = await views.front_view(tx, url=here.server.url, now=now)
    frame = Frame(stream=live.address())
    landing = [item for project in shown.projects for item in project.landing]
    return await here.page(
        request, "front.html", frame, now=now, front=shown, headline=headline(shown),
        states=by_state(shown.projects), done={item.id: done(item) for item in landing},
    )  # fmt: skip


def headline(front: FrontView) -> str:
    """All projects in a few words, the worst first."""
    states = by_state(front.projects)
    for state in _WORST:
        if names := states.get(state):
            more = len(names) - 1
            others = f" and {more} more {'is' if more == 0 else 'are'}" if more else " is"
            return f"{names[0]}{others} {state}"
    green = states.get(Health.GREEN, [])
    filled = len(front.projects) - len(states.get(Health.EMPTY, ()))
    if not front.projects:
        return "There is no project yet"
    if not filled:
        return "Nothing has landed yet"
    if len(green) == filled:
        return f"{green[0]} is green" if filled == 1 else "Everything is green"
    return f"{len(green)} of {filled} {'is' if filled == 1 else 'are'} green, nothing is broken"


def by_state(projects: Sequence[FrontProjectView]) -> Mapping[Health, list[str]]:
    """The names of the projects whose branch is so."""
    found: dict[Health, list[str]] = {}
    for project in projects:
        found.setdefault(project.health.state, []).append(project.name)
    return found


def done(item: ItemView) -> tuple[int, int]:
    """How many of the jobs that count are over, and how many there are."""
    jobs = [job for job in item.jobs if job.voting]
    return sum(job.icon in OVER for job in jobs), len(jobs)
