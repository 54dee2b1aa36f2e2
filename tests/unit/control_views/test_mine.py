"""What concerns a user: in the words of the queue, and what does not go on by itself first."""

from __future__ import annotations

import asyncio
from pathlib import Path

from cupel.control import views
from cupel.control.views import MineView, QueueView
from fakes import afternoon, busy
from fakes.rows import NOW


def seen(directory: Path, user: str) -> tuple[MineView, list[QueueView]]:
    """What concerns a user of an afternoon, and its queues."""
    told = busy.busy()
    afternoon.make(told, directory)

    async def run() -> tuple[MineView, list[QueueView]]:
        store = await told.world.store()
        async with store.read() as tx:
            mine = await views.mine_view(tx, user, now=NOW)
            return mine, await views.queue_views(tx, now=NOW)

    return asyncio.run(run())


def test_what_needs_its_owner_comes_first_and_says_why(tmp_path: Path) -> None:
    mine, _ = seen(tmp_path, "ada")
    needs = [each.needs_owner for each in mine.changes]
    assert needs == sorted(needs, reverse=True)
    told = {each.title: (each.status, each.text) for each in mine.changes if each.needs_owner}
    assert told["Count hits per key"] == ("waiting", "has 0 of 1 approval")
    assert told["Rename Cache.getsizeof"][0] == "rejected"
    assert "src/cache.py" in told["Rename Cache.getsizeof"][1]
    assert ".cupel.yaml:14:9" in told["Test on PyPy as well"][1]


def test_what_is_on_its_way_waits_as_the_queue_says(tmp_path: Path) -> None:
    mine, queues = seen(tmp_path, "katherine")
    said = {item.change: (item.status, item.waiting) for queue in queues for item in queue.gate}
    assert len(mine.changes) == 2
    for each in mine.changes:
        assert (each.status, each.text) == said[each.id]
        assert not each.needs_owner
        assert each.jobs


def test_holds_quarantines_and_what_has_landed(tmp_path: Path) -> None:
    ada, _ = seen(tmp_path, "ada")
    assert [hold.reason for hold in ada.holds] == ["why does it fail here alone?"]
    assert ada.quarantines == []
    grace, _ = seen(tmp_path, "grace")
    assert [each.test for each in grace.quarantines] == [afternoon.FLAKY]
    times = [each.landed_at for each in grace.landed]
    assert times == sorted(times, reverse=True)
    assert all(each.commit for each in grace.landed)


def test_a_user_whom_nobody_knows_has_nothing(tmp_path: Path) -> None:
    mine, _ = seen(tmp_path, "nobody")
    assert (mine.changes, mine.landed, mine.holds, mine.quarantines) == ([], [], [], [])
