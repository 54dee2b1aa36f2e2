"""Every page there is, looked at for what every page owes its reader."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, Route, expect

from cupel.control.auth import Scope
from e2e import sights
from e2e.sights import Sight
from e2e.stage import NEEDS_CHROMIUM, Stage, perform
from fakes import afternoon

AXE = Path(__file__).parent / "axe" / "axe-core-4.14.1.min.js"
WORD = re.compile(r"[^\W\d_]{3,}")
PHONE = {"width": 360, "height": 740}

RUN_AXE = """async (rules) => {
  const only = rules.length ? { runOnly: { type: "rule", values: rules } } : {};
  const { violations } = await axe.run(document, { resultTypes: ["violations"], ...only });
  return violations.map(({ id, nodes }) =>
    `${id}: ${nodes.slice(0, 3).map((node) => node.html.slice(0, 200)).join(" | ")}`);
}"""

SHAPE = """() => {
  const wide = document.documentElement.scrollWidth - innerWidth;
  const all = wide > 0 ? [...document.querySelectorAll("body *")] : [];
  const guilty = all.filter((each) => each.getBoundingClientRect().right > innerWidth + 1).at(-1);
  return {
    excess: wide > 0 ? `${wide} px: ${guilty?.outerHTML.slice(0, 200)}` : "",
    h1: document.querySelectorAll("h1").length,
    landmarks: ["header", "nav", "main", "footer"].filter((name) => !document.querySelector(name)),
    title: document.title,
    ids: [...document.querySelectorAll("[id]")].map((each) => each.id)
      .filter((id, at, all) => all.indexOf(id) !== at),
    rows: document.querySelectorAll("#live [data-row]:not([id])").length,
  };
}"""


HARM = """() => {
  const found = window.ran === undefined ? [] : ["a script ran"];
  const harm = "img[src='x'], script:not([src]), [onerror], [onload], [onmouseover]";
  const odd = document.querySelectorAll(harm);
  found.push(...[...odd].map((each) => `became an element: ${each.outerHTML.slice(0, 200)}`));
  for (const name of ["href", "action", "formaction", "src"]) {
    for (const each of document.querySelectorAll(`[${name}]`)) {
      if (!/^\\s*(javascript|vbscript|data:text)/i.test(each.getAttribute(name))) continue;
      found.push(`leads to harm: ${each.outerHTML.slice(0, 200)}`);
    }
  }
  const hides = /[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\u202a-\\u202e\\u2066-\\u2069]/;
  if (hides.test(document.body.innerText)) found.push("text that hides or reorders text");
  return found;
}"""


def test_no_page_is_forgotten() -> None:
    swept = {sight.route for sight in sights.SIGHTS if sight.route}
    assert swept | set(sights.NOT_PAGES) == sights.routes()
    assert len({sight.name for sight in sights.SIGHTS}) == len(sights.SIGHTS)


@pytest.mark.e2e
@NEEDS_CHROMIUM
def test_every_page_keeps_its_promises(tmp_path: Path) -> None:
    """Accessible in light and dark, fit for a phone, with a heading, landmarks and a title.

    As an administrator sees it, who sees most; and it says the same without scripts.
    """

    async def act(stage: Stage) -> None:
        page = await administrator(stage, viewport=PHONE)
        plain = await administrator(stage, viewport=PHONE, java_script_enabled=False)
        found: list[str] = []
        for sight in sights.SIGHTS:
            await asyncio.gather(visit(page, stage, sight), visit(plain, stage, sight))
            found += [f"{sight.name}: {each}" for each in await shape(page)]
            found += [f"{sight.name}: light: {each}" for each in await axe(page)]
            await page.emulate_media(color_scheme="dark")
            found += [f"{sight.name}: dark: {each}" for each in await axe(page, "color-contrast")]
            await page.emulate_media(color_scheme="light")
            if alone := await words(page) - await words(plain) - await words_of_controls(page):
                found.append(f"{sight.name}: said by scripts alone: {sorted(alone)[:20]}")
        assert not found, "\n".join(found)

    perform(tmp_path, act, **afternoon.on(tmp_path))


@pytest.mark.e2e
@NEEDS_CHROMIUM
def test_no_page_lets_hostile_text_do_anything(tmp_path: Path) -> None:
    """Nothing runs, nothing is hidden or reordered, nothing gets wide, and axe finds nothing."""

    async def act(stage: Stage) -> None:
        page = await administrator(stage, viewport=PHONE)
        found: list[str] = []
        for sight in sights.SIGHTS:
            await visit(page, stage, sight)
            found += [f"{sight.name}: {each}" for each in await shape(page)]
            found += [f"{sight.name}: {each}" for each in await page.evaluate(HARM)]
            if sight.name in ("change", "build"):  # what is asked of all would be empty otherwise
                await expect(page.locator("main")).to_contain_text("window.ran")
            found += [f"{sight.name}: {each}" for each in await axe(page)]
        assert not found, "\n".join(found)

    perform(tmp_path, act, **afternoon.on(tmp_path, hostile=True))


async def administrator(stage: Stage, **options: Any) -> Page:
    """A page of somebody who may do everything."""
    link = await stage.served.auth.login_link("ada", scopes=list(Scope))
    return await stage.open(f"/login?token={link}", **options)


async def visit(page: Page, stage: Stage, sight: Sight) -> None:
    """Go there. What is a problem comes as if it were none, of which browsers would complain."""

    async def soothe(route: Route) -> None:
        answer = await route.fetch()
        assert answer.status == sight.status, (sight.name, answer.status)
        await route.fulfill(response=answer, status=200)

    address = sight.address(stage.told)
    if sight.status != 200:
        await page.route(f"**{address}", soothe)
    answer = await page.goto(address, wait_until="domcontentloaded")
    assert answer is not None
    assert answer.ok, (sight.name, answer.status)


async def shape(page: Page) -> list[str]:
    """What a page owes that can be counted."""
    is_as: dict[str, Any] = await page.evaluate(SHAPE)
    rules: dict[str, Callable[[Any], bool]] = {
        "excess": lambda value: value == "",
        "h1": lambda value: value == 1,
        "landmarks": lambda value: value == [],
        "title": lambda value: len(value) > len(" · Cupel") and value.endswith(" · Cupel"),
        "ids": lambda value: value == [],
        "rows": lambda value: value == 0,
    }
    return [f"{name}: {is_as[name]!r}" for name, holds in rules.items() if not holds(is_as[name])]


async def axe(page: Page, *rules: str) -> list[str]:
    """What axe-core finds; not by a script tag, which the policy of the pages forbids."""
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(AXE.read_text())
    found: list[str] = await page.evaluate(RUN_AXE, list(rules))
    return found


async def words(page: Page) -> set[str]:
    """What the page says, without numbers, which go on."""
    return set(WORD.findall(await page.locator("main").inner_text()))


async def words_of_controls(page: Page) -> set[str]:
    """What stands on buttons, and on what is there for scripts."""
    texts = await page.locator("main button, main .scripted").all_inner_texts()
    return set(WORD.findall(" ".join(texts)))
