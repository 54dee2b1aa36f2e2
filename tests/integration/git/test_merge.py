"""Speculative states on real repositories."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

import pytest

from cupel.core.model import MergeMethod
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


OTHER = {
    "GIT_AUTHOR_NAME": "Åsa",
    "GIT_AUTHOR_EMAIL": "asa@example.org",
    "GIT_AUTHOR_DATE": "@1700000000 +0530",
}
PICKS = (MergeMethod.REBASE, MergeMethod.SQUASH)


@pytest.mark.parametrize("method", PICKS)
def test_a_picked_change_is_one_commit_of_its_author(tmp_path: Path, method: MergeMethod) -> None:
    async def scenario() -> None:
        repo = await bare.make(tmp_path)
        base = await bare.commit(repo, {"a": "1"})
        head = await bare.commit(repo, {"a": "2"}, base)
        words = "Größe\n\nWhy.\n\nChange-Id: I1\n"
        change = await bare.commit(repo, {"a": "1", "b": "1"}, base, message=words, env=OTHER)
        state = await _make(repo, head, change, method)
        assert isinstance(state, Merged)
        assert state == await _make(repo, head, change, method)
        made = await commits.raw(repo, state.commit)
        was = await commits.raw(repo, change)
        assert made.parents == (head,)
        assert made.tree == state.tree
        assert made.author == was.author == "Åsa <asa@example.org> 1700000000 +0530".encode()
        trailer = b"Cupel-Change: 7\n" if method is MergeMethod.SQUASH else b""
        assert made.message == words.encode() + trailer
        committer = await run.git(repo, "log", "-1", "--format=%cn %ct", state.commit)
        assert committer.out == b"Cupel 1234\n"
        assert await commits.list_files(repo, state.commit) == ("a", "b")
        assert await commits.read_file(repo, state.commit, "a") == b"2"

    asyncio.run(scenario())


def test_a_change_on_its_parent_is_rebased_as_it_is_and_squashed_anew(tmp_path: Path) -> None:
    async def scenario() -> None:
        repo = await bare.make(tmp_path)
        base = await bare.commit(repo, {"a": "1"})
        change = await bare.commit(repo, {"a": "2"}, base, message="x\n")
        rebased = await _make(repo, base, change, MergeMethod.REBASE)
        squashed = await _make(repo, base, change, MergeMethod.SQUASH)
        assert isinstance(rebased, Merged)
        assert isinstance(squashed, Merged)
        assert rebased.commit == change
        assert squashed.tree == rebased.tree
        made = await commits.commit_info(repo, squashed.commit)
        assert (made.parents, made.message) == ((base,), "x\n\nCupel-Change: 7\n")

    asyncio.run(scenario())


@pytest.mark.parametrize("method", PICKS)
def test_what_is_above_is_picked_by_itself(tmp_path: Path, method: MergeMethod) -> None:
    """The commit below was made anew: the one above must not bring the old one along."""

    async def scenario() -> None:
        repo = await bare.make(tmp_path)
        base = await bare.commit(repo, {"a": LINES})
        head = await bare.commit(repo, {"a": LINES, "c": "1"}, base)
        below = await bare.commit(repo, {"a": f"x\n{LINES}"}, base)
        above = await bare.commit(repo, {"a": f"y\n{LINES}", "b": "1"}, below)
        first = await _make(repo, head, below, method)
        assert isinstance(first, Merged)
        second = await _make(repo, first.commit, above, method)
        assert isinstance(second, Merged)
        info = await commits.commit_info(repo, second.commit)
        assert info.parents == (first.commit,)
        assert await commits.read_file(repo, second.commit, "a") == f"y\n{LINES}".encode()
        assert await commits.list_files(repo, second.commit) == ("a", "b", "c")
        alone = await _make(repo, head, above, method)
        assert isinstance(alone, Conflicted)
        assert alone.paths == ("a",)

    asyncio.run(scenario())


@pytest.mark.parametrize("method", PICKS)
def test_what_is_there_already_makes_no_commit(tmp_path: Path, method: MergeMethod) -> None:
    async def scenario() -> None:
        repo = await bare.make(tmp_path)
        base = await bare.commit(repo, {"a": "1"})
        change = await bare.commit(repo, {"a": "2"}, base)
        same = await bare.commit(repo, {"a": "2", "b": "1"}, base)
        later = await bare.commit(repo, {"a": "3"}, change)
        empty = await bare.commit(repo, {"a": "1"}, base)
        for onto, commit in ((same, change), (later, change), (change, change), (base, empty)):
            tree = await commits.tree_of(repo, onto)
            assert await _make(repo, onto, commit, method) == Merged(commit=onto, tree=tree)

    asyncio.run(scenario())


@pytest.mark.parametrize("method", PICKS)
def test_a_conflict_of_a_pick_names_its_paths(tmp_path: Path, method: MergeMethod) -> None:
    async def scenario() -> None:
        repo = await bare.make(tmp_path)
        base = await bare.commit(repo, {"a": "1"})
        head = await bare.commit(repo, {"a": "2"}, base)
        change = await bare.commit(repo, {"a": "3"}, base)
        state = await _make(repo, head, change, method)
        assert isinstance(state, Conflicted)
        assert state.paths == ("a",)

    asyncio.run(scenario())


@pytest.mark.parametrize("method", PICKS)
def test_a_first_commit_is_picked_onto_what_there_is(tmp_path: Path, method: MergeMethod) -> None:
    async def scenario() -> None:
        repo = await bare.make(tmp_path)
        head = await bare.commit(repo, {"a": "1"})
        root = await bare.commit(repo, {"b": "1"})
        state = await _make(repo, head, root, method)
        assert isinstance(state, Merged)
        assert await commits.list_files(repo, state.commit) == ("a", "b")
        assert (await commits.commit_info(repo, state.commit)).parents == (head,)
        clash = await bare.commit(repo, {"a": "2"})
        assert isinstance(await _make(repo, head, clash, method), Conflicted)

    asyncio.run(scenario())


@pytest.mark.parametrize("method", MergeMethod)
def test_on_an_unborn_branch_the_commit_is_the_state(tmp_path: Path, method: MergeMethod) -> None:
    async def scenario() -> None:
        repo = await bare.make(tmp_path)
        root = await bare.commit(repo, {"a": "1"})
        tree = await commits.tree_of(repo, root)
        assert await _make(repo, None, root, method) == Merged(commit=root, tree=tree)

    asyncio.run(scenario())


def test_a_merge_commit_is_picked_with_all_that_it_brings(tmp_path: Path) -> None:
    async def scenario() -> None:
        repo = await bare.make(tmp_path)
        base = await bare.commit(repo, {"a": "1"})
        head = await bare.commit(repo, {"a": "2"}, base)
        side = await bare.commit(repo, {"a": "1", "b": "1"}, base)
        both = await bare.commit(repo, {"a": "1", "b": "1", "c": "1"}, base, side)
        state = await _make(repo, head, both, MergeMethod.REBASE)
        assert isinstance(state, Merged)
        assert (await commits.commit_info(repo, state.commit)).parents == (head,)
        assert await commits.list_files(repo, state.commit) == ("a", "b", "c")

    asyncio.run(scenario())


def test_a_commit_in_another_encoding_stays_as_it_was_written(tmp_path: Path) -> None:
    async def scenario() -> None:
        repo = await bare.make(tmp_path)
        base = await bare.commit(repo, {"a": "1"})
        head = await bare.commit(repo, {"a": "2"}, base)
        plain = await commits.raw(repo, await bare.commit(repo, {"a": "1", "b": "1"}, base))
        odd = dataclasses.replace(
            plain, author=b"\xc5sa <a@b> 5 -0000", encoding=b"ISO-8859-1", message=b"Gr\xf6\xdfe\n"
        )
        change = await commits.write(repo, odd, 0)
        state = await _make(repo, head, change, MergeMethod.REBASE)
        assert isinstance(state, Merged)
        made = await commits.raw(repo, state.commit)
        assert (made.author, made.encoding, made.message) == (odd.author, odd.encoding, odd.message)

    asyncio.run(scenario())


def test_a_fast_forward_is_the_commit_or_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        repo = await bare.make(tmp_path)
        base = await bare.commit(repo, {"a": "1"})
        change = await bare.commit(repo, {"a": "2"}, base)
        head = await bare.commit(repo, {"a": "1", "b": "1"}, base)
        tree = await commits.tree_of(repo, change)
        state = Merged(commit=change, tree=tree)
        assert await _make(repo, base, change, MergeMethod.FAST_FORWARD) == state
        assert await _make(repo, change, base, MergeMethod.FAST_FORWARD) == state
        why = ("`main` has moved: rebase the change onto it",)
        moved = Conflicted(paths=(), messages=why)
        assert await _make(repo, head, change, MergeMethod.FAST_FORWARD) == moved

    asyncio.run(scenario())


async def _make(
    repo: Path, onto: str | None, commit: str, method: MergeMethod
) -> Merged | Conflicted:
    proposal = merge.Proposal(
        commit=commit,
        branch="main",
        method=method,
        merged="m\n",
        trailers=(("Cupel-Change", "7"),),
        when=1234.5,
    )
    return await merge.make(repo, onto, proposal)
