"""What the outcomes so far say of each entry: the chance that it breaks its branch.

The model is a leaky noisy-OR (Pearl, Probabilistic Reasoning in Intelligent Systems, 1988): a run
of a job fails if any entry in its state breaks that job, if the branch itself is broken for it, or
by a flake. Its posterior is summed over the likeliest explanations of all failures together, found
by beam search. So failures are explained away: an entry that is surely bad takes the blame for all
the states that hold it. (Belief propagation was tried first: on the nested sets of a queue it
settles on a wrong culprit now and then, and rejects it.)

A run that has gone on for a while without failing speaks for its members (survival): the chance
that a bad one would have shown by then is `detected`. And a fault breaks the same thing each time:
a run that gets past the place of a failure speaks for all its members that might have caused it.
"""

from __future__ import annotations

import dataclasses
import heapq
from collections import defaultdict
from collections.abc import Callable, Iterable

from cupel.core.speculation.lattice import Entry, Lattice, Trial

BEAM = 32
"""Explanations of all failures that are kept, likeliest first."""

ALIKE, ELSEWHERE = 1.4, 0.03
"""Two failures within this ratio of each other in time may well be one fault's; else rarely."""

CHANCE_ALIKE = 0.4
"""How often two flakes happen to be so near to each other."""

SETS = 12
"""Failed trials of a job that are looked at, smallest first: larger ones say the same less well."""

ENOUGH = 3
"""A failed trial says nothing new if it holds so many others that failed at the same place."""

BASE = 0.005
"""Chance that a job is broken on the very branch head, which passed it when it landed."""

TOGETHER = 0.001
"""Odds that an entry that passed elsewhere fails with what else is in a state."""

LEAST, MOST = 1e-6, 1 - 1e-9

RAREST = 1e-4
"""No job flakes less often than that."""

PAST = ((3.0, 0.005), (1.6, 0.03), (1.25, 0.1))
"""Chance that a fault stays hidden in a run that goes on for more than so many times the seconds
at which it showed before."""

WITNESSES, AGAIN = 5, 0.3
"""So many such runs are looked at; each after the first counts so much."""

SPREAD = 2.0
"""How little flake rates vary from the expected one: the shape of a gamma distribution. So one
flake makes the next likelier: there are storms, and estimates are wrong."""

STORM = 12
"""Flakes after which no further one makes the next likelier."""

COUNTED = 8
"""Failures of one trial after which another says nothing new."""

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
    now: float = 0.0
    """When it is."""

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
    live = lattice.live
    for trial in lattice.trials.values():
        by_job[trial.job].append(trial)
        touching[trial.job] |= trial.members & live
    counts: dict[int, int] = {}
    for mask in touching.values():
        for bit in _bits(mask):
            counts[bit] = counts.get(bit, 0) + 1
    odds = {entry.bit: _share_odds(entry, counts.get(entry.bit, 1)) for entry in lattice.entries}
    good = dict.fromkeys(odds, 1.0)
    beliefs = Beliefs(bad={}, broken={}, cleared={}, now=now)
    for job, trials in by_job.items():
        _Job(lattice, job, trials, touching[job], odds, now, detected).infer(good, beliefs)
    for entry in lattice.entries:
        tried = entry.bit in counts
        beliefs.bad[entry.id] = 1 - good[entry.bit] if tried else prior(entry)
    return beliefs


def prior(entry: Entry) -> float:
    """The chance before any state that is still there was run."""
    return min(MOST, max(LEAST, entry.prior))


def _share_odds(entry: Entry, shares: int) -> float:
    """The odds that it breaks a certain one of so many jobs."""
    chance = prior(entry)
    if shares > 1:
        chance = 1 - (1 - chance) ** (1 / shares)
    return _odds(chance)


def _odds(chance: float) -> float:
    return chance / (1 - chance)


def _chance(odds: float) -> float:
    return min(MOST, odds / (1 + odds))


@dataclasses.dataclass(frozen=True, slots=True)
class _Failure:
    """A failed trial: the live entries in it, the chance of so many flakes, where it failed."""

    members: int
    leak: float
    times: int
    at: float


