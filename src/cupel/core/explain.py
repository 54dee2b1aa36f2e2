"""Why a queue does what it does: what it believes, expects and wants, as values to be worded.

Made by the very functions that decide in `core.queue`, from one read, and it changes nothing.
Entries are named by their changes, of which a bundle has several.
"""

from __future__ import annotations

import dataclasses
import enum
from collections import defaultdict
from collections.abc import Iterable

from cupel.core import history, proving, queue, standing
from cupel.core.draft import Draft
from cupel.core.lane import Lane, place_of
from cupel.core.model import Change, ItemState, Pipeline, Queue
from cupel.core.speculation import belief, judge
from cupel.core.speculation.expected import Levers
from cupel.core.speculation.lattice import Entry, State, Trial
from cupel.core.speculation.policy import Want

Changes = tuple[int, ...]


class Aside(enum.StrEnum):
    """Why those behind an entry are proved without it."""

    SUSPECT = "suspect"
    HALF = "half"
    """It is in the later half of a set that failed without a suspect."""
    CANNOT = "cannot"
    """Its state can never pass: a conflict or a bad configuration."""
    NEEDS = "needs"
    """A change that it needs is set aside."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """What an entry's first chance is made of. The first one is the usual odds of its project."""

    name: str
    odds: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A job that failed `times` on a state and has not passed there.

    `changes` may be to blame; of these `doubted` have not passed the job elsewhere. `flake` is the
    chance that nothing is to blame; None where that is not weighed.
    """

    project: str
    job: str
    changes: Changes
    doubted: Changes
    times: int
    flake: float | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """An entry. `bad` is its chance to be bad, `began` what that was before anything ran.

    `on` are the changes beneath it where it is expected to land; None while that is not clear.
    `others` are the same for other states of it that are there.
    """

    changes: Changes
    title: str
    bad: float
    began: float
    factors: tuple[Factor, ...]
    failures: tuple[Failure, ...]
    on: Changes | None
    others: tuple[Changes, ...]
    aside: Aside | None
    wait: str | None


class Pending(enum.StrEnum):
    """Why a wanted run has not begun."""

    STATE = "state"
    MACHINE = "machine"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A run that the planner wants, on the changes of a state; none are the branch as it stands."""

    project: str
    job: str
    state: Changes
    score: float
    why: str
    rerun: bool
    build: int | None
    since: float | None
    pending: Pending | None


class How(enum.Enum):
    """How a state of the branch that may come stands."""

    PASSED = "passed"
    FAILING = "failing"
    CANNOT = "cannot"
    """It can never pass: a conflict or a bad configuration."""
    RUNNING = "running"
    WAITING = "waiting"
    UNMADE = "unmade"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Possible:
    """A state that the branch may come to: the changes on top of it, the last of which are `own`.

    `expected` is whether that is what they are expected to land on. `chance` is that of those ahead
    of them just those land that it holds.
    """

    changes: Changes
    own: Changes
    how: How
    expected: bool
    chance: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """The chance that a job fails on the branch itself, where it has failed on anything."""

    project: str
    job: str
    chance: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Proved:
    """A state that has passed: the changes that would land, and those that it waits for."""

    changes: Changes
    needs: Changes
    first: Changes


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """A queue for one branch. `landing` are the changes whose move is being made."""

    machines: int
    landing: Changes
    entries: tuple[Standing, ...]
    states: tuple[Possible, ...]
    wants: tuple[Wanted, ...]
    broken: tuple[Broken, ...]
    proved: tuple[Proved, ...]


def explain(draft: Draft, row: Queue, branch: str) -> Explained:
    """What the gate holds of this queue at the time of the draft, which stays as it is."""
    items = [
        item
        for item in draft.live_items(Pipeline.GATE)
        if item.branch == branch and draft.queue(item.project_id).id == row.id
    ]
    landing = [item for item in items if item.state is ItemState.LANDING]
    waiting = [item for item in items if item.state is not ItemState.LANDING]
    moving = tuple(item.change_id for item in landing if item.change_id is not None)
    machines = queue.machines(draft)
    if not waiting:
        return Explained(
            machines=machines,
            landing=moving,
            entries=(),
            states=(),
            wants=(),
            broken=(),
            proved=(),
        )
    return _Reading(draft, Lane(draft, row, waiting, landing)).explained(machines, moving)


