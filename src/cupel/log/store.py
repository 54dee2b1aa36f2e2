"""Keeps logs, a directory per build."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import shutil
import sys
import weakref
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cupel import process
from cupel.errors import Bug
from cupel.log import append
from cupel.log.search import LogSearch
from cupel.log.stream import LogReader

if TYPE_CHECKING:
    from cupel.log.excerpt import Shown
    from cupel.log.find import Finder, Found
    from cupel.log.outline import Outline
    from cupel.log.query import Query

EXCERPTS = 256
"""Logs whose excerpts are kept, as pages are drawn again and again."""

OUTLINES = 64
"""Logs whose outlines are kept in memory; those of long ones are kept beside them as well."""

LONG = 20_000
"""Lines of a log that are outlined in a process of its own, because it takes a while."""

PATIENCE = 300.0
"""Seconds that this may take."""


class LogStore:
    """The logs of all builds, below one directory. Use it from one event loop."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._writers: dict[int, append.LogWriter] = {}
        self.search = LogSearch(root)
        self._named: collections.OrderedDict[tuple[int, int, tuple[str, ...]], dict[str, int]] = (
            collections.OrderedDict()
        )
        self._excerpts: collections.OrderedDict[tuple[int, int, int | None], list[Shown]] = (
            collections.OrderedDict()
        )
        self._outlines: collections.OrderedDict[int, Outline] = collections.OrderedDict()
        self._outlining: weakref.WeakValueDictionary[int, asyncio.Lock] = (
            weakref.WeakValueDictionary()
        )
        self._finder: Finder | None = None

    def writer(self, build_id: int) -> append.LogWriter:
        """A writer for the build's log; close it. Raises `Bug` while there is another."""
        if self._live(build_id) is not None:
            raise Bug(f"the log of build {build_id} is being written already")
        writer = append.LogWriter(self._directory(build_id), build_id)
        self._writers[build_id] = writer
        return writer

    def reader(self, build_id: int) -> LogReader:
        return LogReader(self._directory(build_id), lambda: self._live(build_id))

    async def excerpt(self, build_id: int, step: int | None) -> list[Shown]:
        """The lines of a build's log that say what went wrong in a step, read off the loop."""
        from cupel.log import excerpt

        reader = self.reader(build_id)
        key = (build_id, reader.size, step)
        if key not in self._excerpts:
            self._excerpts[key] = await asyncio.to_thread(excerpt.of, reader, step)
            while len(self._excerpts) > EXCERPTS:
                self._excerpts.popitem(last=False)
        return self._excerpts[key]

    def is_written(self, build_id: int) -> bool:
        """Whether more of the log may come."""
        return self._live(build_id) is not None

    async def outline(self, build_id: int) -> Outline:
        """The outline of a build's log as far as it goes now, made off the loop."""
        from cupel.log import outline

        directory = self._directory(build_id)
        async with self._outlining.setdefault(build_id, asyncio.Lock()):
            made = self._outlines.pop(build_id, None)
            if made is None or made.lines > self.reader(build_id).line_count:
                made = await asyncio.to_thread(outline.kept, directory)
            if self.reader(build_id).line_count - made.lines > LONG:
                argv: list[str | Path] = [sys.executable, "-m", outline.__name__, directory]
                await process.run(argv, timeout=PATIENCE)
                made = await asyncio.to_thread(outline.kept, directory)
            await asyncio.to_thread(outline.extend, directory, made)
            self._outlines[build_id] = made
            while len(self._outlines) > OUTLINES:
                self._outlines.popitem(last=False)
        return made

    def matches(self, build_id: int, wanted: Query, first: int = 0) -> AsyncGenerator[bytes, None]:
        """Messages of what fits in a build's log; see `find.Finder`."""
        return self._finds().messages(self._directory(build_id), wanted, first)

    async def find(self, build_id: int, wanted: Query, first: int, limit: int) -> Found:
        """How many lines of a build's log fit from line `first` on, and the first of them."""
        return await self._finds().find(self._directory(build_id), wanted, first, limit)

    def _finds(self) -> Finder:
        from cupel.log.find import Finder

        self._finder = self._finder or Finder()
        return self._finder

    async def naming(self, build_id: int, names: Sequence[str]) -> dict[str, int]:
        """Where a build's log names these, from line 1; read off the loop."""
        from cupel.log import naming

        reader = self.reader(build_id)
        key = (build_id, reader.size, tuple(names))
        if key not in self._named:
            found = await asyncio.to_thread(naming.lines, reader, names)
            self._named[key] = {name: number + 1 for name, number in found.items()}
            while len(self._named) > EXCERPTS:
                self._named.popitem(last=False)
        return self._named[key]

    def metrics(self, build_id: int, part: int = 0) -> Path:
        """The file of what a machine of the build used; see `log.metrics`."""
        return self._directory(build_id) / f"metrics-{part}"

    def delete(self, build_id: int) -> None:
        """Forget the log, if there is one; its writer is closed."""
        writer = self._live(build_id)
        if writer is not None:
            writer.close()
        self._outlines.pop(build_id, None)
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self._directory(build_id))

    def close(self) -> None:
        """Close every writer."""
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def _live(self, build_id: int) -> append.LogWriter | None:
        writer = self._writers.get(build_id)
        if writer is not None and writer.closed:
            del self._writers[build_id]
            return None
        return writer

    def _directory(self, build_id: int) -> Path:
        return self._root / str(build_id // 1000) / str(build_id)
