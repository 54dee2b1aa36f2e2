"""What has been seen of jobs and authors, and what to expect of the next build or change.

Counts fade: each observation of a subject multiplies what was seen of it before by FADE, so old
times weigh less and the sums stay bounded. Estimates start from a prior that is worth few
observations and give way to what was seen:

- how long a job takes: a lognormal distribution by the moments of the logarithm, with a prior as in
  the normal-inverse-χ² model (Gelman et al., Bayesian Data Analysis, section 3.3);
- how often a job flakes: the mean of a Beta posterior;
- how likely a change is bad: a Beta-Binomial on the author's record, shrunk to the project's, and
  that on a constant (ibid., chapter 5), then what is known of the change itself in log-odds.

Everything is a pure function of rows. Nothing decides by these numbers alone: they only order work.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

from cupel.core.draft import Draft
from cupel.core.model import (
    Build,
    Change,
    History,
    Item,
    ItemState,
    PatchSet,
    Pipeline,
    Reason,
    Verdict,
)

FADE = 0.5 ** (1 / 200)
"""After 200 more observations of its subject, an observation counts half."""

PROJECT = "project"
"""The subject of what became of all changes of a project, whoever made them."""

_QUICKEST = 0.001
"""Seconds: the logarithm of nothing is not defined."""


def of_job(name: str) -> str:
    return f"job {name}"


def of_author(name: str) -> str:
    return f"author {name}"


# What is seen.


def build_ended(draft: Draft, build: Build) -> None:
    """A build that a host has run ended; one that neither passed nor failed tells nothing."""
    if build.verdict is Verdict.SUCCESS:
        if build.alone is None:  # a few tests alone do not tell how long all of them take
            build_passed(draft, build)
        if _just_refuted(draft, build):
            build_flaked(draft, build)
    elif build.verdict is Verdict.FAILURE:
        build_failed(draft, build)


def build_passed(draft: Draft, build: Build) -> None:
    """One more run, and how long a pass takes."""
    faded = _faded(draft, build.project_id, of_job(build.job))
    passes = faded.passes + 1.0
    seconds = (build.finished_at or draft.now) - (build.started_at or build.queued_at)
    log = math.log(max(seconds, _QUICKEST))
    draft.put(
        replace(
            faded,
            runs=faded.runs + 1.0,
            passes=passes,
            log_seconds=faded.log_seconds + (log - faded.log_seconds) / passes,
            log_square=faded.log_square + (log * log - faded.log_square) / passes,
        )
    )


def build_failed(draft: Draft, build: Build) -> None:
    """One more run, held against the change until a pass on the same state refutes it."""
    faded = _faded(draft, build.project_id, of_job(build.job))
    draft.put(replace(faded, runs=faded.runs + 1.0, failures=faded.failures + 1.0))


def build_flaked(draft: Draft, build: Build) -> None:
    """`build` passed where the job had just failed: the job did that, not the change.

    Called after `build_passed`. Tells `build.flaked`.
    """
    refuted = _just_refuted(draft, build)
    known = _known(draft, build.project_id, of_job(build.job))
    moved = min(float(len(refuted)), known.failures)
    draft.put(replace(known, failures=known.failures - moved, flakes=known.flakes + moved))
    draft.tell(
        "build.flaked",
        f"{build.job} passed after it had failed on the same",
        project_id=build.project_id,
        item_id=build.item_id,
        build_id=build.id,
        machine_id=build.machine_id,
    )


def change_landed(draft: Draft, change: Change) -> None:
    """The change left the gate as a good one. Call it once for each such item."""
    _left(draft, change, bad=0.0)


def change_rejected(draft: Draft, change: Change) -> None:
    """The change left the gate by its own fault. Call it once for each such item."""
    _left(draft, change, bad=1.0)


def _left(draft: Draft, change: Change, *, bad: float) -> None:
    checked = _past(draft, [change])[change.id].check is ItemState.PASSED
    for subject in (PROJECT, of_author(change.author)):
        faded = _faded(draft, change.project_id, subject)
        draft.put(
            replace(
                faded,
                runs=faded.runs + 1.0,
                failures=faded.failures + bad,
                passes=faded.passes + checked,
            )
        )


def _just_refuted(draft: Draft, build: Build) -> list[Build]:
    """The job's failures on this state, or for its item on another one where all that it depends
    on is the same, since it last passed there before `build`."""
    failures: list[Build] = []
    for other in _asked_the_same(draft, build):
        if other.job != build.job or other.id >= build.id:
            continue
        if other.verdict is Verdict.SUCCESS:
            failures.clear()
        elif other.verdict is Verdict.FAILURE:
            failures.append(other)
    return failures


def _asked_the_same(draft: Draft, build: Build) -> list[Build]:
    found = draft.builds(build.buildset_id)
    if build.key is None:
        return found
    for state in draft.buildsets(build.item_id):
        if state.id != build.buildset_id:
            found += [b for b in draft.builds_of(state.id, build.job) if b.key == build.key]
    return sorted(found, key=lambda each: each.id)


def _known(draft: Draft, project_id: int, subject: str) -> History:
    known = draft.history(project_id, subject)
    return known or History(id=draft.new_id(), project_id=project_id, subject=subject)


def _faded(draft: Draft, project_id: int, subject: str) -> History:
    """The row as it is to be before one more observation. Means do not fade, only their weight."""
    known = _known(draft, project_id, subject)
    return replace(
        known,
        runs=known.runs * FADE,
        failures=known.failures * FADE,
        flakes=known.flakes * FADE,
        passes=known.passes * FADE,
    )


# What to expect of a build.


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Duration:
    """Seconds that a pass takes: on average, at least as often as not, and in nine of ten cases."""

    mean: float
    p50: float
    p90: float

    def left(self, elapsed: float) -> float:
        """Seconds that a pass takes yet, as often as not, when it has not ended until now.

        The median of what the lognormal distribution leaves beyond `elapsed`: at first the usual
        time less what has passed; of one that goes on for longer than most it grows again.
        """
        spread = math.log(max(self.p90 / self.p50, 1.0)) / _Z90
        if elapsed <= 0.0 or spread < _SHARP:
            return max(self.p50 - max(elapsed, 0.0), 0.0)
        late = _NORMAL.cdf((math.log(elapsed) - math.log(self.p50)) / spread)
        if late > _LATEST:
            return elapsed * spread
        return self.p50 * math.exp(spread * _NORMAL.inv_cdf((1.0 + late) / 2.0)) - elapsed


_GUESS_SHARE = 1 / 3
_GUESS_MOST = 600.0
"""A job of which nothing is known is taken to need a third of its timeout, as people leave room; at
most ten minutes, because a longer timeout is mostly one that nobody set."""

_GUESS_WEIGHT = 1.0
"""The guess is worth one run."""

_GUESS_SPREAD = 1.0
"""Standard deviation of the logarithm: nine of ten jobs take a fifth to five times the guess."""

_Z90 = 1.2815515655446004
"""The 90th percentile of the standard normal distribution."""


_NORMAL = statistics.NormalDist()

_SHARP = 0.001
"""A spread of the logarithm so small that the time is as good as known."""

_LATEST = 1 - 1e-9
"""Beyond this share of all passes, the distribution says nothing any more."""

_OWN_SPREAD = 0.25
"""What is added, as one pass, to the spread of times that were seen: a few say little about it."""


def usual(known: History | None) -> Duration | None:
    """How long a pass takes by what was seen alone; None where no pass was. For people: what
    plans by it takes `seconds`, which guesses."""
    if known is None or known.passes <= 0.0:
        return None
    variance = max(known.log_square - known.log_seconds**2, 0.0)
    spread = (known.passes * variance + _OWN_SPREAD**2) / (known.passes + 1.0)
    return Duration(
        mean=math.exp(known.log_seconds + spread / 2),
        p50=math.exp(known.log_seconds),
        p90=math.exp(known.log_seconds + _Z90 * math.sqrt(spread)),
    )


def seconds(draft: Draft, project_id: int, job_name: str, timeout: float) -> Duration:
    """How long a pass of the job takes; never longer than `timeout`."""
    known = draft.history(project_id, of_job(job_name))
    weight, mean, square = (0.0, 0.0, 0.0)
    if known is not None:
        weight, mean, square = known.passes, known.log_seconds, known.log_square
    guess = math.log(max(min(timeout * _GUESS_SHARE, _GUESS_MOST), _QUICKEST))
    total = _GUESS_WEIGHT + weight
    middle = (_GUESS_WEIGHT * guess + weight * mean) / total
    spread = (
        _GUESS_WEIGHT * _GUESS_SPREAD**2
        + weight * max(square - mean * mean, 0.0)
        + _GUESS_WEIGHT * weight / total * (mean - guess) ** 2
    ) / total
    return Duration(
        mean=min(math.exp(middle + spread / 2), timeout),
        p50=min(math.exp(middle), timeout),
        p90=min(math.exp(middle + _Z90 * math.sqrt(spread)), timeout),
    )


_FLAKE_PRIOR = (1.0, 49.0)
"""One run in fifty of a job that nobody knows yet."""


def flake_rate(draft: Draft, project_id: int, job: str) -> float:
    """The probability that a run of the job fails although the state is good."""
    known = draft.history(project_id, of_job(job))
    flakes, runs = (0.0, 0.0) if known is None else (known.flakes, known.runs)
    return (_FLAKE_PRIOR[0] + flakes) / (sum(_FLAKE_PRIOR) + runs)


# What to expect of a change.

BOUNDS = (0.002, 0.6)
"""No record makes a change certain: a good one must stay able to show it, and so must a bad one."""

_BAD = 0.1
_BAD_WEIGHT = 10.0
"""Of the changes that enter a gate, about one in ten is bad; ten changes say as much as that."""

_AUTHOR_WEIGHT = 10.0
"""An author is taken to be like the project until about ten changes say otherwise."""

_CHECK_CATCHES = 0.85
_CHECK_ERRS = 0.05
"""A check runs the gate's jobs on the change alone: it misses what only shows together with others,
and fails a few good ones by flakes or by a broken branch."""

_PASSED = math.log((1 - _CHECK_CATCHES) / (1 - _CHECK_ERRS))
_FAILED = math.log(_CHECK_CATCHES / _CHECK_ERRS)
"""Log likelihood ratios of the check's verdicts, bad against good."""

