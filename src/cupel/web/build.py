"""A build: what came of it and why, its steps, its machine and its log."""

from __future__ import annotations

import asyncio
import dataclasses
import shlex
from collections.abc import Mapping
from typing import Annotated, Literal

import fastapi
from starlette.responses import RedirectResponse, Response

from cupel.control import views
from cupel.control.auth import Scope
from cupel.core import blame
from cupel.core.model import BuildState, Verdict
from cupel.errors import NotFound
from cupel.store.interface import Transaction
from cupel.web import chart, live, log, site, timeline, used
from cupel.web.problem import PageRoute
from cupel.web.site import Frame

FAILING = 25
"""Failed tests that stand on a build's page; all of them are on the page of its tests."""

router = fastapi.APIRouter(
    include_in_schema=False, route_class=PageRoute, dependencies=[site.READER]
)

ENDED: Mapping[Verdict, str] = {
    Verdict.SUCCESS: "Passed",
    Verdict.CANCELLED: "It was cancelled",
    Verdict.SKIPPED: "It was skipped",
}
"""How a build ended that is nobody's fault; of others, whose it is comes first."""

NETWORKS: Mapping[str, str] = {
    "none": "none",
    "registries": "registries of packages alone",
    "allowed": "the hosts that its label allows",
    "full": "everything outside",
}
"""What a machine of a label may reach, in words."""


@router.get("/builds/{id}")
async def build(
    request: fastapi.Request,
    id: int,
    start: Annotated[int | None, fastapi.Query(alias="from", ge=1)] = None,
) -> Response:
    here = site.of(request)
    now = here.now()
    async with here.server.store.read() as tx:
        shown = await views.build_view(tx, id, now=now, logs=here.server.logs)
        failing = await views.failing_tests(
            tx, await views.build_row(tx, id), logs=here.server.logs, limit=FAILING
        )
        compared = await _compared(tx, here, shown)
        expected = await _expected(tx, shown)
        notes = await views.build_notes(tx, here.server.results, here.server.repositories.root, id)
    logs = here.server.logs
    label = here.server.config.labels.get(shown.label)
    growing = shown.state is not BuildState.FINISHED
    return await here.page(
        request,
        "build.html",
        Frame(section="/changes", stream=live.address(build=id)),
        now=now,
        build=shown,
        used=await asyncio.to_thread(used.drawn, here, shown),
        bars=timeline.bars(shown.timeline),
        lanes=timeline.lanes(shown.beside, id, now),
        network=NETWORKS.get(label.network, label.network) if label else "",
        command=reproduce(here.server.url, shown),
        headings=chart.HEADINGS,
        ended=ENDED.get(shown.verdict, "") if shown.verdict else "",
        failing=failing,
        compared=compared,
        expected=expected,
        notes=notes,
        part=log.part(
            logs.reader(id),
            shown.steps,
            start,
            growing=growing,
            machines=shown.machines,
        ),
        about_log=log.about(shown, logs.reader(id).line_count, growing=growing),
    )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """How long the last pass of the job took."""

    build: int
    seconds: float


async def _expected(tx: Transaction, shown: views.BuildView) -> Expected | None:
    """What to measure a running build by."""
    if shown.state is not BuildState.RUNNING:
        return None
    last = await views.last_green(tx, await views.build_row(tx, shown.id))
    if last is None or last.started_at is None or last.finished_at is None:
        return None
    return Expected(build=last.id, seconds=max(last.finished_at - last.started_at, 0.001))


def reproduce(url: str, shown: views.BuildView) -> str:
    """The command that runs the build on somebody's own computer; empty where there is none.

    Its state is fetched by its ref, as long as the server keeps that.
    """
    alone = shown.reused_from is None and len(shown.machines) < 2
    if shown.commit is None or not alone or shown.verdict is Verdict.INFRA:
        return ""
    where = shlex.quote(f"{url.rstrip('/')}/{shown.project}.git")
    fetch = f"git fetch {where} refs/cupel/states/{shown.buildset}"
    return f"{fetch} && cupel run --commit FETCH_HEAD {shlex.quote(shown.job)}"


async def _compared(
    tx: Transaction, here: site.Site, shown: views.BuildView
) -> views.ComparisonView | None:
    """What differs from the last build that passed, of one that did not."""
    if shown.verdict not in blame.FAILED:
        return None
    try:
        return await views.comparison(tx, here.server, shown.id)
    except NotFound:
        return None


@router.post("/builds/{id}/retry")
async def retry(
    request: fastapi.Request,
    id: int,
    everything: Annotated[Literal["yes"] | None, fastapi.Query(alias="all")] = None,
) -> Response:
    """Run the job again, or all of its state, for those who may; show where its attempts stand."""
    here = site.of(request)
    who, _ = await here.form(request, Scope.WRITE)
    again = await here.server.commands.retry_build(
        id, everything=everything is not None, user=who.user
    )
    async with here.server.store.read() as tx:
        change = (await views.build_view(tx, again.id, now=here.now())).change
    return RedirectResponse(f"/changes/{change}" if change else f"/builds/{id}", status_code=303)
