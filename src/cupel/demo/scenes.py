"""The changes that the demo pushes, in order, and what must become of each."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from cupel.demo import releases

LANDED = "landed"
EJECTED = "ejected"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A push: `commits` are made one after the other on top of `main`; each is a change."""

    what: str
    expected: str
    commits: tuple[tuple[str, Callable[[Path], Awaitable[None] | None]], ...]


def scenes(directories: Sequence[Path]) -> tuple[Scene, ...]:
    """The scenes, for the releases that were fetched."""
    stack = tuple(
        (f"Release {number}", _release(directory))
        for number, directory in zip(releases.RELEASES[1:], directories[1:], strict=True)
    )
    return (
        Scene(what="the next releases, as a stack", expected=LANDED, commits=stack),
        Scene(
            what="a change that breaks a test",
            expected=EJECTED,
            commits=(("Evict the newest item first in FIFOCache", _break_fifo),),
        ),
        Scene(
            what="a good change that others may stumble over",
            expected=LANDED,
            commits=(("Give the key type a public name", _rename_key_type),),
        ),
        Scene(
            what="good alone, broken with the one ahead of it",
            expected=EJECTED,
            commits=(("Test that keys can be added", _test_key_type),),
        ),
        Scene(
            what="an unrelated good change",
            expected=LANDED,
            commits=(("Say how to report a bug", _write_contributing),),
        ),
    )


def _release(directory: Path) -> Callable[[Path], None]:
    def make(work: Path) -> None:
        releases.replace_tree(work, directory)

    return make


def _break_fifo(work: Path) -> None:
    releases.edit(
        work / "src/cachetools/__init__.py",
        [
            (
                '''        """Remove and return the `(key, value)` pair first inserted."""
        try:
            key = next(iter(self.__order))''',
                '''        """Remove and return the `(key, value)` pair last inserted."""
        try:
            key = next(reversed(self.__order))''',
            )
        ],
    )


def _rename_key_type(work: Path) -> None:
    releases.edit(work / "src/cachetools/keys.py", [("_HashedTuple", "HashedTuple")])


def _test_key_type(work: Path) -> None:
    (work / "tests/test_key_addition.py").write_text(
        """\
import unittest

from cachetools.keys import _HashedTuple, hashkey


class KeyAdditionTest(unittest.TestCase):
    def test_sum_is_a_key(self):
        self.assertIsInstance(hashkey(1) + hashkey(2), _HashedTuple)
"""
    )


def _write_contributing(work: Path) -> None:
    (work / "CONTRIBUTING.rst").write_text(
        "Contributing\n============\n\nA bug report says what you did, saw and expected.\n"
    )
