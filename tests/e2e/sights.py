"""Every page there is, once: what is looked at by the sweep, and what the docs show."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from collections.abc import Callable

import fastapi

import cupel.web
from cupel.core.model import Change, Machine, MachineState
from fakes import afternoon, reviewed
from fakes.busy import Busy

Address = Callable[[Busy], str]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """A page of the busy world. Several may be of one route, in different states.

    `shown`: whether the docs show it, as `docs/images/{name}-light.png` and `-dark.png`.
    """

    name: str
    route: str
    address: Address
    shown: bool = False
    status: int = 200


def see(
    name: str, route: str, address: Address | None = None, *, shown: bool = False, status: int = 200
) -> Sight:
    """A sight; the address of a route without parameters is the route."""
    return Sight(
        name=name, route=route, address=address or (lambda told: route), shown=shown, status=status
    )


def _broken(told: Busy) -> int:
    """The change whose configuration can't be used."""
    rows = told.world.rows_of(Change).values()
    return next(row.id for row in rows if row.title.startswith(reviewed.MISCONFIGURED))


def _held(told: Busy) -> int:
    """A machine that is held."""
    rows = told.world.rows_of(Machine).values()
    return next(row.id for row in rows if row.state is MachineState.HELD)


SIGHTS = (
    see("front", "/", shown=True),
    see("queues", "/queue"),
    see("queue", "/queue/{project}", lambda told: "/queue/cachetools", shown=True),
    see("close", "/queue/{name}/close", lambda told: "/queue/cachetools/close"),
    see(
        "dequeue",
        "/queue/{name}/dequeue",
        lambda told: f"/queue/cachetools/dequeue?change={told.failing_change}",
    ),
    see("plan", "/queue/{project}/plan", lambda told: "/queue/cachetools/plan", shown=True),
    see("changes", "/changes", shown=True),
    see("changes-all", "/changes", lambda told: "/changes?state=all"),
    see("change", "/changes/{id}", lambda told: f"/changes/{told.failing_change}", shown=True),
    see("change-misconfigured", "/changes/{id}", lambda told: f"/changes/{_broken(told)}"),
    see(
        "change-jobs",
        "/changes/{id}/jobs",
        lambda told: f"/changes/{told.failing_change}/jobs",
        shown=True,
    ),
    see("jobs-misconfigured", "/changes/{id}/jobs", lambda told: f"/changes/{_broken(told)}/jobs"),
    see(
        "change-abandon",
        "/changes/{id}/abandon",
        lambda told: f"/changes/{told.failing_change}/abandon",
    ),
    see(
        "diff",
        "/changes/{id}/diff",
        lambda told: f"/changes/{told.failing_change}/diff",
        shown=True,
    ),
    see("change-rejected", "/changes/{id}", lambda told: f"/changes/{told.rejected_change}"),
    see("build", "/builds/{id}", lambda told: f"/builds/{told.failed_build}", shown=True),
    see("build-running", "/builds/{id}", lambda told: f"/builds/{told.running_build}"),
    see("build-infra", "/builds/{id}", lambda told: f"/builds/{told.infra_build}"),
    see("build-queued", "/builds/{id}", lambda told: f"/builds/{told.queued_build}"),
    see("found", "/builds/{id}/found", lambda told: f"/builds/{told.failed_build}/found?q=lru"),
    see("terminal", "/builds/{id}/terminal", lambda told: f"/builds/{told.running_build}/terminal"),
    see(
        "compare",
        "/builds/{id}/compare",
        lambda told: f"/builds/{told.failed_build}/compare",
        shown=True,
    ),
    see(
        "tests", "/builds/{id}/tests", lambda told: f"/builds/{told.failed_build}/tests", shown=True
    ),
    see(
        "test",
        "/builds/{id}/tests/{test}",
        lambda told: f"/builds/{told.failed_build}/tests/{afternoon.RESULTS[0].digest}",
    ),
    see(
        "artefacts", "/builds/{id}/artefacts", lambda told: f"/builds/{told.failed_build}/artefacts"
    ),
    see(
        "artefact",
        "/builds/{id}/artefacts/{path:path}",
        lambda told: f"/builds/{told.failed_build}/artefacts/bench.csv",
    ),
    see("machines", "/machines", shown=True),
    see("machine", "/machines/{id}", lambda told: f"/machines/{_held(told)}", shown=True),
    see("machine-delete", "/machines/{id}/delete", lambda told: "/machines/10/delete"),
    see("host", "/hosts/{name}", lambda told: "/hosts/forge", shown=True),
    see("holds", "/holds", shown=True),
    see("hold-release", "/holds/{id}/release", lambda told: "/holds/1/release"),
    see("images", "/images", shown=True),
    see("image", "/images/{name}", lambda told: "/images/python"),
    see("image-rollback", "/images/{name}/rollback", lambda told: "/images/python/rollback"),
    see("trends", "/trends", lambda told: "/trends?weeks=4", shown=True),
    see("grid", "/trends/tests", lambda told: "/trends/tests?green=1", shown=True),
    see("times", "/trends/tests", lambda told: "/trends/tests?view=times"),
    see("flakes", "/flakes"),
    see("events", "/events", shown=True),
    see("mine", "/mine", shown=True),
    see("search", "/search", lambda told: "/search?q=lru", shown=True),
    see("search-empty", "/search"),
    see("login", "/login"),
    see("problem", "", lambda told: "/nowhere", status=404),
)

NOT_PAGES = {
    "/events/stream": "notices, as server-sent events",
    "/builds/{id}/log/rows": "lines of a log, for the viewer",
    "/builds/{id}/log/outline": "steps and groups of a log, for the viewer",
    "/builds/{id}/log/text": "lines of a log, for whoever copies them",
    "/builds/{id}/log/search": "what of a log fits, as it is found",
    "/builds/{id}/used": "what machines used, for charts",
    "/builds/{id}/tail": "the tail of a log, as server-sent events",
    "/builds/{id}/picture/{path:path}": "a picture that a build left",
    "/schema/cupel.yaml.json": "for editors",
    "/schema/server.yaml.json": "for editors",
}
"""What is asked for with GET besides, and what it is."""


def routes() -> set[str]:
    """The routes of everything in `cupel.web` that is asked for with GET."""
    names = [each.name for each in pkgutil.walk_packages(cupel.web.__path__, "cupel.web.")]
    routers = [getattr(importlib.import_module(name), "router", None) for name in names]
    return {
        route.path
        for router in routers
        if isinstance(router, fastapi.APIRouter)
        for route in router.routes
        if isinstance(route, fastapi.routing.APIRoute) and "GET" in route.methods
    }
