"""Passes that people offer: what is kept of them, what they are good for, what refutes them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cupel.core import events, evidence, facts, invariants, offering, retry
from cupel.core.draft import Draft
from cupel.core.key import combine
from cupel.core.model import (
    Build,
    BuildState,
    Evidence,
    Item,
    ItemState,
    Job,
    Pipeline,
    Row,
    Verdict,
)
from cupel.core.offer import Offer
from unit.core import making
from unit.core.making import build, job
from unit.core.test_evidence import IMAGE, draft, host, item, machine, state

KEY = combine("kt", IMAGE, ())
TESTS = job("tests")


def offered(**fields: Any) -> events.PassOffered:
    made = events.PassOffered(
        project_id=1,
        branch="main",
        commit="c" * 40,
        tree="t" * 40,
        job=TESTS,
        key="kt",
        image=IMAGE,
        user="ada",
        host="laptop",
        seconds=3.0,
    )
    return replace(made, **fields)


def told(*rows: Row, **fields: Any) -> Draft:
    made = draft(host(), *rows)
    facts.apply(made, offered(**fields))
    return made


def test_a_pass_that_is_offered_is_kept_with_a_build_that_says_whose_word_it_is() -> None:
    made = told()
    [found] = made.all(Evidence)
    assert (found.key, found.job, found.offered) == (KEY, "tests", True)
    kept = made.get(Build, found.build_id)
    assert kept.offer == Offer(by="ada", host="laptop")
    assert (kept.state, kept.verdict) == (BuildState.FINISHED, Verdict.SUCCESS)
    assert (kept.machine_id, kept.outputs, kept.key) == (None, None, KEY)
    of = made.get(Item, kept.item_id)
    assert (of.state, of.change_id, of.commit) == (ItemState.PASSED, None, "c" * 40)
    assert [(e.kind, e.user, e.build_id) for e in made.events] == [
        ("evidence.offered", "ada", kept.id)
    ]
    before = draft(host())
    assert invariants.changes(invariants.compare(before, made), made) == []
    assert invariants.plan(made) == []


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"image": "sha256:other"}, id="another image"),
        pytest.param({"job": job("tests", evidence=False)}, id="never reused"),
        pytest.param({"job": job("tests", needs=("build",))}, id="needs another"),
        pytest.param({"job": job("tests", projects=("lib",))}, id="depends on projects beside"),
    ],
)
def test_what_cannot_be_believed_changes_nothing(fields: dict[str, Any]) -> None:
    assert told(**fields).changed == []


def test_it_comes_twice_and_is_kept_once() -> None:
    made = told()
    facts.apply(made, offered(user="bob"))
    assert len(made.all(Evidence)) == 1


def test_what_an_audit_has_refuted_is_not_taken_again() -> None:
    refuted = making.evidence(5, key=KEY, withdrawn_at=1.0, refuted_by=12)
    made = told(refuted)
    assert made.changed == []
    why = offering.known(made, KEY)
    assert why is not None
    assert "build 12 failed" in why.text


def test_what_waits_for_a_machine_needs_none_any_more() -> None:
    waiting = build(11, state=BuildState.QUEUED, verdict=None, key=KEY, finished_at=None)
    made = told(state(TESTS), item(pipeline=Pipeline.CHECK), waiting)
    ended = made.get(Build, 11)
    [found] = made.all(Evidence)
    assert (ended.verdict, ended.reused_from) == (Verdict.SUCCESS, found.build_id)


NEEDING = state(TESTS, job("pack", needs=("tests",)))


def test_it_is_no_good_where_another_job_needs_what_it_left() -> None:
    waiting = build(11, state=BuildState.QUEUED, verdict=None, key=KEY, finished_at=None)
    made = told(NEEDING, item(), waiting)
    assert made.get(Build, 11) == waiting
    assert evidence.reusable(made, NEEDING, TESTS) is None
    assert evidence.reusable_jobs(made, NEEDING) == []
    alone = replace(state(TESTS), id=2)
    assert evidence.reusable(made, alone, TESTS) is not None


def test_a_pass_that_was_seen_here_is_kept_beside_it_and_comes_first() -> None:
    made = told(NEEDING, item(), build(11, verdict=None, machine_id=50), machine(build_id=11))
    evidence.record(made, replace(made.get(Build, 11), verdict=Verdict.SUCCESS), ())
    assert len(made.all(Evidence)) == 2
    best = evidence.reusable(made, NEEDING, TESTS)
    assert best is not None
    assert best.build_id == 11


def test_an_audit_that_fails_withdraws_it_and_whatever_is_beside_it() -> None:
    made = told(making.evidence(5, key="another"))
    facts.apply(made, offered(key="ko"))
    made.put(making.evidence(6, key=KEY, build_id=11))
    failed = build(12, verdict=Verdict.FAILURE, key=KEY)
    made.put(state(TESTS))
    made.put(item(pipeline=Pipeline.PERIODIC))
    withdrawn = evidence.refute(made, failed)
    assert {each.key for each in withdrawn} == {KEY}
    assert made.evidence(KEY) is None
    assert made.evidence("another") is not None
    assert "offered by ada" in evidence.explain(made, failed, withdrawn)


def test_it_is_sampled_by_audits_as_any_other() -> None:
    made = told()
    [found] = made.all(Evidence)
    number = next(n for n in range(1, 10_000) if evidence.is_sampled(n))
    reused = build(number, verdict=Verdict.SUCCESS, key=KEY, reused_from=found.build_id)
    at = state(TESTS, commit="a" * 40)
    made.put(at)
    made.put(reused)
    audit = evidence.audit(made, item(state=ItemState.LANDED), at)
    assert audit is not None
    assert audit.pipeline is Pipeline.PERIODIC


def test_its_build_is_not_run_again() -> None:
    made = told()
    [kept] = made.all(Build)
    fact = events.RetryAsked(item_id=kept.item_id, job=None, everything=True, user="ada")
    why = retry.refusal(made, fact)
    assert why is not None
    assert "not run here" in why.text


def test_of_jobs_that_do_not_fit_it_says_why() -> None:
    def said(of: Job, *others: Job) -> str:
        found = offering.unfit(of, (of, *others))
        return "" if found is None else found.text

    assert said(TESTS) == ""
    assert "evidence: never" in said(job(evidence=False))
    assert "needs build" in said(job(needs=("build",)))
    assert "pack needs what tests leaves" in said(TESTS, job("pack", needs=("tests",)))
    assert "beside its own (lib)" in said(job(projects=("lib",)))
    nobody = offering.other_image(draft(), TESTS, IMAGE)
    assert nobody is not None
    assert "do not all have the same image" in nobody.text
    other = offering.other_image(draft(host()), TESTS, "sha256:mine")
    assert other is not None
    assert f"ran on sha256:mine, but the image of debian-12 is {IMAGE}" in (other.text)
