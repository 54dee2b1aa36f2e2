"""The digest of what a job depends on: equal exactly when all that is equal."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cupel.core.cache import JobCache
from cupel.core.model import Job, Link, Part, Service, Step
from cupel.errors import Bug
from cupel.git import inputs
from cupel.git.inputs import Entry

JOB = Job(name="t", base="t", label="m", steps=(Step(name="x", run="x"),))

TEXT = st.text(max_size=3)
PAIRS = st.lists(st.tuples(TEXT, TEXT), max_size=2).map(tuple)
TEXTS = st.lists(TEXT, max_size=2).map(tuple)
DEFINITIONS = st.fixed_dictionaries(
    {
        "name": TEXT,
        "label": TEXT,
        "steps": st.lists(st.builds(Step, name=TEXT, run=TEXT), max_size=2).map(tuple),
        "env": PAIRS,
        "inputs": TEXTS,
        "timeout": st.sampled_from([60.0, 61.0]),
        "needs": TEXTS,
        "cell": PAIRS,
    }
)
PATHS = st.sampled_from([b"a", b"src/a", b"src/b.c", b"src/doc/x", b"doc/a", b"\xff", b"x\ny"])
TREES = st.dictionaries(
    PATHS,
    st.tuples(st.sampled_from(["100644", "100755", "120000", "160000"]), st.sampled_from("12")),
)
PATTERNS = st.lists(
    st.sampled_from(["src", "src/", "*.c", "/a", "!src/doc/", "**/a", "doc/**"]),
    min_size=1,
    max_size=3,
    unique=True,
).map(tuple)


def job(**fields: Any) -> Job:
    return dataclasses.replace(JOB, **fields)


def key(made: Job, matched: str = "m", **trees: str) -> str:
    return inputs.key(made, matched, trees)


def entries(tree: dict[bytes, tuple[str, str]]) -> list[Entry]:
    return [Entry(mode, object_id * 40, path) for path, (mode, object_id) in sorted(tree.items())]


def listing(tree: dict[bytes, tuple[str, str]]) -> bytes:
    lines = (b"%b blob %b\t%b" % (e.mode.encode(), e.object_id.encode(), e.path)
             for e in entries(tree))  # fmt: skip
    return b"".join(line + b"\0" for line in lines)


def names(patterns: tuple[str, ...], *paths: str, mode: str = "100644") -> set[str]:
    given = [Entry(mode, "1" * 40, path.encode()) for path in paths]
    return {entry.path.decode() for entry in inputs.match(given, patterns)}


@given(DEFINITIONS, DEFINITIONS)
def test_a_key_is_equal_where_the_definition_is(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert (key(job(**one)) == key(job(**other))) == (one == other)


@given(TREES, TREES, PATTERNS)
def test_a_key_is_equal_where_the_matched_entries_are(
    one: dict[bytes, tuple[str, str]], other: dict[bytes, tuple[str, str]], patterns: Any
) -> None:
    def matched(tree: dict[bytes, tuple[str, str]]) -> tuple[str, list[Entry]]:
        [(_, name)] = inputs._digests(listing(tree), [patterns])
        return name, list(inputs.match(entries(tree), patterns))

    (first, those), (second, these) = matched(one), matched(other)
    assert (first == second) == (those == these)


NESTED = st.recursive(
    st.text(max_size=3) | st.binary(max_size=3) | st.sampled_from([0.0, 1.0, 10.0]),
    lambda parts: st.lists(parts, max_size=3).map(tuple),
    max_leaves=6,
)


@given(NESTED, NESTED)
def test_what_is_nested_otherwise_has_another_digest(one: Any, other: Any) -> None:
    assert (inputs.digest(one) == inputs.digest(other)) == (one == other)


def test_every_field_of_a_job_is_in_its_key_or_known_not_to_matter() -> None:
    other: dict[str, Any] = {
        "name": "u",
        "label": "n",
        "steps": (Step(name="x", run="y"),),
        "env": (("A", "1"),),
        "inputs": ("src",),
        "timeout": 1.0,
        "needs": ("b",),
        "cell": (("a", "1"),),
        "projects": ("lib",),
        "parts": (Part(name="main", label="m"), Part(name="peer", label="m")),
        "services": (Service(name="db", run="serve"),),
        "links": (Link(one="main", other="peer", loss=0.5),),
        "caches": (JobCache(name="c", paths=("d",)),),
    }
    assert other.keys() | inputs.IRRELEVANT == {field.name for field in dataclasses.fields(Job)}
    for name, value in other.items():
        assert key(job(**{name: value}), lib="1") != key(JOB, lib="1"), name
    for name, value in {
        "base": "u",
        "voting": False,
        "evidence": False,
        "semaphores": (("db", 1),),
    }.items():
        assert key(job(**{name: value})) == key(JOB), name


def test_the_trees_of_the_projects_that_it_asks_for_are_in_the_key() -> None:
    wanting = job(projects=("lib",))
    assert key(wanting, lib="1", other="1") == key(wanting, lib="1", other="2")
    assert key(wanting, lib="1") != key(wanting, lib="2")
    assert key(job(projects=("a", "b")), a="1", b="2") != key(
        job(projects=("a", "b")), a="2", b="1"
    )
    with pytest.raises(Bug, match="'t' asks for lib"):
        key(wanting, other="1")


def test_patterns_are_those_of_gitignore() -> None:
    paths = ("a.c", "src/a.c", "src/doc/x", "lib/src/y", "doc/x")
    assert names(("src/",), *paths) == {"src/a.c", "src/doc/x", "lib/src/y"}
    assert names(("/src",), *paths) == {"src/a.c", "src/doc/x"}
    assert names(("src", "!src/doc/**"), *paths) == {"src/a.c", "lib/src/y"}
    assert names(("*.c",), *paths) == {"a.c", "src/a.c"}
    assert names(("**/x",), *paths) == {"src/doc/x", "doc/x"}
    assert names(("nothing",), *paths) == set()


def test_a_submodule_is_a_directory_and_a_file_is_none() -> None:
    assert names(("vendor/lib/",), "vendor/lib", mode="160000") == {"vendor/lib"}
    assert names(("vendor/lib",), "vendor/lib", mode="160000") == {"vendor/lib"}
    assert names(("vendor/lib/",), "vendor/lib") == set()


def test_paths_that_are_no_text_are_told_apart() -> None:
    odd = [Entry("100644", "1" * 40, b"src/\xff"), Entry("100644", "1" * 40, b"src/\xfe")]
    assert list(inputs.match(odd, ("src",))) == odd


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "KEPT", 2)
    inputs._remembered.clear()
    for number in ("1", "2"):
        inputs._remember(number, ("a",), number)
    assert inputs._recall("1", ("a",)) == "1"
    inputs._remember("3", ("a",), "3")
    assert [inputs._recall(number, ("a",)) for number in ("1", "2", "3")] == ["1", None, "3"]
    assert inputs._recall("4", ()) == "4"
    inputs._remembered.clear()
