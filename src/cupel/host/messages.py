"""What the server and a host say to each other. Plain values; `protocol.py` frames them.

The server commands machines by id; ids are never reused, so every report is fenced by the machine
it names. A host that hears of a machine it does not know answers `MachineGone`.
"""

from __future__ import annotations

import dataclasses

from cupel.config.egress import Allowed
from cupel.config.image import ImageConfig

VERSION = 12

VISIT_WINDOW = 128 << 10
"""Bytes of a visit that may be under way, in either direction."""


MAX_PAYLOAD = 1 << 20
"""Bytes of data in a frame; whoever has more sends more frames."""

ImageSpec = ImageConfig
"""What a root filesystem is made of travels as it was configured."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MachineSpec:
    """A machine to make. `memory`, `disk` in bytes; `cpus` in cores.

    `provider` is how it is made, by the name of one of the host's providers. `network` says what
    it reaches: `none`, `registries` of packages alone, what is `allowed` alone, or `full`; `allow`
    is what it reaches besides. `init` is what is process 1 of a
    virtual machine: `none` of the image's programs, or `systemd`. `digest` is that of the image
    that the server has for it; without one, the host builds `image` itself, unless it is `coming`:
    the server is building it, and tells its digest in `Labels`.
    """

    label: str
    image: ImageSpec
    digest: str | None = None
    coming: bool = False
    provider: str = "namespace"
    init: str = "none"
    network: str = "none"
    allow: tuple[Allowed, ...] = ()
    cpus: float = 2.0
    memory: int = 4 << 30
    disk: int = 10 << 30
    pids: int = 4096


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BootSpec:
    """When a system that was booted has passed; see `core.model.Boot`."""

    expect: tuple[str, ...] = ()
    fail: tuple[str, ...] = ()
    exit: int | None = None
    off: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StepSpec:
    """`on` is the name of the part that it runs on; empty: the build's own machine.

    One with `boot` has no script: it boots the machine's system.
    """

    name: str
    run: str
    on: str = ""
    boot: BootSpec | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PartSpec:
    """One of the machines of a build that has several, by its name there."""

    name: str
    machine: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSpec:
    """What runs on part `name` from before the first step on; see `core.model.Service`."""

    name: str
    run: str
    health: str
    ports: tuple[int, ...]
    timeout: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LinkSpec:
    """What happens to packets between two parts, in either direction.

    `delay` in seconds, `loss` from 0 to 1, `rate` in bits per second.
    """

    one: str
    other: str
    delay: float = 0.0
    loss: float = 0.0
    rate: float | None = None
    cut: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SourceSpec:
    """What to check out: `commit`, reachable from `ref`, of the repository at `url`.

    `ref` may be the commit itself where it has no name.
    """

    url: str
    ref: str
    commit: str
    branch: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BesideSpec:
    """Another project, to be checked out as $CUPEL_PROJECTS/PROJECT."""

    project: str
    source: SourceSpec


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NeedSpec:
    """The artefacts of the needed `job`: a tar stream at `url`, laid out below $CUPEL_NEEDS/JOB."""

    job: str
    url: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CacheSpec:
    """Directories that builds keep for later ones; those of `paths` are below the source if they
    are relative.

    `restore` is the file of the host that they are given from (empty: none), which build `origin`
    has saved, and `save` the one that they are saved as, of at most `limit` bytes (empty: not, and
    with `if_changed` not either where nothing was written to what was given).
    """

    name: str
    paths: tuple[str, ...]
    restore: str = ""
    origin: int | None = None
    exact: bool = False
    save: str = ""
    if_changed: bool = False
    limit: int = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CacheUse:
    """What became of a cache in a build; see `core.cache.CacheUse`."""

    name: str
    restored: int | None = None
    exact: bool = False
    size: int = 0
    seconds: float = 0.0
    saved: int | None = None
    withheld: str = ""
    unsaved: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BuildSpec:
    """A job to run. `timeout` in seconds for all steps together; limits in bytes.

    `parts` are all machines of a build that has several, its own first; else there are none.
    """

    build: int
    project: str
    job: str
    source: SourceSpec
    steps: tuple[StepSpec, ...]
    env: tuple[tuple[str, str], ...] = ()
    needs: tuple[NeedSpec, ...] = ()
    beside: tuple[BesideSpec, ...] = ()
    timeout: float = 1800.0
    log_limit: int = 256 << 20
    artefact_limit: int = 1 << 30
    result_limit: int = 256 << 20
    parts: tuple[PartSpec, ...] = ()
    services: tuple[ServiceSpec, ...] = ()
    links: tuple[LinkSpec, ...] = ()
    caches: tuple[CacheSpec, ...] = ()


# From the server to the host.


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Welcome:
    """The answer to `Hello`. The host sends `Heartbeat` at least every `heartbeat` seconds.

    `token` is a bearer token for the URLs in build specs. `secrets` never enter machines. `labels`
    are all machines that there are, of which the host tells the images that it has. Below `images`
    is the URL of each image that is named by its digest.
    """

    version: int
    heartbeat: float
    token: str
    labels: tuple[MachineSpec, ...] = ()
    images: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """All machines that there are, when one of them has another image than the host was told."""

    labels: tuple[MachineSpec, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Make:
    """Make machine number `machine`; `MachineReady` or `MachineFailed` answers.

    Ignored for a known machine.
    """

    machine: int
    spec: MachineSpec


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Run a build on a machine that was ordered by `Make`, also before it is ready.

    Answered by `BuildRefused` when there is no such machine, or when it is another build's.
    Repeated for the same build, it is ignored.
    """

    machine: int
    build: BuildSpec


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """Stop the build on the machine; it is reported as cancelled, also if none has come yet."""

    machine: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Destroy:
    """Delete the machine and everything of it; answered by `MachineGone` when nothing is left."""

    machine: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """The machine, whose build has ended, is held for somebody: when the session ends, it stays for
    as long as a lease, and is told in the next `Hello`. Repeatable."""

    machine: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """Start a person's process, number `visit`, on the machine of a build, where steps begin.

    `argv` empty: a shell. With `rows` and `columns` it has a terminal of that size. `env` goes
    before what steps get. Numbers are never used twice in a session. `VisitEnded` is the answer,
    however it ends.
    """

    machine: int
    visit: int
    argv: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    rows: int | None = None
    columns: int | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class VisitInput:
    """Bytes that somebody typed; none: nothing more will come. See `VisitTaken`."""

    visit: int
    data: bytes


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class VisitSize:
    visit: int
    rows: int
    columns: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class VisitRoom:
    """So many more bytes of output may come. There is room for `VISIT_WINDOW` at first."""

    visit: int
    count: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class VisitLeft:
    """Nobody is there any more: hang up."""

    visit: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DropCaches:
    """Remove caches, by their files; answered by `CachesGone`, also for those that are not there.

    Machines that have one go on with it.
    """

    files: tuple[str, ...]


