"""Control groups v2 alone, with systemd: in a virtual machine, as this computer may have others.

What runs in the guest are the modules that agents use, on a group that systemd has delegated.
"""

from __future__ import annotations

import dataclasses
import io
import json
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import cupel.errors
from cupel.host.providers.namespace import cgroups, delegation, record
from cupel.host.providers.vm.machine import VmMachine
from integration import images
from integration.provider_contract import run
from integration.test_provider_vm import on_machine
from integration.test_provider_vm import pytestmark as needs

pytestmark = [*needs, pytest.mark.slow]

GUEST = """
import asyncio, dataclasses, json, os, subprocess, sys, time
from pathlib import Path
sys.path.insert(0, "/build/modules")
from cupel.host.providers.namespace import cgroups

told = {"before": Path("/proc/self/cgroup").read_text().strip()}
other = subprocess.Popen(["sleep", "100"])
parted = cgroups.settle()
told["home"], told["kept"] = str(parted.home), parted.kept
told["after"] = Path("/proc/self/cgroup").read_text().strip()
told["other"] = Path(f"/proc/{other.pid}/cgroup").read_text().strip()
agent = parted.home / "agent"
told["min"] = (agent / "memory.min").read_text().strip()
told["again"] = cgroups.settle() is not None
tree = cgroups.Tree(Path("/build"), cgroups.here())
told["enforced"] = sorted(tree.prepare())
limits = cgroups.Limits(memory=48 << 20, cpus=1.0, pids=20)
group = tree.create("m1", tree.prepare())
tree.limit("m1", limits, tree.prepare())

def within(script):
    return subprocess.run(["sh", "-c", f"echo 0 > {group.build[0]}; {script}"]).returncode

told["hog"] = within("head -c 200M /dev/zero | tail")
told["oom_kills"] = group.oom_kills()
told["write"] = within("dd if=/dev/zero of=/build/x bs=1M count=8 conv=fsync status=none")
told["written"] = group.moved()[1]
told["peak"] = group.memory_peak()
left = subprocess.Popen(["sh", "-c", f"echo 0 > {group.build[0]}; sleep 100 & sleep 100"])
time.sleep(1)
asyncio.run(tree.remove(group))
told["killed"] = left.wait()
told["left"] = sorted(path.name for path in (parted.home / "builds").iterdir() if path.is_dir())
other.kill()
print(json.dumps(told))
"""


def modules() -> bytes:
    """What the guest needs of Cupel, as a tar: these modules import nothing else."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        sources = Path(cupel.errors.__file__).parents[1]
        files = [Path(each.__file__) for each in (cupel.errors, cgroups, delegation, record)]
        places = {parent for file in files for parent in file.relative_to(sources).parents}
        for place in sorted(places - {Path()}):
            tar.addfile(tarfile.TarInfo(f"modules/{place}/__init__.py"))
        for file in files:
            tar.add(file, f"modules/{file.relative_to(sources)}")
        script = tarfile.TarInfo("guest.py")
        script.size = len(GUEST.encode())
        tar.addfile(script, io.BytesIO(GUEST.encode()))
    return packed.getvalue()


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    yield data


def test_agent_and_builds_are_parted_in_what_systemd_delegates(tmp_path: Path) -> None:
    image = dataclasses.replace(images.spec(), packages=(*images.PACKAGES, "systemd-sysv", "dbus"))

    async def scenario(machine: VmMachine) -> None:
        await machine.copy_in(pieces(modules()), "/build")
        status, out, err = await run(
            machine,
            "systemctl is-system-running --wait && "
            "systemctl set-property --runtime cupel.slice MemoryMin=300M && "
            "systemd-run --wait --pipe --quiet -p Delegate=yes -p Slice=cupel.slice "
            "-p MemoryMin=256M --unit cupel-host python3 /build/guest.py",
        )
        assert status == 0, (out + err).decode()
        told = json.loads(out.splitlines()[-1])
        unit = "/cupel.slice/cupel-host.service"
        assert told["before"] == f"0::{unit}"
        assert told["home"] == f"/sys/fs/cgroup{unit}"
        assert told["after"] == told["other"] == f"0::{unit}/agent"
        assert (told["kept"], told["min"]) == (256 << 20, str(delegation.MEMORY_MIN))
        assert told["again"]
        assert told["enforced"] == ["cpu", "memory", "pids"]
        assert told["hog"] != 0
        assert told["oom_kills"] >= 1  # and the agent beside it went on
        assert told["write"] == 0
        assert 4 << 20 <= told["written"] <= 16 << 20  # some pages the kernel puts down to nobody
        assert 8 << 20 <= told["peak"] <= 48 << 20
        assert told["killed"] == -9
        assert told["left"] == []

    on_machine(tmp_path, scenario, image=image, init="systemd", memory=768 << 20)
