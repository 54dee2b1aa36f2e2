"""Hosts and machines: those that exist, and those that did lately."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import fastapi
from starlette.responses import RedirectResponse, Response

from cupel.control import auth, views
from cupel.control.auth import Scope
from cupel.control.views import MachineView
from cupel.core.model import MachineState
from cupel.web import live, site
from cupel.web.problem import PageRoute
from cupel.web.site import Frame

PAST = 30

router = fastapi.APIRouter(
    include_in_schema=False, route_class=PageRoute, dependencies=[site.READER]
)


@router.get("/machines")
async def machines(request: fastapi.Request) -> Response:
    here = site.of(request)
    now = here.now()
    async with here.server.store.read() as tx:
        pools = await views.pool_list(tx, now=now)
        hosts = await views.host_list(tx, now=now, loads=here.server.loads)
        present = (await views.machine_list(tx, now=now, limit=500)).entries
        recent = (await views.machine_list(tx, now=now, gone=True, limit=PAST)).entries
    return await here.page(
        request,
        "machines.html",
        Frame(section="/machines", stream=live.address()),
        now=now,
        pools=pools,
        hosts=hosts,
        present=present,
        past=[machine for machine in recent if machine.state is MachineState.GONE],
        counts=by_state(present),
    )


@router.get("/machines/{id}/delete")
async def ask_to_delete(request: fastapi.Request, id: int) -> Response:
    """What deleting it would do, and whether that is meant."""
    here = site.of(request)
    auth.require(await here.principal(request), Scope.ADMIN)
    async with here.server.store.read() as tx:
        shown = await views.machine_view(tx, id, now=here.now())
    return await here.page(
        request, "machine_delete.html", Frame(section="/machines"), machine=shown
    )


@router.post("/machines/{id}/delete")
async def delete(request: fastapi.Request, id: int) -> Response:
    here = site.of(request)
    who, _ = await here.form(request, Scope.ADMIN)
    await here.server.commands.delete_machine(id, user=who.user)
    return RedirectResponse("/machines", status_code=303)


@router.post("/hosts/{name}/drain")
async def drain(request: fastapi.Request, name: str) -> Response:
    return await _drain(request, name, draining=True)


@router.post("/hosts/{name}/undrain")
async def undrain(request: fastapi.Request, name: str) -> Response:
    return await _drain(request, name, draining=False)


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
    return RedirectResponse("/machines", status_code=303)


def by_state(machines: Sequence[MachineView]) -> list[tuple[MachineState, int]]:
    """How many machines are in each state that any is in, in the order of a machine's life."""
    counts = Counter(machine.state for machine in machines)
    return [(state, counts[state]) for state in MachineState if counts[state]]
