"""The changes that the demo pushes, in order, and what must become of each."""

from __future__ import annotations

import dataclasses
import enum
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from cupel.demo import releases

LANDED = "landed"
EJECTED = "ejected"


class Part(enum.Enum):
    """What a change of the second act is there for."""

    FLAKY = enum.auto()
    BROKEN = enum.auto()
    GOOD = enum.auto()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A push: `commits` are made one after the other on top of `main`; each is a change."""

    what: str
    expected: str
    commits: tuple[tuple[str, Callable[[Path], Awaitable[None] | None]], ...]
    part: Part | None = None


def releases_and_clash(directories: Sequence[Path]) -> tuple[Scene, ...]:
    """The first act, for the releases that were fetched."""
    stack = tuple(
        (f"Release {number}", _release(directory))
        for number, directory in zip(releases.RELEASES[1:], directories[1:], strict=True)
    )
    return (
        Scene(what="the next releases, as a stack", expected=LANDED, commits=stack),
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
    )


def flaky_and_broken(patience: float) -> tuple[Scene, ...]:
    """The second act: the flaky test fails in the next `patience` seconds, and passes then."""
    return (
        Scene(
            what="a change with a flaky test",
            expected=LANDED,
            commits=(("Show how to wait for a service", _flaky_example(patience)),),
            part=Part.FLAKY,
        ),
        Scene(
            what="a change that breaks a test",
            expected=EJECTED,
            commits=(("Evict the newest item first in FIFOCache", _break_fifo),),
            part=Part.BROKEN,
        ),
        Scene(
            what="a good change behind both, to what no test reads",
            expected=LANDED,
            commits=(("Say how to report a bug", _write_contributing),),
            part=Part.GOOD,
        ),
        Scene(
            what="a good change behind both, to what is tested",
            expected=LANDED,
            commits=(("Test that nothing is evicted from an empty cache", _test_empty),),
            part=Part.GOOD,
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


def _test_empty(work: Path) -> None:
    (work / "tests/test_empty.py").write_text(
        """\
import unittest

import cachetools


class EmptyTest(unittest.TestCase):
    def test_nothing_is_evicted(self):
        for kind in (cachetools.FIFOCache, cachetools.LFUCache, cachetools.LRUCache):
            with self.assertRaises(KeyError):
                kind(maxsize=1).popitem()
"""
    )


def _flaky_example(patience: float) -> Callable[[Path], None]:
    """A test whose outcome depends on the time: while its service starts, it is too slow.

    A run that begins before fails as soon as the service is up, so the next one passes for certain.
    """

    def make(work: Path) -> None:
        (work / "examples").mkdir()
        (work / "examples/test_service.py").write_text(
            f"""\
import time
import unittest

UP = {time.time() + patience:.1f}  # when the service that is waited for has started


class ServiceTest(unittest.TestCase):
    def test_answers_within_a_second(self):
        began = time.monotonic()
        while time.time() < UP:
            time.sleep(0.05)
        self.assertLess(time.monotonic() - began, 1.0)
"""
        )

    return make
