"""Projects: the guarded repositories."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

import fastapi
import pydantic

from cupel.api.caller import READER, Administrator, Cupel
from cupel.control import views
from cupel.core.model import MergeMethod, Policy

router = fastapi.APIRouter(prefix="/api/projects", tags=["projects"])


class PolicyRequest(pydantic.BaseModel):
    """What the project asks of a change; what is left out is as by default."""

    model_config = pydantic.ConfigDict(extra="forbid")

    approvals: Annotated[int, pydantic.Field(ge=0, le=100)] = 1
    self_approval: bool = True
    attempts: Annotated[int, pydantic.Field(ge=1, le=10)] = 3
    merge: MergeMethod = MergeMethod.MERGE
    keep_check: bool = False


class ProjectRequest(pydantic.BaseModel):
    """A project to guard: empty, or with the history of the repository at `source`.

    It joins the named queue, or gets one of its own.
    """

    model_config = pydantic.ConfigDict(extra="forbid")

    name: str
    source: str | None = None
    branch: str | None = None
    queue: str | None = None
    policy: PolicyRequest = PolicyRequest()


class ProjectChange(pydantic.BaseModel):
    """What to change of a project; what is left out, also of the policy, stays."""

    model_config = pydantic.ConfigDict(extra="forbid")

    queue: str | None = None
    policy: PolicyRequest = PolicyRequest()


@router.get("", operation_id="project_list", summary="All projects", dependencies=[READER])
async def list_all(cupel: Cupel) -> list[views.ProjectView]:
    async with cupel.store.read() as tx:
        return await views.project_list(tx, url=cupel.url)


@router.get("/{name}", operation_id="project", summary="One project", dependencies=[READER])
async def show(cupel: Cupel, name: str) -> views.ProjectView:
    async with cupel.store.read() as tx:
        return await views.project_view(tx, name, url=cupel.url)


@router.post(
    "", operation_id="project_add", summary="Guard a repository", status_code=HTTPStatus.CREATED
)
async def add(cupel: Cupel, admin: Administrator, request: ProjectRequest) -> views.ProjectView:
    project = await cupel.commands.add_project(
        request.name,
        source=request.source,
        branch=request.branch,
        policy=Policy(**request.policy.model_dump()),
        queue=request.queue,
        user=admin.user,
    )
    async with cupel.store.read() as tx:
        return await views.project_view(tx, project.name, url=cupel.url)


@router.patch("/{name}", operation_id="project_set", summary="Change a project's rules")
async def change(
    cupel: Cupel, admin: Administrator, name: str, request: ProjectChange
) -> views.ProjectView:
    policy = request.policy.model_dump(exclude_unset=True)
    await cupel.commands.set_project(name, policy=policy, queue=request.queue, user=admin.user)
    async with cupel.store.read() as tx:
        return await views.project_view(tx, name, url=cupel.url)
