from __future__ import annotations

import html
import io
import re
import tarfile
from pathlib import Path

import pytest

from cupel.control.auth import Scope
from cupel.core.model import Build, BuildState, ChangeState, ItemState, Pipeline, Verdict
from cupel.host.messages import HostLoad
from cupel.web import front, site
from fakes import busy, rows
from fakes.rows import World
from fakes.served import Settings
from unit.web.visit import HTML, Visitor, visit

HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\"'><svg/onload=alert(1)>",
    "{{ 7777 * 3 }}{% raw %}",
    "\u202e\u2066evil\u2069 \u200b\x1b[31m\x07",
    "x" * 10_000,
    "🦄" * 300,
)


def paths(told: busy.Busy) -> list[str]:
    return [
        "/", "/queue", "/queue/cachetools", "/queue/nightjar", "/queue/cachetools/plan",
        "/queue/nightjar/plan", "/changes", "/changes?state=all",
        "/changes?state=landed&project=cachetools", "/machines", "/images", "/events", "/login",
        *(f"/changes/{number}" for number in range(1, 13)),
        *(f"/builds/{number}" for number in range(1, told.queued_build + 1)),
    ]  # fmt: skip


def test_every_page_of_a_busy_server(tmp_path: Path) -> None:
    told = busy.busy()

    async def act(visitor: Visitor) -> None:
        busy.write_logs(visitor.served.logs, told).close()
        for path in paths(told):
            page = await visitor.see(path)
            assert page.rstrip().endswith("</html>")
            assert '<html lang="en">' in page
            assert "undefined" not in page
            assert "None" not in page, path

    visit(told.world, tmp_path, act)


def test_an_empty_server_says_what_to_do(tmp_path: Path) -> None:
    async def act(visitor: Visitor) -> None:
        for path in ("/", "/queue"):
            assert "cupel project add" in await visitor.see(path)
        assert "No host is connected" in await visitor.see("/machines")

    visit(World(), tmp_path, act)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_shown_as_text(text: str, tmp_path: Path) -> None:
    world = World()
    project = world.project("p", head=rows.oid("head"))
    change = world.change(
        project, text, f"{text} <{text}>", state=ChangeState.OPEN, description=text
    )
    item = world.item(
        change, Pipeline.GATE, onto=rows.oid("head"), jobs=[rows.job(text)], detail=text
    )
    world.item(change, Pipeline.CHECK, state=ItemState.REJECTED, ended=1, detail=text)
    machine = world.machine(world.host(text, 2, detail=text), rows.MachineState.USED, detail=text)
    build = world.build(
        item, text, BuildState.FINISHED, Verdict.FAILURE, machine=machine, reason=text
    )
    world.artefact(build, text, 1)
    world.event("change.pushed", text, ago=1, change=change.id)

    async def act(visitor: Visitor) -> None:
        log = visitor.served.logs.writer(build.id)
        log.append(0, "out", world.now, text.encode() + b"\n")
        log.close()
        for path in (
            "/",
            "/queue/p",
            "/changes",
            "/changes/1",
            "/builds/1",
            "/machines",
            "/events",
        ):
            page = await visitor.see(path)
            for tag in ("<script>alert", "<img", "<svg/", "\x1b", "\x07", "\u202e", "23331"):
                assert tag not in page, (path, tag)
            assert len(page) < 120_000, path
        if text.startswith("<script>"):
            assert html.escape(text) in await visitor.see("/queue/p")

    visit(world, tmp_path, act)


def test_a_reused_build_leads_to_the_one_that_ran(tmp_path: Path) -> None:
    told = busy.busy()
    world = told.world
    origin = world.rows_of(Build)[told.failed_build]
    reused = world.build(
        world.rows_of(rows.Item)[origin.item_id],
        origin.job,
        BuildState.FINISHED,
        Verdict.SUCCESS,
        ran=None,
    )
    world.put(rows.dataclasses.replace(reused, reused_from=origin.id, key="f" * 64))

    async def act(visitor: Visitor) -> str:
        return await visitor.see(f"/builds/{reused.id}")

    page = visit(world, tmp_path, act)
    assert f'Reused from <a href="/builds/{origin.id}">' in page
    assert "That saved" in page
    assert f'It was not run. <a href="/builds/{origin.id}#log">' in page
    assert "none was needed" in page


