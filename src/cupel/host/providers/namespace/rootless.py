"""Machines that are made by a user without privileges, inside a user namespace of that user's own.

The launcher starts in that namespace, where it is root: what it does there is nearly what it does
as root of the computer. What differs is said in `notes`: the ids of all machines are the same,
files lie in memory, and limits are those that a process can put on itself.
"""

from __future__ import annotations

import dataclasses
import os
import pwd
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cupel import process
from cupel.errors import InfraError
from cupel.host.providers.inside.plan import UIDS

if TYPE_CHECKING:
    from cupel.image.catalogue import Kept

KERNEL = (6, 6)
"""From here on files in memory keep the attributes by which an overlay of a user works."""
_TABLES = (Path("/etc/subuid"), Path("/etc/subgid"))
_UNPACK_SECONDS = 600.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rootless:
    """`many`: the user has ids of its own to give to machines, and not just the one."""

    many: bool

    @property
    def ids(self) -> list[tuple[int, int, int]]:
        """The map of a machine's ids within the user's namespace, in two parts as that one is."""
        return [(0, 0, 1), (1, 1, UIDS - 1)] if self.many else [(0, 0, 1)]

    @property
    def command(self) -> list[str]:
        """What starts a program as root of a user namespace of the user's own."""
        return [
            "unshare",
            "--user",
            "--map-root-user",
            *(["--map-auto"] if self.many else []),
            "--",
        ]

    @property
    def notes(self) -> list[str]:
        """What is weaker than with root's help, in words."""
        ids = "the machine's ids are those of every machine of this user"
        one = "the machine has one user id alone: its root; it is also that of every machine here"
        return [
            f"made without root: {ids if self.many else one}",
            "a directory of the image can't be renamed by a single call",
        ]


def detect() -> Rootless | None:
    """How machines are made by whoever we are; None for root, who needs none of this."""
    if os.geteuid() == 0:
        return None
    return Rootless(many=shutil.which("newuidmap") is not None and all(map(_granted, _TABLES)))


def command(how: Rootless | None) -> Sequence[str]:
    """What a program is started with that makes machines."""
    return () if how is None else how.command


def _granted(table: Path) -> bool:
    """Whether the first range of the user in /etc/subuid or /etc/subgid is large enough."""
    uid = os.geteuid()
    try:
        names = {str(uid), pwd.getpwuid(uid).pw_name}
        lines = [line.split(":") for line in table.read_text().splitlines()]
    except (OSError, KeyError):
        return False
    ranges = [int(line[2]) for line in lines if len(line) == 3 and line[0] in names]
    return bool(ranges) and ranges[0] >= UIDS


async def unpacked(image: Kept, spare: Path, how: Rootless) -> Kept:
    """The image as a tree of the user's, for its file can be mounted by root alone.

    The tree is kept beside the file, or in `spare` where that is not the user's to write.
    """
    if image.file is None:
        return image
    beside = image.file.parent
    tree = (beside if os.access(beside, os.W_OK) else spare / image.digest) / "tree"
    if not tree.exists():
        await _unpack(image.file, tree, how)
    return dataclasses.replace(image, rootfs=tree, file=None)


async def _unpack(file: Path, tree: Path, how: Rootless) -> None:
    temporary = tree.with_suffix(f".{os.getpid()}")
    temporary.parent.mkdir(parents=True, exist_ok=True)
    owners = "--preserve-owner" if how.many else "--no-preserve-owner"
    command = ["fsck.erofs", f"--extract={temporary}", "--preserve-perms", owners, str(file)]
    try:
        await process.run([*how.command, *command], timeout=_UNPACK_SECONDS)
        temporary.rename(tree)
    except OSError:
        if not tree.exists():  # else another was faster
            raise
    finally:
        await removed(temporary, how)


async def removed(tree: Path, how: Rootless) -> None:
    """Remove a tree whose files belong to ids of the user's namespace."""
    if tree.exists():
        await process.run([*how.command, "rm", "-rf", "--", str(tree)], timeout=_UNPACK_SECONDS)


def possible(release: Sequence[int]) -> None:
    """Raise `InfraError` when a kernel of this release can't do it."""
    if tuple(release) < KERNEL:
        wanted = ".".join(map(str, KERNEL))
        raise InfraError(f"machines without root need Linux {wanted}", hint="sudo cupel up")
