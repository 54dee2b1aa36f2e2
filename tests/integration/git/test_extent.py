"""How much commits change."""

from __future__ import annotations

import asyncio
from pathlib import Path

from cupel.git.extent import Extent, extent
from integration.git import bare


def test_files_and_lines_are_counted(tmp_path: Path) -> None:
    async def scenario() -> None:
        repo = await bare.make(tmp_path)
        one = await bare.commit(repo, {"a": "1\n2\n", "b": b"\0\1", "dir/c": "x\n"})
        two = await bare.commit(
            repo, {"a": "1\n3\n", "b": b"\0\2", "dir/c": "x\n", "a\nb": "new\n"}, one
        )
        side = await bare.commit(repo, {"z": "1\n"}, one)
        merge = await bare.commit(repo, {"a": "1\n3\n", "z": "1\n"}, side, two)
        assert await extent(repo, None, one) == Extent(files=3, lines=3)
        assert await extent(repo, one, two) == Extent(files=3, lines=3)
        assert await extent(repo, two, two) == Extent()
        assert await extent(repo, side, merge) == Extent(files=1, lines=2)

    asyncio.run(scenario())
