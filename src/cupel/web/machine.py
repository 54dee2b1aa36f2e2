"""Hosts and machines: those that exist, and those that did lately."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import fastapi
from starlette.responses import Response

from cupel.control import views
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
        hosts = await views.host_list(tx, now=now)
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


def by_state(machines: Sequence[MachineView]) -> list[tuple[MachineState, int]]:
    """How many machines are in each state that any is in, in the order of a machine's life."""
    counts = Counter(machine.state for machine in machines)
    return [(state, counts[state]) for state in MachineState if counts[state]]
