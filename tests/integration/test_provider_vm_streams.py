"""What processes in virtual machines write, when it is much and its reader is slow."""

from __future__ import annotations

import asyncio
from pathlib import Path

from cupel.host.providers.vm.machine import VmMachine
from integration import test_provider_vm
from integration.provider_contract import shell
from integration.test_provider_vm import on_machine, said

pytestmark = test_provider_vm.pytestmark


def test_a_flood_that_nobody_reads_keeps_its_streams_until_it_is_killed(tmp_path: Path) -> None:
    async def scenario(machine: VmMachine) -> None:
        flood = await shell(machine, "yes & yes >&2")
        await asyncio.sleep(1)
        assert await said(machine, "echo meanwhile") == "meanwhile"
        output = flood.output()
        assert await anext(output)
        await flood.kill()
        assert await flood.wait() == -9  # and not 141, from the end of a pipe
        await output.aclose()

    on_machine(tmp_path, scenario)
