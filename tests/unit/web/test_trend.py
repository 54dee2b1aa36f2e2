"""The pages about how things go: weeks, tests over builds, and flaky tests."""

from __future__ import annotations

import re
from pathlib import Path

from cupel.control.auth import Scope
from cupel.control.views import WeekView
from cupel.web import trend
from fakes import weeks
from fakes.rows import World
from unit.web.visit import Visitor, visit

MADE = weeks.weeks()


def look(directory: Path, *paths: str) -> list[str]:
    async def act(visitor: Visitor) -> list[str]:
        MADE.write(visitor.served.results)
        return [await visitor.see(path) for path in paths]

    return visit(MADE.world, directory, act)


def week(start: float, **fields: object) -> WeekView:
    values: dict[str, object] = {
        "start": start, "days": 7.0, "landed": 0, "rejected": {}, "to_landed": None,
        "to_verdict": None, "machine_wait": None, "machine_seconds": 100.0, "aborted": 10.0,
        "infrastructure": 0.0, "repeated": 15.0, "discarded": 0.0, "ran": 3, "reused": 1,
        "saved": 0.0,
    }  # fmt: skip
    return WeekView(**values | fields)  # type: ignore[arg-type]


def test_shares_are_of_what_there_was() -> None:
    one = week(0.0, landed=14)
    assert (one.waste, one.reuse, one.landed_per_day) == (0.25, 0.25, 2.0)
    none = week(0.0, machine_seconds=0.0, aborted=0.0, repeated=0.0, ran=0, reused=0, days=0.0)
    assert (none.waste, none.reuse, none.landed_per_day) == (0.0, 0.0, 0.0)


def test_a_line_has_gaps_and_dots() -> None:
    assert trend.path([1.0, 2.0, None, 2.0, None, None], 2.0) == (
        "M25.0 40.0L75.0 0.0M175.0 0.0h.1"
    )


def test_columns_stand_on_one_another() -> None:
    names = {"a": "run", "b": "bad"}
    weeks = [week(0.0), week(604_800.0)]
    made = trend.columns("Waste", names, [(1.0, 3.0), (0.0, 2.0)], weeks, str)
    assert [(bar.tone, bar.y, bar.height) for bar in made.bars] == [
        ("run", "60.0", "20.0"), ("bad", "0.0", "60.0"), ("bad", "40.0", "40.0"),
    ]  # fmt: skip
    assert made.names == (("run", "a"), ("bad", "b"))
    assert made.bars[2].words == "week of 8 Jan: 2.0 b"
    assert trend.columns("None", {"a": "run"}, [(0.0,)], [week(0.0)], str).bars == ()


def test_weeks_are_told_with_their_figures(tmp_path: Path) -> None:
    page, one, other = look(
        tmp_path, "/trends?weeks=8", "/trends?project=cachetools", "/trends?project=nightjar"
    )
    for title in ("From approval to landing", "Machine time in vain", "Landed and rejected"):
        assert title in page
        assert title in one
    assert page.count('<th scope="row">') == 16  # eight weeks in each of two tables
    assert "build failed" in page
    assert re.search(r"takes 2\.\d times as long as before", page)
    assert re.search(r"Have not run for 14 days.*?docs", page, re.S)
    assert "Nothing has been built in these weeks" in other


def test_a_server_without_a_past_says_so(tmp_path: Path) -> None:
    async def act(visitor: Visitor) -> list[str]:
        return [await visitor.see(path) for path in ("/trends", "/trends/tests", "/flakes")]

    trends, tests, flakes = visit(World(), tmp_path, act)
    assert "Nothing has been built" in trends
    assert "$CUPEL_RESULTS" in tests
    assert "No test is known to be flaky" in flakes


def rows(page: str) -> list[str]:
    return re.findall(r'<th scope="row"><div><a class="title" [^>]*><bdi>([^<]*)</bdi>', page)


