"""One Cupel for all tests that do it no harm; those that do start their own."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from e2e import server as serving
from e2e.server import Server, Work
from e2e.stage import NEEDS_CHROMIUM
from integration import images

Project = Callable[..., Work]

_numbers = itertools.count(1)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a browser but no machine: that may run beside other tests."""
    for item in items:
        needs = getattr(item, "fixturenames", ())
        if "machines" not in needs and NEEDS_CHROMIUM.mark in item.iter_markers():
            item.add_marker(pytest.mark.pages)


@pytest.fixture(scope="session")
def machines() -> None:
    """Skip where there can't be machines; build their image once for all runs."""
    images.need()
    images.ensure()


@pytest.fixture(scope="session")
def server(machines: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving.running(tmp_path_factory.mktemp("cupel") / "state") as running:
        yield running


@pytest.fixture
def project(
    server: Server, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Project:
    """Makes projects of the shared server: `project(files, **policy)`."""
    directory = tmp_path_factory.mktemp("work")
    stem = re.sub(r"\W|_", "-", request.node.originalname.removeprefix("test_"))[:40]

    def make(files: dict[str, str], **policy: Any) -> Work:
        name = f"{stem.strip('-')}-{next(_numbers)}"
        return serving.project(server, directory, name, files, **policy)

    return make
