"""The image of a machine: the one of the digest that the server named, or what is built here."""

from __future__ import annotations

from cupel.errors import InfraError
from cupel.host.messages import MachineSpec
from cupel.host.providers.interface import Progress
from cupel.image import base, definition
from cupel.image.catalogue import Catalogue


def find(images: Catalogue, spec: MachineSpec) -> str | None:
    """The digest of the machine's image, if it is here."""
    if spec.digest is not None:
        return spec.digest if images.exists(spec.digest) else None
    return images.find(_define(spec))


def needed(images: Catalogue, spec: MachineSpec) -> str:
    """The digest of the machine's image. Raises `InfraError` where it is not."""
    digest = find(images, spec)
    if digest is None:
        raise InfraError(f"the image of {spec.label} is not here yet")
    return digest


async def prepare(images: Catalogue, spec: MachineSpec, progress: Progress) -> str:
    """Build the image if need be; its digest. Raises `InfraError`."""
    await images.sweep()
    if spec.digest is None:
        return await images.ensure(_define(spec), progress)
    return needed(images, spec)


def _define(spec: MachineSpec) -> definition.Definition:
    return definition.define(spec.image, base.architecture())
