"""The machines of a build that has several: their network and names, and changes to their links."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping

from cupel.errors import InfraError, UserError
from cupel.host import linking
from cupel.host.messages import BuildSpec, LinkSpec, MachineSpec
from cupel.host.providers.interface import Machine, Network, Process, Provider, Stream

# The host hears it over the agent's channel: a build may not change its network itself.
_TOOL = """#!/bin/bash
# Changes the link between two machines of this job; returns when that has happened.
id=$$-$RANDOM
answer=/run/cupel/answer.$id
mkfifo "$answer" || exit 1
trap 'rm -f "$answer"' EXIT
exec 3<>"$answer"
echo "$id $*" >/run/cupel/links
if ! IFS=' ' read -r -t 20 status text <&3; then
    echo "cupel-link: the host does not answer" >&2
    exit 1
fi
[ "$status" = ok ] || { echo "cupel-link: $text" >&2; exit 2; }
"""
_LISTEN = """
mkdir -p /run/cupel && rm -f /run/cupel/links && mkfifo -m 622 /run/cupel/links
exec 3<>/run/cupel/links
echo ready
exec cat <&3
"""
_ANSWER = '[ -p "/run/cupel/answer.$1" ] && printf "%s\\n" "$2" >"/run/cupel/answer.$1"'
_PREPARE = """
printf "%s" "$1" >>/etc/hosts && mkdir -p /usr/local/bin && cat >/usr/local/bin/cupel-link &&
    chmod 755 /usr/local/bin/cupel-link
"""
_ASKED = re.compile(rb"([0-9]{1,10}-[0-9]{1,5})((?: [!-~]{1,64})*) ?", re.ASCII)
_LONGEST = 4096

READY_SECONDS = 20.0


class Beside:
    """All machines of a build by name, its own first, joined by `network`."""

    def __init__(
        self, machines: Mapping[str, Machine], network: Network, links: Mapping[str, LinkSpec]
    ) -> None:
        self.machines = machines
        self._network = network
        self._links = {frozenset((link.one, link.other)): link for link in links.values()}

    async def listen(self, name: str, ready: asyncio.Event) -> None:
        """Do what `cupel-link` asks for on a machine, until cancelled; `ready` once it can."""
        machine = self.machines[name]
        process = await machine.exec(["/bin/bash", "-c", _LISTEN], env={}, cwd="/")
        try:
            async with contextlib.aclosing(_lines(process)) as lines:
                async for line in lines:
                    if line == b"ready":
                        ready.set()
                    elif asked := _ASKED.fullmatch(line):
                        said = await self._change(asked[2].decode().split())
                        await self._answer(machine, asked[1].decode(), said)
        finally:
            await process.kill()
            ready.set()

    async def _change(self, words: list[str]) -> str:
        try:
            link = linking.changed(words, self.machines, self._links)
        except UserError as error:
            return f"no {error.message}"
        await self._network.set(link)
        self._links[frozenset((link.one, link.other))] = link
        return "ok"

    async def _answer(self, machine: Machine, number: str, said: str) -> None:
        argv = ["/bin/bash", "-c", _ANSWER, "bash", number, said]
        process = await machine.exec(argv, env={}, cwd="/")
        async for _ in process.output():
            pass


async def _lines(process: Process) -> AsyncGenerator[bytes, None]:
    """The lines of a process's output, without those that are too long."""
    waiting = b""
    async for stream, data in process.output():
        if stream is Stream.OUT:
            *lines, waiting = (waiting + data).split(b"\n")
            for line in lines:
                yield line
            waiting = waiting[-_LONGEST:]


@contextlib.asynccontextmanager
async def joined(
    provider: Provider, spec: MachineSpec, machines: Mapping[str, Machine], build: BuildSpec
) -> AsyncIterator[Beside]:
    """Join the machines of the build, by name, for as long as the block lasts."""
    network = await provider.join(spec, machines, build.links)
    try:
        names = "".join(f"{address} {name}\n" for name, address in network.addresses.items())
        await asyncio.gather(*(_prepare(machine, names) for machine in machines.values()))
        links = {f"{link.one} {link.other}": link for link in build.links}
        yield Beside(machines, network, links)
    finally:
        network.close()


async def _prepare(machine: Machine, names: str) -> None:
    """Let the machine know the others by name, and have the tool."""
    argv = ["/bin/sh", "-c", _PREPARE, "sh", names]
    process = await machine.exec(argv, env={}, cwd="/", stdin=_TOOL.encode())
    async for _ in process.output():
        pass
    if await process.wait() != 0:
        raise InfraError(f"the names of the others can't be told to machine {machine.id}")
