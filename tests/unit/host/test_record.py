from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import subprocess
from pathlib import Path

from cupel.host.providers.namespace import record


def test_the_recorded_process_is_ended(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "987654"]) as process:
        record.write(tmp_path, record.of_process(process.pid, "m1"))
        asyncio.run(record.end(tmp_path))
        assert process.wait() == -signal.SIGKILL


def test_another_process_of_the_same_pid_is_spared(tmp_path: Path) -> None:
    me = record.of_process(os.getpid(), "m1")
    for other in (
        dataclasses.replace(me, started=me.started + 1),
        dataclasses.replace(me, boot="another"),
    ):
        record.write(tmp_path, other)
        asyncio.run(record.end(tmp_path))


def test_no_record_and_a_broken_one_are_nobody(tmp_path: Path) -> None:
    asyncio.run(record.end(tmp_path))
    (tmp_path / "machine.json").write_text('{"pid": 1')
    asyncio.run(record.end(tmp_path))


def test_forgetting_removes_the_directory_and_is_repeatable(tmp_path: Path) -> None:
    directory = tmp_path / "5"
    (directory / "root").mkdir(parents=True)
    (directory / "machine.json").write_text("{}")
    record.forget(directory)
    record.forget(directory)
    assert list(tmp_path.iterdir()) == []
