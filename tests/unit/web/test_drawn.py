"""Rows that are kept: never one that says something else than it would if it were drawn again."""

from __future__ import annotations

import asyncio
import dataclasses

from markupsafe import Markup

from cupel.control import views
from cupel.web import row as rows
from cupel.web.drawn import KEEP, Drawn
from cupel.web.row import Row
from fakes import busy


def gate() -> list[Row]:
    """The rows of the busy world's gate."""

    async def read() -> views.QueueView:
        told = busy.busy()
        store = await told.world.store()
        async with store.read() as tx:
            return await views.queue_view(tx, "cachetools", None, now=told.world.now)

    items = asyncio.run(read()).gate
    return list(rows.gate("", items, items).rows)


class Pen:
    """Draws with a kept memory, and counts how often it had to."""

    def __init__(self) -> None:
        self.drawn = Drawn()
        self.count = 0

    def draw(self, queue: str, row: Row, shared: bool, first: bool) -> Markup:
        self.count += 1
        return Markup("{}").format(row.item.title)

    def __call__(self, row: Row, *, may: str = "", now: float = 0.0) -> str:
        return self.drawn(self.draw, "q", row, shared=False, first=False, may=may, now=now)


def test_a_row_is_drawn_once_while_nothing_changes() -> None:
    pen, waiting = Pen(), gate()[4]
    assert pen(waiting) == pen(waiting, now=KEEP - 1) == "Type the keys module"
    assert pen.count == 1
    pen(waiting, now=KEEP + 1)
    assert pen.count == 2


def test_a_row_that_differs_is_drawn_again() -> None:
    pen, waiting = Pen(), gate()[4]
    pen(waiting)
    item = waiting.item
    others = [
        item.model_copy(update={"title": "Another"}),
        item.model_copy(update={"waiting": "something else"}),
        item.model_copy(update={"urgent": True}),
        item.model_copy(update={"jobs": item.jobs[1:]}),
    ]
    for count, other in enumerate(others, 2):
        assert pen(dataclasses.replace(waiting, item=other)) == other.title
        assert pen.count == count
    pen(dataclasses.replace(waiting, hidden=3))
    pen(dataclasses.replace(waiting, picture=gate()[2].picture))
    assert pen.count == 7


def test_nobody_sees_the_buttons_of_another_one() -> None:
    pen, waiting = Pen(), gate()[4]
    for may in ("", "write", "rule"):
        pen(waiting, may=may)
    assert pen.count == 3


def test_what_runs_is_always_drawn() -> None:
    pen, running = Pen(), gate()[1]
    pen(running)
    pen(running)
    assert pen.count == 2
