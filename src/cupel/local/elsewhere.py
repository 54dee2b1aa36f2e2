"""A server on another computer: its labels, and its images, which are fetched by digest."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from cupel.config.server import LabelConfig, ServerConfig
from cupel.errors import InfraError
from cupel.host.messages import MachineSpec
from cupel.host.stock import Stock
from cupel.image.catalogue import Catalogue

Tell = Callable[[str], None]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """The server at `url`, which `token` opens, and how it has machines made."""

    url: str
    token: str
    specs: Mapping[str, MachineSpec]

    @property
    def config(self) -> ServerConfig:
        """Its labels; all else is as by default."""
        labels = {name: _label(spec) for name, spec in self.specs.items()}
        return ServerConfig(slots=os.cpu_count() or 1, labels=labels)

    def stock(self, images: Path) -> FetchedImages:
        """Its images, kept in a directory once they were fetched."""
        stock = Stock(Catalogue(images))
        stock.url, stock.token = f"{self.url}/api/images", self.token
        return FetchedImages(stock)


class FetchedImages:
    """See `tenancy.Obtain`: nobody here waits for an image that the server has yet to build."""

    def __init__(self, stock: Stock) -> None:
        self._stock = stock

    async def __call__(self, spec: MachineSpec, tell: Tell) -> MachineSpec:
        if spec.coming:
            raise InfraError(
                f"the server is building the image of {spec.label} right now",
                hint="`cupel image list` says how far it is; then try again",
            )
        return await self._stock.obtain(spec, tell)


def _label(spec: MachineSpec) -> LabelConfig:
    return LabelConfig(
        image=spec.image,
        provider=spec.provider,
        init=spec.init,
        network=spec.network,
        allow=spec.allow,
        cpus=spec.cpus,
        memory=spec.memory,
        disk=spec.disk,
        pids=spec.pids,
    )


def of(url: str, token: str, specs: Sequence[MachineSpec]) -> Elsewhere:
    return Elsewhere(url=url, token=token, specs={spec.label: spec for spec in specs})
