"""A service of a build: runs on a machine of its own, and is healthy or not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping

from cupel.host.messages import ServiceSpec
from cupel.host.providers.interface import Machine, Stream

SOURCE = "/build/src"
OWN = "exec /etc/cupel/service"
"""What runs where the job does not say: the image's own."""

PAUSES = (0.05, 0.1, 0.2, 0.5, 1.0)
"""Seconds between two looks at whether a service is healthy; the last one repeats."""

_END = 1500
"""Bytes of what a service printed last that are told when it is not healthy."""

# By its name, so that a service which listens on loopback alone is not taken for reachable.
_PORT = '(exec 3<>"/dev/tcp/$CUPEL_MACHINE/{}") 2>/dev/null || exit 1'


class Served:
    """A service on its machine. `status` is how it ended, once it has."""

    def __init__(self, spec: ServiceSpec, machine: Machine) -> None:
        self.spec = spec
        self.status: int | None = None
        self._machine = machine
        self._end = b""

    async def run(self, env: Mapping[str, str]) -> AsyncGenerator[tuple[Stream, bytes], None]:
        """Start it; what it prints, until it ends."""
        argv = ["/bin/bash", "-eo", "pipefail", "-c", self.spec.run or OWN]
        process = await self._machine.exec(argv, env=env, cwd=SOURCE)
        try:
            async for stream, data in process.output():
                self._end = (self._end + data)[-_END:]
                yield stream, data
            self.status = await process.wait()
        finally:
            await process.kill()

    async def until_healthy(self, env: Mapping[str, str]) -> str | None:
        """Wait until it is healthy; in words, why it is not."""
        tries = 0
        try:
            async with asyncio.timeout(self.spec.timeout):
                while not await self._is_healthy(env):
                    if self.status:
                        return self._told(f"ended with status {self.status} and was not healthy")
                    await asyncio.sleep(PAUSES[min(tries, len(PAUSES) - 1)])
                    tries += 1
        except TimeoutError:
            return self._told(f"was not healthy within {self.spec.timeout:g} s")
        return None

    async def _is_healthy(self, env: Mapping[str, str]) -> bool:
        checks = [_PORT.format(port) for port in self.spec.ports]
        script = "\n".join([*checks, self.spec.health])
        if not script.strip():
            return not self.status
        argv = ["/bin/bash", "-eo", "pipefail", "-c", script]
        process = await self._machine.exec(argv, env=env, cwd=SOURCE)
        try:
            async for _ in process.output():
                pass
            return await process.wait() == 0
        finally:
            await process.kill()

    def _told(self, what: str) -> str:
        printed = self._end.decode(errors="replace").strip()
        last = "\n".join(printed.splitlines()[-10:])
        return f"service {self.spec.name!r} {what}" + (
            f"; it printed last:\n{last}" if last else ""
        )
