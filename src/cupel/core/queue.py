"""The gate: every queue planned afresh from what is there, after every fact.

A `Lane` reads the rows as a lattice of states. Then, in this order: what may not stay leaves; what
has failed beyond doubt on the head is rejected; what has passed in its turn lands; and the queue's
planner says which states to prove, and in which order (`core.speculation`). Items behind one that
is suspect are proved without it and may overtake it, so that no failure holds up the rest.
"""

from __future__ import annotations

from dataclasses import replace

from cupel.core import admission, buildset, evidence, host, item, lifecycle
from cupel.core.draft import Draft
from cupel.core.lane import Lane, Wish, place_of
from cupel.core.model import (
    LIVE_ITEMS,
    Build,
    Buildset,
    BuildsetState,
    BuildState,
    Change,
    ChangeState,
    Host,
    Item,
    ItemState,
    Job,
    Landing,
    Pipeline,
    Project,
    Queue,
    Reason,
    Role,
    Verdict,
)
from cupel.core.speculation import POLICIES, belief, judge
from cupel.core.speculation.belief import Beliefs
from cupel.core.speculation.judge import Rules
from cupel.core.speculation.lattice import Entry, State, Trial
from cupel.core.speculation.optimistic import Optimistic
from cupel.core.speculation.policy import Plan, Policy, Want

BASE_AGAIN = 600.0
"""Seconds after which a job that failed on the head itself is tried there again."""

GOT_FURTHER = 1.25
"""Times the seconds at which a failure came after which its absence tells something."""

BROKEN = 0.5
"""Above this chance a job's failures are put down to the branch itself."""

_FIRST = 1e6

_SPARE = 2
"""Builds that may wait for a machine, so that none is idle between two plannings."""


def plan(draft: Draft) -> bool:
    """Plan every queue for every branch, each by itself. Whether more may follow from that."""
    lanes: dict[tuple[int, str], list[Item]] = {}
    for entry in draft.live_items(Pipeline.GATE):
        queue = draft.queue(entry.project_id)
        lanes.setdefault((queue.id, entry.branch), []).append(entry)
    more = [
        _plan_lane(draft, draft.get(Queue, queue_id), entries)
        for (queue_id, _), entries in lanes.items()
    ]
    return any(more)


def _plan_lane(draft: Draft, queue: Queue, entries: list[Item]) -> bool:
    """Whether more may follow. It does not from builds that are begun or stopped."""
    if _remove_unfit(draft, queue, entries):
        return True
    landing = [entry for entry in entries if entry.state is ItemState.LANDING]
    waiting = [entry for entry in entries if entry.state is not ItemState.LANDING]
    if not waiting:
        return False
    rules = rules_of(queue)
    _take_known_passes(draft, waiting)
    lane = Lane(draft, queue, waiting, landing)
    beliefs = belief.infer(lane.lattice, draft.now)
    if not landing and _judge(draft, lane, beliefs, rules):
        return True
    made = propose(draft, lane, beliefs)
    more = _carry_out(draft, lane, beliefs, made)
    _say_why(draft, lane, beliefs, made)
    return more


def _take_known_passes(draft: Draft, waiting: list[Item]) -> None:
    """Whatever the planner wants: what is proved already is proved."""
    for entry in waiting:
        policy = draft.get(Project, entry.project_id).policy
        for proof in draft.buildsets(entry.id):
            if proof.state is BuildsetState.READY and proof.role is Role.PROOF:
                for job in evidence.reusable_jobs(draft, proof):
                    if not draft.unfinished_of(proof.id, job.name):
                        buildset.advance_wanted(draft, entry, proof, job, policy, wanted=False)


def rules_of(queue: Queue) -> Rules:
    landing_set = queue.landing is Landing.SET
    if queue.planner == "optimistic":
        return Rules(landing_set=landing_set, reruns=1, overtaking=False)
    return Rules(landing_set=landing_set)


