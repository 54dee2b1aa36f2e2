"""A file comes whole, however often its connection breaks."""

from __future__ import annotations

import asyncio
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cupel.errors import InfraError
from cupel.host import download

WHOLE = bytes(range(256)) * 4096


class Server(http.server.ThreadingHTTPServer):
    """Gives `WHOLE` to who has the token, but at most `most` bytes on one connection."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.most = len(WHOLE)
        self.knows_ranges = True
        self.ranges: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/file"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        if self.headers["Authorization"] != "Bearer secret":
            self.send_error(403)
            return
        wanted = self.headers["Range"]
        self.server.ranges.append(wanted)
        start = int(wanted[6:-1]) if wanted and self.server.knows_ranges else 0
        if start >= len(WHOLE):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(WHOLE) - start))
        self.end_headers()
        self.wfile.write(WHOLE[start : start + self.server.most])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def fetch(server: Server, part: Path, token: str = "secret") -> list[str]:
    told: list[str] = []
    asyncio.run(download.download(server.url, token, part, told.append, pause=0.0))
    return told


def test_it_goes_on_where_a_connection_broke(server: Server, tmp_path: Path) -> None:
    server.most = 300_000
    told = fetch(server, tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == WHOLE
    assert server.ranges[0] is None
    assert None not in server.ranges[1:]
    assert any(line.startswith("The connection broke") for line in told)


def test_it_goes_on_where_an_earlier_life_left_off(server: Server, tmp_path: Path) -> None:
    (tmp_path / "part").write_bytes(WHOLE[:1000])
    fetch(server, tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == WHOLE
    assert server.ranges == ["bytes=1000-"]


def test_what_is_there_already_is_not_fetched(server: Server, tmp_path: Path) -> None:
    (tmp_path / "part").write_bytes(WHOLE)
    fetch(server, tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == WHOLE


def test_a_server_without_ranges_sends_all_again(server: Server, tmp_path: Path) -> None:
    server.knows_ranges = False
    (tmp_path / "part").write_bytes(b"another beginning")
    fetch(server, tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == WHOLE


def test_a_refusal_is_told_at_once(server: Server, tmp_path: Path) -> None:
    with pytest.raises(InfraError, match="status 403"):
        fetch(server, tmp_path / "part", "another")
    assert not (tmp_path / "part").exists()


def test_connections_that_bring_nothing_are_not_tried_for_ever(
    server: Server, tmp_path: Path
) -> None:
    server.most = 0
    with pytest.raises(InfraError, match="could not be fetched"):
        fetch(server, tmp_path / "part")
    assert len(server.ranges) == download.ATTEMPTS
