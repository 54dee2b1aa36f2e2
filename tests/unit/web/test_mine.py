"""The page of what concerns a user: one's own, another's, and what it says to nobody."""

from __future__ import annotations

from pathlib import Path

from fakes import afternoon, busy
from unit.web.visit import Visitor, visit


def test_mine_is_of_who_is_logged_in_and_others_can_be_asked_for(tmp_path: Path) -> None:
    told = busy.busy()
    afternoon.make(told, tmp_path)

    async def act(visitor: Visitor) -> None:
        nobody = await visitor.see("/mine")
        assert "cupel login" in nobody
        assert "Need you" not in nobody
        other = await visitor.see("/mine?user=katherine")
        assert "Need their owner" in other
        assert "Send the new token with each request" in other
        await visitor.log_in()
        own = await visitor.see("/mine")
        assert "Need you" in own
        assert "Rename Cache.getsizeof" in own
        assert own.index("Rename Cache.getsizeof") < own.index("On their way")
        assert "has pushed no change yet" in await visitor.see("/mine?user=%3Cb%3Enobody")

    visit(told.world, tmp_path, act)
