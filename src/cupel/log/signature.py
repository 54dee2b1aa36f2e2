"""What four bytes follow one another in a log: a small file beside it, by which searches skip it.

A log that lacks four bytes in a row which a pattern needs cannot have a line that fits. So that
most logs need not be read, each gets a signature when it has ended: a set of bits, one for each
hash of four bytes as they are shown, in lower case. A bit that is missing is proof; one that is
there is none. Three bytes in a row are in nearly every log: the common ones of a language.

`python -m cupel.log.signature ROOT` makes those that are missing: of the builds whose numbers come
on stdin, or of all but these with `--all-but`. It is a process of its own, and a nice one: reading
a MiB takes 0.15 s in Python, during which the gate has better things to do.
"""

from __future__ import annotations

import contextlib
import os
import struct
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from cupel.log import pattern

NAME = "signature"
PIECE = 1 << 20
"""Bytes that are looked at at a time. What is in a longer line is found in its pieces."""

_MAGIC = 0x43555031
_HEADER = struct.Struct("=IIQ")
"""What it is, how many bits as a power of two, and the size of the log. In the order of this
computer's bytes, as are the hashed four: on another one it does not count."""

_LARGEST = 24
_SMALLEST = 12
_FULL = 0.25
"""The part of the bits that may be set; one with more is twice as large."""

_SPREAD = 0x9E3779B1
_MASK = 0xFFFFFFFF


def hashes(text: bytes) -> set[int]:
    """Four bytes in a row, each as a number that its bit is found by."""
    found: set[int] = set()
    for start in range(4):
        end = start + (len(text) - start) // 4 * 4
        if end > start:
            found.update(memoryview(text)[start:end].cast("I"))
    return {_hash(each) for each in found}


def _hash(four: int) -> int:
    mixed = four * _SPREAD & _MASK
    return (mixed ^ mixed >> 15) & (1 << _LARGEST) - 1


def needed(literals: Iterable[bytes]) -> list[int]:
    """What a log must have that has each of these texts, which are in lower case."""
    return sorted({each for literal in literals for each in hashes(literal)})


def pieces(file: Path) -> Iterator[bytes]:
    """A log's text in pieces of whole lines, but for lines longer than a piece."""
    with file.open("rb", buffering=0) as opened:
        rest = b""
        while data := opened.read(PIECE):
            data = rest + data
            cut = data.rfind(b"\n") + 1
            if not cut and len(data) < 2 * PIECE:
                rest = data
                continue
            cut = cut or len(data)
            rest = data[cut:]
            yield data[:cut]
        if rest:
            yield rest


def make(directory: Path) -> None:
    """Write the signature of a log that has ended. One that is gone meanwhile needs none."""
    log = directory / "log"
    bits = bytearray(1 << _LARGEST - 3)
    size = 0
    try:
        for piece in pieces(log):
            size += len(piece)
            for each in hashes(pattern.shown(piece).lower()):
                bits[each >> 3] |= 1 << (each & 7)
        power, packed = _folded(bytes(bits))
        new = directory / f"{NAME}.new"
        new.write_bytes(_HEADER.pack(_MAGIC, power, size) + packed)
        new.replace(directory / NAME)
    except FileNotFoundError:
        pass


def _folded(bits: bytes) -> tuple[int, bytes]:
    """The bits in as few as may be, and how many, as a power of two."""
    power = _LARGEST
    whole = int.from_bytes(bits, "little")
    while power > _SMALLEST:
        half = 1 << (power - 1)
        smaller = (whole >> half) | (whole & (1 << half) - 1)
        if smaller.bit_count() > _FULL * half:
            break
        whole, power = smaller, power - 1
    return power, whole.to_bytes(1 << power - 3, "little")


def may_have(directory: Path | str, needs: Sequence[int], size: int) -> bool:
    """Whether a log of this size may have all that; True if it has no signature that says."""
    try:
        file = os.open(f"{directory}/{NAME}", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        header = os.pread(file, _HEADER.size, 0)
        if len(header) < _HEADER.size:
            return True
        magic, power, signed = _HEADER.unpack(header)
        if magic != _MAGIC or signed != size or not _SMALLEST <= power <= _LARGEST:
            return True
        mask = (1 << power) - 1
        for each in needs:
            at = each & mask
            byte = os.pread(file, 1, _HEADER.size + (at >> 3))
            if byte and not byte[0] >> (at & 7) & 1:
                return False
        return True
    finally:
        os.close(file)


def builds(root: Path, *, before: int | None = None, after: int | None = None) -> Iterator[int]:
    """The builds that have a log, newest first, within the exclusive bounds."""
    for thousand in _numbers(root):
        if (before is not None and thousand * 1000 >= before) or (
            after is not None and thousand * 1000 + 999 <= after
        ):
            continue
        for number in _numbers(root / str(thousand)):
            if (before is None or number < before) and (after is None or number > after):
                yield number


def directory(root: Path, build: int) -> Path:
    return root / str(build // 1000) / str(build)


def _numbers(path: Path) -> list[int]:
    try:
        names = os.listdir(path)  # noqa: PTH208 - a Path for each takes longer than the search
        return sorted((int(name) for name in names if name.isdecimal()), reverse=True)
    except FileNotFoundError:
        return []


def main(argv: Sequence[str]) -> None:
    """Make the signatures that are missing; see above."""
    root = Path(argv[0])
    os.nice(19)
    told = {int(word) for word in sys.stdin.read().split()}
    wanted = (each for each in builds(root) if each not in told) if "--all-but" in argv else told
    for number in wanted:
        place = directory(root, number)
        with contextlib.suppress(FileNotFoundError):
            if (place / "log").stat().st_size and not (place / NAME).exists():
                make(place)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except OSError as error:
        sys.exit(str(error))
