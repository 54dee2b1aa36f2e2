"""The nouns of Cupel as values.

Every class here is a row: frozen, keyed by `id`, and stored as it stands. Times are seconds since
the epoch (UTC) as floats, durations are seconds. A new version of a row is made with
`dataclasses.replace`. Lifecycles are tables in `lifecycle.py`.
"""

from __future__ import annotations

import dataclasses
import enum


class ChangeState(enum.StrEnum):
    OPEN = "open"
    LANDED = "landed"
    ABANDONED = "abandoned"


class Pipeline(enum.StrEnum):
    CHECK = "check"
    GATE = "gate"
    POST = "post"


class ItemState(enum.StrEnum):
    LIVE = "live"
    LANDING = "landing"
    LANDED = "landed"
    PASSED = "passed"
    REJECTED = "rejected"
    REMOVED = "removed"


class BuildsetState(enum.StrEnum):
    PREPARING = "preparing"
    READY = "ready"
    CONFLICT = "conflict"
    MISCONFIGURED = "misconfigured"
    SUPERSEDED = "superseded"


class BuildState(enum.StrEnum):
    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    CANCELLING = "cancelling"
    FINISHED = "finished"


class Verdict(enum.StrEnum):
    SUCCESS = "success"
    FAILURE = "failure"
    TIMEOUT = "timeout"
    INFRA = "infra"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"


class MachineState(enum.StrEnum):
    NEW = "new"
    BUILDING = "building"
    READY = "ready"
    USED = "used"
    HELD = "held"
    ERROR = "error"
    DELETING = "deleting"
    GONE = "gone"


class HostState(enum.StrEnum):
    CONNECTED = "connected"
    LOST = "lost"


class Reason(enum.StrEnum):
    """Why an item left its pipeline without landing or passing; `report.messages` words it."""

    BUILD_FAILED = "build-failed"
    CONFLICT = "conflict"
    MISCONFIGURED = "misconfigured"
    INFRASTRUCTURE = "infrastructure"
    NEEDS_LEFT = "needs-left"
    NEW_PATCH_SET = "new-patch-set"
    ABANDONED = "abandoned"
    DEQUEUED = "dequeued"
    UNAPPROVED = "unapproved"
    ENTERED_GATE = "entered-gate"


