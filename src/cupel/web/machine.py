"""Pools, hosts and machines: those that exist, and those that did lately."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated

import fastapi
from starlette.responses import RedirectResponse, Response

from cupel.control import auth, views
from cupel.control.auth import Scope
from cupel.control.context import Context
from cupel.control.views import HostView, MachineView, PoolView
from cupel.core.model import MachineState
from cupel.errors import UserError
from cupel.log import loads
from cupel.web import live, site, spark, text
from cupel.web.problem import PageRoute
from cupel.web.site import Frame
from cupel.web.spark import Piece, Spark

PAST = 30
HOUR = 3600.0
DAY = 86_400.0

GROUPS: dict[str, Callable[[MachineView], str]] = {
    "label": lambda machine: machine.label,
    "host": lambda machine: machine.host,
    "state": lambda machine: machine.state,
    "project": lambda machine: machine.project or "",
}
"""What machines can be grouped by, and filtered by."""

router = fastapi.APIRouter(
    include_in_schema=False, route_class=PageRoute, dependencies=[site.READER]
)

Text = Annotated[str, fastapi.Query(max_length=500)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which machines are shown, and in which groups; empty: all, and in none."""

    label: str = ""
    host: str = ""
    state: str = ""
    project: str = ""
    group: str = ""

    @property
    def is_on(self) -> bool:
        return bool(self.label or self.host or self.state or self.project)

    def fits(self, machine: MachineView) -> bool:
        wanted = ((name, getattr(self, name)) for name in GROUPS)
        return all(not text or GROUPS[name](machine) == text for name, text in wanted)

    def query(self, **other: str) -> str:
        """The address of this page with some of it as said here."""
        return site.query({**dataclasses.asdict(self), **other})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PoolRow:
    """A pool, the parts of its bar, and how long its machines took to make in the last day."""

    view: PoolView
    pieces: list[Piece]
    present: int
    launches: Spark | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HostRow:
    """A host, and how busy it was in the last hour: processes for each core, and the percent of
    time that something waited."""

    view: HostView
    work: Spark | None
    waits: Spark | None


@router.get("/machines")
async def machines(
    request: fastapi.Request,
    label: Text = "",
    host: Text = "",
    state: Text = "",
    project: Text = "",
    group: Text = "",
) -> Response:
    here = site.of(request)
    now = here.now()
    chosen = checked(Filter(label=label, host=host, state=state, project=project, group=group))
    async with here.server.store.read() as tx:
        pools = await views.pool_list(tx, now=now)
        hosts = await views.host_list(tx, now=now, loads=here.server.loads)
        present = (await views.machine_list(tx, now=now, limit=500)).entries
        recent = (await views.machine_list(tx, now=now, gone=True, limit=PAST)).entries
    gone = [machine for machine in recent if machine.state is MachineState.GONE]
    return await here.page(
        request,
        "machines.html",
        Frame(section="/machines", stream=live.address()),
        now=now,
        chosen=chosen,
        choices=choices(present, pools, hosts),
        pools=[pool_row(each, now) for each in pools if chosen.label in ("", each.label)],
        hosts=[
            host_row(here.server, each, now) for each in hosts if chosen.host in ("", each.name)
        ],
        total=len(present),
        groups=grouped([each for each in present if chosen.fits(each)], chosen.group),
        past=[each for each in gone if chosen.fits(each)],
        counts=by_state(present),
    )


@router.get("/machines/{id}")
async def machine(request: fastapi.Request, id: int) -> Response:
    here = site.of(request)
    now = here.now()
    async with here.server.store.read() as tx:
        past = await views.machine_past(tx, id, now=now)
        build = past.machine.build
        ran = None if build is None else await views.build_view(tx, build, now=now)
    labels = {each.label: each for each in views.label_list(here.server.config.labels)}
    return await here.page(
        request,
        "machine.html",
        Frame(section="/machines", stream=live.address()),
        now=now,
        past=past,
        machine=past.machine,
        build=ran,
        label=labels.get(past.machine.label),
        span=max(sum(each.seconds or 0.0 for each in past.states), 1e-9),
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


def checked(chosen: Filter) -> Filter:
    """The filter. Raises `UserError` for a state or a grouping that there is not."""
    states = [state.value for state in MachineState]
    if chosen.state and chosen.state not in states:
        raise UserError(
            f"state={chosen.state[:40]!r} is no state of a machine",
            hint=f"say one of {', '.join(states)}",
        )
    if chosen.group and chosen.group not in GROUPS:
        raise UserError(
            f"group={chosen.group[:40]!r} is nothing that machines are grouped by",
            hint=f"say one of {', '.join(GROUPS)}",
        )
    return chosen


def choices(
    present: Iterable[MachineView], pools: Iterable[PoolView], hosts: Iterable[HostView]
) -> dict[str, list[str]]:
    """What can be filtered for; names that no control of a form can show are left out."""
    there = list(present)
    found = {
        "label": sorted({*(each.label for each in pools), *(each.label for each in there)}),
        "host": [each.name for each in hosts],
        "state": [state.value for state in MachineState if state in views.PRESENT],
        "project": sorted({each.project for each in there if each.project}),
    }
    return {
        name: [each for each in values if text.legible(each) == each]
        for name, values in found.items()
    }


def grouped(machines: Sequence[MachineView], by: str) -> list[tuple[str, list[MachineView]]]:
    """The machines in groups, by name; in one without a name if they are not grouped."""
    if not by:
        return [("", list(machines))] if machines else []
    of = GROUPS[by]
    return [
        (name or "none", [each for each in machines if of(each) == name])
        for name in sorted({of(each) for each in machines})
    ]


def by_state(machines: Sequence[MachineView]) -> list[tuple[MachineState, int]]:
    """How many machines are in each state that any is in, in the order of a machine's life."""
    counts = Counter(machine.state for machine in machines)
    return [(state, counts[state]) for state in MachineState if counts[state]]


def pool_row(view: PoolView, now: float) -> PoolRow:
    present = sum(view.counts.values())
    return PoolRow(
        view=view,
        pieces=spark.pieces(view.counts, max(present, view.target, 1)),
        present=present,
        launches=spark.marks(
            [(each.at, each.seconds) for each in view.launches],
            view.launches[0].at - 1.0 if view.launches else now - DAY,
            now,
        ),
    )


def host_row(server: Context, view: HostView, now: float, *, seconds: float = HOUR) -> HostRow:
    past = server.past_loads.read(view.name, now - seconds, now)
    at = [each for each, _ in past]
    cores = loads.column(past, "cores")
    work = [
        None if number is None or not core else number / core
        for number, core in zip(loads.column(past, "runnable"), cores, strict=True)
    ]
    names = ("waits_cpu", "waits_memory", "waits_io")
    waits = spark.hardest([loads.column(past, name) for name in names])
    since = now - seconds
    return HostRow(
        view=view,
        work=spark.line(list(zip(at, work, strict=True)), since, now, 1.0),
        waits=spark.line(list(zip(at, waits, strict=True)), since, now, 10.0),
    )
