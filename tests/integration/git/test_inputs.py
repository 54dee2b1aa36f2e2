"""What jobs depend on, in real trees."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

import pytest

from cupel.core.model import Job, Step
from cupel.git import inputs
from integration.git import bare

ALL = Job(name="all", base="all", label="m", steps=(Step(name="x", run="x"),))
SOURCES = dataclasses.replace(ALL, name="sources", inputs=("src/", "!src/*.md"))
JOBS = (ALL, SOURCES)


def test_a_key_changes_with_what_the_inputs_match(tmp_path: Path) -> None:
    async def scenario() -> None:
        repo = await bare.make(tmp_path)
        files: dict = {
            "README": "1",
            "src/a": "1",
            "src/b.md": "1",
            "src/link": ("120000", "a"),
            "src/sub": ("160000", "1" * 40),
        }
        base = await bare.commit(repo, files)
        before = dict(await inputs.keys(repo, base, JOBS))
        again = await bare.commit(repo, files, base, message="other words")
        assert dict(await inputs.keys(repo, again, JOBS)) == before
        for change, changed in (
            ({"README": "2"}, {"all"}),
            ({"src/b.md": "2"}, {"all"}),
            ({"src/a": "2"}, {"all", "sources"}),
            ({"src/a": ("100755", "1")}, {"all", "sources"}),
            ({"src/link": ("120000", "b")}, {"all", "sources"}),
            ({"src/sub": ("160000", "2" * 40)}, {"all", "sources"}),
            ({"src/new": "1"}, {"all", "sources"}),
        ):
            commit = await bare.commit(repo, {**files, **change}, base)
            after = dict(await inputs.keys(repo, commit, JOBS))
            assert {name for name in before if after[name] != before[name]} == changed, change

    asyncio.run(scenario())


def test_an_own_configuration_counts_only_where_inputs_match_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        repo = await bare.make(tmp_path)
        one = await bare.commit(repo, {".cupel.yaml": "1", "src/a": "1"})
        two = await bare.commit(repo, {".cupel.yaml": "2", "src/a": "1"})
        first = dict(await inputs.keys(repo, one, JOBS))
        second = dict(await inputs.keys(repo, two, JOBS))
        assert first["sources"] == second["sources"]
        assert first["all"] != second["all"]

    asyncio.run(scenario())


def test_the_tree_of_a_project_beside_is_in_the_keys_of_who_asks(tmp_path: Path) -> None:
    async def scenario() -> None:
        repo = await bare.make(tmp_path / "one")
        lib = await bare.make(tmp_path / "two")
        commit = await bare.commit(repo, {"src/a": "1"})
        jobs = (*JOBS, dataclasses.replace(SOURCES, name="both", projects=("lib",)))
        keys = [
            dict(await inputs.keys(repo, commit, jobs, beside=[("lib", lib, at)]))
            for at in (
                await bare.commit(lib, {"l": "1"}),
                await bare.commit(lib, {"l": "1"}, message="same tree"),
                await bare.commit(lib, {"l": "2"}),
            )
        ]
        assert keys[0] == keys[1]
        assert {name for name in keys[0] if keys[0][name] != keys[2][name]} == {"both"}

    asyncio.run(scenario())


def test_a_tree_is_listed_once_for_all_its_jobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        repo = await bare.make(tmp_path)
        commit = await bare.commit(repo, {"src/only-here": "1", "doc": "2"})
        listed = []
        true_git = inputs.run.git

        async def git(repo: Path, *args: str, **options: object) -> object:
            listed.extend(arg for arg in args if arg == "ls-tree")
            return await true_git(repo, *args, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(inputs.run, "git", git)
        jobs = (*JOBS, dataclasses.replace(ALL, name="doc", inputs=("doc",)))
        first = await inputs.keys(repo, commit, jobs)
        assert await inputs.keys(repo, commit, jobs) == first
        assert listed == ["ls-tree"]

    asyncio.run(scenario())
