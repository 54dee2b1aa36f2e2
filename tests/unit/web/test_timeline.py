"""The time of a build as a bar, and the jobs beside it."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path

from cupel.control.views import AttemptView, SpanView
from cupel.core.model import Build, BuildState
from cupel.core.timeline import Phase
from cupel.web import timeline
from fakes import busy
from unit.web.visit import Visitor, visit


def span(seconds: float, phase: Phase = Phase.STEP, step: int | None = 1) -> SpanView:
    return SpanView(
        phase=phase, text="x", step=step, start=0.0, seconds=seconds, share=0.5, lasts=False
    )


def attempt(id: int, queued: float, started: float | None, finished: float | None) -> AttemptView:
    return AttemptView(
        id=id,
        job=f"job {id}",
        attempt=1,
        voting=True,
        state=BuildState.FINISHED if finished else BuildState.RUNNING,
        verdict=None,
        icon="running",
        reason=None,
        machine=None,
        queued_at=queued,
        started_at=started,
        finished_at=finished,
        seconds=None,
    )


def test_parts_fill_the_bar_and_none_is_lost() -> None:
    found = timeline.bars([span(1000.0, Phase.QUEUED, None), span(0.0), span(1000.0, step=2)])
    assert [bar.tone for bar in found] == ["queued", "step-1", "step-0"]
    assert found[1].width > 1.9
    assert found[-1].x + found[-1].width == timeline.WIDTH
    assert timeline.bars([]) == []
    assert timeline.bars([span(0.0)]) == []


def test_jobs_of_a_state_share_one_scale() -> None:
    first, second, third = timeline.lanes(
        [attempt(1, 0, 10, 60), attempt(2, 0, 50, None), attempt(3, 90, None, None)], 1, 100.0
    )
    assert (first.waited, first.ran) == ((0.0, 100.0), (100.0, 500.0))
    assert (second.waited, second.ran) == ((0.0, 500.0), (500.0, 500.0))
    assert (third.waited, third.ran) == ((900.0, 100.0), None)
    assert timeline.lanes([attempt(1, 0, 10, 60)], 1, 100.0) == []


def test_among_very_many_jobs_ones_own_is_shown() -> None:
    many = [attempt(number, 0, 1, 2) for number in range(1, 200)]
    shown = timeline.lanes(many, 150, 100.0)
    assert len(shown) == timeline.BESIDE + 1
    assert shown[-1].build.id == 150


def test_who_may_can_do_what_a_build_is_in_need_of(tmp_path: Path) -> None:
    told = busy.busy()

    async def act(visitor: Visitor) -> None:
        failed, running = f"/builds/{told.failed_build}", f"/builds/{told.running_build}"
        words = ("Run again", "Run all jobs again", "Hold the machine", "Stop it", "terminal")
        nobody = await visitor.see(failed) + await visitor.see(running)
        assert not any(word in nobody for word in words)
        await visitor.log_in()
        done, goes_on = await visitor.see(failed), await visitor.see(running)
        assert [word in done for word in words] == [True, True, False, False, False]
        assert [word in goes_on for word in words] == [False, False, True, True, True]
        assert "/queue/cachetools/dequeue?change=5" in goes_on
        assert "Delete the machine" not in goes_on  # that is for administrators

    visit(told.world, tmp_path, act)


def test_everything_is_run_again_if_that_is_asked_for(tmp_path: Path) -> None:
    told = busy.busy()

    async def act(visitor: Visitor) -> None:
        token = await visitor.log_in()
        for query, everything in (("", False), ("?all=yes", True)):
            address = f"/builds/{told.failed_build}/retry{query}"
            with contextlib.suppress(AttributeError):  # the command remembers, and makes nothing
                await visitor.client.post(address, data={"csrf": token})
            asked = visitor.served.commands.asked[-1]
            assert asked == ("retry_build", told.failed_build, "ada", everything)

    visit(told.world, tmp_path, act)


def test_a_page_draws_where_the_time_went(tmp_path: Path) -> None:
    told = busy.busy()

    async def act(visitor: Visitor) -> None:
        page = await visitor.see(f"/builds/{told.failed_build}")
        assert page.count('<rect class="tone-') >= 6  # the bar and its legend
        assert "waited for a machine" in page.casefold()
        assert '<details id="step-details-2" open>' in page or 'id="step-row-2"' in page
        assert "cupel run --commit FETCH_HEAD &#39;tests (python=3.11)&#39;" in page
        answer = (await visitor.client.get(f"/api/builds/{told.failed_build}")).json()
        assert abs(sum(each["share"] for each in answer["timeline"]) - 1) < 1e-6
        assert {each["job"] for each in answer["beside"]} >= {"lint", "tests (python=3.12)"}
        assert 'style="' not in page
        running = await visitor.see(f"/builds/{told.running_build}")
        assert "Step 2 of 2: <bdi>pytest</bdi>" in running
        assert "which passed last, took 42 s" in running
        assert 'max="42"' in running

    visit(told.world, tmp_path, act)


def test_a_build_whose_machine_has_begun_no_step_yet(tmp_path: Path) -> None:
    told = busy.busy()
    row = told.world.rows_of(Build)[told.running_build]
    told.world.put(dataclasses.replace(row, steps=()))

    async def act(visitor: Visitor) -> None:
        assert "Its machine is at work" in await visitor.see(f"/builds/{row.id}")

    visit(told.world, tmp_path, act)