_CHECKED_SHARE = 0.1
_CHECKED_WEIGHT = 10.0
"""How many of a project's entrants had passed their check, before its record says so."""

_LINES = 0.15
_TYPICAL_LINES = 30
_FILES = 0.1
_TYPICAL_FILES = 3
"""Log-odds for each factor of e above the typical size: mild, because size predicts defects, but
little of what tests catch (Kamei et al., Just-in-Time Quality Assurance, 2013)."""

_SIZE_MOST = 0.7
"""Size alone at most doubles the odds: generated files and renames are large and harmless."""

_REJECTED_BEFORE = 0.7
_REJECTED_MOST = 3
"""A change that failed in the gate before was repaired by the same hand; each time doubles."""

_URGENT = -0.3
"""Mostly reverts and small repairs of the branch as it is."""

_ITS_FAULT = frozenset({Reason.BUILD_FAILED, Reason.TIMED_OUT, Reason.MISCONFIGURED})


@dataclasses.dataclass(slots=True)
class _Past:
    """What became of a change so far: how its newest patch set's check ended, and rejections."""

    check: ItemState | None = None
    rejected: int = 0


def prior_bad(draft: Draft, change: Change) -> float:
    """The probability that the change is bad, before any build of the gate says anything."""
    return priors(draft, [change])[change.id]


