"""A job with several machines on a whole server: the how-to's own example."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e import server as serving
from e2e.server import Server

pytestmark = pytest.mark.e2e

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to" / "test-a-cluster-in-one-job.md"


@pytest.fixture(scope="module")
def server(machines: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = serving.config(slots=4)
    with serving.running(tmp_path_factory.mktemp("together") / "state", settings) as running:
        yield running


def example() -> str:
    found = re.search(r"```yaml\n(.*?)```", HOW_TO.read_text(), re.DOTALL)
    assert found is not None
    return found[1].replace("debian-12", "small")


def test_the_example_of_the_how_to_passes_and_lands(server: Server, tmp_path: Path) -> None:
    work = serving.project(server, tmp_path, "cluster", {".cupel.yaml": example()})
    change = work.propose("a change", {"file": "text"}, "land")
    server.ended(change)
    assert server.change(change)["state"] == "landed", server.output()
    build = next(b for b in server.builds(change) if b["job"] == "cluster")
    log = server.log(build["id"])
    assert "http://web:8000/: " in log
    slow = re.search(r"http://server:9000/: (\d+) ms", log)
    assert slow is not None
    assert int(slow[1]) >= 80  # two round trips of 40 ms
    said = server.cli("logs", str(build["id"])).stdout
    assert "client | http://server:9000/: " in said
    only = server.cli("logs", "--machine", "web", str(build["id"])).stdout
    assert "GET / HTTP" in only
    assert {line.partition(" | ")[0] for line in only.splitlines()} == {"web"}
    none = server.cli("logs", "--machine", "wbe", str(build["id"]))
    assert "machines: server, client, web" in none.stderr
    artefacts = server.get(f"/api/builds/{build['id']}/artefacts")
    assert [each["path"] for each in artefacts] == ["server.log"]


def test_what_can_never_run_says_so(server: Server, tmp_path: Path) -> None:
    names = ", ".join(f"m{number}: small" for number in range(5))
    many = f"jobs: {{many: {{machines: {{{names}}}, steps: [x]}}}}\ncheck: [many]\n"
    work = serving.project(server, tmp_path, "many", {".cupel.yaml": many})
    change = work.propose("a change", {"file": "text"}, "land")
    build = serving.wait_for(lambda: server.builds(change), why="the build")[0]["id"]
    said = server.cli("build", "show", str(build)).stdout
    assert "it needs 5 machines on one host that makes all of them" in said
    server.post(f"/api/changes/{change}/abandon")


PAIR = """\
jobs:
  pair:
    machines: {one: small, two: small, three: small}
    steps:
      - {run: "hostname -I; sleep 1; echo went on", on: two}
check: [pair]
"""


def test_changes_whose_builds_need_most_slots_land_although_the_server_is_killed(
    server: Server, tmp_path: Path
) -> None:
    """Two such builds never fit at once; neither holds what the other waits for."""
    work = serving.project(server, tmp_path, "pairs", {".cupel.yaml": PAIR})
    changes = []
    for name in ("a", "b"):
        changes.append(work.propose(name, {name: name}, "land"))
        work.start_over()
    server.running(changes[0])
    server.kill()
    server.start()
    for change in changes:
        server.ended(change)
        assert server.change(change)["state"] == "landed", server.output()
    server.cleared()
