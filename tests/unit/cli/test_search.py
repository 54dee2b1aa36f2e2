"""`cupel search`: what it prints, and what its exit code says."""

from __future__ import annotations

import asyncio
import json

from cupel.core.model import Build
from unit.cli.calls import Command


def newest(command: Command) -> Build:
    async def read() -> Build:
        async with command.world.store.read() as tx:
            return (await tx.select(Build, descending=True, limit=1))[0]

    return asyncio.run(read())


def test_lines_of_logs_are_printed_with_their_numbers(cupel: Command) -> None:
    build = newest(cupel)
    log = cupel.world.logs.writer(build.id)
    log.append(0, "out", 1.0, b"one\n\x1b[31mno route\x1b[0m to \x1b]0;title\x07host\n")
    log.close()
    said = cupel("search", "no", "route", "to", "host")
    assert said.code == 0, said.err
    assert f"log of build {build.id}: {build.job}" in said.out
    assert "      2  no route to host" in said.out
    assert "logs: 1 lines in 1 logs; searched 1 in " in said.out
    told = json.loads(cupel("search", "NO ROUTE", "--kind", "logs", "--case", "--json").out)
    assert told["logs"]["reached"]["lines"] == 0


def test_what_is_named_and_what_is_not_found(cupel: Command) -> None:
    build = newest(cupel)
    assert f"build {build.id}: {build.job}" in cupel("search", f"build {build.id}").out
    nothing = cupel("search", "quuxification")
    assert nothing.code == 1
    assert "logs: 0 lines in 0 logs" in nothing.out
    assert "is no regular expression" in cupel("search", "(", "--regex").err
