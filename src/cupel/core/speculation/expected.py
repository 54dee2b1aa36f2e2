"""Expected value: run what is likeliest to be needed, per minute of a machine.

SubmitQueue's idea (Ananthanarayanan et al., EuroSys 2019: a speculation tree, valued by the chance
that a build is needed), with four differences. The chances are beliefs that sharpen with each
outcome and with each minute that a run survives, not a model's guess at the beginning. An entry
under suspicion is set aside: those behind it are proved without it, and may overtake it. A trial is
valued by the entries that its job depends on, not by all that are ahead. And when machines are
short and the queue lands in sets, one state proves a batch; a batch that failed is halved.
"""

from __future__ import annotations

import dataclasses
import itertools
import math

from cupel.core.speculation.belief import Beliefs
from cupel.core.speculation.judge import SURE, is_hopeless
from cupel.core.speculation.lattice import Entry, Lattice, State, Trial
from cupel.core.speculation.policy import Plan, Want


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Levers:
    """What the policy does, each lever to be switched off in an ablation."""

    aside: float = 0.4
    """Entries above this chance of being bad are set aside; 1 switches it off."""
    floor: float = 0.05
    """What is needed with a smaller chance is not run."""
    alternates: int = 4
    """So many uncertain entries are considered both ways; 0 switches it off."""
    alternate_floor: float = 0.2
    batches: bool = True
    base_runs: bool = True
    tails: bool = True
    sticky: float = 2.0
    """A running trial gives way only to one that is worth so many times as much."""


OVERTAKES = 0.5
"""Chance that what is proved without a good entry lands before that entry is cleared."""

WORTH_A_BASE_RUN = 0.1
"""A job is run on the head when it is broken there with a greater chance."""

BROKEN = 0.5
"""Above this chance a job's failures are put down to the branch itself."""

LAST_DOUBT = 0.002
"""Or than this one, if an entry has failed repeatedly by itself."""

BLURRED = 0.35
"""A failed set without a suspect is halved unless the chance of a flake is greater."""

CLEAN = 0.3
"""A failed trial is run again if its entries are all good with a greater chance."""

ISOLATING = 0.5
"""Or if all others are, with a greater chance, and its own entry is in doubt."""

SUSPECT = 0.2
"""An entry that is left out is proved in its place if it is so likely to be bad by itself."""

LONG = 0.3
"""The share of a run after which an accused entry is proved at the end of the queue as well."""

ATTEMPTS = 4
"""Failures after which a trial that does not isolate its entry is left alone."""

ALONE = 0.96
"""A trial isolates its entry if all others are good with a greater chance."""

_IN_CASE = "in case what is ahead of it turns out otherwise"

_UNCERTAIN = (0.08, 0.92)
_WALKS = 8
"""Ways through the uncertain entries that are walked, likeliest first."""

_KEPT = 0.4
"""What runs goes on down to this share of the chance at which it would be started: plans that
swing to and fro prove nothing."""


class ExpectedValue:
    """The default policy."""

    def __init__(self, levers: Levers | None = None) -> None:
        self.levers = levers or Levers()

    def plan(
        self, lattice: Lattice, beliefs: Beliefs, *, now: float, machines: int, landing_set: bool
    ) -> Plan:
        return _Planning(self.levers, lattice, beliefs, now, machines, landing_set).plan()


@dataclasses.dataclass(slots=True, eq=False)
class _Step:
    """A state on a walk, and the trials that its entry makes new.

    `value` is what a pass is worth by itself: 1, or for the end of a batch the entries that it
    would land times the chance that they are good.
    """

    state: State
    entry: Entry
    aside: bool
    own: list[Trial]
    value: float = 1.0


