from __future__ import annotations

import asyncio

import pytest

from cupel.web.meter import Metered


class Clock:
    """Seconds that the processor has worked, set by hand."""

    def __init__(self) -> None:
        self.worked = 0.0

    async def work(self, seconds: float, *, rest: float = 0.0) -> str:
        self.worked += seconds
        await asyncio.sleep(rest)
        self.worked += seconds
        return "done"


def test_what_others_do_meanwhile_is_not_counted() -> None:
    async def run() -> tuple[str, float]:
        clock = Clock()
        metered = Metered(clock.work(1.0, rest=0.01), lambda: clock.worked)
        other = asyncio.ensure_future(clock.work(100.0))
        said = await metered
        await other
        assert clock.worked == 202.0
        return said, metered.cost

    assert asyncio.run(run()) == ("done", 2.0)


def test_a_cancellation_reaches_the_work() -> None:
    async def run() -> list[str]:
        seen = []

        async def work() -> None:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                seen.append("cancelled")
                raise

        async def wait() -> None:
            await Metered(work(), lambda: 0.0)

        task = asyncio.ensure_future(wait())
        await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return seen

    assert asyncio.run(run()) == ["cancelled"]


def test_an_error_is_the_works_own() -> None:
    async def work() -> None:
        raise ValueError("no")

    async def wait() -> None:
        await Metered(work(), lambda: 0.0)

    with pytest.raises(ValueError, match="no"):
        asyncio.run(wait())
