"""The front page: is it green, what lands, and who guards what."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import fastapi
from starlette.responses import Response

from cupel.control import views
from cupel.control.views import ItemView, ProjectView, QueueView
from cupel.web import live, site
from cupel.web.problem import PageRoute
from cupel.web.site import Frame
from cupel.web.status import Look

LANDINGS = 12

router = fastapi.APIRouter(
    include_in_schema=False, route_class=PageRoute, dependencies=[site.READER]
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Whether a branch is good, in an icon and a word, and how that is known."""

    look: Look
    because: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """A project on the front page: its default branch."""

    project: ProjectView
    queue: QueueView
    head: str | None
    health: Health


@router.get("/")
async def front(request: fastapi.Request) -> Response:
    here = site.of(request)
    now = here.now()
    async with here.server.store.read() as tx:
        glance = await views.status_view(tx, url=here.server.url, now=now)
        queues = await views.queue_views(tx, now=now)
    by_branch = {(queue.name, queue.branch): queue for queue in queues}
    return await here.page(
        request,
        "front.html",
        Frame(stream=live.address()),
        now=now,
        glance=glance,
        fronts=[_front(project, by_branch) for project in glance.projects],
        landings=_landings(queues),
    )


def _front(project: ProjectView, queues: Mapping[tuple[str, str], QueueView]) -> Front:
    queue = queues[project.queue, project.branches[0].name]
    head = project.branches[0].head
    return Front(project=project, queue=queue, head=head, health=health(queue, head))


def health(queue: QueueView, head: str | None) -> Health:
    """What is known of the head of a branch from what has finished lately."""
    if queue.rules.closed is not None:
        return Health(look=Look("hold", "closed", "warn"), because=queue.rules.closed)
    if head is None:
        return Health(look=Look("waiting", "no commits yet", "quiet"), because="nothing has landed")
    for item in queue.recent:
        if item.pipeline == "post" and item.commit == head and item.status == "rejected":
            return Health(look=Look("fail", "failed after landing", "bad"), because="post failed")
    for item in queue.recent:
        if item.status == "landed" and item.proof is not None and item.proof.commit == head:
            return Health(look=Look("pass", "green", "good"), because="proved as it stands")
    return Health(look=Look("open", "open for changes", "run"), because="nothing landed lately")


def _landings(queues: list[QueueView]) -> list[ItemView]:
    landed = [item for queue in queues for item in queue.recent if item.status == "landed"]
    return sorted(landed, key=lambda item: -(item.finished_at or 0.0))[:LANDINGS]
