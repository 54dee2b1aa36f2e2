"""Uber's SubmitQueue: the likeliest builds of the speculation tree, greedily, best first.

Sources: Ananthanarayanan et al., Keeping Master Green at Scale (EuroSys 2019), for the tree, the
value of a build, the conflict analyser and preemption. Juloori et al., CI at Scale: Lean, Green,
and Fast (arXiv 2501.03440, 2025), for the threshold below which nothing is built and for bypassing
large diffs: a change lands before one that it conflicts with if it passed with it and without it.

A build of a change assumes of each change ahead that it conflicts with whether that one lands. Its
value is the chance that all these assumptions come true, from the chances of success that a model
gives. The originals' models read features of a change, among them how its speculative builds
went; here they are told the same chances as Cupel's policies, and sharpen them by what builds said:
a pass clears all in it, a failure speaks against its change. Two changes conflict if they share a
job, which is what an analyser of build targets finds. Independent changes land in any order.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator

from cupel.core.speculation.belief import Beliefs
from cupel.core.speculation.lattice import Entry, Lattice, State, Trial
from cupel.core.speculation.policy import Plan
from cupel.simulate.queueing.peers import chain

LEAST = 0.01
"""Builds of a smaller value are not looked for, in any edition."""

CLEARED = 0.001
"""Chance that a change is bad all of whose jobs have passed with it somewhere."""

THRESHOLD = 0.05
"""What the edition of 2025 builds at least; the paper tunes it for each repository."""

BYPASSED = 3
"""The most changes that are bypassed together: their outcomes' number doubles with each."""


LOOKED_AT = 2
"""So many builds for each machine are looked at, best first, to find those to run."""


class SubmitQueue:
    """Policy and verdicts in one. `threshold` is the value below which a build is not made.

    What has passed on the branch itself lands, unless it conflicts with a change ahead. `bypass`:
    it lands all the same if it passed whatever becomes of those ahead.
    """

    landing_set = False

    def __init__(self, *, threshold: float = 0.0, bypass: bool = False, reruns: int) -> None:
        self._threshold = max(threshold, LEAST)
        self._bypass = bypass
        self._reruns = reruns
        self._touched: dict[int, frozenset[str]] = {}
        """By entry id, the jobs that depend on it."""

    def plan(
        self, lattice: Lattice, beliefs: Beliefs, *, now: float, machines: int, landing_set: bool
    ) -> Plan:
        """The builds of the highest values that machines will do for; others are preempted."""
        plan = chain.empty()
        bad = self.chances(lattice)
        values: dict[int, float] = {}
        found: dict[int, tuple[State, Trial]] = {}
        trees = [_Tree(lattice, entries, bad) for entries in self.components(lattice)]
        builds = _best_first(trees, self._threshold)
        for value, state in itertools.islice(builds, LOOKED_AT * machines):
            if len(values) >= machines:
                break
            plan.states.append(state)
            assert state.entry is not None
            plan.expected.setdefault(state.entry.id, state)
            for trial in state.own_trials():
                if trial.passed or len(trial.failed_at) > self._reruns:
                    continue
                values[id(trial)] = values.get(id(trial), 0.0) + value
                found.setdefault(id(trial), (state, trial))
        ranked = sorted(found, key=lambda number: -values[number])
        for number in ranked[:machines]:
            state, trial = found[number]
            chain.add(plan, state, [trial], self._reruns, values[number])
        return plan

    def landable(self, lattice: Lattice, beliefs: Beliefs) -> list[State] | None:
        for entry in lattice.entries:
            state = lattice.root.children.get(entry.id)
            if state is None or not state.passed or entry.needs & lattice.live:
                continue
            ahead = self._conflicting(lattice, entry)
            if not ahead or (self._bypass and _whatever(lattice, entry, ahead)):
                return [state]
        return None

    def convicted(self, lattice: Lattice, beliefs: Beliefs) -> list[Entry]:
        """Those that failed on the branch itself, with nothing ahead that they conflict with."""
        return [
            entry
            for entry in lattice.entries
            if (state := lattice.root.children.get(entry.id)) is not None
            and chain.failed(state, self._reruns)
            and not self._conflicting(lattice, entry)
        ]

    def _jobs(self, lattice: Lattice, entry: Entry) -> frozenset[str]:
        """Those that depend on the entry: what it changes on the branch itself."""
        found = self._touched.get(entry.id)
        if found is None:
            below = lattice.root.trials or {}
            trials = lattice.child(lattice.root, entry).trials or {}
            changed = (job for job, trial in trials.items() if below.get(job) is not trial)
            found = self._touched[entry.id] = frozenset(changed)
        return found

    def _conflicting(self, lattice: Lattice, entry: Entry) -> list[Entry]:
        """Those ahead that share a job with the entry, or that it needs."""
        jobs = self._jobs(lattice, entry)
        ahead = itertools.takewhile(lambda other: other is not entry, lattice.entries)
        return [
            other
            for other in ahead
            if other.bit & entry.needs or not jobs.isdisjoint(self._jobs(lattice, other))
        ]

    def components(self, lattice: Lattice) -> list[list[Entry]]:
        """The entries in groups that share no job with each other, each group in order."""
        groups: list[tuple[set[str], list[Entry]]] = []
        for entry in lattice.entries:
            jobs = set(self._jobs(lattice, entry))
            needed = entry.needs & lattice.live
            joined: list[Entry] = []
            apart: list[tuple[set[str], list[Entry]]] = []
            for known, members in groups:
                if known & jobs or (needed and any(m.bit & needed for m in members)):
                    jobs |= known
                    joined = [*heapq.merge(joined, members, key=lambda member: member.bit)]
                else:
                    apart.append((known, members))
            groups = [*apart, (jobs, [*joined, entry])]
        return [members for _, members in groups]

    def chances(self, lattice: Lattice) -> dict[int, float]:
        """By entry, that it is bad: the model's chance, sharpened by builds so far."""
        cleared: dict[str, int] = {}
        for trial in lattice.trials.values():
            if trial.passed:
                cleared[trial.job] = cleared.get(trial.job, 0) | trial.members
        bad: dict[int, float] = {}
        for entry in lattice.entries:
            jobs = self._jobs(lattice, entry)
            clear = all(cleared.get(job, 0) & entry.bit for job in jobs)
            bad[entry.id] = min(CLEARED, entry.prior) if clear else entry.prior
        return _blamed(lattice, bad)


