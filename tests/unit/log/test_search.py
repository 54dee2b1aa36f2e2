"""Searching all logs: signatures that skip them, and the process that looks through them."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies as st

from cupel.log import pattern, search, signature
from cupel.log.search import Bounds, Found, LogSearch, Reached
from cupel.log.store import LogStore


def write(root: Path, build: int, *texts: bytes) -> None:
    writer = LogStore(root).writer(build)
    for text in texts:
        writer.append(0, "out", 1.0, text)
    writer.close()


def ask(
    root: Path,
    text: str,
    *,
    bounds: Bounds | None = None,
    builds: Sequence[int] | None = None,
    **how: bool,
) -> tuple[list[Found], Reached]:
    async def told() -> AsyncIterator[Sequence[int]]:
        assert builds is not None
        yield builds

    async def run() -> tuple[list[Found], Reached]:
        found: list[Found] = []
        last = Reached()
        answer = LogSearch(root).search(
            pattern.checked(text, **how), bounds or Bounds(), told() if builds is not None else None
        )
        async with aclosing(answer):
            async for said in answer:
                if isinstance(said, Found):
                    found.append(said)
                else:
                    last = said
        return found, last

    return asyncio.run(run())


def sign(root: Path, *builds: int) -> None:
    for build in builds:
        signature.make(signature.directory(root, build))


def test_lines_are_found_newest_first_with_what_stands_around_them(tmp_path: Path) -> None:
    write(tmp_path, 7, b"first\nthe needle is here\nlast\n")
    write(tmp_path, 1200, b"needle\n" * 5)
    write(tmp_path, 1201, b"hay\n")
    found, reached = ask(tmp_path, "NEEDLE", bounds=Bounds(hits=2))
    assert [(each.build, each.lines, len(each.hits)) for each in found] == [(1200, 5, 2), (7, 1, 1)]
    hit = found[1].hits[0]
    assert (hit.number, hit.text) == (1, ("the ", "needle", " is here"))
    assert (hit.before, hit.after) == ("first", "last")
    assert (found[0].hits[1].before, found[0].hits[1].number) == ("needle", 1)
    assert (reached.searched, reached.logs, reached.lines, reached.done) == (3, 2, 6, True)


def test_the_number_of_a_line_is_the_one_that_its_link_has(tmp_path: Path) -> None:
    long = b"x" * 200_000 + b" needle\n"  # has several numbers, since it is kept in pieces
    write(tmp_path, 1, b"one\n" + long, b"\x1b[31mred\x1b[0m\n\nneedle\n")
    found, _ = ask(tmp_path, "needle")
    numbers = [hit.number for hit in found[0].hits]
    lines = LogStore(tmp_path).reader(1).lines(0, 100)
    # A line that is kept in pieces is linked to where it begins.
    assert lines[numbers[0]].text.startswith("xxx")
    assert not lines[numbers[0]].continues
    assert lines[numbers[1]].text == "needle"


def test_what_is_coloured_is_found_as_it_is_read(tmp_path: Path) -> None:
    write(tmp_path, 1, b"\x1b[31m1 failed\x1b[0m, \x1b[32m213 passed\x1b[0m\n")
    for signed in (False, True):
        if signed:
            sign(tmp_path, 1)
        found, reached = ask(tmp_path, "1 failed, 213 passed")
        assert [each.build for each in found] == [1]
        assert reached.skipped == 0


def test_a_signature_skips_what_cannot_fit_and_nothing_else(tmp_path: Path) -> None:
    write(tmp_path, 1, b"a needle in hay\n")
    write(tmp_path, 2, b"only hay\n")
    sign(tmp_path, 1, 2)
    found, reached = ask(tmp_path, "needle")
    assert ([each.build for each in found], reached.skipped) == ([1], 1)
    found, reached = ask(tmp_path, r"needle in [h]", regex=True)
    assert ([each.build for each in found], reached.skipped) == ([1], 1)
    # Three characters are in no signature: everything is read.
    assert ask(tmp_path, "hay")[1].skipped == 0


def test_a_signature_of_a_shorter_log_counts_for_nothing(tmp_path: Path) -> None:
    write(tmp_path, 1, b"hay\n")
    sign(tmp_path, 1)
    write(tmp_path, 1, b"needle\n")  # the log is taken up again, as after a crash
    found, reached = ask(tmp_path, "needle")
    assert ([each.build for each in found], reached.skipped) == ([1], 0)


@pytest.mark.parametrize("damaged", [b"", b"short", bytes(16), bytes(600)])
def test_a_damaged_signature_counts_for_nothing(tmp_path: Path, damaged: bytes) -> None:
    write(tmp_path, 1, b"needle\n")
    (signature.directory(tmp_path, 1) / signature.NAME).write_bytes(damaged)
    assert [each.build for each in ask(tmp_path, "needle")[0]] == [1]


@hypothesis.settings(deadline=None, max_examples=50)
@hypothesis.given(st.binary(max_size=3000), st.integers(0, 2990), st.integers(4, 40))
def test_whatever_stands_in_a_log_its_signature_has(
    tmp_path_factory: pytest.TempPathFactory, text: bytes, start: int, length: int
) -> None:
    place = tmp_path_factory.mktemp("log")
    (place / "log").write_bytes(text)
    signature.make(place)
    shown = pattern.shown(text).lower()
    literal = shown[start : start + length]
    assert signature.may_have(place, signature.needed([literal]), len(text))


def test_a_large_log_has_a_larger_signature_that_still_tells(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(os.urandom(1 << 18).hex().encode())
    signature.make(tmp_path)
    assert 1 << 12 < (tmp_path / signature.NAME).stat().st_size < 1 << 16
    assert not signature.may_have(tmp_path, signature.needed([b"frobnicator"]), 1 << 19)


def test_a_deleted_log_is_gone_from_what_is_searched(tmp_path: Path) -> None:
    write(tmp_path, 1, b"needle\n")
    sign(tmp_path, 1)
    LogStore(tmp_path).delete(1)
    found, reached = ask(tmp_path, "needle")
    assert (found, reached.searched, reached.done) == ([], 0, True)
    sign(tmp_path, 1)  # signing what has just gone does nothing
    assert not signature.directory(tmp_path, 1).exists()


def test_only_the_builds_that_are_asked_about(tmp_path: Path) -> None:
    for build in range(1, 6):
        write(tmp_path, build, b"needle\n")
    assert [each.build for each in ask(tmp_path, "needle", builds=[5, 2, 99])[0]] == [5, 2]
    bounds = Bounds(after=1, before=4)
    assert [each.build for each in ask(tmp_path, "needle", bounds=bounds)[0]] == [3, 2]


def test_more_is_counted_than_is_shown_and_one_can_go_on(tmp_path: Path) -> None:
    for build in range(1, 31):
        write(tmp_path, build, b"needle\nneedle\n")
    found, reached = ask(tmp_path, "needle", bounds=Bounds(logs=20))
    assert (len(found), reached.logs, reached.lines) == (20, 30, 60)
    assert reached.last_shown == 11
    rest, _ = ask(tmp_path, "needle", bounds=Bounds(logs=20, before=reached.last_shown))
    assert [each.build for each in rest] == list(range(10, 0, -1))


def test_without_time_the_numbers_are_said_to_be_the_least(tmp_path: Path) -> None:
    for build in range(1, 5):
        write(tmp_path, build, b"needle\n")
    found, reached = ask(tmp_path, "needle", bounds=Bounds(seconds=0))
    assert (found, reached.done, reached.over, reached.stuck) == ([], False, True, False)


def test_an_expression_that_takes_for_ever_is_stopped(tmp_path: Path) -> None:
    write(tmp_path, 1, b"a" * 5000 + b"\n")
    write(tmp_path, 2, b"aab\n")
    started = time.monotonic()
    found, reached = ask(tmp_path, "(a+)+b", regex=True, bounds=Bounds(seconds=0.3))
    assert time.monotonic() - started < 10
    assert [each.build for each in found] == [2]
    assert (reached.stuck, reached.done) == (True, False)


def test_who_stops_listening_ends_the_search(tmp_path: Path) -> None:
    write(tmp_path, 2, b"aab\n")
    write(tmp_path, 1, b"a" * 5000 + b"\n")

    async def run() -> None:
        wanted = pattern.checked("(a+)+b", regex=True)
        asked = LogSearch(tmp_path)
        for _ in range(search.AT_ONCE + 1):  # turns are given back, too
            answer = asked.search(wanted, Bounds(seconds=600))
            async with aclosing(answer):
                assert isinstance(await anext(answer), Found)

    started = time.monotonic()
    asyncio.run(run())
    assert time.monotonic() - started < 20


def test_what_is_missing_is_signed_by_a_process_of_its_own(tmp_path: Path) -> None:
    for build in (1, 2, 3):
        write(tmp_path, build, b"hay\n")
    shutil.rmtree(signature.directory(tmp_path, 3))

    def run(builds: bytes, *flags: str) -> list[int]:
        argv = [sys.executable, "-I", "-m", "cupel.log.signature", str(tmp_path), *flags]
        subprocess.run(argv, input=builds, check=True)
        return sorted(int(each.parent.name) for each in tmp_path.glob("*/*/signature"))

    assert run(b"1 3 77") == [1]
    assert run(b"2", "--all-but") == [1]
    assert run(b"", "--all-but") == [1, 2]
