"""A queue's rows as a lattice: which states there are, and what their builds have shown.

A state above the head is one buildset: an item's commit on the commits beneath it. It is found
again by what is beneath, so states whose foundation has gone are simply not found. An entry is one
item, or a bundle: items that need each other in a circle, which are proved and land as one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable
from typing import TypeAlias

from cupel.core import admission, attempts, buildset, evidence, history, waiting
from cupel.core.draft import Draft
from cupel.core.model import (
    Branch,
    Build,
    Buildset,
    BuildsetState,
    BuildState,
    Change,
    Item,
    Job,
    Project,
    Queue,
    Role,
    Verdict,
)
from cupel.core.speculation.lattice import Entry, Lattice, Run, State, Trial

_ON_A_MACHINE = frozenset({BuildState.STARTING, BuildState.RUNNING})
_KNOWN = frozenset({BuildsetState.READY, BuildsetState.MISCONFIGURED})
"""States whose jobs, or that they can have none, are known."""

Heads: TypeAlias = dict[int, str | None]
"""By project, the commit that its branch would be at."""

Beside: TypeAlias = tuple[tuple[int, str], ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A buildset that a state still lacks."""

    item: Item
    onto: str | None
    beside: Beside


@dataclasses.dataclass(slots=True, eq=False)
class Place:
    """What a state is in rows. `heads` are the commits with its entry, once all are known.

    `steps` are the buildsets that land, one for each item; `proofs` are those whose builds prove
    it: the same, but for a bundle, whose items are proved with all the others. `lacks` is the next
    buildset to be made.
    """

    heads: Heads | None
    steps: list[tuple[Item, Buildset]]
    proofs: list[Buildset]
    lacks: Wish | None = None
    passed_by: int = 0
    """The entries of this state, of any project."""


