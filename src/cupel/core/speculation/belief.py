"""What the outcomes so far say of each entry: the chance that it breaks its branch.

The model is a leaky noisy-OR (Pearl, Probabilistic Reasoning in Intelligent Systems, 1988): a run
of a job fails if any entry in its state breaks that job, if the branch itself is broken for it, or
by a flake. Its posterior is summed over the likeliest explanations of all failures together, found
by beam search. So failures are explained away: an entry that is surely bad takes the blame for all
the states that hold it. (Belief propagation was tried first: on the nested sets of a queue it
settles on a wrong culprit now and then, and rejects it.)

A run that has gone on for a while without failing speaks for its members (survival): the chance
that a bad one would have shown by then is `detected`.
"""

from __future__ import annotations

import dataclasses
import heapq
import math
from collections import defaultdict
from collections.abc import Callable, Iterable

from cupel.core.speculation.lattice import Entry, Lattice, Trial

BEAM = 48
"""Explanations of all failures that are kept, likeliest first."""

ALIKE, ELSEWHERE = 1.4, 0.1
"""Two failures within this ratio of each other in time may well be one fault's; else rarely."""

SETS = 16
"""Failed trials of a job that are looked at, smallest first: larger ones say the same less well."""

BASE = 0.0005
"""Chance that a job is broken on the very branch head, which passed it when it landed."""

LEAST, MOST = 1e-6, 1 - 1e-9

RERUN_MISSED = 0.1
"""Chance that a bad entry's rerun gets a quarter past where it failed first, and still fails."""

Detected = Callable[[float], float]
"""The share of true failures that have shown after this fraction of a pass's duration."""


def evenly(fraction: float) -> float:
    """Failures are as likely at any moment; a few only show at the very end."""
    return min(0.95, max(0.0, fraction) * 0.95)


@dataclasses.dataclass(slots=True)
class Beliefs:
    """`bad` by entry id; `broken` by job: the chance that the job fails without any entry."""

    bad: dict[int, float]
    broken: dict[str, float]
    cleared: dict[str, int]
    """By job, the entries that a pass has cleared."""
    unexplained: list[tuple[int, float]] = dataclasses.field(default_factory=list)
    """The entries in doubt of each failed trial, with the chance that it was a flake."""

    def good(self, members: int, entries: Iterable[Entry]) -> float:
        chance = 1.0
        for entry in entries:
            if members & entry.bit:
                chance *= 1 - self.bad[entry.id]
        return chance


def infer(lattice: Lattice, now: float, detected: Detected = evenly) -> Beliefs:
    """The chances, given all trials of the lattice."""
    by_job: defaultdict[str, list[Trial]] = defaultdict(list)
    touching: defaultdict[str, int] = defaultdict(int)
    for trial in lattice.trials.values():
        by_job[trial.job].append(trial)
        touching[trial.job] |= trial.members & lattice.live
    counts: dict[int, int] = {}
    for entry in lattice.entries:
        counts[entry.bit] = sum(1 for mask in touching.values() if mask & entry.bit)
    good = {entry.bit: 1.0 for entry in lattice.entries}
    beliefs = Beliefs(bad={}, broken={}, cleared={})
    for job, trials in by_job.items():
        _infer_job(lattice, job, trials, touching[job], counts, good, beliefs, now, detected)
    for entry in lattice.entries:
        untried = not counts[entry.bit]
        beliefs.bad[entry.id] = prior(entry) if untried else 1 - good[entry.bit]
    return beliefs


def prior(entry: Entry) -> float:
    """The chance before any state that is still there was run."""
    chance = min(MOST, max(LEAST, entry.prior))
    if not entry.doubt:
        return chance
    return _chance(_odds(chance) * math.exp(min(30.0, entry.doubt)))


def _odds(chance: float) -> float:
    return chance / (1 - chance)


def _chance(odds: float) -> float:
    return min(MOST, odds / (1 + odds))


def _infer_job(  # noqa: PLR0913 - the parts of one sum
    lattice: Lattice,
    job: str,
    trials: list[Trial],
    touching: int,
    counts: dict[int, int],
    good: dict[int, float],
    beliefs: Beliefs,
    now: float,
    detected: Detected,
) -> None:
    cleared = 0
    for trial in trials:
        if trial.passed:
            cleared |= trial.members
    cleared &= lattice.live
    beliefs.cleared[job] = cleared
    odds = _survival(lattice, trials, touching & ~cleared, counts, now, detected)
    failed = _failed(lattice, trials, cleared)
    base = _base(lattice, job, trials, now, detected)
    if failed:
        base, shares = _explain(odds, base, failed)
        blurred = [failure.members for failure in failed]
        beliefs.unexplained += zip(blurred, shares, strict=True)
    beliefs.broken[job] = _chance(base)
    for bit, value in odds.items():
        good[bit] *= 1 - _chance(value)


def _base(lattice: Lattice, job: str, trials: list[Trial], now: float, detected: Detected) -> float:
    """The odds that the job fails on the head itself, the failed trials aside.

    A pass of the job anywhere since the failures began says that it does not.
    """
    on_head = lattice.bases.get(job)
    began = min((t for trial in trials if trial.failing for t in trial.failed_when), default=now)
    odds = _odds(BASE)
    if on_head is not None:
        if on_head.passed:
            return LEAST
        if on_head.failed_at:
            odds /= on_head.flake ** len(on_head.failed_at)
        odds *= _survived(on_head, now, detected)
    if any(trial.passed and trial.passed_when >= began for trial in trials):
        return LEAST
    alive = [_survived(t, now, detected) for t in trials if not t.failed_at]
    return max(LEAST, odds * min(alive, default=1.0))


