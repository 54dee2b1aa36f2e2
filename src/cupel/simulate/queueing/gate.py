"""A queue in a world of machines that are only a number, decided by the gate's own code."""

from __future__ import annotations

import dataclasses
import heapq
import random
import time
from collections.abc import Hashable, Iterable

from cupel.control.engine import uninterrupted
from cupel.core.speculation import belief
from cupel.core.speculation.belief import Beliefs
from cupel.core.speculation.judge import Rules
from cupel.core.speculation.lattice import Entry, Lattice, Run, State, Trial
from cupel.core.speculation.policy import Plan, Policy, Want
from cupel.simulate.queueing import workload
from cupel.simulate.queueing.verdicts import ByRules, Verdicts
from cupel.simulate.queueing.workload import Arrival, Parameters, fails_at

BACK = 3600.0
"""Seconds after which somebody brings back a good change that was rejected."""

TICK = 60.0
"""Seconds between plannings while something is in doubt: chances sharpen as runs go on."""

LIMIT_HOURS = 400.0
"""Virtual hours after which a queue that does not keep up is no longer watched."""

TIDY = 32
"""Decisions after which states of which nothing came are forgotten."""

QUARTER = 0.25
"""The part of a run by whose end the share `early` of true failures has shown."""


@dataclasses.dataclass(slots=True)
class Fate:
    """What became of a change. Times are seconds; `left_at` is when it landed or was rejected."""

    arrival: Arrival
    landed_at: float | None = None
    rejected_at: float | None = None
    false_rejects: int = 0


@dataclasses.dataclass(slots=True)
class Outcome:
    """What a policy made of a seed."""

    fates: list[Fate]
    machine_seconds: float = 0.0
    wasted_seconds: float = 0.0
    builds: int = 0
    reruns: int = 0
    bad_landings: int = 0
    plan_seconds: list[float] = dataclasses.field(default_factory=list)
    """Of the processor: planning waits for nothing, and others may want the computer too."""
    busy: list[tuple[float, int]] = dataclasses.field(default_factory=list)
    """How many machines were busy from a moment on."""
    finished: bool = True


@dataclasses.dataclass(slots=True, eq=False)
class _Going:
    trial: Trial
    run: Run
    ends_at: float
    fails: bool