def priors(draft: Draft, changes: Iterable[Change]) -> dict[int, float]:
    """`prior_bad` of many changes, by id, with one look at the items."""
    wanted = list(changes)
    past = _past(draft, wanted)
    return {each.id: _bounded(_factors(draft, each, past[each.id])) for each in wanted}


def reason_for(draft: Draft, change: Change) -> list[tuple[str, float]]:
    """What `prior_bad` is made of: log-odds that add up to it, but for the bounds."""
    return _factors(draft, change, _past(draft, [change])[change.id])


def _bounded(factors: list[tuple[str, float]]) -> float:
    chance = 1 / (1 + math.exp(-sum(odds for _, odds in factors)))
    return min(max(chance, BOUNDS[0]), BOUNDS[1])


def _factors(draft: Draft, change: Change, past: _Past) -> list[tuple[str, float]]:
    what = ("records", change.project_id, change.author)
    records = draft.remember(
        what, History, lambda: _records(draft, change.project_id, change.author)
    )
    factors = [
        *records,
        _check_factor(draft.history(change.project_id, PROJECT), past),
        ("size", _size(draft.patch_set(change.id, change.patch_set))),
    ]
    if past.rejected:
        times = min(past.rejected, _REJECTED_MOST)
        factors.append((_times(past.rejected), _REJECTED_BEFORE * times))
    if change.urgent:
        factors.append(("urgent", _URGENT))
    return factors


