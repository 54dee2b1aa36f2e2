"""What the API, `--json` and the pages show, under one set of names.

Times are seconds since the epoch (UTC), durations are seconds, sizes are bytes. A `text` or
`waiting` is a sentence for people; a `reason` is a code for programs.
"""

from __future__ import annotations

from typing import Generic, TypeVar

import pydantic

from cupel.core.model import (
    BuildsetState,
    BuildState,
    ChangeState,
    HostState,
    ItemState,
    Landing,
    MachineState,
    MergeMethod,
    Pipeline,
    Reason,
    Role,
    Verdict,
)

T = TypeVar("T")


class View(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True)


class Page(View, Generic[T]):
    """A part of a list, newest first. `next` is the `before` of the page that follows."""

    entries: list[T]
    next: int | None = None


class UsageView(View):
    cpu_seconds: float | None = None
    memory_peak: int | None = None


class JobView(View):
    """A job of an item, and its newest build: `state` is waiting while there is none.

    When the item has ended without one, it is skipped.
    `icon` is the one word that sums it up: a verdict if there is one, else the state; a pass that
    was not run again is reused. `failures` are those of earlier attempts on the same state.
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
    landing, landed, rejected, removed. `seconds` is from entering to the end, or to now.
    """

    id: int
    pipeline: Pipeline
    project: str
    branch: str
    change: int | None
    patch_set: int | None
    title: str
    author: str
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
    enqueued_at: float
    finished_at: float | None
    seconds: float


class RulesView(View):
    """The rules of a queue, and the projects that share it. `closed` is why nothing lands.

    `window` is how many items may be under way now, between `window_floor` and `window_ceiling`;
    null is any number.
    """

    name: str
    landing: Landing
    planner: str
    window: int | None
    window_floor: int
    window_ceiling: int | None
    cycles: bool
    closed: str | None
    closed_by: str | None
    projects: list[str]


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


class KeptOutView(View):
    """A change that is to land and cannot enter the gate yet, and why."""

    change: ChangeRef
    text: str


class QueueView(View):
    """What goes on in a queue for one branch, of all projects that share it.

    `gate` is in landing order; `recent` left it, newest first; `kept_out` wait to enter it. `heads`
    are the branch in each project.
    """

    name: str
    branch: str
    rules: RulesView
    heads: list[HeadView]
    gate: list[ItemView]
    check: list[ItemView]
    post: list[ItemView]
    recent: list[ItemView]
    kept_out: list[KeptOutView]


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


class AttemptView(View):
    """A build in one line. One that was not run since its pass was known has `reused_from`.

    A pass has `flaked` if the job had failed on the same before: the same state, or another one
    where all that it depends on is the same.
    """

    id: int
    job: str
    attempt: int
    voting: bool
    state: BuildState
    verdict: Verdict | None
    icon: str
    reason: str | None
    machine: int | None
    queued_at: float
    started_at: float | None
    finished_at: float | None
    seconds: float | None
    reused_from: int | None = None
    flaked: bool = False


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
    thing about these that keeps it out of the gate.
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


class StepView(View):
    """A step; `state` is waiting, running, success, failure or killed, `run` its script."""

    number: int
    name: str
    run: str
    state: str
    exit_status: int | None
    started_at: float | None
    finished_at: float | None
    seconds: float | None
    usage: UsageView


class NeedView(View):
    """A job whose artefacts a build gets, and the build that left them."""

    job: str
    build: int | None


class ArtefactView(View):
    id: int
    path: str
    size: int
    sha256: str
    created_at: float


class BuildRef(AttemptView):
    """A build in one line, away from its change. `waited` is the time it spent queued."""

    project: str
    pipeline: Pipeline
    change: int | None
    patch_set: int | None
    title: str
    label: str
    waited: float


class MachineRef(View):
    id: int
    state: MachineState
    host: str
    image: str | None
    detail: str | None


class ReusedView(View):
    """The build whose pass stands for one that was not run; its log and artefacts are there.

    `seconds` is how long it ran, and so what was saved.
    """

    build: int
    change: int | None
    title: str
    commit: str | None
    finished_at: float | None
    seconds: float | None


