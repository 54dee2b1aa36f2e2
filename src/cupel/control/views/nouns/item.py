"""A change's place in a queue."""

from __future__ import annotations

from cupel.control.views.nouns.estimate import ItemEstimateView, JobEstimateView
from cupel.control.views.nouns.view import View
from cupel.core.model import BuildsetState, ItemState, Pipeline, Reason, Verdict


class ReusedJobView(View):
    """The build whose pass stands for one that was not run, and its change."""

    build: int
    change: int | None


class JobView(View):
    """A job of an item, and its newest build: `state` is waiting while there is none.

    When the item has ended without one, it is skipped.
    `icon` is the one word that sums it up: a verdict if there is one, else the state; a pass that
    was not run again is reused. `failures` are those of earlier attempts on the same state.
    `estimate` is null of what has ended, and where nothing is known.
    """

    name: str
    base: str
    label: str
    cell: dict[str, str]
    needs: list[str]
    voting: bool
    state: str
    verdict: Verdict | None = None
    icon: str
    build: int | None = None
    attempt: int | None = None
    failures: int = 0
    reason: str | None = None
    waiting: str | None = None
    reused: ReusedJobView | None = None
    estimate: JobEstimateView | None = None
    queued_at: float | None = None
    started_at: float | None = None
    finished_at: float | None = None
    seconds: float | None = None


class ProofView(View):
    """The speculative state that an item is proved on: `onto`, the item ahead, then the item.

    `ahead` are the changes between the head of the branch and this one, in landing order: the
    nearest ten of `ahead_count`.
    """

    buildset: int
    number: int
    state: BuildsetState
    onto: str | None
    commit: str | None
    tree: str | None
    ahead: list[int]
    ahead_count: int
    detail: str | None
    notice: str | None


class AlternativeView(View):
    """Another speculative state that an item is proved on at the same time.

    `without` are the changes ahead that it lacks, compared to the one that the item is expected to
    land on, `besides` those that it has more. A `base` is the state without the item itself.
    """

    buildset: int
    status: str
    base: bool
    without: list[int]
    besides: list[int]
    text: str


class ItemView(View):
    """A change's place in a pipeline. `status` is the one word that sums it up.

    `status` is one of waiting, preparing, running, passed, failed, conflict, misconfigured,
    landing, landed, rejected, removed. `seconds` is from entering to the end, or to now. `needs`
    are the changes that it needs, of any project; those `together` with it need each other in a
    circle, and land as one. Only items of a gate that go on have an
    `estimate`, and those only in the view of their queue.
    """

    id: int
    pipeline: Pipeline
    project: str
    branch: str
    change: int | None
    patch_set: int | None
    title: str
    author: str
    topic: str | None
    needs: list[int]
    together: list[int]
    commit: str
    position: int
    state: ItemState
    status: str
    waiting: str | None
    reason: Reason | None
    text: str | None
    urgent: bool
    lands_with: int | None
    proof: ProofView | None
    also: list[AlternativeView]
    jobs: list[JobView]
    estimate: ItemEstimateView | None = None
    enqueued_at: float
    finished_at: float | None
    seconds: float
