"""The nouns of Cupel as values.

Every class here is a row: frozen, keyed by `id`, and stored as it stands. Times are seconds since
the epoch (UTC) as floats, durations are seconds. A new version of a row is made with
`dataclasses.replace`. Lifecycles are tables in `lifecycle.py`.
"""

from __future__ import annotations

import dataclasses
import enum

from cupel.core.cache import Cache, CacheUse
from cupel.core.flake import Flake
from cupel.core.hold import Hold
from cupel.core.job import Boot as Boot
from cupel.core.job import Job as Job
from cupel.core.job import Link as Link
from cupel.core.job import Part as Part
from cupel.core.job import Pipeline as Pipeline
from cupel.core.job import Service as Service
from cupel.core.job import Step as Step
from cupel.core.notice import Delivery, Receiver
from cupel.core.offer import Offer
from cupel.core.quarantine import Quarantine
from cupel.core.results import FailedTest, Results


class ChangeState(enum.StrEnum):
    OPEN = "open"
    LANDED = "landed"
    ABANDONED = "abandoned"


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
    FORGOTTEN = "forgotten"
    """Lost, and nobody waits for it; it is known again when it connects."""


class Landing(enum.StrEnum):
    """What a landed commit had to pass: its own builds, or those of a state that contains it."""

    STRICT = "strict"
    SET = "set"


class MergeMethod(enum.StrEnum):
    """How a change's commit becomes part of the branch."""

    MERGE = "merge"
    REBASE = "rebase"
    SQUASH = "squash"
    FAST_FORWARD = "fast-forward"


class Role(enum.StrEnum):
    """What a buildset's state is for: to prove the item, or to see how it goes without the item."""

    PROOF = "proof"
    BASE = "base"


class Purpose(enum.StrEnum):
    """Why a build was made: `retry` after the infrastructure failed, `rerun` after a failure,
    `asked` because somebody wanted it once more."""

    FIRST = "first"
    RETRY = "retry"
    RERUN = "rerun"
    AUDIT = "audit"
    ASKED = "asked"


