"""Machines, their pools and their hosts."""

from __future__ import annotations

from cupel.control.views.nouns.trend import SpreadView
from cupel.control.views.nouns.view import View
from cupel.core.model import HostState, MachineState


class MachineView(View):
    """`boot_seconds` is from the decision to make it until it was ready. `visitors` is how many
    processes of people run in it. One that is held is so for `held_by`, until `held_until`, by
    hold `hold`; `command` opens a shell there. `part` is its name in a build with several."""

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
    visitors: int = 0
    hold: int | None = None
    held_by: str | None = None
    held_until: float | None = None
    command: str | None = None
    part: str = ""


class LaunchView(View):
    """That a machine was made, and how many seconds that took from the decision to it."""

    machine: int
    at: float
    seconds: float


class PoolView(View):
    """How many machines of a label there are and are to be, by state.

    `target` is how many are wanted that nobody uses, and `why` says so in words: `ready` are kept
    idle, `queued` builds wait, and `expected` is what the recent rate of builds asks for; `next`
    says what is done about it now, and if nothing is, why. `waits_hour` and `waits_day` say how
    long builds of the last hour and day waited until they were given a machine (None: there were
    none), `launched` how long machines of the last day took to make, and `launches` has the newest
    of these, oldest first. `image_seconds` is since when machines have `image`; `old` ready ones
    are of another.
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
    waits_hour: SpreadView | None
    waits_day: SpreadView | None
    launched: SpreadView | None
    launches: list[LaunchView]
    image: str | None
    image_seconds: float | None
    old: int
    next: str


class LoadView(View):
    """How busy a computer is: bytes; `runnable` processes, over a minute, for its `cores`.

    `waits` are the percents of the last ten seconds in which something waited for cpu, memory and
    io; null where the kernel does not say.
    """

    cores: int
    runnable: float
    memory: int
    available: int
    disk: int
    disk_free: int
    waits_cpu: float | None
    waits_memory: float | None
    waits_io: float | None


class HostView(View):
    """A computer that makes machines: `used` of its `slots`; no labels means any label.

    `strikes` are the builds in a row that it failed within seconds. With too many it gets none
    until `quarantined_until`, and then one at a time until one ends well; `waiting` says so.
    `load` is what a connected host said last. `system` is its agent and kernel.
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
    load: LoadView | None = None
    cpu: str = ""
    """What its processor is called."""
    system: str = ""


class LoadThenView(LoadView):
    """How busy a computer was in the 20 seconds up to `at`: the hardest of what it said."""

    at: float
