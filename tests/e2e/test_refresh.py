"""What a reader is at survives when the page becomes what the server now has."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.async_api import Page, Request, Route

from e2e.stage import NEEDS_CHROMIUM, Stage, perform

pytestmark = [pytest.mark.e2e, NEEDS_CHROMIUM]

PAGE = "/queue/cachetools"


async def alive(page: Page) -> None:
    """Once it listens, so that it is told of what happens."""
    await page.locator("#pulse[data-live=yes]").wait_for()


async def extend(page: Page, extra: Callable[[int], str]) -> None:
    """Let the server's live part begin with more, which is told how often it was asked for."""
    times = itertools.count()

    async def answer(route: Route) -> None:
        answer = await route.fetch()
        body = await answer.text()
        more = extra(next(times))
        head, live, rest = body.partition('hx-sync="this:queue last">')
        await route.fulfill(
            response=answer, body=head + live + more + rest if live else more + body
        )

    await page.route(f"**{PAGE}", answer)


def test_focus_selection_and_scroll_survive(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        page = await stage.open(PAGE, viewport={"width": 900, "height": 400})
        await alive(page)
        link = page.locator("#live a", has_text="Document the decorators").first
        await link.focus()
        await link.evaluate("link => getSelection().selectAllChildren(link)")
        await page.evaluate("scrollTo(0, 150)")
        await stage.rename(6, "Renamed while you look")
        await page.get_by_text("Renamed while you look").wait_for()
        assert await page.evaluate("scrollY") == 150
        assert await page.evaluate("getSelection().toString()") == "Document the decorators"
        assert await link.evaluate("link => link === document.activeElement")

    perform(tmp_path, act)


@pytest.mark.parametrize("mover", ["", "delete Element.prototype.moveBefore"])
def test_focus_goes_with_what_moves(mover: str, tmp_path: Path) -> None:
    """With browsers that move elements as they are, and with those that take them out."""

    def extra(time: int) -> str:
        rows = ['<li><a id="one" href="#1">One</a></li>', '<li><a id="two" href="#2">Two</a></li>']
        return f"<ul>{''.join(rows if time % 2 else reversed(rows))}</ul><p>Asked {time}</p>"

    async def act(stage: Stage) -> None:
        page = await stage.open("/login")
        await page.add_init_script(mover)
        await extend(page, extra)
        await page.goto(PAGE)
        await page.locator("#pulse[data-live=yes]").wait_for()
        await page.locator("#two").focus()
        await stage.rename(6, "Renamed while you look")
        await page.get_by_text("Asked 1").wait_for()
        assert await page.evaluate("document.activeElement.id") == "two"

    perform(tmp_path, act)


def test_what_was_opened_typed_and_set_survives(tmp_path: Path) -> None:
    def extra(time: int) -> str:
        return (
            f"<details><summary>More of {time}</summary><p>Hidden</p></details>"
            f'<input id="typed" aria-label="Typed" value="{time}">'
            f'<input id="plain" aria-label="Plain" value="{time}">'
            '<p id="marked" data-keep="class" class="as told">Marked</p>'
            '<div id="chart" data-kept></div>'
        )

    async def act(stage: Stage) -> None:
        page = await stage.open("/login")
        await extend(page, extra)
        await page.goto(PAGE)
        await page.locator("#pulse[data-live=yes]").wait_for()
        await page.get_by_text("More of 0").click()
        await page.locator("#typed").fill("half a wo")
        await page.locator("h1").click()
        await page.evaluate("document.querySelector('#marked').className = 'mine'")
        await page.evaluate("document.querySelector('#chart').append('Drawn')")
        await stage.rename(6, "Renamed while you look")
        await page.get_by_text("More of 1").wait_for()
        assert await page.get_by_text("Hidden").is_visible()
        assert await page.locator("#typed").input_value() == "half a wo"
        assert await page.locator("#plain").input_value() == "1"
        assert await page.locator("#marked").get_attribute("class") == "mine"
        assert await page.locator("#chart").inner_text() == "Drawn"

    perform(tmp_path, act)


def test_the_address_that_the_reader_sees_is_asked_for(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        page = await stage.open(PAGE)
        await alive(page)
        asked: list[Request] = []
        page.on("request", lambda each: asked.append(each) if PAGE in each.url else None)
        await page.evaluate("history.replaceState(null, '', '?branch=main')")
        for title in ("Renamed while you look", "And once more"):
            await stage.rename(6, title)
            await page.get_by_text(title).wait_for()
        assert [each.url.partition(PAGE)[2] for each in asked] == ["?branch=main"] * 2
        known = ["x-cupel-have" in await each.all_headers() for each in asked]
        assert known == [False, True]  # a version of another address says nothing of this one

    perform(tmp_path, act)
