"""A root filesystem as a directory: made the same for the same packages, listed, and named."""

from __future__ import annotations

import contextlib
import dataclasses
import fnmatch
import gzip
import hashlib
import json
import os
import shutil
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

ROOTFS = "rootfs"
FILE = "rootfs.erofs"
"""What the files of an image are called, and the packed one that holds them all."""
MANIFEST = "manifest.gz"
PACKAGES = "packages.json"

EPOCH = 1_577_836_800
"""No file is younger: when an image was built says nothing about what is in it."""

_GONE = (
    "dev/*",
    "etc/hostname",
    "etc/machine-id",
    "etc/resolv.conf",
    "proc/*",
    "root/.ansible",
    "root/.bash_history",
    "root/.cache",
    "root/.npm",
    "root/.wget-hsts",
    "run/*",
    "sys/*",
    "tmp/*",
    "var/cache/apt/*.bin",
    "var/cache/apt/archives/*.deb",
    "var/cache/apt/archives/partial/*",
    "var/cache/debconf/*-old",
    "var/cache/ldconfig/aux-cache",
    "var/lib/apt/extended_states.old",
    "var/lib/dbus/machine-id",
    "var/lib/dpkg/*-old",
    "var/lib/systemd/random-seed",
    "var/log/*.log",
    "var/log/apt/*",
    "var/log/btmp",
    "var/log/faillog",
    "var/log/lastlog",
    "var/log/wtmp",
    "var/tmp/*",
)
"""What differs from build to build, or is not to be the same on all machines of an image."""

_ATTRIBUTES = ("security.capability", "system.posix_acl_access", "system.posix_acl_default")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A file: `kind` is a letter as in `ls -l`; `content` is a SHA-256, a link's target, or a
    device's numbers; `first` is the path of an earlier name of the same file."""

    path: str
    kind: str
    mode: int
    uid: int
    gid: int
    time: int
    size: int
    content: str = ""
    first: str = ""
    attributes: tuple[tuple[str, str], ...] = ()


def normalise(tree: Path) -> None:
    """Remove what varies between two builds of the same, and bound all times by `EPOCH`."""
    for pattern in _GONE:
        for path in list(_matches(tree, pattern.split("/"))):
            _remove(path)
    for directory, names, files in os.walk(tree, topdown=False):
        for name in files:
            path = Path(directory, name)
            status = path.lstat()
            if stat.S_ISSOCK(status.st_mode):
                path.unlink()
                continue
            if name.endswith(".pyc") and stat.S_ISREG(status.st_mode):
                _date_bytecode(path)
            _date(path)
        for name in names:
            link = Path(directory, name)
            if link.is_symlink():
                _date(link)
        _date(Path(directory))


def _matches(directory: Path, parts: list[str]) -> Iterator[Path]:
    """As `Path.glob`, but through no symbolic link: it could lead to the host's own files."""
    if directory.is_symlink() or not directory.is_dir():
        return
    for entry in os.scandir(directory):
        if fnmatch.fnmatchcase(entry.name, parts[0]):
            path = Path(entry.path)
            if len(parts) > 1:
                yield from _matches(path, parts[1:])
            else:
                yield path


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _date(path: Path) -> None:
    if path.lstat().st_mtime > EPOCH:
        os.utime(path, (EPOCH, EPOCH), follow_symlinks=False)


def _date_bytecode(path: Path) -> None:
    """Let the bytecode name the time that its source has now, else Python compiles it again.

    PEP 552: four bytes of magic, four of flags (0: dated by the source's time), four of time.
    """
    with path.open("r+b") as file:
        head = file.read(12)
        if len(head) == 12 and head[4:8] == bytes(4):
            dated = min(int.from_bytes(head[8:], "little"), EPOCH)
            if head[8:] != (data := dated.to_bytes(4, "little")):
                file.seek(8)
                file.write(data)


def entries(tree: Path) -> Iterator[Entry]:
    """Everything below a tree, in the order of the bytes of the paths."""
    seen: dict[tuple[int, int], str] = {}
    for path in sorted(_paths(tree), key=os.fsencode):
        yield _entry(tree / path, path, seen)


def _paths(tree: Path) -> Iterator[str]:
    yield "."
    for directory, names, files in os.walk(tree):
        below = Path(directory).relative_to(tree)
        for name in (*names, *files):
            yield str(below / name)


