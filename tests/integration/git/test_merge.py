"""Speculative states on real repositories."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cupel.errors import InfraError
from cupel.git import commits, merge, run
from cupel.git.merge import Conflicted, Merged
from integration.git import bare

LINES = "".join(f"{n}\n" for n in range(20))


def test_what_contains_the_other_is_the_state(tmp_path: Path) -> None:
    async def scenario() -> None:
        repo = await bare.make(tmp_path)
        old = await bare.commit(repo, {"a": "1"})
        new = await bare.commit(repo, {"a": "2"}, old)
        tree = await commits.tree_of(repo, new)
        for onto, commit in ((old, new), (new, old), (new, new), (None, new)):
            state = await _merge(repo, onto, commit)
            assert state == Merged(commit=new, tree=tree)

    asyncio.run(scenario())


def test_a_merge_has_both_parents_and_is_the_same_each_time(tmp_path: Path) -> None:
    async def scenario() -> None:
        repo = await bare.make(tmp_path)
        base = await bare.commit(repo, {"a": "1", "b": "1"})
        ours = await bare.commit(repo, {"a": "2", "b": "1"}, base)
        theirs = await bare.commit(repo, {"a": "1", "b": "2"}, base)
        message = merge.message(7, "Größe\n ändern", [("Change", "7"), ("Tested-by", "a\nb")])
        state = await merge.merge(repo, ours, theirs, message=message, when=1234.9)
        assert isinstance(state, Merged)
        assert state == await merge.merge(repo, ours, theirs, message=message, when=1234.9)
        info = await commits.commit_info(repo, state.commit)
        assert info.parents == (ours, theirs)
        assert info.tree == state.tree
        assert (info.author_name, info.authored_at) == ("Cupel", 1234)
        assert info.message == ("Merge change 7: Größe ändern\n\nChange: 7\nTested-by: a b\n")
        assert await commits.read_file(repo, state.commit, "a") == b"2"
        assert await commits.read_file(repo, state.commit, "b") == b"2"
        other = await merge.merge(repo, ours, theirs, message=message, when=1235)
        assert isinstance(other, Merged)
        assert (other.tree, other.commit != state.commit) == (state.tree, True)

    asyncio.run(scenario())


Sides = tuple[dict[str, object], dict[str, object], dict[str, object]]


@pytest.mark.parametrize(
    ("sides", "paths"),
    [
        (({"a": "1"}, {"a": "2"}, {"a": "3"}), ("a",)),
        (({"a": "1"}, {}, {"a": "3"}), ("a",)),
        (({"a": b"\0" + b"1" * 99}, {"a": b"\0" + b"2" * 99}, {"a": b"\0" + b"3" * 99}), ("a",)),
        (({"a": LINES}, {"b": LINES}, {"c": LINES}), ("a", "b", "c")),
        (({}, {"a": "1"}, {"a": "2"}), ("a",)),
        (
            (
                {"s": ("160000", "1" * 40)},
                {"s": ("160000", "2" * 40)},
                {"s": ("160000", "3" * 40)},
            ),
            ("s",),
        ),
        (({"ä b\n": "1"}, {"ä b\n": "2"}, {"ä b\n": "3"}), ("ä b\n",)),
    ],
    ids=["content", "deleted", "binary", "renamed", "added", "submodule", "odd name"],
)
def test_a_conflict_names_its_paths(tmp_path: Path, sides: Sides, paths: tuple[str, ...]) -> None:
    async def scenario() -> None:
        state = await _three_way(tmp_path, *({"keep": "x", **side} for side in sides))
        assert isinstance(state, Conflicted)
        assert set(state.paths) == set(paths)
        assert any("CONFLICT" in text for text in state.messages)

    asyncio.run(scenario())


def test_a_file_against_a_directory_is_a_conflict(tmp_path: Path) -> None:
    async def scenario() -> None:
        state = await _three_way(tmp_path, {"k": "x"}, {"k": "x", "d": "1"}, {"k": "x", "d/e": "1"})
        assert isinstance(state, Conflicted)
        assert "d" in {path.partition("~")[0] for path in state.paths}

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("sides", "path", "content"),
    [
        (({"a": LINES}, {"b": LINES}, {"a": LINES + "20\n"}), "b", LINES + "20\n"),
        (({"a": LINES}, {"a": "-1\n" + LINES}, {"a": LINES + "20\n"}), "a", f"-1\n{LINES}20\n"),
        (({"a": "1"}, {"a": ("100755", "1")}, {"a": "2"}), "a", "2"),
    ],
    ids=["rename", "both ends", "mode"],
)
def test_changes_that_go_together_merge(
    tmp_path: Path, sides: Sides, path: str, content: str
) -> None:
    async def scenario() -> None:
        state = await _three_way(tmp_path, *sides)
        assert isinstance(state, Merged)
        merged = await commits.read_file(tmp_path / "repositories/r.git", state.commit, path)
        assert merged == content.encode()

    asyncio.run(scenario())


def test_a_criss_cross_is_merged_by_way_of_its_bases(tmp_path: Path) -> None:
    async def scenario() -> None:
        repo = await bare.make(tmp_path)
        base = await bare.commit(repo, {"a": LINES})
        left = await bare.commit(repo, {"a": "l\n" + LINES}, base)
        right = await bare.commit(repo, {"a": LINES + "r\n"}, base)
        both = {"a": f"l\n{LINES}r\n"}
        one = await bare.commit(repo, {**both, "one": "1"}, left, right)
        two = await bare.commit(repo, {**both, "two": "2"}, right, left)
        state = await _merge(repo, one, two)
        assert isinstance(state, Merged)
        assert await commits.list_files(repo, state.commit) == ("a", "one", "two")

    asyncio.run(scenario())


def test_strangers_do_not_merge(tmp_path: Path) -> None:
    async def scenario() -> None:
        repo = await bare.make(tmp_path)
        one = await bare.commit(repo, {"a": "1"})
        two = await bare.commit(repo, {"b": "1"})
        state = await _merge(repo, one, two)
        assert isinstance(state, Conflicted)
        assert state.messages == ("the commits have no history in common",)

    asyncio.run(scenario())


def test_a_commit_that_is_not_there_is_an_error_and_no_conflict(tmp_path: Path) -> None:
    async def scenario() -> None:
        repo = await bare.make(tmp_path)
        one = await bare.commit(repo, {"a": "1"})
        with pytest.raises(InfraError, match="cannot merge"):
            await _merge(repo, one, "1" * 40)

    asyncio.run(scenario())


def test_a_merge_leaves_no_ref(tmp_path: Path) -> None:
    async def scenario() -> None:
        await _three_way(tmp_path, {"a": "1"}, {"a": "1", "b": "1"}, {"a": "2"})
        refs = await run.git(tmp_path / "repositories/r.git", "for-each-ref")
        assert refs.out == b""

    asyncio.run(scenario())


async def _three_way(tmp_path: Path, base: dict, ours: dict, theirs: dict) -> Merged | Conflicted:
    repo = await bare.make(tmp_path)
    root = await bare.commit(repo, base)
    return await _merge(
        repo, await bare.commit(repo, ours, root), await bare.commit(repo, theirs, root)
    )


async def _merge(repo: Path, onto: str | None, commit: str) -> Merged | Conflicted:
    return await merge.merge(repo, onto, commit, message="m\n", when=0)
