"""What machines used, as lines and as a table."""

from __future__ import annotations

import re
from pathlib import Path

from cupel.log import metrics
from cupel.web import chart
from fakes import busy
from unit.web.visit import Visitor, visit

MIB = 1 << 20


def row(at: float, **known: float) -> metrics.Row:
    return tuple({"at": at, **known}.get(name) for name in metrics.COLUMNS)


ROWS = [
    row(100.0 + at, cpu_seconds=at * 1.5, memory=float(at * MIB), read=0.0, written=at * 2.0 * MIB,
        waits_cpu=10.0, waits_memory=None, waits_io=float(at))
    for at in range(50)
]  # fmt: skip


def test_counts_become_rates_and_peaks_are_told() -> None:
    shown = chart.used("", ROWS)
    assert shown.seconds == 49.0
    told = {(c.title, line.name): (line.last, line.peak) for c in shown.charts for line in c.lines}
    assert told == {
        ("Processor", "cores"): ("1.5", "1.5"),
        ("Memory", "memory"): ("49 MiB", "49 MiB"),
        ("Disk", "read"): ("0 B/s", "0 B/s"),
        ("Disk", "written"): ("2 MiB/s", "2 MiB/s"),
        ("Waited for", "cpu"): ("10 %", "10 %"),
        ("Waited for", "disk"): ("49 %", "49 %"),
    }
    assert len(shown.table) <= chart.TABLE
    assert {len(cells) for cells in shown.table} == {len(chart.HEADINGS)}
    assert shown.table[-1] == ("49 s", "1.5", "49 MiB", "?", "?", "0 B/s", "2 MiB/s", "10 % ? 49 %")


def test_a_line_stays_in_its_frame_and_leaves_gaps() -> None:
    drawn = chart.path([0.0, 1.0, 2.0, 4.0], [1.0, None, 2.0, 4.0], 4.0)
    assert drawn == "M0.0 45.0M150.0 30.0L300.0 0.0"
    assert chart.rates([0.0, 1.0, 1.0, 3.0], [1.0, 2.0, 5.0, None]) == [1.0, 1.0, None, None]
    assert chart.rates([0.0, 2.0], [8.0, 2.0]) == [0.0, 0.0]  # a counter never runs backwards


def test_a_machine_that_nothing_is_known_of_has_no_charts(tmp_path: Path) -> None:
    assert chart.of([("own", tmp_path / "nowhere")]) == []
    metrics.append(tmp_path / "one", [row(1.0)])
    assert chart.of([("own", tmp_path / "one")]) == []
    metrics.append(tmp_path / "one", [row(2.0)])
    [shown] = chart.of([("own", tmp_path / "one")])
    assert (shown.charts, len(shown.table)) == ((), 2)


def test_a_build_shows_what_it_used(tmp_path: Path) -> None:
    told = busy.busy()

    async def act(visitor: Visitor) -> None:
        await visitor.log_in()  # what everybody is shown may be some seconds old
        number = told.queued_build
        empty = await visitor.see(f"/builds/{number}")
        assert f'data-used="/builds/{number}/used" hidden' in empty  # a script may have more soon
        file = visitor.served.logs.metrics(number)
        file.parent.mkdir(parents=True)
        metrics.append(file, ROWS)
        page = await visitor.see(f"/builds/{number}")
        assert len(re.findall(r'<path class="line s\d" d="M0[^"]+L300[^"]+"', page)) == 6
        assert "written: 2 MiB/s, at most 2 MiB/s" in page
        assert "style=" not in page  # the policy of the pages forbids it

    visit(told.world, tmp_path, act)