class Reason(enum.StrEnum):
    """Why an item left its pipeline without landing or passing; `report.messages` words it."""

    BUILD_FAILED = "build-failed"
    TIMED_OUT = "timed-out"
    CONFLICT = "conflict"
    MISCONFIGURED = "misconfigured"
    INFRASTRUCTURE = "infrastructure"
    CYCLE = "cycle"
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
    """How often a build may be tried when the infrastructure fails it, or it takes too long."""
    merge: MergeMethod = MergeMethod.MERGE
    keep_check: bool = False
    """Whether a change's check goes on after the change has entered the gate."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """A gate's rules, for all branches of the projects that share it. Named like its only project
    unless it was made to be shared.

    `window` is how many items may be under way now (None: any number). It grows by one with each
    landing up to `window_ceiling`, is halved by a rejection, and never falls below `window_floor`.
    `closed` is why nothing may land for now. `planner` names the policy (`speculation.POLICIES`).
    """

    id: int
    name: str
    landing: Landing = Landing.STRICT
    planner: str = "expected-value"
    window: int | None = None
    window_floor: int = 3
    window_ceiling: int | None = None
    cycles: bool = False
    closed: str | None = None
    closed_by: str | None = None
    created_at: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A git repository that Cupel guards; the first of its guarded `branches` is the default."""

    id: int
    name: str
    queue_id: int
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
    patch set. `land_asked_at` orders such requests. An `urgent` change, such as one that repairs
    the branch, goes to the front of its queue. One that goes through the gate `anew` reuses no
    pass on its way.
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
    urgent: bool = False
    anew: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PatchSet:
    """One version of a change. `needs_change` is the change of its parent commit in the stack.

    `depends_on` are the changes that its `Depends-On` trailers name, in any project. `files` and
    `lines` say how much it changes.
    """

    id: int
    change_id: int
    number: int
    commit: str
    tree: str
    parent: str | None
    needs_change: int | None
    pushed_by: str
    created_at: float
    depends_on: tuple[int, ...] = ()
    files: int = 0
    lines: int = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    id: int
    change_id: int
    patch_set: int
    user: str
    created_at: float
    withdrawn_at: float | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Conviction:
    """What an item was rejected for: the builds in which it failed a job, the last one last.

    `witness` is a build of the same job without the item that passed since, or that got further.
    There is none of a job that is `new`: the branch does not have it.
    """

    job: str
    failures: tuple[int, ...]
    witness: int | None = None
    new: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A change's place in a pipeline; in `post`, a landed commit's place (`change_id` may be None).

    `position` orders a queue. `buildset_id` is the state that it is expected to land on; others
    have its id as `item_id` too, proved beside it or earlier. Items that land with one move of
    their branches have the same `lands_with`: the id of the last of them. `reason` says why it
    left without landing or passing, `detail` is the free text with it; `wait` says what a live one
    waits for.
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
    lands_with: int | None = None
    wait: str | None = None
    conviction: Conviction | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """Somebody wanted a job once more: its builds up to the id `after` do not count any more.

    `image` is the digest of the one that it had, and has again; empty where it had none.
    """

    job: str
    after: int
    image: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Buildset:
    """The builds of one item on one speculative state.

    `onto` is the commit that the item's own commit is merged onto (None: nothing, the commit
    itself is proved); `beside` are the commits of the queue's other projects in this state, by
    project id. `commit` and `tree` are the merged result, known from READY on; a BASE is `onto`
    itself. `keys` are the digests of what each job depends on in this state, by job; a job without
    one has no evidence. `detail` is the text of a conflict or of a configuration error. `again`
    are the jobs that somebody wanted once more, each at most once.
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
    role: Role = Role.PROOF
    beside: tuple[tuple[int, str], ...] = ()
    keys: tuple[tuple[str, str], ...] = ()
    again: tuple[Again, ...] = ()


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
    """One attempt at one job for one item. `machine_id` also fences its results.

    `visited_by` is who was in its machine while it ran, the last of them: it proves nothing then.

    `key` names all that the verdict depends on (`evidence.key`); None when that is not known.
    A build that was not run because its key has passed before names that build as `reused_from`.
    `outputs` is the digest of its artefacts. `parts` are those of its job. `caches` is what became
    of its caches. A pass with tests in `but_for` has failed these, which are quarantined.
    """

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
    purpose: Purpose = Purpose.FIRST
    key: str | None = None
    reused_from: int | None = None
    outputs: str | None = None
    parts: tuple[Part, ...] = ()
    visited_by: str | None = None
    caches: tuple[CacheUse, ...] = ()
    but_for: tuple[str, ...] = ()
    image: str = ""
    """The digest of what its machine has to be made of; empty: of what its label has."""
    alone: int | None = None
    """The build whose failed tests it runs, and no others."""
    offer: Offer | None = None
    """Whose word it is, if it was not run here."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Those of all the machines that it needs, its own first."""
        return tuple(part.label for part in self.parts) or (self.label,)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A pass of `build_id`, good for every build with the same `key` until it is withdrawn.

    `refuted_by` is the build of an audit that failed where this one had passed. One that was
    `offered` comes without what the job left, and is not good where another job needs that.
    """

    id: int
    key: str
    build_id: int
    project_id: int
    job: str
    created_at: float
    withdrawn_at: float | None = None
    refuted_by: int | None = None
    offered: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What has been seen of a subject of a project: `job NAME` or `author NAME`.

    Counts fade (`history.FADE`), so they are no whole numbers. Of a job: `runs` that ended in a
    pass or a failure, `flakes` among them (a failure, then a pass, of one key), `failures` that
    were held against a change, and the decayed mean and mean square of the logarithm of the
    seconds that a pass takes; and `tests`, as many as ran in what has landed last. Of an author:
    `runs` are changes that left the gate, `failures` those rejected.
    """

    id: int
    project_id: int
    subject: str
    runs: float = 0.0
    failures: float = 0.0
    flakes: float = 0.0
    log_seconds: float = 0.0
    log_square: float = 0.0
    passes: float = 0.0
    tests: int = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One single-use machine. Its id is never given to another, so it fences what it reports."""

    id: int
    label: str
    image: str | None
    """The digest of its image, once the host has said it."""
    host_id: int
    build_id: int | None
    """The only build that it was given, once it was."""
    state: MachineState
    detail: str | None
    created_at: float
    ready_at: float | None = None
    gone_at: float | None = None
    used_at: float | None = None
    definition: str = ""
    """That of its label when it was ordered (`Pool.definition`)."""
    part: str = ""
    """Its name in a build that has several machines; the build's `machine_id` is its own one."""
    pinned: str = ""
    """The digest of the image that it was ordered with, for a build that asks for that one; empty:
    that of its label."""
    visitors: int = 0
    """How many people's processes run on it (`visit`)."""
    hold_id: int | None = None
    """What it is, or was, held for (`hold`)."""
    held_until: float | None = None
    ending_told: float | None = None
    """The `held_until` of which it was told that it is near."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """That a host could not make a label's machines: `count` times in a row, last at `at`."""

    label: str
    count: int
    at: float
    reason: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A computer that makes machines: at most `slots` at a time, of the labels that it knows.

    `images` are the digests of its labels' images, where it knows them. `strikes` counts the
    builds in a row that it failed within their first seconds; with too many it gets no build until
    `quarantined_until`. `refuses` is why it takes no more builds for now. One that is `draining`
    gets nothing more, and loses the machines that nobody uses. All caches on it together have
    `cache_room` bytes, those of a project `cache_share`.
    """

    id: int
    name: str
    slots: int
    labels: tuple[str, ...]
    state: HostState
    detail: str | None
    last_seen: float
    images: tuple[tuple[str, str], ...] = ()
    strikes: int = 0
    quarantined_until: float | None = None
    refuses: str | None = None
    draining: bool = False
    failures: tuple[Failure, ...] = ()
    cache_room: int = 0
    cache_share: int = 0
    cpu: str = ""
    """What its processor is called; empty: not known."""
    system: str = ""
    """Its agent and its kernel, with their versions, for people."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """How many machines of a label there are to be, and what was seen of it.

    `ready` machines are kept idle beside those that builds wait for. There are at most `ceiling`
    of the label at a time, and a project uses at most `quota` of them (None: no limit). One that
    was ready for `idle` seconds is replaced. At most `holds` are held at a time. `definition` is a
    digest of what its machines are made of and like; "" for a label that the configuration has no
    more.
    `arrivals` counts builds that asked for it and fades (`demand.FADE`), as of `arrivals_at`;
    those up to id `counted` are in it. `boot` is how long making one takes, a mean that fades.
    """

    id: int
    label: str
    ready: int = 0
    ceiling: int | None = None
    quota: int | None = None
    idle: float = 3600.0
    holds: int | None = None
    definition: str = ""
    arrivals: float = 0.0
    arrivals_at: float = 0.0
    counted: int = 0
    boot: float | None = None


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
    host_id: int | None = None
    user: str | None = None
    text: str = ""


Row = (
    Queue
    | Project
    | Branch
    | Change
    | PatchSet
    | Approval
    | Item
    | Buildset
    | Build
    | Cache
    | Evidence
    | History
    | Machine
    | Host
    | Pool
    | Token
    | Artefact
    | Results
    | Hold
    | FailedTest
    | Flake
    | Receiver
    | Delivery
    | Quarantine
    | Event
)
"""Anything that the store keeps."""