def _entry(full: Path, path: str, seen: dict[tuple[int, int], str]) -> Entry:
    status = full.lstat()
    kind = stat.filemode(status.st_mode)[0]
    first = path
    if status.st_nlink > 1 and kind != "d":
        first = seen.setdefault((status.st_dev, status.st_ino), path)
    return Entry(
        path=path,
        kind=kind,
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        time=int(status.st_mtime),
        size=status.st_size if kind == "-" else 0,
        content=_content(full, kind, status.st_rdev),
        first="" if first == path else first,
        attributes=tuple(_attributes(full, kind)),
    )


def _content(path: Path, kind: str, device: int) -> str:
    if kind == "-":
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    if kind == "l":
        return str(path.readlink())
    return f"{os.major(device)}:{os.minor(device)}" if kind in "bc" else ""


def _attributes(path: Path, kind: str) -> Iterator[tuple[str, str]]:
    if kind == "l":
        return
    for name in sorted(os.listxattr(path, follow_symlinks=False)):
        if name in _ATTRIBUTES or name.startswith("user."):
            yield name, os.getxattr(path, name, follow_symlinks=False).hex()


def empty(tree: Path) -> None:
    """Remove everything below a tree."""
    for entry in list(os.scandir(tree)):
        _remove(Path(entry.path))


def write_manifest(tree: Path, target: Path) -> tuple[str, int]:
    """Write what is in a tree to `target`, compressed: its digest, and the bytes of its files.

    The digest names exactly what is in the tree, however it is packed.
    """
    digest = hashlib.sha256()
    size = 0
    with target.open("wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as file:
        for entry in entries(tree):
            line = json.dumps(dataclasses.astuple(entry), separators=(",", ":")).encode() + b"\n"
            digest.update(line)
            file.write(line)
            size += 0 if entry.first else entry.size
    return f"sha256:{digest.hexdigest()}", size


def read_manifest(path: Path) -> dict[str, Entry]:
    """The entries of a manifest, by path."""
    names = [field.name for field in dataclasses.fields(Entry)]
    found: dict[str, Entry] = {}
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            values = dict(zip(names, json.loads(line), strict=True))
            attributes = tuple((name, value) for name, value in values.pop("attributes"))
            entry = Entry(**values, attributes=attributes)
            found[entry.path] = entry
    return found


def packages(tree: Path) -> dict[str, str]:
    """The packages that are installed in a tree, with their versions: those of dpkg or apk, and of
    Python, as `python NAME`, those that no such package brought."""
    found: dict[str, str] = {}
    for path, name, version, mark in (
        ("var/lib/dpkg/status", "Package: ", "Version: ", "Status: install ok installed"),
        ("lib/apk/db/installed", "P:", "V:", ""),
    ):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            for block in (tree / path).read_text(errors="replace").split("\n\n"):
                lines = block.splitlines()
                named = _value(lines, name)
                if named is not None and (not mark or mark in lines):
                    found[named] = _value(lines, version) or ""
    found |= {f"python {name}": version for name, version in _distributions(tree)}
    return dict(sorted(found.items()))


_PYTHONS = (
    "usr/local/lib/python3*/*-packages/*.dist-info",
    "usr/lib/python3*/site-packages/*.dist-info",
    "opt/*/lib/python3*/site-packages/*.dist-info",
    "root/.local/lib/python3*/site-packages/*.dist-info",
)
"""Where pip and its like install for all; Debian's own are in `dist-packages` of /usr/lib."""


def _distributions(tree: Path) -> Iterator[tuple[str, str]]:
    """Python's packages by their directories, `NAME-VERSION.dist-info` (PEP 376, 427)."""
    for pattern in _PYTHONS:
        for path in _matches(tree, pattern.split("/")):
            name, dash, version = path.name.removesuffix(".dist-info").rpartition("-")
            if dash:
                yield name.replace("_", "-").lower(), version


def _value(lines: list[str], key: str) -> str | None:
    return next((line.removeprefix(key) for line in lines if line.startswith(key)), None)


def main(root: Path, directory: Path) -> None:
    """Write the manifest and the list of packages of a tree into a directory; print its digest."""
    digest, _ = write_manifest(root, directory / MANIFEST)
    (directory / PACKAGES).write_text(json.dumps(packages(root)))
    print(digest)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
