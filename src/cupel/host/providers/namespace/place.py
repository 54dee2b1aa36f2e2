"""What machines have on their host: directory and control groups, each by its number."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path

from cupel.errors import InfraError
from cupel.host.providers.namespace import cgroups, disk, network, record


class Place:
    """A provider's state directory, and all that its machines have there and elsewhere."""

    def __init__(self, state: Path, environ: Mapping[str, str] | None) -> None:
        self.state = state
        self.environ = os.environ if environ is None else environ
        self.tree = cgroups.Tree(state, cgroups.here())
        self.disks = disk.Templates(state / "disks")
        self._enforced: frozenset[str] | None = None

    def directory(self, machine: int) -> Path:
        return self.state.resolve() / "machines" / str(machine)

    def enforced(self) -> frozenset[str]:
        """Which limits control groups enforce here."""
        if self._enforced is None:
            self._enforced = self.tree.prepare()
            self.tree.close()
        return self._enforced

    def check_new(self, machine: int) -> None:
        """Raise `InfraError` if anything has this number."""
        if self.directory(machine).exists():
            raise InfraError(f"something of machine {machine} exists already")

    def disk_size(self, wanted: int) -> int:
        """How many bytes of `wanted` a disk may have; InfraError if that is too little."""
        self.state.mkdir(parents=True, exist_ok=True)
        size = disk.available(wanted, self.state)
        if size < disk.SMALLEST:
            raise InfraError(
                f"the disk of {self.state} is full", hint="machines need at least 1 GiB of it"
            )
        return size

    def machines(self) -> set[int]:
        """Every machine of which anything is left."""
        machines = self.state / "machines"
        names = [path.name for path in machines.iterdir()] if machines.is_dir() else []
        return {int(name) for name in names if name.isdecimal()}

    async def remove(self, machine: int, *, patience: float = record.PATIENCE) -> None:
        """End what runs in a machine, and remove all that is left of it. Repeatable.

        It gets so many seconds to end by itself; InfraError if it does not end at all.
        """
        directory = self.directory(machine)
        found = record.read(directory)
        await record.end(directory, patience=patience)
        if found is not None and found.group:
            await self.tree.remove(self.tree.group(found.group))
        await asyncio.to_thread(record.forget, directory)

    async def remove_strays(self, prefix: str, ours: Collection[str]) -> None:
        """Remove control groups with this prefix that are neither `ours` nor any machine's.

        An agent that was killed leaves them, of what was not a machine yet.
        """
        found = [record.read(self.directory(machine)) for machine in self.machines()]
        known = set(ours) | {each.group for each in found if each is not None}
        for name in self.tree.names() - known:
            if name.startswith(prefix):
                await self.tree.remove(self.tree.group(name))


def names(machine: int, nameserver: str | None) -> tuple[str, dict[str, str]]:
    """The name of a machine, and the files of its root that tell of it and of its resolver."""
    name = f"cupel-m{machine}"
    server = f"nameserver {nameserver}\n" if nameserver else ""
    return name, {
        "etc/hostname": f"{name}\n",
        "etc/hosts": f"127.0.0.1 localhost\n127.0.1.1 {name}\n::1 localhost ip6-localhost\n",
        "etc/resolv.conf": f"{server}options timeout:2 attempts:3\n",
    }


def network_command() -> list[str]:
    """The user-space network, to which its last words are added."""
    program = shutil.which("slirp4netns")
    if program is None:
        raise InfraError(
            "a machine with a network needs slirp4netns", hint="apt-get install slirp4netns"
        )
    return [program, *network.COMMAND]