def test_a_failing_item_stands_off_the_lane(tmp_path: Path) -> None:
    told = busy.busy()

    async def act(visitor: Visitor) -> str:
        return await visitor.see("/queue/cachetools")

    page = visit(told.world, tmp_path, act)
    entries = page.split('<li class="base">')[1].split("</ol>")[0].split('<li id="item-')[1:]
    off = ['class="off"' in entry.partition(">")[0] for entry in entries]
    assert off == [False, False, True, False, False, False]
    assert "believed when #5 ahead is done" in page


def test_buttons_are_for_those_who_may(tmp_path: Path) -> None:
    told = busy.busy()

    async def act(visitor: Visitor) -> None:
        assert "Dequeue" not in await visitor.see("/queue/cachetools")
        await visitor.log_in(Scope.READ)
        assert "Dequeue" not in await visitor.see("/queue/cachetools")
        await visitor.log_in(Scope.WRITE)
        assert "Dequeue change 6" in await visitor.see("/queue/cachetools")

    visit(told.world, tmp_path, act)


def test_a_button_asks_for_what_it_says(tmp_path: Path) -> None:
    told = busy.busy()

    async def act(visitor: Visitor) -> None:
        csrf = await visitor.log_in()
        for action in ("approve", "withdraw", "land", "dequeue", "abandon"):
            answer = await visitor.client.post(f"/changes/6/{action}", data={"csrf": csrf})
            assert (answer.status_code, answer.headers["location"]) == (303, "/changes/6")
            assert visitor.served.commands.asked[-1] == (action, 6, "ada")
        for action, everything in (("retry", False), ("retry-all", True)):
            await visitor.client.post(f"/changes/6/{action}", data={"csrf": csrf})
            assert visitor.served.commands.asked[-1] == ("retry_change", 6, "ada", everything)

    visit(told.world, tmp_path, act)


@pytest.mark.parametrize("form", [{}, {"csrf": "guessed"}])
def test_a_form_of_another_site_changes_nothing(form: dict[str, str], tmp_path: Path) -> None:
    told = busy.busy()

    async def act(visitor: Visitor) -> None:
        await visitor.log_in()
        for path in ("/changes/6/approve", "/changes/6/retry", "/builds/1/retry", "/logout"):
            answer = await visitor.client.post(path, data=form)
            assert answer.status_code == 403
        assert visitor.served.commands.asked == []

    visit(told.world, tmp_path, act)


@pytest.mark.parametrize("scopes", [None, [Scope.READ]])
def test_nobody_acts_without_leave(scopes: list[Scope] | None, tmp_path: Path) -> None:
    told = busy.busy()

    async def act(visitor: Visitor) -> None:
        csrf = await visitor.log_in(*scopes) if scopes else ""
        answer = await visitor.client.post("/changes/6/approve", data={"csrf": csrf})
        assert answer.status_code == (403 if scopes else 401)
        assert visitor.served.commands.asked == []

    visit(told.world, tmp_path, act)


def test_a_closed_server_shows_nothing_to_strangers(tmp_path: Path) -> None:
    told = busy.busy()

    async def act(visitor: Visitor) -> None:
        for path in (*paths(told)[:-1], "/events/stream", "/builds/1/tail"):
            if path != "/login":
                answer = await visitor.client.get(path, headers=HTML)
                assert answer.status_code == 401, path
                assert "cachetools" not in answer.text
        await visitor.log_in(Scope.READ)
        assert "cachetools" in await visitor.see("/")

    visit(told.world, tmp_path, act, config=Settings(read="login"))


def test_logging_in_and_out(tmp_path: Path) -> None:
    async def act(visitor: Visitor) -> None:
        link = await visitor.served.auth.login_link("ada", scopes=[Scope.WRITE])
        answer = await visitor.client.get(f"/login?token={link}")
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        page = await visitor.see("/")
        assert "Log out" in page
        csrf = page.split('name="csrf" value="')[1].split('"')[0]
        await visitor.client.post("/logout", data={"csrf": csrf})
        assert "Log in" in await visitor.see("/")
        assert "has been used or has expired" in await visitor.see(f"/login?token={link}", 401)

    visit(World(), tmp_path, act)


