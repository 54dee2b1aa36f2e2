"""The tests of a build, page by page, and one of them with its history."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Annotated
from urllib.parse import urlencode

import fastapi
from starlette.responses import Response

from cupel.control import views
from cupel.report.results.chosen import Choice, Order
from cupel.web import chart, site
from cupel.web.problem import PageRoute
from cupel.web.site import Frame

PAGE = 200
"""Tests on a page."""

SUITES = 500
"""Suites on a page."""

RUNS = 30
"""Builds in the history of a test."""

OUTCOMES = ("failed", "flaky", "skipped", "passed")

router = fastapi.APIRouter(
    include_in_schema=False, route_class=PageRoute, dependencies=[site.READER]
)
_FRAME = Frame(section="/changes")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a page of tests shows; all of it stands in its query. `grouped`: suites, not tests."""

    outcome: str = ""
    text: str = ""
    suite: str = ""
    least: str = ""
    order: str = ""
    grouped: bool = False

    def query(self, **other: object) -> str:
        """The query of a page that shows the same but for this."""
        fields = {
            "outcome": self.outcome,
            "text": self.text,
            "suite": self.suite,
            "least": self.least,
            "order": self.order,
            "group": "suite" if self.grouped else "",
            **other,
        }
        return "?" + urlencode({name: value for name, value in fields.items() if value})

    @property
    def choice(self) -> Choice:
        return Choice(
            outcome=self.outcome or None,
            text=self.text or None,
            suite=self.suite or None,
            least=seconds(self.least),
            order=Order.SLOWEST if self.order else Order.OUTCOME,
        )


def seconds(text: str) -> float | None:
    """A duration that somebody typed, in seconds; None for what is none."""
    try:
        found = float(text)
    except ValueError:
        return None
    return found if 0 <= found <= 1e9 else None


def asked(
    outcome: str = "",
    text: Annotated[str, fastapi.Query(max_length=500)] = "",
    suite: Annotated[str, fastapi.Query(max_length=500)] = "",
    least: Annotated[str, fastapi.Query(max_length=20)] = "",
    order: str = "",
    group: str = "",
) -> Asked:
    """What the query says; a word that means nothing here is left out."""
    return Asked(
        outcome=outcome if outcome in OUTCOMES else "",
        text=text,
        suite=suite,
        least=least if seconds(least) is not None else "",
        order="slowest" if order == "slowest" else "",
        grouped=group == "suite",
    )


@router.get("/builds/{id}/tests")
async def results(
    request: fastapi.Request,
    id: int,
    ask: Annotated[Asked, fastapi.Depends(asked)],
    first: Annotated[int, fastapi.Query(ge=0, le=10**9)] = 0,
) -> Response:
    here = site.of(request)
    suites: list[views.SuiteView] = []
    async with here.server.store.read() as tx:
        found = await views.results_view(
            tx, here.server.results, id, ask.choice, first=first, limit=1 if ask.grouped else PAGE
        )
        if ask.grouped:
            suites = await views.suites_view(tx, here.server.results, id, ask.choice)
    return await here.page(
        request,
        "results.html",
        _FRAME,
        found=found,
        suites=suites[:SUITES],
        more_suites=max(len(suites) - SUITES, 0),
        asked=ask,
        outcomes=OUTCOMES,
        first=first,
        slowest=max([1e-9, *(each.seconds or 0.0 for each in found.entries)]),
    )


@router.get("/builds/{id}/tests/{test}")
async def result(request: fastapi.Request, id: int, test: str) -> Response:
    here = site.of(request)
    async with here.server.store.read() as tx:
        build = await views.build_row(tx, id)
        shown = await views.result_view(tx, here.server.results, id, test)
        project = (await views.build_view(tx, id, now=here.now())).project
        past = await views.history_view(
            tx, here.server.results, project, shown.test, job=build.job, limit=RUNS
        )
        failing = await views.failing_tests(tx, build, logs=here.server.logs, limit=200)
    return await here.page(
        request,
        "result.html",
        _FRAME,
        build=id,
        job=build.job,
        test=shown,
        history=past.entries,
        known=next((each for each in failing if each.test == shown.test), None),
        took=_took(past.entries),
        now=here.now(),
    )


def _took(runs: Sequence[views.TestRunView]) -> chart.Chart | None:
    """How long it took in each build, the oldest first; None where there is too little."""
    values = [run.seconds for run in reversed(runs)]
    if sum(value is not None for value in values) < 2:
        return None
    places = [float(number) for number in range(len(values))]
    return chart.chart("Took", chart.seconds, (("took", values),), places, 1e-3)
