import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from cupel.api import logs, ranges
from cupel.api.nouns import MetricsView
from cupel.control import views
from cupel.core.model import BuildState, Event, Verdict
from cupel.log import metrics
from unit.api.calls import Server, call
from unit.control_views import world

TEXT = b"collecting\n\x1b[31mred\x1b[0m\nhalf"


def write(server: Server, build: int = 223) -> None:
    writer = server.world.logs.writer(build)
    writer.append(1, "out", 9_901.0, TEXT)
    writer.close()


def test_the_text_is_as_printed(tmp_path: Path) -> None:
    async def ask(server: Server) -> None:
        write(server)
        answer = await server.client.get("/api/builds/223/log")
        assert answer.content == TEXT
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-length"] == str(len(TEXT))
        build = views.BuildView.model_validate((await server.client.get("/api/builds/223")).json())
        assert build.log_lines == 3

    call(tmp_path, ask)


def test_a_range_of_it(tmp_path: Path) -> None:
    async def ask(server: Server) -> None:
        write(server)
        part = await server.client.get("/api/builds/223/log", headers={"Range": "bytes=3-5"})
        assert (part.status_code, part.content) == (206, TEXT[3:6])
        assert part.headers["content-range"] == f"bytes 3-5/{len(TEXT)}"
        after = await server.client.get("/api/builds/223/log", headers={"Range": "bytes=999-"})
        assert (after.status_code, after.headers["content-range"]) == (416, f"bytes */{len(TEXT)}")

    call(tmp_path, ask)


def test_lines_as_json_from_any_line_on(tmp_path: Path) -> None:
    async def ask(server: Server) -> None:
        write(server)
        answer = await server.client.get("/api/builds/223/log?format=json&start=1")
        assert answer.headers["content-type"] == "application/jsonl"
        lines = [json.loads(line) for line in answer.text.splitlines()]
        assert [(line["number"], line["text"], line["ended"]) for line in lines] == [
            (1, "\x1b[31mred\x1b[0m", True),
            (2, "half", False),
        ]
        text = await server.client.get("/api/builds/223/log?start=1")
        assert text.content == TEXT[11:]

    call(tmp_path, ask)


def test_a_build_that_printed_nothing_has_an_empty_log(tmp_path: Path) -> None:
    async def ask(server: Server) -> None:
        answer = await server.client.get("/api/builds/224/log")
        assert (answer.status_code, answer.content) == (200, b"")

    call(tmp_path, ask)


def test_a_follower_sees_a_log_from_before_it_begins_until_its_build_ends(tmp_path: Path) -> None:
    """Stepped by hand: nothing here depends on how long anything takes."""

    async def ask(server: Server) -> list[str]:
        made = server.world
        seen: list[str] = []
        followed = logs.follow_lines(made, 224, 0)

        async def tell(kind: str, number: int) -> None:
            made.feed.publish([Event(id=number, at=1.0, kind=kind, build_id=224)])

        first = asyncio.ensure_future(anext(followed))
        await asyncio.sleep(0)
        writer = made.logs.writer(224)
        writer.append(0, "out", 1.0, b"one\n")
        await tell("build.started", 50)
        seen += [line.text for line in await first]
        writer.append(0, "out", 1.0, b"two\n")
        seen += [line.text for line in await anext(followed)]
        writer.append(0, "out", 1.0, b"three")
        writer.close()
        queued = world.build(224, 122, 22, world.LINT)
        await made.put(
            replace(queued, state=BuildState.FINISHED, verdict=Verdict.SUCCESS, finished_at=1.0)
        )
        await tell("build.finished", 51)
        seen += [line.text async for batch in followed for line in batch]
        return seen

    assert call(tmp_path, ask) == ["one", "two", "three"]


def test_following_ends_when_the_server_does(tmp_path: Path) -> None:
    async def ask(server: Server) -> list[object]:
        followed = logs.follow_lines(server.world, 224, 0)
        pending = asyncio.ensure_future(anext(followed, None))
        for _ in range(20):
            await asyncio.sleep(0)
        server.world.feed.close()
        return [await pending]

    assert call(tmp_path, ask) == [None]


WHOLE = ranges.Part(start=0, length=10, size=10, partial=False)


@pytest.mark.parametrize(
    ("header", "part"),
    [
        (None, WHOLE),
        ("bytes=0-", ranges.Part(start=0, length=10, size=10, partial=True)),
        ("bytes=2-4", ranges.Part(start=2, length=3, size=10, partial=True)),
        ("bytes=2-99", ranges.Part(start=2, length=8, size=10, partial=True)),
        ("bytes=-3", ranges.Part(start=7, length=3, size=10, partial=True)),
        ("bytes=-99", ranges.Part(start=0, length=10, size=10, partial=True)),
        ("bytes=10-", ranges.Unsatisfiable()),
        ("bytes=-0", ranges.Unsatisfiable()),
        ("bytes=5-2", WHOLE),
        ("bytes=-", WHOLE),
        ("bytes=1-2,4-5", WHOLE),
        ("lines=1-2", WHOLE),
        ("bytes=a-b", WHOLE),
    ],
)
def test_ranges(header: str | None, part: object) -> None:
    assert ranges.parse(header, 10) == part