class _Job:
    """One job's trials, and what they say."""

    def __init__(  # noqa: PLR0913, RUF100 - the parts of one sum
        self,
        lattice: Lattice,
        job: str,
        trials: list[Trial],
        touching: int,
        priors: dict[int, float],
        now: float,
        detected: Detected,
    ) -> None:
        self.lattice = lattice
        self.job = job
        self.trials = trials
        self.touching = touching
        self.priors = priors
        self.now = now
        self.detected = detected

    def infer(self, good: dict[int, float], beliefs: Beliefs) -> None:
        """Multiply the chances of being `good`, and fill in what is known of the job."""
        cleared = 0
        for trial in self.trials:
            if trial.passed:
                cleared |= trial.members
        cleared &= self.lattice.live
        beliefs.cleared[self.job] = cleared
        open_ = self.touching & ~cleared
        failed = self._failed()
        if failed:
            base = (self._base(), self._base_reach())
            share = _Explaining(failed, self._reach(failed), self.priors, cleared, base)
            beliefs.broken[self.job] = share.base
            beliefs.unexplained += [
                (failure.members & ~cleared, flaked)
                for failure, flaked in zip(failed, share.flaked, strict=True)
            ]
            blamed = share.blamed
        else:
            beliefs.broken[self.job] = _chance(self._base())
            blamed = {}
        for bit, odds in self._survival(open_).items():
            good[bit] *= (1 - blamed.pop(bit, 0.0)) * (1 - _chance(odds))
        for bit, chance in blamed.items():
            good[bit] *= 1 - chance

    def _base(self) -> float:
        """The odds that the job fails on the head itself, the failed trials aside.

        A pass of the job anywhere since the failures began says that it does not.
        """
        began = min(
            (t for trial in self.trials if trial.failing for t in trial.failed_when),
            default=self.now,
        )
        odds = _odds(BASE)
        on_head = self.lattice.bases.get(self.job)
        if on_head is not None:
            if on_head.passed:
                return 0.0
            if on_head.failed_at:
                # What passes elsewhere may pass because an entry there repairs the branch.
                return odds / on_head.flake ** len(on_head.failed_at)
            odds *= self._survived(on_head)
        if any(trial.passed and trial.passed_when >= began for trial in self.trials):
            return 0.0
        alive = [self._survived(t) for t in self.trials if not t.failed_at]
        return max(LEAST, odds * min(alive, default=1.0))

    def _base_reach(self) -> list[float]:
        """The seconds that runs on anything have gone on: the longest few, in order."""
        trials = [trial for trial in self.trials if not trial.failed_at]
        if (on_head := self.lattice.bases.get(self.job)) is not None:
            trials.append(on_head)
        return heapq.nlargest(WITNESSES, (_elapsed(trial, self.now) for trial in trials))

    def _survived(self, trial: Trial) -> float:
        """How much less likely it has become that a member is bad, as runs go on."""
        if trial.failed_at or not (trial.runs or trial.survived):
            return 1.0
        elapsed = _elapsed(trial, self.now)
        return 1 - self.detected(elapsed / trial.seconds if trial.seconds else 1.0)

    def _survival(self, open_: int) -> dict[int, float]:
        """The odds by bit of those that no pass has cleared: the prior, and how far runs are."""
        odds: dict[int, float] = {}
        running = [
            (self._survived(trial), trial.members)
            for trial in self.trials
            if (trial.runs or trial.survived) and not trial.failed_at and not trial.passed
        ]
        running.sort()
        waiting = open_
        for share, members in running:
            hit = members & waiting
            waiting &= ~hit
            for bit in _bits(hit):
                odds[bit] = self.priors[bit] * share
        for bit in _bits(waiting):
            odds[bit] = self.priors[bit]
        return odds

    def _failed(self) -> list[_Failure]:
        gone = ~(self.lattice.live | self.lattice.landed)
        trials = [
            trial
            for trial in self.trials
            # If one has left that was in it, that one takes the blame.
            if trial.failed_at and not trial.passed and not trial.members & gone
        ]
        live = self.lattice.live
        trials.sort(key=lambda trial: ((trial.members & live).bit_count(), trial.members))
        found: list[_Failure] = []
        for trial in trials:
            members = trial.members & live
            at = sum(trial.failed_at) / len(trial.failed_at)
            near = [other for other in found if _alike(at, other.at)]
            if sum(not other.members & ~members for other in near) >= ENOUGH:
                continue
            alike = len(near) + _repeats(trial.failed_at)
            found.append(_Failure(members, _leak(trial, alike), len(trial.failed_at), at))
            if len(found) == SETS:
                break
        return found

    def _reach(self, failed: list[_Failure]) -> dict[int, list[float]]:
        """By bit of those that may be to blame, the seconds that runs with it have gone on: the
        longest few, in order."""
        suspects = 0
        for failure in failed:
            suspects |= failure.members
        runs = [
            (max(_elapsed(trial, self.now), _showed(trial) / ALIKE), trial.members & suspects)
            for trial in self.trials
            if not trial.passed
        ]
        runs.sort(reverse=True)
        reach: dict[int, list[float]] = {bit: [] for bit in _bits(suspects)}
        lacking = [suspects] * WITNESSES
        for elapsed, members in runs:
            left = members & lacking[-1]
            for place, lacks in enumerate(lacking):
                hit = left & lacks
                lacking[place] = lacks & ~hit
                left &= ~hit
                for bit in _bits(hit):
                    reach[bit].append(elapsed)
        return reach


def _elapsed(trial: Trial, now: float) -> float:
    """The seconds that a run of it went on, or goes on, without failing."""
    return max([trial.survived, *(now - run.started_at for run in trial.runs)])


def _showed(trial: Trial) -> float:
    return max(trial.failed_at, default=0.0)


def _leak(trial: Trial, alike: int) -> float:
    """The chance that all its failures were flakes, so many of them near to another."""
    flakes = max(RAREST, trial.flake) ** min(COUNTED, len(trial.failed_at))
    return flakes * CHANCE_ALIKE ** min(3, alike)


def _alike(place: float, other: float) -> bool:
    low, high = sorted((place + 5.0, other + 5.0))
    return high <= ALIKE * low


