"""Machines that stand ready, on a server that keeps some."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e import server as serving
from e2e.server import Server, wait_for

pytestmark = pytest.mark.e2e


@pytest.fixture
def pooled(machines: None, tmp_path: Path) -> Iterator[Server]:
    with serving.running(tmp_path / "state", serving.config(ready=1)) as running:
        yield running


def ready(server: Server) -> list[int]:
    found: list[dict[str, Any]] = server.get("/api/machines")["entries"]
    return [each["id"] for each in found if each["state"] == "ready"]


def test_a_build_takes_the_machine_that_stands_ready_and_another_takes_its_place(
    pooled: Server, tmp_path: Path
) -> None:
    [waiting] = wait_for(lambda: ready(pooled), why="a ready machine")
    work = serving.project(pooled, tmp_path / "work", "p", serving.jobs(tests="hostname"))
    number = work.propose("Land me", {"x": "x"}, "land", "wait")
    [build] = pooled.builds(number)
    assert pooled.change(number)["state"] == "landed"
    assert pooled.get(f"/api/machines/{waiting}")["build"] == build["id"]
    [after] = wait_for(lambda: ready(pooled), why="the next ready machine")
    assert after != waiting
    [pool] = [each for each in pooled.get("/api/pools") if each["label"] == "small"]
    assert pool["counts"]["ready"] == 1
    assert pool["waits_hour"]["p50"] < 5.0