@pytest.mark.parametrize("path", ["/nope", "/changes/999", "/builds/999", "/builds/x", "/queue/no"])
def test_what_is_not_there_says_so_in_the_same_look(path: str, tmp_path: Path) -> None:
    async def act(visitor: Visitor) -> str:
        return await visitor.see(path, 404)

    page = visit(World(), tmp_path, act)
    assert "There is no such page" in page
    assert "cupel.css" in page


def test_our_own_mistake_is_a_page_that_tells_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*args: object, **named: object) -> None:
        raise RuntimeError("the secret inside")

    async def act(visitor: Visitor) -> str:
        return await visitor.see("/queue", 500)

    monkeypatch.setattr(front.views, "queue_views", fail)
    page = visit(World(), tmp_path, act)
    assert "Cupel made a mistake" in page
    assert "secret" not in page


def test_programs_get_problems_as_data(tmp_path: Path) -> None:
    async def act(visitor: Visitor) -> None:
        answer = await visitor.client.get("/api/nope", headers=HTML)
        assert answer.headers["content-type"] == "application/problem+json"
        answer = await visitor.client.get("/nope", headers={"Accept": "*/*"})
        assert answer.headers["content-type"] == "application/problem+json"

    visit(World(), tmp_path, act)


def test_a_refresh_sends_only_what_differs(tmp_path: Path) -> None:
    told = busy.busy()

    async def act(visitor: Visitor) -> None:
        asks = {"HX-Request": "true"}
        first = await visitor.client.get("/queue/cachetools", headers=asks)
        assert "<html" not in first.text
        assert "Evict the least recently used" in first.text
        asks[site.HAVE] = first.headers[site.HAVE]
        told.world.now += 30
        assert (await visitor.client.get("/queue/cachetools", headers=asks)).status_code == 204
        async with visitor.served.store.write() as tx:
            change = await tx.get(rows.Change, 6)
            assert change is not None
            await tx.put([rows.dataclasses.replace(change, title="Another title")])
        again = await visitor.client.get("/queue/cachetools", headers=asks)
        assert again.status_code == 200
        assert "Another title" in again.text

    visit(told.world, tmp_path, act)


def test_artefacts_are_linked_to_where_they_are_served(tmp_path: Path) -> None:
    told = busy.busy()
    world = told.world
    content = b"<script>alert(1)</script>"
    path = "html/\u00e4 #?index.html"
    build = world.rows_of(Build)[told.failed_build]
    world.artefact(build, path, len(content))
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        member = tarfile.TarInfo(path)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))

    async def act(visitor: Visitor) -> None:
        receiver = visitor.served.artefacts.receiver(build.id, 1 << 20)
        receiver.feed(tar.getvalue())
        receiver.finish()
        page = await visitor.see(f"/builds/{build.id}")
        (address,) = re.findall(r'href="(/builds/\d+/artefacts/html/[^"]*)"', page)
        shown = await visitor.see(address)
        assert content.decode() not in shown
        assert "A page is not shown here" in shown
        (address, *_) = re.findall(r'href="(/api/builds/\d+/artefacts/html/[^"]*)"', shown)
        answer = await visitor.client.get(address)
        assert answer.content == content
        assert answer.headers["content-disposition"].startswith("attachment;")

    visit(world, tmp_path, act)


def test_static_files_are_kept_for_ever_under_their_digest(tmp_path: Path) -> None:
    async def act(visitor: Visitor) -> None:
        page = await visitor.see("/")
        address = page.split('rel="stylesheet" href="')[1].split('"')[0]
        answer = await visitor.client.get(address)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
        for other in ("cupel.css", f"{'0' * 16}/cupel.css"):
            answer = await visitor.client.get(f"/static/{other}")
            assert answer.status_code == 200
            assert answer.headers["cache-control"] == "no-cache"

    visit(World(), tmp_path, act)


def shared() -> World:
    """Two projects of one queue: a change of each, the first needing the second."""
    world = World()
    both = world.queue("platform", closed="no <b>power</b>", closed_by="eve", window=5)
    first = world.project("first", head=rows.oid("head"), queue=both)
    second = world.project("second", head=None, queue=both)
    needed = world.change(second, "A needed change")
    needing = world.change(first, "A needing change", depends_on=[needed])
    world.item(needed, Pipeline.GATE)
    world.item(needing, Pipeline.GATE, onto=rows.oid("head"))
    world.change(first, "One kept out", depends_on=[world.change(second, "Slow", approved=False)])
    return world