def _survival(  # noqa: PLR0913
    lattice: Lattice,
    trials: list[Trial],
    open_: int,
    counts: dict[int, int],
    now: float,
    detected: Detected,
) -> dict[int, float]:
    """The odds by bit of those that no pass has cleared: the prior, and how far runs have come."""
    odds: dict[int, float] = {}
    for entry in lattice.entries:
        if open_ & entry.bit:
            chance = prior(entry)
            if (shares := counts[entry.bit]) > 1:
                chance = 1 - (1 - chance) ** (1 / shares)
            odds[entry.bit] = _odds(chance)
    running = [(_survived(t, now, detected), t.members) for t in trials if t.runs or t.survived]
    running.sort()
    waiting = open_
    for share, members in running:
        hit = members & waiting
        if not hit or share >= 1:
            continue
        waiting &= ~hit
        while hit:
            bit = hit & -hit
            odds[bit] *= share
            hit ^= bit
    return odds


def _survived(trial: Trial, now: float, detected: Detected) -> float:
    """How much less likely it has become that a member is bad, as the running runs go on."""
    elapsed = max([trial.survived, *(now - run.started_at for run in trial.runs)])
    if not trial.failed_at:
        return 1 - detected(elapsed / trial.seconds if trial.seconds else 1.0)
    # A true failure comes back where it was; past that, it speaks for a flake.
    return RERUN_MISSED if elapsed > 1.25 * min(trial.failed_at) + 1 else 1.0


@dataclasses.dataclass(frozen=True, slots=True)
class _Failure:
    """A failed trial: who in it may be to blame, the chance of so many flakes, where it failed."""

    members: int
    leak: float
    at: float


def _failed(lattice: Lattice, trials: list[Trial], cleared: int) -> list[_Failure]:
    found: list[_Failure] = []
    gone = ~(lattice.live | lattice.landed)
    for trial in trials:
        if not trial.failed_at or trial.passed or trial.members & gone:
            continue  # if one has left that was in it, that one takes the blame
        found.append(
            _Failure(
                members=trial.members & lattice.live & ~cleared,
                leak=trial.flake ** len(trial.failed_at),
                at=sum(trial.failed_at) / len(trial.failed_at),
            )
        )
    found.sort(key=lambda failure: failure.members.bit_count())
    return found[:SETS]


def _explain(
    odds: dict[int, float], base: float, failures: list[_Failure]
) -> tuple[float, list[float]]:
    """Bring the odds to their posterior in place.

    Returned are the posterior odds of the base and, for each failure, the chance of a flake.

    An explanation says of each failure which bad entry it came from, if from any; the base is one
    more culprit, that every failure may have come from. They are built failure by failure, and
    only the likeliest are kept at each. One that is bad breaks the same thing each time, so where
    its failures lie far apart they are less likely its own.
    """
    found: dict[tuple[int, tuple[tuple[int, float], ...], int], float] = {(0, (), 0): 1.0}
    for number, failure in enumerate(failures):
        grown: dict[tuple[int, tuple[tuple[int, float], ...], int], float] = {}

        def grow(
            key: tuple[int, tuple[tuple[int, float], ...], int],
            weight: float,
            into: dict[tuple[int, tuple[tuple[int, float], ...], int], float] = grown,
        ) -> None:
            into[key] = into.get(key, 0.0) + weight

        for (bad, places, flakes), weight in found.items():
            hit = bad & (failure.members | _BASE_BIT)
            if hit:
                alike = max(_alike(place, failure.at) for bit, place in places if bit & hit)
                grow((bad, places, flakes), weight * alike)
                if alike == 1.0:
                    continue
            grow((bad, places, flakes | 1 << number), weight * failure.leak)
            for bit in _bits(failure.members & ~bad):
                more = tuple(sorted((*places, (bit, failure.at))))
                grow((bad | bit, more, flakes), weight * odds[bit])
            if not bad & _BASE_BIT:
                more = tuple(sorted((*places, (_BASE_BIT, failure.at))))
                grow((bad | _BASE_BIT, more, flakes), weight * base)
        found = dict(heapq.nlargest(BEAM, grown.items(), key=lambda pair: pair[1]))
    return _marginals(odds, found, len(failures))


_BASE_BIT = 1 << 60_000
"""Beyond every entry's: the branch head itself."""


def _alike(place: float, other: float) -> float:
    low, high = sorted((place + 5.0, other + 5.0))
    return 1.0 if high <= ALIKE * low else ELSEWHERE


def _marginals(
    odds: dict[int, float],
    explanations: dict[tuple[int, tuple[tuple[int, float], ...], int], float],
    failures: int,
) -> tuple[float, list[float]]:
    total = sum(explanations.values())
    blamed: defaultdict[int, float] = defaultdict(float)
    flaked = [0.0] * failures
    for (bad, _, flakes), weight in explanations.items():
        share = weight / total
        for bit in _bits(bad):
            blamed[bit] += share
        for number in _places(flakes):
            flaked[number] += share
    for bit, share in blamed.items():
        if bit != _BASE_BIT:
            before = _chance(odds[bit])
            odds[bit] = _odds(min(MOST, share + (1 - share) * before))
    return _odds(min(MOST, blamed[_BASE_BIT])), flaked


def _places(mask: int) -> list[int]:
    return [bit.bit_length() - 1 for bit in _bits(mask)]


def _bits(mask: int) -> list[int]:
    found = []
    while mask:
        bit = mask & -mask
        found.append(bit)
        mask ^= bit
    return found
