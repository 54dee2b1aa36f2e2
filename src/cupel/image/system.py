"""An image that is a system of its own: what is booted, as files in a directory.

disk, or kernel and perhaps initrd; system.json says the rest
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cupel.config.system import BlobConfig, SystemConfig
from cupel.errors import InfraError

_TOLD = "system.json"
Tell = Callable[[str], None]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """What to boot, and how; see `SystemConfig`."""

    disk: Path | None = None
    kernel: Path | None = None
    initrd: Path | None = None
    append: str = ""
    format: str = "raw"
    bus: str = "virtio"


def identity(config: SystemConfig) -> dict[str, Any]:
    """What two equal systems have in common; where their files lie is not part of it."""
    blobs = {name: blob.sha256 for name, blob in _blobs(config).items()}
    return {**blobs, **_rest(config)}


def paths(config: SystemConfig) -> tuple[str, ...]:
    return tuple(blob.path for blob in _blobs(config).values())


def _blobs(config: SystemConfig) -> dict[str, BlobConfig]:
    named = {"disk": config.disk, "kernel": config.kernel, "initrd": config.initrd}
    return {name: blob for name, blob in named.items() if blob is not None}


def _rest(config: SystemConfig) -> dict[str, str]:
    return {"append": config.append, "format": config.format, "bus": config.bus}


async def lay_out(config: SystemConfig, target: Path, tell: Tell) -> None:
    """Make the directory `target`, of copies. InfraError for other files than were meant."""
    target.mkdir(mode=0o755)
    for name, blob in _blobs(config).items():
        tell(f"Copying {blob.path}")
        await asyncio.to_thread(_copy, blob, target / name)
    (target / _TOLD).write_text(json.dumps(_rest(config), sort_keys=True))


def _copy(blob: BlobConfig, target: Path) -> None:
    try:
        shutil.copyfile(blob.path, target)
        with target.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InfraError(f"{blob.path} can't be copied: {error.strerror}") from error
    if found != blob.sha256:
        raise InfraError(
            f"{blob.path} is another file than the image's definition says",
            hint=f"its SHA-256 is {found}, not {blob.sha256}",
        )
    target.chmod(0o444)


def read(rootfs: Path) -> System:
    """The system of an image. Raises `InfraError` if it is none."""
    try:
        rest = json.loads((rootfs / _TOLD).read_text())
    except (OSError, ValueError) as error:
        raise InfraError(f"{rootfs} holds no system to boot: {error}") from error
    disk, kernel, initrd = (
        path if (path := rootfs / name).exists() else None for name in ("disk", "kernel", "initrd")
    )
    return System(disk=disk, kernel=kernel, initrd=initrd, **rest)
