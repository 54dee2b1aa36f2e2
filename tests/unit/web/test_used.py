"""What machines used, as figures for a script."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from cupel.core.model import Build, Verdict
from cupel.log import metrics
from cupel.web import chart, used
from cupel.web.chart import Frame, Mark, Step
from fakes import busy
from unit.web.test_chart import MIB, ROWS
from unit.web.visit import Visitor, visit


def test_columns_are_rates_and_rounded() -> None:
    found = used.columns(ROWS)
    assert set(found) == {"at", "cpu", "read", "written", "memory", "waits_cpu", "waits_memory",
                          "waits_io"}  # fmt: skip
    assert found["cpu"][:3] == [1.5, 1.5, 1.5]
    assert found["written"][-1] == 2 * MIB
    assert set(found["waits_memory"]) == {None}


def test_steps_are_bands_and_limits_are_drawn_where_lines_come_near() -> None:
    frame = Frame(
        steps=(
            Step(name="a", number=1, start=0.0, end=110.0),
            Step(name="b", number=2, start=110.0, end=900.0),
            Step(name="after", number=3, start=900.0, end=950.0),
        ),
        marks=(Mark(text="over", at=124.5), Mark(text="long after", at=999.0)),
        cpus=2.0,
        memory=4096 * MIB,
    )
    shown = chart.used("", ROWS, frame)
    assert [(band.name, round(band.x), round(band.width)) for band in shown.bands] == [
        ("a", 0, 61),
        ("b", 61, 239),
    ]
    assert shown.marks == (150.0,)
    limits = {each.title: each.limit for each in shown.charts}
    assert limits["Processor"] is not None
    assert limits["Processor"].y is not None  # 1.5 of 2 cores
    assert limits["Memory"] == chart.Limit(text="4 GiB", y=None)  # 49 MiB of it
    assert limits["Disk"] is None


def test_a_script_gets_what_the_charts_are_drawn_from(tmp_path: Path) -> None:
    told = busy.busy()
    build = told.world.rows_of(Build)[told.failed_build]
    told.world.put(dataclasses.replace(build, verdict=Verdict.TIMEOUT))

    async def act(visitor: Visitor) -> None:
        at = f"/builds/{build.id}/used"
        empty = (await visitor.client.get(at)).json()
        assert empty["machines"] == []
        file = visitor.served.logs.metrics(build.id)
        file.parent.mkdir(parents=True)
        metrics.append(file, ROWS)
        found = (await visitor.client.get(at)).json()
        assert len(found["machines"][0]["at"]) == len(ROWS)
        assert [step["name"] for step in found["steps"]] == ["install", "pytest"]
        assert [mark["text"] for mark in found["marks"]] == ["the time was over"]
        assert (found["growing"], found["memory"]) == (False, 4 << 30)
        assert (await visitor.client.get("/builds/99999/used")).status_code == 404

    visit(told.world, tmp_path, act)


def test_very_long_records_are_sampled(tmp_path: Path) -> None:
    file = tmp_path / "metrics"
    metrics.append(file, ((float(n), *[0.0] * 9) for n in range(5000)))
    rows = metrics.sample(file, used.POINTS)
    assert 450 <= len(rows) <= used.POINTS
    assert rows[-1][0] == 4999.0
    assert metrics.sample(tmp_path / "none", 10) == []
