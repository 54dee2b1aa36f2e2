"""Pages that are made once for everybody, and that nobody gets who should not."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2

from cupel.control import auth
from cupel.control.auth import Scope
from cupel.core.model import Event
from cupel.web import shared, site
from cupel.web.herald import Herald
from cupel.web.parts import Versions
from cupel.web.shared import Shared
from cupel.web.topic import Topic
from fakes import busy, rows
from fakes.served import Settings
from unit.web.visit import Visitor, visit

PAGE = {"Accept": "text/html"}
Answer = httpx2.Response


class Stand:
    """An application of one page in the place of ours, which counts how often it is asked."""

    def __init__(self, *, offers: bool = True, status: int = 200, cost: float = 0.0) -> None:
        self.now = 0.0
        self.worked = 0.0
        self.slept: list[float] = []
        self.asked = 0
        self.offers = offers
        self.status = status
        self.cost = cost
        self.text = "a page"
        self.herald = Herald(clock=lambda: self.now)
        self.layer = Shared(
            self._answer, herald=self.herald, versions=Versions(), open=True,
            clock=lambda: self.now, spent=lambda: self.worked, sleep=self._sleep,
        )  # fmt: skip

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked += 1
        self.worked += self.cost
        offer = shared.offer_of(scope)
        text = f"{self.text} {self.asked}"
        await asyncio.sleep(0.005)
        if self.offers and offer is not None:
            offer.topic = Topic(project=1)
        headers = [(b"content-type", b"text/html"), (b"x-cupel-have", text[-1:].encode())]
        start = {"type": "http.response.start", "status": self.status, "headers": headers}
        await send(start)
        await send({"type": "http.response.body", "body": text.encode()})

    def happen(self, project: int | None = None) -> None:
        self.herald.offer(Event(id=1, at=0.0, kind="change.pushed", project_id=project))

    def run(self, act: Callable[[httpx2.AsyncClient], Awaitable[None]]) -> None:
        async def do() -> None:
            transport = httpx2.ASGITransport(app=self.layer)
            async with httpx2.AsyncClient(
                transport=transport, base_url="http://cupel", headers=PAGE
            ) as client:
                await act(client)

        asyncio.run(do())


def test_however_many_ask_at_once_it_is_made_once() -> None:
    stand = Stand()

    async def act(client: httpx2.AsyncClient) -> None:
        answers = await asyncio.gather(*(client.get("/") for _ in range(50)))
        assert {answer.text for answer in answers} == {"a page 1"}
        assert stand.asked == 1
        await client.get("/?branch=main")
        await client.get("/", headers={"HX-Request": "true"})
        assert stand.asked == 3

    stand.run(act)


def test_it_is_made_anew_when_something_happened_that_concerns_it() -> None:
    stand = Stand()

    async def act(client: httpx2.AsyncClient) -> None:
        await client.get("/")
        stand.happen(project=2)
        assert (await client.get("/")).text == "a page 1"
        stand.happen(project=1)
        assert (await client.get("/")).text == "a page 2"
        stand.happen()
        assert (await client.get("/")).text == "a page 3"

    stand.run(act)


def test_who_asks_after_something_happened_never_gets_what_was_made_before() -> None:
    """Not even by joining those who wait for a page whose making began before."""
    stand = Stand()

    async def act(client: httpx2.AsyncClient) -> None:
        early = asyncio.ensure_future(client.get("/"))
        await asyncio.sleep(0.002)
        assert stand.asked == 1
        stand.happen(project=1)
        late = await client.get("/")
        assert ((await early).text, late.text) == ("a page 1", "a page 2")

    stand.run(act)


def test_it_is_kept_for_a_short_time() -> None:
    stand = Stand()

    async def act(client: httpx2.AsyncClient) -> None:
        await client.get("/")
        stand.now = shared.KEEP - 0.1
        assert (await client.get("/")).text == "a page 1"
        stand.now = shared.KEEP + 0.1
        assert (await client.get("/")).text == "a page 2"

    stand.run(act)


def test_a_crowd_waits_for_its_page_and_the_gate_does_not() -> None:
    """Each page takes half a second of the processor, and something happens all the time."""
    stand = Stand(cost=0.5)

    async def act(client: httpx2.AsyncClient) -> None:
        for _ in range(20):
            stand.happen()
            await client.get("/", headers={"HX-Request": "true"})
        assert stand.worked <= shared.BURST + 0.5 + shared.SHARE * stand.now
        assert max(stand.slept) <= shared.STALE

    stand.run(act)


def test_a_crowd_gets_less_than_a_few() -> None:
    stand = Stand(cost=0.3)

    async def act(client: httpx2.AsyncClient) -> None:
        with contextlib.ExitStack() as crowd:
            for _ in range(shared.CROWD):
                crowd.enter_context(stand.herald.listen(Topic(), "", first=False))
            asks = {"HX-Request": "true"}
            await client.get("/", headers=asks)
            stand.happen()
            await client.get("/", headers=asks)
        least = (0.3 - shared.CROWD_BURST) / shared.CROWD_SHARE
        assert least <= sum(stand.slept) <= least + 0.1

    stand.run(act)


def test_a_visitor_does_not_wait_but_gets_what_there_is() -> None:
    stand = Stand(cost=0.9)

    async def act(client: httpx2.AsyncClient) -> None:
        await client.get("/")
        stand.happen()
        assert (await client.get("/")).text == "a page 1"
        assert stand.slept == []
        stand.now = shared.STALE + 0.1
        assert (await client.get("/")).text == "a page 2"

    stand.run(act)


def test_the_browser_is_not_sent_what_it_has() -> None:
    stand = Stand()

    async def act(client: httpx2.AsyncClient) -> None:
        asks = {"HX-Request": "true"}
        first = await client.get("/", headers=asks)
        asks[site.HAVE] = first.headers[site.HAVE]
        again = await client.get("/", headers=asks)
        assert (again.status_code, again.content, stand.asked) == (204, b"", 1)
        whole = await client.get("/")
        tag = {"If-None-Match": f'"other", {whole.headers["etag"]}'}
        same = await client.get("/", headers=tag)
        assert (same.status_code, same.content) == (304, b"")
        stand.happen()
        assert (await client.get("/", headers=tag)).status_code == 200

    stand.run(act)


def test_the_first_to_ask_does_not_decide_what_the_others_get() -> None:
    stand = Stand()

    async def act(client: httpx2.AsyncClient) -> None:
        asks = {"HX-Request": "true", site.HAVE: "something else"}
        assert (await client.get("/", headers=asks)).text == "a page 1"
        identity = {"Accept-Encoding": "identity"}
        assert (await client.get("/", headers=identity)).headers.get("content-encoding") is None

    stand.run(act)


def test_what_is_not_offered_goes_to_each_by_itself() -> None:
    for stand in (Stand(offers=False), Stand(status=404)):

        async def act(client: httpx2.AsyncClient, stand: Stand = stand) -> None:
            answers = await asyncio.gather(*(client.get("/") for _ in range(5)))
            assert len({answer.text for answer in answers}) == 5
            assert stand.asked == 5
            assert stand.layer._flights == {}

        stand.run(act)


def test_who_says_who_they_are_is_not_served_from_here() -> None:
    stand = Stand()

    async def act(client: httpx2.AsyncClient) -> None:
        for headers in (
            {"Cookie": f"{auth.COOKIE}=cupel_x"}, {"Cookie": f"a=b; {auth.COOKIE}="},
            {"Authorization": "Bearer x"}, {"Authorization": ""}, {"Range": "bytes=0-1"},
            {"Accept": "application/json"},
        ):  # fmt: skip
            before = stand.asked
            await client.get("/", headers=headers)
            await client.get("/", headers=headers)
            assert stand.asked == before + 2, headers
        await client.post("/")
        assert stand.layer._kept == {}

    stand.run(act)


def test_what_is_kept_is_bounded(monkeypatch: Any) -> None:
    monkeypatch.setattr(shared, "MEMORY", 100_000)
    stand = Stand()
    stand.text = "x" * 10_000

    async def act(client: httpx2.AsyncClient) -> None:
        for number in range(100):
            await client.get(f"/?n={number}")
        assert stand.layer._size <= 100_000
        assert stand.layer._size == sum(kept.size for kept in stand.layer._kept.values())
        assert 1 < len(stand.layer._kept) < 10

    stand.run(act)


def test_a_page_that_fails_leaves_nobody_waiting() -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.001)
        raise RuntimeError("no")

    async def do() -> list[object]:
        layer = Shared(broken, herald=Herald(), versions=Versions(), open=True)
        transport = httpx2.ASGITransport(app=layer)
        async with httpx2.AsyncClient(transport=transport, base_url="http://cupel") as client:
            asked = (client.get("/", headers=PAGE) for _ in range(5))
            return await asyncio.gather(*asked, return_exceptions=True)

    assert [type(answer) for answer in asyncio.run(do())] == [RuntimeError] * 5


# The real pages


def test_a_person_gets_their_own_page_and_nobody_else_does(tmp_path: Path) -> None:
    async def act(visitor: Visitor) -> None:
        nobody = await visitor.client.get("/queue/cachetools", headers=PAGE)
        csrf = await visitor.log_in(Scope.ADMIN)
        mine = await visitor.client.get("/queue/cachetools", headers=PAGE)
        assert csrf in mine.text
        assert mine.headers["cache-control"] == "no-store"
        assert "Log out" in mine.text
        assert "Log out" not in nobody.text
        visitor.client.cookies.clear()
        again = await visitor.client.get("/queue/cachetools", headers=PAGE)
        assert again.text == nobody.text
        assert again.headers["cache-control"] == "no-cache"
        assert "Cookie" in again.headers["vary"]

    visit(busy.busy().world, tmp_path, act, told=False)


def test_nothing_is_kept_of_a_server_that_asks_for_a_login(tmp_path: Path) -> None:
    async def act(visitor: Visitor) -> None:
        await visitor.log_in(Scope.READ)
        await visitor.see("/queue/cachetools")
        token = await visitor.served.auth.create("ada", name="t", scopes=[Scope.READ])
        visitor.client.cookies.clear()
        known = {"Authorization": f"Bearer {token.secret}"}
        answer = await visitor.client.get("/queue/cachetools", headers={**PAGE, **known})
        assert answer.status_code == 200
        for extra in ({}, {"HX-Request": "true"}):
            refused = await visitor.client.get("/queue/cachetools", headers={**PAGE, **extra})
            assert refused.status_code == 401
            assert "Evict" not in refused.text

    visit(busy.busy().world, tmp_path, act, told=False, config=Settings(read="login"))


def test_a_page_is_not_the_same_as_its_answer_in_trouble(tmp_path: Path) -> None:
    async def act(visitor: Visitor) -> None:
        for path in ("/queue/nope", "/changes/99999", "/login"):
            answer = await visitor.client.get(path, headers=PAGE)
            assert answer.headers["cache-control"] == "no-store"

    visit(rows.World(), tmp_path, act, told=False)


def test_the_names_that_we_answer_to_guard_what_is_kept(tmp_path: Path) -> None:
    async def act(visitor: Visitor) -> None:
        await visitor.see("/queue")
        evil = await visitor.client.get("/queue", headers={**PAGE, "Host": "evil.example"})
        assert evil.status_code == 421

    visit(rows.World(), tmp_path, act, told=False)


def test_a_kept_page_is_sent_small_and_says_how_it_may_be_used(tmp_path: Path) -> None:
    async def act(visitor: Visitor) -> None:
        made = await visitor.client.get("/queue/cachetools", headers=PAGE)
        kept = await visitor.client.get("/queue/cachetools", headers=PAGE)
        assert made.content == kept.content
        assert kept.headers["content-encoding"] == "gzip"
        assert "default-src 'none'" in kept.headers["content-security-policy"]
        assert int(kept.headers["content-length"]) == len(gzip.compress(kept.content, 6, mtime=0))
        assert made.headers == kept.headers

    visit(busy.busy().world, tmp_path, act, told=False)
