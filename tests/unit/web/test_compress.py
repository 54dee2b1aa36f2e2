from __future__ import annotations

import asyncio
import gzip
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.datastructures import Headers

from cupel.web import compress
from cupel.web.compress import Compress
from fakes import busy
from unit.web.visit import Visitor, visit

TEXT = b"line\n" * 1000


def ask(
    headers: dict[str, str],
    *,
    kind: str = "text/plain",
    body: bytes = TEXT,
    whole: bool = True,
    status: int = 200,
    **more: str,
) -> httpx2.Response:
    """What comes of an answer of this kind."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        given = {"content-type": kind, "content-length": str(len(body)), **more}
        raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in given.items()]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": body, "more_body": not whole})
        if not whole:
            await send({"type": "http.response.body", "body": b""})

    async def do() -> httpx2.Response:
        transport = httpx2.ASGITransport(app=Compress(app))
        async with httpx2.AsyncClient(transport=transport, base_url="http://cupel") as client:
            return await client.get("/", headers=headers)

    return asyncio.run(do())


GZIP = {"Accept-Encoding": "gzip, br"}


def test_text_is_made_small() -> None:
    answer = ask(GZIP, etag='"one"')
    assert answer.content == TEXT
    assert answer.headers["content-encoding"] == "gzip"
    assert int(answer.headers["content-length"]) < 100
    assert answer.headers["vary"] == "Accept-Encoding"
    assert answer.headers["etag"] == 'W/"one"'


@pytest.mark.parametrize(
    "how",
    [
        {"headers": {"Accept-Encoding": "identity"}},
        {"headers": {"Accept-Encoding": "gzip;q=0, br"}},
        {"headers": {**GZIP, "Range": "bytes=0-99"}},
        {"headers": {**GZIP, "Sec-Fetch-Site": "cross-site"}},
        {"headers": GZIP, "kind": "image/png"},
        {"headers": GZIP, "kind": "text/event-stream"},
        {"headers": GZIP, "kind": "text/event-stream; charset=utf-8"},
        {"headers": GZIP, "whole": False},
        {"headers": GZIP, "body": b"short"},
        {"headers": GZIP, "status": 206},
        {"headers": GZIP, "content_range": "bytes 0-4999/9000"},
        {"headers": GZIP, "status": 404},
    ],
)
def test_everything_else_passes_as_it_is(how: dict[str, Any]) -> None:
    answer = ask(**how)
    assert "content-encoding" not in answer.headers
    assert answer.content == how.get("body", TEXT)
    assert answer.headers["content-length"] == str(len(answer.content))


@pytest.mark.parametrize("accepts", ["gzip", "br;q=1, gzip;q=0.5", "GZIP", "deflate,gzip"])
def test_who_takes_gzip(accepts: str) -> None:
    assert compress.is_wanted(Headers({"accept-encoding": accepts}))


def test_what_is_large_is_the_same() -> None:
    body = TEXT * 100
    assert len(body) > compress.LARGE
    assert gzip.decompress(asyncio.run(compress.gzip(body))) == body


def test_a_part_of_a_log_is_the_part_that_was_asked_for(tmp_path: Path) -> None:
    told = busy.busy()

    async def act(visitor: Visitor) -> None:
        busy.write_logs(visitor.served.logs, told)
        path = f"/api/builds/{told.failed_build}/log"
        whole = await visitor.client.get(path)
        part = await visitor.client.get(path, headers={"Range": "bytes=10-29"})
        assert part.status_code == 206
        assert part.content == whole.content[10:30]

    visit(told.world, tmp_path, act)
