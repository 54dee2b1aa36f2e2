from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from cupel.control.feed import Feed
from cupel.core.model import Event
from cupel.web import herald, live
from cupel.web.herald import Herald
from cupel.web.topic import Topic

T = TypeVar("T")
EVERYTHING = Topic()


def event(number: int, **about: int) -> Event:
    return Event(id=number, at=0.0, kind="item.enqueued", **about)


class Told:
    """A herald whose clock is set by hand; `tell` is what its timer would do."""

    def __init__(self) -> None:
        self.now = 0.0
        self.feed = Feed()
        self.herald = Herald(clock=lambda: self.now, chance=lambda: 0.5)
        self.feed.add(self.herald)

    def listen(self, topic: Topic = EVERYTHING, seen: str | None = None) -> AsyncIterator[bytes]:
        known = self.herald.seen(self.herald.moment) if seen is None else seen
        return live.notices(self.herald, topic, seen=known, first=False, keepalive=0.001)

    async def notices(self, stream: AsyncIterator[bytes], until: float) -> int:
        """How many come up to a moment. A beat shows that there is no more for now."""
        count = 0
        while self.now < until:
            self.herald.tell()
            while await anext(stream) == live.NOTICE:
                count += 1
            self.now = round(self.now + 0.05, 6)
        return count


def run(act: Callable[[Told], Awaitable[T]]) -> T:
    async def do() -> T:
        return await act(Told())

    return asyncio.run(do())


def test_a_page_that_shows_what_there_is_is_told_nothing() -> None:
    async def act(told: Told) -> int:
        stream = told.listen()
        assert (await anext(stream)).startswith(b"retry: ")
        return await told.notices(stream, 1.0)

    assert run(act) == 0


def test_what_happened_before_a_page_listens_is_told_at_once() -> None:
    async def act(told: Told) -> list[bytes]:
        seen = told.herald.seen(told.herald.moment)
        told.feed.publish([event(1)])
        stream = told.listen(seen=seen)
        return [await anext(stream), await anext(stream)]

    assert run(act)[1] == live.NOTICE


def test_a_page_of_another_life_or_of_none_is_told_at_once() -> None:
    async def act(told: Told) -> list[bytes]:
        seen = []
        for known in ("", "0badcafe-0", "nonsense", told.herald.seen(7), "9" * 9000, "²-²"):
            stream = told.listen(seen=known)
            await anext(stream)
            seen.append(await anext(stream))
        return seen

    assert run(act) == [live.NOTICE] * 6


def test_a_notice_comes_at_once_and_one_after_a_burst() -> None:
    async def act(told: Told) -> tuple[int, int]:
        stream = told.listen()
        await anext(stream)
        told.feed.publish([event(1)])
        first = await told.notices(stream, 0.05)
        for number in range(100):
            told.feed.publish([event(number)])
        return first, await told.notices(stream, 2.0)

    assert run(act) == (1, 1)


def test_the_first_notice_does_not_wait_for_more() -> None:
    """Without anybody's help: the timer is the loop's own."""

    async def do() -> float:
        feed, own = Feed(), Herald()
        feed.add(own)
        stream = live.notices(own, EVERYTHING, seen=own.seen(0), first=False)
        await anext(stream)
        loop = asyncio.get_running_loop()
        began = loop.time()
        feed.publish([event(1)])
        assert await anext(stream) == live.NOTICE
        return loop.time() - began

    assert asyncio.run(do()) < herald.GAP


def test_what_does_not_concern_a_page_is_not_told() -> None:
    async def act(told: Told) -> int:
        stream = told.listen(Topic(project=1))
        await anext(stream)
        told.feed.publish([event(1, project_id=2)])
        return await told.notices(stream, 1.0)

    assert run(act) == 0


def test_a_crowd_is_told_one_after_the_other() -> None:
    async def act(told: Told) -> list[int]:
        streams = [told.listen() for _ in range(60)]
        for stream in streams:
            await anext(stream)
        told.feed.publish([event(1)])
        counts = []
        for moment in (0.0, 0.1, 100.0, 200.0):
            told.now = moment
            told.herald.tell()
            counts.append(sum([await anext(stream) == live.NOTICE for stream in streams]))
        return counts

    assert run(act) == [herald.BURST, 4, herald.BURST, 6]


def test_a_crowd_does_not_come_back_at_the_same_time() -> None:
    async def act(told: Told) -> tuple[str, str]:
        alone = told.herald.retry()
        streams = [told.listen() for _ in range(1000)]
        for stream in streams:
            await anext(stream)
        return alone, told.herald.retry()

    assert run(act) == ("retry: 1000\n\n", "retry: 13500\n\n")


def test_everybody_is_let_go_at_the_end() -> None:
    async def act(told: Told) -> list[bytes]:
        early = told.listen()
        await anext(early)
        told.feed.close()
        rest = [said async for said in early]
        return rest + [said async for said in told.listen()][1:]

    assert run(act) == []


def test_what_concerns_a_page() -> None:
    project = Topic(project=1)
    assert project.concerns(event(1, project_id=1))
    assert project.concerns(event(2))
    assert not project.concerns(event(3, project_id=2))
    build = Topic(build=5)
    assert build.concerns(event(4, build_id=5, project_id=1))
    assert not build.concerns(event(5, build_id=6, project_id=1))


def test_whether_something_happened_since() -> None:
    async def act(told: Told) -> list[bool]:
        told.feed.publish([event(1, project_id=1), event(2, project_id=2)])
        own = told.herald
        known = [own.happened(Topic(project=1), 1), own.happened(Topic(project=2), 1)]
        told.feed.publish(event(number, project_id=2) for number in range(herald.REMEMBERED))
        return [*known, own.happened(Topic(project=1), 1), own.happened(Topic(project=1), 5)]

    assert run(act) == [False, True, True, False]


def test_leaving_a_page_ends_its_subscription() -> None:
    async def act(told: Told) -> tuple[int, int]:
        stream = told.listen()
        await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined]
        return len(told.herald._listeners), len(told.herald._groups)

    assert run(act) == (0, 0)
