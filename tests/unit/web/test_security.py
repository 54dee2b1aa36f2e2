from __future__ import annotations

import re
import zlib
from pathlib import Path

import pytest

from cupel.web import security, site, static
from fakes import rows
from unit.web.visit import Visitor, visit


@pytest.mark.parametrize("path", ["/", "/queue", "/nope", "/static/cupel.css", "/api/status"])
def test_every_answer_says_how_it_may_be_used(path: str, tmp_path: Path) -> None:
    async def act(visitor: Visitor) -> dict[str, str]:
        answer = await visitor.client.get(path, headers={"Accept": "text/html"})
        return dict(answer.headers)

    headers = visit(rows.World(), tmp_path, act)
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"] == security.POLICY
    assert headers["referrer-policy"] == "same-origin"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8470", 200), ("localhost", 200), ("LOCALHOST:1", 200), ("[::1]:8470", 200),
        ("ci.example.org", 200), ("evil.example", 421), ("127.0.0.1.evil.example", 421), ("", 421),
    ],
)  # fmt: skip
def test_only_our_names_are_answered(host: str, status: int, tmp_path: Path) -> None:
    async def act(visitor: Visitor) -> int:
        answer = await visitor.client.get("/queue", headers={"Host": host})
        return answer.status_code

    world = rows.World()
    assert visit(world, tmp_path, act, url="https://ci.example.org:8470") == status


def test_templates_have_no_inline_script_or_style() -> None:
    for path in (site.HERE / "templates").glob("*.html"):
        source = path.read_text()
        assert not re.search(r"<script(?![^>]*\ssrc=)", source), path
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:|\|\s*safe\b", source), path


def test_the_stylesheet_is_small() -> None:
    assert len(zlib.compress((static.HERE / "cupel.css").read_bytes())) < 10_000


def test_vendored_scripts_have_their_licences() -> None:
    names = {path.name for path in (static.HERE / "vendor").iterdir()}
    assert {"htmx.LICENSE", "htmx-ext-sse.LICENSE", "idiomorph-ext.LICENSE"} < names
