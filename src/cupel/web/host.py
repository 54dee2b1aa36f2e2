"""A host: what it is, what it did, how busy it was, and who lets it work."""

from __future__ import annotations

from urllib.parse import quote

import fastapi
from starlette.responses import RedirectResponse, Response

from cupel.control import views
from cupel.control.auth import Scope
from cupel.control.context import Context
from cupel.log import loads
from cupel.web import chart, live, machine, site, text
from cupel.web.problem import PageRoute
from cupel.web.site import Frame

DAY = 86_400.0

router = fastapi.APIRouter(
    include_in_schema=False, route_class=PageRoute, dependencies=[site.READER]
)


@router.get("/hosts/{name}")
async def host(request: fastapi.Request, name: str) -> Response:
    here = site.of(request)
    now = here.now()
    async with here.server.store.read() as tx:
        past = await views.host_past(tx, name, now=now, loads=here.server.loads)
    return await here.page(
        request,
        "host.html",
        Frame(section="/machines", stream=live.address()),
        now=now,
        past=past,
        row=machine.host_row(here.server, past.host, now),
        charts=charts(here.server, name, now),
        since=next((each for each in past.events if each.kind == "host.quarantined"), None),
        drained=next((each for each in past.events if each.kind == "host.draining"), None),
    )


@router.post("/hosts/{name}/drain")
async def drain(request: fastapi.Request, name: str) -> Response:
    return await _drain(request, name, draining=True)


@router.post("/hosts/{name}/undrain")
async def undrain(request: fastapi.Request, name: str) -> Response:
    return await _drain(request, name, draining=False)


@router.post("/hosts/{name}/release")
async def release(request: fastapi.Request, name: str) -> Response:
    """End its quarantine."""
    here = site.of(request)
    who, _ = await here.form(request, Scope.ADMIN)
    await here.server.commands.release_host(name, user=who.user)
    return _back(name)


@router.post("/hosts/{name}/forget")
async def forget(request: fastapi.Request, name: str) -> Response:
    here = site.of(request)
    who, _ = await here.form(request, Scope.ADMIN)
    await here.server.commands.forget_host(name, user=who.user)
    return RedirectResponse("/machines", status_code=303)


async def _drain(request: fastapi.Request, name: str, *, draining: bool) -> Response:
    here = site.of(request)
    who, _ = await here.form(request, Scope.ADMIN)
    await here.server.commands.drain_host(name, draining=draining, user=who.user)
    return _back(name)


def _back(name: str) -> Response:
    return RedirectResponse(f"/hosts/{quote(name)}", status_code=303)


def charts(server: Context, name: str, now: float) -> list[chart.Chart]:
    """How busy it was in the last day, or as long as is known."""
    past = server.past_loads.read(name, now - DAY, now)
    past = past[:: max(1, len(past) // (2 * chart.POINTS))] if past else []
    if len(past) < 2:
        return []
    at = [each for each, _ in past]
    used = {
        one: [
            None if whole is None or free is None else whole - free
            for whole, free in zip(loads.column(past, one), loads.column(past, other), strict=True)
        ]
        for one, other in (("memory", "available"), ("disk", "disk_free"))
    }
    waits = [(each, loads.column(past, f"waits_{name}")) for each, name in _WAITS]
    return [
        chart.chart(
            "Processes", _count, [("run or wait", loads.column(past, "runnable"))], at, 1.0
        ),
        chart.chart("Memory", _size, [("used", used["memory"])], at, float(1 << 20)),
        chart.chart("Disk", _size, [("used", used["disk"])], at, float(1 << 20)),
        chart.chart("Waited for", _percent, waits, at, 20.0),
    ]


_WAITS = (("cpu", "cpu"), ("memory", "memory"), ("disk", "io"))


def _count(value: float) -> str:
    return f"{value:.1f}"


def _size(value: float) -> str:
    return text.size(int(value))


def _percent(value: float) -> str:
    return f"{value:.0f} %"
