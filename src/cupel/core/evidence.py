"""What a pass proves, and where else it holds.

A job's verdict is a function of what it depends on: its definition and the inputs that it names
(`Buildset.keys`, made in git), the image of its machine, and what the jobs that it needs have
left. One digest, its key, names all of that. A pass is good for every build with the same key,
until an audit runs such a build again and it fails.

Only `check` and `gate` reuse a pass: a job of `post` is run for what it does, an audit for what it
finds. A state without the change (`Role.BASE`) asks how things stand now, so it is run as well.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from cupel.core import lifecycle
from cupel.core.draft import Draft
from cupel.core.key import combine, outputs, together
from cupel.core.model import (
    Artefact,
    Build,
    Buildset,
    BuildsetState,
    BuildState,
    Change,
    Evidence,
    Host,
    HostState,
    Item,
    ItemState,
    Job,
    Machine,
    Pipeline,
    Purpose,
    Role,
    Row,
    Usage,
    Verdict,
)

AUDIT_EVERY = 20
"""One reused result in so many is proved again when its item has landed."""

PROVING = frozenset({Pipeline.CHECK, Pipeline.GATE})
"""The pipelines whose passes are evidence, and which reuse it."""

FAILED = frozenset({Verdict.FAILURE, Verdict.TIMEOUT})

_RUNS_ANYWAY = frozenset({Purpose.RERUN, Purpose.ASKED})


# Keys.


def key_of(draft: Draft, buildset: Buildset, job: Job) -> str | None:
    """The key that a build of the job would have if it began now.

    None while that is not known: the job has no key in this state, the hosts that could run it
    do not all have the same image, or a job that it needs has not passed.
    """
    state = next((key for name, key in buildset.keys if name == job.name), None)
    image = images_of(draft, job) if state is not None else None
    needed = _needed(draft.builds(buildset.id), job) if job.needs else []
    if state is None or image is None or needed is None:
        return None
    return combine(state, image, needed)


def images_of(draft: Draft, job: Job) -> str | None:
    """What the images of all the job's machines are; None if one is not known."""
    return together([image_of(draft, label) for label in job.labels])


def image_of(draft: Draft, label: str) -> str | None:
    """The image that the label has on every connected host that makes it; None if one does not
    know it yet, or has another."""
    return draft.remember(("image", label), Host, lambda: _image_of(draft, label))


def _image_of(draft: Draft, label: str) -> str | None:
    found = {
        dict(host.images).get(label)
        for host in draft.all(Host)
        if host.state is HostState.CONNECTED and (not host.labels or label in host.labels)
    }
    return found.pop() if len(found) == 1 else None


def _needed(builds: Iterable[Build], job: Job) -> list[tuple[str, str]] | None:
    """Each job that is needed and the outputs of its last pass; None if there is one without."""
    passed = {build.job: build.outputs for build in builds if build.verdict is Verdict.SUCCESS}
    found = [(name, passed.get(name)) for name in job.needs]
    known = [(name, left) for name, left in found if left is not None]
    return known if len(known) == len(found) else None


def proved_key(draft: Draft, build: Build) -> str | None:
    """The key of a build that ran, of the image that its machine really had."""
    buildset = draft.find(Buildset, build.buildset_id)
    machine = draft.find(Machine, build.machine_id)
    job = _job(buildset, build.job)
    if buildset is None or job is None or machine is None:
        return None
    images = _images_had(draft, build, machine)
    if images is None:
        return None
    state = dict(buildset.keys).get(job.name)
    needed = _needed(draft.builds(buildset.id), job)
    return None if state is None or needed is None else combine(state, images, needed)


def _images_had(draft: Draft, build: Build, own: Machine) -> str | None:
    """What the images of all the build's machines were."""
    if not build.parts:
        return own.image
    had = {m.part: m.image for m in draft.all(Machine) if m.build_id == build.id}
    return together([had.get(part.name) for part in build.parts])


def _job(buildset: Buildset | None, name: str) -> Job | None:
    jobs = () if buildset is None else buildset.jobs
    return next((job for job in jobs if job.name == name), None)


