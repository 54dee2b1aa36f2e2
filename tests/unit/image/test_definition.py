"""When two definitions of images are the same."""

from __future__ import annotations

import dataclasses

import pytest

from cupel.config.image import FileConfig, ImageConfig, PrefetchConfig, TarConfig
from cupel.image import definition
from cupel.image.definition import Definition


def define(**changes: object) -> Definition:
    return definition.define(dataclasses.replace(ImageConfig(), **changes), "amd64")  # type: ignore[arg-type]


def test_order_and_doubles_of_packages_do_not_matter() -> None:
    one, two = define(packages=("git", "make", "git")), define(packages=("make", "git"))
    assert one == two
    assert one.hash == two.hash


def test_the_name_and_when_it_is_refreshed_do_not_matter() -> None:
    assert define(name="a", refresh=1.0, size=5).hash == define().hash


def test_everything_else_does() -> None:
    different = [
        define(),
        define(suite="trixie"),
        define(packages=()),
        define(packages=("gitmake",)),
        define(packages=("git", "make")),
        define(suite=None, tar=TarConfig(path="/a", sha256="1")),
        define(suite=None, tar=TarConfig(path="/a", sha256="2")),
        define(suite=None, oci="docker://a"),
        define(files=(FileConfig(path="/a", content="1"),)),
        define(files=(FileConfig(path="/a", content="1", mode=0o755),)),
        define(prefetch=PrefetchConfig(pip=("a",))),
        define(prefetch=PrefetchConfig(npm=("a",))),
        define(steps=("a",)),
        define(playbook="a"),
        define(tests=("a",)),
    ]
    hashes = {each.hash for each in different}
    hashes.add(dataclasses.replace(define(), architecture="arm64").hash)
    assert len(hashes) == len(different) + 1


@pytest.mark.parametrize(
    ("changes", "provisioned"),
    [
        ({}, False),
        ({"tests": ("true",)}, False),
        ({"suite": None, "oci": "docker://a", "packages": ()}, False),
        ({"suite": None, "oci": "docker://a", "packages": ("git",)}, True),
        ({"files": (FileConfig(path="/a", content=""),)}, True),
        ({"prefetch": PrefetchConfig(git=("https://a/b",))}, True),
        ({"steps": ("true",)}, True),
        ({"playbook": "- hosts: all"}, True),
    ],
)
def test_what_takes_a_machine_to_build(changes: dict[str, object], provisioned: bool) -> None:
    assert define(**changes).is_provisioned is provisioned
