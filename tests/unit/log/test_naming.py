"""Where a log names the tests that failed."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from cupel.log import naming
from cupel.log.store import LogStore

SAID = b"""\
collecting test_lru_order[0] test_lru_order[10]
tests/test_lru.py::test_lru_order[0] PASSED
\x1b[31m___ LRUTest.test_lru_order[10] ___\x1b[0m
def test_lru_order_and_more
FAILED tests/test_lru.py::test_gone
not ok 3 - spaces and (brackets)
"""


def named(directory: Path, *names: str, said: bytes = SAID) -> dict[str, int]:
    store = LogStore(directory)
    log = store.writer(1)
    log.append(0, "out", 1.0, said)
    log.close()
    return asyncio.run(store.naming(1, names))


def test_the_line_that_says_it_failed_comes_first(tmp_path: Path) -> None:
    assert named(
        tmp_path, "test_lru_order[10]", "test_lru_order[0]", "test_gone", "spaces and (brackets)"
    ) == {
        "test_lru_order[10]": 3,
        "test_lru_order[0]": 1,  # nothing says that it failed, so where it is named at all
        "test_gone": 5,
        "spaces and (brackets)": 6,
    }


def test_a_part_of_a_longer_name_is_not_meant(tmp_path: Path) -> None:
    assert named(tmp_path, "test_lru", "lru_order", "is") == {"test_lru": 5}
    assert asyncio.run(LogStore(tmp_path / "none").naming(1, ["test_a"])) == {}


def test_a_log_full_of_names_is_read_in_bounded_time(tmp_path: Path) -> None:
    names = [f"aaaaaaaaaa{n}" for n in range(naming.MOST + 10)]
    started = time.process_time()
    found = named(tmp_path, *names, said=(b"a" * 990 + b"\n") * 30_000)
    assert found == {}
    assert time.process_time() - started < 5
