import asyncio
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cupel.control.views import results as views
from cupel.core import events, facts, results
from cupel.core.draft import Draft
from cupel.core.model import BuildState, Host, HostState, Machine, MachineState, Row, Usage, Verdict
from cupel.core.results import FailedTest, Findings, Outcome, Result, Results, Tally
from cupel.store.memory import MemoryStore
from unit.core import making


def result(name: str = "test_a", **fields: object) -> Result:
    return Result(**{"suite": "tests.test_x", "name": name, "outcome": Outcome.PASSED, **fields})  # type: ignore[arg-type]


def test_a_test_is_known_by_its_suite_and_name() -> None:
    assert result().id == "tests.test_x::test_a"
    assert result(suite="").id == "test_a"
    assert result().digest == result(outcome=Outcome.FAILED, line=3).digest
    assert result().digest != result("test_b").digest


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("test", ""), ("test[a-1]", "a-1"), ("test[x[0]-y]", "x[0]-y"), ("test[a] b", ""), ("[", "")],
)
def test_parameters_stand_in_brackets_at_the_end(name: str, parameters: str) -> None:
    assert result(name).parameters == parameters


@pytest.mark.parametrize(
    ("file", "line", "place"), [(None, 3, ""), ("a.py", None, "a.py"), ("a.py", 3, "a.py:3")]
)
def test_a_place_is_told_as_far_as_it_is_known(
    file: str | None, line: int | None, place: str
) -> None:
    assert result(file=file, line=line).place == place


def test_a_tally_counts_each_once_and_flaky_ones_beside() -> None:
    some = [
        result(seconds=1.5),
        result(flaky=True),
        result(outcome=Outcome.FAILED, seconds=0.5),
        result(outcome=Outcome.ERROR),
        result(outcome=Outcome.SKIPPED),
    ]
    tally = results.tally(some)
    assert tally == Tally(passed=2, failed=1, error=1, skipped=1, flaky=1, seconds=2.0)
    assert (tally.total, tally.bad) == (5, 2)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m\r\n\tend", "red\n\tend"),
        ("bell\x07 nul\0 c1\x9b", r"bell\x07 nul\x00 c1\x9b"),
        ("admin\u202egpj.exe", r"admin\u202egpj.exe"),
        (
            "lone \ud800 tag \U000e0041 zero\u200bwidth",
            r"lone \ud800 tag \U000e0041 zero\u200bwidth",
        ),
        ("naïve 試験 🥇", "naïve 試験 🥇"),
    ],
)
def test_what_could_act_on_a_screen_is_spelled_out(text: str, shown: str) -> None:
    assert results.printable(text) == shown


@given(st.text(st.characters()), st.integers(1, 60))
def test_any_text_becomes_a_harmless_line(text: str, most: int) -> None:
    line = results.one_line(text, most)
    assert len(line) <= most
    assert results.printable(line) == line
    assert len(line.splitlines()) <= 1
    line.encode()


@given(st.text(st.characters()), st.integers(0, 60))
def test_a_shortened_text_keeps_its_bound(text: str, most: int) -> None:
    short = results.shortened(text, most)
    assert len(short) <= most
    assert (short == text) == (len(text) <= most)


def test_a_shortened_text_keeps_its_beginning_and_its_end() -> None:
    short = results.shortened("a" * 500 + "b" * 500, 300)
    assert short.startswith("aaa")
    assert short.endswith("bbb")
    assert "characters left out" in short


RUNNING = making.build(state=BuildState.RUNNING, machine_id=50, started_at=1.0)
MACHINE = Machine(
    id=50,
    label="debian-12",
    image="sha256:image",
    host_id=1,
    build_id=1,
    state=MachineState.USED,
    detail=None,
    created_at=0.0,
)
HOST = Host(
    id=1, name="h", slots=1, labels=(), state=HostState.CONNECTED, detail=None, last_seen=0.0
)


def finished(findings: Findings | None, verdict: Verdict = Verdict.FAILURE) -> Draft:
    """After build 1 on machine 50 has ended."""
    rows: list[Row] = [
        making.project(),
        making.queue(),
        making.item(),
        making.buildset(),
        RUNNING,
        MACHINE,
        HOST,
    ]
    draft = Draft(rows, now=9.0, ids=itertools.count(100))
    fact = events.BuildFinished(
        machine_id=50,
        verdict=verdict,
        reason=None,
        steps=(),
        usage=Usage(),
        artefacts=(),
        findings=findings,
    )
    facts.apply(draft, fact)
    return draft


def test_what_tests_said_is_recorded_with_the_end_of_their_build() -> None:
    bad = result(outcome=Outcome.FAILED, text="x" * 9000)
    made = finished(Findings(tally=Tally(passed=3, failed=1), failing=(bad,), notices=("odd",)))
    [summary] = made.all(Results)
    assert (summary.id, summary.tally.passed, summary.notices, summary.at) == (1, 3, ("odd",), 9.0)
    [row] = made.all(FailedTest)
    assert (row.build_id, row.job, row.test, row.key) == (1, "tests", bad.digest, RUNNING.key)
    assert 3_900 < len(row.result.text) <= results.LONGEST_EXCERPT


def test_a_build_without_results_has_none() -> None:
    assert finished(None).all(Results) == []


def test_so_many_failed_tests_are_rows_and_no_more() -> None:
    many = tuple(result(f"t{n}", outcome=Outcome.ERROR) for n in range(results.MOST_FAILED + 5))
    made = finished(Findings(tally=results.tally(many), failing=many))
    names = [row.result.name for row in made.all(FailedTest)]
    assert names == [each.name for each in many[: results.MOST_FAILED]]


def test_the_first_failing_tests_of_a_build_are_told_in_their_order() -> None:
    many = tuple(result(f"t{n}", outcome=Outcome.FAILED) for n in range(5))

    async def ask() -> None:
        store = MemoryStore()
        async with store.write() as tx:
            await tx.put(finished(Findings(tally=results.tally(many), failing=many)).changed)
        async with store.read() as tx:
            first = await views.first_failing(tx, 1, limit=2)
            assert [each.name for each in first] == ["t0", "t1"]
            assert (await views.in_short(tx, [1, 2]))[1].tally.failed == 5
            [row] = await views.failures_of(tx, 1, many[3].digest)
            assert (row.build_id, row.result) == (1, many[3])

    asyncio.run(ask())
