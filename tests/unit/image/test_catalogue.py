"""The catalogue, with a build that packs a small tree instead of a distribution."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from cupel.config.image import ImageConfig
from cupel.errors import InfraError
from cupel.image import build, catalogue, definition

DEFINITION = definition.define(ImageConfig(packages=("git",)), "amd64")


class Builder:
    """Stands in for `build.build`."""

    def __init__(self) -> None:
        self.built = 0
        self.fails = False
        self.content = b"content"

    async def __call__(
        self,
        wanted: definition.Definition,
        target: Path,
        scratch: Path,
        tell: Callable[[str], None],
    ) -> None:
        assert scratch.is_dir()
        self.built += 1
        tell("working")
        await asyncio.sleep(0.01)
        if self.fails:
            raise InfraError("the mirror is away")
        with tarfile.open(target, "w") as tar:
            member = tarfile.TarInfo("./etc/file")
            member.size = len(self.content)
            tar.addfile(member, io.BytesIO(self.content))


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
    images = catalogue.Catalogue(tmp_path)
    builder.fails = True
    with pytest.raises(InfraError, match="mirror"):
        asyncio.run(images.ensure(DEFINITION, quiet))
    assert images.find(DEFINITION) is None
    assert [path for path in (tmp_path / "building").iterdir() if path.is_dir()] == []
    builder.fails = False
    asyncio.run(images.ensure(DEFINITION, quiet))


def test_what_a_killed_build_left_is_swept_but_not_one_under_way(tmp_path: Path) -> None:
    building = tmp_path / "building"
    for name in ("dead", "alive"):
        (building / name / "tmp").mkdir(parents=True)
    holder = (
        "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX);"
        " print(flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", holder, str(building / "alive.lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        catalogue.Catalogue(tmp_path).sweep()
        assert not (building / "dead").exists()
        assert (building / "alive").exists()
        process.communicate()
    catalogue.Catalogue(tmp_path).sweep()
    assert not (building / "alive").exists()


def test_a_tree_that_was_deleted_is_built_again(tmp_path: Path, builder: Builder) -> None:
    images = catalogue.Catalogue(tmp_path)
    digest = asyncio.run(images.ensure(DEFINITION, quiet))
    images.log(digest).unlink()
    (images.rootfs(digest) / "etc/file").unlink()
    (images.rootfs(digest) / "etc").rmdir()
    images.rootfs(digest).rmdir()
    (tmp_path / digest).rmdir()
    asyncio.run(images.ensure(DEFINITION, quiet))
    assert builder.built == 2


def test_the_command_names_packages_and_ends_with_its_parent(tmp_path: Path) -> None:
    command = build.command(DEFINITION, tmp_path / "x.tar", None)
    assert command[0] == "setpriv"
    assert "--include=git" in command
    assert command[-2:] == ["bookworm", os.fspath(tmp_path / "x.tar")]
