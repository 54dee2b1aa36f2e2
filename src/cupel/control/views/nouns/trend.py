"""How things went over weeks."""

from __future__ import annotations

from cupel.control.views.nouns.view import View


class SpreadView(View):
    """Percentiles of `count` durations, in seconds."""

    count: int
    p50: float
    p95: float
    p99: float


class WeekView(View):
    """A week, from Monday in UTC at `start`; the last one is not over.

    `to_landed` is how long landings took from the approval, `to_verdict` how long patch sets waited
    for the first verdict, `machine_wait` how long builds waited for a machine. `machine_seconds` is
    what builds used; of it `aborted`, `infrastructure`, `repeated` and `discarded` was in vain.
    `reused` passes had not to be run again, which `saved` so many seconds of machines; `ran` were.
    `rejected` counts by reason.
    """

    start: float
    days: float
    landed: int
    rejected: dict[str, int]
    to_landed: SpreadView | None
    to_verdict: SpreadView | None
    machine_wait: SpreadView | None
    machine_seconds: float
    aborted: float
    infrastructure: float
    repeated: float
    discarded: float
    ran: int
    reused: int
    saved: float

    @property
    def landed_per_day(self) -> float:
        return self.landed / self.days if self.days else 0.0

    @property
    def wasted(self) -> float:
        return self.aborted + self.infrastructure + self.repeated + self.discarded

    @property
    def waste(self) -> float:
        """The share of what machines did that was in vain."""
        return self.wasted / self.machine_seconds if self.machine_seconds else 0.0

    @property
    def reuse(self) -> float:
        """The share of builds that had not to be run."""
        builds = self.reused + self.ran
        return self.reused / builds if builds else 0.0


class JobTrendView(View):
    """A job over all these weeks: its builds that passed or failed, how long passes took, and what
    all of it used of machines. `grew` is how many times as long its passes take as before, if that
    is out of the ordinary."""

    project: str
    job: str
    runs: int
    failures: int
    passes: SpreadView | None
    machine_seconds: float
    last_at: float
    grew: float | None


class StaleJobView(View):
    """A job that has run once, but not for long; `last_at` None: not in these weeks."""

    project: str
    job: str
    last_at: float | None


class TrendsView(View):
    """How a project went, or all (None), week by week, the oldest first."""

    project: str | None
    weeks: list[WeekView]
    jobs: list[JobTrendView]
    stale: list[StaleJobView]
    stale_days: float
