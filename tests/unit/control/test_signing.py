"""Logs are signed when they have ended, and those that were missed when the server starts."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from cupel.control import signing
from cupel.control.feed import Feed
from cupel.control.signing import Signing
from cupel.core.model import Event
from cupel.log import signature
from cupel.log.store import LogStore
from fakes import busy


def ended(build: int) -> Event:
    return Event(id=1, at=0.0, kind="build.finished", build_id=build)


async def appears(file: Path) -> None:
    async with asyncio.timeout(20):
        while not file.exists():  # noqa: ASYNC110 - another process makes it
            await asyncio.sleep(0.02)


def test_logs_are_signed_when_they_have_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signing, "GATHER", 0.05)

    async def run() -> None:
        told = busy.busy()
        store = await told.world.store()
        logs, feed = LogStore(tmp_path), Feed()
        running = busy.write_logs(logs, told)
        sign = Signing(store, feed, logs, tmp_path)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(sign.run())
            await appears(signature.directory(tmp_path, told.failed_build) / signature.NAME)
            place = signature.directory(tmp_path, told.running_build) / signature.NAME
            feed.publish([ended(told.running_build)])
            await asyncio.sleep(0.3)
            assert not place.exists()  # more of it is to come, whatever was told
            running.close()
            feed.publish([ended(told.running_build)])
            await appears(place)
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(run())