def test_an_empty_log_has_no_part() -> None:
    assert ranges.parse("bytes=0-", 0) == ranges.Unsatisfiable()


def test_what_the_machine_used_by_rows(tmp_path: Path) -> None:
    async def ask(server: Server) -> None:
        write(server)
        rows = [(float(at), 1.0, 5.0, 2.0, None, 0.5, None, None, 7.0, 8.0) for at in range(4)]
        metrics.append(server.world.logs.metrics(223), rows)
        answer = await server.client.get("/api/builds/223/metrics?first=1&count=2")
        found = MetricsView.model_validate(answer.json())
        assert found.columns == list(metrics.COLUMNS)
        assert found.total == 4
        assert found.rows == [list(row) for row in rows[1:3]]
        beside = await server.client.get("/api/builds/223/metrics?part=1")
        assert beside.json()["total"] == 0
        assert (await server.client.get("/api/builds/9999/metrics")).status_code == 404

    call(tmp_path, ask)


def test_lines_the_outline_and_what_is_found(tmp_path: Path) -> None:
    async def ask(server: Server) -> None:
        writer = server.world.logs.writer(223)
        writer.append(0xFFFF, "cupel", 9_900.0, b"made\n")
        writer.append(0, "out", 9_901.0, b"--- Build\n\x1b[31mfat\x1b[0mal: x\n")
        writer.append(1, "err", 9_902.0, b"a warning\n")
        writer.close()

        async def get(path: str) -> dict[str, object]:
            answer = await server.client.get(f"/api/builds/223/log/{path}")
            assert answer.status_code == 200, answer.text
            return answer.json()

        some = views.LogLinesView.model_validate(await get("lines?from=1&count=2"))
        assert (some.total, [line.text for line in some.lines]) == (
            4, ["--- Build", "\x1b[31mfat\x1b[0mal: x"],
        )  # fmt: skip
        outline = views.OutlineView.model_validate(await get("outline"))
        assert [(f.kind, f.title, f.step, f.first, f.last, f.open) for f in outline.folds] == [
            ("step", "The machine", None, 0, 0, False),
            ("step", "install", 1, 1, 2, False),
            ("part", "Build", 1, 1, 2, False),
            ("step", "pytest", 2, 3, None, True),
        ]
        found = views.FoundView.model_validate(await get("search?q=FATAL"))
        assert (found.count, found.end, [line.number for line in found.lines]) == (1, 4, [2])
        warned = await get("search?severity=warning&limit=1")
        assert (warned["count"], len(warned["lines"])) == (2, 1)
        assert (await get("search?stream=err"))["count"] == 1
        assert await get("at?time=9901.5") == {"line": 3, "at": 9902.0}

    call(tmp_path, ask)


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("search?q=(&regex=true", 400, "not a regular expression"),
        ("search?severity=fine", 400, "neither error nor warning"),
        ("search?machine=none", 404, "no machine 'none'"),
        ("lines?count=0", 422, "count"),
        ("at?time=nan", 422, "time"),
        ("?step=9", 404, "step 9 of build 223"),
        ("?step=1&follow=true", 400, "leave out `follow`"),
    ],
)
def test_what_cannot_be_answered_says_why(
    path: str, status: int, said: str, tmp_path: Path
) -> None:
    async def ask(server: Server) -> None:
        write(server)
        place = path if path.startswith("?") else f"/{path}"
        answer = await server.client.get(f"/api/builds/223/log{place}")
        assert answer.status_code == status
        assert said in answer.text

    call(tmp_path, ask)


def test_the_text_of_one_step_by_ranges(tmp_path: Path) -> None:
    async def ask(server: Server) -> None:
        writer = server.world.logs.writer(223)
        for step, text in ((0, b"first\n"), (1, b"second\n"), (0, b"third\n"), (1, b"end")):
            writer.append(step, "out", 9_901.0, text)
        writer.close()
        path = "/api/builds/223/log?step=1"
        whole = await server.client.get(path)
        assert whole.content == b"first\nthird\n"
        assert whole.headers["content-encoding"] == "identity"
        for first in range(12):
            part = await server.client.get(path, headers={"Range": f"bytes={first}-{first + 4}"})
            assert part.content == whole.content[first : first + 5]

    call(tmp_path, ask)
