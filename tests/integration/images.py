"""Images for tests on real machines: built once and kept between runs, outside the repository."""

from __future__ import annotations

import asyncio
import functools
import os
import platform
from pathlib import Path

import pytest

from cupel.errors import InfraError
from cupel.host import probe
from cupel.host.messages import ImageSpec, MachineSpec
from cupel.image import base, catalogue, definition

PACKAGES = ("ca-certificates", "git", "make", "python3", "python3-pip", "python3-venv")


def cache() -> Path:
    """Where images are kept: the `images` argument of a provider."""
    default = Path.home() / ".cache" / "cupel-tests"
    return Path(os.environ.get("CUPEL_TEST_CACHE", default)) / "images"


def suite() -> str:
    """The host's suite, whose mirror is known to work here, or a stable one."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    return release["VERSION_CODENAME"] if release.get("ID") == "debian" else "bookworm"


def spec() -> ImageSpec:
    return ImageSpec(suite=suite(), packages=PACKAGES)


def machine_spec(**changes: object) -> MachineSpec:
    """A small machine on the test image; `changes` are fields of `MachineSpec`."""
    fields: dict[str, object] = {
        "label": "test",
        "image": spec(),
        "cpus": 1.0,
        "memory": 512 << 20,
        "disk": 1 << 30,
        "pids": 256,
    }
    return MachineSpec(**(fields | changes))  # type: ignore[arg-type]


@functools.cache
def lacking() -> str | None:
    """Why there can't be machines here."""
    try:
        probe.can_isolate(probe.examine(Path.home()))
    except InfraError as error:
        return str(error)
    return None


def need() -> None:
    """Skip the test where there can't be machines."""
    if (why := lacking()) is not None:
        pytest.skip(f"no machines here: {why}")


def ensure() -> str:
    """Build the test image unless it is there; its digest. Parallel runs wait for one another."""
    made = definition.define(spec(), base.architecture())
    return asyncio.run(catalogue.Catalogue(cache()).ensure(made, print))
