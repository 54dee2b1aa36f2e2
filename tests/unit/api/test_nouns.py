from dataclasses import replace
from pathlib import Path

import pytest

from cupel.control import views
from cupel.control.auth import Scope
from cupel.core.model import Policy
from unit.api.calls import Server, call, get
from unit.control_views import world


def test_status(tmp_path: Path) -> None:
    status = views.StatusView.model_validate_json(get(tmp_path, "/api/status").content)
    assert status.counts.queue_length == 3
    assert status.counts.changes_open == 4
    assert [project.git_url for project in status.projects] == ["http://127.0.0.1:8470/demo.git"]


def test_projects(tmp_path: Path) -> None:
    listed = get(tmp_path, "/api/projects").json()
    assert listed == [get(tmp_path, "/api/projects/demo").json()]
    assert listed[0]["branches"][0] == {"name": "main", "head": world.HEAD}


def test_evidence_that_there_is_not(tmp_path: Path) -> None:
    assert get(tmp_path, f"/api/evidence/{'0' * 64}").status_code == 404
    assert get(tmp_path, "/api/evidence/0").status_code == 422


def test_queues(tmp_path: Path) -> None:
    queue = views.QueueView.model_validate_json(get(tmp_path, "/api/queues/demo").content)
    assert [item.change for item in queue.gate] == [21, 22, 23]
    assert get(tmp_path, "/api/queues?project=demo").json()[0] == queue.model_dump(mode="json")
    assert get(tmp_path, "/api/queues/demo?branch=stable").json()["gate"] == []


def test_changes_are_listed_by_page_and_by_what_they_are(tmp_path: Path) -> None:
    page = get(tmp_path, "/api/changes?limit=2").json()
    assert ([entry["id"] for entry in page["entries"]], page["next"]) == ([23, 22], 22)
    rest = get(tmp_path, "/api/changes?limit=10&before=22").json()
    assert ([entry["id"] for entry in rest["entries"]], rest["next"]) == ([21, 20, 19], None)
    landed = get(tmp_path, "/api/changes?state=landed&project=demo&author=ada").json()
    assert [entry["id"] for entry in landed["entries"]] == [20]
    assert get(tmp_path, "/api/changes?author=Ada <ada@example.com>").json()["entries"]
    assert get(tmp_path, "/api/changes?author=eve").json()["entries"] == []


def test_a_change_has_all_that_was_tried_for_it(tmp_path: Path) -> None:
    change = views.ChangeView.model_validate_json(get(tmp_path, "/api/changes/22").content)
    assert [row.id for row in change.needed_by] == [23]
    assert (change.approvals_given, change.approvals_needed) == (1, 1)
    assert change.waiting == "0 of 2 jobs done"
    tried = change.items[0].buildsets
    assert [(row.id, row.current) for row in tried] == [(222, False), (122, True)]
    assert [build.id for build in tried[1].builds] == [222, 223, 224]


def test_a_stacked_change_says_what_it_needs_and_what_is_ahead(tmp_path: Path) -> None:
    change = views.ChangeView.model_validate_json(get(tmp_path, "/api/changes/23").content)
    assert [row.id for row in change.needs] == [22]
    assert change.items[0].item.proof is not None
    assert change.items[0].item.proof.ahead == [21, 22]


@pytest.mark.parametrize(
    ("fields", "waiting"),
    [
        ({"patch_set": 2}, "has 0 of 1 approval"),
        ({"wants_land": False}, "approved; enters the gate when somebody asks to land it"),
        ({}, "about to enter the gate"),
    ],
)
def test_an_open_change_outside_the_gate_says_what_it_waits_for(
    tmp_path: Path, fields: dict[str, object], waiting: str
) -> None:
    async def ask(server: Server) -> str:
        await server.world.put(world.change(19, **fields), world.patch_set(2, 19))
        return (await server.client.get("/api/changes/19")).json()["waiting"]

    assert call(tmp_path, ask) == waiting


def test_a_change_on_an_outdated_patch_set_is_told_to_rebase(tmp_path: Path) -> None:
    async def ask(server: Server) -> str:
        outdated = replace(world.patch_set(2, 19, needs=22), parent="withdrawn")
        await server.world.put(world.change(19, patch_set=2), outdated)
        return (await server.client.get("/api/changes/19")).json()["waiting"]

    assert call(tmp_path, ask).startswith("built on an outdated patch set of #22: rebase")


def test_a_rejected_change_says_why(tmp_path: Path) -> None:
    assert get(tmp_path, "/api/changes/19").json()["text"] == "lint failure"
    assert get(tmp_path, "/api/changes/20").json()["text"] is None