class Gate:
    """Runs one policy over one stream of changes.

    `early`: a failure is acted on when it shows; else when the run would have ended. `believes`:
    the policy or the verdicts read the beliefs, which are worked out for nobody else.
    """

    def __init__(
        self,
        parameters: Parameters,
        changes: Iterable[Arrival],
        policy: Policy,
        verdicts: Verdicts | Rules,
        *,
        seed: int,
        early: bool = True,
        believes: bool = True,
        limit_hours: float = LIMIT_HOURS,
    ) -> None:
        self.p = parameters
        self.policy = policy
        self.verdicts = ByRules(verdicts) if isinstance(verdicts, Rules) else verdicts
        self.early = early
        self.believes = believes
        self.seed = seed
        self.now = 0.0
        self.limit = limit_hours * 3600
        self.changes = list(changes)
        self.outcome = Outcome(fates=[Fate(change) for change in self.changes])
        self.flake = (
            parameters.flaky if parameters.believed_flaky is None else parameters.believed_flaky
        )
        self.lattice = Lattice(
            root=State(None, None), entries=[], trials={}, make=self._make, on_head=self._on_head
        )
        self.lattice.root.trials = {}
        self._of: dict[int, Arrival] = {}
        self._entry_of: dict[int, Entry] = {}
        self._going: dict[int, _Going] = {}
        self._attempts: dict[Hashable, int] = {}
        self._bad_bits = 0
        self._clashes: dict[int, int] = {}
        self._events: list[tuple[float, int, str, int]] = []
        self._count = 0
        self._ticking = False

    # The world.

    def run(self) -> Outcome:
        """Play until everything has landed or left, or the limit is reached."""
        for change in self.changes:
            self._at(change.at, "arrive", change.number)
        while self._events:
            self.now = self._events[0][0]
            if self.now > self.limit:
                self.outcome.finished = False
                break
            while self._events and self._events[0][0] <= self.now:
                _, _, what, number = heapq.heappop(self._events)
                self._happen(what, number)
            self._decide()
        return self.outcome

    def _at(self, when: float, what: str, number: int) -> None:
        self._count += 1
        heapq.heappush(self._events, (when, self._count, what, number))

    def _happen(self, what: str, number: int) -> None:
        match what:
            case "arrive":
                self._enter(self.changes[number])
            case "end":
                self._end(number)
            case "tick":
                self._ticking = False

    def _enter(self, change: Arrival) -> None:
        bit = 1 << len(self._of)
        needs = 0
        if change.needs is not None:
            below = self._entry_of.get(change.needs)
            # Where what it needed was rejected, it comes back made anew, as a change alone.
            if below is not None and below.bit & self.lattice.live:
                needs = below.bit
        entry = Entry(id=len(self._of), bit=bit, prior=change.prior, needs=needs)
        self._of[entry.id] = change
        self._entry_of[change.number] = entry
        if change.bad:
            self._bad_bits |= bit
        self.lattice.entries.append(entry)
        self.lattice.live |= bit
        if self.p.clash:
            self._clashes[bit] = self._draw_clashes(entry)

    def _draw_clashes(self, entry: Entry) -> int:
        """Those before it with which it fails; a change does not clash with what it was made on."""
        change, mask = self._of[entry.id], 0
        for other in self.lattice.entries[:-1]:
            pair = random.Random(  # noqa: S311
                f"clash {self.seed} {self._of[other.id].number} {change.number}"
            )
            if set(change.parts) & set(self._of[other.id].parts) and pair.random() < self.p.clash:
                mask |= other.bit
        return mask

    def _make(self, state: State) -> None:
        parent, entry = state.parent, state.entry
        assert parent is not None
        assert entry is not None
        assert parent.trials is not None
        trials = dict(parent.trials)
        for part in self._of[entry.id].parts:
            job = workload.job(part)
            below = trials.get(job)
            members = entry.bit | (below.members if below is not None else 0)
            key = (job, members)
            trial = self.lattice.trials.get(key)
            if trial is None:
                trial = Trial(
                    key=key,
                    job=job,
                    members=members,
                    seconds=self.p.job + self.p.boot,
                    flake=self.flake,
                )
                self.lattice.trials[key] = trial
            trials[job] = trial
        state.trials = trials

    def _on_head(self, job: str) -> Trial:
        seconds = self.p.job + self.p.boot
        return Trial(key=("head", job), job=job, members=0, seconds=seconds, flake=self.flake)

    # Runs.

    def _start(self, trial: Trial) -> None:
        attempt = self._attempts.get(trial.key, 0) + 1
        self._attempts[trial.key] = attempt
        length = self._length(trial, attempt)
        chance = random.Random(f"run {self.seed} {trial.key} {attempt}")  # noqa: S311
        at = self._true_failure(trial.members)
        flake = chance.random() < self._flaky_now()
        flaked_at = fails_at(self.p, chance)
        if at is None and flake:
            at = flaked_at
        self._count += 1
        run = Run(id=self._count, started_at=self.now, rerun=bool(trial.failed_at))
        trial.runs.append(run)
        shown = length * at if at is not None and self.early else length
        ends = self.now + self.p.boot + shown
        self._going[run.id] = _Going(trial, run, ends, at is not None)
        self._at(ends, "end", run.id)
        self.outcome.builds += 1
        self.outcome.reruns += run.rerun

    def _length(self, trial: Trial, attempt: int) -> float:
        """As long as the job takes for the last of the changes, whatever it stands on."""
        last = None if not trial.members else self._arrival(1 << trial.members.bit_length() - 1)
        return workload.run_seconds(self.p, self.seed, last, trial.job, attempt)

    def _flaky_now(self) -> float:
        start = self.p.storm_from * 3600
        if self.p.storm and start <= self.now < start + self.p.storm_hours * 3600:
            return self.p.storm
        return self.p.flaky

    def _true_failure(self, members: int) -> float | None:
        """Where a run on these members truly fails, if it does."""
        found: list[float] = []
        open_ = members & self.lattice.live
        bad = open_ & self._bad_bits
        while bad:
            bit = bad & -bad
            found.append(self._arrival(bit).fails_at)
            bad ^= bit
        if self.p.clash:
            while open_:
                bit = open_ & -open_
                if self._clashes.get(bit, 0) & members:
                    found.append(self._arrival(bit).fails_at)
                open_ ^= bit
        return min(found, default=None)

    def _arrival(self, bit: int) -> Arrival:
        return self._of[bit.bit_length() - 1]

    def _end(self, number: int) -> None:
        going = self._going.pop(number, None)
        if going is None:
            return
        going.trial.runs.remove(going.run)
        self.outcome.machine_seconds += self.now - going.run.started_at
        if going.fails:
            going.trial.failed_at.append(self.now - going.run.started_at)
            going.trial.failed_when.append(self.now)
        else:
            going.trial.passed = True
            going.trial.passed_when = self.now

    def _stop(self, run: Run) -> None:
        going = self._going.pop(run.id)
        going.trial.runs.remove(run)
        spent = self.now - run.started_at
        going.trial.survived = max(going.trial.survived, spent)
        self.outcome.machine_seconds += spent
        self.outcome.wasted_seconds += spent

    # Decisions.

    def _decide(self) -> None:
        plan = self._settle()
        self._carry_out(plan)
        if len(self.outcome.plan_seconds) % TIDY == 0:
            self._tidy(plan)
        busy = len(self._going)
        if not self.outcome.busy or self.outcome.busy[-1][1] != busy:
            self.outcome.busy.append((self.now, busy))
        if self.believes:
            self._tick()

    def _settle(self) -> Plan:
        """Judge and plan until a plan makes no state that is decided already."""
        while True:
            started = time.thread_time()
            with uninterrupted():
                plan, settled = self._plan()
            self.outcome.plan_seconds.append(time.thread_time() - started)
            if settled:
                return plan

    def _plan(self) -> tuple[Plan, bool]:
        """And whether nothing more follows."""
        beliefs = self._judge()
        plan = self.policy.plan(
            self.lattice,
            beliefs,
            now=self.now,
            machines=self.p.machines,
            landing_set=self.verdicts.landing_set,
        )
        landing = self.verdicts.landable(self.lattice, beliefs)
        return plan, landing is None and not self.verdicts.convicted(self.lattice, beliefs)

    def _tick(self) -> None:
        if self._ticking or not any(t.failing for t in self.lattice.trials.values()):
            return
        self._ticking = True
        self._at(self.now + TICK, "tick", 0)

    def _judge(self) -> Beliefs:
        """Land and reject until nothing more follows."""
        while True:
            beliefs = self._beliefs()
            landing = self.verdicts.landable(self.lattice, beliefs)
            if landing is not None:
                for state in landing:
                    self._land(state)
                self._prune()
                continue
            guilty = self.verdicts.convicted(self.lattice, beliefs)
            if not guilty:
                return beliefs
            for entry in guilty:
                self._reject(entry)
            self._prune()

    def _beliefs(self) -> Beliefs:
        if not self.believes:
            return Beliefs(bad={}, broken={}, cleared={})
        return belief.infer(self.lattice, self.now, self._detected)

    def _detected(self, fraction: float) -> float:
        if not self.early:
            return 0.0
        if fraction < QUARTER:
            return self.p.early * fraction / QUARTER
        later = (fraction - QUARTER) / (1 - QUARTER)
        return min(0.97, self.p.early + (1 - self.p.early) * later)

    def _land(self, state: State) -> None:
        entry = state.entry
        assert entry is not None
        assert state.parent is not None
        if self._true_failure(state.members) is not None:
            self.outcome.bad_landings += 1
        self.lattice.entries.remove(entry)
        self.lattice.live &= ~entry.bit
        self.lattice.landed |= entry.bit
        self.outcome.fates[self._of[entry.id].number].landed_at = self.now
        state.parent = None
        self.lattice.root = state

    def _reject(self, entry: Entry) -> None:
        for left in [e for e in self.lattice.entries if e is entry or e.needs & entry.bit]:
            self._leave(left, blamed=left is entry)

    def _leave(self, entry: Entry, *, blamed: bool) -> None:
        change = self._of[entry.id]
        fate = self.outcome.fates[change.number]
        self.lattice.entries.remove(entry)
        self.lattice.live &= ~entry.bit
        if change.bad:
            fate.rejected_at = self.now
            return
        if blamed:
            clash = bool(self._clashes.get(entry.bit, 0) & self.lattice.landed)
            if clash:
                fate.rejected_at = self.now
                return
            fate.false_rejects += 1
        self._at(self.now + BACK, "arrive", change.number)

    def _prune(self) -> None:
        """Forget states and trials that hold what has left."""
        gone = ~(self.lattice.live | self.lattice.landed)
        waiting = [self.lattice.root]
        while waiting:
            state = waiting.pop()
            state.children = {
                number: child
                for number, child in state.children.items()
                if not child.members & gone
            }
            waiting.extend(state.children.values())
        dead = [
            key
            for key, trial in self.lattice.trials.items()
            if trial.members & gone or not trial.members & self.lattice.live
        ]
        for key in dead:
            for run in list(self.lattice.trials[key].runs):
                self._stop(run)
            del self.lattice.trials[key]
        doubtful = {trial.job for trial in self.lattice.trials.values() if trial.failing}
        for job in set(self.lattice.bases) - doubtful:
            for run in list(self.lattice.bases.pop(job).runs):
                self._stop(run)

    def _tidy(self, plan: Plan) -> None:
        """Forget states that no plan needs and of whose own jobs nothing is known."""
        kept = {id(step) for state in plan.states for step in state.path()}
        found = [self.lattice.root, *self.lattice.states()]
        used: set[int] = set()
        for state in reversed(found):
            below = {n: child for n, child in state.children.items() if id(child) in kept}
            state.children = below
            if below or any(map(_touched, state.own_trials())):
                kept.add(id(state))
            if id(state) in kept:
                used.update(map(id, (state.trials or {}).values()))
        self.lattice.trials = {
            key: trial
            for key, trial in self.lattice.trials.items()
            if id(trial) in used or _touched(trial)
        }

    def _carry_out(self, plan: Plan) -> None:
        wanted = {id(want.trial) for want in plan.wants}
        for going in list(self._going.values()):
            if id(going.trial) not in wanted:
                self._stop(going.run)
        free = self.p.machines - len(self._going)
        for want in plan.wants:
            if free <= 0:
                break
            if self._begins(want):
                self._start(want.trial)
                free -= 1

    def _begins(self, want: Want) -> bool:
        return not want.trial.runs and not want.trial.passed


def _touched(trial: Trial) -> bool:
    """Whether it runs, or ran."""
    return bool(trial.runs or trial.failed_at or trial.passed or trial.survived)
