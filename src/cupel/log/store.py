"""Keeps logs, a directory per build."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from cupel.errors import Bug
from cupel.log import append
from cupel.log.search import LogSearch
from cupel.log.stream import LogReader

if TYPE_CHECKING:
    from cupel.log.excerpt import Shown

EXCERPTS = 256
"""Logs whose excerpts are kept, as pages are drawn again and again."""


class LogStore:
    """The logs of all builds, below one directory. Use it from one event loop."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._writers: dict[int, append.LogWriter] = {}
        self.search = LogSearch(root)
        self._excerpts: collections.OrderedDict[tuple[int, int, int | None], list[Shown]] = (
            collections.OrderedDict()
        )

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

    def metrics(self, build_id: int, part: int = 0) -> Path:
        """The file of what a machine of the build used; see `log.metrics`."""
        return self._directory(build_id) / f"metrics-{part}"

    def delete(self, build_id: int) -> None:
        """Forget the log, if there is one; its writer is closed."""
        writer = self._live(build_id)
        if writer is not None:
            writer.close()
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