def test_a_shared_queue_is_one_page(tmp_path: Path) -> None:
    async def act(visitor: Visitor) -> None:
        for name in ("platform", "first", "second"):
            page = await visitor.see(f"/queue/{name}")
            assert page.index("A needed change") < page.index("A needing change")
            assert "shared by first, second" in page
            assert "<dt>changes under way at a time</dt><dd>5</dd>" in page
            assert "The window is 5 at a time" in page
            assert "No &lt;b&gt;power&lt;/b&gt;" in page
            assert "Closed by <bdi>eve</bdi>" in page
            assert "Needs #3, which lacks approval" in page
        assert "closed" in await visitor.see("/")

    visit(shared(), tmp_path, act)


def doubtful() -> World:
    """A queue of two: the tests of the first have failed and are run again, its docs flaked."""
    world = World()
    project = world.project("p", head=rows.oid("head"))
    host = world.host("forge", 4)
    jobs = [rows.job("tests"), rows.job("docs")]
    first = world.change(project, "A doubtful <b>change</b>")
    one = world.item(first, Pipeline.GATE, onto=rows.oid("head"), jobs=jobs)
    for name, again in (("tests", BuildState.QUEUED), ("docs", BuildState.FINISHED)):
        world.build(one, name, BuildState.FINISHED, Verdict.FAILURE, ended=60)
        passed = Verdict.SUCCESS if again is BuildState.FINISHED else None
        world.build(one, name, again, passed, attempt=2)
    second = world.change(project, "A change behind it")
    world.item(second, Pipeline.GATE, onto=world.head_of(one), jobs=jobs)
    assert host.slots == 4
    return world


def test_the_plan_says_what_is_believed_and_wanted(tmp_path: Path) -> None:
    async def act(visitor: Visitor) -> None:
        assert 'href="/queue/p/plan?branch=main"' in await visitor.see("/queue/p")
        page = await visitor.see("/queue/p/plan?branch=main")
        assert "A doubtful &lt;b&gt;change&lt;/b&gt;" in page
        assert "failed once with" in page
        assert "nobody's fault" in page
        assert "set aside" in page
        assert "to see whether its failure comes back" in page
        assert "Is the branch itself broken?" in page
        assert "Nothing waits to land" not in page

    visit(doubtful(), tmp_path, act)


def test_doubt_and_flakes_are_shown_beside_the_job(tmp_path: Path) -> None:
    async def act(visitor: Visitor) -> None:
        page = await visitor.see("/queue/p")
        assert "failed once, is run again" in page
        assert "a flake: it had failed on the same before" in page
        assert "a flake: it had failed on the same before" in await visitor.see("/changes/1")

    visit(doubtful(), tmp_path, act)


def test_a_change_shows_its_needs_across_projects(tmp_path: Path) -> None:
    async def act(visitor: Visitor) -> None:
        page = await visitor.see("/changes/2")
        assert 'href="/queue/second?branch=main"' in page
        assert "A needed change" in page
        assert "A needing change" in await visitor.see("/changes/1")
        assert "#3</a>, which lacks approval" in await visitor.see("/changes/4")

    visit(shared(), tmp_path, act)


def test_ruling_is_for_administrators(tmp_path: Path) -> None:
    async def act(visitor: Visitor) -> None:
        asks = {
            "/changes/2/promote": ("promote", [2], "ada"),
            "/changes/2/urgent": ("set_urgent", 2, "ada", True),
            "/changes/2/not-urgent": ("set_urgent", 2, "ada", False),
            "/queue/platform/close": ("close_queue", "platform", "ada", "no power"),
            "/queue/platform/open": ("open_queue", "platform", "ada"),
        }
        csrf = await visitor.log_in(Scope.WRITE)
        page = await visitor.see("/queue/platform")
        assert "Promote" not in page
        assert "Open the tree" not in page
        for path in asks:
            answer = await visitor.client.post(path, data={"csrf": csrf})
            assert answer.status_code == 403
        assert visitor.served.commands.asked == []
        csrf = await visitor.log_in(Scope.ADMIN)
        page = await visitor.see("/queue/platform")
        assert "Promote change 2" in page
        assert "Open the tree" in page
        for path, asked in asks.items():
            refused = await visitor.client.post(path, data={"reason": "no power"})
            assert refused.status_code == 403
            answer = await visitor.client.post(path, data={"csrf": csrf, "reason": "no power"})
            assert answer.status_code == 303
            assert visitor.served.commands.asked[-1] == asked

    visit(shared(), tmp_path, act)