def propose(draft: Draft, lane: Lane, beliefs: Beliefs) -> Plan:
    """What the queue's planner would have."""
    window = lane.queue.window
    entries = lane.lattice.entries
    beyond = [] if window is None else entries[window:]
    if beyond:
        lane.lattice.entries = entries[:window]
    made = _policy(lane.queue).plan(
        lane.lattice,
        beliefs,
        now=draft.now,
        machines=machines(draft) + _SPARE,
        landing_set=lane.queue.landing is Landing.SET,
    )
    lane.lattice.entries = entries
    for entry in beyond:
        made.waits[entry.id] = f"the window is {window} wide"
    return made


def _policy(queue: Queue) -> Policy:
    if queue.planner == "optimistic":
        return Optimistic(reruns=1)
    return POLICIES[queue.planner]()


def machines(draft: Draft) -> int:
    """Machines that the gate could have at a time."""
    return sum(each.slots for each in draft.all(Host) if host.takes_more(each, draft.now))


# Who may stay.


def _remove_unfit(draft: Draft, queue: Queue, entries: list[Item]) -> bool:
    """Whether somebody had to leave whatever the builds say."""
    ahead: set[int] = set()
    live = {entry.change_id for entry in entries if entry.change_id is not None}
    found = False
    for entry in entries:
        assert entry.change_id is not None
        if entry.state is not ItemState.LANDING:
            change = draft.get(Change, entry.change_id)
            unfit = why_unfit(draft, queue, entry, change, ahead, live)
            if unfit is not None:
                item.leave(draft, entry, "remove", unfit)
                live.discard(entry.change_id)
                found = True
                continue
        ahead.add(entry.change_id)
    return found


def why_unfit(
    draft: Draft,
    queue: Queue,
    entry: Item,
    change: Change,
    ahead: set[int],
    live: set[int],
) -> Reason | None:
    """Why the item must leave the gate whatever its builds say; None if it may stay.

    `ahead` are the changes ahead of it, `live` all that are in the queue.
    """
    if change.state is not ChangeState.OPEN:
        return Reason.ABANDONED
    if entry.patch_set != change.patch_set:
        return Reason.NEW_PATCH_SET
    if not change.wants_land:
        return Reason.DEQUEUED
    if not admission.is_approved(draft, change):
        return Reason.UNAPPROVED
    needs = {below.id for below in admission.needed(draft, change)}
    if needs - ahead:
        bundle = admission.bundle(draft, change)
        if needs - ahead - bundle or not bundle <= live:
            circular = needs <= live and not queue.cycles
            return Reason.CYCLE if circular else Reason.NEEDS_LEFT
    return None


# Verdicts.


def _judge(draft: Draft, lane: Lane, beliefs: Beliefs, rules: Rules) -> bool:
    """Whether something landed or left."""
    refused = list(judge.refused(lane.lattice))
    for entry, trial in refused:
        _refuse(draft, lane, entry, trial)
    if refused:
        return True
    guilty = [
        entry
        for entry in judge.convicted(lane.lattice, beliefs, rules)
        if not _unsure_of_branch(draft, lane, entry)
    ]
    for entry in guilty:
        _reject(draft, lane, entry)
    if guilty:
        return True
    if lane.queue.closed is not None:
        return False
    landing = judge.landable(lane.lattice, beliefs, rules)
    if landing is None:
        return False
    _land(draft, landing)
    return True


def _refuse(draft: Draft, lane: Lane, entry: Entry, trial: Trial | None) -> None:
    state = lane.lattice.root.children[entry.id]
    if trial is None:
        found = next(
            proof
            for proof in place_of(state).proofs
            if proof.state in (BuildsetState.CONFLICT, BuildsetState.MISCONFIGURED)
        )
        conflict = found.state is BuildsetState.CONFLICT
        reason = Reason.CONFLICT if conflict else Reason.MISCONFIGURED
        _leave(draft, lane, entry, reason, found.detail, "reject")
        return
    build = _last(draft, state, trial)
    reason = Reason(trial.refused or Reason.INFRASTRUCTURE)
    _leave(draft, lane, entry, reason, buildset.tell(build) if build else None, "reject")


def _last(draft: Draft, state: State, trial: Trial) -> Build | None:
    """The last attempt at the trial's job in this state."""
    name = trial.job.split(":", 1)[1]
    found = [b for proof in place_of(state).proofs for b in draft.builds_of(proof.id, name)]
    return found[-1] if found else None


