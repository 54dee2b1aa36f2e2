"""The providers of a host as one: each machine is made by the one that its label names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from cupel.errors import InfraError
from cupel.host.messages import LinkSpec, MachineSpec
from cupel.host.providers.interface import Machine, Network, Progress, Provider


class Several:
    """See `interface.Provider`. They may share a state directory: what one has not made, it lists
    and purges as well as the other."""

    name = "several"

    def __init__(self, *providers: Provider) -> None:
        self._providers = {provider.name: provider for provider in providers}

    def shares(self, spec: MachineSpec) -> bool:
        return self._of(spec).shares(spec)

    async def prepare(self, spec: MachineSpec, progress: Progress) -> str:
        return await self._of(spec).prepare(spec, progress)

    def find(self, spec: MachineSpec) -> str | None:
        provider = self._providers.get(spec.provider)
        return provider.find(spec) if provider is not None else None

    async def create(
        self, machine: int, spec: MachineSpec, *, binds: Mapping[Path, str] = MappingProxyType({})
    ) -> Machine:
        return await self._of(spec).create(machine, spec, binds=binds)

    async def join(
        self, spec: MachineSpec, machines: Mapping[str, Machine], links: Sequence[LinkSpec]
    ) -> Network:
        return await self._of(spec).join(spec, machines, links)

    def _of(self, spec: MachineSpec) -> Provider:
        try:
            return self._providers[spec.provider]
        except KeyError:
            raise InfraError(
                f"this host makes no {spec.provider} machines, which {spec.label} asks for",
                hint=f"it makes: {', '.join(self._providers)}",
            ) from None

    async def list(self) -> Sequence[int]:
        found: set[int] = set()
        for provider in self._providers.values():
            found.update(await provider.list())
        return sorted(found)

    async def purge(self, machine: int) -> None:
        for provider in self._providers.values():
            await provider.purge(machine)

    async def close(self) -> None:
        for provider in self._providers.values():
            await provider.close()
