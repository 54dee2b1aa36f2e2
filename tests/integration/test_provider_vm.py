"""Virtual machines: the contract of providers, and what is theirs alone."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from cupel.errors import InfraError
from cupel.host.messages import MachineSpec
from cupel.host.providers.interface import Machine
from cupel.host.providers.vm import qemu, templates
from cupel.host.providers.vm.machine import VmMachine
from cupel.host.providers.vm.provider import VmProvider
from integration import images, provider_contract
from integration.provider_contract import machine_of, run, shell, succeed

MISSING = [name for name in (qemu.PROGRAM, "mkfs.erofs", "mkfs.ext4") if shutil.which(name) is None]
if os.geteuid() != 0:
    MISSING.append("root")
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(bool(MISSING), reason=f"virtual machines need {', '.join(MISSING)}"),
]


def store() -> Path:
    """Kernels and templates are kept between runs, as images are."""
    return images.cache().with_name("vm")


def spec(**changes: object) -> MachineSpec:
    """All tests have one template, of a disk that a bomb fills soon."""
    fields: dict[str, object] = {"provider": "vm", "disk": 256 << 20}
    return images.machine_spec(**(fields | changes))


def vm_provider(state: Path) -> VmProvider:
    return VmProvider(state, images=images.cache(), store=store(), environ={})


def on_provider(state: Path, scenario: Callable[[VmProvider], Awaitable[None]]) -> None:
    async def prepared(provider: VmProvider) -> None:
        await provider.prepare(spec(), print)
        await scenario(provider)

    provider_contract.play(vm_provider, state, prepared)


def on_machine(
    state: Path, scenario: Callable[[VmMachine], Awaitable[None]], **changes: object
) -> None:
    async def whole(provider: VmProvider) -> None:
        wanted = spec(**changes)
        await provider.prepare(wanted, print)
        async with machine_of(provider, wanted) as machine:
            assert isinstance(machine, VmMachine)
            await scenario(machine)

    on_provider(state, whole)


async def said(machine: Machine, script: str) -> str:
    return (await succeed(machine, script)).strip()


def test_a_machine_has_its_own_kernel_and_is_root_there(tmp_path: Path) -> None:
    async def scenario(machine: VmMachine) -> None:
        assert await said(machine, "uname -r") != os.uname().release
        assert "memory" in await said(machine, "cat /sys/fs/cgroup/cgroup.controllers")
        mounted = "mkdir /mnt/x; mount -t tmpfs none /mnt/x; grep -c /mnt/x /proc/mounts"
        assert await said(machine, mounted) == "1"
        assert not any("booted" in note for note in machine.notes), machine.notes

    on_machine(tmp_path, scenario)


UNIQUE = {
    "randomness": "head -c 16 /dev/urandom | od -An -tx1",
    "the kernel's own": "cat /proc/sys/kernel/random/uuid",
    "the boot's id": "cat /proc/sys/kernel/random/boot_id",
    "the machine's id": "cat /etc/machine-id",
    "the name": "uname -n",
    "the address": "cat /sys/class/net/eth0/address",
    "layout of memory": "head -n 1 /proc/self/maps",
}


@pytest.mark.skipif(shutil.which("slirp4netns") is None, reason="no slirp4netns here")
def test_two_clones_share_nothing_that_should_be_unique(tmp_path: Path) -> None:
    wanted = spec(network="full")

    async def scenario(provider: VmProvider) -> None:
        await provider.prepare(wanted, print)
        await asyncio.sleep(1)  # so that a clock that stands still is seen
        async with machine_of(provider, wanted, 1) as one, machine_of(provider, wanted, 2) as two:
            for what, script in UNIQUE.items():
                assert await said(one, script) != await said(two, script), what
            for machine in (one, two):
                assert abs(float(await said(machine, "date +%s.%N")) - time.time()) < 2
                assert await said(machine, "cat /etc/hostname") == f"cupel-m{machine.id}"
                assert "1" in await said(machine, "cat /sys/class/net/eth0/carrier")

    on_provider(tmp_path, scenario)


def test_a_panic_is_told_with_its_console_and_its_memory(tmp_path: Path) -> None:
    async def scenario(machine: VmMachine) -> None:
        assert await machine.fault() is None
        process = await shell(machine, "sleep 0.2; echo c > /proc/sysrq-trigger; sleep 60")
        with pytest.raises(InfraError):
            await process.wait()
        assert await machine.fault() == "the machine's kernel panicked: sysrq triggered crash"
        records = machine.records()
        console = records["console.log"].read_text(errors="replace")
        assert "Linux version" in console
        assert "Kernel panic" in console
        assert records["memory.dump"].read_bytes().startswith(b"makedumpfile")
        with pytest.raises(InfraError, match="panicked"):
            await shell(machine, "true")

    on_machine(tmp_path, scenario)


def test_a_machine_that_is_switched_off_from_inside_is_told(tmp_path: Path) -> None:
    async def scenario(machine: VmMachine) -> None:
        process = await shell(machine, "echo o > /proc/sysrq-trigger; sleep 60")
        with pytest.raises(InfraError):
            await process.wait()
        assert await machine.fault() == "the machine was shut down or restarted by what ran in it"

    on_machine(tmp_path, scenario)


EATER = "kept = []\nwhile True: kept.append(bytearray(1 << 24))"


def test_memory_that_is_used_up_kills_the_build_and_not_the_machine(tmp_path: Path) -> None:
    async def scenario(machine: VmMachine) -> None:
        status, _, _ = await run(machine, f"exec python3 -c '{EATER}'")
        assert status == -9
        assert machine.usage().oom_kills == 1
        assert await said(machine, "echo still there") == "still there"

    on_machine(tmp_path, scenario)


@pytest.mark.slow
def test_a_machine_without_a_template_is_booted_and_says_so(tmp_path: Path, monkeypatch) -> None:
    async def none(*_: object) -> None:
        raise InfraError("the disk is full")

    async def scenario(machine: VmMachine) -> None:
        assert await said(machine, "uname -n") == "cupel-m1"
        assert "it was booted, not cloned from a template: the disk is full" in machine.notes

    monkeypatch.setattr(templates.Templates, "get", none)
    on_machine(tmp_path, scenario)


CRASHING = """
import asyncio, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from integration import test_provider_vm as here

