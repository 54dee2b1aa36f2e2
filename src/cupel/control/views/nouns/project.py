"""Projects, and how much there is of everything."""

from __future__ import annotations

from cupel.control.views.nouns.view import View
from cupel.core.model import MergeMethod


class HeadView(View):
    project: str
    head: str | None


class BranchView(View):
    name: str
    head: str | None


class PolicyView(View):
    approvals: int
    self_approval: bool
    attempts: int
    merge: MergeMethod
    keep_check: bool


class ProjectView(View):
    """A guarded repository; the first branch is the default. `git_url` is its remote."""

    id: int
    name: str
    queue: str
    branches: list[BranchView]
    policy: PolicyView
    git_url: str
    open_changes: int
    queue_length: int
    created_at: float


class CountsView(View):
    """How much there is of what is alive."""

    changes_open: int
    items_live: int
    queue_length: int
    builds_queued: int
    builds_running: int
    machines: int
    hosts_connected: int
    slots: int


class StatusView(View):
    version: str
    url: str
    now: float
    counts: CountsView
    projects: list[ProjectView]
