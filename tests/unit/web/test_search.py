"""The search page, and what the API and the command line say of the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from starlette.types import Message

from cupel.control import views
from cupel.control.views import LogsReached
from cupel.core.model import PatchSet
from cupel.errors import UserError
from cupel.web import search
from fakes import busy
from unit.web.visit import Visitor, visit


def look(directory: Path, *paths: str, status: int = 200) -> list[str]:
    told = busy.busy()

    async def act(visitor: Visitor) -> list[str]:
        busy.write_logs(visitor.served.logs, told).close()
        return [await visitor.see(path, status) for path in paths]

    return visit(told.world, directory, act)


def test_without_a_question_it_says_what_may_be_asked(tmp_path: Path) -> None:
    (page,) = look(tmp_path, "/search")
    assert 'name="q"' in page
    assert "the text of every log" in page


def test_kinds_are_grouped_and_exact_names_lead_there(tmp_path: Path) -> None:
    told = busy.busy()
    exact, words, commit = look(
        tmp_path,
        f"/search?q=%23{told.failing_change}",
        "/search?q=evict+dijkstra",
        "/search?q=" + told.world.row(PatchSet, 1).commit[:8],
    )
    assert "Exactly this" in exact
    assert f'href="/changes/{told.failing_change}"' in exact
    assert 'id="changes">Changes <span class="count">1</span>' in words
    assert "Evict the least recently used" in words
    assert "is patch set 1 of change #1" in commit


def test_lines_of_logs_are_shown_where_they_stand(tmp_path: Path) -> None:
    told = busy.busy()
    (page,) = look(tmp_path, "/search?q=1+failed%2C+213+PASSED")  # which is coloured in the log
    assert "<mark>1 failed, 213 passed</mark> in 29.41s" in page
    where = f'href="/builds/{told.failed_build}?q=1+failed%2C+213+PASSED#L'
    assert where in page
    assert "<b>1 line</b> in 1 log." in page
    assert page.index("<mark>") < page.index("</main>")


def test_logs_can_be_narrowed(tmp_path: Path) -> None:
    pages = look(
        tmp_path,
        "/search?q=install&kind=logs&verdict=failure",
        "/search?q=install&kind=logs&job=docs",
        "/search?q=install&kind=logs&since=1s",
        "/search?q=in(stall)%5Cw%2B&regex=1",
        "/search?q=INSTALL&case=1&kind=logs",
        "/search?q=install&kind=logs&before=1",
    )
    assert [page.count("<article") for page in pages] == [1, 0, 0, 2, 0, 0]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("q=x&verdict=purple", "is no verdict"),
        ("q=x&since=yesterday", "neither a date"),
        ("q=(&regex=1", "no regular expression"),
        ("q=x&project=nowhere", "there is no project"),
    ],
)
def test_what_cannot_be_asked_is_said_beside_the_question(
    tmp_path: Path, query: str, words: str
) -> None:
    (page,) = look(tmp_path, f"/search?{query}", status=400)
    assert words in page.lower()


def test_what_is_hostile_is_text(tmp_path: Path) -> None:
    told = busy.busy()

    async def act(visitor: Visitor) -> str:
        log = visitor.served.logs.writer(told.failed_build)
        log.append(
            0, "out", 1.0, b"<script>alert(1)</script> <!--logs--> \xe2\x80\xaeevil needle\n"
        )
        log.close()
        return await visitor.see("/search?q=needle+%3C!--logs--%3E") + await visitor.see(
            "/search?q=needle"
        )

    page = visit(told.world, tmp_path, act)
    assert "<script>alert" not in page
    assert "U+202E" in page
    assert "&lt;!--logs--&gt;" in page


def test_what_is_found_is_sent_as_it_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The browser has what rows say before the logs have been searched, and ends the search."""
    told = busy.busy()
    heard, ended = asyncio.Event(), asyncio.Event()

    async def slow(*args: object, **how: object) -> AsyncIterator[LogsReached]:
        try:
            await heard.wait()
            await asyncio.sleep(60)
            yield LogsReached.model_construct()
        finally:
            ended.set()

    monkeypatch.setattr(views, "log_stream", slow)

    async def act(visitor: Visitor) -> bytes:
        sent = b""

        async def receive() -> Message:
            await heard.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            nonlocal sent
            sent += message.get("body", b"")
            if b'id="logs"' in sent:
                heard.set()

        scope = {
            "type": "http", "method": "GET", "path": "/search", "query_string": b"q=popitem",
            "headers": [(b"host", b"127.0.0.1"), (b"accept", b"text/html")], "http_version": "1.1",
            "scheme": "http", "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 1),
            "root_path": "",
            "raw_path": b"/search", "asgi": {"version": "3.0", "spec_version": "2.0"},
        }  # fmt: skip
        transport = visitor.client._transport
        assert isinstance(transport, httpx2.ASGITransport)
        async with asyncio.timeout(20):
            await transport.app(scope, receive, send)
            await ended.wait()
        return sent

    page = visit(told.world, tmp_path, act)
    assert b"Raise KeyError from popitem" in page
    assert b"</html>" not in page


def test_a_question_keeps_what_stands_in_the_address() -> None:
    asked = search.Question(q="a b", job="tests", regex=True)
    assert asked.address(before=7) == "?q=a+b&job=tests&regex=1&before=7"
    assert asked.in_log == "?q=a+b&regex=1"
    assert asked.kinds == ("logs",)
    assert search.Question(kind="tests").kinds == ("tests",)


def test_a_time_is_a_date_or_how_long_ago() -> None:
    assert search.since("2d", 1_000_000.0) == 1_000_000.0 - 172_800
    assert search.since("1970-01-02", 0.0) == 86_400.0
    with pytest.raises(UserError):
        search.since("soon", 0.0)


def test_hosts_and_machines_lead_to_their_pages(tmp_path: Path) -> None:
    hosts, machines, projects = look(
        tmp_path, "/search?q=anvil", "/search?q=debian&kind=machines", "/search?q=nightjar"
    )
    assert 'href="/hosts/anvil"' in hosts
    assert 'href="/machines/' in machines
    assert 'href="/queue/nightjar"' in projects
