"""Forms that have machines kept: what they ask for, and what is said to what makes no sense."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cupel.control import holds as holding
from cupel.control.auth import Scope
from fakes.rows import World
from unit.web.visit import HTML, Visitor, visit


class Holds:
    def __init__(self) -> None:
        self.asked: list[Any] = []

    async def ask(self, wish: Any, principal: Any) -> int:
        self.asked.append(wish)
        return 1

    async def release(self, number: int, principal: Any) -> None:
        self.asked.append((number, principal.user))


def test_a_machine_is_kept_from_a_form(tmp_path: Path) -> None:
    holds = Holds()

    async def act(visitor: Visitor) -> None:
        refused = await visitor.client.post("/holds", data={"reason": "x"}, headers=HTML)
        assert refused.status_code == 401
        csrf = await visitor.log_in(Scope.WRITE)
        answer = await visitor.client.post("/builds/7/hold", data={"csrf": csrf})
        assert (answer.status_code, answer.headers["location"]) == (303, "/holds")
        scripted = {"HX-Request": "true"}
        form = {"csrf": csrf, "for": "30m", "reason": " why? "}
        answer = await visitor.client.post("/builds/7/hold", data=form, headers=scripted)
        assert answer.status_code == 204
        form = {"csrf": csrf, "change": "#12", "job": " tests ", "for": "1h", "reason": "it hangs"}
        assert (await visitor.client.post("/holds", data=form)).status_code == 303
        assert (await visitor.client.post("/holds/3/release", data=form)).status_code == 303

    visit(World(), tmp_path, act, holds=holds)
    assert holds.asked == [
        holding.Wish(build=7, seconds=holding.SECONDS, reason="somebody looks at it"),
        holding.Wish(build=7, seconds=1800.0, reason="why?"),
        holding.Wish(change=12, job="tests", seconds=3600.0, reason="it hangs"),
        (3, "ada"),
    ]


def test_what_makes_no_sense_is_said(tmp_path: Path) -> None:
    holds = Holds()

    async def act(visitor: Visitor) -> None:
        csrf = await visitor.log_in(Scope.WRITE)
        for fields, words in (
            ({"build": "x<b>", "for": "1h"}, "is no number"),
            ({"change": "9" * 40, "for": "1h"}, "is no number"),
            ({"job": "tests", "for": "soon"}, "is not a duration"),
        ):
            form = {"csrf": csrf, "reason": "x", **fields}
            answer = await visitor.client.post("/holds", data=form, headers=HTML)
            assert (answer.status_code, words in answer.text) == (400, True), answer.text
        await visitor.see("/holds?over=perhaps", 404)
        await visitor.see("/holds/99/release", 404)

    visit(World(), tmp_path, act, holds=holds)
    assert holds.asked == []
