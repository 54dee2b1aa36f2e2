"""The pages of pools, hosts, machines, holds and images, in a real browser."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from cupel.control.auth import Scope
from cupel.core.model import Event, Machine, MachineState
from cupel.web import shared
from e2e.stage import NEEDS_CHROMIUM, Stage, perform
from fakes.busy import Busy
from fakes.park import Park

pytestmark = [pytest.mark.e2e, NEEDS_CHROMIUM]

HOSTILE = "\u202e<script>alert(1)</script> \U0001f680 " + "long" * 2500
WIDER = """
[document.documentElement, ...document.querySelectorAll("body *")]
    .filter((each) => document.documentElement.scrollWidth > innerWidth
        && each.getBoundingClientRect().right > innerWidth && !each.closest(".table, .tabs, nav"))
    .map((each) => each.outerHTML.slice(0, 200))
"""
"""What makes a page wider than its window."""


class Holds:
    """What is asked of holds."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    async def ask(self, wish: Any, principal: Any) -> int:
        self.asked.append((wish.job, wish.build, wish.seconds, wish.reason, principal.user))
        return 1

    async def release(self, number: int, principal: Any) -> None:
        self.asked.append(("release", number, principal.user))


def play(directory: Path, act: Any, park: Park, holds: Holds | None = None) -> None:
    perform(
        directory,
        act,
        prepare=park.prepare,
        parts=lambda _: {**park.parts(directory, time.time()), "holds": holds},
    )


async def enter(stage: Stage, *scopes: Scope, **how: object) -> Page:
    link = await stage.served.auth.login_link("ada", scopes=list(scopes))
    return await stage.open(f"/login?token={link}", **how)


def test_pools_hosts_and_machines_on_one_page(tmp_path: Path) -> None:
    park = Park()

    async def act(stage: Stage) -> None:
        page = await stage.open("/machines")
        pool = page.locator("#pool-debian-12")
        await expect(pool).to_contain_text("ready 2")
        await expect(pool).to_contain_text("in use")
        await expect(pool).to_contain_text("1 ready of an older one")
        await expect(pool.get_by_role("row", name="last day")).to_contain_text("s")
        assert await pool.locator("svg.stack rect").count() >= 4
        assert await pool.locator("svg.spark path").get_attribute("d")
        await expect(page.locator("#pool-debian-13")).to_contain_text("Making 2: 2 kept ready.")
        bad = page.locator(".hosts > li", has_text=park.bad_host)
        await expect(bad).to_contain_text("is quarantined until")
        forge = page.locator(".hosts > li", has_text="forge")
        await expect(forge).to_contain_text("5.3 for 8 cores")
        assert await forge.locator("svg.spark path").count() == 2

        await page.locator("select[name=state]").select_option("held")
        await page.get_by_role("button", name="Show", exact=True).click()
        await expect(page.locator("#machines tbody tr")).to_have_count(1)
        assert "state=held" in page.url
        await expect(page.locator("#machines-title")).to_contain_text("1 of")
        await page.goto("/machines?group=host")
        heads = page.locator("#machines .group-title")
        await expect(heads).to_have_count(2)
        await expect(page.locator("#machines tbody tr").first).to_be_visible()
        await page.keyboard.press("/")
        await expect(page.locator("select[name=label]")).to_be_focused()
        await page.goto("/machines?label=no-such")
        await expect(page.get_by_text("There is no pool no-such")).to_be_visible()

        await page.clock.install()
        await page.goto("/machines")
        await expect(forge).to_contain_text("5.3 for 8 cores")
        busier = dataclasses.replace(stage.served.loads["forge"], runnable=7.7)
        stage.served.loads["forge"] = busier
        await asyncio.sleep(shared.KEEP)
        await page.clock.fast_forward(25_000)
        await expect(forge).to_contain_text("7.7 for 8 cores")
        async with stage.served.store.write() as tx:
            row = await tx.get(Machine, park.used_machine)
            assert row is not None
            await tx.put([dataclasses.replace(row, state=MachineState.DELETING)])
        stage.served.feed.publish([Event(id=9, at=0.0, kind="machine.deleting")])
        row_of = page.locator(f"#machine-{park.used_machine}")
        await expect(row_of).to_contain_text("being deleted")

    play(tmp_path, act, park)


def test_what_a_host_and_a_machine_went_through(tmp_path: Path) -> None:
    park = Park()

    async def act(stage: Stage) -> None:
        page = await enter(stage, Scope.ADMIN)
        await page.goto(f"/hosts/{park.bad_host}")
        await expect(page.get_by_text("loses more builds than the other hosts")).to_be_visible()
        await expect(page.get_by_text("of 18 builds; 95 % sure").first).to_be_visible()
        await expect(page.get_by_text("It was in quarantine once of late")).to_be_visible()
        await expect(page.get_by_text("Linux 6.1.0-28-amd64")).to_be_visible()
        await page.get_by_role("button", name="End quarantine").click()
        assert stage.served.commands.asked[-1] == ("release_host", park.bad_host, "ada")
        await expect(page).to_have_url(stage.served.url + f"/hosts/{park.bad_host}")
        await page.goto("/hosts/tongs")
        await expect(page.locator(".why")).to_contain_text("by grace")
        await page.goto("/hosts/forge")
        assert await page.locator(".charts figure").count() == 4
        await page.goto(f"/machines/{park.failed_machine}")
        await expect(page.get_by_role("row", name="error")).to_contain_text("No space left")
        await page.goto(f"/machines/{park.used_machine}")
        states = page.locator("section table").first.locator("tbody th")
        await expect(states).to_have_text(["being made", "ready", "in use"])
        await expect(page.get_by_text("Limits")).to_be_visible()

    play(tmp_path, act, park)


def test_holds_and_images(tmp_path: Path) -> None:
    park, holds = Park(), Holds()

    async def act(stage: Stage) -> None:
        page = await enter(stage, Scope.ADMIN)
        await page.goto("/holds")
        row = page.locator(f"#hold-{park.hold}")
        await expect(row).to_contain_text("why does it fail here alone?")
        await expect(row).to_contain_text(f"cupel shell {park.held_build}")
        await expect(row.get_by_role("link", name="Terminal")).to_have_attribute(
            "href", f"/builds/{park.held_build}/terminal"
        )
        await row.get_by_role("button", name="Keep longer").click()
        assert holds.asked[-1][1:3] == (park.held_build, 7200.0)
        await row.get_by_role("link", name="Release").click()
        await expect(page.get_by_text(f"Machine {park.held_machine}, of build")).to_be_visible()
        await page.get_by_role("button", name="Release it").click()
        assert holds.asked[-1] == ("release", park.hold, "ada")
        await page.get_by_label("or of job").fill("lint")
        await page.get_by_label("Why, for all who see it").fill("to look")
        await page.get_by_role("button", name="Have it kept").click()
        assert holds.asked[-1] == ("lint", None, 7200.0, "to look", "ada")

        await page.goto("/images")
        await page.get_by_role("link", name="python").click()
        await expect(page.get_by_role("table")).to_contain_text("previous")
        await expect(page.get_by_text("1 ready machine is still of an older image")).to_be_visible()
        await expect(page.get_by_role("log")).to_contain_text("Setting up package 59")
        await page.get_by_role("link", name="What changed since").click()
        await expect(page.get_by_role("row", name="python3")).to_contain_text("3.11.4")
        await page.get_by_role("link", name="Use the one before").click()
        await expect(page.get_by_text("is given up: it is not used any more")).to_be_visible()
        await page.get_by_role("link", name="Leave it as it is").click()
        await page.get_by_role("button", name="Build anew").click()
        await expect(page.get_by_text("waiting").first).to_be_visible()

    play(tmp_path, act, park, holds)


def test_every_page_on_a_phone_with_hostile_names(tmp_path: Path) -> None:
    park = Park()

    def prepare(told: Busy) -> None:
        park.prepare(told)
        world = told.world
        host = dataclasses.replace(world.host(HOSTILE[:500], 2), detail=HOSTILE)
        world.put(host)
        for _ in range(3):
            machine = world.machine(host, MachineState.ERROR, detail=HOSTILE)
            world.put(dataclasses.replace(machine, label=HOSTILE))

    async def act(stage: Stage) -> None:
        page = await enter(stage, Scope.ADMIN, viewport={"width": 360, "height": 740})
        paths = ["/machines", f"/hosts/{park.bad_host}", f"/machines/{park.used_machine}",
                 "/holds", "/images", "/images/python"]  # fmt: skip
        for path in paths:
            answer = await page.goto(path)
            assert answer is not None
            assert answer.status == 200, path
            assert await page.locator("h1").count() == 1, path
            assert await page.evaluate(WIDER) == [], path

    perform(tmp_path, act, prepare=prepare, parts=lambda _: park.parts(tmp_path, time.time()))
