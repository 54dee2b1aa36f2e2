"""What others are told of, and how that went."""

from __future__ import annotations

from typing import Literal

from cupel.control.views.nouns.view import View
from cupel.core.model import ChangeState, ItemState, Pipeline, Reason
from cupel.core.notice import DeliveryState

VERSION: Literal[1] = 1
"""That of `NoticeView`: it grows when a member changes its meaning or goes; new ones may come."""


class ReportView(View):
    """How one job of an item stands, or its pipeline as a whole: for statuses of commits elsewhere.

    `context` is `cupel/PIPELINE/JOB`, or `cupel/PIPELINE`, the same in all times to come. `state`
    is pending, success, failure (the change's), error (ours) or skipped; `description` says why.
    Every job of the pipeline has one, also what was never begun. One that is not `required` decides
    nothing.
    """

    context: str
    state: Literal["pending", "success", "failure", "error", "skipped"]
    description: str
    required: bool
    commit: str
    build: int | None = None
    url: str


class NoticeChangeView(View):
    id: int
    title: str
    author: str
    owner: str
    topic: str | None
    patch_set: int
    state: ChangeState
    landed_commit: str | None
    url: str


class NoticeItemView(View):
    """`proved` is the commit of the state that it was proved on last."""

    id: int
    pipeline: Pipeline
    state: ItemState
    status: str
    reason: Reason | None
    text: str | None
    commit: str
    proved: str | None


class NoticeView(View):
    """What a webhook is sent: an event, and what it concerns as it stood when that was recorded.

    `id` is the same however often it is sent. `errors` are the first lines that say what failed.
    """

    version: Literal[1]
    id: str
    event: str
    at: float
    text: str
    user: str | None
    url: str
    project: str | None
    branch: str | None
    change: NoticeChangeView | None
    item: NoticeItemView | None
    build: int | None
    reports: list[ReportView]
    errors: list[str]


class ReceiverView(View):
    """Who is told what happens. `to` is a webhook's address, or the mail server.

    `failures` is how often in a row it did not answer, from `failing_since` on; it is left alone
    until `retry_at`. `pending` deliveries wait.
    """

    name: str
    kind: Literal["webhook", "mail"]
    to: str
    events: list[str]
    projects: list[str]
    pending: int
    failures: int
    failing_since: float | None
    retry_at: float | None
    delivered_at: float | None


class AttemptAtView(View):
    """One try at a delivery: `status` is HTTP's or SMTP's answer, `error` why it failed."""

    at: float
    seconds: float
    status: int | None
    error: str | None
    response: str


class DeliveryRef(View):
    """A delivery in one line; `error` is that of the last attempt, `tried` how many there were."""

    id: int
    key: str
    receiver: str
    event: str
    change: int | None
    address: str | None
    state: DeliveryState
    tried: int
    status: int | None
    error: str | None
    seconds: float | None
    created_at: float
    due_at: float
    finished_at: float | None


class DeliveryView(DeliveryRef):
    """All of a delivery: the last attempts, oldest first, and the body that is sent."""

    attempts: list[AttemptAtView]
    body: str


BranchState = Literal["passing", "failing", "unproved", "unborn"]


class BranchStatusView(View):
    """How a branch stands: `passing` if what it points to was proved and nothing failed since.

    `state` is passing, failing (a job after landing failed), unproved (it was moved around the
    gate, or never landed on) or unborn. `closed` is why nothing may land.
    """

    project: str
    branch: str
    state: BranchState
    commit: str | None
    change: int | None
    landed_at: float | None
    queued: int
    closed: str | None
    reports: list[ReportView]
