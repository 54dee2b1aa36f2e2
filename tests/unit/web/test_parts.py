"""A refresh sends what differs, and what it leaves out is what the browser has."""

from __future__ import annotations

import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from cupel.core.model import Change
from cupel.web import parts, site
from fakes import rows
from fakes.long_queue import long_queue
from unit.web.visit import Visitor, visit


def page(texts: list[str]) -> str:
    items = "".join(f'<li id="i-{n}"><b>{text}</b></li><!---->' for n, text in enumerate(texts))
    return f"<ol>{items}</ol><p>the end</p>"


def whole(shown: str, sent: str) -> str:
    """What a browser makes of it: it keeps what is the same."""
    known = {match[1]: match[0] for match in parts.PART.finditer(shown)}
    return re.sub(r'<li id="(i-\d+)" data-same></li>', lambda match: known[match[1]], sent)


texts = st.lists(st.text("ab <>", max_size=5), min_size=parts.FEW, max_size=24)


@given(texts, texts)
def test_the_browser_ends_with_what_it_would_have_got(before: list[str], after: list[str]) -> None:
    versions = parts.Versions()
    shown, wanted = page(before), page(after)
    for body in (shown, wanted):
        versions.add(parts.version(body), body)
    sent = versions.difference(parts.version(shown), parts.version(wanted), lambda: wanted)
    assert sent is not None
    assert whole(shown, sent) == wanted
    same = sum(one == other for one, other in zip(before, after, strict=False))
    assert sent.count("data-same") == same


def test_what_goes_on_by_itself_is_no_difference() -> None:
    one = page(['<time data-run="3">3 s</time><progress value="1">'] * parts.FEW)
    other = page(['<time data-run="9">9 s</time><progress value="7">'] * parts.FEW)
    assert parts.version(one) == parts.version(other)
    assert parts.version(one) != parts.version(one + "!")


def test_nothing_is_left_out_for_a_browser_that_nobody_knows() -> None:
    versions = parts.Versions()
    body = page(["x"] * 20)
    versions.add("v", body)
    assert versions.difference("unknown", "v", lambda: body) is None
    assert versions.difference("v", "unknown", lambda: body) is None


def test_short_pages_are_sent_whole() -> None:
    versions = parts.Versions()
    body = page(["x"] * (parts.FEW - 1))
    versions.add("v", body)
    assert versions.difference("v", "v", lambda: body) is None


def test_old_versions_are_forgotten() -> None:
    versions = parts.Versions()
    body = page(["x"] * 20)
    for number in range(parts.MOST + 1):
        versions.add(str(number), body)
    assert versions.difference("0", "1", lambda: body) is None
    assert versions.difference("1", "2", lambda: body) is not None


def test_an_event_in_a_long_queue_moves_one_row(tmp_path: Path) -> None:
    async def act(visitor: Visitor) -> None:
        asks = {"HX-Request": "true"}
        first = await visitor.client.get("/queue/platform", headers=asks)
        async with visitor.served.store.write() as tx:
            change = await tx.get(Change, 40)
            assert change is not None
            await tx.put([rows.dataclasses.replace(change, title="Another title")])
        visitor.served.feed.publish([rows.Event(id=1, at=0.0, kind="change.pushed", change_id=40)])
        asks[site.HAVE] = first.headers[site.HAVE]
        for _ in range(2):
            again = await visitor.client.get("/queue/platform", headers=asks)
            assert again.text.count("data-same") == 99
            assert again.text.count("Another title") == 1
            assert len(again.content) < len(first.content) / 5
        asks[site.HAVE] = again.headers[site.HAVE]
        assert (await visitor.client.get("/queue/platform", headers=asks)).status_code == 204

    visit(long_queue(100, machines=20), tmp_path, act)
