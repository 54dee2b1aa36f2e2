"""The queue page in a real browser: what is drawn, chosen, and can be done."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Page

from cupel.control.auth import Scope
from cupel.core.model import Pipeline, Project
from e2e.stage import NEEDS_CHROMIUM, Stage, perform
from fakes import busy

pytestmark = [pytest.mark.e2e, NEEDS_CHROMIUM]

ROWS = ".queue > li[data-row]"


async def titles(page: Page) -> list[str]:
    return await page.locator(f"{ROWS} .title").all_inner_texts()


def test_the_queue_is_drawn_chosen_from_and_ruled(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        link = await stage.served.auth.login_link("ada", scopes=[Scope.WRITE, Scope.ADMIN])
        page = await stage.open(f"/login?token={link}")
        await page.goto("/queue/cachetools")
        await _is_drawn(page)
        await _estimates(page)
        await _is_chosen(stage, page)
        await _is_ruled(stage, page)

    perform(tmp_path, act)


async def _is_drawn(page: Page) -> None:
    """The third fails: it stands beside the lane, and the fourth on the second."""
    nodes = page.locator(f"{ROWS} .lane circle")
    places = [await nodes.nth(at).bounding_box() for at in range(6)]
    left = [round(place["x"]) for place in places if place]
    assert [x - left[0] for x in left] == [0, 0, 20, 0, 0, 0]
    failing = page.locator(f"{ROWS}.off")
    assert await failing.count() == 1
    assert await failing.locator("path.bad").count() == 1
    assert "proved on main + #4 + #5" in await failing.inner_text()
    assert "A job failed; believed when #5 ahead is done" in await failing.inner_text()
    fourth = await page.locator(ROWS).nth(3).inner_text()
    assert "proved on main + #4 + #5, its state 2" in fourth
    rows = [await page.locator(ROWS).nth(at).bounding_box() for at in range(6)]
    lanes = [await page.locator(f"{ROWS} .lane svg").nth(at).bounding_box() for at in range(6)]
    for row, lane in zip(rows, lanes, strict=True):
        assert row
        assert lane
        assert abs(row["height"] - 1 - lane["height"]) <= 1  # lines meet from row to row


async def _estimates(page: Page) -> None:
    second = page.locator(ROWS).nth(1)
    assert await second.locator(".chip progress").count() == 1
    assert "left" in await second.locator(".chip", has_text="3.12").inner_text()
    assert (await second.locator(".side").inner_text()).startswith("lands in ~")
    left = second.locator(".side time[data-left]")
    assert float(await left.get_attribute("data-left") or 0) > 10
    await left.evaluate("time => { time.dataset.left = '3600' }")
    await page.wait_for_function(
        "time => time.textContent === '~1 h 00 min'", arg=await left.element_handle()
    )


async def _is_chosen(stage: Stage, page: Page) -> None:
    await page.keyboard.press("/")
    await page.keyboard.type("keys")
    await page.locator(ROWS).nth(1).wait_for(state="detached")
    assert await titles(page) == ["Type the keys module"]
    assert page.url.endswith("/queue/cachetools?text=keys")
    assert "1 of 11 shown" in await page.locator(".hidden-count").inner_text()
    assert "3 not shown" in await page.locator(ROWS).inner_text()
    assert await page.locator(f"{ROWS} path.gap").count() == 1
    await page.reload()
    assert await titles(page) == ["Type the keys module"]
    assert await page.get_by_label("Find").input_value() == "keys"
    await stage.rename(8, "Type the keys and more")
    await page.get_by_text("Type the keys and more").wait_for()
    assert len(await titles(page)) == 1
    await page.get_by_role("link", name="show all").click()
    assert len(await titles(page)) == 6
    await page.locator("[name=state]").select_option("failed")
    await page.locator(ROWS).nth(1).wait_for(state="detached")
    assert await titles(page) == ["Evict the least recently used item first"]
    await page.locator("[name=state]").select_option("")
    await page.locator("[name=group]").select_option("author")
    await page.locator("h3.group").nth(4).wait_for()
    assert page.url.endswith("?group=author")
    heads = await page.locator("h3.group").all_inner_texts()
    assert heads[0] == "Ada Lovelace 2"
    await page.goto("/queue/cachetools")


async def _is_ruled(stage: Stage, page: Page) -> None:
    asked = stage.served.commands.asked
    await page.locator(ROWS).nth(3).hover()
    await page.get_by_role("button", name="Promote change 7").click()
    await page.wait_for_load_state()
    await page.get_by_role("button", name="Change 7 is urgent").click()
    await page.wait_for_load_state()
    assert asked == [("promote", [7], "ada"), ("set_urgent", 7, "ada", True)]
    await page.get_by_role("link", name="Dequeue change 7").click()
    question = await page.locator("main").inner_text()
    assert "It is number 4 of 6" in question
    assert "#8 needs it, and leaves with it" in question
    await page.get_by_role("button", name="Take it out").click()
    await page.wait_for_url("**/queue/cachetools")
    assert asked[-1] == ("dequeue", 7, "ada")
    await page.get_by_role("link", name="Close the tree").click()
    await page.get_by_label("Why").fill("the lab moves")
    await page.get_by_role("button", name="Close the tree").click()
    await page.wait_for_url("**/queue/cachetools")
    assert asked[-1] == ("close_queue", "cachetools", "ada", "the lab moves")
    await page.get_by_role("link", name="What the queue expects, and why").click()
    await page.get_by_text("States that may come").wait_for()
    assert await page.locator(f"{ROWS} .chance").count() == await page.locator(ROWS).count() >= 5
    excess = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert excess <= 0


def test_an_event_in_a_long_queue_moves_a_row_and_leaves_the_others(tmp_path: Path) -> None:
    def lengthen(told: busy.Busy) -> None:
        project = told.world.row(Project, 1)
        for number in range(20):
            told.world.item(told.world.change(project, f"More of it, {number}"), Pipeline.GATE)

    async def act(stage: Stage) -> None:
        page = await stage.open("/queue/cachetools")
        await page.locator("#pulse[data-live=yes]").wait_for()
        await stage.rename(
            9, "First"
        )  # a page does not know what it shows before its first refresh
        await page.get_by_text("First").wait_for()
        await page.locator("#item-20").evaluate("row => { row.dataset.mark = 'mine' }")
        async with page.expect_response(
            lambda answer: "hx-request" in answer.request.headers
        ) as caught:
            await stage.rename(20, "Renamed while you look")
        answer = await (await caught.value).text()
        await page.get_by_text("Renamed while you look").wait_for()
        assert answer.count("data-same") == 25
        assert await page.locator(ROWS).count() == 26
        assert await page.locator("#live [data-same]").count() == 0
        assert await page.locator("#item-20").get_attribute("data-mark") == "mine"

    perform(tmp_path, act, prepare=lengthen)


def test_without_scripts_forms_choose_and_nothing_is_missing(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        page = await stage.open("/queue/cachetools", java_script_enabled=False)
        await page.locator("[name=author]").select_option("Grace Hopper")
        await page.get_by_role("button", name="Show").click()
        assert "author=Grace+Hopper" in page.url
        assert await titles(page) == ["Document the decorators"]
        await page.get_by_text("show all").click()
        await page.locator("[name=job]").select_option("lint")
        await page.locator("[name=group]").select_option("topic")
        await page.get_by_role("button", name="Show").click()
        assert len(await titles(page)) == 5  # the sixth has no state yet
        assert await page.locator("h3.group").inner_text() == "no topic 5"

    perform(tmp_path, act)
