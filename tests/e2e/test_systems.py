"""A job that boots a system of its own, on a whole server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e import server as serving
from e2e.server import Server
from integration import test_provider_vm_systems as systems

pytestmark = systems.pytestmark

BOOTS = """\
jobs:
  boots:
    machine: own
    steps:
      - boot: {{expect: "hello from *", fail: "disk error", exit: {number}}}
check: [boots]
"""
STARTS = "jobs:\n  starts:\n    machine: own\n    steps: [make]\ncheck: [starts]\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("systems")
    blob = systems.written(directory / "disk", systems.sector().ljust(1 << 20, b"\0"))
    image = {"disk": {"path": blob.path, "sha256": blob.sha256}}
    label = {"provider": "vm", "image": "own", "memory": "128M", "disk": "64M", "cpus": 1}
    settings = serving.config(
        images={"own": image}, labels={"own": {**label, "pool": {"ready": 0}}}
    )
    state = directory / "state"
    state.mkdir(mode=0o700)
    (state / "vm").symlink_to(systems.store())
    (state / "images").mkdir()
    with serving.running(state, settings) as running:
        yield running


def test_its_console_is_the_log_and_its_rule_the_verdict(server: Server, tmp_path: Path) -> None:
    work = serving.project(server, tmp_path, "own", {".cupel.yaml": BOOTS.format(number=16)})
    change = work.propose("passes", {"file": "text"}, "land")
    server.ended(change)
    assert server.change(change)["state"] == "landed", server.output()
    build = server.builds(change)[0]
    assert "hello from nobody's system" in server.log(build["id"])
    assert "needs/" in server.log(build["id"])
    page = server.request("GET", f"/builds/{build['id']}").text
    assert "hello from nobody" in page
    shown = server.cli("build", "show", str(build["id"])).stdout
    assert "boot" in shown
    assert "sha256:" in server.cli("image", "show", "own").stdout
    artefacts = server.get(f"/api/builds/{build['id']}/artefacts")
    assert [each["path"] for each in artefacts] == [".machine/console.log"]

    fails = work.propose("fails", {".cupel.yaml": BOOTS.format(number=17)}, "land")
    server.ended(fails)
    assert server.builds(fails)[0]["reason"] == "the system ended with 16"

    work.start_over()
    work.commit("starts something", {".cupel.yaml": STARTS})
    refused = work.push()
    assert not refused.ok
    assert ".cupel.yaml:4:13: nothing can be started on the label" in refused.text
