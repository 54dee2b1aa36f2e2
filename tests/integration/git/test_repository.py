"""Repositories made, imported, read, and their refs moved."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path

import pytest

from cupel.errors import Bug, Conflict, InfraError, UserError
from cupel.git import commits, imports, repository, run
from cupel.git.repository import Elsewhere, Moved
from integration.git import bare, world


def test_a_branch_moves_only_from_where_it_is_expected(tmp_path: Path) -> None:
    async def scenario() -> None:
        repo = await bare.make(tmp_path)
        one = await bare.commit(repo, {"a": "1"})
        two = await bare.commit(repo, {"a": "2"}, one)
        three = await bare.commit(repo, {"a": "3"}, two)
        assert await repository.move(repo, "main", two, three) == Elsewhere(head=None)
        assert await repository.move(repo, "main", None, one) == Moved()
        assert await repository.move(repo, "main", None, two) == Elsewhere(head=one)
        assert await repository.move(repo, "main", one, two) == Moved()
        assert await repository.move(repo, "main", one, two) == Moved()
        assert await repository.move(repo, "main", one, three) == Elsewhere(head=two)
        assert await repository.heads(repo) == {"main": two}

    asyncio.run(scenario())


def test_a_move_that_others_have_built_upon_is_done(tmp_path: Path) -> None:
    async def scenario() -> None:
        repo = await bare.make(tmp_path)
        one = await bare.commit(repo, {"a": "1"})
        two = await bare.commit(repo, {"a": "2"}, one)
        three = await bare.commit(repo, {"a": "3"}, two)
        await repository.move(repo, "main", None, three)
        assert await repository.move(repo, "main", one, two) == Moved()
        assert await repository.heads(repo) == {"main": three}

    asyncio.run(scenario())


def test_of_many_who_move_a_branch_one_wins(tmp_path: Path) -> None:
    async def scenario() -> None:
        repo = await bare.make(tmp_path)
        base = await bare.commit(repo, {"a": "1"})
        await repository.move(repo, "main", None, base)
        tips = [await bare.commit(repo, {"a": str(n)}, base) for n in range(2, 8)]
        moves = (repository.move(repo, "main", base, tip) for tip in tips)
        results = await asyncio.gather(*moves, return_exceptions=True)
        assert sum(result == Moved() for result in results) == 1
        assert await repository.head(repo, "main") in tips

    asyncio.run(scenario())


def test_a_lock_left_by_a_crash_is_an_error_and_a_fresh_start_mends_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        repo = await bare.make(tmp_path)
        one = await bare.commit(repo, {"a": "1"})
        lock = repo / "refs/heads/main.lock"
        lock.write_text("")
        with pytest.raises(InfraError, match="cannot move main"):
            await repository.move(repo, "main", None, one)
        repository.refresh(repo, tmp_path / "hooks")
        assert lock.exists(), "a git may be at work"
        os.utime(lock, (0, 0))
        repository.refresh(repo, tmp_path / "hooks")
        assert await repository.move(repo, "main", None, one) == Moved()

    asyncio.run(scenario())


def test_states_and_patch_sets_are_kept_and_states_let_go(tmp_path: Path) -> None:
    async def scenario() -> None:
        repo = await bare.make(tmp_path)
        commit = await bare.commit(repo, {"a": "1"})
        for number in (1, 2, 1):
            await repository.keep_state(repo, number, commit)
        assert await repository.keep_patch_set(repo, 1207, 3, commit) == "refs/changes/07/1207/3"
        await repository.drop_states(repo, [1, 99])
        await repository.drop_states(repo, [])
        assert await repository.states(repo) == {2: commit}
        await repository.maintain(repo)
        assert await repository.resolve(repo, "refs/changes/07/1207/3") == commit

    asyncio.run(scenario())


def test_a_repository_is_made_once_and_knows_its_settings(tmp_path: Path) -> None:
    async def scenario() -> None:
        repo = await bare.make(tmp_path)
        with pytest.raises(Conflict):
            await bare.make(tmp_path)
        for key, value in (("core.hooksPath", "../../hooks"), ("gc.auto", "0")):
            assert (await run.git(repo, "config", key)).out.decode().strip() == value
        prefixes = await run.git(repo, "config", "--get-all", "receive.procReceiveRefs")
        assert prefixes.out.split() == [b"refs/for", b"refs/for-review"]
        assert sorted(path.name for path in repo.parent.iterdir()) == ["r.git"]

    asyncio.run(scenario())


def test_a_failed_command_can_be_pasted_into_a_shell(tmp_path: Path) -> None:
    async def scenario() -> None:
        repo = await bare.make(tmp_path / "with space")
        with pytest.raises(InfraError) as caught:
            await run.git(repo, "cat-file", "-p", "no such thing")
        command = caught.value.message.partition(": ")[2]
        again = subprocess.run(  # noqa: ASYNC221 (nothing else runs here)
            command, shell=True, capture_output=True, text=True, check=False
        )
        assert again.stderr.strip() == caught.value.hint

    asyncio.run(scenario())


def test_nobody_s_configuration_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".gitconfig").write_text("[user]\n\tname = Somebody\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_DIR", "/elsewhere")

    async def scenario() -> None:
        repo = await bare.make(tmp_path)
        found = await run.git(repo, "config", "user.name", check=False)
        assert (found.exit_status, found.out) == (1, b"")

    asyncio.run(scenario())


def test_what_could_be_an_option_is_no_object(tmp_path: Path) -> None:
    async def scenario() -> None:
        repo = await bare.make(tmp_path)
        for text in ("--all", "main", "", "a" * 39):
            with pytest.raises(Bug):
                await commits.tree_of(repo, text)

    asyncio.run(scenario())


def test_files_and_commits_are_read(tmp_path: Path) -> None:
    async def scenario() -> None:
        repo = await bare.make(tmp_path)
        files: dict[str, str | bytes] = {"a": "1", "d/e ü\n": b"\xff", "d/f/g": "2", "e": ""}
        commit = await bare.commit(repo, files, message="One\nline\n\nBody\n\nKey: v\n")
        assert await commits.read_file(repo, commit, "d/e ü\n") == b"\xff"
        for missing in ("nope", "d", "d/", "*"):
            assert await commits.read_file(repo, commit, missing) is None
        with pytest.raises(UserError, match="larger than 0 bytes"):
            await commits.read_file(repo, commit, "a", limit=0)
        assert await commits.list_files(repo, commit, "d") == ("d/e ü\n", "d/f/g")
        assert len(await commits.list_files(repo, commit)) == 4
        info = await commits.commit_info(repo, commit)
        assert (info.subject, info.parents) == ("One line", ())
        assert await commits.kind_of(repo, commit) == "commit"
        assert await commits.kind_of(repo, "1" * 40) is None

    asyncio.run(scenario())


def test_a_commit_without_author_or_message_is_read(tmp_path: Path) -> None:
    async def scenario() -> None:
        repo = await bare.make(tmp_path)
        tree = (await run.git(repo, "hash-object", "-w", "-t", "tree", "--stdin", stdin=b"")).out
        raw = b"tree %s\nauthor  <> 0 +0000\ncommitter  <> 0 +0000\n\n" % tree.strip()
        args = ("hash-object", "-w", "-t", "commit", "--literally", "--stdin")
        made = (await run.git(repo, *args, stdin=raw)).out.decode().strip()
        child = await bare.commit(repo, {"a": "1"}, made)
        oldest, newest = await commits.stack(repo, [], child, limit=5)
        assert (oldest.id, oldest.author_name, oldest.message) == (made, "", "")
        assert newest.parents == (made,)

    asyncio.run(scenario())


def test_a_stack_is_what_the_base_lacks_along_first_parents(tmp_path: Path) -> None:
    async def scenario() -> None:
        repo = await bare.make(tmp_path)
        base = await bare.commit(repo, {"a": "1"})
        main = await bare.commit(repo, {"a": "1", "m": "1"}, base)
        one = await bare.commit(repo, {"a": "2"}, base)
        merged = await bare.commit(repo, {"a": "2", "m": "1"}, one, main)
        top = await bare.commit(repo, {"a": "3", "m": "1"}, merged)
        stack = await commits.stack(repo, [main], top, limit=9)
        assert [commit.id for commit in stack] == [one, merged, top]
        newest = await commits.stack(repo, [main], top, limit=2)
        assert [commit.id for commit in newest] == [merged, top]
        assert await commits.stack(repo, [top], one, limit=9) == ()
        assert await repository.contains(repo, top, main)
        assert not await repository.contains(repo, main, top)

    asyncio.run(scenario())


def test_an_import_brings_branches_tags_and_the_default_branch(tmp_path: Path) -> None:
    source = tmp_path / "source"
    _shell(tmp_path, "git init -q -b trunk source")
    _shell(source, "git commit -q --allow-empty -m 1; git tag -a -m x v1; git branch other")
    path = tmp_path / "repositories" / "p.git"

    async def scenario() -> None:
        imported = await imports.import_from(path, str(source), tmp_path / "hooks")
        assert imported.branch == "trunk"
        assert set(imported.heads) == {"trunk", "other"}
        assert set(await repository.refs(path, "refs/")) == {
            "refs/heads/trunk",
            "refs/heads/other",
            "refs/tags/v1",
        }
        assert "source" not in (path / "config").read_text()
        _shell(source, "git checkout -q --detach; git branch -D trunk")
        detached = await imports.import_from(path.with_name("d.git"), str(source), tmp_path / "h")
        assert detached.branch == "other"

    asyncio.run(scenario())


def test_an_import_of_nothing_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "repositories" / "p.git"

    async def scenario() -> None:
        for source in (str(tmp_path / "nope"), str(tmp_path), "--upload-pack=touch x", "ext::x"):
            with pytest.raises(UserError):
                await imports.import_from(path, source, tmp_path / "hooks")
        assert not any(path.parent.glob("*")) if path.parent.exists() else True

    asyncio.run(scenario())


def test_an_import_over_http_never_shows_the_password(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def scenario() -> None:
        async with world.running(tmp_path) as w:
            path = tmp_path / "repositories" / "p.git"
            imported = await imports.import_from(path, w.url, tmp_path / "hooks")
            assert imported.branch == "main"
            wrong = w.url.replace("secret", "hunter2").replace("project", "projekt")
            with pytest.raises(UserError) as caught:
                await imports.import_from(path.with_name("q.git"), wrong, tmp_path / "hooks")
            everything = str(caught.value) + "".join(capsys.readouterr())
            assert "hunter2" not in everything
            assert "projekt" in everything
            for file in path.rglob("*"):
                assert not file.is_file() or b"secret" not in file.read_bytes()

    asyncio.run(scenario())


def _shell(cwd: Path, command: str) -> None:
    env = world.client_environment()
    subprocess.run(command, shell=True, cwd=cwd, env=env, check=True, capture_output=True)
