from __future__ import annotations

import asyncio
import dataclasses
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cupel.control.views import StepView, UsageView
from cupel.core.model import Build, BuildState, Event, Verdict
from cupel.log.store import LogStore
from cupel.web import log
from cupel.web.site import Site
from fakes import busy
from fakes import served as fakes_served
from fakes.served import Served


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
        (5000, None, (3001, 5000), None),
        (5000, 1, (1, 2000), 4000),
        (5000, 2001, (2001, 4000), 5000),
        (5000, 4999, (4999, 5000), None),
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


def numbers(messages: list[str]) -> list[int]:
    return [int(number) for message in messages for number in re.findall(r'id="L(\d+)"', message)]


async def until_end(messages: AsyncIterator[str]) -> list[str]:
    return [message async for message in messages]


def test_the_tail_has_every_line_once_and_ends_with_the_build(tmp_path: Path) -> None:
    async def run() -> list[str]:
        made = await running(tmp_path)
        async with asyncio.TaskGroup() as group:
            seen = group.create_task(until_end(made.tail.messages(0, log.NO_STEP)))
            for number in range(30):
                made.writer.append(1, "out", 0.0, f"line {number}\n".encode() * 50)
                await asyncio.sleep(0.001)
            await made.finish()
        return seen.result()

    messages = asyncio.run(run())
    assert messages[-1] == log.END
    found = numbers(messages)
    assert found == list(range(1, len(found) + 1))
    assert len(found) > 1500


def test_a_tail_resumes_where_it_was(tmp_path: Path) -> None:
    async def run() -> list[str]:
        made = await running(tmp_path)
        await made.finish()
        whole = await until_end(made.tail.messages(0, log.NO_STEP))
        rest = await until_end(made.tail.messages(3, 0))
        assert numbers(rest) == numbers(whole)[3:]
        assert "install" not in "".join(rest).split("id=")[1]
        return rest

    assert asyncio.run(run())[-1] == log.END


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("12-1", (12, 1)),
        ("0-65535", (0, 65535)),
        ("x", None),
        ("1", None),
        ("-1-2", None),
        ("١-1", None),
    ],
)
def test_event_ids(given: str, taken: tuple[int, int] | None) -> None:
    assert log._resumed(given) == taken


def test_a_message_is_one_event_whatever_the_lines_hold(tmp_path: Path) -> None:
    async def run() -> list[str]:
        made = await running(tmp_path)
        made.writer.append(1, "out", 0.0, "a\u2028b\x85c\r\n\nevent: end\ndata: 1\n\n".encode())
        await made.finish()
        return await until_end(made.tail.messages(0, log.NO_STEP))

    for message in asyncio.run(run())[1:-1]:
        head, *rest = message.removesuffix("\n\n").split("\n")
        assert head.startswith("id: ")
        assert rest[0] == "event: lines"
        assert all(line.startswith("data: ") for line in rest[1:])