def test_hosts_and_machines_are_ruled_by_administrators(tmp_path: Path) -> None:
    world = World()
    host = world.host("north.1", 2)
    machine = world.machine(host, rows.MachineState.READY)
    gone = world.machine(host, rows.MachineState.GONE)
    asks = {
        "/hosts/north.1/drain": ("drain_host", "north.1", "ada", True),
        "/hosts/north.1/undrain": ("drain_host", "north.1", "ada", False),
        "/hosts/north.1/release": ("release_host", "north.1", "ada"),
        "/hosts/north.1/forget": ("forget_host", "north.1", "ada"),
        f"/machines/{machine.id}/delete": ("delete_machine", machine.id, "ada"),
    }

    async def act(visitor: Visitor) -> None:
        await visitor.see(f"/machines/{machine.id}/delete", 401)
        csrf = await visitor.log_in(Scope.WRITE)
        page = await visitor.see("/machines")
        assert "Drain" not in page
        assert "Delete" not in page
        await visitor.see(f"/machines/{machine.id}/delete", 403)
        for path in asks:
            answer = await visitor.client.post(path, data={"csrf": csrf})
            assert answer.status_code == 403
        assert visitor.served.commands.asked == []
        csrf = await visitor.log_in(Scope.ADMIN)
        page = await visitor.see("/machines")
        assert 'action="/hosts/north.1/drain"' in page
        assert f'href="/machines/{machine.id}/delete"' in page
        assert "No build has it" in await visitor.see(f"/machines/{machine.id}/delete")
        await visitor.see("/machines/999/delete", 404)
        assert "Delete it" not in await visitor.see(f"/machines/{gone.id}/delete")
        for path, asked in asks.items():
            refused = await visitor.client.post(path, data={"csrf": "guessed"})
            assert refused.status_code == 403
            answer = await visitor.client.post(path, data={"csrf": csrf})
            stays = path.endswith(("drain", "release"))
            there = "/hosts/north.1" if stays else "/machines"
            assert (answer.status_code, answer.headers["location"]) == (303, there)
            assert visitor.served.commands.asked[-1] == asked

    visit(world, tmp_path, act)


def test_how_busy_a_host_is(tmp_path: Path) -> None:
    world = World()
    world.host("north", 2)
    load = HostLoad(
        cores=4, runnable=1.5, memory=8 << 30, available=6 << 30, disk=100 << 30,
        disk_free=25 << 30, waits_cpu=12.4, waits_memory=None, waits_io=0.0,
    )  # fmt: skip

    async def act(visitor: Visitor) -> None:
        await visitor.log_in()  # what everybody is shown may be some seconds old
        assert "for 4 cores" not in await visitor.see("/machines")
        visitor.served.loads["north"] = load
        page = " ".join((await visitor.see("/machines")).split())
        assert "Processes: <b>1.5</b> for 4 cores" in page
        assert "2 GiB of 8 GiB of memory" in page
        assert "75 GiB of 100 GiB of disk" in page
        assert "Waited for cpu <b>12 %</b>, memory <b>?</b>, disk <b>0 %</b>" in page
        answer = await visitor.client.get("/api/hosts/north")
        assert answer.json()["load"]["waits_cpu"] == 12.4

    visit(world, tmp_path, act)


def test_an_open_tree_can_be_closed_by_those_who_may(tmp_path: Path) -> None:
    told = busy.busy()

    async def act(visitor: Visitor) -> None:
        assert "Close the tree" not in await visitor.see("/queue/cachetools")
        await visitor.log_in(Scope.ADMIN)
        page = await visitor.see("/queue/cachetools")
        assert 'href="/queue/cachetools/close"' in page
        page = await visitor.see("/queue/cachetools/close")
        assert 'action="/queue/cachetools/close"' in page
        assert "6 are in the gate" in page

    visit(told.world, tmp_path, act)
