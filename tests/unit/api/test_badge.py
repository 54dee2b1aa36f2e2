import asyncio
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from cupel.api import badge
from cupel.core.model import Branch, ItemState, Pipeline, Queue
from unit.api.calls import Server, call, get
from unit.control_views import world


def state(directory: Path, *rows: object) -> str:
    """The first line of the status of main, after these rows are put."""

    async def ask(server: Server) -> str:
        await server.world.put(*rows)
        answer = await server.client.get("/status/demo/main")
        assert answer.status_code == 200
        return answer.text.splitlines()[0]

    return call(directory, ask)


AFTER = world.item(
    50, 20, pipeline=Pipeline.POST, commit=world.HEAD, buildset_id=None, finished_at=9_999.0
)


def test_a_branch_that_stands_at_what_was_proved_passes(tmp_path: Path) -> None:
    assert state(tmp_path) == "state: passing"


def test_a_job_that_fails_after_the_landing_shows(tmp_path: Path) -> None:
    assert state(tmp_path, replace(AFTER, state=ItemState.REJECTED)) == "state: failing"


def test_a_job_after_an_earlier_landing_does_not(tmp_path: Path) -> None:
    row = replace(AFTER, state=ItemState.REJECTED, commit=world.sha(1))
    assert state(tmp_path, row) == "state: passing"


def test_a_branch_that_was_moved_around_the_gate_is_unproved(tmp_path: Path) -> None:
    moved = Branch(id=1, project_id=1, name="main", head=world.sha(77))
    assert state(tmp_path, moved) == "state: unproved"


def test_the_text_has_every_job_with_its_reason(tmp_path: Path) -> None:
    async def ask(server: Server) -> None:
        await server.world.put(
            Queue(id=1, name="demo", closed="rain\nand snow", created_at=1.0),
            world.buildset(120, 20, world.HEAD, commit=world.HEAD, jobs=(world.LINT,)),
        )
        lines = (await server.client.get("/status/demo/main")).text.splitlines()
        assert lines == [
            "state: passing",
            "project: demo",
            "branch: main",
            f"commit: {world.HEAD}",
            "change: 20",
            "landed: 1970-01-01T02:21:40Z",
            "queued: 3",
            "closed: rain and snow",
            "cupel/gate: success (landed)",
            "cupel/gate/lint: skipped (not run: landed)",
        ]

    call(tmp_path, ask)


def test_an_empty_branch_is_shown_as_empty(tmp_path: Path) -> None:
    shown = get(tmp_path, "/badge/demo/stable.json").json()
    assert shown == {
        "schemaVersion": 1, "label": "stable", "message": "empty", "color": "lightgrey",
    }  # fmt: skip


def test_projects_and_branches_may_have_slashes(tmp_path: Path) -> None:
    async def ask(server: Server) -> None:
        await server.world.put(
            world.project(2, "group/demo", branches=("release/1",)),
            Branch(id=9, project_id=2, name="release/1", head=None),
        )
        answer = await server.client.get("/badge/group/demo/release/1.json")
        assert answer.json()["label"] == "release/1"

    call(tmp_path, ask)


@pytest.mark.parametrize("path", ["demo/nothing", "nothing/main", "demo", "demo/", "/", "%00"])
@pytest.mark.parametrize("kind", ["/badge/{}.svg", "/badge/{}.json", "/status/{}"])
def test_what_is_not_there_is_told(tmp_path: Path, path: str, kind: str) -> None:
    assert get(tmp_path, kind.format(path)).status_code == 404


@pytest.mark.parametrize(
    "path", ["/badge/demo/main.svg", "/badge/demo/main.json", "/status/demo/main"]
)
def test_an_answer_that_is_known_is_not_sent_again(tmp_path: Path, path: str) -> None:
    first = get(tmp_path, path)
    tag = first.headers["etag"]
    again = get(tmp_path, path, **{"If-None-Match": f'"other", W/{tag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert get(tmp_path, path, **{"If-None-Match": '"other"'}).status_code == 200
    assert "max-age=15" in first.headers["cache-control"]


def test_a_picture_is_well_formed_and_says_it_in_words() -> None:
    drawn = badge.draw("<&\"'>", "passing", "#2b7a3d")
    root = ET.fromstring(drawn)
    assert root.attrib["aria-label"] == "<&\"'>: passing"
    assert [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")] == [
        "<&\"'>", "passing",
    ]  # fmt: skip


def test_a_picture_may_be_shown_by_other_sites(tmp_path: Path) -> None:
    answer = get(tmp_path, "/badge/demo/main.svg")
    assert answer.headers["content-type"] == "image/svg+xml"
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"


def test_reading_takes_a_login_where_it_always_does(tmp_path: Path) -> None:
    async def ask(server: Server) -> None:
        server.world.config.read = "login"
        assert (await server.client.get("/badge/demo/main.svg")).status_code == 401
        await asyncio.sleep(0)

    call(tmp_path, ask)
