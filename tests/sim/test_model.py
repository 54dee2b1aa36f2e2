"""The model of git and of builds that the simulated world is made of."""

from __future__ import annotations

import random

import pytest

from cupel.simulate.fate import Nature
from cupel.simulate.git import Git, Patch, broken
from cupel.simulate.world import job


def patch(name: str, **fields: frozenset[str]) -> Patch:
    return Patch(name=name, **fields)  # type: ignore[arg-type]


def names(patches: frozenset[Patch]) -> set[str]:
    return {each.name for each in patches}


def test_a_merge_holds_what_both_hold() -> None:
    git = Git()
    base = git.commit([patch("base")])
    a, b = git.on(base.id, patch("A")), git.on(base.id, patch("B"))
    merged = git.merge(a.id, b.id)
    assert not isinstance(merged, tuple)
    assert names(merged.patches) == {"base", "A", "B"}
    assert merged.parents == (a.id, b.id)
    assert git.contains(merged.id, base.id)


def test_the_same_patches_are_the_same_tree() -> None:
    git = Git()
    base = git.commit([patch("base")])
    a, b = git.on(base.id, patch("A")), git.on(base.id, patch("B"))
    one, other = git.merge(a.id, b.id), git.merge(b.id, a.id)
    assert not isinstance(one, tuple)
    assert not isinstance(other, tuple)
    assert one.tree == other.tree
    assert one.id != other.id


def test_patches_that_conflict_do_not_merge() -> None:
    git = Git()
    base = git.commit([patch("base")])
    a = git.on(base.id, patch("A"))
    b = git.on(base.id, patch("B", conflicts=frozenset({"A"})))
    assert git.merge(a.id, b.id) == ("A",)


def test_a_move_says_what_it_brought() -> None:
    git = Git()
    base = git.commit([patch("base")])
    git.heads[1, "main"] = base.id
    a = git.merge(base.id, git.on(base.id, patch("A")).id)
    assert not isinstance(a, tuple)
    b = git.merge(a.id, git.on(base.id, patch("B")).id)
    assert not isinstance(b, tuple)
    assert git.compare_and_swap((1, "main"), base.id, b.id)
    assert not git.compare_and_swap((1, "main"), base.id, a.id)
    [move] = git.moves
    assert move.brought == (a.id, b.id)
    assert git.moves_with((1, "main"), a.id) == [move]


@pytest.mark.parametrize(
    ("inputs", "seen"),
    [
        ((), {"base", "lib", "docs"}),
        (("lib/**",), {"base", "lib"}),
        (("docs/*",), {"base", "docs"}),
        (("web/*", "lib/*"), {"base", "lib"}),
    ],
)
def test_a_job_sees_the_patches_that_touch_its_inputs(
    inputs: tuple[str, ...], seen: set[str]
) -> None:
    git = Git()
    tests = job("tests", inputs=inputs)
    made = git.commit(
        [
            patch("base"),
            patch("lib", touches=frozenset({"lib"})),
            patch("docs", touches=frozenset({"docs/a"})),
        ]
    )
    assert names(git.read(tests, made.id, {}, tests.inputs)) == seen


def test_a_job_sees_all_of_the_projects_beside_it() -> None:
    git = Git()
    tests = job("tests", inputs=("lib/*",), projects=("other",))
    made = git.commit([patch("docs", touches=frozenset({"docs"}))])
    beside = git.commit([patch("beside", touches=frozenset({"docs"}))])
    assert names(git.read(tests, made.id, {"other": beside.id}, tests.inputs)) == {"beside"}


def test_a_key_knows_the_definition_and_what_the_job_sees() -> None:
    git = Git()
    tests = job("tests", inputs=("lib/*",))
    lib = patch("lib", touches=frozenset({"lib/a"}))
    docs = patch("docs", touches=frozenset({"docs/a"}))
    one, other, none = (git.commit(patches) for patches in ([lib], [lib, docs], [docs]))
    assert git.key(tests, one.id, {}) == git.key(tests, other.id, {})
    assert git.key(tests, one.id, {}) != git.key(tests, none.id, {})
    stricter = job("tests", run="tests --strict", inputs=("lib/*",))
    assert git.key(tests, one.id, {}) != git.key(stricter, one.id, {})


def test_a_repair_mends_what_it_names() -> None:
    bad = patch("bad", breaks=frozenset({"tests"}))
    fix = patch("fix", repairs=frozenset({"bad"}))
    worse = patch("worse", breaks=frozenset({"tests"}))
    assert broken(frozenset({bad}), "tests")
    assert not broken(frozenset({bad}), "lint")
    assert not broken(frozenset({bad, fix}), "tests")
    assert broken(frozenset({bad, fix, worse}), "tests")


def test_a_job_truly_reads_what_the_world_says() -> None:
    git = Git()
    made = git.commit([patch("bad", touches=frozenset({"docs/a"}), breaks=frozenset({"tests"}))])
    tests = job("tests", inputs=("lib/*",))
    dice = random.Random(0)
    honest = Nature(repositories=git, chance=dice)
    lying = Nature(repositories=git, chance=dice, true_inputs={"tests": ("lib/*", "docs/*")})
    assert not honest.is_broken(tests, made.id, {})
    assert lying.is_broken(tests, made.id, {})
