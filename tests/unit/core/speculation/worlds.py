"""Lattices for tests of beliefs and planners, without rows and without a clock."""

from __future__ import annotations

from cupel.core.speculation.lattice import Entry, Lattice, Run, State, Trial

JOB_SECONDS = 1800.0


class World:
    """Entries that touch named parts, each with a job of its own; outcomes are told to it."""

    def __init__(self, *, flake: float = 0.02) -> None:
        self.flake = flake
        self.parts: dict[int, tuple[str, ...]] = {}
        self.runs = 0
        self.lattice = Lattice(
            root=State(None, None), entries=[], trials={}, make=self._make, on_head=self._on_head
        )
        self.lattice.root.trials = {}

    def enter(self, *parts: str, prior: float = 0.05, needs: Entry | None = None) -> Entry:
        number = len(self.lattice.entries)
        beneath = 0 if needs is None else needs.bit
        entry = Entry(id=number, bit=1 << number, prior=prior, needs=beneath)
        self.parts[number] = parts or ("all",)
        self.lattice.entries.append(entry)
        self.lattice.live |= entry.bit
        return entry

    def state(self, *entries: Entry) -> State:
        at = self.lattice.root
        for entry in entries:
            at = self.lattice.child(at, entry)
        return at

    def trial(self, *entries: Entry, job: str = "all") -> Trial:
        trials = self.state(*entries).trials
        assert trials is not None
        return trials[job]

    def start(self, trial: Trial, at: float) -> None:
        self.runs += 1
        trial.runs.append(Run(id=self.runs, started_at=at, rerun=bool(trial.failed_at)))

    def fail(self, trial: Trial, at: float, *, after: float) -> None:
        trial.runs.clear()
        trial.failed_at.append(after)
        trial.failed_when.append(at)

    def succeed(self, trial: Trial, at: float) -> None:
        trial.runs.clear()
        trial.passed, trial.passed_when = True, at

    def _make(self, state: State) -> None:
        assert state.parent is not None
        assert state.entry is not None
        trials = dict(state.parent.trials or {})
        for job in self.parts[state.entry.id]:
            below = trials[job].members if job in trials else 0
            key = (job, below | state.entry.bit)
            found = self.lattice.trials.get(key)
            if found is None:
                found = self._trial(key, job, key[1])
                self.lattice.trials[key] = found
            trials[job] = found
        state.trials = trials

    def _on_head(self, job: str) -> Trial:
        return self._trial(("head", job), job, 0)

    def _trial(self, key: tuple[str, int] | tuple[str, str], job: str, members: int) -> Trial:
        return Trial(key=key, job=job, members=members, seconds=JOB_SECONDS, flake=self.flake)
