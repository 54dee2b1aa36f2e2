"""The catalogue, with a build that packs a small tree instead of a distribution."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cupel.config.image import ImageConfig
from cupel.errors import InfraError
from cupel.image import base, build, catalogue, course, definition, tree
from cupel.image.workshop import Bench
from unit.image.builder import Builder

DEFINITION = definition.define(ImageConfig(packages=("git",)), "amd64")
NAMED = definition.define(ImageConfig(name="py"), "amd64")


class Workbench:
    """A workshop that remembers what it was to clear."""

    def __init__(self) -> None:
        self.cleared: list[Path] = []

    @contextlib.asynccontextmanager
    async def bench(
        self, rootfs: Path, file: Path | None, directory: Path, image: ImageConfig, *, network: bool
    ) -> AsyncIterator[Bench]:
        raise NotImplementedError
        yield

    async def clear(self, directory: Path) -> None:
        self.cleared.append(directory)


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch) -> Builder:
    builder = Builder()
    monkeypatch.setattr(build, "build", builder)
    return builder


def quiet(_: str) -> None:
    pass


def test_an_image_is_built_once_and_found_by_its_definition(
    tmp_path: Path, builder: Builder
) -> None:
    images = catalogue.Catalogue(tmp_path)
    told: list[str] = []
    assert images.find(DEFINITION) is None
    digest = asyncio.run(images.ensure(DEFINITION, told.append))
    assert asyncio.run(images.ensure(DEFINITION, told.append)) == digest
    assert builder.built == 1
    assert digest.startswith("sha256:")
    assert images.find(DEFINITION) == digest
    assert (images.rootfs(digest) / "etc/file").read_bytes() == b"content"
    assert "working" in told
    assert "working" in images.log(digest).read_text()


def test_builds_of_one_definition_wait_for_one_another(tmp_path: Path, builder: Builder) -> None:
    async def both() -> None:
        told: list[str] = []
        one, two = catalogue.Catalogue(tmp_path), catalogue.Catalogue(tmp_path)
        digests = await asyncio.gather(
            one.ensure(DEFINITION, told.append), two.ensure(DEFINITION, told.append)
        )
        assert digests[0] == digests[1]
        assert any("Waiting" in line for line in told)

    asyncio.run(both())
    assert builder.built == 1


def test_equal_trees_of_two_definitions_are_kept_once(tmp_path: Path, builder: Builder) -> None:
    images = catalogue.Catalogue(tmp_path)
    other = definition.define(ImageConfig(packages=("make",)), "amd64")
    assert asyncio.run(images.ensure(DEFINITION, quiet)) == asyncio.run(images.ensure(other, quiet))
    assert builder.built == 2
    assert len(list(tmp_path.glob("sha256:*"))) == 1


def test_a_build_that_fails_leaves_nothing_and_can_be_tried_again(
    tmp_path: Path, builder: Builder
) -> None:
    time = 1e9
    images = catalogue.Catalogue(tmp_path, now=lambda: time)
    builder.fails = True
    with pytest.raises(InfraError, match="mirror"):
        asyncio.run(images.ensure(DEFINITION, quiet))
    assert images.find(DEFINITION) is None
    assert [path for path in (tmp_path / "building").iterdir() if path.is_dir()] == []
    builder.fails = False
    with pytest.raises(InfraError, match="a moment ago: the mirror is away"):
        asyncio.run(images.ensure(DEFINITION, quiet))
    assert builder.built == 1, "not by each that waits for it"
    time += 61
    asyncio.run(images.ensure(DEFINITION, quiet))
    assert builder.built == 2


def test_what_a_killed_build_left_is_swept_but_not_one_under_way(tmp_path: Path) -> None:
    building = tmp_path / "building"
    for name in ("dead", "alive"):
        (building / name / "tmp/bench").mkdir(parents=True)
    workshop = Workbench()
    holder = (
        "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX);"
        " print(flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", holder, str(building / "alive.lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        asyncio.run(catalogue.Catalogue(tmp_path, workshop).sweep())
        assert not (building / "dead").exists()
        assert workshop.cleared == [building / "dead/tmp/bench"]
        assert (building / "alive").exists()
        process.communicate()
    asyncio.run(catalogue.Catalogue(tmp_path).sweep())
    assert not (building / "alive").exists()


def test_a_tree_that_was_deleted_is_built_again(tmp_path: Path, builder: Builder) -> None:
    images = catalogue.Catalogue(tmp_path)
    digest = asyncio.run(images.ensure(DEFINITION, quiet))
    images.delete(digest)
    assert images.find(DEFINITION) is None
    asyncio.run(images.ensure(DEFINITION, quiet))
    assert builder.built == 2


def test_what_is_known_of_an_image_and_of_a_failure(tmp_path: Path, builder: Builder) -> None:
    images = catalogue.Catalogue(tmp_path, now=lambda: 5.0)
    builder.fails = True
    with pytest.raises(InfraError):
        asyncio.run(images.ensure(NAMED, quiet))
    failure = images.failure(NAMED)
    assert failure is not None
    assert failure.error == "the mirror is away"
    assert "Failed: the mirror is away" in images.failure_log(NAMED).read_text()
    builder.fails = False
    digest = asyncio.run(images.rebuild(NAMED, quiet))
    assert images.failure(NAMED) is None
    record = images.record(digest)
    assert record is not None
    assert (record.names, record.started_at, record.packages) == (("py",), 5.0, 1)
    assert list(images.records()) == [record]
    assert images.packages(digest) == {"git": "1"}
    assert set(tree.read_manifest(images.manifest(digest))) == {".", "etc", "etc/file"}


def test_a_name_keeps_its_image_until_the_next_one_stands(tmp_path: Path, builder: Builder) -> None:
    images = catalogue.Catalogue(tmp_path)
    first = asyncio.run(images.ensure(NAMED, quiet))
    changed = definition.define(dataclasses.replace(NAMED.config, steps=("true",)), "amd64")
    assert images.find(changed) == first
    assert asyncio.run(images.ensure(changed, quiet)) == first
    builder.content = b"other"
    second = asyncio.run(images.rebuild(changed, quiet))
    assert second != first
    assert images.find(changed) == images.find(NAMED) == second
    known = images.course("py")
    assert known is not None
    assert (known.current, known.previous) == (second, first)


def test_a_name_goes_back_when_the_first_builds_on_its_new_image_are_lost(
    tmp_path: Path, builder: Builder
) -> None:
    images = catalogue.Catalogue(tmp_path)
    first = asyncio.run(images.ensure(NAMED, quiet))
    images.judge(first, by_itself=True)
    builder.content = b"other"
    second = asyncio.run(images.rebuild(NAMED, quiet))
    for _ in range(course.FIRST):
        assert images.find(NAMED) == second
        images.judge(second, by_itself=False)
    assert images.find(NAMED) == first
    assert asyncio.run(images.rebuild(NAMED, quiet)) == second
    assert images.find(NAMED) == first, "what was given up does not come back by being built again"


def test_a_name_goes_back_by_hand(tmp_path: Path, builder: Builder) -> None:
    images = catalogue.Catalogue(tmp_path)
    with pytest.raises(InfraError, match="no image of py before"):
        images.roll_back("py")
    first = asyncio.run(images.ensure(NAMED, quiet))
    builder.content = b"other"
    asyncio.run(images.rebuild(NAMED, quiet))
    assert images.roll_back("py").current == first
    assert images.find(NAMED) == first


def test_the_command_names_packages_and_ends_with_its_parent(tmp_path: Path) -> None:
    command = base.command(DEFINITION, tmp_path / "x.tar", None)
    assert command[0] == "setpriv"
    assert "--include=git" in command
    assert command[-2:] == ["bookworm", os.fspath(tmp_path / "x.tar")]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (
            """I: running apt-get update...
