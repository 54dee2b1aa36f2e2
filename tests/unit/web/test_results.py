"""The tests of a build on its page, on their own page, and one of them with its history."""

from __future__ import annotations

import html
from pathlib import Path

from cupel.core import results
from cupel.core.model import Build
from cupel.core.results import Outcome, Result, Results
from cupel.report.results import kept
from fakes import busy
from unit.web.test_pages import HOSTILE
from unit.web.visit import Visitor, visit


def recorded(told: busy.Busy, build: int, ordered: list[Result], directory: Path) -> Path:
    """Store what the tests of a build said; the file that keeps all of it."""
    row = told.world.rows_of(Build)[build]
    summary = Results(
        id=row.id,
        project_id=row.project_id,
        job=row.job,
        key=row.key,
        tally=results.tally(ordered),
        notices=("odd.xml: <b>it ends too early</b>",),
        at=5.0,
    )
    told.world.put(summary)
    for number, each in enumerate(each for each in ordered if each.is_failed):
        told.world.put(results.failed_test(summary, results.excerpt(each), id=90_000 + number))
    out = directory / "out"
    with out.open("wb") as file:
        kept.write(file, ordered, summary.tally)
    return out


def test_whatever_tests_say_is_shown_as_text(tmp_path: Path) -> None:
    text = " ".join(HOSTILE)
    told = busy.busy()
    clean = results.one_line(text, results.LONGEST_NAME)
    fields = {"suite": clean, "name": clean, "message": clean, "file": clean}
    bad = Result(**fields, outcome=Outcome.FAILED, text=text, line=3)
    good = [Result(suite="s", name=f"good {n}", outcome=Outcome.PASSED) for n in range(450)]
    file = recorded(told, told.failed_build, [bad, *good], tmp_path)

    async def act(visitor: Visitor) -> None:
        at = f"/builds/{told.failed_build}"
        visitor.served.results.keep(told.failed_build, file)
        pages = [
            await visitor.see(at),
            await visitor.see(f"{at}/tests"),
            await visitor.see(f"{at}/tests/{bad.digest}"),
            await visitor.see(f"{at}/tests?outcome=failed&text={html.escape(clean[:20])}"),
        ]
        for page in pages:
            for tag in ("<script>alert", "<img", "<svg/onload", "\x1b", "\u202e", "<b>it ends"):
                assert tag not in page
        build, listed, one, _ = pages
        assert "1 failed, 450 passed" in build
        assert "All 451 tests" in build
        assert "odd.xml: &lt;b&gt;it ends too early" in build
        assert listed.count(">good ") == 199
        assert 'href="?first=200">More</a>' in listed
        more = await visitor.see(f"{at}/tests?outcome=passed&first=400")
        assert (more.count(">good "), "More</a>" in more) == (50, False)
        assert f'href="/builds/{told.failed_build}/tests/{bad.digest}"' in one

    visit(told.world, tmp_path, act)


def test_tests_are_chosen_by_what_stands_in_the_query(tmp_path: Path) -> None:
    told = busy.busy()

    def of(suite: str, name: str, took: float, outcome: Outcome = Outcome.PASSED) -> Result:
        return Result(suite=suite, name=name, outcome=outcome, seconds=took)

    ordered = [
        of("a & b", "broken", 0.5, Outcome.FAILED),
        of("a & b", "slow", 9.0),
        of("c", "slower", 12.0),
        of("c", "quick", 0.01),
    ]
    file = recorded(told, told.failed_build, ordered, tmp_path)

    async def act(visitor: Visitor) -> None:
        visitor.served.results.keep(told.failed_build, file)
        at = f"/builds/{told.failed_build}/tests"
        slowest = await visitor.see(f"{at}?order=slowest&least=0.1")
        assert [slowest.index(f">{name}<") for name in ("slower", "slow", "broken")] == sorted(
            slowest.index(f">{name}<") for name in ("slower", "slow", "broken")
        )
        assert ">quick<" not in slowest
        suite = await visitor.see(f"{at}?suite=a+%26+b&outcome=passed")
        assert (">slow<" in suite, ">broken<" in suite, ">slower<" in suite) == (True, False, False)
        groups = await visitor.see(f"{at}?group=suite")
        assert groups.index("a &amp; b") < groups.index(">c<")
        assert '<b class="bad">1</b>' in groups
        assert 'href="?suite=a+%26+b"' in groups
        assert "There are none of these" in await visitor.see(f"{at}?suite=none&least=1")
        for odd in ("least=nan", "least=-1", "order=x", "group=y", "outcome=z", "least=1e400"):
            assert ">quick<" in await visitor.see(f"{at}?{odd}")
        api = await visitor.client.get(f"/api/builds/{told.failed_build}/suites?order=slowest")
        assert [each["suite"] for each in api.json()] == ["c", "a & b"]
        one = await visitor.see(f"{at}/{ordered[1].digest}")
        assert 'href="/builds/16/tests?suite=a+%26+b"' in one or "?suite=a%20%26%20b" in one

    visit(told.world, tmp_path, act)


def test_a_build_without_results_says_what_to_do(tmp_path: Path) -> None:
    told = busy.busy()

    async def act(visitor: Visitor) -> None:
        at = f"/builds/{told.failed_build}"
        assert 'id="tests-title"' not in await visitor.see(at)
        assert "$CUPEL_RESULTS" in await visitor.see(f"{at}/tests")
        await visitor.see(f"{at}/tests/{'0' * 32}", 404)
        await visitor.see("/builds/99999/tests", 404)

    visit(told.world, tmp_path, act)


def test_what_failed_says_where_else_it_did(tmp_path: Path) -> None:
    """In the same way and in others, and the line of the log that names it."""
    told = busy.busy()

    def of(message: str, name: str = "test_lru_order") -> Result:
        return Result(suite="s", name=name, outcome=Outcome.FAILED, message=message, text="said")

    recorded(told, told.failed_build, [of("took 3 s"), of("x", "test_new")], tmp_path)
    rows = told.world.rows_of(Build)
    others = [each for each in rows if each < told.failed_build][-3:]
    for number, message in zip(others, ("took 9 s", "took 10 s", "KeyError"), strict=True):
        row = rows[number]
        summary = Results(
            id=number, project_id=row.project_id, job=row.job, key=None,
            tally=results.tally([]), notices=(), at=number / 100,
        )  # fmt: skip
        told.world.put(results.failed_test(summary, of(message), id=80_000 + number))

    async def act(visitor: Visitor) -> None:
        busy.write_logs(visitor.served.logs, told).close()
        page = await visitor.see(f"/builds/{told.failed_build}")
        digest = of("").digest
        assert f'<li id="fail-{digest}" data-row data-failure>' in page
        assert f'failed first in <a href="/builds/{others[0]}/tests/{digest}">' in page
        assert "failed the same way in 2 other builds: " in page
        assert '<a href="#L15">line 15 of the log</a>' in page
        assert "has not failed before" in page
        address = f"/api/builds/{told.failed_build}/failing"
        first, second = (await visitor.client.get(address)).json()
        assert (first["others"], first["more"], first["line"]) == (others[1::-1], 0, 15)
        assert (second["others"], second["first"]) == ([], told.failed_build)
        assert (await visitor.client.get("/api/builds/99999/failing")).status_code == 404

    visit(told.world, tmp_path, act)