# Reusing a pass.


def awaited(draft: Draft, buildset: Buildset, job: Job) -> str | None:
    """The key of which a pass makes a build of the job in this state unnecessary.

    A queued build has it as its own: so a pass that comes while it waits ends it. None where the
    job has to run, or its key is not known.
    """
    if not job.evidence:
        return None
    if job.needs:
        return key_of(draft, buildset, job) if _is_proof(draft, buildset) else None
    return awaited_alone(draft, buildset).get(job.name)


def awaited_alone(draft: Draft, buildset: Buildset) -> Mapping[str, str]:
    """`awaited` by name of all the jobs at once that need no other and have such a key."""
    what = ("awaited", buildset.id, buildset.state)
    return draft.remember(what, Host, lambda: _keys_without_needs(draft, buildset))


def _keys_without_needs(draft: Draft, buildset: Buildset) -> dict[str, str]:
    if not _is_proof(draft, buildset):
        return {}
    states = dict(buildset.keys)
    images: dict[tuple[str, ...], str | None] = {}
    found: dict[str, str] = {}
    for job in buildset.jobs:
        state = states.get(job.name)
        if state is None or job.needs or not job.evidence:
            continue
        if job.labels not in images:
            images[job.labels] = images_of(draft, job)
        image = images[job.labels]
        if image is not None:
            found[job.name] = combine(state, image, ())
    return found


def _is_proof(draft: Draft, buildset: Buildset) -> bool:
    """Whether passes of the state are evidence, and others' are good for it."""
    if buildset.role is Role.BASE:
        return False
    item = draft.get(Item, buildset.item_id)
    return item.pipeline in PROVING and not _is_anew(draft, item)


def _is_anew(draft: Draft, item: Item) -> bool:
    """Whether somebody wants everything run in the gate, whatever has passed before."""
    change = draft.find(Change, item.change_id) if item.pipeline is Pipeline.GATE else None
    return change is not None and change.anew


def reusable(draft: Draft, buildset: Buildset, job: Job) -> Evidence | None:
    """The pass that makes a build of the job in this state unnecessary, if there is one."""
    return _good(draft, buildset, job, awaited(draft, buildset, job))


def _good(draft: Draft, buildset: Buildset, job: Job, key: str | None) -> Evidence | None:
    """The pass with this key that leaves what the state needs of the job."""
    found = draft.evidence(key)
    if found is not None and found.offered and _is_needed(buildset, job.name):
        return None
    return found


def _is_needed(buildset: Buildset, job: str) -> bool:
    return any(job in each.needs for each in buildset.jobs)


def reusable_jobs(draft: Draft, buildset: Buildset) -> list[Job]:
    """The jobs of the state that have `reusable` passes."""
    alone = awaited_alone(draft, buildset)
    return [
        job
        for job in buildset.jobs
        if _good(
            draft,
            buildset,
            job,
            awaited(draft, buildset, job) if job.needs else alone.get(job.name),
        )
    ]


def reuse(draft: Draft, item: Item, buildset: Buildset, job: Job, found: Evidence) -> Build:
    """The job has passed: its build is one that was not run.

    It stands for `found.build_id`, which did run: artefacts and log are those of that one.
    """
    return _stand_for(draft, _new(draft, item, buildset, job, Purpose.FIRST), found)


def _stand_for(draft: Draft, build: Build, found: Evidence) -> Build:
    """End a build that no machine was made for with the pass of another."""
    origin = draft.find(Build, found.build_id)
    text = f"{build.job} has passed already, as {_named(draft, found.build_id)}"
    draft.tell("build.reused", text, **_about(draft, build))
    return draft.put(
        replace(
            build,
            state=lifecycle.step(lifecycle.BUILD, build.state, "finish"),
            verdict=Verdict.SUCCESS,
            finished_at=draft.now,
            key=found.key,
            reused_from=found.build_id,
            outputs=None if origin is None else origin.outputs,
        )
    )