LIVE_ITEMS = frozenset({ItemState.LIVE, ItemState.LANDING})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a project asks of a change before and while it is in the gate."""

    approvals: int = 1
    self_approval: bool = True
    attempts: int = 3
    """How often a build may be tried when the infrastructure fails it."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A git repository that Cupel guards; the first of its guarded `branches` is the default."""

    id: int
    name: str
    branches: tuple[str, ...]
    policy: Policy
    created_at: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """The head of a guarded branch as last seen; `head` is None while the branch is unborn."""

    id: int
    project_id: int
    name: str
    head: str | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A commit proposed for a branch.

    `key` identifies it across pushes: its `Change-Id`, or one derived from author and topic or
    subject. `patch_set` is the number of the newest one. `wants_land` is a standing request to
    enter the gate; it falls when the change leaves the gate without landing, and with a new
    patch set. `land_asked_at` orders such requests.
    """

    id: int
    project_id: int
    branch: str
    key: str
    topic: str | None
    title: str
    description: str
    author: str
    owner: str
    state: ChangeState
    patch_set: int
    wants_land: bool
    land_asked_at: float | None
    landed_commit: str | None
    created_at: float
    updated_at: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PatchSet:
    """One version of a change. `needs_change` is the change of its parent commit in the stack."""

    id: int
    change_id: int
    number: int
    commit: str
    tree: str
    parent: str | None
    needs_change: int | None
    pushed_by: str
    created_at: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    id: int
    change_id: int
    patch_set: int
    user: str
    created_at: float
    withdrawn_at: float | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A change's place in a pipeline; in `post`, a landed commit's place (`change_id` may be None).

    `position` orders a queue. `buildset_id` is the current one; older ones keep their `item_id`.
    `reason` says why it left without landing or passing, `detail` is the free text with it.
    """

    id: int
    pipeline: Pipeline
    project_id: int
    branch: str
    change_id: int | None
    patch_set: int | None
    commit: str
    state: ItemState
    position: int
    buildset_id: int | None
    enqueued_at: float
    finished_at: float | None = None
    reason: Reason | None = None
    detail: str | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A shell script that a build runs; `name` is shown, `run` is the script."""

    name: str
    run: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job as frozen for a buildset: everything inherited, expanded and resolved.

    `name` is unique in the buildset; a matrix cell's is `base (key=value, …)`. `needs` are names of
    jobs in the same buildset. `inputs` are gitignore-style patterns; empty means everything.
    """

    name: str
    base: str
    label: str
    steps: tuple[Step, ...]
    env: tuple[tuple[str, str], ...] = ()
    inputs: tuple[str, ...] = ()
    timeout: float = 1800.0
    needs: tuple[str, ...] = ()
    voting: bool = True
    cell: tuple[tuple[str, str], ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Buildset:
    """The builds of one item on one speculative state.

    `onto` is the commit that the item's own commit is merged onto (None: nothing, the commit
    itself is proved). `commit` and `tree` are the merged result, known from READY on. `detail` is
    the text of a conflict or of a configuration error.
    """

    id: int
    item_id: int
    number: int
    onto: str | None
    state: BuildsetState
    commit: str | None
    tree: str | None
    jobs: tuple[Job, ...]
    detail: str | None
    notice: str | None
    """What the user should be told of a good configuration, such as what was detected."""
    created_at: float
    finished_at: float | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a step or build used: seconds of cpu, bytes of memory at the peak (None: not known)."""

    cpu_seconds: float | None = None
    memory_peak: int | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """How a step went. `exit_status` is None while it runs, or when its machine was killed."""

    name: str
    started_at: float
    finished_at: float | None
    exit_status: int | None
    usage: Usage = Usage()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """One attempt at one job for one item. `machine_id` also fences its results."""

    id: int
    buildset_id: int
    item_id: int
    project_id: int
    pipeline: Pipeline
    job: str
    label: str
    attempt: int
    voting: bool
    state: BuildState
    verdict: Verdict | None
    reason: str | None
    machine_id: int | None
    steps: tuple[StepResult, ...]
    usage: Usage
    queued_at: float
    started_at: float | None = None
    finished_at: float | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One single-use machine. Its id is never given to another, so it fences what it reports."""

    id: int
    label: str
    image: str | None
    """The digest of its image, once the host has said it."""
    host_id: int
    build_id: int | None
    state: MachineState
    detail: str | None
    created_at: float
    ready_at: float | None = None
    gone_at: float | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A computer that makes machines: at most `slots` at a time, of the labels that it knows."""

    id: int
    name: str
    slots: int
    labels: tuple[str, ...]
    state: HostState
    detail: str | None
    last_seen: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A bearer token, stored as a SHA-256 of its secret. `scopes` ⊆ {read, write, admin, host}.

    `once` marks a login link's token, which `used_at` ends.
    """

    id: int
    user: str
    digest: str
    scopes: tuple[str, ...]
    name: str
    once: bool
    created_at: float
    expires_at: float | None = None
    used_at: float | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Artefact:
    """A file that a build left: `path` relative to $CUPEL_ARTIFACTS, `size` in bytes."""

    id: int
    build_id: int
    path: str
    size: int
    sha256: str
    created_at: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened: append-only, for audit, timeline and live pages.

    `kind` is one of `events.KINDS`; the ids say what it concerns; `text` is for people.
    """

    id: int
    at: float
    kind: str
    project_id: int | None = None
    change_id: int | None = None
    item_id: int | None = None
    build_id: int | None = None
    machine_id: int | None = None
    user: str | None = None
    text: str = ""


Row = (
    Project
    | Branch
    | Change
    | PatchSet
    | Approval
    | Item
    | Buildset
    | Build
    | Machine
    | Host
    | Token
    | Artefact
    | Event
)
"""Anything that the store keeps."""
