"""The lattice: every state that a queue's branch may take, and what has been seen of each.

A state is the branch head plus some of the queue's entries, in an order; it hangs below the state
without its last entry. A trial is one job on whatever it depends on: two states in which a job
sees the same inputs share the trial, so that nothing is proved twice.

Sets of entries are ints with a bit for each entry, because almost everything asked of them is
whether one contains another.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Iterable, Iterator


@dataclasses.dataclass(slots=True, eq=False)
class Entry:
    """A place in the queue. `bit` is its own; `prior` is the chance that it breaks something.

    `needs` are the bits of entries that any state of it must hold.
    """

    id: int
    bit: int
    prior: float
    needs: int = 0


@dataclasses.dataclass(slots=True, eq=False)
class Run:
    """A build that is under way."""

    id: int
    started_at: float
    rerun: bool = False


@dataclasses.dataclass(slots=True, eq=False)
class Trial:
    """A job with everything that its verdict depends on.

    `members` are the entries among that, `seconds` how long a pass is expected to take, `flake`
    the chance that a run fails for no reason. `failed_at` are the elapsed seconds at which runs
    failed, `failed_when` the times; a failure by the infrastructure or a timeout is none.
    """

    key: Hashable
    job: str
    members: int
    seconds: float
    flake: float
    passed: bool = False
    passed_when: float = 0.0
    failed_at: list[float] = dataclasses.field(default_factory=list)
    failed_when: list[float] = dataclasses.field(default_factory=list)
    survived: float = 0.0
    """Seconds that a run went on without failing before it was stopped: the longest of them."""
    runs: list[Run] = dataclasses.field(default_factory=list)
    refused: str | None = None
    """Why it cannot pass although no run says so: a skipped job, or too many lost runs."""

    @property
    def failing(self) -> bool:
        return not self.passed and (bool(self.failed_at) or self.refused is not None)


class State:
    """`entry` on top of `parent`; the root has neither. `members` are the entries above the root.

    `trials` are those of its jobs by name, None until the state is made. `broken` is why it can
    never pass: a conflict, or a configuration that cannot be used.
    """

    __slots__ = ("broken", "children", "depth", "entry", "members", "parent", "tag", "trials")

    def __init__(self, parent: State | None, entry: Entry | None) -> None:
        self.parent = parent
        self.entry = entry
        self.children: dict[int, State] = {}
        self.trials: dict[str, Trial] | None = None
        self.broken: str | None = None
        self.tag: object = None
        self.depth = 0
        self.members = 0
        if parent is not None and entry is not None:
            parent.children[entry.id] = self
            self.members = parent.members | entry.bit
            self.depth = parent.depth + 1

    @property
    def passed(self) -> bool:
        return self.trials is not None and all(trial.passed for trial in self.trials.values())

    @property
    def failing(self) -> bool:
        if self.broken is not None:
            return True
        return self.trials is not None and any(t.failing for t in self.trials.values())

    def path(self) -> list[State]:
        """The states from the first above the root to this one."""
        found: list[State] = []
        at: State = self
        while at.parent is not None:
            found.append(at)
            at = at.parent
        found.reverse()
        return found

    def own_trials(self) -> Iterable[Trial]:
        """Those that its entry makes different from the state beneath."""
        if self.trials is None:
            return ()
        below = self.parent.trials if self.parent is not None else None
        if not below:
            return self.trials.values()
        return [trial for job, trial in self.trials.items() if below.get(job) is not trial]


@dataclasses.dataclass(slots=True)
class Lattice:
    """A queue as it stands: its entries in order, the states above `root`, and all trials.

    `make` fills a new state with its trials, if it can be known at once what they are; `on_head`
    makes the trial of a job on the root as it stands.
    """

    root: State
    entries: list[Entry]
    trials: dict[Hashable, Trial]
    make: Callable[[State], None]
    on_head: Callable[[str], Trial]
    live: int = 0
    """The bits of `entries`."""
    landed: int = 0
    """The bits of former entries that are in the root."""
    bases: dict[str, Trial] = dataclasses.field(default_factory=dict)
    """Trials of jobs on the root as it stands, where somebody wants to know."""

    def child(self, parent: State, entry: Entry) -> State:
        found = parent.children.get(entry.id)
        if found is None:
            found = State(parent, entry)
            self.make(found)
        return found

    def base(self, job: str) -> Trial:
        found = self.bases.get(job)
        if found is None:
            found = self.bases[job] = self.on_head(job)
        return found

    def accused(self) -> int:
        """The entries of trials that have failed: no other is under suspicion, however likely it
        was to be bad from the beginning."""
        mask = 0
        for trial in self.trials.values():
            if trial.failing:
                mask |= trial.members
        return mask & self.live

    def states(self) -> Iterator[State]:
        """Every state above the root."""
        waiting = list(self.root.children.values())
        while waiting:
            state = waiting.pop()
            yield state
            waiting.extend(state.children.values())