def run_again(draft: Draft, item: Item, buildset: Buildset, job: Job) -> Build:
    """A job that failed in an audit gets a second build: bad luck must not refute anything."""
    build = _new(draft, item, buildset, job, Purpose.RERUN)
    draft.tell("build.queued", f"{job.name}: once more, to be sure", **_about(draft, build))
    return draft.put(build)


def _new(draft: Draft, item: Item, buildset: Buildset, job: Job, purpose: Purpose) -> Build:
    tried = [build.attempt for build in draft.builds(buildset.id) if build.job == job.name]
    return Build(
        id=draft.new_id(),
        buildset_id=buildset.id,
        item_id=item.id,
        project_id=item.project_id,
        pipeline=item.pipeline,
        job=job.name,
        label=job.label,
        attempt=1 + max(tried, default=0),
        voting=job.voting,
        state=BuildState.QUEUED,
        verdict=None,
        reason=None,
        machine_id=None,
        steps=(),
        usage=Usage(),
        queued_at=draft.now,
        purpose=purpose,
        parts=job.parts,
    )


def _named(draft: Draft, build_id: int) -> str:
    """A build, with its change where that is known."""
    build = draft.find(Build, build_id)
    item = draft.find(Item, None if build is None else build.item_id)
    change = f" of change {item.change_id}" if item is not None and item.change_id else ""
    word = f", offered by {build.offer.by}" if build is not None and build.offer else ""
    return f"build {build_id}{change}{word}"


def _about(draft: Draft, build: Build) -> dict[str, int | str | None]:
    item = draft.find(Item, build.item_id)
    return {
        "project_id": build.project_id,
        "change_id": None if item is None else item.change_id,
        "item_id": build.item_id,
        "build_id": build.id,
    }


# Keeping and losing it.


def record(draft: Draft, build: Build, artefacts: Sequence[Artefact]) -> Build:
    """A build has run: say what its verdict depended on and what it left, and keep a pass.

    A key that an audit has refuted is not trusted again, whatever passes with it. What a build says
    in whose machine somebody was is no evidence of anything; nor is a pass but for tests that are
    quarantined, which holds for as long as they are.
    """
    passed = build.verdict is Verdict.SUCCESS
    key = proved_key(draft, build) if build.visited_by is None else None
    build = draft.put(replace(build, key=key, outputs=outputs(artefacts) if passed else None))
    job = _job(draft.find(Buildset, build.buildset_id), build.job)
    trusted = passed and job is not None and job.evidence and build.pipeline in PROVING
    trusted = trusted and not build.but_for and build.alone is None
    if (
        key is not None
        and trusted
        and not any(_is_enough(each, key) for each in draft.all(Evidence))
    ):
        keep(draft, build, key)
    return build


def _is_enough(found: Evidence, key: str) -> bool:
    """Whether nothing is kept beside it. A pass that was offered is less than one seen here."""
    return found.key == key and (not found.offered or found.withdrawn_at is not None)


def keep(draft: Draft, build: Build, key: str) -> None:
    """The build's pass is good for all that have this key from now on."""
    found = Evidence(
        id=draft.new_id(),
        key=key,
        build_id=build.id,
        project_id=build.project_id,
        job=build.job,
        created_at=draft.now,
        offered=build.offer is not None,
    )
    _overtake(draft, draft.put(found))


def _overtake(draft: Draft, found: Evidence) -> None:
    """Builds that have waited for a machine until now need none any more.

    A rerun does: it is to find out whether the same result comes again. So does what was asked for.
    """
    for build in draft.all(Build):
        waits = build.state is BuildState.QUEUED and build.purpose not in _RUNS_ANYWAY
        if waits and build.key == found.key and _is_good_for(draft, build, found):
            _stand_for(draft, build, found)


def _is_good_for(draft: Draft, build: Build, found: Evidence) -> bool:
    state = draft.get(Buildset, build.buildset_id) if found.offered else None
    return state is None or not _is_needed(state, build.job)


