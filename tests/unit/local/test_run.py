"""Jobs in the order that their needs allow."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

import pytest

from cupel.core.model import Job, Step
from cupel.local import events, run
from cupel.local.build import Bench, Result


def job(name: str, *needs: str, **fields: object) -> Job:
    made = {"name": name, "base": name, "label": "small", "steps": (Step(name="x", run="x"),)}
    return Job(**(made | {"needs": needs} | fields))  # type: ignore[arg-type]


class FakeBench(Bench):
    """Ends each job as `verdicts` says, after as many turns of the loop as its name is long."""

    def __init__(self, verdicts: Mapping[str, str]) -> None:
        self.verdicts = verdicts
        self.began: list[tuple[str, tuple[str, ...]]] = []
        self.now = self.most = 0
        self.stopped = asyncio.Event()

    async def run(self, job: Job, needed: Iterable[tuple[str, int]]) -> Result:
        self.began.append((job.name, tuple(name for name, _ in needed)))
        self.now += 1
        self.most = max(self.most, self.now)
        verdict = self.verdicts.get(job.name, "success")
        if verdict == "hang":
            await self.stopped.wait()
            verdict = "cancelled"
        else:
            for _ in range(len(job.name)):
                await asyncio.sleep(0)
        self.now -= 1
        return Result(number=len(self.began), verdict=verdict)

    def stop(self) -> None:
        self.stopped.set()


def play(
    jobs: list[Job],
    verdicts: Mapping[str, str] | None = None,
    *,
    at_once: int = 9,
    stop: bool = False,
) -> tuple[FakeBench, dict[str, str], list[events.Event]]:
    told: list[events.Event] = []

    async def both() -> tuple[FakeBench, dict[str, str]]:
        bench = FakeBench(verdicts or {})
        running = run.Run(bench, jobs, at_once=at_once, show=told.append)
        if stop:
            asyncio.get_running_loop().call_later(0.02, running.stop)
        results = await running.all()
        return bench, {name: result.verdict for name, result in results.items()}

    bench, ended = asyncio.run(both())
    return bench, ended, told


def test_a_job_begins_when_all_that_it_needs_have_passed() -> None:
    bench, ended, _ = play([job("one"), job("longer"), job("last", "one", "longer")])
    assert bench.began[-1] == ("last", ("one", "longer"))
    assert set(ended.values()) == {"success"}


def test_what_needs_a_failure_is_skipped_with_the_reason() -> None:
    _, ended, told = play([job("one"), job("two", "one"), job("three", "two")], {"one": "failure"})
    assert ended == {"one": "failure", "two": "skipped", "three": "skipped"}
    reasons = [each.reason for each in told if isinstance(each, events.Ended)]
    assert reasons == ["it needs one, which did not pass", "it needs two, which did not pass"]


@pytest.mark.parametrize(("at_once", "most"), [(1, 1), (2, 2), (9, 3)])
def test_no_more_than_so_many_run_at_once(at_once: int, most: int) -> None:
    bench, _, _ = play([job("a"), job("b"), job("c")], at_once=at_once)
    assert bench.most == most


def test_a_semaphore_is_held_by_so_many() -> None:
    jobs = [job(name, semaphores=(("db", 1),)) for name in "abc"]
    assert play(jobs)[0].most == 1


def test_a_stop_ends_what_runs_and_begins_nothing_more() -> None:
    jobs = [job("one"), job("two"), job("three", "one")]
    bench, ended, _ = play(jobs, {"one": "hang"}, at_once=1, stop=True)
    assert [name for name, _ in bench.began] == ["one"]
    assert ended == {"one": "cancelled", "two": "skipped", "three": "skipped"}
    assert run.verdict(jobs, {n: Result(number=0, verdict=v) for n, v in ended.items()}) == (
        "cancelled"
    )


@pytest.mark.parametrize(
    ("verdicts", "said"),
    [
        (("success", "success"), "success"),
        (("failure", "infra"), "infra"),
        (("timeout", "success"), "timeout"),
        (("success", "failure"), "failure"),
    ],
)
def test_the_verdict_of_the_whole(verdicts: tuple[str, str], said: str) -> None:
    results = {
        name: Result(number=0, verdict=each) for name, each in zip("ab", verdicts, strict=True)
    }
    assert run.verdict([job("a"), job("b")], results) == said
    assert run.verdict([job("a", voting=False), job("b", voting=False)], results) == "success"
