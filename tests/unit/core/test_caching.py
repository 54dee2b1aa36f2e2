"""What builds are given, what they may save, and who may have it then."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cupel.core import cache, events
from cupel.core.actions import DropCache, RunBuild
from cupel.core.cache import Cache, CacheState, CacheUse, JobCache
from cupel.core.model import Pipeline, Usage, Verdict
from unit.core.making import Core, job

COMPILED = JobCache(name="compiled", paths=("target",))
FETCHED = JobCache(name="fetched", paths=("/root/.cache/x",), files=("lock",), contents="v1")


@pytest.fixture
def core() -> Core:
    core = Core()
    core.hear(core.hello(slots=8, cache_room=1000, cache_share=500))
    return core


def run(core: Core, change: int, *caches: JobCache, land: bool = True) -> RunBuild:
    """The build of a change's job with these caches, about to run."""
    core.push(change, land=land)
    core.prepare(job(caches=caches))
    (found,) = (action for action in core.runs() if action.item.change_id == change)
    return found


def test_what_lands_is_run_by_post_which_saves_at_once(core: Core) -> None:
    finish(core, run(core, 10, COMPILED), None)
    land(core, 10)
    core.prepare(job(caches=(COMPILED,)))
    (post,) = core.runs()
    assert post.item.pipeline is Pipeline.POST
    finish(core, post, 100)
    assert [each.state for each in caches(core)] == [CacheState.READY]


def finish(
    core: Core, action: RunBuild, *sizes: int | None, verdict: Verdict = Verdict.SUCCESS
) -> None:
    """End a build that has saved what was wanted, of these sizes."""
    uses = tuple(
        CacheUse(
            name=wanted.cache.name,
            restored=None if wanted.restore is None else wanted.restore.build_id,
            saved=size if wanted.save else None,
        )
        for wanted, size in zip(action.caches, sizes, strict=True)
    )
    core.hear(
        events.BuildFinished(
            machine_id=action.machine.id,
            verdict=verdict,
            reason=None,
            steps=(),
            usage=Usage(),
            artefacts=(),
            caches=uses,
        )
    )


def land(core: Core, change: int) -> None:
    core.step()
    core.hear(events.Landed(item_ids=(core.item(change).id,)))
    core.step()


def caches(core: Core) -> list[Cache]:
    return core.draft().all(Cache)


def test_what_a_build_of_the_gate_saved_is_nobodys_until_it_lands(core: Core) -> None:
    first = run(core, 10, COMPILED)
    assert first.caches[0].restore is None
    finish(core, first, 100)
    (saved,) = caches(core)
    assert saved.state is CacheState.CANDIDATE
    second = run(core, 11, COMPILED)
    assert second.caches[0].restore is None, "the change ahead has not landed"
    land(core, 10)
    (saved,) = caches(core)
    assert saved.state is CacheState.READY
    third = run(core, 12, COMPILED)
    assert third.caches[0].restore == saved


def test_what_is_rejected_leaves_nothing(core: Core) -> None:
    bad = run(core, 10, COMPILED)
    finish(core, bad, 100, verdict=Verdict.FAILURE)
    (saved,) = caches(core)
    assert saved.state is CacheState.DROPPING, "whatever its host says that it has saved"


def test_a_change_that_is_abandoned_takes_its_caches_along(core: Core) -> None:
    finish(core, run(core, 10, COMPILED), 100)
    core.hear(events.Abandoned(change_id=10, user="ada"))
    drops = [action for action in core.step() if isinstance(action, DropCache)]
    (saved,) = caches(core)
    assert saved.state is CacheState.DROPPING
    assert drops == [DropCache(cache_id=saved.id, file=saved.file, host="host")]
    core.hear(events.CachesGone(host="host", files=(saved.file,)))
    assert caches(core)[0].state is CacheState.GONE
    assert not [action for action in core.step() if isinstance(action, DropCache)]


