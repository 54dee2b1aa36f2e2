"""What a pass is good for: its key, its reuse, its audit, and how it is withdrawn."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cupel.core import events, evidence, facts, independent
from cupel.core.draft import Draft
from cupel.core.model import (
    Artefact,
    Build,
    Buildset,
    BuildsetState,
    BuildState,
    Evidence,
    Host,
    HostState,
    Item,
    ItemState,
    Job,
    Machine,
    MachineState,
    Pipeline,
    Purpose,
    Reason,
    Role,
    Row,
    Usage,
    Verdict,
)
from unit.core import making
from unit.core.making import build, buildset, job

IMAGE = "sha256:image"
KEYS = (("build", "kb"), ("tests", "kt"))
COMPILE = job("build")
TESTS = job("tests", needs=("build",))


def item(id: int = 1, **fields: Any) -> Item:
    made = Item(
        id=id,
        pipeline=Pipeline.GATE,
        project_id=1,
        branch="main",
        change_id=7,
        patch_set=1,
        commit="c7.1",
        state=ItemState.LIVE,
        position=id,
        buildset_id=id,
        enqueued_at=0.0,
    )
    return replace(made, **fields)


def host(id: int = 1, **fields: Any) -> Host:
    made = Host(
        id=id,
        name=f"host{id}",
        slots=8,
        labels=(),
        state=HostState.CONNECTED,
        detail=None,
        last_seen=0.0,
        images=(("debian-12", IMAGE),),
    )
    return replace(made, **fields)


def machine(id: int = 50, **fields: Any) -> Machine:
    made = Machine(
        id=id,
        label="debian-12",
        image=IMAGE,
        host_id=1,
        build_id=1,
        state=MachineState.USED,
        detail=None,
        created_at=0.0,
    )
    return replace(made, **fields)


def artefact(path: str = "a.tar", size: int = 1, sha256: str = "s") -> Artefact:
    return Artefact(id=0, build_id=1, path=path, size=size, sha256=sha256, created_at=0.0)


def draft(*rows: Row) -> Draft:
    return Draft([making.queue(), making.project(), *rows], now=9.0, ids=itertools.count(1000))


def state(*jobs: Job, **fields: Any) -> Buildset:
    return replace(buildset(jobs=jobs or (job(),), keys=KEYS), **fields)


def key(*rows: Row, of: Job | None = None, at: Buildset | None = None) -> str | None:
    present = at or state()
    return evidence.key_of(draft(*(rows or (host(),)), present), present, of or job())


# Keys.


def test_a_key_names_state_image_and_needed_outputs() -> None:
    passed = build(job="build", verdict=Verdict.SUCCESS, outputs="left")
    found = key(host(), passed, of=TESTS)
    assert found == evidence.combine("kt", IMAGE, [("build", "left")])


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param((host(state=HostState.LOST),), id="no host"),
        pytest.param((host(images=()),), id="no host knows the image"),
        pytest.param((host(), host(2, images=(("debian-12", "other"),))), id="hosts disagree"),
        pytest.param((host(), host(2, images=())), id="one does not know"),
    ],
)
def test_there_is_no_key_while_the_image_is_not_sure(rows: tuple[Row, ...]) -> None:
    assert key(*rows) is None


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(host(2), id="agrees"),
        pytest.param(host(2, labels=("arm",), images=()), id="does not make the label"),
        pytest.param(host(2, images=(("debian-12", "x"),), state=HostState.LOST), id="lost"),
    ],
)
def test_a_host_that_would_not_differ_does_not_matter(other: Host) -> None:
    assert key(host(), other) == key(host())


def test_there_is_no_key_without_one_of_the_state() -> None:
    assert key(at=state(keys=())) is None


@pytest.mark.parametrize(
    "needed",
    [
        pytest.param((), id="has not begun"),
        pytest.param((build(job="build"),), id="runs"),
        pytest.param((build(job="build", verdict=Verdict.FAILURE, outputs="x"),), id="failed"),
        pytest.param((build(job="build", verdict=Verdict.SUCCESS),), id="left what nobody knows"),
    ],
)
def test_there_is_no_key_until_what_is_needed_has_passed(needed: tuple[Build, ...]) -> None:
    assert key(host(), *needed, of=TESTS) is None


def test_of_several_attempts_the_one_that_passed_counts() -> None:
    failed = build(1, job="build", verdict=Verdict.FAILURE)
    passed = build(2, job="build", attempt=2, verdict=Verdict.SUCCESS, outputs="left")
    assert key(host(), failed, passed, of=TESTS) is not None


texts = st.text(max_size=4)
parts = st.tuples(texts, texts, st.lists(st.tuples(texts, texts), max_size=3))


@given(parts, parts)
def test_keys_are_equal_when_all_parts_are(
    one: tuple[str, str, list[tuple[str, str]]], other: tuple[str, str, list[tuple[str, str]]]
) -> None:
    assert (evidence.combine(*one) == evidence.combine(*other)) == (one == other)


CHANGES = st.sampled_from(["state", "image", "outputs", "order"])


def keyed(state_key: str, image: str, left: dict[str, str], needs: tuple[str, ...]) -> str | None:
    """The key of a job that needs some others, in a state with things that do not matter."""
    wanted = job("tests", needs=needs)
    others = (job(name) for name in left)
    present = buildset(jobs=(wanted, *others), keys=(("tests", state_key),))
    passed = [
        build(number, job=name, verdict=Verdict.SUCCESS, outputs=digest)
        for number, (name, digest) in enumerate(left.items(), start=1)
    ]
    rows = draft(host(images=(("debian-12", image), ("other", "x"))), present, *passed)
    return evidence.key_of(rows, present, wanted)


@given(texts, texts, texts, texts, CHANGES, texts)
def test_a_change_of_any_part_changes_the_key(
    state_key: str, image: str, first: str, second: str, change: str, to: str
) -> None:
    left = {"a": first, "b": second}
    before = keyed(state_key, image, left, ("a", "b"))
    match change:
        case "state":
            after, same = keyed(to, image, left, ("a", "b")), to == state_key
        case "image":
            after, same = keyed(state_key, to, left, ("a", "b")), to == image
        case "outputs":
            after, same = keyed(state_key, image, left | {"b": to}, ("a", "b")), to == second
        case _:
            after, same = keyed(state_key, image, left, ("b", "a")), False
    assert (before == after) == same


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "id": st.integers(1, 9),
            "item_id": st.integers(1, 9),
            "number": st.integers(1, 9),
            "onto": texts,
            "commit": texts,
            "tree": texts,
            "notice": texts,
            "created_at": st.floats(0, 9),
            "role": st.sampled_from(Role),
            "beside": st.just(((2, "c"),)),
            "keys": st.just((*KEYS, ("lint", "kl"))),
        },
    ),
    st.lists(st.sampled_from([build(8, job="lint", verdict=Verdict.FAILURE), host(3)])),
)
def test_nothing_else_changes_the_key(fields: dict[str, Any], rows: list[Row]) -> None:
    assert key(host(), *rows, at=state(**fields)) == key()


@given(
    st.lists(st.builds(artefact, texts, st.integers(0, 3), texts), max_size=4).flatmap(
        lambda found: st.tuples(st.just(found), st.permutations(found))
    )
)
def test_the_order_of_artefacts_does_not_matter(
    found: tuple[list[Artefact], list[Artefact]],
) -> None:
    assert evidence.outputs(found[0]) == evidence.outputs(found[1])


@pytest.mark.parametrize("other", [artefact(path="b.tar"), artefact(size=2), artefact(sha256="t")])
def test_what_is_left_is_told_apart(other: Artefact) -> None:
    assert evidence.outputs([artefact()]) != evidence.outputs([other])
    assert evidence.outputs([artefact()]) != evidence.outputs([])


@pytest.mark.parametrize("path", [".results/pytest.xml", ".machine/console"])
def test_records_of_a_run_are_not_what_it_made(path: str) -> None:
    assert evidence.outputs([artefact(), artefact(path=path)]) == evidence.outputs([artefact()])


# Reuse.

KEY = evidence.combine("kt", IMAGE, [])
PASS = making.evidence(90, key=KEY, build_id=5)
ORIGIN = build(5, buildset_id=4, item_id=4, verdict=Verdict.SUCCESS, key=KEY, outputs="left")


def found(*rows: Row, of: Job | None = None, **fields: Any) -> Evidence | None:
    present = state(of or job(), **fields)
    return evidence.reusable(draft(item(), host(), PASS, *rows, present), present, present.jobs[0])


def test_a_pass_is_found_by_its_key() -> None:
    assert found() == PASS


@pytest.mark.parametrize(
    ("rows", "fields"),
    [
        pytest.param((replace(PASS, withdrawn_at=1.0),), {}, id="withdrawn"),
        pytest.param((), {"of": job(evidence=False)}, id="the job wants none"),
        pytest.param((), {"role": Role.BASE}, id="the state without the change"),
        pytest.param((), {"keys": ()}, id="no key"),
        pytest.param((item(pipeline=Pipeline.PERIODIC),), {}, id="an audit"),
        pytest.param((item(pipeline=Pipeline.POST),), {}, id="after landing"),
    ],
)
def test_what_is_not_reused(rows: tuple[Row, ...], fields: dict[str, Any]) -> None:
    assert found(*rows, **fields) is None


def test_a_reused_build_has_passed_without_running() -> None:
    present = state()
    rows = draft(item(), host(), ORIGIN, item(4, change_id=3), present)
    made = evidence.reuse(rows, item(), present, job(), PASS)
    assert (made.state, made.verdict) == (BuildState.FINISHED, Verdict.SUCCESS)
    assert (made.reused_from, made.key, made.outputs) == (5, KEY, "left")
    assert (made.machine_id, made.started_at, made.finished_at) == (None, None, 9.0)
    [told] = rows.events
    assert (told.kind, told.build_id) == ("build.reused", made.id)
    assert told.text == "tests has passed already, as build 5 of change 3"


def test_a_chain_of_needs_is_reused_link_by_link() -> None:
    """The key of what needs a reused build is known as soon as that one is."""
    first = making.evidence(90, key=evidence.combine("kb", IMAGE, []), build_id=5, job="build")
    second = evidence.combine("kt", IMAGE, [("build", "left")])
    present = state(TESTS, COMPILE)
    rows: list[Row] = [item(), host(), present]
    scratch = Draft(evidence.undecided(rows), now=0.0, ids=itertools.count(1000))
    assert evidence.sought(scratch) == {first.key}
    scratch.put(first)
    scratch.put(replace(ORIGIN, job="build"))
    assert evidence.sought(scratch) == {first.key, second}


@pytest.mark.parametrize(
    ("present", "builds", "expected"),
    [
        (state(), (), 1),
        (state(), (build(),), 0),
        (state(keys=()), (), 0),
        (state(state=BuildsetState.PREPARING), (), 0),
        (state(role=Role.BASE), (), 0),
        (state(COMPILE, TESTS), (build(job="build"),), 0),
        (state(COMPILE, TESTS), (build(job="build", verdict=Verdict.SUCCESS),), 1),
    ],
)
def test_only_states_that_could_reuse_something_are_looked_at(
    present: Buildset, builds: tuple[Build, ...], expected: int
) -> None:
    rows = evidence.undecided([item(), host(), present, *builds])
    assert len([row for row in rows if isinstance(row, Buildset)]) == expected


# Recording.


def finished(
    *rows: Row, verdict: Verdict = Verdict.SUCCESS, artefacts: tuple[Artefact, ...] = ()
) -> Draft:
    """After build 1 on machine 50 has ended."""
    running = build(state=BuildState.RUNNING, machine_id=50, started_at=1.0)
    made = draft(item(), host(), machine(), state(), running, *rows)
    fact = events.BuildFinished(
        machine_id=50, verdict=verdict, reason=None, steps=(), usage=Usage(), artefacts=artefacts
    )
    facts.apply(made, fact)
    return made


def test_a_pass_is_kept_with_what_it_depended_on_and_left() -> None:
    made = finished(artefacts=(artefact(),))
    [kept] = made.all(Evidence)
    assert (kept.key, kept.build_id, kept.job, kept.project_id) == (KEY, 1, "tests", 1)
    ended = made.get(Build, 1)
    assert (ended.key, ended.outputs) == (KEY, evidence.outputs([artefact()]))


def test_the_image_is_the_one_that_the_machine_really_had() -> None:
    made = finished(machine(image="older"))
    assert made.get(Build, 1).key == evidence.combine("kt", "older", [])


def test_what_is_needed_is_part_of_the_key_of_what_has_run() -> None:
    left = build(2, job="build", verdict=Verdict.SUCCESS, outputs="left", reused_from=5)
    made = finished(state(TESTS, COMPILE), left)
    assert made.get(Build, 1).key == evidence.combine("kt", IMAGE, [("build", "left")])


@pytest.mark.parametrize("verdict", [Verdict.FAILURE, Verdict.TIMEOUT])
def test_a_failure_has_a_key_and_is_no_evidence(verdict: Verdict) -> None:
    made = finished(verdict=verdict)
    assert made.all(Evidence) == []
    assert (made.get(Build, 1).key, made.get(Build, 1).outputs) == (KEY, None)


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param((state(job(evidence=False)),), id="the job wants none"),
        pytest.param((PASS,), id="there is one"),
        pytest.param((replace(PASS, withdrawn_at=1.0, refuted_by=8),), id="the key was refuted"),
        pytest.param((state(keys=()),), id="the state has no key"),
    ],
)
def test_a_pass_that_is_not_kept(rows: tuple[Row, ...]) -> None:
    made = finished(*rows)
    assert made.all(Evidence) == [row for row in rows if isinstance(row, Evidence)]
    assert made.get(Build, 1).outputs == evidence.outputs([])


@pytest.mark.parametrize("pipeline", [Pipeline.POST, Pipeline.PERIODIC])
def test_only_what_proves_a_change_is_evidence(pipeline: Pipeline) -> None:
    running = build(state=BuildState.RUNNING, machine_id=50, started_at=1.0, pipeline=pipeline)
    assert finished(running).all(Evidence) == []


def test_an_image_is_known_from_its_first_machine() -> None:
    fresh = host(images=(("arm", "x"),))
    made = draft(fresh, machine(state=MachineState.BUILDING, image=None))
    facts.apply(made, events.MachineReady(machine_id=50, image=IMAGE))
    assert made.get(Host, 1).images == (("arm", "x"), ("debian-12", IMAGE))


def waits(number: int, **fields: Any) -> Build:
    return build(number, buildset_id=number, item_id=number, **{"key": KEY, **fields})


def test_a_pass_ends_builds_that_wait_to_ask_the_same() -> None:
    made = finished(waits(2), item(2, change_id=8), artefacts=(artefact(),))
    ended = made.get(Build, 2)
    assert (ended.verdict, ended.reused_from) == (Verdict.SUCCESS, 1)
    assert ended.outputs == made.get(Build, 1).outputs
    [told] = [event for event in made.events if event.kind == "build.reused"]
    assert (told.build_id, told.change_id) == (2, 8)
    assert told.text == "tests has passed already, as build 1 of change 7"


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(waits(2, key="another"), id="another question"),
        pytest.param(waits(2, key=None), id="a job that has to run"),
        pytest.param(waits(2, purpose=Purpose.RERUN), id="a rerun, which is to run"),
        pytest.param(waits(2, state=BuildState.STARTING, machine_id=51), id="a machine is made"),
    ],
)
def test_a_pass_ends_no_other_build(other: Build) -> None:
    assert finished(other).get(Build, 2) == other
    assert finished(waits(2), verdict=Verdict.FAILURE).get(Build, 2) == waits(2)


def test_what_a_queued_build_waits_for() -> None:
    present = state()
    assert evidence.awaited(draft(item(), host(), present), present, job()) == KEY
    assert evidence.awaited(draft(item(), host(), present), present, job(evidence=False)) is None


# Audits.

LANDED = item(state=ItemState.LANDED, finished_at=8.0, lands_with=1)


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "AUDIT_EVERY", 1)


def test_a_sample_of_reused_results_is_audited() -> None:
    sampled = sum(evidence.is_sampled(number) for number in range(20_000))
    assert 800 < sampled < 1200
    assert evidence.is_sampled(7) == evidence.is_sampled(7)


def test_an_audit_runs_what_was_reused_and_what_that_needs(always: None) -> None:
    present = state(COMPILE, TESTS, job("lint"), keys=(*KEYS, ("lint", "kl")), beside=((2, "c"),))
    rows = draft(
        LANDED,
        present,
        build(1, job="build", verdict=Verdict.SUCCESS),
        build(2, job="tests", verdict=Verdict.SUCCESS, reused_from=5),
        build(3, job="lint", verdict=Verdict.SUCCESS),
    )
    made = evidence.audit(rows, LANDED, present)
    assert made is not None
    assert (made.pipeline, made.state, made.commit) == (
        Pipeline.PERIODIC,
        ItemState.LIVE,
        "merged",
    )
    assert (made.finished_at, made.lands_with) == (None, None)
    begun = rows.get(Buildset, made.buildset_id)
    assert (begun.state, begun.onto, begun.beside) == (BuildsetState.PREPARING, None, ((2, "c"),))
    assert (begun.jobs, begun.keys) == ((COMPILE, TESTS), KEYS)


def test_nothing_reused_nothing_audited(always: None) -> None:
    rows = draft(LANDED, state(), build(verdict=Verdict.SUCCESS))
    assert evidence.audit(rows, LANDED, state()) is None
    assert rows.changed == []


def test_a_prepared_audit_keeps_the_jobs_that_it_was_begun_with() -> None:
    present = state(TESTS, state=BuildsetState.PREPARING, commit=None, tree=None)
    rows = draft(item(pipeline=Pipeline.PERIODIC), present)
    jobs = (job("other"),)
    facts.apply(
        rows,
        events.StatePrepared(
            buildset_id=1, commit="c", tree="t", jobs=jobs, notice=None, keys=(("other", "k"),)
        ),
    )
    made = rows.get(Buildset, 1)
    assert (made.state, made.jobs, made.keys) == (BuildsetState.READY, (TESTS,), KEYS)


def audited(*builds: Build, jobs: tuple[Job, ...] = (), rows: tuple[Row, ...] = ()) -> Draft:
    """After planning of an audit with these builds; evidence is the pass of build 5."""
    present = state(*jobs, commit="a" * 40, tree="new")
    made = draft(
        item(pipeline=Pipeline.PERIODIC),
        present,
        host(),
        PASS,
        ORIGIN,
        item(4, change_id=3, state=ItemState.LANDED, finished_at=1.0),
        buildset(id=4, item_id=4, commit="b" * 40, tree="old"),
        *builds,
        *rows,
    )
    independent.plan(made)
    return made


def ran(number: int, verdict: Verdict, **fields: Any) -> Build:
    made = build(
        number, pipeline=Pipeline.PERIODIC, verdict=verdict, key=KEY, purpose=Purpose.AUDIT
    )
    return replace(made, **fields)


def test_an_audit_begins_every_job_for_its_own_purpose() -> None:
    [begun] = audited().builds(1)
    assert (begun.state, begun.purpose, begun.reused_from) == (
        BuildState.QUEUED,
        Purpose.AUDIT,
        None,
    )


def test_a_passed_audit_leaves_the_evidence() -> None:
    made = audited(ran(11, Verdict.SUCCESS))
    assert made.get(Item, 1).state is ItemState.PASSED
    assert made.evidence(KEY) == PASS


def test_a_job_that_fails_once_is_run_again_and_refutes_nothing() -> None:
    made = audited(ran(11, Verdict.FAILURE))
    assert [each.purpose for each in made.builds(1)] == [Purpose.AUDIT, Purpose.RERUN]
    assert made.builds(1)[-1].attempt == 2
    assert made.get(Item, 1).state is ItemState.LIVE
    flaky = audited(ran(11, Verdict.FAILURE), ran(12, Verdict.SUCCESS, attempt=2))
    assert flaky.get(Item, 1).state is ItemState.PASSED
    assert flaky.evidence(KEY) == PASS


def test_a_job_that_fails_twice_refutes_the_pass_that_was_reused() -> None:
    made = audited(ran(11, Verdict.FAILURE), ran(12, Verdict.FAILURE, attempt=2))
    left = made.get(Item, 1)
    assert (left.state, left.reason) == (ItemState.REJECTED, Reason.BUILD_FAILED)
    assert left.detail == (
        "job tests failed again as build 12 on aaaaaaaaaaaa, but job tests passed as build 5 of"
        " change 3 on bbbbbbbbbbbb, and none of its `inputs` differ: the `inputs` of tests seem to"
        " miss something that its result depends on"
    )
    assert made.evidence(KEY) is None
    withdrawn = made.get(Evidence, PASS.id)
    assert (withdrawn.withdrawn_at, withdrawn.refuted_by) == (9.0, 12)
    [told] = [event for event in made.events if event.kind == "evidence.withdrawn"]
    assert (told.build_id, told.change_id) == (12, 7)
    assert told.text == (
        "tests: the pass of build 5 of change 3 is not reused any more,"
        " since build 12 of an audit has failed"
    )


def test_a_failure_on_the_very_same_tree_is_not_about_inputs() -> None:
    same = buildset(id=4, item_id=4, commit="a" * 40, tree="new")
    made = audited(ran(11, Verdict.FAILURE), ran(12, Verdict.FAILURE, attempt=2), rows=(same,))
    detail = made.get(Item, 1).detail or ""
    assert detail.endswith("the result depends on something outside of the repository")
    assert made.evidence(KEY) is None


def test_a_failure_with_another_image_refutes_nothing() -> None:
    other = evidence.combine("kt", "newer", [])
    twice = ran(11, Verdict.FAILURE, key=other), ran(12, Verdict.FAILURE, key=other, attempt=2)
    made = audited(*twice)
    assert made.get(Item, 1).state is ItemState.REJECTED
    assert "another image" in (made.get(Item, 1).detail or "")
    assert made.evidence(KEY) == PASS


def test_artefacts_that_are_not_the_same_any_more_are_blamed_for_what_needs_them() -> None:
    """What was reused passes again but leaves something else: what it had left was stale."""
    key = evidence.combine("kb", IMAGE, [])
    reused = making.evidence(91, key=key, build_id=6, job="build")
    origin = build(6, job="build", buildset_id=4, item_id=4, verdict=Verdict.SUCCESS, outputs="old")
    now = ran(11, Verdict.SUCCESS, job="build", key=key, outputs="new")
    mine = evidence.combine("kt", IMAGE, [("build", "new")])
    failed = [ran(n, Verdict.FAILURE, key=mine, attempt=n - 11) for n in (12, 13)]
    made = audited(now, *failed, jobs=(COMPILE, TESTS), rows=(reused, origin))
    assert made.evidence(key) is None
    assert "the `inputs` of build seem to miss" in (made.get(Item, 1).detail or "")


@pytest.mark.parametrize("verdict", [Verdict.TIMEOUT, Verdict.INFRA])
def test_what_says_nothing_refutes_nothing(verdict: Verdict) -> None:
    tries = [ran(10 + number, verdict, attempt=number) for number in (1, 2, 3)]
    made = audited(*tries)
    assert made.get(Item, 1).state is ItemState.REJECTED
    assert made.evidence(KEY) == PASS
