from __future__ import annotations

import asyncio
import dataclasses
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from cupel.control.views import StepView, UsageView
from cupel.core.model import Build, BuildState, Event, Verdict
from cupel.log.store import LogStore
from cupel.web import log
from cupel.web.site import Site
from fakes import busy
from fakes import served as fakes_served
from fakes.served import Served
from unit.web.visit import Visitor, visit


def step(number: int, name: str) -> StepView:
    return StepView(
        number=number, name=name, run="", state="running", exit_status=None, started_at=0.0,
        finished_at=None, seconds=None, usage=UsageView(),
    )  # fmt: skip


STEPS = [step(1, "install"), step(2, "test")]


def written(directory: Path, count: int, width: int = 1) -> LogStore:
    logs = LogStore(directory)
    writer = logs.writer(1)
    for number in range(count):
        writer.append(number * 2 // count, "out", float(number), b"x" * width + b"\n")
    writer.close()
    return logs


@pytest.mark.parametrize(
    ("count", "start", "shown", "later"),
    [
        (0, None, (1, 0), None),
        (5, None, (1, 5), None),
        (1250, None, (751, 1250), None),
        (1250, 1, (1, 500), 1000),
        (1250, 501, (501, 1000), 1250),
        (1250, 1249, (1249, 1250), None),
        (5, 99, (1, 0), 5),
    ],
)
def test_parts(
    count: int, start: int | None, shown: tuple[int, int], later: int | None, tmp_path: Path
) -> None:
    reader = written(tmp_path, count).reader(1)
    part = log.part(reader, STEPS, start, growing=False)
    assert (part.first, part.last) == shown
    assert part.total == count
    assert part.later == later


def test_the_last_part_ends_with_the_last_line_however_long_lines_are(tmp_path: Path) -> None:
    part = log.part(written(tmp_path, 300, 60_000).reader(1), STEPS, None, growing=True)
    assert part.last == part.total == 300
    assert part.follow


def test_a_heading_stands_where_a_step_begins(tmp_path: Path) -> None:
    part = log.part(written(tmp_path, 4).reader(1), STEPS, None, growing=False)
    assert [entry.heading for entry in part.lines] == ["install", None, "test", None]


def test_lines_say_which_machine_they_came_from(tmp_path: Path) -> None:
    logs = LogStore(tmp_path)
    writer = logs.writer(1)
    for number, text in ((0, b"a\n"), (1, b"b\n"), (7, b"c\n")):
        writer.append(0, "out", 1.0, text, number)
    writer.close()
    machines = ("server", "client")
    shown = log.part(logs.reader(1), STEPS, None, growing=False, machines=machines)
    assert [entry.machine for entry in shown.lines] == ["server", "client", None]
    shown = log.part(logs.reader(1), STEPS, None, growing=False)
    assert [entry.machine for entry in shown.lines] == [None] * 3


class Running:
    """A build that runs, with its log, and the tail of it that a page gets."""

    def __init__(self, told: busy.Busy, served: Served) -> None:
        self.told, self.served = told, served
        self.writer = busy.write_logs(served.logs, told)
        self.tail = log._Tail(Site(served), told.running_build)

    async def finish(self) -> None:
        self.writer.close()
        async with self.served.store.write() as tx:
            build = await tx.get(Build, self.told.running_build)
            assert build is not None
            await tx.put(
                [dataclasses.replace(build, state=BuildState.FINISHED, verdict=Verdict.SUCCESS)]
            )
        self.served.feed.publish([Event(id=1, at=0.0, kind="build.finished", build_id=build.id)])


async def running(directory: Path) -> Running:
    told = busy.busy()
    served = fakes_served.served(await told.world.store(), directory, lambda: told.world.now)
    return Running(told, served)


def said(messages: list[str]) -> list[dict[str, Any]]:
    """What the messages of lines hold."""
    found = [re.search(r"^event: rows\ndata: (.*)$", each, re.MULTILINE) for each in messages]
    return [json.loads(each[1]) for each in found if each]


def numbers(messages: list[str]) -> list[int]:
    return [each["first"] + at for each in said(messages) for at in range(len(each["rows"]))]


async def until_end(messages: AsyncIterator[str]) -> list[str]:
    return [message async for message in messages]


def test_the_tail_has_every_line_once_and_ends_with_the_build(tmp_path: Path) -> None:
    async def run() -> list[str]:
        made = await running(tmp_path)
        async with asyncio.TaskGroup() as group:
            seen = group.create_task(until_end(made.tail.messages(0)))
            for number in range(30):
                made.writer.append(1, "out", 0.0, f"line {number}\n".encode() * 10)
                await asyncio.sleep(0.001)
            await made.finish()
        return seen.result()

    messages = asyncio.run(run())
    assert messages[-1] == log.END
    found = numbers(messages)
    assert found == list(range(len(found)))
    assert len(found) > 300
    assert f"id: {len(found)}\n" in messages[-2]


def test_a_tail_says_how_many_lines_there_are_even_where_it_skips_some(tmp_path: Path) -> None:
    async def run() -> list[str]:
        made = await running(tmp_path)
        made.writer.append(1, "out", 0.0, b"x\n" * 5000)
        await made.finish()
        return await until_end(made.tail.messages(0))

    (only,) = said(asyncio.run(run()))
    assert only["total"] == only["first"] + len(only["rows"]) > 5000
    assert len(only["rows"]) == log.CHUNK


def test_a_tail_resumes_where_it_was(tmp_path: Path) -> None:
    async def run() -> list[str]:
        made = await running(tmp_path)
        await made.finish()
        whole = await until_end(made.tail.messages(0))
        rest = await until_end(made.tail.messages(3))
        assert numbers(rest) == numbers(whole)[3:]
        return rest

    assert asyncio.run(run())[-1] == log.END


def test_a_message_is_one_event_whatever_the_lines_hold(tmp_path: Path) -> None:
    async def run() -> list[str]:
        made = await running(tmp_path)
        made.writer.append(1, "out", 0.0, "a\u2028b\x85c\r\n\nevent: end\ndata: 1\n\n".encode())
        await made.finish()
        return await until_end(made.tail.messages(0))

    for message in asyncio.run(run())[1:-1]:
        head, *rest = re.split("\r\n|\r|\n", message.removesuffix("\n\n"))
        assert head.startswith("id: ")
        assert rest[0] == "event: rows"
        assert len(rest) == 2
        assert rest[1].startswith("data: ")


def written_to_a_build(directory: Path, act: Callable[[Visitor, int], Awaitable[None]]) -> None:
    """A failed build's log with an error, colours, markup and two steps."""
    told = busy.busy()

    async def visited(visitor: Visitor) -> None:
        writer = visitor.served.logs.writer(told.failed_build)
        writer.append(0xFFFF, "cupel", 5.0, b"made\n")
        writer.append(0, "out", 6.0, b"\x1b[31mred\x1b[0m <b>\n" * 600)
        writer.append(1, "err", 7.0, b"fatal: it\nprogress 1\rprogress 2\n")
        writer.close()
        await act(visitor, told.failed_build)

    visit(told.world, directory, visited)


def test_rows_are_harmless_and_kept_by_browsers_once_they_are_all_there(tmp_path: Path) -> None:
    async def act(visitor: Visitor, build: int) -> None:
        answer = await visitor.client.get(f"/builds/{build}/log/rows?from=600&count=2")
        assert answer.json() == {
            "first": 600,
            "total": 603,
            "rows": [
                [6.0, 0, 0, 0, 2, '<span class="fg-1">red</span> &lt;b&gt;'],
                [7.0, 1, 1, 0, 2, "fatal: it"],
            ],
        }
        assert "immutable" in answer.headers["cache-control"]
        assert "private" in answer.headers["cache-control"]
        last = await visitor.client.get(f"/builds/{build}/log/rows?from=602&count=9")
        assert last.headers["cache-control"] == "no-store"
        await visitor.see("/builds/999/log/rows?from=0&count=1", 404)
        await visitor.see(f"/builds/{build}/log/rows?from=0&count=0", 404)

    written_to_a_build(tmp_path, act)


def test_the_outline_that_scripts_get_says_what_the_api_says(tmp_path: Path) -> None:
    async def act(visitor: Visitor, build: int) -> None:
        answer = await visitor.client.get(f"/builds/{build}/log/outline")
        assert "immutable" in answer.headers["cache-control"]
        told = json.loads(await visitor.see(f"/api/builds/{build}/log/outline"))
        assert answer.json()["folds"] == [list(fold.values()) for fold in told["folds"]]
        assert [fold[1] for fold in answer.json()["folds"]] == ["The machine", "install", "pytest"]

    written_to_a_build(tmp_path, act)


def test_text_is_what_lines_show(tmp_path: Path) -> None:
    async def act(visitor: Visitor, build: int) -> None:
        text = await visitor.see(f"/builds/{build}/log/text?from=600&count=99")
        assert text == "red <b>\nfatal: it\nprogress 2\n"

    written_to_a_build(tmp_path, act)


def test_a_search_says_what_it_finds_or_why_it_cannot(tmp_path: Path) -> None:
    async def act(visitor: Visitor, build: int) -> None:
        found = await visitor.see(f"/builds/{build}/log/search?q=RED")
        assert json.loads(found.splitlines()[-1])["count"] == 600
        some = await visitor.see(f"/builds/{build}/log/search?q=red&from=500")
        assert json.loads(some.splitlines()[-1])["count"] == 101
        none = await visitor.see(f"/builds/{build}/log/search?q=(&regex=yes")
        assert "not a regular expression" in json.loads(none)["error"]

    written_to_a_build(tmp_path, act)


def test_what_is_found_without_scripts(tmp_path: Path) -> None:
    async def act(visitor: Visitor, build: int) -> None:
        page = await visitor.see(f"/builds/{build}/found?q=fatal")
        assert "1 of 603 lines" in page
        assert f'href="/builds/{build}#L602"' in page
        page = await visitor.see(f"/builds/{build}/found?q=red")
        assert "the first 500 are here" in page
        assert "No line has that" in await visitor.see(f"/builds/{build}/found?q=none")
        assert "not a regular expression" in await visitor.see(
            f"/builds/{build}/found?q=(&regex=yes", 400
        )

    written_to_a_build(tmp_path, act)
