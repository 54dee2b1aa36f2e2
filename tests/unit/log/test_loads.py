"""How busy hosts were: kept for a day, and no longer."""

from __future__ import annotations

from pathlib import Path

import pytest

from cupel.errors import InfraError
from cupel.log.loads import COLUMNS, KEPT, SPAN, LoadStore, Row, column

BEGAN = 1_000_000 * SPAN


def row(runnable: float, available: float = 4e9, waits: float | None = None) -> Row:
    return (4.0, runnable, 8e9, available, 1e11, 5e10, waits, None, 0.0)


def test_of_each_span_the_hardest_is_kept(tmp_path: Path) -> None:
    store = LoadStore(tmp_path)
    store.note("north", BEGAN + 1, row(1.0, available=3e9))
    store.note("north", BEGAN + 6, row(7.0, available=1e9, waits=40.0))
    store.note("north", BEGAN + 11, row(2.0, available=2e9, waits=3.0))
    store.note("north", BEGAN + SPAN + 1, row(0.5))
    [(first, hardest), (second, now)] = store.read("north", BEGAN - 60, BEGAN + SPAN + 2)
    assert (first, second) == (BEGAN + SPAN, BEGAN + SPAN + 2)
    assert hardest == row(7.0, available=1e9, waits=40.0)
    assert now == row(0.5)
    assert column([(first, hardest)], "runnable") == [7.0]


def test_another_server_reads_what_one_has_written(tmp_path: Path) -> None:
    store = LoadStore(tmp_path)
    for number in range(5):
        store.note("a/../b", BEGAN + number * SPAN, row(float(number)))
    again = LoadStore(tmp_path).read("a/../b", 0.0, BEGAN + 5 * SPAN)
    assert [values[1] for _, values in again] == [0.0, 1.0, 2.0, 3.0]  # the last went on
    assert all(path.parent == tmp_path for path in tmp_path.rglob("*"))


def test_a_day_is_kept_in_a_file_of_one_size(tmp_path: Path) -> None:
    store = LoadStore(tmp_path)
    spans = KEPT + 100
    for number in range(spans):
        store.note("north", BEGAN + number * SPAN, row(float(number)))
    now = BEGAN + (spans - 1) * SPAN
    found = store.read("north", 0.0, now)
    assert len(found) == KEPT
    assert [found[0][1][1], found[-1][1][1]] == [100.0, float(spans - 1)]
    [file] = tmp_path.iterdir()
    assert file.stat().st_size == KEPT * 8 * (1 + len(COLUMNS))
    late = store.read("north", 0.0, now + KEPT * SPAN / 2)
    assert len(late) == KEPT // 2  # what is older than a day is not shown, though it is there
    assert store.read("nobody", 0.0, now) == []


def test_a_disk_that_takes_nothing_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = LoadStore(tmp_path / "file" / "loads")
    store.note("north", BEGAN, row(1.0))
    with pytest.raises(InfraError, match="cannot be written"):
        store.note("north", BEGAN + SPAN, row(1.0))
