"""The log store: whatever is appended reads back complete, in lines, even after a kill."""

from __future__ import annotations

import asyncio
import errno
import os
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cupel.errors import Bug, InfraError
from cupel.log import append, index, stream
from cupel.log.store import LogStore

CHUNKS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(index.STREAMS),
        st.floats(0, 2),
        st.lists(
            st.sampled_from([b"\n", b"a", "é€😀".encode(), b"\xff", b"\0", b"\r", b"x" * 70_000])
        ).map(b"".join),
    ),
    max_size=12,
)


def store(tmp_path: Path) -> LogStore:
    return LogStore(tmp_path / "logs")


def write(writer: append.LogWriter, chunks: list[tuple[int, str, float, bytes]]) -> None:
    at = 1_000.0
    for step, name, later, data in chunks:
        at += later
        writer.append(step, name, at, data)


def printed(chunks: list[tuple[int, str, float, bytes]]) -> dict[tuple[int, str], bytes]:
    whole: dict[tuple[int, str], bytes] = defaultdict(bytes)
    for step, name, _, data in chunks:
        whole[step, name] += data
    return {key: data for key, data in whole.items() if data}


def kept(directory: Path) -> dict[tuple[int, str], bytes]:
    text = (directory / "log").read_bytes()
    whole: dict[tuple[int, str], bytes] = defaultdict(bytes)
    for record in index.read(directory / "index", 0, 10_000_000):
        whole[record.step, record.stream] += text[record.offset : record.end]
    return dict(whole)


@given(CHUNKS)
def test_any_interleaving_reads_back_complete(tmp_path_factory, chunks):
    directory = tmp_path_factory.mktemp("log")
    writer = append.LogWriter(directory, 1)
    write(writer, chunks)
    writer.close()
    assert kept(directory) == printed(chunks)
    records = index.read(directory / "index", 0, 10_000_000)
    assert all(record.length <= append.LONGEST for record in records)
    ends = [record.end for record in records]
    assert [record.offset for record in records] == [0, *ends][: len(records)]


@given(CHUNKS)
def test_pieces_of_a_line_are_marked(tmp_path_factory, chunks):
    directory = tmp_path_factory.mktemp("log")
    writer = append.LogWriter(directory, 1)
    write(writer, chunks)
    writer.close()
    begun: dict[tuple[int, str], bool] = defaultdict(bool)
    for line in stream.LogReader(directory, lambda: None).lines(0, 10_000_000):
        key = (line.step, line.stream)
        assert line.continues == begun[key]
        begun[key] = not line.ended
        assert "\n" not in line.text


@given(CHUNKS, st.floats(0, 1), st.floats(0, 1))
def test_a_log_that_was_cut_anywhere_reopens_consistent(tmp_path_factory, chunks, one, other):
    directory = tmp_path_factory.mktemp("log")
    writer = append.LogWriter(directory, 1)
    write(writer, chunks)
    writer.close()
    before = kept(directory)
    for name, share in (("log", one), ("index", other)):
        path = directory / name
        os.truncate(path, int(path.stat().st_size * share))
    reader = stream.LogReader(directory, lambda: None)
    seen = reader.line_count
    writer = append.LogWriter(directory, 1)
    assert reader.line_count == seen
    writer.append(0, "cupel", 2_000.0, b"again\n")
    writer.close()
    assert reader.lines(seen, 1)[0].text == "again"
    after = kept(directory)
    after[0, "cupel"] = after[0, "cupel"].removesuffix(b"again\n")
    assert all(before.get(key, b"").startswith(data) for key, data in after.items())


def test_streams_do_not_mix_inside_a_line(tmp_path):
    logs = store(tmp_path)
    writer = logs.writer(7)
    writer.append(0, "out", 1.0, b"a li")
    writer.append(0, "err", 1.1, b"oh\n")
    writer.append(0, "out", 1.2, b"ne\nnext\n")
    writer.close()
    reader = logs.reader(7)
    assert [(line.stream, line.text) for line in reader.lines(0, 10)] == [
        ("err", "oh"),
        ("out", "a line"),
        ("out", "next"),
    ]
    assert reader.read(0, 100) == b"oh\na line\nnext\n"
    assert reader.read(3, 6) == b"a line"
    assert reader.size == 15


def test_a_line_that_waits_too_long_is_written_in_pieces(tmp_path):
    logs = store(tmp_path)
    writer = logs.writer(7)
    writer.append(0, "out", 1.0, b"10%\r")
    writer.append(0, "out", 2.5, "20% é".encode()[:-1])
    assert [line.text for line in logs.reader(7).lines(0, 10)] == ["10%\r20% "]
    writer.append(0, "out", 2.6, "é done\n".encode()[1:])
    first, rest = logs.reader(7).lines(0, 10)
    assert (first.ended, rest.continues, rest.ended, rest.text) == (False, True, True, "é done")
    writer.close()