def test_the_grid_shows_what_did_not_always_pass(tmp_path: Path) -> None:
    plain, green, named, grouped, alike, short = look(
        tmp_path,
        "/trends/tests",
        "/trends/tests?green=1",
        "/trends/tests?text=TEST_12",
        "/trends/tests?green=1&group=file",
        "/trends/tests",
        "/trends/tests?builds=4",
    )
    assert rows(plain) == [
        "tests.test_lru::test_03", "tests.test_lru::test_05", "tests.test_ttl::test_08",
        "tests.test_ttl::test_12", "tests.test_lru::test_13", "tests.test_new::test_added",
    ]  # fmt: skip
    assert "35 more passed" in plain
    assert 'class="tag run">new' in plain
    assert len(rows(green)) == 41
    assert rows(named) == ["tests.test_ttl::test_12"]
    assert grouped.count('scope="rowgroup"') == 3
    assert "TimeoutError: … s" in alike
    key = re.search(r'href="[^"]*cluster=(\w+)"><code>Connection', alike)
    assert key is not None
    (only,) = look(tmp_path / "again", f"/trends/tests?cluster={key[1]}")
    assert rows(only) == ["tests.test_lru::test_13"]
    assert short.count('class="column"') == 4
    older = re.search(r'rel="next" href="([^"]*)"', short)
    assert older is not None
    (next_page,) = look(tmp_path / "older", older[1].replace("&amp;", "&"))
    assert "Newest builds" in next_page


def test_how_long_tests_take(tmp_path: Path) -> None:
    (page,) = look(tmp_path, "/trends/tests?view=times")
    grown = page.partition("Slowest")[0]
    assert "tests.test_lru::test_21" in grown
    assert "tests.test_lru::test_23" not in grown
    assert "tests.test_lru::test_23" in page


def test_flaky_tests_say_what_came_of_them(tmp_path: Path) -> None:
    (page,) = look(tmp_path, "/flakes")
    assert "runs failed" in page
    assert "seen to by <b><bdi>grace</bdi></b>" in page
    assert "blocks again in" in page
    assert "Quarantine it" not in page  # which administrators may


def test_administrators_quarantine_and_release(tmp_path: Path) -> None:
    async def act(visitor: Visitor) -> list[object]:
        MADE.write(visitor.served.results)
        csrf = await visitor.log_in(Scope.ADMIN)
        page = await visitor.see("/flakes")
        assert page.count("Quarantine it") == 1  # the other one is already
        held = {
            "csrf": csrf, "project": "cachetools", "test": "tests.test_ttl::test_12",
            "job": "", "owner": "ada", "reason": "the clock", "until": "14d",
        }  # fmt: skip
        answers = [
            await visitor.client.post("/flakes/quarantine", data=given)
            for given in (held, held | {"until": "400d"}, held | {"reason": " "})
        ]
        assert [answer.status_code for answer in answers] == [303, 400, 400]
        gone = await visitor.client.post("/flakes/quarantine/1/release", data={"csrf": csrf})
        assert gone.status_code == 303
        refused = await visitor.client.post("/flakes/quarantine", data=held | {"csrf": "no"})
        assert refused.status_code == 403
        return visitor.served.commands.asked

    assert visit(MADE.world, tmp_path, act) == [
        (
            "quarantine", "cachetools", "ada", "tests.test_ttl::test_12", None, "ada",
            "the clock", 14 * 86_400.0,
        ),
        ("release", 1, "ada"),
    ]  # fmt: skip


def test_writers_who_do_not_rule_may_not_quarantine(tmp_path: Path) -> None:
    async def act(visitor: Visitor) -> int:
        csrf = await visitor.log_in(Scope.WRITE)
        assert "Quarantine it" not in await visitor.see("/flakes")
        answer = await visitor.client.post("/flakes/quarantine/1/release", data={"csrf": csrf})
        return int(answer.status_code)

    assert visit(MADE.world, tmp_path, act) == 403