class _Tree:
    """The speculation tree of changes that conflict, by value: who lands, decided one by one."""

    def __init__(self, lattice: Lattice, entries: list[Entry], bad: dict[int, float]) -> None:
        self._lattice = lattice
        self._entries = entries
        self._bad = bad
        self._count = itertools.count()
        self._open = [(-1.0, next(self._count), lattice.root, 0, 0)]

    @property
    def value(self) -> float:
        """The highest that is left; none is 0."""
        return -self._open[0][0] if self._open else 0.0

    def pop(self) -> tuple[float, State | None]:
        """The value of the next build, and its state; None if what it needs is assumed to fail."""
        least, _, at, place, out = heapq.heappop(self._open)
        entry, value = self._entries[place], -least
        if entry.needs & out:
            self._push(value, at, place + 1, out | entry.bit)
            return value, None
        state = self._lattice.child(at, entry)
        bad = self._bad[entry.id]
        self._push(value * (1 - bad), state, place + 1, out)
        self._push(value * bad, at, place + 1, out | entry.bit)
        return value, state

    def _push(self, value: float, at: State, place: int, out: int) -> None:
        if value >= LEAST and place < len(self._entries):
            heapq.heappush(self._open, (-value, next(self._count), at, place, out))


def _best_first(trees: list[_Tree], threshold: float) -> Iterator[tuple[float, State]]:
    """Builds of all trees by falling value."""
    waiting = [(-tree.value, number) for number, tree in enumerate(trees)]
    heapq.heapify(waiting)
    while waiting:
        tree = trees[waiting[0][1]]
        if tree.value < threshold:
            return
        value, state = tree.pop()
        heapq.heapreplace(waiting, (-tree.value, waiting[0][1]))
        if state is not None:
            yield value, state


def _blamed(lattice: Lattice, bad: dict[int, float]) -> dict[int, float]:
    """After failures: a build that failed speaks against its change, the last in it.

    It does so the less, the more those ahead in it are under suspicion for their own builds.
    """
    after = dict(bad)
    suspects: list[Entry] = []
    failed: dict[int, list[Trial]] = {}
    gone = ~(lattice.live | lattice.landed)
    for trial in lattice.trials.values():
        if trial.failed_at and not trial.passed and not trial.members & gone:
            failed.setdefault(trial.members.bit_length(), []).append(trial)
    for entry in lattice.entries:
        for trial in failed.get(entry.bit.bit_length(), ()):
            chance = bad[entry.id]
            others = trial.flake ** len(trial.failed_at)
            others += sum(after[e.id] for e in suspects if e.bit & trial.members)
            after[entry.id] = max(after[entry.id], chance / max(chance + others, LEAST))
        if after[entry.id] > bad[entry.id]:
            suspects.append(entry)
    return after


def _whatever(lattice: Lattice, entry: Entry, ahead: list[Entry]) -> bool:
    """Whether the entry's own jobs passed on each set of those ahead that may land."""
    if len(ahead) > BYPASSED:
        return False
    for count in range(1, len(ahead) + 1):
        for chosen in itertools.combinations(ahead, count):
            at: State | None = lattice.root
            for other in (*chosen, entry):
                at = at.children.get(other.id) if at is not None else None
            if at is None or not all(trial.passed for trial in at.own_trials()):
                return False
    return True