def withdraw(draft: Draft, evidence: Evidence, refuted_by: Build) -> Evidence:
    """The pass is good for nothing any more.

    Passes of jobs that needed the artefacts of this one stand: their keys name those artefacts by
    content, and they are reused only where a job that is believed to have passed left the same.
    """
    text = f"{evidence.job}: the pass of {_named(draft, evidence.build_id)} is not reused any more"
    item = draft.find(Item, refuted_by.item_id)
    draft.tell(
        "evidence.withdrawn",
        f"{text}, since build {refuted_by.id} of an audit has failed",
        project_id=evidence.project_id,
        change_id=None if item is None else item.change_id,
        item_id=refuted_by.item_id,
        build_id=refuted_by.id,
    )
    return draft.put(replace(evidence, withdrawn_at=draft.now, refuted_by=refuted_by.id))


# Audits.


def is_sampled(build_id: int) -> bool:
    """Whether a reused result is proved again: one in `AUDIT_EVERY`, always the same ones."""
    digest = hashlib.sha256(f"audit {build_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % AUDIT_EVERY == 0


def audit(draft: Draft, item: Item, buildset: Buildset) -> Item | None:
    """Have a sample of what a landed item reused proved again, on exactly what has landed; and all
    of what passed by tests that had failed and were run again alone.

    The audit is an item of the pipeline `periodic` whose state has its jobs from the beginning:
    those of the sample, and what they need.
    """
    chosen = {
        build.job
        for build in draft.builds(buildset.id)
        if (build.reused_from is not None and is_sampled(build.id))
        or (build.alone is not None and build.verdict is Verdict.SUCCESS)
    }
    jobs = _with_needs(buildset.jobs, chosen)
    if not jobs or buildset.commit is None:
        return None
    number = draft.new_id()
    state = Buildset(
        id=draft.new_id(),
        item_id=number,
        number=1,
        onto=None,
        state=BuildsetState.PREPARING,
        commit=None,
        tree=None,
        jobs=jobs,
        detail=None,
        notice=None,
        created_at=draft.now,
        beside=buildset.beside,
        keys=tuple(each for each in buildset.keys if each[0] in {job.name for job in jobs}),
    )
    draft.put(state)
    audited = replace(
        item,
        id=number,
        pipeline=Pipeline.PERIODIC,
        commit=buildset.commit,
        state=ItemState.LIVE,
        position=number,
        buildset_id=state.id,
        enqueued_at=draft.now,
        finished_at=None,
        reason=None,
        detail=None,
        lands_with=None,
        wait=None,
    )
    draft.tell(
        "item.enqueued",
        f"audit of what was reused: {', '.join(sorted(chosen))}",
        project_id=item.project_id,
        change_id=item.change_id,
        item_id=number,
    )
    return draft.put(audited)


def _with_needs(jobs: Sequence[Job], chosen: set[str]) -> tuple[Job, ...]:
    """The chosen jobs and, all the way down, what they need."""
    by_name = {job.name: job for job in jobs}
    wanted: set[str] = set()
    more = chosen
    while more := {name for name in more if name in by_name} - wanted:
        wanted |= more
        more = {need for name in more for need in by_name[name].needs}
    return tuple(job for job in jobs if job.name in wanted)


def refute(draft: Draft, build: Build) -> list[Evidence]:
    """Withdraw what a build that failed for good in an audit shows to be wrong.

    That is the pass with the same key. If there is none, the build may have been given other
    artefacts than the pass that was reused: then those that would have been reused were stale.
    """
    found = [e for e in draft.all(Evidence) if e.key == build.key and e.withdrawn_at is None]
    return [withdraw(draft, each, build) for each in found or _stale(draft, build)]


def _stale(draft: Draft, build: Build) -> list[Evidence]:
    """The passes of what the build needs, all the way down, that left something else by now."""
    jobs = draft.get(Buildset, build.buildset_id).jobs
    needed = {job.name for job in _with_needs(jobs, {build.job})} - {build.job}
    passed = {
        each.job: each
        for each in draft.builds(build.buildset_id)
        if each.job in needed and each.verdict is Verdict.SUCCESS
    }
    found = [(draft.evidence(each.key), each.outputs) for each in passed.values()]
    return [
        evidence
        for evidence, left in found
        if evidence is not None and draft.get(Build, evidence.build_id).outputs != left
    ]


def explain(draft: Draft, build: Build, wrong: Sequence[Evidence]) -> str:
    """What an audit has found out, for those who wrote the job."""
    said = f"job {build.job} failed again as build {build.id}{_state(draft, build)}"
    if not wrong:
        return f"{said}; it had passed with another image, or with other artefacts that it needs"
    passes = " and ".join(
        f"job {each.job} passed as {_named(draft, each.build_id)}"
        f"{_state(draft, draft.find(Build, each.build_id))}"
        for each in wrong
    )
    names = " and ".join(sorted({each.job for each in wrong}))
    if all(_is_same_state(draft, build, each) for each in wrong):
        return f"{said}, but {passes}: the result depends on something outside of the repository"
    return (
        f"{said}, but {passes}, and none of its `inputs` differ: the `inputs` of {names} seem to"
        " miss something that its result depends on"
    )


def _is_same_state(draft: Draft, build: Build, found: Evidence) -> bool:
    origin = draft.find(Build, found.build_id)
    then = draft.find(Buildset, None if origin is None else origin.buildset_id)
    return then is not None and then.tree == draft.get(Buildset, build.buildset_id).tree


def _state(draft: Draft, build: Build | None) -> str:
    buildset = draft.find(Buildset, None if build is None else build.buildset_id)
    return f" on {buildset.commit[:12]}" if buildset is not None and buildset.commit else ""


# What a decision has to read.


def undecided(rows: Iterable[Row]) -> list[Row]:
    """The rows among these that say which passes could be reused now.

    They are the states in which a job has not begun though nothing that it needs is in the way,
    with their items and builds, and the hosts. Usually that is nearly nothing.
    """
    rows = list(rows)
    builds: dict[int, list[Build]] = {}
    for row in rows:
        if isinstance(row, Build):
            builds.setdefault(row.buildset_id, []).append(row)
    states = [
        row
        for row in rows
        if isinstance(row, Buildset) and row.keys and _is_undecided(row, builds.get(row.id, []))
    ]
    items = {state.item_id for state in states}
    kept: list[Row] = [
        row
        for row in rows
        if isinstance(row, Host)
        or (isinstance(row, Item) and row.id in items and row.state is ItemState.LIVE)
    ]
    return [*kept, *states, *(build for state in states for build in builds.get(state.id, []))]


def _is_undecided(buildset: Buildset, builds: Sequence[Build]) -> bool:
    if buildset.state is not BuildsetState.READY or buildset.role is Role.BASE:
        return False
    begun = {build.job for build in builds}
    left = [job for job in buildset.jobs if job.name not in begun]
    passed = {build.job for build in builds if left and build.verdict is Verdict.SUCCESS}
    return any(passed.issuperset(job.needs) for job in left)


def sought(draft: Draft) -> set[str]:
    """The keys for which a pass would be reused now, in a draft of `undecided` rows.

    It reuses, in this draft, what is there already: that way the keys of what needs it are known.
    Ask again with the passes of these keys, until no others are sought.
    """
    return {key for buildset in draft.all(Buildset) for key in _sought(draft, buildset)}


def _sought(draft: Draft, buildset: Buildset) -> set[str]:
    item = draft.find(Item, buildset.item_id)
    if item is None or item.pipeline not in PROVING:
        return set()
    keys: set[str] = set()
    reused = True
    while reused:
        reused = False
        begun = {build.job for build in draft.builds(buildset.id)}
        for job in buildset.jobs:
            key = key_of(draft, buildset, job) if job.evidence and job.name not in begun else None
            if key is None:
                continue
            keys.add(key)
            found = _good(draft, buildset, job, key)
            if found is not None:
                reuse(draft, item, buildset, job, found)
                reused = True
    return keys
