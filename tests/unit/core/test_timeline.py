"""Where the time of a build went."""

from __future__ import annotations

import dataclasses

from cupel.core import timeline
from cupel.core.model import Build, BuildState, Machine, MachineState, Pipeline, StepResult, Verdict
from cupel.core.timeline import Phase
from fakes.rows import JOBS, World, oid


def made(**fields: object) -> tuple[Build, Machine]:
    """A build that was queued at 100, with a machine."""
    world = World(1000.0)
    project = world.project("p", head=oid("head"))
    item = world.item(world.change(project, "c"), Pipeline.GATE, onto=oid("a"))
    machine = world.machine(world.host("forge", 1), MachineState.GONE)
    machine = dataclasses.replace(machine, created_at=110.0, ready_at=115.0, used_at=116.0)
    build = world.build(item, JOBS[0].name, BuildState.FINISHED, Verdict.SUCCESS, machine=machine)
    build = dataclasses.replace(
        build,
        queued_at=100.0,
        started_at=117.0,
        finished_at=150.0,
        steps=(step("install", 120.0, 130.0), step("unit", 130.0, 145.0)),
    )
    return dataclasses.replace(build, **fields), machine  # type: ignore[arg-type]


def step(name: str, start: float, end: float | None) -> StepResult:
    return StepResult(name=name, started_at=start, finished_at=end, exit_status=0)


def told(build: Build, machine: Machine | None, now: float = 1000.0) -> list[tuple[object, ...]]:
    return [
        (span.phase, span.name, span.start, span.end) for span in timeline.of(build, machine, now)
    ]


def test_all_of_the_time_is_accounted_for() -> None:
    build, machine = made()
    assert told(build, machine) == [
        (Phase.QUEUED, "", 100.0, 110.0),
        (Phase.MAKING, "", 110.0, 116.0),
        (Phase.BEGINNING, "", 116.0, 120.0),
        (Phase.STEP, "install", 120.0, 130.0),
        (Phase.STEP, "unit", 130.0, 145.0),
        (Phase.SAVING, "", 145.0, 150.0),
    ]
    assert [span.step for span in timeline.of(build, machine, 0.0)] == [None] * 3 + [1, 2, None]


def test_a_machine_that_was_ready_was_not_waited_for() -> None:
    build, machine = made()
    ready = dataclasses.replace(machine, created_at=50.0, ready_at=55.0, used_at=100.5)
    assert told(build, ready)[:2] == [
        (Phase.QUEUED, "", 100.0, 100.5),
        (Phase.BEGINNING, "", 100.5, 120.0),
    ]
    assert told(build, None)[:2] == [
        (Phase.QUEUED, "", 100.0, 117.0),
        (Phase.BEGINNING, "", 117.0, 120.0),
    ]


def test_what_goes_on_lasts_until_now() -> None:
    build, _ = made(
        state=BuildState.QUEUED, steps=(), started_at=None, finished_at=None, machine_id=None
    )
    (waiting,) = timeline.of(build, None, 107.0)
    assert (waiting.phase, waiting.end, waiting.lasts) == (Phase.QUEUED, 107.0, True)
    build, machine = made(
        state=BuildState.RUNNING, finished_at=None, steps=(step("install", 120.0, None),)
    )
    last = timeline.of(build, machine, 140.0)[-1]
    assert (last.name, last.seconds, last.lasts) == ("install", 20.0, True)


def test_a_build_that_ended_early_ends_its_parts() -> None:
    build, machine = made(steps=(), started_at=None, finished_at=112.0)
    assert told(build, machine) == [
        (Phase.QUEUED, "", 100.0, 110.0),
        (Phase.MAKING, "", 110.0, 112.0),
    ]


def test_clocks_that_disagree_make_no_part_negative() -> None:
    build, machine = made(steps=(step("a", 90.0, 95.0), step("b", 95.0, 400.0)))
    spans = timeline.of(build, machine, 1000.0)
    assert all(span.seconds >= 0 for span in spans)
    assert (spans[0].start, spans[-1].end) == (100.0, 150.0)


def test_what_was_not_run_has_none() -> None:
    build, machine = made(reused_from=1)
    assert timeline.of(build, machine, 1000.0) == []
