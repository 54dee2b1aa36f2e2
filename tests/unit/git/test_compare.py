"""What differs between two states: files, their lines, and how much of them is told."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cupel.errors import InfraError, UserError
from cupel.git import compare, merge, run
from cupel.git.compare import Amount, File, Line, Side, Status
from fakes.repository import Repository


def told(repo: Path, old: str, new: str, **amount: int) -> list[File]:
    async def look() -> list[File]:
        listed = await compare.files(repo, old, new)
        return await compare.lines(repo, old, new, listed, Amount(**amount))

    return asyncio.run(look())


def sides(file: File) -> list[tuple[Side, int | None, int | None, str]]:
    return [
        (line.side, line.old, line.new, line.text) for hunk in file.hunks for line in hunk.lines
    ]


def test_files_are_told_with_what_became_of_them_whatever_their_names(tmp_path: Path) -> None:
    repository = Repository(tmp_path, "p")
    many = b"".join(b"%d\n" % number for number in range(60))
    old = repository.commit({"a": b"1\n2\n", "gone": b"x\ny\n", "was": many, "binary": b"\0\1"})
    hostile = 'b\n+++ b/"x"\tend'
    new = repository.commit(
        {
            "a": b"1\ndiff --git a/x b/x\n@@ -1 +1 @@",
            "gone": None,
            "was": None,
            "to/here ü": many + b"and\n",
            "binary": b"\0\2",
            hostile: b"one\n",
        },
        old,
    )
    found = {file.path: file for file in told(repository.path, old, new)}
    assert {path: (f.status, f.added, f.removed) for path, f in found.items()} == {
        "a": (Status.CHANGED, 2, 1),
        "gone": (Status.REMOVED, 0, 2),
        "to/here ü": (Status.RENAMED, 1, 0),
        "binary": (Status.CHANGED, None, None),
        hostile: (Status.ADDED, 1, 0),
    }
    assert found["to/here ü"].before == "was"
    assert sides(found["a"]) == [
        (Side.BOTH, 1, 1, "1"),
        (Side.OLD, 2, None, "2"),
        (Side.NEW, None, 2, "diff --git a/x b/x"),
        (Side.NEW, None, 3, "@@ -1 +1 @@"),
    ]
    assert found["a"].hunks[0].lines[-1].ends
    assert sides(found["to/here ü"])[-1] == (Side.NEW, None, 61, "and")
    assert sides(found["gone"]) == [(Side.OLD, 1, None, "x"), (Side.OLD, 2, None, "y")]
    assert sides(found[hostile]) == [(Side.NEW, None, 1, "one")]
    assert found["binary"].hunks == ()
    assert not any(file.goes_on for file in found.values())


def test_what_is_another_kind_of_thing_now_is_told_once(tmp_path: Path) -> None:
    repository = Repository(tmp_path, "p")
    old = repository.commit({"a": b"target", "b": b"1\n"})
    blob = repository._git("hash-object", "-w", "--stdin", stdin=b"elsewhere")
    index = {"GIT_INDEX_FILE": str(repository.path / "index.tmp")}
    link = f"120000 {blob}\ta\0".encode()
    repository._git("update-index", "-z", "--index-info", stdin=link, **index)
    tree = repository._git("write-tree", **index)
    new = repository.commit({"b": b"2\n"}, repository._git("commit-tree", tree, "-p", old))
    kind, text = told(repository.path, old, new)
    assert (kind.path, kind.status, kind.modes) == ("a", Status.RETYPED, ("100644", "120000"))
    assert [text for *_, text in sides(kind)] == ["target", "elsewhere"]
    assert [text for *_, text in sides(text)] == ["1", "2"]


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    repository = Repository(tmp_path, "p")
    lines = b"".join(b"%d\n" % number for number in range(100))
    old = repository.commit({"z": b"z\n"})
    new = repository.commit({"a": lines, "b": lines, "c": lines, "z": b"x" * 5000 + b"\n"}, old)
    found = told(repository.path, old, new, of_file=60, of_all=90)
    assert [(len(sides(file)), file.goes_on) for file in found] == [
        (60, True), (30, True), (0, True), (0, True),
    ]  # fmt: skip
    long = told(repository.path, old, new)[-1].hunks[0].lines[-1]
    assert (len(long.text), long.longer) == (compare.LONGEST, 3000)


def test_white_space_can_be_left_aside(tmp_path: Path) -> None:
    repository = Repository(tmp_path, "p")
    old = repository.commit({"a": b"if x:\n\ty\n", "b": b"1\n"})
    new = repository.commit({"a": b"if x:\n    y\n", "b": b"2\n"}, old)

    async def look() -> list[File]:
        listed = await compare.files(repository.path, old, new)
        return await compare.lines(repository.path, old, new, listed, Amount(spaces=False))

    same, other = asyncio.run(look())
    assert (same.path, same.hunks, same.goes_on) == ("a", (), False)
    assert [text for *_, text in sides(other)] == ["1", "2"]


def test_only_so_much_is_read_of_what_git_writes(tmp_path: Path) -> None:
    repository = Repository(tmp_path, "p")
    commit = repository.commit({"a": b"x" * 4_000_000})
    path = f"{commit}:a"
    some = asyncio.run(run.part(repository.path, "cat-file", "blob", path, limit=1000, timeout=20))
    assert (len(some.out), some.whole) == (1000, False)
    whole = asyncio.run(run.part(repository.path, "rev-parse", commit, limit=1000, timeout=20))
    assert (whole.out.decode().strip(), whole.whole) == (commit, True)
    with pytest.raises(InfraError, match="exit status 128"):
        asyncio.run(run.part(repository.path, "cat-file", "blob", "none", limit=9, timeout=20))


def test_more_names_than_can_be_shown_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = Repository(tmp_path, "p")
    old = repository.commit({"a": b"1\n"})
    new = repository.commit({f"{n}" * 50: b"1\n" for n in range(9)}, old)
    monkeypatch.setattr(compare, "LISTED", 200)
    with pytest.raises(UserError, match="more files differ"):
        told(repository.path, old, new)


def test_a_patch_set_is_put_on_another_base(tmp_path: Path) -> None:
    repository = Repository(tmp_path, "p")
    lines = [b"%d\n" % number for number in range(20)]
    base = repository.commit({"a": b"".join(lines)})
    first = repository.commit({"a": b"".join([b"mine\n", *lines[1:]])}, base)
    moved = repository.commit({"a": b"".join([*lines[:-1], b"theirs\n"])}, base)
    made = asyncio.run(merge.replay(repository.path, first, base, moved))
    assert made.conflicts == ()
    (file,) = told(repository.path, moved, made.tree)
    assert [text for side, _, _, text in sides(file) if side is not Side.BOTH] == ["0", "mine"]
    other = repository.commit({"a": b"".join([b"theirs\n", *lines[1:]])}, base)
    clash = asyncio.run(merge.replay(repository.path, first, base, other))
    assert clash.conflicts == ("a",)
    (file,) = told(repository.path, other, clash.tree)
    assert [text for side, _, _, text in sides(file) if side is Side.NEW][-2:] == [
        "mine",
        f">>>>>>> {first}",
    ]


def file(path: str, blobs: tuple[str, str], added: int, removed: int) -> File:
    return File(
        path=path,
        before=None,
        status=Status.CHANGED,
        modes=("100644", "100644"),
        blobs=blobs,
        added=added,
        removed=removed,
    )


PRINTABLE = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\n"))


@given(st.lists(st.tuples(st.sampled_from(" -+"), PRINTABLE), min_size=1, max_size=30))
def test_a_part_is_read_by_counting_whatever_its_lines_look_like(
    wanted: list[tuple[str, str]],
) -> None:
    old = sum(sign != "+" for sign, _ in wanted)
    new = sum(sign != "-" for sign, _ in wanted)
    text = (
        f"diff --git a/x b/x\nindex 1..2 100644\n--- a/x\n+++ b/x\n@@ -1,{old} +1,{new} @@ in it\n"
    )
    text += "".join(f"{sign}{line}\n" for sign, line in wanted)
    text += "diff --git a/y b/y\nindex 3..4 100644\n--- a/y\n+++ b/y\n@@ -1 +1 @@\n-1\n+2\n"
    both = [file("x", ("1", "2"), new, old), file("y", ("3", "4"), 1, 1)]
    first, second = compare.parse(text.encode(), both, Amount())
    read: list[Line] = [line for hunk in first.hunks for line in hunk.lines]
    names = {" ": Side.BOTH, "-": Side.OLD, "+": Side.NEW}
    assert [(line.side, line.text) for line in read] == [
        (names[sign], line[: compare.LONGEST]) for sign, line in wanted
    ]
    assert [text for *_, text in sides(second)] == ["1", "2"]
