"""QEMUs that are started before there is a machine for them."""

from __future__ import annotations

import asyncio
from pathlib import Path

from cupel.host.providers.vm.machine import VmMachine
from cupel.host.providers.vm.provider import VmProvider
from integration import images, leftovers
from integration import test_provider_vm as machines
from integration.provider_contract import machine_of

pytestmark = machines.pytestmark


def provider_ahead(state: Path) -> VmProvider:
    cache = images.cache()
    return VmProvider(state, images=cache, store=machines.store(), environ={}, ahead=True)


def test_a_qemu_that_was_started_ahead_becomes_the_next_machine(tmp_path: Path) -> None:
    async def whole() -> None:
        provider = provider_ahead(tmp_path)
        wanted = machines.spec()
        try:
            await provider.prepare(wanted, print)
            async with machine_of(provider, wanted, 1):
                waiting = await _waiting(tmp_path)
            async with machine_of(provider, wanted, 2) as machine:
                assert isinstance(machine, VmMachine)
                assert str(machine.running.qemu) in waiting
                assert "/m2/build" in Path(f"/proc/{machine.running.qemu}/cgroup").read_text()
                assert "/m2/init" in Path(f"/proc/{machine.running.pid}/cgroup").read_text()
                assert await machines.said(machine, "uname -n") == "cupel-m2"
        finally:
            await provider.close()

    asyncio.run(whole())
    assert leftovers.of(tmp_path) == {}
    assert machines._qemus(tmp_path) == []


async def _waiting(state: Path) -> list[str]:
    """The pids of a QEMU that waits and of its cage."""
    for _ in range(400):
        found = machines._qemus(state / "shells")
        if len(found) == 2:
            return found
        await asyncio.sleep(0.05)
    raise AssertionError("no QEMU waits")


CRASHING = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from integration import test_provider_vm_shells as here

async def main():
    state = Path(sys.argv[1])
    provider = here.provider_ahead(state)
    await provider.prepare(here.machines.spec(), print)
    await provider.create(1, here.machines.spec())
    await here._waiting(state)
    print("made", flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


def test_what_waits_ends_with_a_killed_agent_and_its_files_with_the_next(tmp_path: Path) -> None:
    machines.kill_and_inherit(CRASHING, tmp_path)
