"""What the keeper of images does: builds what is due, goes back, compares, prunes."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

import pytest

from cupel.config.image import ImageConfig
from cupel.errors import Conflict, NotFound
from cupel.image import build, course, definition
from cupel.image.catalogue import Catalogue, State
from cupel.image.definition import Definition
from cupel.image.keeper import Keeper
from unit.image.builder import Builder

DAY = 86_400.0
NAMED = definition.define(ImageConfig(name="py", refresh=DAY), "amd64")


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch) -> Builder:
    builder = Builder()
    monkeypatch.setattr(build, "build", builder)
    return builder


class House:
    """A keeper with a clock that stands still."""

    def __init__(self, directory: Path, *named: Definition, **changes: object) -> None:
        self.time = 1e9
        self.used: set[str] = set()
        self.catalogue = Catalogue(directory, now=lambda: self.time)
        self.keeper = Keeper(
            self.catalogue,
            named=named or (NAMED,),
            in_use=lambda: self.used,
            now=lambda: self.time,
            **changes,  # type: ignore[arg-type]
        )

    def work(self) -> None:
        """Let it do all that is due now."""
        asyncio.run(self.keeper.attend())

    @property
    def digest(self) -> str:
        found = self.catalogue.find(NAMED)
        assert found is not None
        return found


def test_an_image_is_built_before_it_is_asked_for_and_again_when_it_is_old(
    tmp_path: Path, builder: Builder
) -> None:
    house = House(tmp_path)
    assert house.keeper.named("py").state is State.WAITING
    house.work()
    first = house.digest
    assert house.keeper.named("py").state is State.READY
    house.work()
    assert builder.built == 1
    builder.content = b"newer packages"
    house.time += DAY
    house.work()
    assert builder.built == 2
    assert house.digest != first
    known = house.keeper.named("py").course
    assert known is not None
    assert known.previous == first


def test_a_changed_definition_is_built_at_once(tmp_path: Path, builder: Builder) -> None:
    House(tmp_path).work()
    changed = definition.define(dataclasses.replace(NAMED.config, steps=("true",)), "amd64")
    builder.content = b"other"
    House(tmp_path, changed).work()
    assert builder.built == 2


def test_what_fails_is_tried_again_later_and_the_old_image_stays(
    tmp_path: Path, builder: Builder
) -> None:
    house = House(tmp_path)
    house.work()
    first = house.digest
    builder.fails = True
    house.time += DAY
    house.work()
    house.work()
    assert builder.built == 2
    found = house.keeper.named("py")
    assert (found.state, house.digest) == (State.FAILED, first)
    assert "Failed: the mirror is away" in house.keeper.log("py").read_text()
    builder.fails = False
    house.time += course.again_after(1)
    house.work()
    assert house.keeper.named("py").state is State.READY


def test_people_may_ask_for_a_build(tmp_path: Path, builder: Builder) -> None:
    house = House(tmp_path)
    house.work()
    house.keeper.request("py")
    assert house.keeper.named("py").state is State.WAITING
    house.work()
    assert builder.built == 2
    assert house.keeper.named("py").state is State.READY
    with pytest.raises(NotFound, match="no image nothing"):
        house.keeper.request("nothing")


def test_going_back_by_hand(tmp_path: Path, builder: Builder) -> None:
    house = House(tmp_path)
    house.work()
    first = house.digest
    with pytest.raises(Conflict, match="no image before"):
        house.keeper.roll_back("py")
    builder.content = b"other"
    house.keeper.request("py")
    house.work()
    assert house.keeper.roll_back("py").current == first
    assert house.digest == first


def test_unused_images_go_but_for_the_newest_and_what_machines_have(
    tmp_path: Path, builder: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Keeper, "_free", lambda _: 0.5)
    house = House(tmp_path)
    digests = []
    for number in range(6):
        builder.content = bytes([number])
        house.time += DAY
        asyncio.run(house.catalogue.rebuild(NAMED, lambda _: None))
        digests.append(house.digest)
    house.used = {digests[0]}
    gone = [record.digest for record in house.keeper.prune(keep=1)]
    assert gone == [digests[2], digests[1]]
    left = {record.digest for record in house.catalogue.records()}
    assert left == {digests[0], *digests[3:]}
    assert [record.digest for record in house.keeper.unused()] == [digests[3]]


def test_with_the_disk_nearly_full_nothing_unused_is_kept(
    tmp_path: Path, builder: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Keeper, "_free", lambda _: 0.05)
    house = House(tmp_path)
    for number in range(4):
        builder.content = bytes([number])
        house.time += 1
        asyncio.run(house.catalogue.rebuild(NAMED, lambda _: None))
    assert len(house.keeper.prune(keep=10)) == 2
    assert house.keeper.unused() == []
    house.catalogue.kept(house.digest)


def test_what_differs_between_two_images(tmp_path: Path, builder: Builder) -> None:
    house = House(tmp_path)
    house.work()
    first = house.digest
    builder.content, builder.packages = b"other", {"git": "2", "make": "1"}
    house.keeper.request("py")
    house.work()
    found = house.keeper.difference(first[:19], "py")
    assert found.packages == (("git", "1", "2"), ("make", None, "1"))
    assert found.files == (("etc/file", "changed"),)
    with pytest.raises(NotFound, match="there is no image nothing"):
        house.keeper.difference("nothing", "py")
    with pytest.raises(NotFound, match="there is 2 images sha256:"):
        house.keeper.digest("sha256:")


def test_an_image_comes_until_it_stands_or_has_failed(tmp_path: Path, builder: Builder) -> None:
    house = House(tmp_path)
    inline = definition.define(ImageConfig(packages=("git",)), "amd64")
    assert house.keeper.is_coming(NAMED)
    assert not house.keeper.is_coming(inline), "nobody builds it yet"
    builder.fails = True
    house.work()
    assert not house.keeper.is_coming(NAMED)
    house.keeper.request("py")
    assert house.keeper.is_coming(NAMED)
    builder.fails, builder.packs = False, b"packed"
    house.work()
    assert not house.keeper.is_coming(NAMED)
    assert house.keeper.offered(NAMED) == house.digest