class _Planning:
    def __init__(
        self,
        levers: Levers,
        lattice: Lattice,
        beliefs: Beliefs,
        now: float,
        machines: int,
        landing_set: bool,
    ) -> None:
        self.levers = levers
        self.lattice = lattice
        self.beliefs = beliefs
        self.now = now
        self.machines = machines
        self.set = landing_set
        self.bad = beliefs.bad
        horizon = 2 * machines + 32
        self.entries = lattice.entries[: max(64, horizon * (2 if landing_set else 1))]
        self.bad_bit = {entry.bit: beliefs.bad[entry.id] for entry in lattice.entries}
        self.accused = lattice.accused()
        self.result = Plan(states=[], wants=[], expected={}, waits={})
        self.short = False
        self.wants: dict[int, Want] = {}
        self.steps: dict[int, _Step] = {}
        self.behind = {e.id: len(self.entries) - at - 1 for at, e in enumerate(self.entries)}

    def plan(self) -> Plan:
        aside = self._set_aside()
        main = self._walk(aside, main=True)
        chosen = self._chosen(main)
        self._want_all(main, chosen, main=True)
        if self.levers.alternates and not self.short:
            self._alternates(aside)
        self._tails(main)
        self._keep()
        self._bases()
        self.result.wants = self._within_machines()
        return self.result

    def _good(self, members: int) -> float:
        """The chance that all of them are good."""
        chance = 1.0
        members &= self.lattice.live
        while members:
            bit = members & -members
            chance *= 1 - self.bad_bit[bit]
            members ^= bit
        return chance

    # Who is set aside.

    def _set_aside(self) -> int:
        """Suspects; of a failed set without a suspect, the later half by blame."""
        if self.levers.aside >= 1:
            return 0
        mask = 0
        for entry in self.entries:
            if self.accused & entry.bit and self.bad[entry.id] > self.levers.aside:
                mask |= entry.bit
        for members in self._blurred(mask):
            mask |= self._later_half(members)
        return mask

    def _blurred(self, aside: int) -> list[int]:
        """Failed sets, without those cleared, that hold nobody set aside and are hardly flakes."""
        found = [
            members
            for members, flaked in self.beliefs.unexplained
            if not members & aside and members.bit_count() > 1 and flaked < BLURRED
        ]
        found.sort(key=int.bit_count)
        disjoint: list[int] = []
        taken = 0
        for members in found:
            if not members & taken:
                disjoint.append(members)
                taken |= members
        return disjoint

    def _later_half(self, members: int) -> int:
        """The last of the members that bear half of the blame between them."""
        listed = [entry for entry in self.entries if entry.bit & members]
        left = sum(self.bad[entry.id] for entry in listed) / 2
        mask = 0
        for entry in reversed(listed[1:]):
            if left <= 0:
                break
            mask |= entry.bit
            left -= self.bad[entry.id]
        return mask

    # Walks.

    def _walk(self, aside: int, *, main: bool) -> list[_Step]:
        """The states of each entry, if `aside` are left out by those behind them."""
        at = self.lattice.root
        chance, left_out = 1.0, 0
        steps: list[_Step] = []
        for entry in self.entries:
            if entry.needs & left_out:
                left_out |= entry.bit
                if main:
                    self.result.waits.setdefault(entry.id, "waits for a change that it needs")
                continue
            if not main and chance < self.levers.alternate_floor * _KEPT:
                break
            state = self.lattice.child(at, entry)
            away = bool(aside & entry.bit) or self._is_stuck(state)
            steps.append(self._step(state, entry, away=away))
            if main:
                self.result.expected[entry.id] = state
            if self.accused & entry.bit:
                chance *= self._passed_by(entry, away=away)
            if away:
                left_out |= entry.bit
            else:
                at = state
        return steps

    def _is_stuck(self, state: State) -> bool:
        """Whether nothing can be built on it: it conflicts, was lost too often, or fails because of
        the branch itself, which only another entry can repair."""
        if state.broken is not None:
            return True
        if any(trial.refused is not None and not trial.passed for trial in state.own_trials()):
            return True
        broken = self.beliefs.broken
        return any(t.failing and broken.get(t.job, 0.0) > BROKEN for t in state.own_trials())

    def _step(self, state: State, entry: Entry, *, away: bool) -> _Step:
        """The step of a state, which is listed in the plan, after all beneath it."""
        known = self.steps.get(id(state))
        if known is None:
            self._list(state.parent)
            self.result.states.append(state)
            known = self.steps[id(state)] = _Step(state, entry, away, list(state.own_trials()))
        elif known.aside != away:
            return _Step(state, entry, away, known.own)
        return known

    def _list(self, state: State | None) -> None:
        lacking: list[tuple[State, Entry]] = []
        while state is not None and state.entry is not None and id(state) not in self.steps:
            lacking.append((state, state.entry))
            state = state.parent
        for each, entry in reversed(lacking):
            self._step(each, entry, away=False)

    def _passed_by(self, entry: Entry, *, away: bool) -> float:
        """The chance that what is proved behind an entry, with or without it, may land."""
        bad = self.bad[entry.id]
        return bad + (1 - bad) * OVERTAKES if away else 1 - bad

    def _alternates(self, aside: int) -> None:
        """The likeliest other ways through the entries that may well be either."""
        low, high = _UNCERTAIN
        uncertain = [
            e for e in self.entries if self.accused & e.bit and low < self.bad[e.id] < high
        ]
        uncertain.sort(key=lambda e: (abs(self.bad[e.id] - self.levers.aside), e.bit))
        uncertain = uncertain[: self.levers.alternates]
        ways: list[tuple[float, int]] = []
        for flips in itertools.product((False, True), repeat=len(uncertain)):
            chance, mask = 1.0, aside
            for entry, flip in zip(uncertain, flips, strict=True):
                out = bool(aside & entry.bit) != flip
                bad = self.bad[entry.id]
                chance *= bad if out else 1 - bad
                mask = mask | entry.bit if out else mask & ~entry.bit
            if mask != aside and chance >= self.levers.alternate_floor:
                ways.append((chance, mask))
        ways.sort(reverse=True)
        for _, mask in ways[:_WALKS]:
            steps = self._walk(mask, main=False)
            self._want_all(steps, {id(s.state) for s in steps if not s.aside}, main=False)

    def _tails(self, main: list[_Step]) -> None:
        """Prove those long under suspicion behind what is under way too.

        In their own places they would begin anew whenever somebody overtakes them.
        """
        under_way = [s for s in main if not s.aside and any(t.runs for t in s.own)]
        if not self.levers.tails or not under_way:
            return
        last = under_way[-1].state
        for step in main:
            bad = self.bad[step.entry.id]
            if step.aside and SUSPECT < bad < SURE and self._long_accused(step.entry):
                self._tail(last, step.entry)

    def _tail(self, last: State, entry: Entry) -> None:
        """Go on with the one that is under way; if there is none, begin at the end."""
        if entry.needs & self.lattice.live & ~last.members:
            return
        state = self._tail_under_way(last, entry) or self.lattice.child(last, entry)
        if state.trials is None or state.broken is not None:
            return
        step = self._step(state, entry, away=False)
        for trial in step.own:
            others = self._good(trial.members & ~entry.bit)
            if trial.passed or trial.failed_at or trial.refused is not None:
                continue
            if others >= ISOLATING * (_KEPT if trial.runs else 1.0):
                self._offer(step, trial, others / 2, "behind those that overtake it")

    def _tail_under_way(self, last: State, entry: Entry) -> State | None:
        ahead = last.members & self.lattice.live & ~entry.bit
        for state in self.lattice.states():
            if state.entry is not entry or not state.members & ahead:
                continue
            if any(trial.runs and not trial.failed_at for trial in state.own_trials()):
                return state
        return None

    def _long_accused(self, entry: Entry) -> bool:
        first = min(
            (
                min(trial.failed_when) + trial.seconds * LONG
                for trial in self.lattice.trials.values()
                if trial.members & entry.bit and trial.failed_when and not trial.passed
            ),
            default=math.inf,
        )
        return first <= self.now

    # What to run.

    def _want_all(self, steps: list[_Step], chosen: set[int], *, main: bool) -> None:
        """Offer the trials of the chosen states, and of suspects in their places.

        A trial is needed if what its job depends on ahead is as the walk supposes.
        """
        chances: dict[str, float] = {}
        for step in steps:
            suspect = main and step.aside and self.bad[step.entry.id] >= SUSPECT
            if id(step.state) in chosen or suspect:
                self._want(step, chances, main=main)
            factor = self._passed_by(step.entry, away=step.aside)
            for trial in step.own:
                chances[trial.job] = chances.get(trial.job, 1.0) * factor

    def _want(self, step: _Step, chances: dict[str, float], *, main: bool) -> None:
        trials = step.state.trials
        if trials is None or step.state.broken is not None:
            return
        hopeless = is_hopeless(step.state, self.beliefs)
        for trial in trials.values() if self.set else step.own:
            if trial.passed or trial.refused is not None:
                continue
            chance = chances.get(trial.job, 1.0)
            if trial.failed_at:
                self._want_rerun(step, trial, chance)
            elif hopeless:  # it would take the place of something that is of use
                continue
            elif chance >= self._floor(trial, main=main):
                why = "next in the queue" if main else _IN_CASE
                self._offer(step, trial, chance * step.value, why)

    def _floor(self, trial: Trial, *, main: bool) -> float:
        floor = self.levers.floor if main else self.levers.alternate_floor
        return floor * (_KEPT if trial.runs else 1.0)

    def _want_rerun(self, step: _Step, trial: Trial, chance: float) -> None:
        """Run a failed trial again if it may well pass, or if it tells of its entry alone."""
        share = _KEPT if trial.runs else 1.0
        others = self._good(trial.members & ~step.entry.bit)
        own = self.bad[step.entry.id] if trial.members & step.entry.bit else 0.0
        clean = others * (1 - own)
        alone = not trial.members & self.lattice.live & ~step.entry.bit
        if not alone and len(trial.failed_at) >= ATTEMPTS * (1 if others < ALONE else 2):
            return
        on_head = self.lattice.bases.get(trial.job)
        if on_head is not None and on_head.runs and len(trial.failed_at) >= ATTEMPTS:
            return
        if others >= ISOLATING * share and SUSPECT <= own < SURE:
            weight = max(chance, 0.5) * (1 + min(9, self.behind[step.entry.id]))
            why = "to see whether its failure comes back"
            self._offer(step, trial, weight, why, rerun=True)
        elif clean >= CLEAN * share and chance >= self.levers.floor * share:
            why = "its failure was hardly its own"
            self._offer(step, trial, chance * clean * step.value, why, rerun=True)

    def _offer(
        self, step: _Step, trial: Trial, chance: float, why: str, *, rerun: bool = False
    ) -> None:
        score = chance
        if trial.runs:
            elapsed = self.now - min(run.started_at for run in trial.runs)
            score *= trial.seconds / max(0.1 * trial.seconds, trial.seconds - elapsed)
        known = self.wants.get(id(trial))
        if known is None or known.score < score:
            self.wants[id(trial)] = Want(step.state, trial, score, why, rerun)

    def _keep(self) -> None:
        """What runs on a state that no walk leads to goes on while it may still be needed."""
        lost = {
            id(trial)
            for trial in self.lattice.trials.values()
            if trial.runs and not trial.failed_at and id(trial) not in self.wants
        }
        if not lost:
            return
        for state in self.lattice.states():
            if state.entry is None or state.trials is None:
                continue
            for trial in state.own_trials():
                if id(trial) in lost:
                    chance = self._chance_of(state, trial)
                    if chance >= self.levers.floor:
                        step = self._step(state, state.entry, away=False)
                        self._offer(step, trial, chance, "it runs already, and may be needed")

    def _chance_of(self, state: State, trial: Trial) -> float:
        """That a trial's members are good, and those that its state leaves out are not."""
        chance = 1.0
        left = state.members & self.lattice.live
        for entry in self.entries:
            if not left:
                break
            if trial.members & entry.bit:
                chance *= 1 - self.bad[entry.id]
            elif not left & entry.bit:
                chance *= self._passed_by(entry, away=True)
            left &= ~entry.bit
        return chance

    def _bases(self) -> None:
        """A job that failed is run on the head too: perhaps the branch itself is broken."""
        if not self.levers.base_runs or not self.entries:
            return
        root = _Step(self.lattice.root, self.entries[0], False, [])
        for job in sorted({t.job for t in self.lattice.trials.values() if t.failing}):
            if self.beliefs.broken.get(job, 0.0) > self._worth_a_base_run(job):
                trial = self.lattice.base(job)
                if not trial.passed:
                    self._offer(root, trial, 10.0, "to see whether the branch itself is broken")
                    self.wants[id(trial)].base = True

    def _worth_a_base_run(self, job: str) -> float:
        """Less where the last doubt is whether an entry or the branch is to blame."""
        known = self.lattice.bases.get(job)
        share = _KEPT if known is not None and known.runs else 1.0
        last = any(
            len(trial.failed_at) > 1 and (trial.members & self.lattice.live).bit_count() == 1
            for trial in self.lattice.trials.values()
            if trial.job == job and not trial.passed
        )
        return share * (LAST_DOUBT if last else WORTH_A_BASE_RUN)

    # Fewer machines than wishes.

    def _chosen(self, main: list[_Step]) -> set[int]:
        """The states of the main walk to prove: all, or one for each batch when machines lack."""
        chain = [step for step in main if not step.aside]
        everything = {id(step.state) for step in chain}
        if not (self.set and self.levers.batches):
            return everything
        needed = sum(self._missing(step) for step in chain)
        busy = sum(len(t.runs) for step in chain for t in step.own)
        spare = self.machines - busy - sum(step.aside for step in main)
        if needed <= spare:
            return everything
        self.short = True
        return self._batched(chain, max(0, spare))

    def _missing(self, step: _Step) -> int:
        """Machines that its own trials still lack."""
        return sum(not (t.passed or t.runs or t.refused) for t in step.own)

    def _batched(self, chain: list[_Step], spare: int) -> set[int]:
        """States that run already, and for each spare machine one at the end of a batch."""
        chosen: set[int] = set()
        covered = -1
        for at, step in enumerate(chain):
            trials = step.own
            if trials and all(trial.passed or trial.runs for trial in trials):
                chosen.add(id(step.state))
                covered = at
            elif any(trial.failed_at and not trial.passed for trial in trials):
                chosen.add(id(step.state))
        start = covered + 1
        jobs = max(1, len(self.lattice.trials) and self._jobs_a_state(chain))
        slots = max(0 if chosen else 1, spare // jobs)
        while slots and start < len(chain):
            remaining = len(chain) - start
            wanted = math.ceil(remaining / slots)
            size = min(wanted, self._batch_limit(chain, start))
            chosen.add(id(chain[start + size - 1].state))
            start += size
            slots -= 1
        return chosen

    def _jobs_a_state(self, chain: list[_Step]) -> int:
        known = [len(step.own) for step in chain[:8] if step.state.trials]
        return max(1, round(sum(known) / len(known))) if known else 1

    def _batch_limit(self, chain: list[_Step], start: int) -> int:
        """The size of a batch from `start` on that is cheapest to resolve if it fails.

        Dorfman's group testing (1943): about one over the square root of the chance to be bad.
        """
        total = 0.0
        for size, step in enumerate(chain[start:], 1):
            total += self.bad[step.entry.id] + 0.005
            if size >= 1 / math.sqrt(total / size):
                return size
        return len(chain) - start

    def _within_machines(self) -> list[Want]:
        """The best wants that machines will do for, those that run a little ahead."""

        def order(want: Want) -> tuple[float, int]:
            running = bool(want.trial.runs)
            return (-want.score * (self.levers.sticky if running else 1.0), want.state.depth)

        ranked = sorted(self.wants.values(), key=order)
        return ranked[: self.machines]
