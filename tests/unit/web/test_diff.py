"""The page of what differs between patch sets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cupel.control import views
from cupel.control.views import DiffView, LineView
from cupel.control.views import diff as views_diff
from cupel.core.coverage import FileCoverage
from cupel.core.results import Annotation, Level
from cupel.git.compare import Side
from cupel.report.results.notes import Notes
from cupel.web import diff
from fakes import reviewed
from fakes.busy import Busy, busy
from unit.web.visit import Visitor, visit

PATH = "/changes/6/diff"


def line(side: Side, text: str) -> LineView:
    return LineView(side=side, old=1, new=1, text=text, longer=0, ends=False)


def seen(told: Busy, directory: Path, *paths: str) -> list[str]:
    async def look(visitor: Visitor) -> list[str]:
        return [await visitor.see(path) for path in paths]

    return visit(told.world, directory, look)


@pytest.fixture
def told(tmp_path: Path) -> Busy:
    made = busy()
    assert f"/changes/{made.failing_change}/diff" == PATH
    reviewed.make(made, tmp_path)
    return made


def test_only_what_the_author_did_is_shown_between_different_bases(
    told: Busy, tmp_path: Path
) -> None:
    whole, since = seen(told, tmp_path, PATH, f"{PATH}?from=1")
    assert "src/other.py" not in whole + since
    assert "Made on different commits" in since
    assert "Made on different commits" not in whole
    assert "last=False" in whole
    assert "<ins>        self.maxsize = <b>int(maxsize)</b></ins>" in since


def test_what_git_has_thrown_away_is_made_again(told: Busy, tmp_path: Path) -> None:
    (since,) = seen(told, tmp_path, f"{PATH}?from=1")
    trees = [trees for trees, _ in views_diff._remembered.values() if trees.replayed]
    for each in trees:
        kept = tmp_path / "git" / "cachetools.git" / "objects" / each.old[:2] / each.old[2:]
        kept.unlink(missing_ok=True)
    (again,) = seen(told, tmp_path, f"{PATH}?from=1")
    assert trees
    assert "int(maxsize)" in since
    assert "int(maxsize)" in again


def test_a_file_that_is_cut_is_shown_alone_as_far_as_it_goes(told: Busy, tmp_path: Path) -> None:
    whole, alone = seen(told, tmp_path, PATH, f"{PATH}?path=src/%3Cb%3E.txt")
    assert "Cut after 600 lines." in whole
    assert "src/%3Cb%3E.txt:L600" in whole
    assert "src/%3Cb%3E.txt:L601" not in whole
    assert "src/%3Cb%3E.txt:L900" in alone
    assert "<b>.txt" not in whole + alone
    assert "popitem" not in alone


def test_what_was_said_of_lines_stands_below_them(told: Busy, tmp_path: Path) -> None:
    async def look(visitor: Visitor) -> tuple[str, str, DiffView]:
        said = Notes(
            annotations=(
                Annotation(
                    path="src/cache.py", line=6, end_line=6, column=None, level=Level.ERROR,
                    title="W1", message="this <i>looks</i> odd", tool="lint",
                ),
                Annotation(
                    path="src/cache.py", line=11, end_line=11, column=None, level=Level.WARNING,
                    title="", message="far below", tool="lint",
                ),
            ),
            coverage={"src/cache.py": FileCoverage(covered=((1, 5),), missed=((6, 6),))},
        )  # fmt: skip
        visitor.served.results.keep_notes(told.failed_build, said)
        answer = await visitor.client.get("/api" + PATH)
        page = await visitor.see(f"{PATH}?context=0")
        old = await visitor.see(f"{PATH}?to=2")
        return page, old, DiffView.model_validate_json(answer.text)

    page, old, view = visit(told.world, tmp_path, look)
    at = page.index('id="src/cache.py:L6"')
    assert "no test ran this" in page[at:]
    assert at < page.index("this &lt;i&gt;looks&lt;/i&gt; odd")
    assert "data-failure" in page[at:]
    assert page.index("at line 11") < at
    assert "far below" not in old
    (file,) = (file for file in view.files if file.path == "src/cache.py")
    assert [note.message for note in file.annotations] == ["this <i>looks</i> odd", "far below"]
    assert file.missed == [(6, 6)]
    assert (view.added, view.removed) == (903, 3)


def test_bad_addresses_say_what_to_do(told: Busy, tmp_path: Path) -> None:
    async def look(visitor: Visitor) -> list[tuple[int, str]]:
        found = []
        for query in ("from=3&to=2", "from=9", "from=x", "to=7", "path=none", "view=other"):
            answer = await visitor.client.get(f"{PATH}?{query}", headers={"Accept": "text/html"})
            found.append((answer.status_code, answer.text))
        for query in ("from=x", "to=0"):
            answer = await visitor.client.get(f"/api{PATH}?{query}")
            found.append((answer.status_code, json.loads(answer.text)["detail"]))
        return found

    found = visit(told.world, tmp_path, look)
    assert [status for status, _ in found] == [400, 404, 400, 404, 404, 400, 400, 422]
    for (_, text), words in zip(
        found,
        (
            "Patch set 3 is not before patch set 2",
            "has 1 to 3",
            "number of one, or `base`",
            "1 to 3",
            "does not differ",
            "`unified` or `split`",
        ),
        strict=False,
    ):
        assert words in text


def test_a_repository_that_lacks_the_commit_is_said(tmp_path: Path) -> None:
    async def look(visitor: Visitor) -> str:
        return await visitor.see(PATH, status=503)

    assert "has no commit" in visit(busy().world, tmp_path, look)


def test_sides_stand_beside_each_other() -> None:
    both, old, new = Side.BOTH, Side.OLD, Side.NEW
    lines = [line(side, "x") for side in (both, old, old, new, both, new, old, new)]
    assert list(diff.beside(lines)) == [(0, 0), (1, 3), (2, None), (4, 4), (None, 5), (6, 7)]


def test_words_that_differ_stand_out() -> None:
    assert diff.differing("return old_name(x)", "return new_name(x)") == ((7, 15), (7, 15))
    assert diff.differing("a = f(b)", "a = f(b, c)") == ((7, 7), (7, 10))
    assert diff.differing("import os", "completely different") is None


@given(st.text(max_size=60), st.text(max_size=60))
def test_around_what_stands_out_lines_are_the_same(old: str, new: str) -> None:
    spans = diff.differing(old, new)
    if spans is not None:
        (first, last), (start, end) = spans
        assert old[:first] == new[:start]
        assert old[last:] == new[end:]
        assert first <= last
        assert start <= end


def test_the_names_of_patch_sets_are_read() -> None:
    assert views.patch_set_or_base("base") is None
    assert views.patch_set_or_base("12") == 12
