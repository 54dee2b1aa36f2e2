"""Results of tests as a world has them: rows and files of builds."""

from __future__ import annotations

import asyncio

from cupel.core import results
from cupel.core.results import Findings, Outcome, Result, Results
from cupel.report.results import kept
from unit.control_views.world import World


def result(name: str, outcome: Outcome = Outcome.PASSED, **fields: object) -> Result:
    return Result(**{"suite": "tests.test_x", "name": name, "outcome": outcome, **fields})  # type: ignore[arg-type]


BAD = result(
    "test_bad[1]",
    Outcome.FAILED,
    message="1 != 2",
    text="def test_bad():\n" + "x" * 9000 + "\nE   1 != 2 </pre><script>",
    file="tests/test_x.py",
    line=12,
    seconds=0.25,
)
FLAKY = result("test_flaky", message="once", flaky=True)
ORDERED = [
    BAD,
    FLAKY,
    result("test_skipped", Outcome.SKIPPED, message="no network"),
    *(result(f"test_good_{number}") for number in range(700)),
]


def record(
    world: World,
    build: int,
    ordered: list[Result] | None = None,
    *,
    job: str = "tests",
    notices: tuple[str, ...] = (),
    key: str | None = "k1",
) -> None:
    """Store what the tests of a build said, as its end would."""
    found = ORDERED if ordered is None else ordered
    tally = results.tally(found)
    summary = Results(
        id=build, project_id=1, job=job, key=key, tally=tally, notices=notices, at=float(build)
    )
    bad = [each for each in found if each.is_failed or each.flaky]
    told = Findings(tally=tally, failing=tuple(bad), notices=notices)
    rows = [
        results.failed_test(summary, results.excerpt(each), id=10_000 * build + number)
        for number, each in enumerate(told.failing)
    ]
    asyncio.run(world.put(summary, *rows))
    out = world.state / f"kept-{build}"
    with out.open("wb") as file:
        kept.write(file, found, tally)
    world.results.keep(build, out)
