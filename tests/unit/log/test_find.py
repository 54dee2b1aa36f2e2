"""Lines are found in processes of their own: all that fit, no others, and not for ever."""

from __future__ import annotations

import asyncio
import json
import re
import time
from contextlib import aclosing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cupel.errors import UserError
from cupel.log import append, screen, sweep
from cupel.log.find import Finder, Found
from cupel.log.query import Query
from cupel.log.store import LogStore
from cupel.log.stream import LogReader

PIECES = st.sampled_from(
    [b"a", b"b", b"B", b" ", b"\n", b"\n", b"\r", b"\x1b[31m", b"\x1b[0m", b"\x1b[K", b"\xff",
     "é".encode(), "\x9b1m".encode(), b"\x1b", b"[2K", b"\x08", b"\x00"]
)  # fmt: skip
WRITES = st.lists(
    st.tuples(
        st.sampled_from(["out", "err"]), st.floats(0, 3), st.lists(PIECES, max_size=9).map(b"".join)
    ),
    max_size=12,
)


def write(directory: Path, writes: list[tuple[str, float, bytes]]) -> LogReader:
    writer = append.LogWriter(directory, 1)
    at = 1000.0
    for name, later, data in writes:
        at += later
        writer.append(0, name, at, data)
    writer.close()
    return LogReader(directory, lambda: None)


@settings(deadline=None)
@given(WRITES, st.sampled_from(["a", "b b", "é", "a$", "^b", "[^a]", r"\s", ""]), st.booleans())
def test_what_fits_is_what_python_finds_in_each_line_that_is_shown(
    tmp_path_factory, writes, pattern, only_err
):
    directory = tmp_path_factory.mktemp("log")
    reader = write(directory, writes)
    alone = re.compile(pattern, re.IGNORECASE)
    expected = [
        line.number
        for line in reader.lines(0, 1000)
        if alone.search(screen.text(line.text)) and (not only_err or line.stream == "err")
    ]
    wanted = Query(text=pattern, regex=True, stream="err" if only_err else "")
    found = [number for _, numbers in sweep.matches(directory, wanted) for number in numbers]
    assert found == expected


@settings(deadline=None)
@given(st.lists(st.integers(0, 20_000), unique=True).map(sorted), st.integers(1, 40))
def test_messages_say_every_line_however_many_there_are(numbers, pieces):
    tally, said = sweep.Tally(), {}
    step = 20_001 // pieces + 1
    for end in range(step, 20_001 + step, step):
        tally.add([number for number in numbers if end - step <= number < end])
        message = json.loads(tally.message(end, done=end > 20_000))
        said |= {block: sweep.unsaid(block, lines) for block, lines in message["blocks"]}
    assert [number for block in sorted(said) for number in said[block]] == numbers
    assert message["count"] == len(numbers)


def long_log(directory: Path) -> Path:
    writer = append.LogWriter(directory, 1)
    for number in range(30_000):
        writer.append(0, "out", 1.0, b"dense sparse\n" if number % 7000 == 0 else b"dense\n")
    writer.append(0, "out", 1.0, b"a" * 40 + b"\n", 1)
    writer.close()
    return directory


def test_all_lines_are_counted_and_the_first_are_given(tmp_path: Path) -> None:
    long_log(tmp_path)

    async def find(limit: int, **wanted: object) -> Found:
        return await Finder().find(tmp_path, Query(**wanted), 0, limit)

    every = (0, 7000, 14000, 21000, 28000)
    assert asyncio.run(find(9, text="SPARSE")) == Found(end=30_001, count=5, numbers=every)
    dense = asyncio.run(find(5000, text="dense"))
    assert (dense.count, dense.numbers) == (30_000, tuple(range(5000)))
    other = asyncio.run(find(9, part=1))
    assert (other.count, other.numbers) == (1, (30_000,))


def test_an_expression_that_takes_for_ever_is_ended(tmp_path: Path) -> None:
    async def find() -> None:
        await Finder(seconds=1).find(tmp_path, Query(text="(a+)+b", regex=True), 0, 1)

    long_log(tmp_path)
    began = time.monotonic()
    with pytest.raises(UserError, match="longer than 1 s"):
        asyncio.run(find())
    assert time.monotonic() - began < 10


def test_a_search_ends_when_nobody_waits_for_it(tmp_path: Path) -> None:
    async def leave() -> None:
        finder = Finder()
        messages = finder.messages(tmp_path, Query(text="(a+)+b|dense", regex=True), 0)
        async with aclosing(messages):
            assert json.loads(await anext(messages))["count"] > 0

    long_log(tmp_path)
    asyncio.run(leave())
    running = [command(each) for each in Path("/proc").iterdir() if each.name.isdecimal()]
    assert not any(tmp_path.name in each for each in running)


def command(of: Path) -> str:
    try:
        return (of / "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def test_the_line_of_a_time(tmp_path: Path) -> None:
    reader = write(tmp_path, [("out", 1.0, b"x\n")] * 10)  # at 1001, 1002, …
    assert [reader.at(time) for time in (0, 1001, 1001.5, 1010, 9999)] == [0, 0, 1, 9, 9]
    assert LogReader(tmp_path / "none", lambda: None).at(5) == 0


def test_the_outline_of_a_log_that_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        logs = LogStore(tmp_path)
        writer = logs.writer(1)
        for count in (0, 3, 3):
            for number in range(count):
                writer.append(0, "out", 1.0, f"--- {number}\nx\n".encode())
            outline = await logs.outline(1)
            assert outline.lines == logs.reader(1).line_count
        assert [fold.first for fold in outline.folds] == [0, 0, 2, 4, 6, 8, 10]
        monkeypatch.setattr("cupel.log.store.LONG", 5)
        again = await LogStore(tmp_path).outline(1)
        assert again.dump() == outline.dump()
        assert (tmp_path / "0" / "1" / "outline").exists()
        writer.close()

    asyncio.run(run())
