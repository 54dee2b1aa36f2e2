"""A change with all that was tried for it."""

from __future__ import annotations

from cupel.control.views.nouns.build import AttemptView
from cupel.control.views.nouns.cause import CauseView
from cupel.control.views.nouns.item import ItemView
from cupel.control.views.nouns.view import View
from cupel.core.model import BuildsetState, ChangeState, Role


class ChangeRef(View):
    """A change in one line."""

    id: int
    project: str
    branch: str
    title: str
    author: str
    topic: str | None
    state: ChangeState
    patch_set: int
    wants_land: bool
    urgent: bool
    created_at: float
    updated_at: float


class PatchSetView(View):
    number: int
    commit: str
    tree: str
    parent: str | None
    needs_change: int | None
    depends_on: list[int]
    files: int
    lines: int
    pushed_by: str
    created_at: float


class ApprovalView(View):
    """`counts` is whether it stands for the newest patch set under the project's policy."""

    user: str
    patch_set: int
    created_at: float
    withdrawn_at: float | None
    counts: bool


class BuildsetView(View):
    """One speculative state of an item, with every attempt at its jobs.

    One whose `role` is base is the branch without the item, where a job that failed is tried.
    """

    id: int
    number: int
    state: BuildsetState
    role: Role
    current: bool
    onto: str | None
    commit: str | None
    tree: str | None
    detail: str | None
    notice: str | None
    builds: list[AttemptView]
    created_at: float
    finished_at: float | None


class HistoryView(View):
    """An item with all that was tried for it, newest buildset first."""

    item: ItemView
    buildsets: list[BuildsetView]


class ChangeView(ChangeRef):
    """All of a change. `waiting` says what an open one waits for; `text` why it left the gate.

    `needs` are the change below and those of `Depends-On`, of any project; `kept_out` is each
    thing about these that keeps it out of the gate. `causes` are why builds of its newest item
    that has ended badly, or that goes on, did not pass.
    """

    key: str
    description: str
    owner: str
    commit: str
    landed_commit: str | None
    approvals: list[ApprovalView]
    approvals_given: int
    approvals_needed: int
    needs: list[ChangeRef]
    needed_by: list[ChangeRef]
    patch_sets: list[PatchSetView]
    items: list[HistoryView]
    waiting: str | None
    kept_out: list[str]
    text: str | None
    causes: list[CauseView]
