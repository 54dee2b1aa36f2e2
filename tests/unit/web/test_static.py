from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from cupel.web import static
from fakes import rows
from unit.web.visit import Visitor, visit


def test_a_file_is_sent_small_and_once(tmp_path: Path) -> None:
    async def act(visitor: Visitor) -> None:
        for name, address in static.ADDRESSES.items():
            answer = await visitor.client.get(address)
            content = (static.HERE / name).read_bytes()
            assert answer.content == content, name
            assert int(answer.headers["content-length"]) == len(gzip.compress(content, mtime=0))
            assert answer.headers["cache-control"] == static.FOREVER
            tag = {"If-None-Match": answer.headers["etag"]}
            again = await visitor.client.get(address, headers=tag)
            assert (again.status_code, again.content) == (304, b"")
            plain = await visitor.client.get(address, headers={"Accept-Encoding": "identity"})
            assert (plain.content, "content-encoding" in plain.headers) == (content, False)

    visit(rows.World(), tmp_path, act)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("cupel.js", "text/javascript"), ("cupel.css", "text/css"), ("icons.svg", "image/svg+xml"),
        ("vendor/xterm-6.0.0.mjs", "text/javascript"),
    ],
)  # fmt: skip
def test_a_file_says_what_it_is(name: str, kind: str, tmp_path: Path) -> None:
    async def act(visitor: Visitor) -> str:
        answer = await visitor.client.get(static.ADDRESSES[name])
        return answer.headers["content-type"].partition(";")[0]

    assert visit(rows.World(), tmp_path, act) == kind


@pytest.mark.parametrize(
    "path", ["nope.css", "../site.py", "%2e%2e/site.py", "vendor", "", "vendor//x", "0" * 16 + "/"]
)
def test_there_is_nothing_else(path: str, tmp_path: Path) -> None:
    async def act(visitor: Visitor) -> int:
        return (await visitor.client.get(f"/static/{path}")).status_code

    assert visit(rows.World(), tmp_path, act) == 404


def test_files_of_another_release_are_not_kept(tmp_path: Path) -> None:
    async def act(visitor: Visitor) -> tuple[int, str]:
        answer = await visitor.client.get(f"/static/{'0' * 16}/cupel.js")
        return answer.status_code, answer.headers["cache-control"]

    assert visit(rows.World(), tmp_path, act) == (200, "no-cache")