def test_one_that_fits_exactly_is_not_saved_again(core: Core) -> None:
    finish(core, run(core, 10, COMPILED, FETCHED), 100, 100)
    land(core, 10)
    again = run(core, 11, COMPILED, FETCHED)
    compiled, fetched = again.caches
    assert (compiled.exact, compiled.save, compiled.if_changed) == (True, True, True)
    assert (fetched.exact, fetched.save) == (True, False)
    other = run(core, 12, replace(FETCHED, contents="v2"))
    (newest,) = other.caches
    assert newest.restore is not None, "the newest is a beginning"
    assert (newest.exact, newest.save, newest.if_changed) == (False, True, False)


@pytest.mark.parametrize(
    "other",
    [
        replace(FETCHED, name="other"),
        replace(FETCHED, paths=("/root/.cache/y",)),
        replace(FETCHED, texts=("py3",)),
    ],
)
def test_what_has_to_agree_keeps_apart(core: Core, other: JobCache) -> None:
    finish(core, run(core, 10, FETCHED), 100)
    land(core, 10)
    assert run(core, 11, other).caches[0].restore is None
    assert cache.scope(FETCHED, "debian-12") != cache.scope(FETCHED, "debian-13")


def test_a_newer_one_takes_the_place(core: Core) -> None:
    for number in (10, 11):
        finish(core, run(core, number, COMPILED), 100)
        land(core, number)
    assert [each.state for each in caches(core)] == [CacheState.DROPPING, CacheState.READY]


def test_what_was_not_used_for_longest_goes_first(core: Core) -> None:
    versions = [replace(FETCHED, name=f"v{number}") for number in range(3)]
    for number, version in enumerate(versions):
        finish(core, run(core, 10 + number, version), 200)
        land(core, 10 + number)
        if number == 1:  # the first is used once more
            finish(core, run(core, 20, versions[0]), None)
            land(core, 20)
    states = {each.name: each.state for each in caches(core)}
    assert states == {
        "v0": CacheState.READY,
        "v1": CacheState.DROPPING,
        "v2": CacheState.READY,
    }


def test_candidates_take_no_room_from_what_has_landed(core: Core) -> None:
    finish(core, run(core, 10, FETCHED), 500)
    land(core, 10)
    finish(core, run(core, 11, replace(FETCHED, contents="v2")), 500)
    core.step()
    assert [each.state for each in caches(core)] == [CacheState.READY, CacheState.CANDIDATE]


def test_a_host_without_its_files_has_no_caches(core: Core) -> None:
    finish(core, run(core, 10, COMPILED, FETCHED), 100, 100)
    land(core, 10)
    one, other = caches(core)
    core.hear(core.hello(caches=(one.file,), cache_room=1000, cache_share=500))
    states = {each.id: each.state for each in caches(core)}
    assert states == {one.id: CacheState.READY, other.id: CacheState.GONE}


def test_with_no_room_nothing_is_kept() -> None:
    core = Core()
    finish(core, run(core, 10, COMPILED), 1)
    core.step()
    assert [each.state for each in caches(core)] == [CacheState.DROPPING]


def test_clearing_takes_those_of_a_name(core: Core) -> None:
    finish(core, run(core, 10, COMPILED, FETCHED), 100, 100)
    core.hear(events.CachesClearAsked(project_id=1, name="fetched", user="ada"))
    states = {each.name: each.state for each in caches(core)}
    assert states == {"compiled": CacheState.CANDIDATE, "fetched": CacheState.DROPPING}


def test_a_check_saves_where_nothing_fits_and_counts_with_its_very_tree(core: Core) -> None:
    checked = run(core, 10, COMPILED, land=False)
    assert checked.item.pipeline is Pipeline.CHECK
    assert checked.caches[0].save
    finish(core, checked, 100)
    core.step()
    assert caches(core)[0].state is CacheState.CANDIDATE
    core.push(10, number=2)
    core.step()
    assert caches(core)[0].state is CacheState.DROPPING, "it was a check of another patch set"


@pytest.mark.parametrize(
    ("file", "build"), [("12.pip", 12), ("x.pip", None), ("", None), ("²3.pip", None)]
)
def test_a_file_names_its_build(file: str, build: int | None) -> None:
    assert cache.build_of(file) == build
