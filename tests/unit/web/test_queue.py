"""The queue page, as it comes from the server."""

from __future__ import annotations

import re
from pathlib import Path

from cupel.control.auth import Scope
from cupel.core.model import PatchSet, Pipeline
from fakes import busy, rows
from fakes.long_queue import long_queue
from fakes.rows import World
from unit.web.visit import Visitor, visit


def test_a_long_queue_is_there_with_all_of_its_changes(tmp_path: Path) -> None:
    async def act(visitor: Visitor) -> str:
        return await visitor.see("/queue/platform")

    page = visit(long_queue(60, machines=20), tmp_path, act)
    assert page.count(" in part ") == 60
    assert page.count(">failed<") == 2  # the change and its job


def see(world: World, directory: Path, path: str, status: int = 200) -> str:
    async def act(visitor: Visitor) -> str:
        return await visitor.see(path, status)

    return visit(world, directory, act)


def numbers(page: str) -> list[int]:
    """The changes in the gate that are shown, in their order."""
    gate = page.partition("<h2>Gate ")[2].partition("</section>")[0]
    return [
        int(each)
        for each in re.findall(r'<p class="line"><a class="num" href="/changes/(\d+)"', gate)
    ]


SHOWN = {
    "": [4, 5, 6, 7, 8, 9],
    "text=%236": [6],
    "text=LISKOV": [5],
    "text=nothing+like+it": [],
    "author=Ada+Lovelace": [4, 8],
    "state=failed": [6],
    "state=running&author=Grace+Hopper": [7],
    "job=lint": [4, 5, 6, 7, 8],
    "project=nightjar": [],
    "project=&state=&group=": [4, 5, 6, 7, 8, 9],
    "group=author": [4, 8, 5, 6, 7, 9],
}

REFUSED = {
    "state=sausages": (400, "`state=sausages` is not something to choose"),
    "group=colour": (400, "One of project, author, topic"),
    "text=" + "x" * 201: (400, "`text` is 201 characters long"),
    "branch=nope": (404, "guarded branch nope"),
}


def test_the_address_says_what_is_shown_and_what_cannot_be_is_refused(tmp_path: Path) -> None:
    async def act(visitor: Visitor) -> None:
        for query, shown in SHOWN.items():
            page = await visitor.see(f"/queue/cachetools?{query}")
            assert numbers(page) == shown, query
            assert ("shown; <a" in page) == (len(shown) < 6), query
        for query, (status, said) in REFUSED.items():
            assert said in await visitor.see(f"/queue/cachetools?{query}", status)

    visit(busy.busy().world, tmp_path, act)


def test_projects_and_branches_are_chosen_where_all_queues_are(tmp_path: Path) -> None:
    world = long_queue(9, machines=4)
    assert numbers(see(world, tmp_path, "/queue?project=agent")) == [12, 15, 18]
    grouped = see(world, tmp_path, "/queue?group=topic")
    assert re.findall(r'<h3 class="group">([^<]*) <', grouped) == [
        "no topic", "caches", "typing", "release-7",
    ]  # fmt: skip
    assert "typing" in see(world, tmp_path, "/queue?text=typing")
    assert numbers(see(world, tmp_path, "/queue?branch=elsewhere")) == []


def test_many_jobs_are_counted_and_those_to_look_at_are_shown(tmp_path: Path) -> None:
    page = see(long_queue(60, machines=20), tmp_path, "/queue/platform")
    items = dict(re.findall(r'<li id="item-(\d+)"(.*?)</li><!---->', page, re.DOTALL))
    assert "and 6 passed" in items["11"]
    assert "and 3 passed, 3 reused" in items["12"]
    assert items["12"].count('class="chip"') == 1  # what runs
    assert re.search(r'from <a href="/builds/\d+">#11</a>', items["12"])
    assert "7 jobs: 7 queued" in items["40"]
    assert "all 20 machines are busy" in items["40"]
    assert items["51"].count("data-failure") == 1
    assert 'class="off"' in items["51"]