def _unsure_of_branch(draft: Draft, lane: Lane, entry: Entry) -> set[str]:
    """The jobs that the entry has failed of which nobody knows how they fare without it.

    They fare well once one has passed without it since, or got further than where it failed.
    """
    unsure: set[str] = set()
    for trial in lane.lattice.trials.values():
        if trial.members & entry.bit and trial.failed_at and not trial.passed:
            first, where = min(trial.failed_when), max(trial.failed_at)
            others = [
                t
                for t in lane.lattice.trials.values()
                if t.job == trial.job and not t.members & entry.bit
            ]
            base = lane.lattice.base(trial.job)
            others.append(base)
            # What passes elsewhere may pass because a change there repairs the branch.
            if base.failing or not any(_fares_well(draft, other, first, where) for other in others):
                unsure.add(trial.job)
    return unsure


def _fares_well(draft: Draft, trial: Trial, since: float, where: float) -> bool:
    if trial.passed:
        return trial.passed_when >= since
    if trial.failed_at:
        return False
    beyond = [draft.now - run.started_at for run in trial.runs if run.started_at >= since - where]
    return max(beyond, default=0.0) > GOT_FURTHER * where + 1.0


def _reject(draft: Draft, lane: Lane, entry: Entry) -> None:
    failed = _failures(draft, lane, entry)
    for build in failed[-1:]:
        _report_the_rest(draft, draft.get(Buildset, build.buildset_id), build)
        # What it is rejected for is what is shown of it.
        present = draft.get(Item, build.item_id)
        draft.put(replace(present, buildset_id=build.buildset_id))
    _leave(draft, lane, entry, Reason.BUILD_FAILED, _convicting(failed), "reject")


def _convicting(failed: list[Build]) -> str | None:
    """What speaks against the entry, for people."""
    if not failed:
        return None
    last = failed[-1]
    again = any(build.job == last.job for build in failed[:-1])
    seen = "it failed again when it was run again, and fares" if again else "it fares"
    return f"{buildset.tell(last)}; {seen} well without the change"


def _failures(draft: Draft, lane: Lane, entry: Entry) -> list[Build]:
    """Those of jobs that the entry fails, the oldest first; flakes of others are none of them."""
    jobs = {
        trial.job
        for trial in lane.lattice.trials.values()
        if trial.members & entry.bit and trial.failed_at and not trial.passed
    }
    found = [
        build
        for member in lane.members(entry)
        for proof in draft.buildsets(member.id)
        if proof.role is Role.PROOF
        for build in draft.builds(proof.id)
        if build.verdict is Verdict.FAILURE and f"{build.project_id}:{build.job}" in jobs
    ]
    return sorted(found, key=lambda build: build.finished_at or 0.0)


def _report_the_rest(draft: Draft, proof: Buildset, failed: Build) -> None:
    """Jobs that never began say why not."""
    entry = draft.get(Item, proof.item_id)
    for job in proof.jobs:
        if not draft.builds_of(proof.id, job.name):
            why = f"job {failed.job} failed"
            if failed.job in job.needs:
                why = f"needs {failed.job}, which failed"
            buildset.skip(draft, entry, proof, job, why)