async def main():
    provider = here.vm_provider(Path(sys.argv[1]))
    await provider.prepare(here.spec(), print)
    await provider.create(1, here.spec())
    print("made", flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


def test_what_a_killed_agent_leaves_goes_or_is_found(tmp_path: Path) -> None:
    kill_and_inherit(CRASHING, tmp_path)


def kill_and_inherit(program: str, state: Path) -> None:
    """Kill an agent that has made machine 1; another removes it, and no QEMU is left then."""
    words = [sys.executable, "-c", program, str(state), str(Path(__file__).parents[1])]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as agent:
        assert agent.stdout is not None
        assert any(line == "made\n" for line in agent.stdout)
        agent.kill()

    async def heir(provider: VmProvider) -> None:
        assert await provider.list() == [1]
        await provider.purge(1)

    on_provider(state, heir)
    assert _qemus(state) == []


def _qemus(state: Path) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/fd/1"):
        try:
            if str(path.readlink()).startswith(f"{state}/"):
                found.append(path.parts[2])
        except OSError:
            continue
    return found


def test_qemu_has_no_privilege_and_sees_nothing_of_the_host(tmp_path: Path) -> None:
    async def scenario(machine: VmMachine) -> None:
        (pid,) = [pid for pid in _qemus(tmp_path) if "qemu" in _status(pid)["Name"]]
        status = _status(pid)
        assert set(status["Uid"].split()) == set(status["Gid"].split())
        assert int(status["Uid"].split()[0]) > 65536
        assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
        assert status["NoNewPrivs"] == "1"
        assert status["Seccomp"] == "2"
        assert Path(f"/proc/{pid}/oom_score_adj").read_text() == "500\n"
        root = Path(f"/proc/{pid}/root")
        assert {path.name for path in root.iterdir()} <= {
            *("usr", "lib", "lib64", "bin", "nix", "gnu"), *("dev", "vm", "etc", "proc")
        }  # fmt: skip
        for kind in ("net", "pid", "mnt", "ipc", "uts"):
            assert (
                Path(f"/proc/{pid}/ns/{kind}").readlink()
                != Path(f"/proc/self/ns/{kind}").readlink()
            )

    on_machine(tmp_path, scenario)


def _status(pid: str) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {line.partition(":")[0]: line.partition(":")[2].strip() for line in lines}


@pytest.mark.slow
def test_a_saved_machine_goes_on_where_it_was(tmp_path: Path) -> None:
    saved = tmp_path / "saved"

    async def scenario(provider: VmProvider) -> None:
        async with machine_of(provider, spec(), 1) as machine:
            await said(
                machine, "echo memory > /dev/shm/x; echo disk > /root/x; date -s @1000000000"
            )
            await shell(machine, "exec sleep 98765")
            await machine.checkpoint(saved)
            with pytest.raises(InfraError):
                await shell(machine, "true")
        again = await provider.reopen(2, saved)
        assert await said(again, "cat /dev/shm/x /root/x") == "memory\ndisk"
        assert await said(again, "grep -l sleep /proc/[0-9]*/comm | wc -l") == "1"
        assert abs(float(await said(again, "date +%s")) - time.time()) < 60

    on_provider(tmp_path / "state", scenario)
