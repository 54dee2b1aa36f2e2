"""A build with its steps, artefacts and attempts."""

from __future__ import annotations

from cupel.control.views.nouns.cache import CacheUseView
from cupel.control.views.nouns.cause import CauseView
from cupel.control.views.nouns.evidence import OfferView
from cupel.control.views.nouns.results import TallyView
from cupel.control.views.nouns.view import View
from cupel.core.model import BuildState, MachineState, Pipeline, Verdict
from cupel.core.timeline import Phase


class UsageView(View):
    cpu_seconds: float | None = None
    memory_peak: int | None = None


class AttemptView(View):
    """A build in one line. One that was not run since its pass was known has `reused_from`.

    A pass has `flaked` if the job had failed on the same before: the same state, or another one
    where all that it depends on is the same. `but_for` are quarantined tests that it has failed,
    which its `icon` says then. `why` says why it was run again; empty for a first attempt.
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
    but_for: tuple[str, ...] = ()
    why: str = ""


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


class SpanView(View):
    """A part of the time of a build: `text` is what for, `step` its number if it is a step's.

    One that `lasts` has no end yet. `share` is its part of all the time, from 0 to 1.
    """

    phase: Phase
    text: str
    step: int | None
    start: float
    seconds: float
    share: float
    lasts: bool


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
    """`command` opens a shell there, while it can be entered. One that is held is so for `held_by`,
    until `held_until`."""

    id: int
    state: MachineState
    host: str
    image: str | None
    detail: str | None
    held_until: float | None = None
    held_by: str | None = None
    command: str | None = None


class ReusedView(View):
    """The build whose pass stands for one that was not run; its log and artefacts are there.

    `seconds` is how long it ran, and so what was saved. `offer` is whose word it is, if it was not
    run here either.
    """

    build: int
    change: int | None
    title: str
    commit: str | None
    finished_at: float | None
    seconds: float | None
    offer: OfferView | None = None


class BuildView(BuildRef):
    """All of a build; `log_lines` is None if not asked for. `cause` is why it did not pass.

    `key` names all that its verdict depends on; builds with the same key are the same question.
    `refuted_by` is the build of an audit that failed where this one, or `reused`, had passed.
    `machines` are the names of those of a job that has several, its own first. `waiting` is why a
    queued one has no machine yet. `offer` is whose word a pass is that was not run here; its log
    and what it left are there. `timeline` is where its time went, `beside` the newest builds of all
    jobs of its state. `visited_by` is who was in its machine while it ran: then it proves nothing.
    `services` are those that ran beside its steps.
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
    beside: list[AttemptView]
    timeline: list[SpanView]
    artefacts: list[ArtefactView]
    caches: list[CacheUseView]
    log_lines: int | None
    notice: str | None
    key: str | None = None
    reused: ReusedView | None = None
    refuted_by: int | None = None
    visited_by: str | None = None
    services: tuple[str, ...] = ()
    waiting: str | None = None
    tests: TallyView | None = None
    cause: CauseView | None = None
    offer: OfferView | None = None
