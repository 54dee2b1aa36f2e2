"""Leaves a process nothing but to compute, and to read and write what it has open (seccomp).

Whoever takes over the process that reads results can then start, open, reach and signal nothing.
The numbers are those of the kernel's `asm/unistd.h`; what is not among them fails with EPERM.
"""

from __future__ import annotations

import ctypes
import os
import struct

_ALLOWED = {
    "x86_64": (
        *(0, 1, 3, 5, 8),  # read, write, close, fstat, lseek
        *(9, 10, 11, 12, 25, 28),  # mmap, mprotect, munmap, brk, mremap, madvise
        *(13, 14, 15, 131, 219),  # signals, and going on after them
        *(17, 19, 20, 77),  # pread64, readv, writev, ftruncate
        *(24, 39, 60, 186, 202, 231),  # sched_yield, getpid, exit, gettid, futex, exit_group
        *(96, 98, 228, 318),  # gettimeofday, getrusage, clock_gettime, getrandom
    ),
    "aarch64": (
        *(63, 64, 57, 80, 62),
        *(222, 226, 215, 214, 216, 233),
        *(134, 135, 139, 132, 128),
        *(67, 65, 66, 46),
        *(124, 172, 93, 178, 98, 94),
        *(169, 165, 113, 278),
    ),
}
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_NUMBER, _ARCHITECTURE = 0, 4
"""Where the filter finds a call's number, and for which architecture that is meant."""

_PERMIT, _REFUSE = 0x7FFF0000, 0x00050001

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _FILTER = 38, 22, 2


def seal() -> bool:
    """Seal this process; False where the kernel, or this architecture, has no such thing."""
    machine = os.uname().machine
    if machine not in _ALLOWED or struct.calcsize("P") != 8:
        return False
    program = _program(machine)
    instructions = ctypes.create_string_buffer(program, len(program))
    described = struct.pack("=HxxxxxxQ", len(program) // 8, ctypes.addressof(instructions))
    pointer = ctypes.create_string_buffer(described, len(described))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False
    address = ctypes.addressof(pointer)
    return bool(libc.prctl(_PR_SET_SECCOMP, _FILTER, address, 0, 0) == 0)


def _program(machine: str) -> bytes:
    allowed = _ALLOWED[machine]
    code = [
        _instruction(_LOAD, _ARCHITECTURE),
        _instruction(_EQUAL, _ARCHITECTURES[machine], no=len(allowed) + 1),
        _instruction(_LOAD, _NUMBER),
    ]
    for at, number in enumerate(allowed):
        code.append(_instruction(_EQUAL, number, yes=len(allowed) - at))
    return b"".join([*code, _instruction(_RETURN, _REFUSE), _instruction(_RETURN, _PERMIT)])


def _instruction(code: int, value: int, *, yes: int = 0, no: int = 0) -> bytes:
    """An instruction; a comparison goes so many on if it is true, or is not."""
    return struct.pack("=HBBI", code, yes, no, value)
