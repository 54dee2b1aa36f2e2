"""Uber's SubmitQueue: the likeliest builds of the speculation tree, greedily, best first.

Sources: Ananthanarayanan et al., Keeping Master Green at Scale (EuroSys 2019), for the tree, the
value of a build, the conflict analyser and preemption. Juloori et al., CI at Scale: Lean, Green,
and Fast (arXiv 2501.03440, 2025), for the threshold below which nothing is built and for bypassing
large diffs: a change lands before one that it conflicts with if it passed with it and without it.

A build of a change assumes of each change ahead that it conflicts with whether that one lands. Its
value is the chance that all these assumptions come true, from the chances of success that a model
gives. The originals' models read features of a change, among them how its speculative builds
went; here they are told the same chances as Cupel's policies, and sharpen them by what builds said:
a pass clears, a failure is blamed on members in proportion. Two changes conflict if they share a
job, which is what an analyser of build targets finds. Independent changes land in any order.
"""

from __future__ import annotations

import dataclasses
import heapq
import itertools
from collections.abc import Iterator

from cupel.core.speculation.belief import Beliefs
from cupel.core.speculation.lattice import Entry, Lattice, State, Trial
from cupel.core.speculation.policy import Plan
from cupel.simulate.queueing.peers import chain

LEAST = 0.001
"""Builds of a smaller value are not looked for, in any edition."""

CLEARED = 0.001
"""Chance that a change is bad all of whose jobs have passed with it somewhere."""

THRESHOLD = 0.05
"""What the edition of 2025 builds at least; the paper tunes it for each repository."""

BYPASSED = 3
"""The most changes that are bypassed together: their outcomes' number doubles with each."""


class SubmitQueue:
    """`threshold` is the value below which a build is not made."""

    def __init__(self, *, threshold: float, reruns: int) -> None:
        self._threshold = max(threshold, LEAST)
        self._reruns = reruns

    def plan(
        self, lattice: Lattice, beliefs: Beliefs, *, now: float, machines: int, landing_set: bool
    ) -> Plan:
        """The builds of the highest values that machines will do for; others are preempted."""
        plan = chain.empty()
        bad = chances(lattice)
        values: dict[int, float] = {}
        found: dict[int, tuple[State, Trial]] = {}
        trees = [_Tree(lattice, entries, bad) for entries in components(lattice)]
        for value, state in _best_first(trees, self._threshold):
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


def components(lattice: Lattice) -> list[list[Entry]]:
    """The entries in groups that share no job with each other, each group in order."""
    groups: list[tuple[set[str], list[Entry]]] = []
    for entry in lattice.entries:
        jobs = set(touched(lattice, entry))
        needed = entry.needs & lattice.live
        joined = [entry]
        apart: list[tuple[set[str], list[Entry]]] = []
        for known, members in groups:
            if known & jobs or any(member.bit & needed for member in members):
                jobs |= known
                joined += members
            else:
                apart.append((known, members))
        joined.sort(key=lambda member: member.bit)
        groups = [*apart, (jobs, joined)]
    return [members for _, members in groups]


def touched(lattice: Lattice, entry: Entry) -> frozenset[str]:
    """The jobs that depend on the entry."""
    below = lattice.root.trials or {}
    trials = lattice.child(lattice.root, entry).trials or {}
    return frozenset(job for job, trial in trials.items() if below.get(job) is not trial)


def chances(lattice: Lattice) -> dict[int, float]:
    """By entry, that it is bad: the model's chance, sharpened by builds so far."""
    cleared: dict[str, int] = {}
    for trial in lattice.trials.values():
        if trial.passed:
            cleared[trial.job] = cleared.get(trial.job, 0) | trial.members
    bad: dict[int, float] = {}
    for entry in lattice.entries:
        clear = all(cleared.get(job, 0) & entry.bit for job in touched(lattice, entry))
        bad[entry.id] = min(CLEARED, entry.prior) if clear else entry.prior
    return _blamed(lattice, bad)


def _blamed(lattice: Lattice, bad: dict[int, float]) -> dict[int, float]:
    """After failures: an entry's chance given that a build with it failed, the highest of them."""
    after = dict(bad)
    gone = ~(lattice.live | lattice.landed)
    for trial in lattice.trials.values():
        if trial.passed or not trial.failed_at or trial.members & gone:
            continue
        members = [entry for entry in lattice.entries if entry.bit & trial.members]
        fine = 1.0 - trial.flake ** len(trial.failed_at)
        for entry in members:
            fine *= 1 - bad[entry.id]
        for entry in members:
            blame = bad[entry.id] / max(1 - fine, bad[entry.id])
            after[entry.id] = max(after[entry.id], blame)
    return after


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Commutative:
    """Lands what has passed on the branch itself, unless it conflicts with one ahead of it.

    `bypass`: it lands all the same if it passed whatever becomes of those ahead.
    """

    reruns: int
    bypass: bool = False
    landing_set: bool = False

    def landable(self, lattice: Lattice, beliefs: Beliefs) -> list[State] | None:
        for entry in lattice.entries:
            state = lattice.root.children.get(entry.id)
            if state is None or not state.passed or entry.needs & lattice.live:
                continue
            ahead = _conflicting(lattice, entry)
            if not ahead or (self.bypass and _whatever(lattice, entry, ahead)):
                return [state]
        return None

    def convicted(self, lattice: Lattice, beliefs: Beliefs) -> list[Entry]:
        return [
            entry
            for entry in lattice.entries
            if (state := lattice.root.children.get(entry.id)) is not None
            and chain.failed(state, self.reruns)
            and not _conflicting(lattice, entry)
        ]


def _conflicting(lattice: Lattice, entry: Entry) -> list[Entry]:
    """Those ahead that share a job with the entry, or that it needs."""
    jobs = touched(lattice, entry)
    found: list[Entry] = []
    for other in lattice.entries:
        if other is entry:
            break
        if other.bit & entry.needs or jobs & touched(lattice, other):
            found.append(other)
    return found


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