def test_lines_are_read_from_anywhere(tmp_path):
    logs = store(tmp_path)
    writer = logs.writer(1)
    writer.append(3, "out", 12.5, b"".join(b"line %d\n" % n for n in range(5000)))
    writer.close()
    reader = logs.reader(1)
    assert reader.line_count == 5000
    lines = reader.lines(4321, 2)
    assert [(line.number, line.text, line.at, line.step) for line in lines] == [
        (4321, "line 4321", 12.5, 3),
        (4322, "line 4322", 12.5, 3),
    ]
    assert reader.lines(4999, 10)[0].text == "line 4999"
    assert reader.lines(5000, 10) == []
    assert reader.lines(-1, 10) == []


def test_very_long_lines_come_a_few_at_a_time(tmp_path):
    logs = store(tmp_path)
    writer = logs.writer(1)
    writer.append(0, "out", 1.0, b"x" * (stream.BATCH_BYTES + 100_000) + b"\n")
    writer.close()
    reader = logs.reader(1)
    some = reader.lines(0, 1_000_000)
    assert 0 < len(some) < reader.line_count
    assert sum(len(line.text) for line in some) <= stream.BATCH_BYTES


def test_a_follower_sees_all_and_ends_with_the_writer(tmp_path):
    async def scenario() -> list[str]:
        logs = store(tmp_path)
        writer = logs.writer(1)
        writer.append(0, "out", 1.0, b"before\n")

        async def follow() -> list[str]:
            return [line.text async for line in logs.reader(1).follow()]

        async with asyncio.TaskGroup() as group:
            following = group.create_task(follow())
            for number in range(3):
                await asyncio.sleep(0)
                writer.append(0, "out", 2.0, b"%d\n" % number)
            await asyncio.sleep(0)
            writer.append(0, "out", 2.0, b"no end")
            writer.close()
        assert [line.text async for line in logs.reader(1).follow(3)] == ["2", "no end"]
        return following.result()

    assert asyncio.run(scenario()) == ["before", "0", "1", "2", "no end"]


def test_a_follower_is_shown_a_line_without_an_end(tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "GLIMPSE", 0.0)

    async def scenario() -> None:
        logs = store(tmp_path)
        writer = logs.writer(1)
        lines = logs.reader(1).follow()
        writer.append(0, "out", 1.0, b"password: ")
        line = await anext(lines)
        assert (line.text, line.ended) == ("password: ", False)
        writer.append(0, "out", 2.0, b"\n")
        line = await anext(lines)
        assert (line.text, line.continues) == ("", True)
        writer.close()
        assert [line async for line in lines] == []

    asyncio.run(scenario())


def test_a_follower_of_nothing_ends(tmp_path):
    async def scenario() -> list[stream.Line]:
        return [line async for line in store(tmp_path).reader(5).follow()]

    assert asyncio.run(scenario()) == []


def test_a_full_disk_is_told_and_nothing_is_half_written(tmp_path, monkeypatch):
    logs = store(tmp_path)
    writer = logs.writer(1)
    writer.append(0, "out", 1.0, b"good\n")
    real = os.pwrite

    def full(descriptor, data, at):
        if at:
            real(descriptor, bytes(data)[:2], at)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, data, at)

    monkeypatch.setattr(append.os, "pwrite", full)
    with pytest.raises(InfraError, match="No space left"):
        writer.append(0, "out", 1.0, b"lost\n")
    assert logs.reader(1).size == 5
    monkeypatch.setattr(append.os, "pwrite", real)
    writer.append(0, "out", 1.0, b"lost\n")
    writer.close()
    assert [line.text for line in logs.reader(1).lines(0, 9)] == ["good", "lost"]


def test_one_writer_at_a_time(tmp_path):
    logs = store(tmp_path)
    writer = logs.writer(1)
    with pytest.raises(Bug):
        logs.writer(1)
    writer.close()
    with pytest.raises(Bug):
        writer.append(0, "out", 1.0, b"late")
    logs.writer(1).append(0, "out", 1.0, b"more")
    logs.close()
    assert logs.reader(1).line_count == 1
    logs.delete(1)
    logs.delete(1)
    assert logs.reader(1).line_count == 0


def test_a_stream_that_is_unknown_is_a_bug(tmp_path):
    with pytest.raises(Bug, match="weird"):
        store(tmp_path).writer(1).append(0, "weird", 1.0, b"x\n")


def test_a_directory_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "logs").write_text("in the way")
    with pytest.raises(InfraError):
        store(tmp_path).writer(1)


def test_lines_of_two_machines_do_not_mix_and_say_where_they_are_from(tmp_path: Path) -> None:
    logs = store(tmp_path)
    writer = logs.writer(1)
    for part, data in ((0, b"one "), (3, b"other "), (0, b"line\n"), (3, b"line\n")):
        writer.append(0, "err", 1.0, data, part)
    writer.close()
    lines = logs.reader(1).lines(0, 10)
    found = [(line.part, line.stream, line.text) for line in lines]
    assert found == [(0, "err", "one line"), (3, "err", "other line")]
    with pytest.raises(Bug):
        index.pack(0, 0, 1, 0, "out", 0, part=100)
