"""Pushes with the real git client, over HTTP and through the hooks."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

from cupel.forge.builtin import Say
from cupel.forge.push import Push
from cupel.git import repository
from integration.git import world
from integration.git.world import FakeReceiver, World


def test_a_push_for_review_becomes_a_patch_set_and_the_client_sees_its_ref(tmp_path: Path) -> None:
    async def scenario() -> None:
        receiver = FakeReceiver()
        async with world.running(tmp_path, receiver) as w:
            commit = await w.commit("a", "1\n", "Add a")
            done = await w.git("push", "cupel", "HEAD:refs/for/main")
            assert "remote: 1 changes" in done.err
            assert "refs/changes/01/1/1" in done.err
            assert await repository.resolve(w.repo, "refs/changes/01/1/1") == commit
            assert await repository.resolve(w.repo, "refs/for/main") is None
        (push,) = receiver.received
        assert (push.project, push.user, push.repo) == ("project", "anna", w.repo)
        assert dict(push.env) == {}
        assert "GIT_QUARANTINE_PATH" in receiver.validated[0].env

    asyncio.run(scenario())


def test_a_stack_becomes_a_change_for_each_commit(tmp_path: Path) -> None:
    async def scenario() -> None:
        receiver = FakeReceiver()
        async with world.running(tmp_path, receiver) as w:
            commits = [await w.commit(name, name, f"Add {name}") for name in "abc"]
            done = await w.git("push", "cupel", "HEAD:refs/for/main/some-topic")
            assert "3 changes" in done.err
            assert [line for line in done.err.splitlines() if "refs/changes/03/3/1" in line]
        (proposal,) = receiver.proposals
        assert [change.commit for change in proposal.changes] == commits
        assert [change.needs for change in proposal.changes] == [None, 0, 1]
        assert {change.topic for change in proposal.changes} == {"some-topic"}

    asyncio.run(scenario())


def test_push_options_arrive(tmp_path: Path) -> None:
    async def scenario() -> None:
        receiver = FakeReceiver()
        async with world.running(tmp_path, receiver) as w:
            await w.commit("a", "1\n", "Add a")
            options = ["-o", "title=Größer = besser", "-o", "land", "-o", "topic=t"]
            await w.git("push", *options, "cupel", "HEAD:refs/for/main")
        review = receiver.proposals[0].review
        assert review.options.title == "Größer = besser"
        assert review.options.land
        assert review.options.topic == "t"

    asyncio.run(scenario())


def test_an_unknown_option_is_refused_with_the_nearest_known(tmp_path: Path) -> None:
    async def scenario() -> None:
        receiver = FakeReceiver()
        async with world.running(tmp_path, receiver) as w:
            commit = await w.commit("a", "1\n", "Add a")
            done = await w.git("push", "-o", "titel=x", "cupel", "HEAD:refs/for/main", check=False)
            assert done.exit_status == 1
            assert "remote: refs/for/main: there is no push option 'titel'" in done.err
            assert "Did you mean -o title=" in done.err
            assert not await w.has(commit)
        assert receiver.received == []

    asyncio.run(scenario())


def test_a_push_to_a_guarded_branch_is_refused_and_leaves_nothing_behind(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world.running(tmp_path) as w:
            before = await _objects(w)
            head = await repository.head(w.repo, "main")
            commit = await w.commit("a", os.urandom(100_000), "Add a")
            done = await w.git("push", "cupel", "HEAD:main", check=False)
            assert done.exit_status == 1
            assert "main is guarded: it only moves when a change lands" in done.err
            assert "git push REMOTE HEAD:refs/for/main" in done.err
            assert await repository.head(w.repo, "main") == head
            assert not await w.has(commit)
            assert await _objects(w) == before

    asyncio.run(scenario())


def test_other_branches_and_tags_are_git_s_own_business(tmp_path: Path) -> None:
    async def scenario() -> None:
        receiver = FakeReceiver()
        async with world.running(tmp_path, receiver) as w:
            commit = await w.commit("a", "1\n", "Add a")
            await w.git("tag", "v1")
            await w.git("push", "-q", "cupel", "HEAD:refs/heads/feature", "v1")
            assert await repository.head(w.repo, "feature") == commit
            assert await repository.resolve(w.repo, "refs/tags/v1") == commit
            await w.git("push", "-q", "cupel", ":feature")
            assert await repository.head(w.repo, "feature") is None
        assert receiver.received == []

    asyncio.run(scenario())


def test_a_mixed_push_does_each_its_own_way(tmp_path: Path) -> None:
    async def scenario() -> None:
        receiver = FakeReceiver()
        async with world.running(tmp_path, receiver) as w:
            commit = await w.commit("a", "1\n", "Add a")
            refs = ["HEAD:refs/for/main", "HEAD:refs/heads/feature"]
            await w.git("push", "--atomic", "cupel", *refs)
            assert await repository.head(w.repo, "feature") == commit
            assert [c.ref for c in receiver.received[0].commands] == ["refs/for/main"]
            again = await w.commit("b", "1\n", "Add b")
            done = await w.git("push", "cupel", *refs, "HEAD:refs/cupel/x", check=False)
            assert "refs/cupel/x: Cupel itself keeps" in done.err
            assert await repository.head(w.repo, "feature") == commit
            assert not await w.has(again)
        assert len(receiver.received) == 1

    asyncio.run(scenario())


def test_lines_arrive_while_the_push_still_waits(tmp_path: Path) -> None:
    async def scenario() -> None:
        go_on = asyncio.Event()

        async def during(push: Push, say: Say) -> None:
            say("building \x1b[2J")
            await go_on.wait()
            say("passed")

        async with world.running(tmp_path, FakeReceiver(during=during)) as w:
            await w.commit("a", "1\n", "Add a")
            push = await w.start("push", "-o", "wait", "cupel", "HEAD:refs/for/main")
            assert push.stderr is not None
            while (line := await push.stderr.readline()) and b"building" not in line:
                assert b"passed" not in line
            assert b"building \xef\xbf\xbd[2J" in line
            go_on.set()
            rest = await push.stderr.read()
            assert b"passed" in rest
            assert await push.wait() == 0

    asyncio.run(scenario())


def test_a_client_that_leaves_ends_the_wait_but_not_the_change(tmp_path: Path) -> None:
    async def scenario() -> None:
        started = asyncio.Event()

        async def during(push: Push, say: Say) -> None:
            started.set()
            await asyncio.Event().wait()

        receiver = FakeReceiver(during=during)
        async with world.running(tmp_path, receiver) as w:
            commit = await w.commit("a", "1\n", "Add a")
            push = await w.start("push", "-o", "wait", "cupel", "HEAD:refs/for/main")
            await started.wait()
            os.killpg(push.pid, signal.SIGKILL)  # with the helper that holds the connection
            await push.communicate()
            await receiver.cancelled.wait()
            assert await repository.resolve(w.repo, "refs/changes/01/1/1") == commit
            assert not list(w.repo.glob("refs/**/*.lock"))

    asyncio.run(scenario())


def test_a_server_that_stops_ends_the_wait_but_not_the_change(tmp_path: Path) -> None:
    async def scenario() -> None:
        started = asyncio.Event()

        async def during(push: Push, say: Say) -> None:
            started.set()
            await asyncio.Event().wait()

        async with world.running(tmp_path, FakeReceiver(during=during)) as w:
            commit = await w.commit("a", "1\n", "Add a")
            push = await w.start("push", "-o", "wait", "cupel", "HEAD:refs/for/main")
            await started.wait()
            w.hook_server.cancel()
            _, err = await push.communicate()
            assert push.returncode == 1
            assert b"remote: Push again: what it has taken already is taken only once." in err
            assert await repository.resolve(w.repo, "refs/changes/01/1/1") == commit
            assert not (w.state / "hook.sock").exists()

    asyncio.run(scenario())


def test_a_client_that_leaves_in_the_middle_of_its_pack_leaves_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world.running(tmp_path) as w:
            before = await _objects(w)
            head = await repository.head(w.repo, "main")
            line = f"{'0' * 40} {head} refs/heads/x\0report-status"
            body = f"{len(line) + 4:04x}{line}0000".encode() + b"PACK\0\0\0\2\0\0\0\x09"
            _, writer = await asyncio.open_connection("127.0.0.1", w.port)
            writer.write(_request(w, "git-receive-pack", [f"Content-Length: {len(body) + 1000}"]))
            writer.write(body)
            await writer.drain()
            await _until(lambda: repository.quarantines(w.repo) != [])
            writer.close()
            await writer.wait_closed()
            await _until(lambda: repository.quarantines(w.repo) == [])
            assert await _objects(w) == before
            assert await repository.head(w.repo, "x") is None

    asyncio.run(scenario())


def test_a_large_push_goes_in_pieces(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world.running(tmp_path) as w:
            commit = await w.commit("big", os.urandom(20 << 20), "Add something big")
            await w.git("push", "-q", "cupel", "HEAD:refs/for/main")
            assert await w.has(commit)

    asyncio.run(scenario())


def test_a_push_while_the_server_is_away_is_refused_clearly(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world.running(tmp_path) as w:
            commit = await w.commit("a", "1\n", "Add a")
            (w.state / "hook.sock").unlink()
            done = await w.git("push", "cupel", "HEAD:refs/for/main", check=False)
            assert done.exit_status == 1
            assert "remote: Cupel is not there to take the push; nothing was changed." in done.err
            assert not await w.has(commit)

    asyncio.run(scenario())


def test_a_receiver_that_breaks_refuses_the_push_and_takes_the_next(tmp_path: Path) -> None:
    async def scenario() -> None:
        broken = True

        async def during(push: Push, say: Say) -> None:
            if broken:
                raise RuntimeError("boom")

        async with world.running(tmp_path, FakeReceiver(during=during)) as w:
            await w.commit("a", "1\n", "Add a")
            done = await w.git("push", "cupel", "HEAD:refs/for/main", check=False)
            assert done.exit_status == 1
            assert "[remote rejected] HEAD -> refs/for/main (the server went away)" in done.err
            broken = False
            await w.git("push", "cupel", "HEAD:refs/for/main")

    asyncio.run(scenario())


def test_tokens_decide_who_may_push_and_what_is_there(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world.running(tmp_path) as w:
            reader = w.url.replace("secret", "read-only")
            await w.git("ls-remote", reader)
            refused = await w.git("push", reader, "HEAD:refs/for/main", check=False)
            assert "rolf may not push to project" in refused.err
            nobody = await w.git("ls-remote", w.url.replace("secret", "wrong"), check=False)
            assert "Authentication failed" in nobody.err
            header = ["-c", "http.extraHeader=Authorization: Bearer secret"]
            await w.git(*header, "ls-remote", w.url.replace("anna:secret@", ""))
            unknown = await w.git("ls-remote", w.url.replace("project", "projekt"), check=False)
            assert "there is no project 'projekt'" in unknown.err

    asyncio.run(scenario())


def test_a_tag_cannot_be_reviewed_and_a_landed_commit_is_no_change(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world.running(tmp_path) as w:
            landed = await w.git("push", "cupel", "HEAD:refs/for/main", check=False)
            assert "has already landed on main" in landed.err
            await w.git("tag", "-a", "-m", "x", "v1")
            tag = await w.git("push", "cupel", "v1:refs/for/main", check=False)
            assert "is not a commit" in tag.err

    asyncio.run(scenario())


def _request(w: World, service: str, headers: list[str]) -> bytes:
    lines = [
        f"POST /project.git/{service} HTTP/1.1",
        "Host: x",
        "Authorization: Bearer secret",
        f"Content-Type: application/x-{service}-request",
        *headers,
    ]
    return "\r\n".join((*lines, "", "")).encode()


async def _until(true: Callable[[], bool]) -> None:
    """Wait for another program's doing; the scenario's own patience ends it."""
    while not true():  # noqa: ASYNC110 (nobody tells)
        await asyncio.sleep(0.01)


async def _objects(w: World) -> str:
    return (await w.git(f"--git-dir={w.repo}", "count-objects", "-v")).out


def test_the_connection_of_a_stranger_harms_no_push(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world.running(tmp_path) as w:
            handle = os.open(w.state, os.O_PATH)
            for junk in (b"", b"\0\0\0\4nope", b"\xff\xff\xff\xff", b"\0\0\0\2{}"):
                with socket.socket(socket.AF_UNIX) as stranger:
                    stranger.connect(f"/proc/self/fd/{handle}/hook.sock")
                    stranger.sendall(junk)
            os.close(handle)
            await w.commit("a", "1\n", "Add a")
            await w.git("push", "cupel", "HEAD:refs/for/main")

    asyncio.run(scenario())
