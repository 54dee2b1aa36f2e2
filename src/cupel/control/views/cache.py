"""Caches: what there is of each project, and what builds did with them."""

from __future__ import annotations

from cupel.control.views import lookup, queue
from cupel.control.views.nouns.cache import CacheUseView, CacheView
from cupel.core import cache
from cupel.core.cache import Cache, CacheUse
from cupel.core.model import Build, Host, Project
from cupel.report import messages
from cupel.store.interface import Transaction

_THERE = (*cache.KEPT, cache.CacheState.DROPPING)


async def cache_list(tx: Transaction, *, project: str | None = None) -> list[CacheView]:
    """The caches that there are, by project and name, the newest first. Raises NotFound."""
    where: dict[str, object] = {"state": _THERE}
    if project is not None:
        where["project_id"] = (await queue.named(tx, project)).id
    rows = await tx.select(Cache, where, descending=True)
    projects = await lookup.by_id(tx, Project, (row.project_id for row in rows))
    hosts = await lookup.by_id(tx, Host, (row.host_id for row in rows))
    views = [
        CacheView(
            project=projects[row.project_id].name,
            name=row.name,
            host=hosts[row.host_id].name,
            build=row.build_id,
            state=row.state,
            size=row.size,
            created_at=row.created_at,
            used_at=row.used_at,
            why=row.detail,
        )
        for row in rows
    ]
    return sorted(views, key=lambda view: (view.project, view.name))


async def uses(tx: Transaction, build: Build) -> list[CacheUseView]:
    """What the build did with its caches."""
    if not build.caches:
        return []
    where = {"project_id": build.project_id, "build_id": build.id}
    saved = {row.name: row for row in await tx.select(Cache, where)}
    return [_use(build, use, saved.get(use.name)) for use in build.caches]


def _use(build: Build, use: CacheUse, saved: Cache | None) -> CacheUseView:
    return CacheUseView(
        name=use.name,
        restored=use.restored,
        exact=use.exact,
        size=use.size,
        seconds=use.seconds,
        saved=use.saved,
        state=None if saved is None else saved.state,
        text=messages.cache_use(build, use, saved),
    )