class BuildView(BuildRef):
    """All of a build; `log_lines` is None if not asked for.

    `key` names all that its verdict depends on; builds with the same key are the same question.
    `refuted_by` is the build of an audit that failed where this one, or `reused`, had passed.
    `machines` are the names of those of a job that has several, its own first. `waiting` is why a
    queued one has no machine yet.
    """

    branch: str
    item: int
    buildset: int
    current: bool
    onto: str | None
    commit: str | None
    tree: str | None
    cell: dict[str, str]
    env: dict[str, str]
    inputs: list[str]
    timeout: float | None
    steps: list[StepView]
    usage: UsageView
    on: MachineRef | None
    machines: list[str]
    needs: list[NeedView]
    attempts: list[AttemptView]
    artefacts: list[ArtefactView]
    log_lines: int | None
    notice: str | None
    key: str | None = None
    reused: ReusedView | None = None
    refuted_by: int | None = None
    waiting: str | None = None


class MachineView(View):
    """`boot_seconds` is from the decision to make it until it was ready."""

    id: int
    label: str
    image: str | None
    host: str
    state: MachineState
    detail: str | None
    build: int | None
    job: str | None
    project: str | None
    change: int | None
    created_at: float
    ready_at: float | None
    gone_at: float | None
    boot_seconds: float | None
    seconds: float
    used_at: float | None = None


class PoolView(View):
    """How many machines of a label there are and are to be, by state.

    `target` is how many are wanted that nobody uses, and `why` says so in words: `ready` are kept
    idle, `queued` builds wait, and `expected` is what the recent rate of builds asks for. `waits`
    are the seconds that builds of the last day waited for a machine, at the 50th, 90th and 99th
    percentile (None: there were no builds). `image_seconds` is since when machines have `image`.
    """

    label: str
    ready: int
    ceiling: int | None
    quota: int | None
    idle: float
    target: int
    expected: int
    queued: int
    why: str
    counts: dict[MachineState, int]
    boot_seconds: float | None
    waits: tuple[float, float, float] | None
    image: str | None
    image_seconds: float | None


class ImageView(View):
    """What machines are made of. `state` is building, ready, failed or retired.

    While it is building or failed, machines are made of `digest` if there is one; `proved`: a build
    on it has ended by itself. `previous` is what a roll-back uses; `rejected` was given up because
    the first builds on it were lost. `built_at`, `seconds`, `size`, `packages` (how many) and
    `tests` (that it passed) are those of `digest`, `error` and `hint` of the last build if that
    failed. `refresh` is how old it may become, in seconds.
    """

    name: str | None
    state: str
    digest: str | None
    previous: str | None
    rejected: str | None
    proved: bool
    definition: str
    built_at: float | None
    seconds: float | None
    size: int | None
    packages: int | None
    tests: list[str]
    refresh: float | None
    error: str | None
    hint: str | None


class PackageChangeView(View):
    """A package of two images, with its version in each; null where it is not."""

    name: str
    old: str | None
    new: str | None


class FileChangeView(View):
    """A file of two images; `change` is added, removed or changed."""

    path: str
    change: str


class ImageDifferenceView(View):
    """What differs between the images of two digests."""

    old: str
    new: str
    packages: list[PackageChangeView]
    files: list[FileChangeView]


class HostView(View):
    """A computer that makes machines: `used` of its `slots`; no labels means any label.

    `strikes` are the builds in a row that it failed within seconds. With too many it gets none
    until `quarantined_until`, and then one at a time until one ends well; `waiting` says so.
    """

    id: int
    name: str
    state: HostState
    slots: int
    used: int
    labels: list[str]
    detail: str | None
    last_seen: float
    strikes: int
    quarantined_until: float | None
    waiting: str | None
    machines: list[MachineView]
    draining: bool = False
    refuses: str | None = None


class EventView(View):
    id: int
    at: float
    kind: str
    project: str | None
    change: int | None
    item: int | None
    build: int | None
    machine: int | None
    user: str | None
    text: str
