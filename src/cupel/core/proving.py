"""What to prove: a plan of the speculation carried out, as states, builds and their urgency."""

from __future__ import annotations

from dataclasses import replace

from cupel.core import buildset, item, judgement
from cupel.core.draft import Draft
from cupel.core.lane import Lane, Wish, place_of
from cupel.core.model import (
    LIVE_ITEMS,
    Buildset,
    BuildsetState,
    BuildState,
    Item,
    Job,
    Project,
    Role,
    Verdict,
)
from cupel.core.speculation import judge
from cupel.core.speculation.belief import Beliefs
from cupel.core.speculation.lattice import State
from cupel.core.speculation.policy import Plan, Want

BASE_AGAIN = 600.0
"""Seconds after which a job that failed on the head itself is tried there again."""

BROKEN = 0.5
"""Above this chance a job's failures are put down to the branch itself."""

_FIRST = 1e6


def carry_out(draft: Draft, lane: Lane, beliefs: Beliefs, made: Plan) -> bool:
    """Whether a job has ended with that: it was skipped, or had passed elsewhere."""
    ended = False
    kept = _kept_states(made)
    _make_states(draft, lane, made)
    _expect(draft, lane, made)
    wanted = _wanted(lane, made, beliefs)
    _drop_states(draft, lane, made, kept, wanted)
    for state in kept:
        for proof in place_of(state).proofs:
            if proof.state is BuildsetState.READY:
                ended = _advance(draft, proof, wanted) or ended
    bases = {want.trial.job: want.score for want in made.wants if want.base}
    for entry in lane.lattice.entries:
        if beliefs.bad[entry.id] > judge.DOUBTFUL:
            for job in judgement.unsure_of_branch(draft, lane, entry):
                bases.setdefault(job, _FIRST)
    for trial in lane.lattice.trials.values():
        if trial.failing and beliefs.broken.get(trial.job, 0.0) > BROKEN:
            bases.setdefault(trial.job, _FIRST)  # until the branch is well nothing else helps
    for job, score in bases.items():
        _run_base(draft, lane, job, score)
    return ended


def _kept_states(made: Plan) -> list[State]:
    """The states of the plan and of what still runs, with all beneath them."""
    kept: dict[int, State] = {}
    for state in [*made.states, *(want.state for want in made.wants)]:
        at = state
        while at.parent is not None and id(at) not in kept:
            kept[id(at)] = at
            at = at.parent
    return sorted(kept.values(), key=lambda state: state.depth)


def _make_states(draft: Draft, lane: Lane, made: Plan) -> None:
    asked: set[Wish] = set()
    for state in made.states:
        wish = place_of(state).lacks
        if wish is not None and wish not in asked and state.broken is None:
            asked.add(wish)
            entry = draft.get(Item, wish.item.id)
            item.prepare(draft, entry, wish.onto, wish.beside)


def _expect(draft: Draft, lane: Lane, made: Plan) -> None:
    """Each item shows the state on which it is thought to land."""
    entries = {entry.id: entry for entry in lane.lattice.entries}
    for number, state in made.expected.items():
        entry = entries[number]
        shown: dict[int, Buildset | None] = {step[0].id: step[1] for step in place_of(state).steps}
        shown |= {proof.item_id: proof for proof in place_of(state).proofs}
        for member in lane.members(entry):
            present = draft.get(Item, member.id)
            proof = shown.get(member.id) or _newest(draft, member)
            if proof is not None and present.buildset_id != proof.id:
                draft.put(replace(present, buildset_id=proof.id))


def _newest(draft: Draft, entry: Item) -> Buildset | None:
    """The state last asked for, if it is still to be made."""
    found = [each for each in draft.buildsets(entry.id) if each.role is Role.PROOF]
    return found[-1] if found and found[-1].state is BuildsetState.PREPARING else None


def _drop_states(
    draft: Draft,
    lane: Lane,
    made: Plan,
    kept: list[State],
    wanted: dict[tuple[int, str], float],
) -> None:
    """States that will not come are of no use; what runs on them stops.

    Unless it proves another state as well; or may, while that is still to be made.
    """
    coming = _still_to_come(lane, made)
    used = {
        proof.id
        for state in kept
        for proof in [*place_of(state).proofs, *(step[1] for step in place_of(state).steps)]
    }
    used |= {found.id for found in lane.bases.values()}
    new = {wish_key(place_of(state).lacks) for state in kept}
    for entry in lane.items.values():
        states = [s for s in draft.buildsets(entry.id) if s.state is not BuildsetState.SUPERSEDED]
        unsure = entry.id in coming
        for found in states:
            if found.id in used or (found.item_id, found.onto, found.beside) in new:
                continue
            if not _still_proves(draft, found, wanted, unsure=unsure):
                item.supersede(draft, found, "the state it was proved on will not come")


def _still_to_come(lane: Lane, made: Plan) -> set[int]:
    """The items of which a state is to be made, or the one beneath it first: what its jobs depend
    on is not known yet."""
    return {
        member.id
        for state in made.states
        if state.entry is not None
        and state.trials is None
        and all(each.broken is None for each in state.path())
        for member in lane.members(state.entry)
    }


