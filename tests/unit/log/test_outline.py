"""Outlines: folds are well nested, and are the same however a log came."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cupel.log import append, outline, sweep
from cupel.log.outline import Fold, Outline

MARKS = st.sampled_from(
    ["text", "::group::a", "##[group]b", "::endgroup::", "##[endgroup]", "--- c", "+++ d", "~~~ e",
     "^^^ +++", "--- FAIL: Test", "\x1b[1m--- f\x1b[0m", "", "-- no"]
)  # fmt: skip
LOGS = st.lists(st.tuples(st.sampled_from([0xFFFF, 0, 1]), MARKS), max_size=40)


def write(directory: Path, lines: list[tuple[int, str]]) -> None:
    writer = append.LogWriter(directory, 1)
    for step, text in lines:
        writer.append(step, "out", 1.0, text.encode() + b"\n")
    writer.close()


def made(directory: Path) -> Outline:
    whole = Outline()
    outline.extend(directory, whole)
    return whole


def shape(directory: Path, *lines: str) -> list[tuple[str, str, int, int | None]]:
    write(directory, [(0, line) for line in lines])
    return [(f.kind, f.title, f.first, f.last) for f in made(directory).folds]


@settings(deadline=None)
@given(LOGS)
def test_folds_are_well_nested(tmp_path_factory, lines):
    directory = tmp_path_factory.mktemp("log")
    write(directory, lines)
    folds = made(directory).folds
    assert [fold.first for fold in folds] == sorted(fold.first for fold in folds)
    inside: list[Fold] = []
    for fold in folds:
        while inside and inside[-1].last is not None and inside[-1].last < fold.first:
            inside.pop()
        assert fold.depth == len(inside)
        assert fold.last is None or fold.first <= fold.last < len(lines)
        for each in inside:
            assert each.last is None or (fold.last is not None and fold.last <= each.last)
        assert all(each.step == fold.step for each in inside)
        inside.append(fold)
    steps = [fold for fold in folds if fold.kind == "step"]
    assert all(a.last == b.first - 1 for a, b in pairwise(steps))
    assert not steps or (steps[0].first, steps[-1].last) == (0, None)


@settings(deadline=None)
@given(LOGS, st.data())
def test_it_is_the_same_whatever_the_pieces_that_a_log_comes_in(tmp_path_factory, lines, data):
    whole, pieces = tmp_path_factory.mktemp("log"), tmp_path_factory.mktemp("log")
    write(whole, lines)
    grown = Outline()
    at = 0
    while at < len(lines):
        count = data.draw(st.integers(1, len(lines) - at))
        write(pieces, lines[at : at + count])
        outline.extend(pieces, grown)
        grown = Outline.load(json.loads(json.dumps(grown.dump())))
        at += count
    assert grown.dump() == made(whole).dump()


def test_groups_within_parts(tmp_path: Path) -> None:
    found = shape(
        tmp_path,
        "--- Build", "::group::Fetch", "x", "::endgroup::", "+++ Test", "y", "~~~ Tidy", "z",
    )  # fmt: skip
    assert found == [
        ("step", "", 0, None),
        ("part", "Build", 0, 3),
        ("group", "Fetch", 1, 3),
        ("part", "Test", 4, 5),
        ("part", "Tidy", 6, None),
    ]


def test_a_part_opens_itself_or_is_opened_from_within(tmp_path: Path) -> None:
    write(tmp_path, [(0, text) for text in ("--- a", "^^^ +++", "+++ b", "--- c", "x")])
    assert [fold.is_open for fold in made(tmp_path).folds] == [False, True, True, False]


def test_diffs_and_results_of_go_are_no_parts(tmp_path: Path) -> None:
    found = shape(
        tmp_path,
        "~~~ Compare", "--- a/x.py", "+++ b/x.py", "@@ -1 +1 @@", "--- FAIL: TestX (0.00s)",
        "--- PASS: TestY (0.00s)", "--- ---", "+++ Real", "x",
    )  # fmt: skip
    assert found == [("step", "", 0, None), ("part", "Compare", 0, 6), ("part", "Real", 7, None)]


def test_a_title_is_harmless_and_short(tmp_path: Path) -> None:
    _, fold = shape(tmp_path, "::group::\x1b[31mred\u202e" + "x" * 999, "y")
    assert fold[1].startswith("red\ufffd")
    assert len(fold[1]) <= outline.WIDEST


def test_there_is_an_end_to_folds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outline, "MOST", 5)
    write(tmp_path, [(0, "--- a")] * 20)
    whole = made(tmp_path)
    assert len(whole.folds) == 5
    assert whole.is_cut


@pytest.mark.parametrize("text", ["", "{}", '{"version": 0}', '{"version": 1, "lines": 3}', "[]"])
def test_what_is_kept_and_broken_is_made_anew(text: str, tmp_path: Path) -> None:
    write(tmp_path, [(0, "--- a"), (0, "b")])
    outline.main(tmp_path)
    good = (tmp_path / outline.FILE).read_text()
    assert outline.kept(tmp_path).lines == 2
    (tmp_path / outline.FILE).write_text(text)
    outline.main(tmp_path)
    assert (tmp_path / outline.FILE).read_text() == good


def test_chunks_are_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, [(at // 7, "x" * (at % 50)) for at in range(300)])
    monkeypatch.setattr(sweep, "MOST", 7)
    monkeypatch.setattr(sweep, "MOST_BYTES", 90)
    pieces = list(sweep.chunks(tmp_path))
    assert b"".join(piece.text for piece in pieces) == (tmp_path / "log").read_bytes()
    assert b"".join(piece.records for piece in pieces) == (tmp_path / "index").read_bytes()
    assert max(len(piece.text) for piece in pieces) <= 90
    assert max(piece.count for piece in pieces) <= 7