def test_builds(tmp_path: Path) -> None:
    listed = get(tmp_path, "/api/builds?state=running").json()["entries"]
    assert [build["id"] for build in listed] == [223]
    build = views.BuildView.model_validate_json(get(tmp_path, "/api/builds/223").content)
    assert [(step.name, step.state) for step in build.steps] == [
        ("install", "success"),
        ("pytest", "running"),
    ]
    assert build.on is not None
    assert (build.on.host, build.waited, build.seconds) == ("here", 900.0, 100.0)
    assert [attempt.id for attempt in build.attempts] == [222, 223]
    assert build.steps[0].usage.memory_peak == 1 << 20


def test_machines_and_hosts(tmp_path: Path) -> None:
    machines = get(tmp_path, "/api/machines").json()["entries"]
    assert [(row["id"], row["change"], row["boot_seconds"]) for row in machines] == [
        (1223, 22, 9.5)
    ]
    everything = get(tmp_path, "/api/machines?gone=true").json()["entries"]
    assert [row["id"] for row in everything] == [1223, 1211]
    assert get(tmp_path, "/api/machines/1211").json()["seconds"] == 71.0
    host = get(tmp_path, "/api/hosts/here").json()
    assert (host["used"], host["slots"]) == (1, 4)
    assert get(tmp_path, "/api/hosts").json() == [host]


def test_pools(tmp_path: Path) -> None:
    [pool] = get(tmp_path, "/api/pools").json()
    assert pool == get(tmp_path, "/api/pools/debian-12").json()
    assert (pool["ready"], pool["ceiling"], pool["image"]) == (2, 8, "sha256:abc")
    assert pool["counts"]["used"] == 1
    assert pool["target"] == 2 + pool["queued"]
    assert pool["why"].startswith("2 kept ready")
    assert pool["why"].endswith("(at most 8 in all)")
    assert pool["waits_day"]["count"] >= 1
    assert pool["waits_day"]["p50"] <= pool["waits_day"]["p99"]
    assert pool["next"]
    assert get(tmp_path, "/api/pools/removed").status_code == 404


def test_labels(tmp_path: Path) -> None:
    offline, online = get(tmp_path, "/api/labels").json()
    assert (offline["label"], offline["network"], offline["suite"]) == (
        "debian-12", "none", "bookworm",
    )  # fmt: skip
    assert (online["label"], online["network"], online["is_system"]) == (
        "debian-12-net",
        "full",
        False,
    )
    assert "git" in online["packages"]


@pytest.mark.parametrize(
    "path",
    [
        "/api/projects/none",
        "/api/queues/none",
        "/api/changes/999",
        "/api/builds/999",
        "/api/builds/999/log",
        "/api/machines/999",
        "/api/hosts/none",
        "/api/none",
    ],
)
def test_what_is_not_there_is_not_found(tmp_path: Path, path: str) -> None:
    answer = get(tmp_path, path)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


def test_a_project_is_added_by_an_administrator(tmp_path: Path) -> None:
    async def ask(server: Server) -> None:
        body = {"name": "new", "branch": "trunk", "policy": {"approvals": 2}}
        refused = await server.client.post(
            "/api/projects", json=body, headers=await server.bearer(Scope.WRITE)
        )
        assert refused.status_code == 403
        made = await server.client.post(
            "/api/projects", json=body, headers=await server.bearer(Scope.ADMIN)
        )
        assert (made.status_code, made.json()["policy"]["approvals"]) == (201, 2)
        assert server.world.commands.asked == [
            ("add_project", "new", None, "trunk", Policy(approvals=2), None, "ada")
        ]

    call(tmp_path, ask)


@pytest.mark.parametrize("action", ["approve", "withdraw", "land", "dequeue", "abandon"])
def test_people_decide_about_changes(tmp_path: Path, action: str) -> None:
    async def ask(server: Server) -> None:
        nobody = await server.client.post(f"/api/changes/22/{action}")
        reading = await server.client.post(
            f"/api/changes/22/{action}", headers=await server.bearer(Scope.READ)
        )
        assert (nobody.status_code, reading.status_code) == (401, 403)
        assert server.world.commands.asked == []
        done = await server.client.post(
            f"/api/changes/22/{action}", headers=await server.bearer(Scope.WRITE, user="bob")
        )
        assert (done.status_code, done.json()["id"]) == (200, 22)
        assert server.world.commands.asked[0][:3] == (action, 22, "bob")

    call(tmp_path, ask)


def test_an_approval_can_name_its_patch_set(tmp_path: Path) -> None:
    async def ask(server: Server) -> None:
        headers = await server.bearer(Scope.WRITE)
        await server.client.post("/api/changes/22/approve", json={"patch_set": 1}, headers=headers)
        assert server.world.commands.asked == [("approve", 22, "ada", 1)]
        wrong = await server.client.post(
            "/api/changes/22/approve", json={"patchset": 1}, headers=headers
        )
        assert wrong.status_code == 422

    call(tmp_path, ask)


