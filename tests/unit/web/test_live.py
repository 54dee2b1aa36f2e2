from __future__ import annotations

import asyncio

from cupel.control.feed import Feed
from cupel.core.model import Event
from cupel.web import live


def event(number: int, **about: int) -> Event:
    return Event(id=number, at=0.0, kind="item.enqueued", **about)


def test_a_notice_comes_at_once_and_one_after_a_burst() -> None:
    async def run() -> list[str]:
        feed = Feed()
        notices = live.notices(feed, lambda event: True)
        seen = [await anext(notices)]
        feed.publish(event(number) for number in range(100))
        seen.append(await anext(notices))
        feed.close()
        seen.extend([notice async for notice in notices])
        return seen

    assert asyncio.run(run()) == [live.RETRY + live.NOTICE, live.NOTICE]


def test_what_does_not_concern_a_page_is_not_told() -> None:
    async def run() -> list[str]:
        feed = Feed()
        notices = live.notices(feed, live.wanted(project=1, build=None))
        await anext(notices)
        feed.publish([event(1, project_id=2)])
        feed.close()
        return [notice async for notice in notices]

    assert asyncio.run(run()) == []


def test_what_concerns_a_page() -> None:
    project = live.wanted(project=1, build=None)
    assert project(event(1, project_id=1))
    assert project(event(2))
    assert not project(event(3, project_id=2))
    build = live.wanted(project=None, build=5)
    assert build(event(4, build_id=5, project_id=1))
    assert not build(event(5, build_id=6, project_id=1))


def test_leaving_a_page_ends_its_subscription() -> None:
    async def run() -> int:
        feed = Feed()
        notices = live.notices(feed, lambda event: True)
        await anext(notices)
        await notices.aclose()  # type: ignore[attr-defined]
        return len(feed._subscriptions)

    assert asyncio.run(run()) == 0