E: Unable to locate package nosuch
E: setup failed: E: apt-get -o Dir::Bin::dpkg=env failed
I: main() received signal PIPE: waiting for setup...
E: mmdebstrap failed to run
""",
            "Unable to locate package nosuch",
        ),
        ("I: a\nE: mmdebstrap failed to run\n", "mmdebstrap failed to run"),
        ("took longer than 3600 s: mmdebstrap", "took longer than 3600 s: mmdebstrap"),
    ],
)
def test_what_apt_said_is_told_and_not_what_came_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, why: str
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise InfraError("exit status 25: mmdebstrap …", hint=said)

    monkeypatch.setattr(base.process, "run", fail)
    monkeypatch.setattr(base.shutil, "which", lambda _: "/usr/bin/mmdebstrap")
    with pytest.raises(InfraError) as refused:
        asyncio.run(base.lay_out(DEFINITION, tmp_path / "a", tmp_path, quiet))
    assert refused.value.message == f"the base of {DEFINITION.text} can't be made: {why}"
    assert refused.value.hint is None


def test_what_is_built_again_alike_is_packed_anew(tmp_path: Path, builder: Builder) -> None:
    """Else a file of an older mkfs.erofs could never be verified elsewhere."""
    builder.packs = b"by an old program"
    images = catalogue.Catalogue(tmp_path)
    digest = asyncio.run(images.ensure(DEFINITION, quiet))
    builder.packs = b"by a new one"
    assert asyncio.run(images.rebuild(DEFINITION, quiet)) == digest
    file = images.file(digest)
    assert file is not None
    assert file.read_bytes() == b"by a new one"
