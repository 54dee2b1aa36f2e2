"""Which lines a commit adds."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from cupel.git import diff


def commit(repo: Path, files: dict[str, bytes | None]) -> str:
    for name, data in files.items():
        path = repo / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if data is None:
            path.unlink()
        else:
            path.write_bytes(data)
    identity = ("-c", "user.name=n", "-c", "user.email=e@x")
    for words in (("add", "-A"), (*identity, "commit", "-qm", "x")):
        subprocess.run(["git", *words], cwd=repo, check=True, capture_output=True)
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=repo, check=True, capture_output=True, text=True
    )
    return head.stdout.strip()


def test_lines_that_are_added_are_found_by_file(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    first = commit(
        tmp_path,
        {"a": b"1\n2\n3\n4\n", "gone": b"x\n", "same": b"y\n", "moved": b"z\n" * 50},
    )
    second = commit(
        tmp_path,
        {
            "a": b"0\n1\n3\n+++ b\n@@ -1 +1 @@\n4",
            "gone": None,
            "moved": None,
            "to/here": b"z\n" * 50,
            "with space": b"1\n",
            "umläut": b"1\n2\n",
            'quo"te': b"1\n",
            "binary": b"\0\1\2",
        },
    )
    added = asyncio.run(diff.added(tmp_path / ".git", first, second))
    assert {path: list(spans) for path, spans in added.items()} == {
        "a": [(1, 1), (4, 6)],
        "to/here": [(1, 50)],
        "with space": [(1, 1)],
        "umläut": [(1, 2)],
    }
    whole = asyncio.run(diff.added(tmp_path / ".git", None, first))
    assert whole["a"] == [(1, 4)]


def test_a_hunk_without_its_numbers_is_none() -> None:
    for head in (b"@@ -1, +1,1 @@", b"@@ - +1 @@", b"@@ -1 +" + b"9" * 5000 + b" @@"):
        assert diff.parse(b"+++ a\n" + head + b"\n+x\n") == {}


@given(st.binary(max_size=300))
def test_no_bytes_break_it(data: bytes) -> None:
    for head in (b"", b"+++ a\n", b"+++ a\n@@ -1 +1,3 @@\n"):
        diff.parse(head + data)
