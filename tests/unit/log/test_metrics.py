"""What a build's machine used, kept beside its log."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cupel.errors import InfraError
from cupel.log import metrics

ROW = st.tuples(*[st.none() | st.integers(0, 2**50).map(float)] * len(metrics.COLUMNS))


@given(st.lists(st.lists(ROW, max_size=5), max_size=5), st.integers(0, 30), st.integers(0, 30))
def test_any_range_of_rows_is_read_as_it_was_written(tmp_path_factory, batches, first, number):
    file = tmp_path_factory.mktemp("build") / "metrics"
    for batch in batches:
        metrics.append(file, batch)
    rows = [row for batch in batches for row in batch]
    assert metrics.count(file) == len(rows)
    assert metrics.read(file, first, number) == rows[first : first + number]


def test_half_a_row_of_a_killed_process_is_written_over(tmp_path: Path):
    file = tmp_path / "metrics"
    row = (1.0,) * len(metrics.COLUMNS)
    metrics.append(file, [row])
    with file.open("ab") as half:
        half.write(b"half")
    assert metrics.count(file) == 1
    metrics.append(file, [row, row])
    assert metrics.read(file, 0, 9) == [row] * 3


def test_what_is_too_much_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(metrics, "MOST", 3)
    file = tmp_path / "metrics"
    rows = [(float(at),) * len(metrics.COLUMNS) for at in range(5)]
    for row in rows:
        metrics.append(file, [row])
    assert metrics.read(file, 0, 9) == rows[:3]


@pytest.mark.parametrize(("number", "most"), [(0, 3), (1, 3), (3, 3), (4, 3), (100, 7)])
def test_a_sample_reaches_to_the_last(tmp_path: Path, number: int, most: int):
    file = tmp_path / "metrics"
    rows = [(float(at),) * len(metrics.COLUMNS) for at in range(number)]
    metrics.append(file, rows)
    found = metrics.sample(file, most)
    assert len(found) <= most
    assert found[-1:] == rows[-1:]
    distances = {int(after[0] - before[0]) for before, after in itertools.pairwise(found)}
    assert len(distances) <= 1


def test_a_disk_that_refuses_is_told(tmp_path: Path):
    with pytest.raises(InfraError, match="cannot be written"):
        metrics.append(tmp_path / "no" / "metrics", [])
