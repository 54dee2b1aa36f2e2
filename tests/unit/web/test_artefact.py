"""Pages of what builds left: directories and files, with whatever names and contents."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest

from cupel.core.model import Build
from fakes import busy, left
from unit.web.visit import HTML, Visitor, visit

VECTOR = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
FILES = {
    "report/index.html": b"<script>alert(1)</script>",
    "report/deep/er/a.json": b'{"a":"<script>alert(1)</script>\\u202e"}',
    "plot.svg": VECTOR,
    "fake.png": b"<script>alert(1)</script>",
    "shot.png": b"\x89PNG\r\n\x1a\n" + bytes(30),
    "values.csv": b"name,<script>alert(1)</script>\nx,\xe2\x80\xae1\n",
    "out.log": b"\x1b[31mred\x1b[0m <script>alert(1)</script>\n" * 1200,
    "core": bytes(range(256)),
    "empty": b"",
    "<img src=x onerror=alert(1)>\u202e.txt": b"named",
    ".results/junit.xml": b"<testsuite/>",
}


def test_each_file_is_shown_as_what_it_is(tmp_path: Path) -> None:
    told = busy.busy()
    left.leave(told.world, told.world.rows_of(Build)[told.failed_build], FILES)
    at = f"/builds/{told.failed_build}/artefacts"
    says = {
        "report/index.html": "A page is not shown here",
        "report/deep/er/a.json": "&#34;a&#34;: &#34;&lt;script&gt;",
        "plot.svg": f'<img src="/builds/{told.failed_build}/picture/plot.svg"',
        "fake.png": "it is no such image",
        "shot.png": f'<img src="/builds/{told.failed_build}/picture/shot.png"',
        "values.csv": "<bdi>x</bdi>",
        "out.log": '<span class="fg-1">red</span> &lt;script&gt;',
        "core": "0000f0",
        "empty": "It is empty",
        "<img src=x onerror=alert(1)>\u202e.txt": "named",
        ".results/junit.xml": f'<a href="/builds/{told.failed_build}/tests">',
    }

    async def act(visitor: Visitor) -> None:
        left.keep(visitor.served.artefacts, told.failed_build, FILES)
        for path, said in says.items():
            page = await visitor.see(f"{at}/{quote(path)}")
            assert said in page, path
            assert "<script>alert" not in page
            assert "\u202e" not in page
            assert "<img src=x" not in page
        more = await visitor.see(f"{at}/out.log?from=1001")
        assert 'id="L1001"' in more
        assert 'id="L1000"' not in more
        await visitor.see(f"{at}/none", 404)
        await visitor.see(f"{at}/a%00b", 404)

    visit(told.world, tmp_path, act)


def test_directories_are_counted_and_led_through(tmp_path: Path) -> None:
    told = busy.busy()
    left.leave(told.world, told.world.rows_of(Build)[told.failed_build], FILES)
    at = f"/builds/{told.failed_build}/artefacts"

    async def act(visitor: Visitor) -> None:
        top = await visitor.see(at)
        assert '<a href="?in=report"><bdi>report/</bdi></a>' in top
        assert "2 files" in top
        assert "U+202E" in top
        deeper = await visitor.see(f"{at}?in=report/deep/")
        assert '<a href="?in=report%2Fdeep%2Fer">' in deeper
        assert '<a href="?in=report">' in deeper
        await visitor.see(f"{at}?in=rep", 404)
        await visitor.see("/builds/99999/artefacts", 404)
        nothing = await visitor.see(f"/builds/{told.running_build}/artefacts")
        assert "$CUPEL_ARTIFACTS" in nothing

    visit(told.world, tmp_path, act)


@pytest.mark.parametrize(
    ("path", "type"), [("plot.svg", "image/svg+xml"), ("shot.png", "image/png")]
)
def test_an_image_is_served_without_any_rights(path: str, type: str, tmp_path: Path) -> None:
    told = busy.busy()
    left.leave(told.world, told.world.rows_of(Build)[told.failed_build], FILES)

    async def act(visitor: Visitor) -> None:
        left.keep(visitor.served.artefacts, told.failed_build, FILES)
        at = f"/builds/{told.failed_build}/picture"
        answer = await visitor.client.get(f"{at}/{path}")
        assert answer.content == FILES[path]
        assert answer.headers["content-type"] == type
        assert answer.headers["x-content-type-options"] == "nosniff"
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("sandbox; default-src 'none'")
        assert "script" not in policy
        for other in ("fake.png", "out.log", "report/index.html"):
            refused = await visitor.client.get(f"{at}/{other}", headers=HTML)
            assert refused.status_code == 404

    visit(told.world, tmp_path, act)


def test_what_is_not_kept_any_more_is_said(tmp_path: Path) -> None:
    told = busy.busy()

    async def act(visitor: Visitor) -> None:
        page = await visitor.see(f"/builds/{told.failed_build}/artefacts/junit/pytest.xml")
        assert "not kept any more" in page

    visit(told.world, tmp_path, act)
