"""`cupel image`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from cupel.errors import InfraError
from cupel.image import build
from cupel.image.keeper import Keeper, Named
from unit.cli.calls import Command
from unit.control_views import world
from unit.image.builder import Builder


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch) -> Builder:
    builder = Builder()
    monkeypatch.setattr(build, "build", builder)
    return builder


def built(command: Command) -> str:
    catalogue = command.world.images.catalogue
    return asyncio.run(catalogue.rebuild(world.PYTHON, lambda _: None))


def aside(work: Callable[[Command], str], command: Command) -> str:
    """Do something with a loop of its own, from within another's."""
    with ThreadPoolExecutor() as pool:
        return pool.submit(work, command).result()


def test_list_and_show(cupel: Command, builder: Builder) -> None:
    digest = built(cupel)
    listed = cupel("image", "list").out.splitlines()
    assert listed[1].split()[:4] == ["python", "✓", "ready", digest[:19]]
    assert json.loads(cupel("image", "list", "--json").out)[0]["digest"] == digest
    shown = cupel("image", "show", "python").out
    assert f"digest     {digest}" in shown
    assert "test       python3 --version" in shown
    assert "working" in cupel("image", "show", "python", "--log").out
    assert cupel("image", "show", "nothing").code == 2


def test_building_follows_the_log(
    cupel: Command, builder: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = cupel.world.images
    monkeypatch.setattr(type(keeper), "request", lambda _, name: aside(built, cupel))
    done = cupel("image", "build", "python")
    assert done.code == 0, done.err
    assert done.out.strip() == keeper.catalogue.find(world.PYTHON)


def test_a_build_that_fails_says_why(
    cupel: Command, builder: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    builder.fails = True

    def fail(_: object, name: str) -> None:
        with pytest.raises(Exception, match="mirror"):
            aside(built, cupel)

    monkeypatch.setattr(type(cupel.world.images), "request", fail)
    done = cupel("image", "build", "python")
    assert done.code != 0
    assert "image python can't be built: the mirror is away" in done.err


def test_a_build_after_one_that_failed_is_followed_to_its_own_end(
    cupel: Command, builder: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = cupel.world.images
    builder.fails = True
    with pytest.raises(InfraError, match="the mirror is away"):
        aside(built, cupel)
    builder.fails = False
    asked = type(keeper).named
    looks = iter(range(10))

    def named(self: Keeper, name: str) -> Named:
        if next(looks) == 2:  # by now its turn has come
            keeper._requested.discard(name)
            aside(built, cupel)
        return asked(self, name)

    monkeypatch.setattr(type(keeper), "named", named)
    done = cupel("image", "build", "python")
    assert done.code == 0, done.err
    assert "Waiting for other images" in done.err


def test_diff_rollback_and_prune(cupel: Command, builder: Builder) -> None:
    first = built(cupel)
    builder.content, builder.packages = b"other", {"git": "2"}
    second = built(cupel)
    shown = cupel("image", "diff", first, second).out
    assert ["git", "1", "2"] in [line.split() for line in shown.splitlines()]
    assert "~ /etc/file" in shown
    assert cupel("image", "rollback", "python").out.strip() == first
    assert cupel("image", "prune", "--keep", "0").out.strip() == second
    again = cupel("image", "prune", "--keep", "0")
    assert (again.out, again.err) == ("", "nothing to remove\n")
