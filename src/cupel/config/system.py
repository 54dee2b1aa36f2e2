"""The `disk` and the `kernel` of an image: a system of its own, for virtual machines to boot."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from cupel.config.scalar import Choice, Text
from cupel.config.shape import Field, Found, Record, Refused

FORMATS = ("raw", "qcow2", "iso")
BUSES = ("virtio", "ide")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BlobConfig:
    """A file, `path` on the host, that must have this `sha256`."""

    path: str
    sha256: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SystemConfig:
    """What is booted: a `disk`, or a `kernel`, perhaps with an `initrd` and its command line.

    `format` and `bus` are words of `FORMATS` and `BUSES`, and of the disk.
    """

    disk: BlobConfig | None = None
    kernel: BlobConfig | None = None
    initrd: BlobConfig | None = None
    append: str = ""
    format: str = "raw"
    bus: str = "virtio"


PATH = Text(
    wanted="an absolute path",
    pattern=r"/(?:(?!\.{1,2}(?:/|$))[^/]+/)*(?!\.{1,2}$)[^/]+",
    rule="it begins with “/” and has no “.” or “..” in it",
    limit=1000,
)
BLOB_PATH = Field(key="path", shape=PATH, text="The file on the host.", required=True)
BLOB_SHA256 = Field(
    key="sha256",
    shape=Text(wanted="a SHA-256 in hex", pattern="[0-9a-f]{64}"),
    text="Its SHA-256, as `sha256sum` prints it; another file is refused.",
    required=True,
)
FORMAT = Field(
    key="format",
    shape=Choice(words=FORMATS),
    text="What the file is: `raw` (the default), `qcow2`, or `iso` for a CD.",
)
BUS = Field(
    key="bus",
    shape=Choice(words=BUSES),
    text="What the disk is attached to: `virtio` (the default), or `ide` for systems without "
    "drivers for that.",
)
DISK_RECORD = Record(
    wanted="a mapping with path and sha256", fields=(BLOB_PATH, BLOB_SHA256, FORMAT, BUS)
)
DISK = Field(
    key="disk",
    shape=DISK_RECORD,
    text="No root filesystem but a system of its own, for labels with `provider: vm`: a disk that "
    "it is booted from. It is never written to.",
)
BLOB_RECORD = Record(wanted="a mapping with path and sha256", fields=(BLOB_PATH, BLOB_SHA256))
INITRD = Field(key="initrd", shape=BLOB_RECORD, text="A file for the kernel, its initial RAM disk.")
APPEND = Field(
    key="append",
    shape=Text(wanted="a command line", limit=2000, empty=True),
    text="The kernel's command line, such as `console=ttyS0`.",
)
KERNEL_RECORD = Record(
    wanted="a mapping with path and sha256", fields=(BLOB_PATH, BLOB_SHA256, INITRD, APPEND)
)
KERNEL = Field(
    key="kernel",
    shape=KERNEL_RECORD,
    text="A system of its own as well, for labels with `provider: vm`: a kernel that is booted "
    "without a disk. A Linux kernel, or one of Multiboot or PVH, as unikernels are.",
)


def read(found: Found) -> SystemConfig | None:
    """The system that an image is, if it is one."""
    disk: Found | None = found.find(DISK)
    kernel: Found | None = found.find(KERNEL)
    if disk is not None:
        return SystemConfig(
            disk=_blob(disk), format=disk.get(FORMAT, "raw"), bus=disk.get(BUS, "virtio")
        )
    if kernel is not None:
        initrd: Found | None = kernel.find(INITRD)
        return SystemConfig(
            kernel=_blob(kernel),
            initrd=_blob(initrd) if initrd is not None else None,
            append=kernel.get(APPEND, ""),
        )
    return None


def _blob(found: Found) -> BlobConfig:
    return BlobConfig(path=found.get(BLOB_PATH, ""), sha256=found.get(BLOB_SHA256, ""))


def check_alone(found: Found, others: Sequence[Field[Any]]) -> None:
    """Refuse what is said of a root filesystem beside a system, which has none of ours."""
    wrong = next((field for field in others if found.find(field) is not None), None)
    if wrong is not None:
        raise Refused(
            found.mark(wrong), f"an image that is booted has no `{wrong.key}`", "remove it"
        )
