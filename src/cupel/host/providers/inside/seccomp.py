"""Assembles the seccomp filter of `forbidden` as classic BPF, and lays it on this process.

Classic BPF because the kernel takes nothing else, and seventy comparisons need no compiler:
libseccomp would be a library that the machine's process loads for this alone. The filter reads
`struct seccomp_data`: the call's number, the architecture, six arguments of 64 bits. What it looks
at lies in the lower half of theirs, which comes first on the architectures that there are.
"""

from __future__ import annotations

import ctypes
import errno
import struct
from collections.abc import Iterable, Iterator

from cupel.host.providers.inside import forbidden, syscalls

_LOAD = 0x20
_EQUAL = 0x15
_GREATER = 0x25
_ANY_BIT = 0x45
_RETURN = 0x06
_INSTRUCTION = struct.Struct("=HBBI")

ALLOW = 0x7FFF0000
TRAP = 0x00030000
"""SIGSYS. Unlike killing it is not written to the host's log, which a build could fill with it."""
_ERRNO = 0x00050000

_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_MODE_FILTER = 2
_PR_SET_SECCOMP = 22

Instruction = tuple[int, int, int, int]


def program(machine: str, *, keep_core_limit: bool = False) -> bytes | None:
    """The filter for an architecture, by its name for uname; None for one that has no table.

    `keep_core_limit` forbids changing RLIMIT_CORE, which is what keeps cores from a host's handler.
    """
    if machine not in forbidden.ARCHITECTURES:
        return None
    lines = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, forbidden.ARCHITECTURES[machine]),
        (_RETURN, 0, 0, TRAP),
        (_LOAD, 0, 0, _NUMBER),
        (_GREATER, 0, 1, forbidden.NEWEST),  # x32's numbers, too, have a high bit
        (_RETURN, 0, 0, _ERRNO | errno.ENOSYS),
        *_refused(machine),
        *_by_arguments(machine),
        *(_core_limit(machine) if keep_core_limit else ()),
        (_RETURN, 0, 0, ALLOW),
    ]
    return b"".join(_INSTRUCTION.pack(*line) for line in lines)


def install(filter_program: bytes) -> None:
    """Lay the filter on this process and all that it starts; no-new-privileges must be set."""
    buffer = ctypes.create_string_buffer(filter_program, len(filter_program))
    count = len(filter_program) // _INSTRUCTION.size
    described = struct.pack("@HP", count, ctypes.addressof(buffer))
    syscalls.prctl(_PR_SET_SECCOMP, _MODE_FILTER, described)


def _refused(machine: str) -> Iterator[Instruction]:
    for family in forbidden.FAMILIES:
        for name in family.calls:
            yield from _on(name, machine, [(_RETURN, 0, 0, _ERRNO | errno.EPERM)])
    yield from _on("clone3", machine, [(_RETURN, 0, 0, _ERRNO | forbidden.WITHOUT_CLONE3)])


def _by_arguments(machine: str) -> Iterator[Instruction]:
    unshared = forbidden.NAMESPACES | forbidden.NAMESPACE_OF_TIME
    yield from _on("clone", machine, _without_bits(0, forbidden.NAMESPACES))
    yield from _on("unshare", machine, _without_bits(0, unshared))
    yield from _on("personality", machine, _one_of(0, forbidden.PERSONALITIES, errno.EPERM))
    yield from _on("ioctl", machine, _none_of(1, forbidden.TERMINALS))
    sockets = [
        *_unless_equal(0, forbidden.NETLINK),
        *_one_of(2, forbidden.PROTOCOLS_OF_NETLINK, errno.EPROTONOSUPPORT),
        *_one_of(0, forbidden.FAMILIES_OF_SOCKETS, errno.EAFNOSUPPORT),
    ]
    yield from _on("socket", machine, sockets)
    yield from _on("socketpair", machine, sockets)


def _core_limit(machine: str) -> Iterator[Instruction]:
    yield from _on("setrlimit", machine, _none_of(0, (forbidden.RLIMIT_CORE,)))
    changed = [
        _argument(1),
        (_EQUAL, 1, 0, forbidden.RLIMIT_CORE),
        (_RETURN, 0, 0, ALLOW),
        # A new limit is given: its address is not null, in either half.
        *(
            line
            for half in (0, 4)
            for line in (
                _argument(2, half),
                (_EQUAL, 1, 0, 0),
                (_RETURN, 0, 0, _ERRNO | errno.EPERM),
            )
        ),
        (_RETURN, 0, 0, ALLOW),
    ]
    yield from _on("prlimit64", machine, changed)


def _on(name: str, machine: str, body: list[Instruction]) -> Iterator[Instruction]:
    """Run `body`, which must return, for a call; for others go on behind it."""
    number = forbidden.number(name, machine)
    if number is not None:
        yield (_EQUAL, 0, len(body), number)
        yield from body


def _without_bits(argument: int, bits: int) -> list[Instruction]:
    return [
        _argument(argument),
        (_ANY_BIT, 0, 1, bits),
        (_RETURN, 0, 0, _ERRNO | errno.EPERM),
        (_RETURN, 0, 0, ALLOW),
    ]


def _one_of(argument: int, values: Iterable[int], error: int) -> list[Instruction]:
    lines = [_argument(argument)]
    for value in values:
        lines += [(_EQUAL, 0, 1, value), (_RETURN, 0, 0, ALLOW)]
    return [*lines, (_RETURN, 0, 0, _ERRNO | error)]


def _none_of(argument: int, values: Iterable[int]) -> list[Instruction]:
    lines = [_argument(argument)]
    for value in values:
        lines += [(_EQUAL, 0, 1, value), (_RETURN, 0, 0, _ERRNO | errno.EPERM)]
    return [*lines, (_RETURN, 0, 0, ALLOW)]


def _unless_equal(argument: int, value: int) -> list[Instruction]:
    """Skip the `_one_of` of netlink's protocols for another family."""
    skipped = len(_one_of(2, forbidden.PROTOCOLS_OF_NETLINK, 0))
    return [_argument(argument), (_EQUAL, 0, skipped, value)]


def _argument(index: int, half: int = 0) -> Instruction:
    return (_LOAD, 0, 0, _ARGUMENTS + 8 * index + half)
