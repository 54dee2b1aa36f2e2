"""`cupel cp`: files into machines and out of them.

Both ways it is a tar stream that is made and read inside the machine by what is there. What comes
out is a build's word: it is kept in a file without a name until all of it is here, and read like
artefacts, strictly; only plain files are written, and only below the place that was named.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import tarfile
import tempfile
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

import click

from cupel.artefact import tar
from cupel.artefact.tar import Kind
from cupel.cli import terminal, visit
from cupel.cli.session import Session, pass_session
from cupel.directory import Address
from cupel.errors import InfraError, UserError

LIMIT = 4 << 30
"""Bytes that are taken from a machine; it may say that it has any number."""

MOST_FILES = 200_000

_KEPT = 4096
"""Bytes of what is said in the machine that are shown if something fails."""

_PACK = """
[ -e "$1" ] || { echo "there is no $1" >&2; exit 1; }
if [ -d "$1" ]; then echo directory >&2; exec tar -cf - -C "$1" .
else echo file >&2; exec tar -cf - -C "$(dirname -- "$1")" -- "$(basename -- "$1")"; fi
"""
_SHOW = '[ ! -d "$1" ] || { echo "$1 is a directory" >&2; exit 1; }; exec cat -- "$1"'
_UNPACK = """
set -e
if [ -d "$1" ]; then d=$1 n=$2; else d=$(dirname -- "$1") n=$(basename -- "$1"); fi
t=$(mktemp -d -- "$d/.cupel-cp.XXXXXX")
trap 'rm -rf -- "$t"' EXIT
tar -xf - --no-same-owner -C "$t"
if [ -d "$t/it" ] && [ -d "$d/$n" ]; then cp -a -- "$t/it/." "$d/$n/"
else mv -fT -- "$t/it" "$d/$n"; fi
"""
_STORE = 'exec cat > "$1"'


@click.command()
@click.argument("source", metavar="SOURCE")
@click.argument("target", metavar="TARGET")
@click.option("--machine", metavar="NAME", default="", help="Which, in a build with several.")
@pass_session
def cp(session: Session, source: str, target: str, machine: str) -> None:
    """Copy files between here and the machine of a build that runs or is held.

    One of SOURCE and TARGET is BUILD:PATH, as in 123:/tmp/core or 123:src; a path that does not
    begin with / is below the directory in which steps begin. The other is a path here, or - for
    stdin or stdout. Directories are copied with all files in them; links and devices are left out.
    """
    there, back = _place(target), _place(source)
    if (there is None) == (back is None):
        raise UserError(
            "one of the two has to be in a machine",
            hint="write it as BUILD:PATH, such as 123:/tmp/core; a file here with a colon as ./a:b",
        )
    address = session.address()
    if back is not None:
        _copy_out(address, back, machine, target)
    elif there is not None:
        _copy_in(address, source, there, machine)


def _place(text: str) -> tuple[int, str] | None:
    """The build and the path of `BUILD:PATH`; None for a path here."""
    number, colon, path = text.partition(":")
    if not colon or not number.removeprefix("#").isdigit():
        return None
    return int(number.removeprefix("#")), path or "."


def _carry(
    address: Address, build: int, machine: str, script: str, words: list[str], ends: _Ends
) -> None:
    """Run a script there with these ends. Raises `UserError` with what it said if it fails."""
    command = ("/bin/sh", "-c", script, "sh", *words)
    wish = visit.Wish(build=build, command=command, machine=machine)
    status = visit.carry(address, wish, ends)
    if status != 0:
        said = terminal.single(bytes(ends.said).decode(errors="replace"))
        raise UserError(f"it cannot be copied: {said or f'tar ended with status {status}'}")


class _Ends:
    """What is read goes to `sink`; what is sent comes from `feed`, if there is one."""

    def __init__(self, sink: BinaryIO | None, feed: int | None = None) -> None:
        self._sink = sink
        self._feed = feed
        self._size = 0
        self.said = bytearray()

    async def typed(self) -> AsyncIterator[bytes]:
        if self._feed is not None:
            async for data in visit.reading(self._feed):
                yield data

    async def show(self, stream: int, data: bytes) -> None:
        if stream == 2:
            self.said += data[: _KEPT - len(self.said)]
        elif self._sink is not None:
            self._size += len(data)
            if self._size > LIMIT:
                raise UserError(f"it is more than {LIMIT >> 30} GiB", hint="copy parts of it")
            try:
                await asyncio.to_thread(self._sink.write, data)
            except OSError as error:
                raise InfraError(f"it cannot be written: {error.strerror or error}") from error

    def notice(self, text: str) -> None:
        click.echo(f"cupel: {terminal.plain(text)}", err=True)


def _copy_out(address: Address, place: tuple[int, str], machine: str, target: str) -> None:
    build, path = place
    if target == "-":
        _carry(address, build, machine, _SHOW, [path], _Ends(sys.stdout.buffer))
        sys.stdout.buffer.flush()
        return
    local = Path(target)
    if local.is_dir():
        name = Path(path).name
        local = local / name if name not in {"", ".", ".."} else local
    elif not local.parent.is_dir():
        raise UserError(f"there is no directory {local.parent}")
    with tempfile.TemporaryFile() as file:
        ends = _Ends(file)
        _carry(address, build, machine, _PACK, [path], ends)
        unpack(file, local, is_directory=ends.said.startswith(b"directory\n"))


def unpack(file: BinaryIO, local: Path, *, is_directory: bool) -> None:
    """Write the files of a tar of any origin as `local`, or below it.

    Raises `UserError` for a tar that is broken or hostile; what is not written yet is not then.
    """
    try:
        found = list(_bounded(file))
    except UserError as error:
        why = error.message.partition(": ")[2]
        raise UserError(f"what came from the machine cannot be taken: {why}") from None
    files = {member.path: member for member in found if member.kind is Kind.FILE}
    links = {m.path: files.get(m.target) for m in found if m.kind is Kind.LINK}
    files |= {path: member for path, member in links.items() if member is not None}
    if not is_directory and len(files) != 1:
        raise UserError("that is no file: links and devices are not copied")
    try:
        for path, member in files.items():
            _write(file, member, local / path if is_directory else local)
        if is_directory:
            local.mkdir(exist_ok=True)
    except OSError as error:
        raise UserError(f"{error.filename or local} cannot be written: {error.strerror}") from error


def _bounded(file: BinaryIO) -> list[tar.Member]:
    found: list[tar.Member] = []
    for member in tar.members(file):
        if len(found) >= MOST_FILES:
            raise tar.refused(f"more than {MOST_FILES} files")
        found.append(member)
    return found


def _write(file: BinaryIO, member: tar.Member, path: Path) -> None:
    """A file in the place of what is there, never through a link."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    mode = 0o755 if member.executable else 0o644
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with os.fdopen(os.open(path, flags, mode), "wb") as target:
        file.seek(member.offset)
        left = member.size
        while left and (data := file.read(min(left, 1 << 20))):
            left -= target.write(data)


def _copy_in(address: Address, source: str, place: tuple[int, str], machine: str) -> None:
    build, path = place
    if source == "-":
        ends = _Ends(None, sys.stdin.fileno())
        _carry(address, build, machine, _STORE, [path], ends)
        return
    local = Path(source)
    if not local.exists():
        raise UserError(f"there is no {local}")
    read, write = os.pipe()
    packer = threading.Thread(target=_pack, args=(local, write), daemon=True)
    packer.start()
    name = local.resolve().name
    try:
        _carry(address, build, machine, _UNPACK, [path, name], _Ends(None, read))
    finally:
        os.close(read)


def _pack(local: Path, pipe: int) -> None:
    """Write a tar of a file or a directory to a pipe, as `it`, until nobody reads it any more."""
    with (
        contextlib.suppress(OSError),
        os.fdopen(pipe, "wb") as file,
        tarfile.open(fileobj=file, mode="w|", format=tarfile.PAX_FORMAT) as packed,
    ):
        packed.add(local, "it", filter=_plain)


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Without who owns it here."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member if not member.isdev() else None