def _repeats(places: list[float]) -> int:
    return sum(_alike(places[0], place) for place in places[1:])


def _missed(reach: list[float], place: float) -> float:
    """The chance that a fault that showed at a place stays hidden in runs that went on so long."""
    found = 1.0
    for number, elapsed in enumerate(reach):
        for times, chance in PAST:
            if elapsed > times * (place + 2.0):
                found *= AGAIN if number else chance
                break
    return found


_Key = tuple[int, tuple[tuple[int, float], ...], int]
"""Of an explanation: the culprits, where each failed first, and which failures were flakes."""


class _Explaining:
    """What may have caused all failures together.

    `blamed` is by bit of an entry the chance that it caused one of them, `base` the chance that the
    branch head did, and `flaked` by failure that nothing did.

    An explanation says of each failure which culprit it came from, if from any. Entries that the
    same failures hold are one culprit, told apart only at the end; the base is one more, that every
    failure may have come from. Explanations are built failure by failure, and only the likeliest
    are kept at each. One that is bad breaks the same thing each time, so where its failures lie far
    apart they are less likely its own.
    """

    def __init__(
        self,
        failures: list[_Failure],
        reach: dict[int, list[float]],
        priors: dict[int, float],
        cleared: int,
        base: tuple[float, list[float]],
    ) -> None:
        self._failures = failures
        self._reach = reach
        self._priors = priors
        self._cleared = cleared
        self._base_odds, self._base_reach = base
        self._groups = self._grouped()
        self._weights: dict[tuple[int, float], float] = {}
        self.blamed: dict[int, float] = {}
        self.base = 0.0
        self.flaked = [0.0] * len(failures)
        self._share_out(self._search())

    def _grouped(self) -> list[tuple[int, int]]:
        """The culprits: the failures that hold them, and their bits. The first is the base."""
        waiting = 0
        for failure in self._failures:
            waiting |= failure.members
        groups = [((1 << len(self._failures)) - 1, 0)]
        parts = [(0, waiting)]
        for number, failure in enumerate(self._failures):
            split: list[tuple[int, int]] = []
            for inside, bits in parts:
                if hit := bits & failure.members:
                    split.append((inside | 1 << number, hit))
                if rest := bits & ~failure.members:
                    split.append((inside, rest))
            parts = split
        return groups + parts

    def _odds_of(self, bit: int, place: float) -> float:
        odds = TOGETHER if bit & self._cleared else self._priors[bit]
        return odds * _missed(self._reach.get(bit, []), place)

    def _weight(self, group: int, place: float) -> float:
        key = (group, place)
        found = self._weights.get(key)
        if found is None:
            if bits := self._groups[group][1]:
                found = sum(self._odds_of(bit, place) for bit in _bits(bits))
            else:
                found = self._base_odds * _missed(self._base_reach, place)
            self._weights[key] = found
        return found

    def _search(self) -> dict[_Key, float]:
        found: dict[_Key, float] = {(0, (), 0): 1.0}
        for number, failure in enumerate(self._failures):
            grown: defaultdict[_Key, float] = defaultdict(float)
            holding = [at for at, group in enumerate(self._groups) if group[0] >> number & 1]
            could = sum(1 << at for at in holding)
            for (bad, places, flakes), weight in found.items():
                if bad & could:
                    near = any(
                        could >> at & 1 and _alike(place, failure.at) for at, place in places
                    )
                    grown[bad, places, flakes] += weight * (1.0 if near else ELSEWHERE)
                    if near:
                        continue
                leak = failure.leak * _storm(flakes.bit_count(), failure.times)
                grown[bad, places, flakes | 1 << number] += weight * leak
                for at in holding:
                    if not bad >> at & 1:
                        more = (*places, (at, failure.at))
                        grown[bad | 1 << at, more, flakes] += weight * self._weight(at, failure.at)
            found = dict(heapq.nlargest(BEAM, grown.items(), key=lambda pair: pair[1]))
        return found

    def _share_out(self, explanations: dict[_Key, float]) -> None:
        total = sum(explanations.values())
        blame: defaultdict[tuple[int, float], float] = defaultdict(float)
        for (_, places, flakes), weight in explanations.items():
            share = weight / total
            for culprit in places:
                blame[culprit] += share
            for number in range(len(self._failures)):
                if flakes >> number & 1:
                    self.flaked[number] += share
        for (group, place), share in blame.items():
            bits = self._groups[group][1]
            if not bits:
                self.base = min(MOST, self.base + share)
                continue
            part = share / self._weight(group, place)
            for bit in _bits(bits):
                now = self.blamed.get(bit, 0.0) + part * self._odds_of(bit, place)
                self.blamed[bit] = min(MOST, now)


def _storm(before: int, times: int) -> float:
    """How much likelier flakes are after so many others have been seen."""
    factor = 1.0
    for number in range(before, before + min(times, COUNTED)):
        factor *= (SPREAD + min(STORM, number)) / SPREAD
    return factor


def _bits(mask: int) -> list[int]:
    found = []
    while mask:
        bit = mask & -mask
        found.append(bit)
        mask ^= bit
    return found
