"""Caches of builds, as an agent gives, saves and drops them; machines are fakes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from cupel.host.messages import (
    CachesGone,
    CacheSpec,
    CacheUse,
    Cancel,
    DropCaches,
    Images,
    Progress,
)
from fakes import provider as fakes
from unit.host_agent import test_agent
from unit.host_agent.test_agent import World

repository = test_agent.repository
play = test_agent.play

WORKS = {"work": fakes.Script(leaves={"made": b"x" * 5000}), "fail": fakes.Script(exit=1)}
SAVED = CacheSpec(name="c", paths=("/build/artifacts",), save="10.c", limit=1 << 20)
GIVEN = CacheSpec(name="c", paths=("x", "/y"), restore="10.c", origin=10, exact=True)
Play = Callable[..., None]


def store(tmp_path: Path) -> list[str]:
    directory = tmp_path / "state" / "caches"
    return sorted(path.name for path in directory.iterdir() if path.name != "incoming")


def test_what_a_build_saves_the_next_one_is_given(play: Play, tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        first = await world.finish(1, "work", caches=(SAVED,))
        (use,) = first.caches
        assert use == CacheUse(name="c", saved=use.saved)
        assert use.saved == (tmp_path / "state" / "caches" / "10.c").stat().st_size
        second = await world.finish(2, "work", caches=(GIVEN,))
        (use,) = second.caches
        assert (use.restored, use.exact, use.saved) == (10, True, None)
        assert world.provider.made[1].laid == [("/build/src/x", "10.c/0"), ("/y", "10.c/1")]
        said = [each.text for each in world.server.of(Progress)]
        assert said[0] == "cache c: nothing is there to restore"
        assert said[1].startswith("cache c: saved, ")
        assert said[2].startswith("cache c: restored from build 10, ")

    play(scenario, WORKS)
    assert store(tmp_path) == ["10.c"]


@pytest.mark.parametrize("script", ["fail", "work"])
def test_what_goes_wrong_with_a_cache_fails_no_build(
    script: str, play: Play, tmp_path: Path
) -> None:
    async def scenario(world: World) -> None:
        await world.finish(1, "work", caches=(SAVED,))
        world.provider.faults.lay = "it leads through a symbolic link"
        small = CacheSpec(
            name="c",
            paths=("/build/artifacts",),
            restore="10.c",
            origin=10,
            save="20.c",
            limit=4096,
        )
        gone = CacheSpec(name="d", paths=("/d",), restore="3.d", origin=3)
        finished = await world.finish(2, script, caches=(small, gone))
        assert finished.verdict == ("failure" if script == "fail" else "success")
        one, other = finished.caches
        assert (one.restored, one.saved) == (None, None)
        assert one.withheld == "it leads through a symbolic link"
        assert one.unsaved == ("" if script == "fail" else "larger than 4096 bytes")
        assert other.withheld == "this host has it no more"

    play(scenario, WORKS)
    assert store(tmp_path) == ["10.c"]


def test_a_build_that_fails_or_is_cancelled_saves_nothing(play: Play, tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        failed = await world.finish(1, "fail", caches=(SAVED,))
        assert failed.caches == (CacheUse(name="c"),)
        await world.server.say(*world.both(2, "slow", caches=(SAVED,)))
        await world.provider.stepping.wait()
        await world.server.say(Cancel(machine=2))
        await world.server.hears(test_agent.BuildFinished, 2)

    play(scenario, WORKS | {"slow": fakes.Script(exit=fakes.FOREVER)})
    assert not (tmp_path / "state" / "caches").exists()


def test_a_machine_that_can_be_given_none_saves_none(play: Play, tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.provider.lays = False
        finished = await world.finish(1, "work", caches=(SAVED,))
        assert (finished.verdict, finished.caches) == ("success", ())

    play(scenario, WORKS)
    assert not (tmp_path / "state" / "caches").exists()


def test_a_host_tells_its_caches_and_drops_them(play: Play, tmp_path: Path) -> None:
    directory = tmp_path / "state" / "caches"
    (directory / "incoming").mkdir(parents=True)
    for name in ("1.a", "2.b", "incoming/3.c", "what is this"):
        (directory / name).write_bytes(b"x")

    async def scenario(world: World) -> None:
        told = await world.server.hears(Images)
        assert told.caches == ("1.a", "2.b")
        await world.server.say(DropCaches(files=("1.a", "9.never")))
        gone = await world.server.hears(CachesGone)
        assert gone.files == ("1.a", "9.never")
        await asyncio.sleep(0)

    play(scenario, WORKS)
    assert store(tmp_path) == ["2.b", "what is this"]
    assert not (directory / "incoming").exists()