# From the host to the server.


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """The first message. `machines` are those that still exist on the host, from whatever time;
    those that were `held` in the session before are as they were then."""

    version: int
    name: str
    slots: int
    machines: tuple[int, ...]
    held: tuple[int, ...] = ()
    labels: tuple[str, ...] = ()
    """Labels that this host can make; empty: any."""
    notes: tuple[str, ...] = ()
    """What the host can't enforce and does by other means, in words."""
    fetches: str = ""
    """The architecture, by Debian's name, of the images that the host fetches; empty: it builds
    all by itself, or has the server's."""
    cpu: str = ""
    """What its processor is called; empty: not known there."""
    system: str = ""
    """The agent and the kernel, with their versions, for people."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """The answer to `Welcome`: the host can take work now.

    `images` are the digests of the images that are built, by label. Those that are built later
    come with `MachineReady`.
    """

    images: tuple[tuple[str, str], ...]
    caches: tuple[str, ...] = ()
    """The files of all caches that the host has."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HostLoad:
    """How busy a computer is: bytes, and percents of ten seconds that something waited.

    `runnable` is how many processes ran or waited for a core, over a minute, of `cores`. None: not
    known there.
    """

    cores: int
    runnable: float
    memory: int
    available: int
    disk: int
    disk_free: int
    waits_cpu: float | None = None
    waits_memory: float | None = None
    waits_io: float | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """The host lives. `refuses` is why it takes no more builds for now, in words.

    `images` are as in `Images`, if they are others than the host told last. `load` is how much the
    computer has to do, whoever it is that gives it that.
    """

    refuses: str | None = None
    images: tuple[tuple[str, str], ...] | None = None
    load: HostLoad | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MachineReady:
    """The machine stands; `image` is the digest of its root filesystem."""

    machine: int
    image: str
    seconds: float
    """How long it took to make, without its image."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MachineFailed:
    """The machine could not be made, or is not to be. What is left of it awaits `Destroy`."""

    machine: int
    reason: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """How a build on a fetched image ended: by itself, or lost to infrastructure."""

    image: str
    by_itself: bool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Something worth telling while a machine is made, such as an image being built."""

    machine: int
    text: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """What a machine used at a time: `Usage` of the provider's interface, in its order and units.

    `cpu_seconds` counts from the machine's beginning, and is its host's. None: not known.
    """

    at: float
    cpu_seconds: float | None
    memory: int | None
    processes: int | None
    disk: int | None
    waits_cpu: float | None
    waits_memory: float | None
    waits_io: float | None
    read: int | None = None
    written: int | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """What a machine of a build used since the last ones, one measure a second."""

    machine: int
    measures: tuple[Measure, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StepStarted:
    machine: int
    step: int
    name: str
    at: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Bytes that a step wrote. `stream` is `out`, `err` or `cupel` (the host's own remarks).

    `part` is the place, in `BuildSpec.parts`, of the machine that they come from.
    """

    machine: int
    step: int
    stream: str
    at: float
    data: bytes
    part: int = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StepFinished:
    """`exit_status` is negative for a signal, as in `subprocess`; None when the host stopped it."""

    machine: int
    step: int
    at: float
    exit_status: int | None
    cpu_seconds: float | None
    memory_peak: int | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ArtefactData:
    """A piece of the tar stream of $CUPEL_ARTIFACTS, in order; `last` ends it.

    Below `.results/` are the files of $CUPEL_RESULTS. A build that finishes before the last piece
    has no artefacts.
    """

    machine: int
    data: bytes
    last: bool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ResultData:
    """A piece of the tar stream of $CUPEL_RESULTS on a machine of the build, in order.

    `part` is the machine's place among the build's. The stream may end anywhere.
    """

    machine: int
    part: int
    data: bytes


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BuildFinished:
    """The end of a build. `verdict` is success, failure, timeout, infra, cancelled, or protected:
    its host stopped it for its own sake.

    `reason` says in words why it is not a success. The machine still exists until `Destroy`.
    """

    machine: int
    verdict: str
    reason: str | None
    cpu_seconds: float | None
    memory_peak: int | None
    caches: tuple[CacheUse, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CachesGone:
    """The host has removed caches: it was told to, or the disk was nearly full."""

    files: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BuildRefused:
    """The answer to a `Run` that is not obeyed; whatever else the machine does goes on."""

    machine: int
    build: int
    reason: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MachineGone:
    machine: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class VisitOutput:
    """What a visit's process wrote. `stream` is `out` or `err`; of a terminal, `out`."""

    visit: int
    stream: str
    data: bytes


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class VisitTaken:
    """The process has read so many bytes: as many more may come, of `VISIT_WINDOW` at a time."""

    visit: int
    count: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class VisitEnded:
    """`status` is the exit status, negative for a signal; None if there is none, for `reason`."""

    visit: int
    status: int | None
    reason: str | None = None


ToHost = (
    Welcome
    | Labels
    | Make
    | Run
    | Cancel
    | Destroy
    | Keep
    | Visit
    | VisitInput
    | VisitSize
    | VisitRoom
    | VisitLeft
    | DropCaches
)
ToServer = (
    Hello
    | Images
    | Heartbeat
    | MachineReady
    | MachineFailed
    | Judged
    | Progress
    | Metrics
    | StepStarted
    | Output
    | StepFinished
    | ResultData
    | ArtefactData
    | BuildFinished
    | BuildRefused
    | MachineGone
    | VisitOutput
    | VisitTaken
    | VisitEnded
    | CachesGone
)
