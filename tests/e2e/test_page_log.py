"""The viewer of a log in a real browser: any line at once, folded, searched, followed, linked."""

from __future__ import annotations

import asyncio
import re
import shutil
import time
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from cupel.core.model import Event
from e2e.stage import NEEDS_CHROMIUM, Stage, perform

pytestmark = [pytest.mark.e2e, NEEDS_CHROMIUM]

COUNT = 700_000
"""Lines of the long log: more than a browser has pixels for."""


def write(stage: Stage, count: int = 3000) -> str:
    """A failed build with a log of two steps, groups, colours, an error and hostile text."""
    build, now = stage.told.failed_build, stage.told.world.now
    shutil.rmtree(stage.served.logs._directory(build))
    log = stage.served.logs.writer(build)
    log.append(0xFFFF, "cupel", now - 43, b"debian-12 made in 84 ms\n")
    log.append(0, "out", now - 42, b"$ pip install\n" + b"Collecting\n" * 99)
    batch = []
    for number in range(count):
        text = f"line {number} of pytest"
        if number == count // 2:
            text = "::group::Fixtures <script>alert(1)</script>"
        elif number == count // 2 + 50:
            text = "::endgroup::"
        elif number in (7, count // 2 + 10, count - 10):
            text = (
                f"\x1b[1mneed\x1b[31mle\x1b[0m {number} <b>&</b> \x1b[38;2;200;120;0mexact\x1b[0m"
            )
        elif number == count - 400:
            text = "src/a.c:1:2: error: expected ';' before 'x'"
        elif number == 8:
            text = "\x1b]8;;https://example.org/r\x1b\\report\x1b]8;;\x1b\\ " + "wide " * 300
        batch.append(text)
        if len(batch) == 2000 or number == count - 1:
            data = ("\n".join(batch) + "\n").encode()
            log.append(1, "out", now - 30 + 29 * number / count, data)
            batch = []
    log.close()
    return f"/builds/{build}"


async def look(stage: Stage, address: str, **options: object) -> Page:
    """The page, scrolled to its log."""
    page = await stage.open(address, **options)
    await page.locator("#log-title").evaluate("e => e.scrollIntoView()")
    return page


async def first(page: Page) -> int:
    """The number of the first line that is in view."""
    return await page.evaluate(
        """() => {
          const top = document.getElementById("log").getBoundingClientRect().top;
          const seen = [...document.querySelectorAll("#log .l[id^=L]")]
            .filter((row) => row.getBoundingClientRect().bottom > top + 1);
          return Number(seen[0].id.slice(1));
        }"""
    )


async def until(page: Page, condition: str) -> None:
    """(The pages' policy does not let Playwright wait inside of them.)"""
    for _ in range(400):
        if await page.evaluate(condition):
            return
        await asyncio.sleep(0.02)
    raise AssertionError(condition)


async def settled(page: Page) -> None:
    """Until every row in view has its line."""
    await until(
        page,
        "[...document.querySelectorAll('#log .l[id^=L]')].every((row) => row.children.length > 2"
        " || row.querySelector('button'))",
    )


def test_a_log_is_folded_linked_copied_and_timed(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        address = write(stage)
        page = await look(stage, address, permissions=["clipboard-read", "clipboard-write"])
        log = page.locator("#log")
        # It begins at its end, with the last step open and the others folded.
        await expect(log.locator("#L3101")).to_contain_text("line 2999 of pytest")
        await log.press("g")
        steps = log.locator(".log-step button")
        await expect(steps).to_have_count(3)
        for at, (name, is_open) in enumerate(
            [("The machine 1 line", "false"), ("install 100 lines", "false"), ("pytest", "true")]
        ):
            await expect(steps.nth(at)).to_contain_text(name)
            await expect(steps.nth(at)).to_have_attribute("aria-expanded", is_open)
        await expect(log.locator(".l").nth(3)).to_contain_text("line 0 of pytest")
        await steps.nth(1).click()
        await expect(log.locator("#L2")).to_contain_text("$ pip install")
        await steps.nth(1).press("Enter")
        await expect(log.locator("#L2")).to_have_count(0)
        # A link to a folded line opens what hides it; ranges are marked by click and shift-click.
        await page.goto(f"{address}#L1610-1612")
        await expect(log.locator(".is-marked")).to_have_count(3)
        group = log.locator("#L1602 button")
        await expect(group).to_have_attribute("aria-expanded", "true")
        await expect(group).to_contain_text("Fixtures <script>alert(1)</script>")
        await log.locator("#L1605 > a").click()
        await log.locator("#L1607 > a").click(modifiers=["Shift"])
        assert page.url.endswith("#L1605-1607")
        await expect(page.locator("#log-marked")).to_contain_text("Lines 1605 to 1607")
        await page.get_by_role("button", name="Copy lines").click()
        await expect(page.locator("#log-marked")).to_contain_text("copied")
        copied = await page.evaluate("navigator.clipboard.readText()")
        assert copied == "".join(f"line {n} of pytest\n" for n in (1503, 1504, 1505))
        await page.get_by_role("button", name="Copy link in step").click()
        await expect(page.locator("#log-marked")).to_contain_text("Link copied")
        assert (await page.evaluate("navigator.clipboard.readText()")).endswith("#S2L1504-1506")
        await page.goto(f"{address}#S1L2")
        await expect(log.locator(".is-marked")).to_have_id("L3")
        # Times are remembered, in the address and for the next log.
        await page.get_by_label("Times").select_option("step")
        await page.goto(f"{address}#L102")
        await expect(log.locator("#L102 > time")).to_have_text(re.compile(r"^\d+:\d\d\.\d$"))
        await page.get_by_label("Times").select_option("none")
        assert "times=none" in page.url
        assert await log.locator("#L102 > time").is_visible() is False
        # What is hostile is text; exact colours and links are what they are.
        link = log.locator("#L110 a.out")
        await expect(link).to_have_attribute("rel", "noopener noreferrer nofollow")
        assert "(example.org)" in await log.locator("#L110").inner_text()
        colour = await log.locator("#L109 [data-fg]").evaluate("e => e.style.cssText")
        assert colour == "--fg: #c87800;"
        # Lines wrap if asked to, and all of them can still be reached.
        width = await log.evaluate("e => e.scrollWidth")
        assert width > 5000
        await log.press("w")
        await expect(log).to_have_class(re.compile("log-wraps"))
        assert await log.evaluate("e => e.scrollWidth - e.clientWidth") == 0
        assert (await log.locator("#L110").bounding_box())["height"] > 40
        await log.press("End")
        await expect(log.locator("#L3101")).to_be_in_viewport()
        await log.press("Home")
        await expect(log.locator(".log-step").first).to_be_in_viewport()
        await until(page, "document.getElementById('log').scrollTop === 0")

    perform(tmp_path, act)


def test_a_log_is_searched_as_a_whole(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        address = write(stage)
        page = await look(stage, address)
        log, found = page.locator("#log"), page.locator("#log-found")
        await page.locator("#log .l").first.wait_for()
        await page.keyboard.press("s")
        await page.keyboard.type("NEEDLE")
        await expect(found).to_have_text("3 lines")
        assert "q=NEEDLE" in page.url
        for said in ("3 of 3 lines", "1 of 3 lines"):  # from what is in view on, and around
            await page.keyboard.press("Enter")
            await expect(found).to_have_text(said)
        await page.keyboard.press("Enter")  # it is folded away in a group
        await expect(found).to_have_text("2 of 3 lines")
        await expect(log.locator(".is-marked")).to_have_id("L1612")
        await expect(log.locator("#L1612")).to_be_in_viewport()
        await log.press("N")
        await expect(found).to_have_text("1 of 3 lines")
        await log.press("N")
        await expect(found).to_have_text("3 of 3 lines")
        assert await page.evaluate("CSS.highlights.get('log-hit').size") == 1
        assert await page.locator("#log-marks").is_visible()
        # Only what is found, with what stands around it.
        await page.locator("#log-tools [name=only]").check()
        await expect(log.locator(".l")).to_have_count(3)
        await page.locator("#log-tools [name=context]").select_option("1")
        await expect(log.locator(".l")).to_have_count(9)
        await expect(log.locator(".is-apart")).to_have_count(2)
        await page.reload()
        await expect(log.locator(".l")).to_have_count(9)
        await expect(page.locator("#log-tools [name=q]")).to_have_value("NEEDLE")
        await page.locator("#log-tools [name=only]").uncheck()
        # Expressions are Python's, and say what is wrong with them.
        await page.locator("#log-tools [name=q]").fill("line 1{2,}")
        await page.locator("#log-tools [name=regex]").check()
        await expect(found).to_have_text("111 lines")
        await page.locator("#log-tools [name=q]").fill("(")
        await expect(found).to_contain_text("not a regular expression")
        await page.locator("#log-tools [name=q]").fill("")
        await expect(found).to_have_text("")
        # Errors.
        await page.locator("#log-tools [name=context]").select_option("0")
        await page.locator("#log-tools [name=severity]").select_option("error")
        await expect(log.locator(".l")).to_have_count(1)
        await page.locator("#log-tools [name=severity]").select_option("")
        await expect(log.locator(".l").nth(5)).to_be_visible()
        await log.press("g")
        await log.press("f")
        await expect(log.locator(".is-marked")).to_have_id("L2702")

    perform(tmp_path, act)


def test_a_log_longer_than_a_browser_has_pixels_for(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        address = write(stage, COUNT)
        page = await look(stage, address)
        log = page.locator("#log")
        await expect(log.locator(f"#L{COUNT + 101}")).to_be_in_viewport()
        assert await log.evaluate("e => e.scrollHeight") < 10_000_000
        # Dragged anywhere, it shows lines; the wheel moves by its pixels nevertheless.
        await log.evaluate("e => { e.scrollTop = e.scrollHeight / 2; }")
        await expect(log.locator(f"#L{COUNT + 101}")).to_have_count(0)
        await settled(page)
        middle = await first(page)
        assert COUNT * 0.49 < middle < COUNT * 0.51
        height = (await log.locator(".l").first.bounding_box())["height"]
        await log.hover()
        await page.mouse.wheel(0, height * 10)
        await page.wait_for_timeout(300)
        assert await first(page) == middle + 10
        await log.press("PageDown")
        await log.press("PageUp")
        assert await first(page) == middle + 10
        await page.goto(f"{address}#L123456")
        await expect(log.locator("#L123456")).to_be_in_viewport()
        assert "line 123354 of pytest" in await log.locator("#L123456").inner_text()
        await log.press("g")
        await expect(log.locator(".log-step").first).to_be_in_viewport()
        await log.press("G")
        await expect(log.locator(f"#L{COUNT + 101}")).to_be_in_viewport()
        moment = stage.told.world.now - 30 + 14.5
        told = await page.evaluate(
            """(time) => new Promise((resolve) => {
              document.addEventListener("cupel:log-moment", (event) => {
                if (Math.abs(event.detail.at - time) < 1) resolve(event.detail.line);
              });
              document.dispatchEvent(new CustomEvent("cupel:seek", { detail: time }));
            })""",
            moment,
        )
        assert COUNT * 0.49 < told < COUNT * 0.51

    perform(tmp_path, act)


def test_a_log_is_followed_without_loss_or_doubles(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        waiting = await stage.open(f"/builds/{stage.told.queued_build}")
        await expect(waiting.get_by_text("Nothing has been written yet.")).to_be_visible()
        await expect(waiting.locator("#log-tools")).to_be_hidden()
        log = stage.served.logs.writer(stage.told.queued_build)
        log.append(0, "out", time.time(), b"its first line\n")
        stage.served.feed.publish(
            [Event(id=3, at=0.0, kind="build.running", build_id=stage.told.queued_build)]
        )
        await expect(waiting.get_by_text("its first line", exact=True)).to_be_visible()
        await expect(waiting.get_by_text("Nothing has been written yet.")).to_be_hidden()
        log.close()
        await waiting.close()
        build = stage.told.running_build
        page = await look(stage, f"/builds/{build}")
        log, pill = page.locator("#log"), page.locator("#log-follow")
        await expect(pill).to_have_text("Following")
        await append(stage, 0, 400, 40)
        await expect(log.get_by_text("live line 399", exact=True)).to_be_in_viewport()
        # Who looks at what was before is left there.
        await log.press("PageUp")
        await expect(pill).to_have_text("Paused")
        before = await first(page)
        await append(stage, 400, 500, 50)
        await expect(pill).to_have_text("Paused: 100 new lines")
        assert await first(page) == before
        # A connection that breaks goes on where it was.
        await page.context.set_offline(True)
        await append(stage, 500, 600, 100)
        await page.context.set_offline(False)
        await pill.click()
        stage.log.append(1, "out", time.time(), b"an unfinished")
        await expect(log.get_by_text("an unfinished", exact=True)).to_be_in_viewport()
        stage.log.append(1, "out", time.time(), b" line\n")
        await append(stage, 600, 700, 100)
        await expect(log.get_by_text("live line 699", exact=True)).to_be_in_viewport()
        await stage.finish(build)
        await page.locator("#live .big", has_text="passed").wait_for()
        await expect(pill).to_be_hidden()
        seen = await every_line(page)
        assert [text for text in seen if text.startswith("live line")] == [
            f"live line {number}" for number in range(700)
        ]

    perform(tmp_path, act)


async def append(stage: Stage, start: int, end: int, each: int) -> None:
    for number in range(start, end):
        stage.log.append(1, "out", time.time(), f"live line {number}\n".encode())
        if number % each == 0:
            await asyncio.sleep(0.02)


async def every_line(page: Page) -> list[str]:
    """The text of each line, from the first to the last, as one sees them page by page."""
    log = page.locator("#log")
    await log.press("g")
    seen: dict[int, str] = {}
    while True:
        await settled(page)
        rows = await log.locator(".l[id^=L]").evaluate_all(
            "rows => rows.map((row) => [Number(row.id.slice(1)), row.lastElementChild.innerText])"
        )
        seen |= dict(rows)
        before = await first(page)
        await log.press("PageDown")
        await page.wait_for_timeout(30)
        if await first(page) == before:
            return [seen[number] for number in sorted(seen)]


def test_a_log_works_by_touch_in_the_dark_and_without_scripts(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        address = write(stage)
        phone = await stage.open(
            address, viewport={"width": 360, "height": 740}, color_scheme="dark"
        )
        await expect(phone.locator("#L3101")).to_contain_text("line 2999")
        assert await phone.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        assert (await phone.pdf()).count(b"/Type /Page\n") < 20
        bare = await stage.open(address, java_script_enabled=False)
        await expect(bare.locator("#log .l")).to_have_count(500)
        await expect(bare.locator("#L3101")).to_contain_text("line 2999")
        await expect(bare.locator("#log-tools")).to_be_hidden()
        await bare.get_by_role("link", name="Lines 2,102 to 2,601").click()
        await expect(bare.locator("#L2102")).to_be_visible()
        await bare.locator("noscript [name=q]").fill("needle")
        await bare.locator("noscript").get_by_role("button", name="Search").click()
        await expect(bare.locator(".found-lines .l")).to_have_count(3)

    perform(tmp_path, act)
