"""How things went over weeks, the tests of a job build by build, and what is drawn of it."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any
from urllib.parse import urlencode

import fastapi
from starlette.responses import Response

from cupel.control import views
from cupel.core.model import Project
from cupel.web import site, text
from cupel.web.problem import PageRoute
from cupel.web.site import Frame

WEEKS = 12
MOST_WEEKS = 52
WIDTH, HEIGHT = 300.0, 80.0
"""The units in which charts are drawn, whatever size they are shown in."""

_FRAME = Frame(section="/trends")

router = fastapi.APIRouter(
    include_in_schema=False, route_class=PageRoute, dependencies=[site.READER]
)

Number = Callable[[float], str]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """`path` is for the `d` of an SVG path; `last` is the newest value, in words."""

    name: str
    path: str
    last: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A part of a week's column; `words` say what it is."""

    x: str
    y: str
    width: str
    height: str
    tone: str
    words: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Weeks side by side, from nothing to `top`: lines through them, or columns on them."""

    title: str
    top: str
    lines: tuple[Line, ...] = ()
    bars: tuple[Bar, ...] = ()
    names: tuple[tuple[str, str], ...] = ()
    """What the bars of each tone are called: the tone, and its name."""


@router.get("/trends")
async def trends(
    request: fastapi.Request,
    project: str = "",
    weeks: Annotated[int, fastapi.Query(ge=2, le=MOST_WEEKS)] = WEEKS,
    stale: Annotated[float, fastapi.Query(gt=0, le=365)] = 14.0,
) -> Response:
    here = site.of(request)
    async with here.server.store.read() as tx:
        projects = sorted(name for (name,) in await tx.values(Project, ["name"]))
    found = await views.trends_view(
        here.server.store, now=here.now(), project=project or None, weeks=weeks, stale_days=stale
    )
    return await here.page(
        request,
        "trends.html",
        _FRAME,
        found=found,
        project=project,
        projects=projects,
        weeks=weeks,
        stale=stale,
        now=here.now(),
        charts=charts(found.weeks),
        date=date,
        address=address,
    )


def address(path: str, **query: Any) -> str:
    """An address with those of its fields that say something."""
    given = {name: value for name, value in query.items() if value not in ("", None, False)}
    return path + (f"?{urlencode(given)}" if given else "")


def date(at: float) -> str:
    """The day of a time, shortly: `2 Mar`."""
    day = dt.datetime.fromtimestamp(at, dt.UTC)
    return f"{day.day} {day:%b}"


def charts(weeks: Sequence[views.WeekView]) -> list[Chart]:
    """What is drawn of these weeks; what nothing is known of is left out."""
    made = [
        _spread("From approval to landing", [week.to_landed for week in weeks]),
        _spread("From push to first verdict", [week.to_verdict for week in weeks]),
        _spread("Waiting for a machine", [week.machine_wait for week in weeks]),
        columns(
            "Landed and rejected",
            {"landed": "good", "rejected": "bad"},
            [(week.landed, sum(week.rejected.values())) for week in weeks],
            weeks,
            "{:.0f}".format,
        ),
        columns(
            "Machine time in vain",
            {
                "aborted": "run",
                "repeated": "warn",
                "of discarded states": "quiet",
                "infrastructure": "infra",
            },
            [
                (week.aborted, week.repeated, week.discarded, week.infrastructure)
                for week in weeks
            ],
            weeks,
            text.duration,
        ),
        columns(
            "Machine time that reuse saved", {"saved": "good"}, [(week.saved,) for week in weeks],
            weeks,
            text.duration,
        ),
    ]  # fmt: skip
    return [each for each in made if each.lines or each.bars]


def _spread(title: str, values: Sequence[views.SpreadView | None]) -> Chart:
    names = (("half", "p50"), ("95 %", "p95"), ("99 %", "p99"))
    lines: list[tuple[str, list[float | None]]] = [
        (name, [None if each is None else float(getattr(each, field)) for each in values])
        for name, field in names
    ]
    top = max((value for _, line in lines for value in line if value is not None), default=0.0)
    if not top:
        return Chart(title=title, top="")
    return Chart(
        title=title,
        top=text.duration(top),
        lines=tuple(
            Line(
                name=name,
                path=path(line, top),
                last=next((text.duration(v) for v in reversed(line) if v is not None), "?"),
            )
            for name, line in lines
        ),
    )


def path(values: Sequence[float | None], top: float) -> str:
    """A line through the middles of the weeks, with a gap where nothing is known. A value without
    a neighbour is a dot."""
    step = WIDTH / len(values)
    drawn: list[str] = []
    for place, value in enumerate(values):
        if value is None:
            continue
        x, y = (place + 0.5) * step, HEIGHT * (1 - value / top)
        before = values[place - 1] if place else None
        after = values[place + 1] if place + 1 < len(values) else None
        drawn.append(f"{'M' if before is None else 'L'}{x:.1f} {y:.1f}")
        if before is None and after is None:
            drawn.append("h.1")
    return "".join(drawn)


def columns(
    title: str,
    names: Mapping[str, str],
    values: Sequence[Sequence[float]],
    weeks: Sequence[views.WeekView],
    number: Number,
) -> Chart:
    """A column for each week, with a part for each of its values, one on the other.

    `names` has for each value what it is, and the tone in which it is drawn.
    """
    top = max((sum(each) for each in values), default=0.0)
    if not top:
        return Chart(title=title, top="")
    step = WIDTH / len(values)
    bars: list[Bar] = []
    for place, (parts, week) in enumerate(zip(values, weeks, strict=True)):
        under = 0.0
        for (name, tone), value in zip(names.items(), parts, strict=True):
            if not value:
                continue
            high, under = HEIGHT * value / top, under + HEIGHT * value / top
            bars.append(
                Bar(
                    x=f"{place * step + step * 0.15:.1f}",
                    y=f"{HEIGHT - under:.1f}",
                    width=f"{step * 0.7:.1f}",
                    height=f"{high:.1f}",
                    tone=tone,
                    words=f"week of {date(week.start)}: {number(value)} {name}",
                )
            )
    return Chart(
        title=title,
        top=number(top),
        bars=tuple(bars),
        names=tuple((tone, name) for name, tone in names.items()),
    )