RULING = [
    ("PATCH", "/api/projects/demo", {"policy": {"merge": "squash"}, "queue": "demo"}),
    ("PATCH", "/api/rules/demo", {"window": None, "landing": "set"}),
    ("POST", "/api/rules/demo/close", {"reason": "no power"}),
    ("POST", "/api/rules/demo/open", None),
    ("POST", "/api/changes/promote", {"changes": [23, 22]}),
    ("POST", "/api/changes/22/urgent", {"urgent": False}),
    ("DELETE", "/api/machines/1223", None),
    ("POST", "/api/hosts/here/drain", None),
    ("POST", "/api/hosts/here/undrain", None),
    ("POST", "/api/hosts/here/release", None),
    ("DELETE", "/api/hosts/here", None),
]


def test_what_is_at_the_cost_of_others_is_for_administrators(tmp_path: Path) -> None:
    async def ask(server: Server) -> None:
        writer = await server.bearer(Scope.WRITE)
        admin = await server.bearer(Scope.ADMIN)
        for method, path, body in RULING:
            refused = await server.client.request(method, path, json=body, headers=writer)
            assert refused.status_code == 403, path
        assert server.world.commands.asked == []
        for method, path, body in RULING:
            done = await server.client.request(method, path, json=body, headers=admin)
            assert done.status_code in (200, 204), done.text
        assert server.world.commands.asked == [
            ("set_project", "demo", {"merge": "squash"}, "demo", "ada"),
            ("set_queue", "demo", {"window": None, "landing": "set"}, "ada"),
            ("close_queue", "demo", "no power", "ada"),
            ("open_queue", "demo", "ada"),
            ("promote", (23, 22), "ada"),
            ("set_urgent", 22, "ada", False),
            ("delete_machine", 1223, "ada"),
            ("drain_host", "here", True, "ada"),
            ("drain_host", "here", False, "ada"),
            ("release_host", "here", "ada"),
            ("forget_host", "here", "ada"),
        ]

    call(tmp_path, ask)


def test_rules_are_read_by_the_name_of_a_queue_or_a_project(tmp_path: Path) -> None:
    (rules,) = get(tmp_path, "/api/rules").json()
    assert rules == get(tmp_path, "/api/rules/demo").json()
    assert (rules["landing"], rules["window"], rules["projects"]) == ("strict", None, ["demo"])
    assert get(tmp_path, "/api/rules/none").status_code == 404


@pytest.mark.parametrize(
    "body", [{"window": 0}, {"landing": "soon"}, {"widnow": 3}, {"window_floor": None}]
)
def test_rules_that_cannot_be_are_refused(tmp_path: Path, body: dict[str, object]) -> None:
    async def ask(server: Server) -> int:
        admin = await server.bearer(Scope.ADMIN)
        answer = await server.client.patch("/api/rules/demo", json=body, headers=admin)
        return answer.status_code

    assert call(tmp_path, ask) == 422


def test_a_change_has_its_needs_across_projects_and_what_keeps_it_out(tmp_path: Path) -> None:
    async def ask(server: Server) -> None:
        other = world.project(2, "other", queue_id=2)
        version = replace(world.patch_set(2, 19), depends_on=(31, 22))
        await server.world.put(
            world.queue(2, "other"),
            other,
            world.change(31, project_id=2, wants_land=False),
            world.patch_set(1, 31),
            world.change(19, patch_set=2),
            version,
        )
        change = (await server.client.get("/api/changes/19")).json()
        assert [(row["id"], row["project"]) for row in change["needs"]] == [
            (31, "other"),
            (22, "demo"),
        ]
        why = "needs #31, which has to land first, as it goes through another queue (queue other)"
        assert change["kept_out"] == [why]
        assert change["patch_sets"][0]["depends_on"] == [31, 22]
        needed = (await server.client.get("/api/changes/31")).json()
        assert [row["id"] for row in needed["needed_by"]] == [19]
        queue = (await server.client.get("/api/queues/demo")).json()
        assert [(row["change"]["id"], row["text"]) for row in queue["kept_out"]] == [(19, why)]

    call(tmp_path, ask)


def test_what_a_landed_change_needed_is_still_shown(tmp_path: Path) -> None:
    async def ask(server: Server) -> list[int]:
        await server.world.put(replace(world.patch_set(1, 20, needs=19), depends_on=(21,)))
        return [row["id"] for row in (await server.client.get("/api/changes/20")).json()["needs"]]

    assert call(tmp_path, ask) == [19, 21]