class _Reading:
    """One lane, with what is believed and planned of it."""

    def __init__(self, draft: Draft, lane: Lane) -> None:
        self.draft = draft
        self.lane = lane
        self.lattice = lane.lattice
        self.beliefs = belief.infer(lane.lattice, draft.now)
        self.made = queue.propose(draft, lane, self.beliefs)
        self.failures = self._failures()
        self.asides = self._set_aside()

    def explained(self, machines: int, landing: Changes) -> Explained:
        wants = [want for want in self.made.wants if proving.is_of_use(want, self.beliefs)]
        return Explained(
            machines=machines,
            landing=landing,
            entries=tuple(self._standing(entry) for entry in self.lattice.entries),
            states=self._states(wants),
            wants=tuple(self._wanted(want) for want in wants),
            broken=self._broken(),
            proved=self._proved(),
        )

    # Names.

    def _changes(self, members: int) -> Changes:
        return tuple(
            number
            for entry in self.lattice.entries
            if members & entry.bit
            for number in self._of(entry)
        )

    def _of(self, entry: Entry) -> Changes:
        return tuple(
            item.change_id for item in self.lane.members(entry) if item.change_id is not None
        )

    def _path(self, states: Iterable[State]) -> Changes:
        return tuple(n for state in states if state.entry for n in self._of(state.entry))

    def _job(self, job: str) -> tuple[str, str]:
        project, name = self.lane.project_and_job(job)
        return project.name, name

    # Failures.

    def _failures(self) -> list[tuple[int, Failure]]:
        """Each with the bits of the entries in it, by job and then the smallest first."""
        by_job: defaultdict[str, list[Trial]] = defaultdict(list)
        for trial in self.lattice.trials.values():
            by_job[trial.job].append(trial)
        weighed = list(self.beliefs.unexplained)
        found: list[tuple[int, Failure]] = []
        for job, trials in by_job.items():
            failing = [trial for trial in trials if trial.failed_at and not trial.passed]
            live = self.lattice.live
            failing.sort(key=lambda trial: ((trial.members & live).bit_count(), trial.members))
            found += [(t.members & live, self._failure(job, t, weighed)) for t in failing]
        return found

    def _failure(self, job: str, trial: Trial, weighed: list[tuple[int, float]]) -> Failure:
        """`weighed` are the chances of flakes that are not yet given to a failure, in order."""
        members = trial.members & self.lattice.live
        doubted = members & ~self.beliefs.cleared.get(job, 0)
        at = next((at for at, (bits, _) in enumerate(weighed) if bits == doubted), None)
        project, name = self._job(job)
        return Failure(
            project=project,
            job=name,
            changes=self._changes(members),
            doubted=self._changes(doubted),
            times=len(trial.failed_at),
            flake=None if at is None else weighed.pop(at)[1],
        )

    def _broken(self) -> tuple[Broken, ...]:
        failing = {t.job for t in self.lattice.trials.values() if t.failed_at and not t.passed}
        failing |= {job for job, trial in self.lattice.bases.items() if trial.failing}
        found = [
            Broken(project=project, job=job, chance=self.beliefs.broken.get(key, 0.0))
            for key in failing
            for project, job in [self._job(key)]
        ]
        return tuple(sorted(found, key=lambda each: (each.project, each.job)))

    # Entries.

    def _standing(self, entry: Entry) -> Standing:
        expected = self.made.expected.get(entry.id)
        return Standing(
            changes=self._of(entry),
            title=self._change(entry).title,
            bad=self.beliefs.bad[entry.id],
            began=entry.prior,
            factors=self._factors(entry),
            failures=tuple(failure for bits, failure in self.failures if bits & entry.bit),
            on=None if expected is None else self._path(expected.path()[:-1]),
            others=self._others(entry, expected),
            aside=self.asides[entry.id],
            wait=standing.why_waits(self.draft, self.lane, self.beliefs, self.made, entry),
        )

    def _change(self, entry: Entry) -> Change:
        """Its change; of a bundle the first."""
        return self.draft.get(Change, self.lane.members(entry)[0].change_id)

    def _factors(self, entry: Entry) -> tuple[Factor, ...]:
        found = history.reason_for(self.draft, self._change(entry))
        return tuple(Factor(name=name, odds=odds) for name, odds in found)

    def _others(self, entry: Entry, expected: State | None) -> tuple[Changes, ...]:
        """Where else it is proved, or has been on a state that may still come."""
        found = {
            self._path(state.path()[:-1])
            for state in self.lattice.states()
            if state.entry is entry and state is not expected and place_of(state).proofs
        }
        return tuple(sorted(found))

    # States.

    def _states(self, wants: Iterable[Want]) -> tuple[Possible, ...]:
        """Those that are made, expected or wanted, each after the one beneath it."""
        expected = {id(state) for state in self.made.expected.values()}
        known = expected | {id(want.state) for want in wants}
        found: dict[int, State] = {}
        for state in self.lattice.states():
            if id(state) in known or place_of(state).proofs:
                found |= {id(step): step for step in state.path()}
        order = {entry.id: place for place, entry in enumerate(self.lattice.entries)}

        def place(state: State) -> tuple[int, bool, list[int]]:
            path = [order[step.entry.id] for step in state.path() if step.entry is not None]
            return path[-1], id(state) not in expected, path

        return tuple(
            Possible(
                changes=self._path(state.path()),
                own=() if state.entry is None else self._of(state.entry),
                how=_how(state),
                expected=id(state) in expected,
                chance=self._chance(state),
            )
            for state in sorted(found.values(), key=place)
        )

    def _chance(self, state: State) -> float:
        """That of the entries ahead of its own those that it holds are good, and no others."""
        chance = 1.0
        for entry in self.lattice.entries:
            if entry is state.entry:
                break
            bad = self.beliefs.bad[entry.id]
            chance *= 1 - bad if state.members & entry.bit else bad
        return chance

    def _set_aside(self) -> dict[int, Aside | None]:
        """By entry, why those behind it are proved without it."""
        asides: dict[int, Aside | None] = {}
        suspects = self._suspects()
        left_out = 0
        for entry, behind in zip(self.lattice.entries, self._behind(), strict=True):
            state = self.made.expected.get(entry.id)
            found: Aside | None = None
            if state is None:
                found = Aside.NEEDS if entry.needs & left_out else None
            elif state.broken is not None:
                found = Aside.CANNOT
            elif behind is None:
                found = Aside.SUSPECT if suspects & entry.bit else None
            elif not behind & entry.bit:
                clear = suspects & entry.bit or state.failing
                found = Aside.SUSPECT if clear else Aside.HALF
            asides[entry.id] = found
            left_out |= entry.bit if found else 0
        return asides

    def _suspects(self) -> int:
        accused, level = self.lattice.accused(), Levers().aside
        return sum(
            entry.bit
            for entry in self.lattice.entries
            if accused & entry.bit and self.beliefs.bad[entry.id] > level
        )

    def _behind(self) -> list[int | None]:
        """For each entry, what all expected states behind it hold; None where there are none."""
        found: list[int | None] = []
        common: int | None = None
        for entry in reversed(self.lattice.entries):
            found.append(common)
            state = self.made.expected.get(entry.id)
            if state is not None:
                common = state.members if common is None else common & state.members
        found.reverse()
        return found

    # Runs.

    def _wanted(self, want: Want) -> Wanted:
        project, job = self._job(want.trial.job)
        run = min(want.trial.runs, key=lambda run: run.started_at, default=None)
        made = want.base or want.state.trials is not None
        pending = Pending.MACHINE if made else Pending.STATE
        return Wanted(
            project=project,
            job=job,
            state=() if want.base else self._path(want.state.path()),
            score=want.score,
            why=want.why,
            rerun=want.rerun,
            build=None if run is None else run.id,
            since=None if run is None else run.started_at,
            pending=pending if run is None else None,
        )

    # Landing.

    def _proved(self) -> tuple[Proved, ...]:
        rules = queue.rules_of(self.lane.queue)
        found = []
        for state in self.lattice.states():
            if state.passed and state.entry is not None:
                needs, first = judge.held_up(self.lattice, self.beliefs, rules, state)
                path = state.path() if rules.landing_set else [state]
                found.append(
                    Proved(
                        changes=self._path(path),
                        needs=self._changes(needs),
                        first=self._changes(first),
                    )
                )
        return tuple(sorted(found, key=lambda each: (len(each.first), each.changes)))


def _how(state: State) -> How:
    trials = list(state.own_trials())
    if state.broken is not None:
        return How.CANNOT
    if state.trials is None:
        return How.UNMADE
    if state.passed:
        return How.PASSED
    if any(trial.failing for trial in trials):
        return How.FAILING
    return How.RUNNING if any(trial.runs for trial in trials) else How.WAITING
