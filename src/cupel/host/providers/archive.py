"""Directories of a machine as tar streams, packed and unpacked by a process inside it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from cupel.errors import InfraError
from cupel.host.providers import interface
from cupel.host.providers.interface import Process, Stream

_UNPACK = 'mkdir -p -- "$1" && exec tar -xf - --no-same-owner -C "$1"'
_PACK = 'exec tar -cf - -C "$1" .'
_PACK_SMALLEST_FIRST = """
cd -- "$1" || exit
if find . -maxdepth 0 -printf '' 2>/dev/null; then
    find . -type f -printf '%s %p\\0' | sort -zn | cut -zd ' ' -f 2- |
        tar -cf - --no-recursion --null -T -
else
    exec tar -cf - .
fi
"""
"""Files alone, in the order of their sizes, where the image has the tools of GNU for that."""
_KEPT = 4096
"""Bytes of what a process says that are quoted if it fails."""


def unpacking(target: str) -> Sequence[str]:
    """The command that unpacks its stdin below `target`."""
    return ["/bin/sh", "-c", _UNPACK, "sh", target]


def packing(source: str, *, smallest_first: bool = False) -> Sequence[str]:
    """The command that packs what lies below `source` to its stdout."""
    script = _PACK_SMALLEST_FIRST if smallest_first else _PACK
    return ["/bin/sh", "-c", script, "sh", source]


async def packed(process: Process, what: str) -> AsyncGenerator[bytes, None]:
    """What a packing process writes. It is waited for, and killed if the reader leaves early.

    Raises `InfraError` if it fails; `what` says which work that was.
    """
    errors = bytearray()
    try:
        async with interface.closing(process.output()) as output:
            async for stream, data in output:
                if stream is Stream.OUT:
                    yield data
                elif len(errors) < _KEPT:
                    errors += data
    except BaseException:  # whoever reads has left, too
        await process.kill()
        raise
    await succeeded(process, bytes(errors), what)


async def said(process: Process) -> bytes:
    """The beginning of all that a process writes, until it ends."""
    told = bytearray()
    async for _, data in process.output():
        if len(told) < _KEPT:
            told += data
    return bytes(told)


async def succeeded(process: Process, errors: bytes, what: str) -> None:
    """Wait for its end. Raises `InfraError` with what it said if that was no success."""
    status = await process.wait()
    if status != 0:
        raise InfraError(f"{what} failed", hint=errors.decode(errors="replace").strip() or None)
