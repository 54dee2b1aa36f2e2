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
from collections import defaultdict

from cupel.core.speculation.belief import Beliefs
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
    sticky: float = 2.0
    """A running trial gives way only to one that is worth so many times as much."""


OVERTAKES = 0.5
"""Chance that what is proved without a good entry lands before that entry is cleared."""

WORTH_A_BASE_RUN = 0.002
"""A job is run on the head when it is broken there with a greater chance."""

BLURRED = 0.35
"""A failed set without a suspect is halved unless the chance of a flake is greater."""

_UNCERTAIN = (0.08, 0.92)
_WALKS = 8
"""Ways through the uncertain entries that are walked, likeliest first."""


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
    """A state on a walk, with the chance that it is needed by each job (None: by any)."""

    state: State
    entry: Entry
    aside: bool
    chances: dict[str, float]
    overall: float


class _Planning:
    def __init__(  # noqa: PLR0913 - what a plan is made of
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
        self.entries = lattice.entries[: max(64, horizon * (4 if landing_set else 1))]
        self.result = Plan(states=[], wants=[], expected={}, waits={})
        self.wants: dict[int, Want] = {}
        self.seen: set[int] = set()
        self.behind = {e.id: len(self.entries) - at - 1 for at, e in enumerate(self.entries)}

    def plan(self) -> Plan:
        aside = self._set_aside()
        main = self._walk(aside, main=True)
        chosen = self._chosen(main)
        for step in main:
            if step.aside or id(step.state) in chosen:
                self._want(step, main=True)
        if self.levers.alternates:
            self._alternates(aside)
        self._keep()
        self._bases()
        self.result.wants = self._within_machines()
        return self.result

    # Who is set aside.

    def _set_aside(self) -> int:
        """Suspects; of a failed set without a suspect, the later half by blame."""
        mask = 0
        for entry in self.entries:
            if self.bad[entry.id] > self.levers.aside:
                mask |= entry.bit
        if self.levers.aside >= 1:
            return 0
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
        for entry in reversed(listed):
            if left <= 0:
                break
            mask |= entry.bit
            left -= self.bad[entry.id]
        return mask

    # Walks.

    def _walk(self, aside: int, *, main: bool, start: int = 0) -> list[_Step]:
        """The states of each entry, if `aside` are left out by those behind them."""
        chances: defaultdict[str, float] = defaultdict(lambda: 1.0)
        overall = 1.0
        at = self.lattice.root
        left_out = 0
        steps: list[_Step] = []
        for entry in self.entries:
            if entry.needs & left_out:
                left_out |= entry.bit
                if main:
                    self.result.waits.setdefault(entry.id, "waits for a change that it needs")
                continue
            if overall < self.levers.floor and not chances:
                break
            state = self.lattice.child(at, entry)
            away = bool(aside & entry.bit) or state.broken is not None
            steps.append(_Step(state, entry, away, dict(chances), overall))
            if id(state) not in self.seen:
                self.seen.add(id(state))
                self.result.states.append(state)
            if main:
                self.result.expected[entry.id] = state
            bad = self.bad[entry.id]
            factor = bad + (1 - bad) * OVERTAKES if away else 1 - bad
            for trial in state.own_trials():
                chances[trial.job] *= factor
            overall *= factor
            if away:
                left_out |= entry.bit
            else:
                at = state
            if state.trials is None and at is state:
                pass
        return steps

    def _alternates(self, aside: int) -> None:
        """The likeliest other ways through the entries that may well be either."""
        low, high = _UNCERTAIN
        uncertain = [e for e in self.entries if low < self.bad[e.id] < high]
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
            for step in self._walk(mask, main=False):
                if step.state.trials is not None and not step.aside:
                    self._want(step, main=False)

    # What to run.

    def _want(self, step: _Step, *, main: bool) -> None:
        trials = step.state.trials
        if trials is None or step.state.broken is not None:
            return
        for trial in trials.values() if self.set else step.state.own_trials():
            if trial.passed or trial.refused is not None:
                continue
            chance = step.chances.get(trial.job, 1.0)
            if trial.failed_at:
                self._want_rerun(step, trial, chance, main=main)
            elif chance >= self._floor(trial, main=main):
                self._offer(step, trial, chance, "next in the queue" if main else "in case")

    def _floor(self, trial: Trial, *, main: bool) -> float:
        """What runs goes on until it is clearly not needed, so that plans do not swing."""
        floor = self.levers.floor if main else self.levers.alternate_floor
        return floor * (0.4 if trial.runs else 1.0)

    def _want_rerun(self, step: _Step, trial: Trial, chance: float, *, main: bool) -> None:
        """A failed trial tells most where its entry is the only one in doubt."""
        good = self.beliefs.good(trial.members & self.lattice.live, self.entries)
        if main and chance >= 0.3:  # noqa: PLR2004
            weight = chance * (1 + min(9, self.behind[step.entry.id]))
            self._offer(step, trial, weight, "to see whether its failure comes back", rerun=True)
        elif good >= 0.5 and chance >= self.levers.floor:  # noqa: PLR2004
            self._offer(step, trial, chance * good, "its failure was hardly its own", rerun=True)

    def _offer(
        self, step: _Step, trial: Trial, chance: float, why: str, *, rerun: bool = False
    ) -> None:
        left = trial.seconds
        if trial.runs:
            elapsed = self.now - min(run.started_at for run in trial.runs)
            left = max(0.1 * trial.seconds, trial.seconds - elapsed)
        score = chance * (trial.seconds / left if trial.runs else 1.0)
        known = self.wants.get(id(trial))
        if known is None or known.score < score:
            self.wants[id(trial)] = Want(step.state, trial, score, why, rerun)

    def _keep(self) -> None:
        """What runs on a state that no walk leads to goes on while it may still be needed."""
        offered = self.wants
        for state in self.lattice.states():
            for trial in state.own_trials():
                if trial.runs and not trial.failed_at and id(trial) not in offered:
                    chance = self._chance_of(state, trial)
                    if chance >= self.levers.floor:
                        step = _Step(state, self.entries[0], False, {}, 1.0)
                        self._offer(step, trial, chance, "it runs already, and may be needed")

    def _chance_of(self, state: State, trial: Trial) -> float:
        """That a trial's members are good, and those that its state leaves out are not."""
        chance = 1.0
        left = state.members & self.lattice.live
        for entry in self.entries:
            if not left:
                break
            bad = self.bad[entry.id]
            if trial.members & entry.bit:
                chance *= 1 - bad
            elif not left & entry.bit:
                chance *= bad + (1 - bad) * OVERTAKES
            left &= ~entry.bit
        return chance

    def _bases(self) -> None:
        """A job that failed is run on the head too: perhaps the branch itself is broken."""
        if not self.levers.base_runs:
            return
        failing = {want.trial.job for want in self.wants.values() if want.rerun}
        root = _Step(self.lattice.root, self.entries[0], False, {}, 1.0) if self.entries else None
        for job in sorted(failing):
            if root is not None and self.beliefs.broken.get(job, 0.0) > WORTH_A_BASE_RUN:
                trial = self.lattice.base(job)
                if not trial.passed:
                    self._offer(root, trial, 10.0, "to see whether the branch itself is broken")
                    self.wants[id(trial)].base = True

    # Fewer machines than wishes.

    def _chosen(self, main: list[_Step]) -> set[int]:
        """The states of the main walk to prove: all, or one for each batch when machines lack."""
        chain = [step for step in main if not step.aside]
        everything = {id(step.state) for step in chain}
        if not (self.set and self.levers.batches):
            return everything
        needed = sum(self._missing(step) for step in chain)
        spare = self.machines - self._busy(chain) - self._resolving(main)
        if needed <= spare:
            return everything
        return self._batched(chain, max(0, spare))

    def _missing(self, step: _Step) -> int:
        """Machines that its own trials still lack."""
        return sum(
            not (trial.passed or trial.runs or trial.refused) for trial in step.state.own_trials()
        )

    def _busy(self, chain: list[_Step]) -> int:
        return sum(len(t.runs) for step in chain for t in step.state.own_trials())

    def _resolving(self, main: list[_Step]) -> int:
        return sum(step.aside for step in main)

    def _batched(self, chain: list[_Step], spare: int) -> set[int]:
        """States that run already, and for each spare machine one at the end of a batch."""
        chosen: set[int] = set()
        covered = -1
        for at, step in enumerate(chain):
            trials = list(step.state.own_trials())
            if trials and all(trial.passed or trial.runs for trial in trials):
                chosen.add(id(step.state))
                covered = at
            elif any(trial.failed_at and not trial.passed for trial in trials):
                chosen.add(id(step.state))
        start = covered + 1
        jobs = max(1, len(self.lattice.trials) and self._jobs_a_state(chain))
        slots = max(0, spare // jobs)
        while slots and start < len(chain):
            remaining = len(chain) - start
            wanted = math.ceil(remaining / slots)
            size = min(wanted, self._batch_limit(chain, start))
            chosen.add(id(chain[start + size - 1].state))
            start += size
            slots -= 1
        return chosen

    def _jobs_a_state(self, chain: list[_Step]) -> int:
        known = [len(list(step.state.own_trials())) for step in chain[:8] if step.state.trials]
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
