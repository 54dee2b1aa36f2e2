"""Changes: what is proposed, and what people decide about it."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Annotated

import fastapi
import pydantic

from cupel.api.caller import READER, Administrator, Before, Cupel, Limit, Writer
from cupel.control import views
from cupel.control.context import Context
from cupel.core.model import Change, ChangeState, Pipeline
from cupel.git.compare import Amount

router = fastapi.APIRouter(prefix="/api/changes", tags=["changes"])


class ApprovalRequest(pydantic.BaseModel):
    """The patch set that was looked at; the newest if it is left out."""

    model_config = pydantic.ConfigDict(extra="forbid")

    patch_set: Annotated[int, pydantic.Field(ge=1)] | None = None


class PromotionRequest(pydantic.BaseModel):
    """The changes that go first, in this order."""

    model_config = pydantic.ConfigDict(extra="forbid")

    changes: Annotated[list[int], pydantic.Field(min_length=1, max_length=100)]


class UrgencyRequest(pydantic.BaseModel):
    """Whether the change is urgent; yes if it is left out."""

    model_config = pydantic.ConfigDict(extra="forbid")

    urgent: bool = True


class RetryRequest(pydantic.BaseModel):
    """Whether `all` jobs are run again; if it is left out, those that have failed."""

    model_config = pydantic.ConfigDict(extra="forbid")

    all: bool = False


@router.get("", operation_id="change_list", summary="Changes, newest first", dependencies=[READER])
async def list_all(
    cupel: Cupel,
    project: Annotated[str | None, fastapi.Query(description="Only this project's.")] = None,
    state: Annotated[ChangeState | None, fastapi.Query(description="Only in this state.")] = None,
    author: Annotated[
        str | None, fastapi.Query(description="Only by `Name <mail>`, or of this owner.")
    ] = None,
    branch: Annotated[str | None, fastapi.Query(description="Only for this branch.")] = None,
    topic: Annotated[str | None, fastapi.Query(description="Only with this topic.")] = None,
    text: Annotated[
        str | None,
        fastapi.Query(description="Only with all of these words in what a list shows of it."),
    ] = None,
    limit: Limit = 50,
    before: Before = None,
) -> views.Page[views.ListedChange]:
    wanted = views.Wanted(
        project=project, state=state, author=author, branch=branch, topic=topic, text=text
    )
    async with cupel.store.read() as tx:
        return await views.change_list(tx, wanted, limit=limit, before=before)


@router.get("/{id}", operation_id="change", summary="One change", dependencies=[READER])
async def show(cupel: Cupel, id: int) -> views.ChangeView:
    async with cupel.store.read() as tx:
        return await views.change_view(tx, id, now=cupel.clock(), logs=cupel.logs)


@router.get(
    "/{id}/diff",
    operation_id="change_diff",
    summary="What differs between patch sets",
    description="As the author made it: where the two are made on different commits, the earlier is"
    " put on what the later is made on, so that what others did in between is left out.",
    dependencies=[READER],
)
async def diff(
    cupel: Cupel,
    id: int,
    start: Annotated[
        str,
        fastapi.Query(alias="from", description="A patch set, or `base`: what `to` is made on."),
    ] = "base",
    end: Annotated[
        int | None, fastapi.Query(alias="to", ge=1, description="A later patch set; the newest.")
    ] = None,
    path: Annotated[
        str | None, fastapi.Query(description="Only this file, at up to 20,000 lines.")
    ] = None,
    context: Annotated[
        int, fastapi.Query(ge=0, le=1000, description="Lines around what differs.")
    ] = 3,
    spaces: Annotated[
        bool, fastapi.Query(description="Whether a difference in white space alone counts.")
    ] = True,
) -> views.DiffView:
    root = cupel.repositories.root
    async with cupel.store.read() as tx:
        sides = await views.diff_sides(tx, id, start=views.patch_set_or_base(start), end=end)
        notes = await views.change_notes(tx, cupel.results, root, id, sides.end.number)
    amount = Amount(context=context, spaces=spaces)
    return await views.diff_view(root, sides, path=path, amount=amount, notes=notes)


@router.get(
    "/{id}/jobs",
    operation_id="change_jobs",
    summary="The jobs of a change as they are frozen",
    description="Key by key with the place where it was written, and what is not as on the branch.",
    dependencies=[READER],
)
async def jobs(
    cupel: Cupel,
    id: int,
    pipeline: Annotated[
        Pipeline | None, fastapi.Query(description="Of this pipeline; by default the last one.")
    ] = None,
) -> views.FrozenView:
    async with cupel.store.read() as tx:
        proved = await views.proved(tx, id, pipeline)
    return await views.frozen_view(cupel.repositories.root, cupel.config.labels, proved)


@router.post("/{id}/approve", operation_id="change_approve", summary="Approve a change")
async def approve(
    cupel: Cupel, by: Writer, id: int, request: ApprovalRequest | None = None
) -> views.ChangeView:
    patch_set = request.patch_set if request is not None else None
    return await _after(cupel, cupel.commands.approve(id, user=by.user, patch_set=patch_set))


@router.post("/{id}/withdraw", operation_id="change_withdraw", summary="Withdraw one's approval")
async def withdraw(cupel: Cupel, by: Writer, id: int) -> views.ChangeView:
    return await _after(cupel, cupel.commands.withdraw(id, user=by.user))


@router.post("/{id}/land", operation_id="change_land", summary="Ask to land a change")
async def land(cupel: Cupel, by: Writer, id: int) -> views.ChangeView:
    return await _after(cupel, cupel.commands.land(id, user=by.user))


@router.post("/promote", operation_id="change_promote", summary="Put changes first in their queue")
async def promote(
    cupel: Cupel, admin: Administrator, request: PromotionRequest
) -> list[views.ChangeRef]:
    changes = await cupel.commands.promote(request.changes, user=admin.user)
    async with cupel.store.read() as tx:
        return [await views.change_view(tx, each.id, now=cupel.clock()) for each in changes]


@router.post("/{id}/urgent", operation_id="change_urgent", summary="Send a change to the front")
async def urgent(
    cupel: Cupel, admin: Administrator, id: int, request: UrgencyRequest | None = None
) -> views.ChangeView:
    on = request is None or request.urgent
    return await _after(cupel, cupel.commands.set_urgent(id, urgent=on, user=admin.user))


@router.post("/{id}/dequeue", operation_id="change_dequeue", summary="Take it out of the gate")
async def dequeue(cupel: Cupel, by: Writer, id: int) -> views.ChangeView:
    return await _after(cupel, cupel.commands.dequeue(id, user=by.user))


@router.post(
    "/{id}/retry",
    operation_id="change_retry",
    summary="Run again what failed of a change",
    description="On the same state, with the same jobs, in the pipeline that ran last. A change"
    " that has left the gate enters it again with the same patch set.",
)
async def retry(
    cupel: Cupel, by: Writer, id: int, request: RetryRequest | None = None
) -> views.ChangeView:
    everything = request is not None and request.all
    asked = cupel.commands.retry_change(id, everything=everything, user=by.user)
    return await _after(cupel, asked)


@router.post("/{id}/abandon", operation_id="change_abandon", summary="Abandon a change")
async def abandon(cupel: Cupel, by: Writer, id: int) -> views.ChangeView:
    return await _after(cupel, cupel.commands.abandon(id, user=by.user))


async def _after(cupel: Context, asked: Awaitable[Change]) -> views.ChangeView:
    """The change as it stands when the request has been recorded."""
    change = await asked
    async with cupel.store.read() as tx:
        return await views.change_view(tx, change.id, now=cupel.clock())