def test_a_change_is_moved_and_taken_out_by_those_who_may(tmp_path: Path) -> None:
    async def act(visitor: Visitor) -> None:
        assert "Dequeue" not in await visitor.see("/queue/cachetools")
        for path in ("dequeue?change=7", "close"):
            await visitor.see(f"/queue/cachetools/{path}", 401)
        csrf = await visitor.log_in(Scope.WRITE)
        page = await visitor.see("/queue/cachetools")
        assert "Dequeue change 7" in page
        assert "Promote" not in page
        asks = {"change": "7", "csrf": csrf, "query": "author=Ada+Lovelace&group=topic"}
        answer = await visitor.client.post("/queue/cachetools/dequeue", data=asks)
        assert answer.headers["location"] == "/queue/cachetools?author=Ada+Lovelace&group=topic"
        for action in ("promote", "urgent", "not-urgent", "close"):
            answer = await visitor.client.post(f"/queue/cachetools/{action}", data=asks)
            assert answer.status_code == 403, action
        asks["csrf"] = await visitor.log_in(Scope.ADMIN)
        for action in ("promote", "urgent", "not-urgent"):
            answer = await visitor.client.post(f"/queue/cachetools/{action}", data=asks)
            assert answer.status_code == 303
        assert visitor.served.commands.asked == [
            ("dequeue", 7, "ada"), ("promote", [7], "ada"),
            ("set_urgent", 7, "ada", True), ("set_urgent", 7, "ada", False),
        ]  # fmt: skip
        for number in ("", "x", "7 ", "9" * 40):
            answer = await visitor.client.post(
                "/queue/cachetools/promote", data={**asks, "change": number}
            )
            assert answer.status_code == 400
        answer = await visitor.client.post("/queue/cachetools/explode", data=asks)
        assert answer.status_code == 404

    visit(busy.busy().world, tmp_path, act)


def test_who_takes_a_change_out_is_told_how_many_stand_on_it(tmp_path: Path) -> None:
    async def act(visitor: Visitor) -> str:
        await visitor.log_in(Scope.WRITE)
        return await visitor.see("/queue/platform/dequeue?change=12")

    page = visit(long_queue(30, machines=8), tmp_path, act)
    assert "It is number 2 of 30" in page
    assert "28 behind it are proved on it" in page


def test_a_change_that_is_in_no_gate_is_not_taken_out(tmp_path: Path) -> None:
    async def act(visitor: Visitor) -> str:
        await visitor.log_in(Scope.ADMIN)
        return await visitor.see("/queue/cachetools/dequeue?change=1")

    page = visit(busy.busy().world, tmp_path, act)
    assert "It is in no gate now" in page
    assert "Take it out" not in page


def test_items_without_a_state_will_stand_on_what_is_ahead(tmp_path: Path) -> None:
    world = World()
    project = world.project("p", head=rows.oid("head"))
    first = world.item(world.change(project, "one"), Pipeline.GATE, onto=rows.oid("head"))
    later = world.item(world.change(project, "two"), Pipeline.GATE)
    world.put(rows.dataclasses.replace(later, buildset_id=None))
    page = see(world, tmp_path, "/queue/p")
    assert "will stand on what is ahead of it" in page
    assert 'class="gap"' in page
    assert first.buildset_id is not None


def test_changes_that_need_each_other_say_so(tmp_path: Path) -> None:
    world = World()
    project = world.project("p", head=rows.oid("head"))
    one = world.change(project, "one")
    two = world.change(project, "two", depends_on=[one])
    three = world.change(project, "three", depends_on=[two])
    first = next(each for each in world.rows_of(PatchSet).values() if each.change_id == one.id)
    world.put(rows.dataclasses.replace(first, depends_on=(two.id,)))
    for change in (one, two, three):
        world.item(change, Pipeline.GATE, onto=rows.oid("head"))
    page = see(world, tmp_path, "/queue/p")
    circles = [
        re.sub(r"<[^>]*>", "", each)
        for each in re.findall(r"<span>lands as one with .*?</span>", page)
    ]
    assert circles == [
        "lands as one with #2, which need each other", "lands as one with #1, which need each other"
    ]  # fmt: skip
    assert page.count("<span>needs ") == 3