def _still_proves(
    draft: Draft, found: Buildset, wanted: dict[tuple[int, str], float], *, unsure: bool
) -> bool:
    """Whether something runs there that is worth keeping; the rest is stopped."""
    if found.role is Role.BASE:
        return False
    keep = False
    for build in draft.builds(found.id):
        if build.state in (BuildState.STARTING, BuildState.RUNNING) and build.key is not None:
            score = wanted.get((found.id, build.job))
            if score is not None or unsure:
                keep = True
                continue
        buildset.stop_build(draft, build, "nothing waits for its result any more", started_too=True)
    return keep


def wish_key(wish: Wish | None) -> tuple[object, ...]:
    return () if wish is None else (wish.item.id, wish.onto, wish.beside)


def _wanted(lane: Lane, made: Plan, beliefs: Beliefs) -> dict[tuple[int, str], float]:
    """By buildset and job, how urgent it is to run it."""
    wanted: dict[tuple[int, str], float] = {}
    for want in made.wants:
        if want.base or not is_of_use(want, beliefs):
            continue
        name = want.trial.job.split(":", 1)[1]
        at = lane.runs_at.get(want.trial.key)
        if at is not None:
            wanted[at, name] = max(want.score, wanted.get((at, name), want.score))
            continue
        found = _proof_of(lane, want, name)
        if found is not None:
            _want_with_needs(wanted, *found, want.score)
    expected = {id(state) for state in made.expected.values()}
    for state in made.states:
        if id(state) in expected and not judge.is_hopeless(state, beliefs):
            for proof in place_of(state).proofs:
                _want_advisory(wanted, proof, proved=state.passed)
    return wanted


def _proof_of(lane: Lane, want: Want, name: str) -> tuple[Buildset, Job] | None:
    """Where to run a trial: in its state, or where that has it from, as the states of another
    project of the queue do."""
    for state in reversed(want.state.path()):
        if (state.trials or {}).get(want.trial.job) is not want.trial:
            return None
        for proof in place_of(state).proofs:
            if f"{lane.items[proof.item_id].project_id}:{name}" == want.trial.job:
                for job in proof.jobs:
                    if job.name == name:
                        return proof, job
    return None


def is_of_use(want: Want, beliefs: Beliefs) -> bool:
    """Whether a run may say something new of its state."""
    if want.base:
        return True
    if want.trial.failed_at:
        # It would fail again while the branch itself is broken.
        return beliefs.broken.get(want.trial.job, 0.0) <= BROKEN
    return not judge.is_hopeless(want.state, beliefs)


def _want_with_needs(
    wanted: dict[tuple[int, str], float], proof: Buildset, job: Job, score: float
) -> None:
    key = (proof.id, job.name)
    if wanted.get(key, float("-inf")) >= score:
        return
    wanted[key] = score
    for needed in proof.jobs:
        if needed.name in job.needs:
            _want_with_needs(wanted, proof, needed, score)


def _want_advisory(wanted: dict[tuple[int, str], float], proof: Buildset, *, proved: bool) -> None:
    """Jobs that do not vote run beside those that do, once those are under way, and on while what
    those have proved waits for its turn."""
    advisory = [job for job in proof.jobs if not job.voting]
    begun = any((proof.id, job.name) in wanted for job in proof.jobs if job.voting)
    if advisory and (begun or proved):
        lowest = min(wanted.values(), default=0.0)
        for job in advisory:
            wanted.setdefault((proof.id, job.name), lowest - 1.0)


def _advance(draft: Draft, proof: Buildset, wanted: dict[tuple[int, str], float]) -> bool:
    """Whether one of its jobs has ended with that."""
    ended = False
    entry = draft.get(Item, proof.item_id)
    policy = draft.get(Project, entry.project_id).policy
    for job in proof.jobs:
        score = wanted.get((proof.id, job.name))
        if score is None and not draft.unfinished_of(proof.id, job.name):
            continue
        version = draft.version
        build = buildset.advance_wanted(draft, entry, proof, job, policy, wanted=score is not None)
        if build is not None and score is not None:
            draft.urgency[build.id] = score
        ended = ended or (build is None and draft.version != version)
    return ended


def _run_base(draft: Draft, lane: Lane, failed: str, score: float) -> None:
    """Run a job on the head as it stands, for the first item that has failed it."""
    project, name = lane.project_and_job(failed)
    found = lane.bases.get(project.id)
    if found is None:
        for entry in lane.items.values():
            if entry.project_id == project.id:
                head = lane.heads.get(project.id)
                if head is not None:
                    beside = lane.beside(lane.heads, project.id)
                    item.prepare(draft, entry, head, beside, role=Role.BASE)
                return
        return
    entry = draft.get(Item, found.item_id)
    if found.state is not BuildsetState.READY or entry.state not in LIVE_ITEMS:
        return
    for job in found.jobs:
        if job.name == name:
            _try_base(draft, entry, found, job, score)


def _try_base(draft: Draft, entry: Item, found: Buildset, job: Job, score: float) -> None:
    tried = draft.builds_of(found.id, job.name)
    last = tried[-1] if tried else None
    if last is not None:
        if last.state is not BuildState.FINISHED:
            draft.urgency[last.id] = score
            return
        ended = [b.verdict for b in tried if b.verdict in (Verdict.SUCCESS, Verdict.FAILURE)]
        if (
            ended[-2:] == [Verdict.FAILURE, Verdict.FAILURE]
            and draft.now - (last.finished_at or 0.0) < BASE_AGAIN
        ):
            return
    build = buildset.begin(draft, entry, found, job)
    draft.urgency[build.id] = score
