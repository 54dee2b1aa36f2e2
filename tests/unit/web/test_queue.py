"""The queue page, as it comes from the server."""

from __future__ import annotations

from pathlib import Path

from fakes.long_queue import long_queue
from unit.web.visit import Visitor, visit


def test_a_long_queue_is_there_with_all_of_its_changes(tmp_path: Path) -> None:
    async def act(visitor: Visitor) -> str:
        return await visitor.see("/queue/platform")

    page = visit(long_queue(60, machines=20), tmp_path, act)
    assert page.count(" in part ") == 60
    assert page.count(">failed</span>") == 2  # the change and its job
