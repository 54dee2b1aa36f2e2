"""The checkout that is laid out ahead: used by who wants just that, and by nobody else."""

from __future__ import annotations

import asyncio
import subprocess
import tarfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from cupel.host.messages import BuildSpec, NeedSpec, SourceSpec
from cupel.local.sources import FIRST, LocalSources


@pytest.fixture
def source(tmp_path: Path) -> SourceSpec:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file").write_text("content\n")
    who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    for words in (("init", "-q"), ("add", "-A"), (*who, "commit", "-qm", "One")):
        subprocess.run(["git", "-C", str(tree), *words], check=True, timeout=20)
    done = subprocess.run(
        ["git", "-C", str(tree), "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    )
    return SourceSpec(url=str(tree), ref="HEAD", commit=done.stdout.strip(), branch="main")


def build(source: SourceSpec, *needs: NeedSpec) -> BuildSpec:
    return BuildSpec(build=1, project="app", job="j", source=source, steps=(), needs=needs)


def play(tmp_path: Path, work: Callable[[LocalSources], Awaitable[list[str]]]) -> list[str]:
    async def run() -> list[str]:
        sources = LocalSources(tmp_path / "place")
        try:
            return await work(sources)
        finally:
            await sources.close()

    found = asyncio.run(run())
    assert not list((tmp_path / "place/checkouts").glob(f"{FIRST}/build"))
    return found


def names(tar: Path) -> list[str]:
    with tarfile.open(tar) as file:
        return [name for name in file.getnames() if not name.startswith("src/.git")]


def test_the_first_machine_gets_what_was_laid_out(tmp_path: Path, source: SourceSpec) -> None:
    async def work(sources: LocalSources) -> list[str]:
        sources.begin("app", source)
        tar = await sources.lay_out(FIRST, build(source), shared=True)
        return names(tar)

    assert "src/file" in play(tmp_path, work)


def test_who_needs_more_has_it_laid_out_anew(tmp_path: Path, source: SourceSpec) -> None:
    async def work(sources: LocalSources) -> list[str]:
        sources.begin("app", source)
        wanted = build(source, NeedSpec(job="other", url="7"))
        return names(await sources.lay_out(FIRST, wanted, shared=True))

    found = play(tmp_path, work)
    assert {"src/file", "needs/other"} <= set(found)


def test_another_machine_leaves_it_alone(tmp_path: Path, source: SourceSpec) -> None:
    async def work(sources: LocalSources) -> list[str]:
        sources.begin("app", source)
        await sources.lay_out(FIRST + 1, build(source), shared=False)
        return names(await sources.lay_out(FIRST, build(source), shared=True))

    assert "src/file" in play(tmp_path, work)


def test_what_cannot_be_laid_out_is_said_to_who_wants_it(
    tmp_path: Path, source: SourceSpec
) -> None:
    async def work(sources: LocalSources) -> list[str]:
        gone = SourceSpec(url="/nowhere", ref="HEAD", commit=source.commit, branch="main")
        sources.begin("app", gone)
        with pytest.raises(Exception, match="could not be fetched"):
            await sources.lay_out(FIRST, build(gone), shared=True)
        sources.begin("app", gone)  # and nobody asks
        return []

    assert play(tmp_path, work) == []
