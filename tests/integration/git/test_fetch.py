"""Clones and fetches with the real git client."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from pathlib import Path

import pytest

from cupel.git import repository
from integration.git import world
from integration.git.world import World

POST = "application/x-git-upload-pack-request"


def test_clone_and_shallow_clone(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world.running(tmp_path) as w:
            await _second_commit(w)
            for url, args in ((w.url, []), (w.url.removesuffix(".git"), ["--depth=1"])):
                clone = tmp_path / f"clone{len(args)}"
                await w.git("clone", "-q", *args, url, str(clone))
                count = await w.git("rev-list", "--count", "HEAD", cwd=clone)
                assert count.out.strip() == ("1" if args else "2")
                assert (clone / "README").read_text() == "hello\n"

    asyncio.run(scenario())


@pytest.mark.parametrize("version", ["0", "1", "2"])
def test_every_version_of_the_protocol_fetches(tmp_path: Path, version: str) -> None:
    async def scenario() -> None:
        async with world.running(tmp_path) as w:
            commit = await _second_commit(w)
            await w.git("init", "-q", "again", cwd=tmp_path)
            protocol = ["-c", f"protocol.version={version}"]
            await w.git(*protocol, "fetch", "-q", w.url, "main", cwd=tmp_path / "again")
            fetched = await w.git("rev-parse", "FETCH_HEAD", cwd=tmp_path / "again")
            assert fetched.out.strip() == commit

    asyncio.run(scenario())


def test_a_host_fetches_a_speculative_state_by_commit_and_by_ref(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world.running(tmp_path) as w:
            commit = await _second_commit(w, branch="refs/cupel/states/7")
            for number, wanted in enumerate((commit, "refs/cupel/states/7")):
                host = tmp_path / f"host{number}"
                await w.git("init", "-q", str(host))
                await w.git("fetch", "-q", "--depth=1", w.url, wanted, cwd=host)
                fetched = await w.git("rev-parse", "FETCH_HEAD", cwd=host)
                assert fetched.out.strip() == commit

    asyncio.run(scenario())


def test_a_packed_body_is_unpacked(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world.running(tmp_path) as w:
            listing = b"0014command=ls-refs\n00010009peel\n0000"
            plain = await _post(w, listing, "identity")
            assert b"refs/heads/main" in plain
            packed = await _post(w, gzip.compress(listing), "gzip")
            assert packed.partition(b"\r\n\r\n")[2] == plain.partition(b"\r\n\r\n")[2]

    asyncio.run(scenario())


def test_a_body_that_is_not_what_it_says_is_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world.running(tmp_path) as w:
            assert b" 400 " in (await _post(w, b"not gzip at all", "gzip")).splitlines()[0]
            assert b" 415 " in (await _post(w, zlib.compress(b"x"), "deflate")).splitlines()[0]
            form = await _post(w, b"x", "identity", kind="text/plain")
            assert b" 415 " in form.splitlines()[0]

    asyncio.run(scenario())


def test_the_dumb_protocol_is_not_served(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world.running(tmp_path) as w:
            head = "GET /project.git/info/refs HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            assert b" 403 " in (await _talk(w, head.encode())).splitlines()[0]

    asyncio.run(scenario())


async def _second_commit(w: World, branch: str = "refs/heads/main") -> str:
    commit = await w.commit("b", "2\n", "Second")
    await w.git(f"--git-dir={w.repo}", "fetch", "-q", str(w.work), f"HEAD:{branch}")
    assert await repository.resolve(w.repo, branch) == commit
    return commit


async def _post(w: World, body: bytes, encoding: str, kind: str = POST) -> bytes:
    lines = (
        "POST /project.git/git-upload-pack HTTP/1.1",
        "Host: x",
        "Connection: close",
        "Authorization: Bearer secret",
        "Git-Protocol: version=2",
        f"Content-Type: {kind}",
        f"Content-Encoding: {encoding}",
        f"Content-Length: {len(body)}",
    )
    return await _talk(w, "\r\n".join((*lines, "", "")).encode() + body)


async def _talk(w: World, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", w.port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer
