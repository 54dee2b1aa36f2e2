"""The page of events: what of them is shown, and how one gets to older ones."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest

from cupel.control import views
from cupel.control.views import status
from fakes.rows import World
from unit.web.visit import Visitor, visit


def happened() -> World:
    """Two hundred and sixty events of two projects, each fourth about a host."""
    world = World()
    demo, other = world.project("demo", head=None), world.project("other", head=None)
    for number in range(260):
        project = (demo, other)[number % 2]
        kind = "host.lost" if number % 4 == 0 else "build.finished"
        world.event(kind, f"number {number}", ago=260.0 - number, project=project.id)
    return world


def numbers(page: str) -> list[int]:
    return [int(each) for each in re.findall(r"number (\d+)<", page)]


def test_events_of_a_project_and_about_something_lead_on(tmp_path: Path) -> None:
    async def act(visitor: Visitor) -> None:
        page = await visitor.see("/events?project=demo&about=build")
        assert numbers(page) == list(range(258, 0, -4))
        page = await visitor.see("/events?about=build")
        assert numbers(page) == [n for n in range(259, -1, -1) if n % 4][:100]
        (older,) = re.findall(r'rel="next" href="([^"]+)"', page)
        assert "about=build" in older
        more = await visitor.see("/events" + html.unescape(older))
        assert numbers(more) == [n for n in range(259, -1, -1) if n % 4][100:]
        assert "The newest" in more

    visit(happened(), tmp_path, act)


def test_a_page_of_what_is_rare_may_be_short_and_lead_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "SCANNED", 10)

    async def act(visitor: Visitor) -> list[int]:
        found: list[int] = []
        before = None
        async with visitor.served.store.read() as tx:
            for _ in range(100):
                page = await views.event_list(tx, about="host", before=before)
                found += [int(event.text.split()[1]) for event in page.entries]
                before = page.next
                if before is None:
                    break
        return found

    assert visit(happened(), tmp_path, act) == list(range(256, -1, -4))


def test_what_cannot_be_asked_for_is_said(tmp_path: Path) -> None:
    async def act(visitor: Visitor) -> None:
        refused = await visitor.see("/events?about=nonsense", 400)
        assert "They are about change, item, build" in refused
        assert "no project nobody" in (await visitor.see("/events?project=nobody", 404)).lower()
        assert "Nothing of that has happened" in await visitor.see("/events?about=hold")

    visit(happened(), tmp_path, act)
