"""What others are told: of an event, of each job of an item; and how the telling went."""

from __future__ import annotations

from typing import Literal

from cupel.control.views import item as items
from cupel.control.views import lane, lookup
from cupel.control.views.nouns.item import ItemView, JobView
from cupel.control.views.nouns.notice import (
    VERSION,
    AttemptAtView,
    DeliveryRef,
    DeliveryView,
    NoticeChangeView,
    NoticeItemView,
    NoticeView,
    ReportView,
)
from cupel.control.views.nouns.view import Page
from cupel.core.model import Build, Change, Event, Item, ItemState, Project, Verdict
from cupel.core.notice import Delivery
from cupel.errors import NotFound
from cupel.report import messages
from cupel.store.interface import Transaction

State = Literal["pending", "success", "failure", "error", "skipped"]

LONGEST_DESCRIPTION = 500

_BY_VERDICT: dict[Verdict, State] = {
    Verdict.SUCCESS: "success",
    Verdict.FAILURE: "failure",
    Verdict.TIMEOUT: "failure",
    Verdict.INFRA: "error",
    Verdict.CANCELLED: "skipped",
    Verdict.SKIPPED: "skipped",
}
_BY_ITEM: dict[ItemState, State] = {
    ItemState.LIVE: "pending",
    ItemState.LANDING: "pending",
    ItemState.LANDED: "success",
    ItemState.PASSED: "success",
    ItemState.REJECTED: "failure",
    ItemState.REMOVED: "skipped",
}


def context(pipeline: str, job: str | None = None) -> str:
    """The name under which a job of a pipeline, or the pipeline, is reported. It never changes."""
    return f"cupel/{pipeline}" if job is None else f"cupel/{pipeline}/{job}"


def reports(item: ItemView, url: str) -> list[ReportView]:
    """How an item and each of its jobs stand; also those that were never begun, with the reason."""
    page = f"{url}/changes/{item.change}" if item.change is not None else f"{url}/"
    whole = ReportView(
        context=context(item.pipeline),
        state=_BY_ITEM[item.state],
        description=_cut(item.text or item.waiting or item.status),
        required=item.state is not ItemState.REMOVED,
        commit=item.commit,
        url=page,
    )
    return [whole, *(_report(item, job, page, url) for job in item.jobs)]


def _report(item: ItemView, job: JobView, page: str, url: str) -> ReportView:
    over = item.finished_at is not None
    state: State = "skipped" if over else "pending"
    if job.verdict is not None:
        state = _BY_VERDICT[job.verdict]
    return ReportView(
        context=context(item.pipeline, job.name),
        state=state,
        description=_cut(_described(item, job)),
        required=job.voting,
        commit=item.commit,
        build=job.build,
        url=page if job.build is None else f"{url}/builds/{job.build}",
    )


def _described(item: ItemView, job: JobView) -> str:
    if job.verdict is not None:
        return f"{job.icon}: {job.reason}" if job.reason else job.icon
    if item.finished_at is None:
        return job.waiting or job.state
    passed = {each.name for each in item.jobs if each.verdict is Verdict.SUCCESS}
    return messages.never_began([n for n in job.needs if n not in passed], item.text or item.status)


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_DESCRIPTION else f"{line[: LONGEST_DESCRIPTION - 1]}…"


async def item_view(tx: Transaction, item: Item, *, now: float) -> ItemView:
    """One item with its jobs, by itself."""
    rows = await items.rows_of(tx, [item], now)
    return items.item_views(rows, [item], lane.Survey(), now)[0]


async def notice_view(
    tx: Transaction, event: Event, key: str, *, url: str, now: float
) -> NoticeView:
    """An event, with what it concerns as it stands now."""
    projects = await lookup.by_id(tx, Project, [event.project_id])
    change = await _change(tx, event)
    item = None if event.item_id is None else await tx.get(Item, event.item_id)
    shown = None if item is None else await item_view(tx, item, now=now)
    told = [] if shown is None else reports(shown, url)
    build = None if event.build_id is None else await tx.get(Build, event.build_id)
    if build is not None and shown is not None:
        told = [each for each in told if each.context == context(shown.pipeline, build.job)]
    branch = shown.branch if shown is not None else change.branch if change is not None else None
    return NoticeView(
        version=VERSION,
        id=key,
        event=event.kind,
        at=event.at,
        text=event.text,
        user=event.user,
        url=_page(event, change, url),
        project=projects[event.project_id].name if event.project_id in projects else None,
        branch=branch,
        change=None if change is None else _change_view(change, url),
        item=None if shown is None else _item_view(shown),
        build=event.build_id,
        reports=told,
        errors=[],
    )


async def _change(tx: Transaction, event: Event) -> Change | None:
    number = event.change_id
    if number is None and event.item_id is not None:
        item = await tx.get(Item, event.item_id)
        number = None if item is None else item.change_id
    return None if number is None else await tx.get(Change, number)


def _page(event: Event, change: Change | None, url: str) -> str:
    if event.build_id is not None:
        return f"{url}/builds/{event.build_id}"
    return f"{url}/" if change is None else f"{url}/changes/{change.id}"


def _change_view(change: Change, url: str) -> NoticeChangeView:
    return NoticeChangeView(
        id=change.id,
        title=change.title,
        author=change.author,
        owner=change.owner,
        topic=change.topic,
        patch_set=change.patch_set,
        state=change.state,
        landed_commit=change.landed_commit,
        url=f"{url}/changes/{change.id}",
    )


def _item_view(item: ItemView) -> NoticeItemView:
    return NoticeItemView(
        id=item.id,
        pipeline=item.pipeline,
        state=item.state,
        status=item.status,
        reason=item.reason,
        text=item.text,
        commit=item.commit,
        proved=None if item.proof is None else item.proof.commit,
    )


async def delivery_list(
    tx: Transaction, receiver: str, *, limit: int = 50, before: int | None = None
) -> Page[DeliveryRef]:
    """What a receiver was and is to be told, newest first."""
    where = {"receiver": receiver}
    rows = await tx.select(Delivery, where, descending=True, limit=limit + 1, before=before)
    return Page(
        entries=[_ref(row) for row in rows[:limit]],
        next=rows[limit - 1].id if len(rows) > limit else None,
    )


async def delivery_view(tx: Transaction, id: int) -> DeliveryView:
    """One delivery. Raises NotFound."""
    row = await tx.get(Delivery, id)
    if row is None:
        raise NotFound(
            f"there is no delivery {id}", hint="`cupel webhook deliveries NAME` has them"
        )
    return DeliveryView(
        **dict(_ref(row)),
        body=row.body,
        attempts=[
            AttemptAtView(
                at=each.at,
                seconds=each.seconds,
                status=each.status,
                error=each.error,
                response=each.response,
            )
            for each in row.attempts
        ],
    )


def _ref(row: Delivery) -> DeliveryRef:
    last = row.attempts[-1] if row.attempts else None
    return DeliveryRef(
        id=row.id,
        key=row.key,
        receiver=row.receiver,
        event=row.event,
        change=row.change_id,
        address=row.address or None,
        state=row.state,
        tried=row.tried,
        status=None if last is None else last.status,
        error=None if last is None else last.error,
        seconds=None if last is None else last.seconds,
        created_at=row.created_at,
        due_at=row.due_at,
        finished_at=row.finished_at,
    )