class Lane:
    """One queue for one branch name, read from a draft. `landing` are items whose move is made."""

    def __init__(self, draft: Draft, queue: Queue, items: list[Item], landing: list[Item]) -> None:
        self.draft = draft
        self.queue = queue
        self.items = {item.id: item for item in items}
        branch = (items or landing)[0].branch
        self.projects = {
            project.id: project for project in draft.all(Project) if project.queue_id == queue.id
        }
        self.heads = self._heads(branch, landing)
        self._found = self._index(items)
        self._members: dict[int, list[Item]] = {}
        self._estimates: dict[tuple[int, str], tuple[float, float]] = {}
        self.bases = self._base_states(items)
        self._cutoff: dict[str, float] = {}
        self._of_project: dict[int, int] = {}
        self._counted: set[tuple[int, str]] = set()
        self.runs_at: dict[Hashable, int] = {}
        """By trial, the buildset whose build of it has a machine."""
        root = State(None, None)
        root.trials = {}
        root.tag = Place(heads=self.heads, steps=[], proofs=[])
        self.lattice = Lattice(root=root, entries=[], trials={}, make=self._make, on_head=self._on)
        self._enter(items)
        self._look_at_bases()
        self._grow(root)
        self._remember_failures()
        for trial in list(self.lattice.trials.values()):
            if self.is_new(trial.job):
                self.lattice.base(trial.job)
        for state in self.lattice.states():
            self._without_borrowed_passes(state)
        self.adrift = self._adrift()

    def members(self, entry: Entry) -> list[Item]:
        return self._members[entry.id]

    def entry_of(self, item: Item) -> Entry | None:
        for entry in self.lattice.entries:
            if any(member.id == item.id for member in self._members[entry.id]):
                return entry
        return None

    def project_and_job(self, job: str) -> tuple[Project, str]:
        """What a trial's job is in rows."""
        number, name = job.split(":", 1)
        return self.projects[int(number)], name

    # Heads.

    def _heads(self, branch: str, landing: list[Item]) -> Heads:
        heads: Heads = {
            row.project_id: row.head
            for row in self.draft.all(Branch)
            if row.name == branch and row.project_id in self.projects
        }
        for item in landing:
            heads[item.project_id] = self.draft.get(Buildset, item.buildset_id).commit
        return heads

    @staticmethod
    def beside(heads: Heads, project_id: int) -> Beside:
        if len(heads) == 1:
            return ()
        return tuple(
            sorted((p, head) for p, head in heads.items() if p != project_id and head is not None)
        )

    def _index(self, items: list[Item]) -> dict[tuple[int, str | None, Beside], Buildset]:
        return {
            (found.item_id, found.onto, found.beside): found
            for item in items
            for found in self.draft.buildsets(item.id)
            if found.role is Role.PROOF and found.state is not BuildsetState.SUPERSEDED
        }

    def _base_states(self, items: list[Item]) -> dict[int, Buildset]:
        """By project, the buildset of the head as it stands, where somebody has asked for one."""
        found: dict[int, Buildset] = {}
        for item in items:
            head = self.heads.get(item.project_id)
            beside = self.beside(self.heads, item.project_id)
            for each in self.draft.buildsets(item.id):
                if each.role is not Role.BASE or each.state is BuildsetState.SUPERSEDED:
                    continue
                if (each.onto, each.beside) == (head, beside):
                    found.setdefault(item.project_id, each)
        return found

    # Entries.

    def _enter(self, items: list[Item]) -> None:
        """Give each item, or bundle of items, its entry."""
        changes = [self.draft.get(Change, item.change_id) for item in items]
        by_project: dict[int, list[Change]] = {}
        for change in changes:
            by_project.setdefault(change.project_id, []).append(change)
        priors: dict[int, float] = {}
        for found in by_project.values():
            priors |= history.priors(self.draft, found)
        bits: dict[int, int] = {}
        taken: set[int] = set()
        by_change = {item.change_id: item for item in items}
        places = {item.change_id: place for place, item in enumerate(items)}
        for item, change in zip(items, changes, strict=True):
            if item.id in taken:
                continue
            bundle = admission.bundle(self.draft, change) if self.queue.cycles else {change.id}
            members = [
                by_change[number]
                for number in sorted(bundle & places.keys(), key=places.__getitem__)
            ]
            taken |= {member.id for member in members}
            bit = 1 << len(self.lattice.entries)
            needs = 0
            for member in members:
                bits[member.change_id or 0] = bit
            good = 1.0
            for member in members:
                good *= 1 - priors[member.change_id or 0]
                for below in admission.needed(self.draft, self.draft.get(Change, member.change_id)):
                    needs |= bits.get(below.id, 0)
            entry = Entry(id=item.id, bit=bit, prior=1 - good, needs=needs & ~bit)
            self._members[entry.id] = members
            for project_id in {member.project_id for member in members}:
                self._of_project[project_id] = self._of_project.get(project_id, 0) | bit
            self.lattice.entries.append(entry)
            self.lattice.live |= bit

    # States.

    def _grow(self, root: State) -> None:
        """Bring in every state whose buildsets are there."""
        by_foundation: dict[tuple[int, str | None, Beside], list[Entry]] = {}
        firsts = {self._members[entry.id][0].id: entry for entry in self.lattice.entries}
        for item_id, onto, beside in self._found:
            entry = firsts.get(item_id)
            if entry is not None:
                key = (self.items[item_id].project_id, onto, beside)
                by_foundation.setdefault(key, []).append(entry)
        waiting = [root]
        while waiting:
            state = waiting.pop()
            place = place_of(state)
            if place.heads is None:
                continue
            for project_id, head in place.heads.items():
                key = (project_id, head, self.beside(place.heads, project_id))
                waiting += (
                    self.lattice.child(state, entry)
                    for entry in by_foundation.get(key, ())
                    if not state.members & entry.bit
                )

    def _make(self, state: State) -> None:
        parent, entry = state.parent, state.entry
        assert parent is not None
        assert entry is not None
        beneath = place_of(parent)
        place = Place(heads=None, steps=[], proofs=[], passed_by=beneath.passed_by | entry.bit)
        state.tag = place
        if beneath.heads is None or parent.broken is not None:
            return
        heads = dict(beneath.heads)
        for item in self._members[entry.id]:
            found = self._part(state, place, item, heads)
            if found is None:
                return
            place.steps.append((item, found))
            heads[item.project_id] = found.commit
        if not self._prove(state, place, heads):
            return
        place.heads = heads
        state.trials = dict(parent.trials or {})
        for proof in place.proofs:
            self._try(state, place, proof, state.trials)

    def _part(self, state: State, place: Place, item: Item, heads: Heads) -> Buildset | None:
        """The buildset of an item on these heads, if it is made."""
        onto = heads.get(item.project_id)
        beside = self.beside(heads, item.project_id)
        found = self._found.get((item.id, onto, beside))
        if found is None:
            place.lacks = Wish(item=item, onto=onto, beside=beside)
        elif found.state in (BuildsetState.CONFLICT, BuildsetState.MISCONFIGURED):
            place.proofs = [found]
            state.broken = found.detail or str(found.state)
        elif found.state is BuildsetState.PREPARING:
            place.proofs = [found]
        return found if found is not None and found.state is BuildsetState.READY else None

    def _prove(self, state: State, place: Place, heads: Heads) -> bool:
        """Find the buildsets that prove the state: for each project of a bundle, its last item
        with what the others have become beside."""
        if len(place.steps) == 1:
            place.proofs = [place.steps[0][1]]
            return True
        last = {item.project_id: (item, part) for item, part in place.steps}
        proofs: list[Buildset] = []
        for item, part in last.values():
            beside = self.beside(heads, item.project_id)
            found = self._found.get((item.id, part.onto, beside))
            if found is None:
                place.lacks = Wish(item=item, onto=part.onto, beside=beside)
                return False
            if found.state is not BuildsetState.READY:
                place.proofs = [found]
                if found.state is not BuildsetState.PREPARING:
                    state.broken = found.detail or str(found.state)
                return False
            proofs.append(found)
        place.proofs = proofs
        return True

    def _project_of(self, proof: Buildset) -> int:
        return self.items[proof.item_id].project_id

    # Trials.

    def _try(self, state: State, place: Place, proof: Buildset, trials: dict[str, Trial]) -> None:
        """Replace the trials of the state beneath by those of the proof's jobs: each is the job on
        what it depends on, shared with every state where that is the same."""
        project_id = self._project_of(proof)
        attempts = self._attempts(proof)
        awaited = evidence.awaited_alone(self.draft, proof)
        known = self.lattice.trials
        assert state.entry is not None
        bit = state.entry.bit
        for job in proof.jobs:
            if not job.voting:
                continue
            builds = attempts.get(job.name)
            if builds is not None:
                digest = builds[-1].key
            elif job.needs:
                digest = evidence.awaited(self.draft, proof, job)
            else:
                digest = awaited.get(job.name)
            key = (job.name, proof.id if digest is None else digest)
            name = f"{project_id}:{job.name}"
            below = trials.get(name)
            if below is not None and not job.projects:
                members = below.members | bit
            else:
                members = self._members_of(place, project_id, job, below) | bit
            trial = known.get(key)
            if trial is None:
                trial = known[key] = self._new_trial(key, project_id, job, members)
            else:
                trial.members &= members  # what is not in both states makes no difference
            if builds is not None:
                self._count(trial, proof, job, builds)
            trials[name] = trial

    def _attempts(self, proof: Buildset) -> dict[str, list[Build]]:
        found: dict[str, list[Build]] = {}
        for build in self.draft.builds(proof.id):
            found.setdefault(build.job, []).append(build)
        return found

    def _remember_failures(self) -> None:
        """What failed in a state that was given up counts where the same is asked again: a queue
        that changes its mind would forget it each time, and never come to an end."""
        for build in self.draft.all(Build):
            if build.verdict is not Verdict.FAILURE or build.key is None:
                continue
            state = self.draft.find(Buildset, build.buildset_id)
            if build.item_id not in self.items or (
                state is not None and state.state is not BuildsetState.SUPERSEDED
            ):
                continue
            trial = self.lattice.trials.get((build.job, build.key))
            ended = build.finished_at or 0.0
            if trial is not None and ended > self._cutoff.get(trial.job, 0.0):
                trial.failed_at.append(ended - (build.started_at or build.queued_at))
                trial.failed_when.append(ended)

    def _adrift(self) -> list[Buildset]:
        """States that will not come although something runs on them that proves others too."""
        reached = {
            proof.id
            for state in self.lattice.states()
            for proof in [*place_of(state).proofs, *(step[1] for step in place_of(state).steps)]
        }
        found = []
        for proof in self._found.values():
            if proof.id in reached or proof.state is not BuildsetState.READY:
                continue
            going = [b for b in self.draft.builds(proof.id) if self._is_on(b) and b.key]
            for build in going:
                trial = self.lattice.trials.get((build.job, build.key))
                if trial is not None:
                    started = build.started_at or self.draft.now
                    trial.runs.append(Run(id=build.id, started_at=started))
                    self.runs_at[trial.key] = proof.id
            if going:
                found.append(proof)
        return found

    def _is_on(self, build: Build) -> bool:
        """Whether the build has a machine, or will have one that is being made."""
        return build.state in _ON_A_MACHINE or build.id in waiting.served(self.draft)

    def _without_borrowed_passes(self, state: State) -> None:
        """A pass elsewhere counts here once it is this state's own, as a reused build."""
        for proof in place_of(state).proofs:
            project_id = self._project_of(proof)
            for job in proof.jobs:
                name = f"{project_id}:{job.name}"
                shared = (state.trials or {}).get(name)
                if shared is None or not shared.passed or self._has_passed(proof, job):
                    continue
                own = self._new_trial((job.name, proof.id), project_id, job, shared.members)
                self._counted.discard((proof.id, job.name))
                self._count(own, proof, job, self.draft.builds_of(proof.id, job.name))
                self.lattice.trials[own.key] = own
                assert state.trials is not None
                state.trials[name] = own

    def _has_passed(self, proof: Buildset, job: Job) -> bool:
        builds = self.draft.builds_of(proof.id, job.name)
        return any(build.verdict is Verdict.SUCCESS for build in builds)

    def _members_of(self, place: Place, project_id: int, job: Job, below: Trial | None) -> int:
        """The entries that the verdict may depend on, besides the state's own: those of the state
        in the job's project and in projects that it asks for. What is beneath says which of them
        do."""
        if below is not None:
            mask = below.members
        else:
            mask = place.passed_by & self._of_project.get(project_id, 0)
        for project in self.projects.values() if job.projects else ():
            if project.name in job.projects:
                mask |= place.passed_by & self._of_project.get(project.id, 0)
        return mask

    def _new_trial(self, key: Hashable, project_id: int, job: Job, members: int) -> Trial:
        mean, flake = self._estimate(project_id, job)
        return Trial(
            key=key, job=f"{project_id}:{job.name}", members=members, seconds=mean, flake=flake
        )

    def _estimate(self, project_id: int, job: Job) -> tuple[float, float]:
        known = self._estimates.get((project_id, job.name))
        if known is None:
            seconds = history.seconds(self.draft, project_id, job.name, job.timeout).mean
            known = (seconds, history.flake_rate(self.draft, project_id, job.name))
            self._estimates[project_id, job.name] = known
        return known

    def _count(self, trial: Trial, proof: Buildset, job: Job, builds: list[Build]) -> None:
        """Add what the builds of one buildset have shown."""
        if (proof.id, job.name) in self._counted:
            return
        self._counted.add((proof.id, job.name))
        cutoff = self._cutoff.get(trial.job, 0.0)
        for build in builds:
            ended = build.finished_at or 0.0
            began = build.started_at or build.queued_at
            if self._is_on(build):
                trial.runs.append(Run(id=build.id, started_at=build.started_at or self.draft.now))
                self.runs_at[trial.key] = proof.id
            elif build.verdict is Verdict.SUCCESS:
                trial.passed = True
                if build.reused_from is None:
                    trial.passed_when = max(trial.passed_when, ended)
            elif build.verdict is Verdict.FAILURE and ended > cutoff:
                trial.failed_at.append(ended - began)
                trial.failed_when.append(ended)
            elif build.alone is not None:
                continue  # it has not passed, and says nothing else
            elif build.verdict is Verdict.CANCELLED and build.started_at is not None:
                trial.survived = max(trial.survived, ended - build.started_at)
        policy = self.projects[self._project_of(proof)].policy
        counted = attempts.counting(proof, builds)
        trial.refused = trial.refused or buildset.spent(counted, policy)

    # The head itself.

    def _on(self, job: str) -> Trial:
        """The trial of a job on the head as it stands."""
        project_id, name = job.split(":", 1)
        seconds, flake = self._estimates.get((int(project_id), name), (600.0, 0.02))
        trial = Trial(key=("head", job), job=job, members=0, seconds=seconds, flake=flake)
        if self.is_new(job):
            # A branch that cannot run it breaks nothing: who brings it answers for it.
            trial.passed, trial.passed_when = True, float("inf")
        found = self.bases.get(int(project_id))
        if found is not None:
            for definition in found.jobs:
                if definition.name == name:
                    self._count(trial, found, definition, self.draft.builds_of(found.id, name))
        return trial

    def is_new(self, job: str) -> bool:
        """Whether the branch is known not to have the trial's job: it has no commit, or none of
        whose jobs is this."""
        project_id, name = job.split(":", 1)
        if self.heads.get(int(project_id)) is None:
            return True
        found = self.bases.get(int(project_id))
        if found is None or found.state not in _KNOWN:
            return False
        return all(definition.name != name for definition in found.jobs)

    def _look_at_bases(self) -> None:
        """Failures from before the head was well again are nobody's fault."""
        for project_id, found in self.bases.items():
            for job in {build.job for build in self.draft.builds(found.id)}:
                trial = self.lattice.base(f"{project_id}:{job}")
                well_since = _well_since(self.draft.builds_of(found.id, job))
                if well_since is not None:
                    self._cutoff[trial.job] = well_since


def _well_since(attempts: list[Build]) -> float | None:
    """When a job passed on the head for the first time since its last failure there."""
    well: float | None = None
    failed = False
    for build in attempts:
        if build.verdict is Verdict.FAILURE:
            failed, well = True, None
        elif build.verdict is Verdict.SUCCESS and failed and well is None:
            well = build.finished_at
    return well


def place_of(state: State) -> Place:
    assert isinstance(state.tag, Place)
    return state.tag
