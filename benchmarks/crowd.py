"""A crowd of readers, in a process of its own: what browsers do with our modules, without a screen.

Each looks at a page, listens to its stream, and asks for the live part again whenever it is told,
with the version that it has. Some visitors come, look and go. It prints what it has seen when it is
told to stop, by the end of its standard input.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import gzip
import html
import json
import os
import re
import resource
import sys
import time
from collections import Counter
from urllib.parse import urlsplit

PLACES = ("/", "/queue/bench")
_STREAM = re.compile(rb'sse-connect="([^"]+)"')
_LENGTH = re.compile(rb"content-length: (\d+)", re.I)
_HAVE = re.compile(rb"x-cupel-have: (\w+)", re.I)


@dataclasses.dataclass
class Crowd:
    """Everybody together: how often what was done, and how long refreshes took."""

    host: str
    port: int
    seen: Counter[str] = dataclasses.field(default_factory=Counter)
    took: list[float] = dataclasses.field(default_factory=list)

    async def reader(self, path: str) -> None:
        """One who stays, and comes again when the connection breaks."""
        while True:
            try:
                await self._stay(path)
            except (OSError, asyncio.IncompleteReadError):
                self.seen["broken connections"] += 1
            await asyncio.sleep(1.0)

    async def all_listen(self, count: int) -> None:
        """Return when everybody does, and what that has cost is over."""
        async with asyncio.timeout(120):
            while self.seen["listening"] < count:  # noqa: ASYNC110 - a counter of many tasks
                await asyncio.sleep(0.05)
        await asyncio.sleep(1.0)

    async def visitor(self, path: str) -> None:
        """One who comes, looks and goes."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection(self.host, self.port)
            await self._ask(reader, writer, path)
            self.seen["visits"] += 1
            writer.close()

    async def _stay(self, path: str) -> None:
        reader, writer = await asyncio.open_connection(self.host, self.port)
        page = await self._ask(reader, writer, path)
        found = _STREAM.search(page[1])
        assert found is not None, "the page has no stream"
        news, ear = await asyncio.open_connection(self.host, self.port)
        ear.write(self._request(html.unescape(found[1].decode()), "text/event-stream"))
        self.seen["listening"] += 1
        have = b""
        try:
            while line := await news.readline():
                if line.startswith(b"event: changed"):
                    began = time.perf_counter()
                    if reader.at_eof():  # browsers, too, connect anew when they were let go
                        writer.close()
                        reader, writer = await asyncio.open_connection(self.host, self.port)
                        self.seen["connections"] += 1
                    more = f"HX-Request: true\r\nX-Cupel-Have: {have.decode()}\r\n"
                    head, _ = await self._ask(reader, writer, path, more)
                    self.took.append(time.perf_counter() - began)
                    self.seen["refreshes"] += 1
                    self.seen["of them unchanged"] += b" 204 " in head[:20]
                    have = match[1] if (match := _HAVE.search(head)) else have
        finally:
            self.seen["listening"] -= 1
            writer.close()
            ear.close()

    def _request(self, path: str, accept: str, more: str = "") -> bytes:
        return (
            f"GET {path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\nAccept: {accept}\r\n"
            f"Accept-Encoding: gzip\r\nUser-Agent: crowd\r\n{more}\r\n"
        ).encode()

    async def _ask(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, more: str = ""
    ) -> tuple[bytes, bytes]:
        """The head and the body of an answer; the body of a first visit is unpacked."""
        writer.write(self._request(path, "text/html", more))
        head = await reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        body = await reader.readexactly(int(length[1])) if length is not None else b""
        self.seen["bytes"] += len(head) + len(body)
        if not more and b"content-encoding: gzip" in head.lower():
            body = gzip.decompress(body)
        return head, body

    async def visitors(self, rate: float) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(1 << 30):
                group.create_task(self.visitor(PLACES[number % len(PLACES)]))
                await asyncio.sleep(1 / rate)


async def main(url: str, count: int, rate: float) -> None:
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    crowd = Crowd(parts.hostname, parts.port)
    lines = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    with contextlib.suppress(asyncio.CancelledError):
        async with asyncio.TaskGroup() as group:
            tasks = []
            for number in range(count):
                tasks.append(group.create_task(crowd.reader(PLACES[number % len(PLACES)])))
                await asyncio.sleep(0.003)
            tasks.append(group.create_task(crowd.visitors(rate)))
            await crowd.all_listen(count)
            print(json.dumps({"listening": crowd.seen["listening"]}), flush=True)
            crowd.seen = Counter(listening=crowd.seen["listening"])
            crowd.took = []
            began = time.perf_counter()
            await lines.read()
            lasted = time.perf_counter() - began
            for task in tasks:
                task.cancel()
    took = sorted(crowd.took) or [0.0]
    told = {**crowd.seen, "seconds": lasted, "median": took[len(took) // 2], "most": took[-1]}
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--readers", type=int, default=1000)
    parser.add_argument("--visitors", type=float, default=5.0, help="a second")
    given = parser.parse_args()
    os.nice(10)
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit[1], limit[1]))
    asyncio.run(main(given.url, given.readers, given.visitors))
