"""A server with weeks behind it: landings, waste, and tests that passed, failed, and did both."""

from __future__ import annotations

import dataclasses
import io
import random

from cupel.core import results
from cupel.core.flake import Flake, FlakeProof
from cupel.core.model import (
    Build,
    BuildState,
    ChangeState,
    FailedTest,
    History,
    Item,
    ItemState,
    Pipeline,
    Project,
    Purpose,
    Reason,
    Results,
    Verdict,
)
from cupel.core.quarantine import Quarantine
from cupel.core.results import Outcome, Result
from cupel.report.results import kept
from cupel.report.results.store import ResultStore
from fakes.rows import JOBS, NOW, World, oid

DAY = 86_400.0
JOB = JOBS[0].name


@dataclasses.dataclass(frozen=True, kw_only=True)
class Weeks:
    """The world, and what is in the files of results of its builds."""

    world: World
    results: dict[int, list[Result]]

    def write(self, store: ResultStore) -> None:
        """Keep the results as builds have left them."""
        spool = store.spool(1)
        spool.feed(0, b"x")
        assert spool.directory is not None
        for build, found in self.results.items():
            ordered = sorted(found, key=_rank)
            file = io.BytesIO()
            kept.write(file, ordered, results.tally(ordered))
            path = spool.directory / "kept"
            path.write_bytes(file.getvalue())
            store.keep(build, path)
        spool.discard()


def _rank(result: Result) -> int:
    if result.is_failed:
        return 0
    return 1 if result.flaky else 2 if result.outcome is Outcome.SKIPPED else 3


def weeks(now: float = NOW, *, count: int = 6, tests: int = 40) -> Weeks:
    """Some weeks of a project: a change and a half a day, a test that flakes, one that broke."""
    world, source = World(now), random.Random(3)
    project = world.project("cachetools", head=oid("landed head"))
    world.project("nightjar", head=None)
    made = Weeks(world=world, results={})
    total = count * 10
    for number in range(total):
        ended = (total - 1 - number) * 0.7 * DAY + 3_000
        good = number % 7 != 3
        change = world.change(
            project,
            f"Change {number} of the cache",
            state=ChangeState.LANDED if good else ChangeState.OPEN,
            age=ended + 2_600 + source.expovariate(1 / 2_000),
        )
        item = world.item(
            change,
            Pipeline.GATE,
            state=ItemState.LANDED if good else ItemState.REJECTED,
            reason=None if good else Reason.BUILD_FAILED,
            age=ended + 900 + 60 * source.randrange(30),
            ended=ended,
        )
        for job in JOBS:
            made.results.update(
                _build(world, source, project, item.id, job.name, ended, number, tests)
            )
    for name in (*(each.name for each in JOBS), "docs"):
        world.put(History(id=world.id(History), project_id=project.id, subject=f"job {name}"))
    _flakes(world, project, made)
    return made


def _build(
    world: World,
    source: random.Random,
    project: Project,
    item_id: int,
    job: str,
    ended: float,
    number: int,
    tests: int,
) -> dict[int, list[Result]]:
    item = world.row(Item, item_id)
    bad = number % 7 == 3 and job == JOB
    slow = 2.0 if number > 38 and job == JOB else 1.0
    build = world.build(
        item,
        job,
        BuildState.FINISHED,
        Verdict.FAILURE if bad else Verdict.CANCELLED if number % 11 == 5 else Verdict.SUCCESS,
        ran=slow * source.uniform(95, 105),
        ended=ended + 30,
        reason="step 'pytest' ended with exit status 1" if bad else None,
    )
    if number % 5 == 2:
        world.put(
            dataclasses.replace(
                build, reused_from=max(build.id - 3, 1), started_at=None, verdict=Verdict.SUCCESS
            )
        )
        return {}
    if number % 9 == 4:
        world.put(dataclasses.replace(build, purpose=Purpose.RERUN))
    if job != JOB:
        return {}
    found = _results(source, number, tests, bad=bad)
    at = world.now - ended - 30
    row = Results(
        id=build.id, project_id=project.id, job=job, key=None, tally=results.tally(found),
        notices=(), at=at,
    )  # fmt: skip
    world.put(row)
    for result in found:
        if result.is_failed or result.flaky:
            world.put(results.failed_test(row, result, id=world.id(FailedTest)))
    return {build.id: found}


def _results(source: random.Random, number: int, tests: int, *, bad: bool) -> list[Result]:
    found = [
        Result(
            suite=f"tests.test_{'lru' if place % 2 else 'ttl'}", name=f"test_{place:02d}",
            outcome=Outcome.PASSED, seconds=source.uniform(0.09, 0.11),
        )
        for place in range(tests)
    ]  # fmt: skip
    for place, fails in ((3, bad), (5, bad), (8, number > 54)):
        if fails:
            found[place] = _failed(found[place], f"AssertionError: {number} is not a cache")
    if number % 4 == 1:
        found[12] = dataclasses.replace(found[12], flaky=True, message="TimeoutError: 5 s")
    if number % 6 == 2:
        found[13] = _failed(found[13], f"ConnectionError: refused by 10.0.0.{number}")
    found[20] = dataclasses.replace(found[20], outcome=Outcome.SKIPPED, message="needs Windows")
    if number > 49:
        found[21] = dataclasses.replace(found[21], seconds=source.uniform(2.9, 3.1))
    if number > 56:
        found.append(
            Result(suite="tests.test_new", name="test_added", outcome=Outcome.PASSED, seconds=0.2)
        )
    return found


def _failed(result: Result, message: str) -> Result:
    return dataclasses.replace(
        result,
        outcome=Outcome.FAILED,
        message=message,
        text=message,
        file="tests/test_lru.py",
        line=31,
    )


def _flakes(world: World, project: Project, made: Weeks) -> None:
    builds = sorted(made.results)
    names = [made.results[builds[0]][place] for place in (12, 13)]
    for place, test in enumerate(names):
        failed, passed = builds[-4 - place], builds[-3 - place]
        world.put(
            Flake(
                id=world.id(Flake), project_id=project.id, job=JOB, test=test.digest, name=test.id,
                first_seen=world.now - 30 * DAY, last_seen=world.now - DAY, count=7 - place,
                proofs=(FlakeProof(failed=failed, passed=passed, at=world.now - DAY),),
                weight=2.5, runs=10.0, at=world.now - DAY,
            )
        )  # fmt: skip
    test = names[1]
    world.put(
        Quarantine(
            id=world.id(Quarantine), project_id=project.id, job=None, test=test.digest,
            name=test.id, owner="grace", reason="the network of the lab", created_by="ada",
            created_at=world.now - 3 * DAY, expires_at=world.now + 4 * DAY,
        )
    )  # fmt: skip


def last_build(made: Weeks) -> Build:
    """The newest build that has results."""
    return made.world.row(Build, max(made.results))
