"""The pages of changes: the list and its filters, attempts, and what is asked for there."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from cupel.control.auth import Principal, Scope
from cupel.control.holds import Wish
from cupel.core.model import (
    Buildset,
    BuildState,
    Change,
    ChangeState,
    Pipeline,
    Verdict,
)
from cupel.errors import UserError
from cupel.web import text
from fakes.busy import busy
from fakes.rows import JOBS, World, oid
from unit.web.visit import Visitor, visit


@dataclasses.dataclass(frozen=True, kw_only=True)
class Holds:
    """Remembers who wants what held."""

    asked: list[tuple[Wish, str]] = dataclasses.field(default_factory=list)

    async def ask(self, wish: Wish, principal: Principal) -> int:
        if not wish.reason:
            raise UserError("a machine is held for a reason", hint="say it: --reason TEXT")
        self.asked.append((wish, principal.user))
        return 1


def numbers(page: str) -> list[int]:
    """The changes that a list has, in its order."""
    return [int(part.partition('"')[0]) for part in page.split('<tr id="change-')[1:]]


def test_the_list_is_filtered_by_its_address(tmp_path: Path) -> None:
    world = World()
    one, other = world.project("one", head=oid("a")), world.project("other", head=oid("b"))
    first = world.change(one, "Mend the <b>roof</b>", "Ada Lovelace <ada@example.org>")
    second = world.change(other, "Mend the door", "Grace Hopper <g@example.org>", approved=False)
    third = world.change(one, "Paint it", state=ChangeState.ABANDONED)
    world.put(dataclasses.replace(second, topic="summer", branch="stable"))
    wanted = {
        "": [second.id, first.id],
        "state=all": [third.id, second.id, first.id],
        "state=abandoned": [third.id],
        "text=MEND+roof": [first.id],
        "text=hopper": [second.id],
        "text=%231": [first.id],
        "project=other": [second.id],
        "branch=stable": [second.id],
        "topic=summer": [second.id],
        "author=grace": [second.id],
        "author=Ada+Lovelace+%3Cada%40example.org%3E": [first.id],
        "text=nothing+like+it": [],
    }

    async def look(visitor: Visitor) -> dict[str, list[int]]:
        found = {query: numbers(await visitor.see(f"/changes?{query}")) for query in wanted}
        assert "<b>roof" not in await visitor.see("/changes")
        assert "Has 0 of 1 approval" in await visitor.see("/changes?project=other")
        assert "No change fits" in await visitor.see("/changes?text=nothing+like+it")
        assert ", landed, abandoned, or all" in await visitor.see("/changes?state=x", 400)
        assert (
            "there is no project none" in (await visitor.see("/changes?project=none", 404)).lower()
        )
        return found

    assert visit(world, tmp_path, look) == wanted


def test_the_list_has_pages_that_keep_the_filter(tmp_path: Path) -> None:
    world = World()
    project = world.project("one", head=oid("a"))
    for number in range(60):
        world.change(project, f"Change {number} of many")

    async def look(visitor: Visitor) -> list[int]:
        first = await visitor.see("/changes?text=many")
        assert "state=open&amp;text=many&amp;before=11" in first
        second = await visitor.see("/changes?state=open&text=many&before=11")
        assert "Newest" in second
        return [*numbers(first), *numbers(second)]

    assert visit(world, tmp_path, look) == list(range(60, 0, -1))


def test_older_states_are_folded_until_they_are_asked_for(tmp_path: Path) -> None:
    world = World()
    change = world.change(world.project("one", head=oid("a")), "One")
    item = world.item(change, Pipeline.GATE, onto=oid("a"))
    for number in range(6):
        state = world.older_state(item, oid(f"{number}"))
        world.build(
            item, JOBS[0].name, BuildState.FINISHED, Verdict.FAILURE, buildset=state.id, ran=1.0
        )
    assert len(world.rows_of(Buildset)) == 7

    async def look(visitor: Visitor) -> None:
        short = await visitor.see(f"/changes/{change.id}")
        assert short.count('<th scope="col" class="old">') == 3
        assert "3 earlier states" in short
        whole = await visitor.see(f"/changes/{change.id}?states=all")
        assert whole.count('<th scope="col" class="old">') == 6
        assert "earlier state" not in whole

    visit(world, tmp_path, look)


def test_what_cannot_be_taken_back_is_asked_about(tmp_path: Path) -> None:
    told = busy()
    (needing,) = (
        row for row in told.world.rows_of(Change).values() if row.title.startswith("Type")
    )

    async def look(visitor: Visitor) -> None:
        await visitor.see("/changes/7/abandon", 401)
        await visitor.log_in(Scope.WRITE)
        page = await visitor.see("/changes/7/abandon")
        assert f'href="/changes/{needing.id}"' in page
        assert 'action="/changes/7/abandon"' in page
        ended = await visitor.see("/changes/12/abandon")
        assert "nothing to abandon" in ended
        assert 'action="/changes/12/abandon"' not in ended

    visit(told.world, tmp_path, look)


def test_the_machine_of_the_next_failure_is_asked_for(tmp_path: Path) -> None:
    holds = Holds()

    async def look(visitor: Visitor) -> list[int]:
        fields: dict[str, Any] = {"csrf": await visitor.log_in(Scope.WRITE), "for": "90m"}
        answers = []
        for more in ({"reason": "look at it"}, {"reason": ""}, {"reason": "x", "for": "long"}):
            sent = {**fields, **more}
            answer = await visitor.client.post("/changes/6/hold", data=sent)
            answers.append(answer.status_code)
        return answers

    assert visit(busy().world, tmp_path, look, holds=holds) == [303, 400, 400]
    assert holds.asked == [(Wish(change=6, reason="look at it", seconds=5400.0), "ada")]


def test_numbers_of_changes_are_linked_and_nothing_else() -> None:
    link = '<a class="num" href="/changes/7">#7</a>'
    assert text.linked(text.visible("it's #7, not <#8x> or a#b")) == (
        f"it&#39;s {link}, not &lt;#8x&gt; or a#b"
    )


def test_a_caret_stands_below_its_column() -> None:
    assert text.blank("\tab: c", 4) == "\t  "
    assert text.blank("ab", 1) == ""
    assert text.blank("ab", 0) == ""
