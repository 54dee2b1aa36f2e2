"""What the machines of a build used, for its page: drawn, and as figures for a script to draw."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import fastapi
from starlette.responses import JSONResponse

from cupel.control import views
from cupel.control.views import BuildView
from cupel.core.model import BuildState, Verdict
from cupel.log import metrics
from cupel.log.metrics import Row
from cupel.web import chart, site
from cupel.web.chart import Frame, Mark, Step, Used
from cupel.web.problem import PageRoute
from cupel.web.site import Site

POINTS = 900
"""Records of a machine that a script draws, at most."""

OUT_OF_MEMORY = "killed for memory"
"""How the reason of a build begins to say that a limit of memory ended it."""

router = fastapi.APIRouter(
    include_in_schema=False, route_class=PageRoute, dependencies=[site.READER]
)


@router.get("/builds/{id}/used")
async def figures(request: fastapi.Request, id: int) -> JSONResponse:
    """The figures of each machine, with what they are drawn against."""
    here = site.of(request)
    async with here.server.store.read() as tx:
        shown = await views.build_view(tx, id, now=here.now())
    machines = await asyncio.to_thread(_read, here, shown)
    frame = against(here, shown)
    return JSONResponse(
        {
            "growing": shown.state is not BuildState.FINISHED,
            "cpus": frame.cpus,
            "memory": frame.memory,
            "steps": [{"name": s.name, "start": s.start, "end": s.end} for s in frame.steps],
            "marks": [{"text": mark.text, "at": mark.at} for mark in frame.marks],
            "machines": machines,
        },
        headers={"Cache-Control": "no-store"},
    )


def drawn(here: Site, shown: BuildView) -> list[Used]:
    """The charts that are drawn here. It reads files: call it in a thread."""
    return chart.of(_files(here, shown), against(here, shown))


def against(here: Site, shown: BuildView) -> Frame:
    """What the lines of a build are drawn against."""
    label = here.server.config.labels.get(shown.label)
    now = here.now()
    return Frame(
        steps=tuple(
            Step(
                name=step.name,
                number=step.number,
                start=step.started_at,
                end=step.finished_at or shown.finished_at or now,
            )
            for step in shown.steps
            if step.started_at is not None
        ),
        marks=tuple(_marks(shown)),
        cpus=None if label is None else label.cpus,
        memory=None if label is None else label.memory,
    )


def _marks(shown: BuildView) -> list[Mark]:
    ends = [step.finished_at for step in shown.steps if step.finished_at is not None]
    at = max(ends, default=shown.finished_at)
    if at is None:
        return []
    if shown.verdict is Verdict.TIMEOUT:
        return [Mark(text="the time was over", at=at)]
    if OUT_OF_MEMORY in (shown.reason or ""):
        return [Mark(text="the memory was used up", at=at)]
    return []


def _files(here: Site, shown: BuildView) -> list[tuple[str, Any]]:
    names = shown.machines or [""]
    logs = here.server.logs
    return [(name, logs.metrics(shown.id, part)) for part, name in enumerate(names)]


def _read(here: Site, shown: BuildView) -> list[dict[str, Any]]:
    found = ((name, metrics.sample(file, POINTS)) for name, file in _files(here, shown))
    return [{"name": name, **columns(rows)} for name, rows in found if len(rows) > 1]


def columns(rows: Sequence[Row]) -> dict[str, list[float | None]]:
    """What a script draws, by name; counts as rates of each second."""
    column = {name: [row[at] for row in rows] for at, name in enumerate(metrics.COLUMNS)}
    at = [value or 0.0 for value in column["at"]]
    rates = {
        name: chart.rates(at, column[source])
        for name, source in (("cpu", "cpu_seconds"), ("read", "read"), ("written", "written"))
    }
    as_they_are = ("memory", "waits_cpu", "waits_memory", "waits_io")
    return {
        "at": [round(value, 2) for value in at],
        **{name: _rounded(values) for name, values in rates.items()},
        **{name: _rounded(column[name]) for name in as_they_are},
    }


def _rounded(values: Sequence[float | None]) -> list[float | None]:
    """To what can be seen: a page of figures is a third as long."""
    return [None if value is None else round(value, 2 if value < 1000 else 0) for value in values]