def _leave(
    draft: Draft, lane: Lane, entry: Entry, reason: Reason, detail: str | None, event: str
) -> None:
    for member in lane.members(entry):
        item.leave(draft, draft.get(Item, member.id), event, reason, detail)
    queue = draft.get(Queue, lane.queue.id)
    if queue.window is not None and event == "reject":
        draft.put(replace(queue, window=max(queue.window_floor, queue.window // 2)))


def _land(draft: Draft, states: list[State]) -> None:
    """Have the branches moved to where the last of these states has them."""
    steps = [step for state in states for step in place_of(state).steps]
    last = steps[-1][0].id
    for member, proof in steps:
        present = draft.get(Item, member.id)
        state = lifecycle.step(lifecycle.ITEM, present.state, "land")
        draft.tell("item.landing", "proved; moving the branch", **item.about(present))
        draft.put(replace(present, state=state, lands_with=last, buildset_id=proof.id, wait=None))


# What to prove.


def _carry_out(draft: Draft, lane: Lane, beliefs: Beliefs, made: Plan) -> bool:
    """Whether a job has ended with that: it was skipped, or had passed elsewhere."""
    ended = False
    kept = _kept_states(made)
    _make_states(draft, lane, made)
    _expect(draft, lane, made)
    wanted = _wanted(lane, made, beliefs)
    _drop_states(draft, lane, kept, wanted)
    for state in kept:
        for proof in place_of(state).proofs:
            if proof.state is BuildsetState.READY:
                ended = _advance(draft, proof, wanted) or ended
    bases = {want.trial.job: want.score for want in made.wants if want.base}
    for entry in lane.lattice.entries:
        if beliefs.bad[entry.id] > judge.DOUBTFUL:
            for job in _unsure_of_branch(draft, lane, entry):
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
    draft: Draft, lane: Lane, kept: list[State], wanted: dict[tuple[int, str], float]
) -> None:
    """States that will not come are of no use; what runs on them stops.

    Unless it proves another state as well; or may, while that is still being made.
    """
    used = {
        proof.id
        for state in kept
        for proof in [*place_of(state).proofs, *(step[1] for step in place_of(state).steps)]
    }
    used |= {found.id for found in lane.bases.values()}
    new = {wish_key(place_of(state).lacks) for state in kept}
    for entry in lane.items.values():
        states = [s for s in draft.buildsets(entry.id) if s.state is not BuildsetState.SUPERSEDED]
        unsure = any(state.state is BuildsetState.PREPARING for state in states)
        for found in states:
            if found.id in used or (found.item_id, found.onto, found.beside) in new:
                continue
            if not _still_proves(draft, found, wanted, unsure=unsure):
                item.supersede(draft, found, "the state it was proved on will not come")


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


# What is told.


def _say_why(draft: Draft, lane: Lane, beliefs: Beliefs, made: Plan) -> None:
    wanted = frozenset(id(want.trial) for want in made.wants)
    for entry in lane.lattice.entries:
        wait = _why(lane, beliefs, made, entry, wanted)
        for member in lane.members(entry):
            present = draft.get(Item, member.id)
            if present.state is ItemState.LIVE and present.wait != wait:
                draft.put(replace(present, wait=wait))


def why_waits(draft: Draft, lane: Lane, beliefs: Beliefs, made: Plan, entry: Entry) -> str | None:
    """What the entry waits for; None while its builds are under way."""
    return _why(lane, beliefs, made, entry, frozenset(id(want.trial) for want in made.wants))


def _why(
    lane: Lane, beliefs: Beliefs, made: Plan, entry: Entry, wanted: frozenset[int]
) -> str | None:
    if entry.id in made.waits:
        return made.waits[entry.id]
    state = made.expected.get(entry.id)
    if state is None:
        return "waits until it is clearer what is ahead of it"
    if state.broken is not None:
        return f"cannot be proved on what is ahead of it: {state.broken}"
    place = place_of(state)
    if state.trials is None:
        return (
            "its state is being made"
            if place.lacks or place.proofs
            else ("waits for the states ahead of it to be made")
        )
    failing = sorted({t.job for t in state.own_trials() if t.failed_at and not t.passed})
    names = ", ".join(job.split(":", 1)[1] for job in failing)
    if failing and all(beliefs.broken.get(job, 0.0) > BROKEN for job in failing):
        return f"the branch itself is broken: {names} fails on it without any change"
    if failing:
        told = (
            f"job {names} failed; it is" if len(failing) == 1 else f"jobs {names} failed; they are"
        )
        return f"{told} run again to see whose fault that is"
    if lane.queue.closed is not None and state.passed:
        return f"proved; the tree is closed: {lane.queue.closed}"
    if state.passed:
        return "proved; waits for what is ahead of it"
    if any(trial.runs for trial in state.own_trials()):
        return None
    alone = any(id(trial) in wanted for trial in state.own_trials())
    if lane.queue.landing is Landing.SET and not alone:
        return "to be proved together with those behind it"
    return "waits for a machine"