def _records(draft: Draft, project_id: int, author: str) -> tuple[tuple[str, float], ...]:
    usual = _rate(draft.history(project_id, PROJECT), _BAD, _BAD_WEIGHT)
    record = _rate(draft.history(project_id, of_author(author)), usual, _AUTHOR_WEIGHT)
    return (
        ("the project's record", _log_odds(usual)),
        (f"the record of {author}", _log_odds(record) - _log_odds(usual)),
    )


def _times(rejected: int) -> str:
    return f"rejected {rejected} times before" if rejected > 1 else "rejected before"


def _rate(record: History | None, prior: float, weight: float) -> float:
    failures, runs = (0.0, 0.0) if record is None else (record.failures, record.runs)
    return (weight * prior + failures) / (weight + runs)


def _log_odds(chance: float) -> float:
    return math.log(chance / (1 - chance))


def _check_factor(project: History | None, past: _Past) -> tuple[str, float]:
    """What the check says, less what the record holds of that already.

    Where nearly all had passed their check, having passed it too says little that is new.
    """
    passed, runs = (0.0, 0.0) if project is None else (project.passes, project.runs)
    share = (_CHECKED_WEIGHT * _CHECKED_SHARE + passed) / (_CHECKED_WEIGHT + runs)
    match past.check:
        case ItemState.PASSED:
            return ("passed its check", _PASSED - share * _PASSED)
        case ItemState.REJECTED:
            return ("failed its check", _FAILED - share * _PASSED)
        case _:
            return ("not checked", -share * _PASSED)


def _size(version: PatchSet) -> float:
    """Nothing where the size is not known."""
    if version.files == 0 and version.lines == 0:
        return 0.0
    lines = _LINES * math.log((1 + version.lines) / (1 + _TYPICAL_LINES))
    files = _FILES * math.log((1 + version.files) / (1 + _TYPICAL_FILES))
    return min(max(lines + files, -_SIZE_MOST), _SIZE_MOST)


def _past(draft: Draft, changes: Iterable[Change]) -> dict[int, _Past]:
    newest = {change.id: change.patch_set for change in changes}
    found: defaultdict[int, _Past] = defaultdict(_Past)
    for item in sorted(draft.all(Item), key=lambda item: item.id):
        if item.change_id not in newest:
            continue
        past = found[item.change_id]
        if item.pipeline is Pipeline.CHECK and item.patch_set == newest[item.change_id]:
            past.check = _verdict(item, past.check)
        elif item.pipeline is Pipeline.GATE and item.reason in _ITS_FAULT:
            past.rejected += item.state is ItemState.REJECTED
    return found


def _verdict(item: Item, before: ItemState | None) -> ItemState | None:
    """A check that is under way or was ended early says nothing, nor one failed by our fault."""
    if item.state is ItemState.PASSED:
        return item.state
    if item.state is ItemState.REJECTED and item.reason in _ITS_FAULT | {Reason.CONFLICT}:
        return item.state
    return before
