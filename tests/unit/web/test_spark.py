"""Small drawings: where their lines go, and that no peak is lost."""

from __future__ import annotations

from cupel.core.model import MachineState
from cupel.web import spark


def test_a_line_has_gaps_where_nothing_is_known() -> None:
    found = spark.line([(0.0, 1.0), (20.0, 2.0), (40.0, None), (60.0, 4.0)], 0.0, 100.0, 1.0)
    assert found is not None
    assert found.path == "M0.0 18.0L20.0 12.0M60.0 0.0"
    assert (found.top, found.last, found.peak) == (4.0, 4.0, 4.0)
    late = spark.line([(0.0, 1.0), (500.0, 1.0)], 0.0, 1000.0, 2.0)
    assert late is not None
    assert late.path.count("M") == 2  # nothing was heard for minutes
    assert spark.line([(0.0, None)], 0.0, 1.0, 1.0) is None


def test_no_peak_is_lost_where_there_are_too_many_points() -> None:
    points = [(float(at), 90.0 if at == 777 else 1.0) for at in range(2000)]
    found = spark.line(points, 0.0, 2000.0, 1.0)
    assert found is not None
    assert found.peak == 90.0
    assert found.path.count("L") + found.path.count("M") <= spark.POINTS


def test_marks_are_as_high_as_what_they_stand_for() -> None:
    found = spark.marks([(0.0, 1.0), (50.0, 4.0)], 0.0, 100.0)
    assert found is not None
    assert found.path == "M0.0 24V18.0M50.0 24V0.0"
    assert spark.marks([], 0.0, 1.0) is None
    nothing = spark.marks([(0.0, 0.0)], 0.0, 1.0)
    assert nothing is not None
    assert "23.0" in nothing.path  # it can be seen all the same


def test_a_bar_is_made_of_what_there_is() -> None:
    counts = {MachineState.READY: 1, MachineState.USED: 3, MachineState.HELD: 0}
    first, second = spark.pieces(counts, 8)
    assert (first.state, first.x, first.width, first.tone) == ("ready", 0.0, 12.5, "good")
    assert (second.x, second.width) == (12.5, 37.5)
    assert spark.pieces({}, 0) == []
