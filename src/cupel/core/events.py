"""Every fact that the core can be told. An event only records what happened; planning reacts."""

from __future__ import annotations

import dataclasses

from cupel.core.cache import CacheUse
from cupel.core.model import (
    Artefact,
    Change,
    Job,
    Landing,
    PatchSet,
    Policy,
    StepResult,
    Usage,
    Verdict,
)
from cupel.core.results import Findings


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ProjectAdded:
    """`queue` is the name of the queue that it joins; its own, named as it is, if None."""

    name: str
    queue: str | None = None
    branches: tuple[str, ...]
    heads: tuple[str | None, ...]
    policy: Policy


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ChangePushed:
    """A new change or a new patch set, as complete rows.

    `approved_by` is who asked, with the push, that it land.
    """

    change: Change
    patch_set: PatchSet
    approved_by: str | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Approved:
    change_id: int
    patch_set: int
    user: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalWithdrawn:
    change_id: int
    user: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LandAsked:
    """Somebody wants the change, and the approved ones of its stack, in the gate."""

    change_id: int
    user: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DequeueAsked:
    change_id: int
    user: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RetryAsked:
    """Somebody wants builds of an item once more, of the same jobs on the same state.

    Those of `job`, or of every job that has not passed, or with `everything` of all of them.
    """

    item_id: int
    job: str | None
    everything: bool
    user: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PromoteAsked:
    """These changes go first in their queue, in this order, with what they need ahead of them."""

    change_ids: tuple[int, ...]
    user: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class UrgencySet:
    """The change does (or does not any more) go to the front of the queue when it enters."""

    change_id: int
    urgent: bool
    user: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class QueueSet:
    """The rules of a queue, made if there is none of that name. `closed` is why nothing lands."""

    name: str
    landing: Landing
    planner: str
    window: int | None
    window_floor: int
    window_ceiling: int | None
    cycles: bool
    closed: str | None
    user: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PolicySet:
    project_id: int
    policy: Policy
    user: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Abandoned:
    change_id: int
    user: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HeadSeen:
    """A guarded branch was found at `head`, by whatever hand it got there."""

    project_id: int
    branch: str
    head: str | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StatePrepared:
    """A speculative state was made and its jobs frozen.

    `notice` is what to tell of its configuration. `keys` are digests of what each job depends on
    in the state, by job (`Buildset.keys`).
    """

    buildset_id: int
    commit: str
    tree: str
    jobs: tuple[Job, ...]
    notice: str | None
    keys: tuple[tuple[str, str], ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StateConflicted:
    """`why` is told where it is not two changes of the same `paths`, as for a fast-forward."""

    buildset_id: int
    paths: tuple[str, ...]
    why: str | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StateMisconfigured:
    """The configuration in the state cannot be used; `error` has file:line:column."""

    buildset_id: int
    error: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Landed:
    """The branches stand at what was proved for these items: moved just now, or found moved."""

    item_ids: tuple[int, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LandingRefused:
    """The branch of the first of these items was not where it was proved; it is at `head`.

    None of them has landed.
    """

    item_ids: tuple[int, ...]
    head: str | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HostConnected:
    """A host said hello. `machines` and `caches` exist on it, by number and file; anything else
    that we thought it had is gone.

    Its caches may take `cache_room` bytes, those of a project `cache_share`.
    Those machines that it `held` are as they were; others it has from another life.
    """

    name: str
    slots: int
    labels: tuple[str, ...]
    machines: tuple[int, ...]
    detail: str | None
    held: tuple[int, ...] = ()
    images: tuple[tuple[str, str], ...] = ()
    caches: tuple[str, ...] = ()
    cache_room: int = 0
    cache_share: int = 0
    cpu: str = ""
    system: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HostSeen:
    """`refuses` is why it takes no more builds for now.

    `images` are the digests of its labels' images, if they are others than before.
    """

    name: str
    refuses: str | None = None
    images: tuple[tuple[str, str], ...] | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HostLost:
    name: str
    reason: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HostDrainSet:
    """The host is to be emptied, or not any more."""

    name: str
    draining: bool
    user: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HostReleased:
    """Somebody has looked after a host that is in quarantine: it gets builds again."""

    name: str
    user: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HostForgotten:
    """A lost host is not waited for any more."""

    name: str
    user: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PoolSpec:
    """A label of the configuration, as in `Pool`."""

    label: str
    ready: int
    ceiling: int | None
    quota: int | None
    idle: float
    holds: int | None = None
    definition: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PoolsSet:
    """All labels that there are; those that are left out are no more."""

    pools: tuple[PoolSpec, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MachineReady:
    """`seconds` is how long it took to make."""

    machine_id: int
    image: str
    seconds: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MachineFailed:
    """The host could not make the machine."""

    machine_id: int
    reason: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MachineTold:
    """What the host does while it makes the machine, such as building its image."""

    machine_id: int
    text: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MachineDeleteAsked:
    machine_id: int
    user: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class VisitBegan:
    """Somebody starts a process on a build's machine: `what`, a shell or a command."""

    machine_id: int
    user: str
    what: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class VisitEnded:
    """They are gone; `how` says how it ended."""

    machine_id: int
    user: str
    how: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HoldAsked:
    """Machines are to be kept, as in `Hold`: `count` of them, each for so many seconds."""

    hold_id: int
    user: str
    reason: str
    count: int
    seconds: float
    expires_at: float
    project_id: int | None = None
    change_id: int | None = None
    build_id: int | None = None
    job: str | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HoldReleased:
    """The machines of a hold are not needed any more."""

    hold_id: int
    user: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StepsChanged:
    """The build's steps as they stand now."""

    machine_id: int
    steps: tuple[StepResult, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BuildFinished:
    """The host is done with the build. The `artefacts` get their ids when this is recorded.

    `findings` are what its tests said, if it left results of any.
    """

    machine_id: int
    verdict: Verdict
    reason: str | None
    steps: tuple[StepResult, ...]
    usage: Usage
    artefacts: tuple[Artefact, ...]
    findings: Findings | None = None
    caches: tuple[CacheUse, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PassOffered:
    """A job has passed on a computer of the user's, called `host`, on a commit that we have.

    `key` is the digest of what the job depends on there (`Buildset.keys`), as worked out here;
    `image` is what its machines were made of (`key.together`); `seconds` is how long it ran.
    """

    project_id: int
    branch: str
    commit: str
    tree: str
    job: Job
    key: str
    image: str
    user: str
    host: str
    seconds: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MachineGone:
    machine_id: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CachesGone:
    """A host has removed caches, by their files: as it was told, or for want of room."""

    host: str
    files: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CachesClearAsked:
    """The caches of a project are to go: those of a name, or all."""

    project_id: int
    name: str | None
    user: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineAdded:
    """The test of this `name` (`Result.id`) may fail until then; `job` None: in every job."""

    project_id: int
    job: str | None
    name: str
    owner: str
    reason: str
    until: float
    user: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineRemoved:
    quarantine_id: int
    user: str


Fact = (
    ProjectAdded
    | ChangePushed
    | Approved
    | ApprovalWithdrawn
    | LandAsked
    | DequeueAsked
    | RetryAsked
    | QuarantineAdded
    | QuarantineRemoved
    | PromoteAsked
    | UrgencySet
    | QueueSet
    | PolicySet
    | Abandoned
    | HeadSeen
    | StatePrepared
    | StateConflicted
    | StateMisconfigured
    | Landed
    | LandingRefused
    | HostConnected
    | HostSeen
    | HostLost
    | HostDrainSet
    | HostReleased
    | HostForgotten
    | PoolsSet
    | MachineReady
    | MachineFailed
    | MachineTold
    | MachineDeleteAsked
    | VisitBegan
    | VisitEnded
    | HoldAsked
    | HoldReleased
    | StepsChanged
    | BuildFinished
    | PassOffered
    | MachineGone
    | CachesGone
    | CachesClearAsked
)
