"""The filter of system calls, run as the kernel would run it, call by call."""

from __future__ import annotations

import errno
import re
import struct
from pathlib import Path

import pytest

from cupel.host.providers.inside import forbidden, seccomp

LINE = struct.Struct("=HBBI")
MACHINES = tuple(forbidden.ARCHITECTURES)
HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}


def verdict(
    machine: str,
    number: int,
    *arguments: int,
    architecture: int | None = None,
    keep_core_limit: bool = False,
) -> int | str:
    """What the filter says of a call: `allow`, `trap`, or the error."""
    program = seccomp.program(machine, keep_core_limit=keep_core_limit)
    assert program is not None
    arch = forbidden.ARCHITECTURES[machine] if architecture is None else architecture
    six = [*arguments, 0, 0, 0, 0, 0, 0][:6]
    data = struct.pack("=IIQ6Q", number, arch, 0, *six)
    found = execute(program, data)
    if found == seccomp.ALLOW:
        return "allow"
    return "trap" if found == seccomp.TRAP else found - 0x50000


def execute(program: bytes, data: bytes) -> int:
    """A classic BPF machine, as far as the filter uses it; jumps lead forwards and stay inside."""
    lines = list(LINE.iter_unpack(program))
    at = accumulator = 0
    while True:
        code, then, otherwise, k = lines[at]
        at += 1
        match code:
            case 0x20:
                (accumulator,) = struct.unpack_from("=I", data, k)
            case 0x15:
                at += then if accumulator == k else otherwise
            case 0x25:
                at += then if accumulator > k else otherwise
            case 0x45:
                at += then if accumulator & k else otherwise
            case 0x06:
                return int(k)
            case _:
                raise AssertionError(f"no such instruction: {code:#x}")


def calls(machine: str) -> list[tuple[str, int]]:
    named = [name for family in forbidden.FAMILIES for name in family.calls]
    numbers = [(name, forbidden.number(name, machine)) for name in named]
    return [(name, number) for name, number in numbers if number is not None]


@pytest.mark.parametrize("machine", MACHINES)
class TestFilter:
    def test_every_call_of_the_list_is_refused(self, machine: str) -> None:
        refused = {name: verdict(machine, number) for name, number in calls(machine)}
        assert set(refused.values()) == {errno.EPERM}
        assert len(refused) > 35

    def test_every_other_call_is_allowed(self, machine: str) -> None:
        known = {number for name in forbidden.NUMBERS if (number := _number(name, machine))}
        for number in set(range(forbidden.NEWEST + 1)) - known:
            assert verdict(machine, number, 1, 2, 3) == "allow"

    def test_what_nobody_has_looked_at_does_not_exist(self, machine: str) -> None:
        for number in (forbidden.NEWEST + 1, 1000, 0x40000000 + 39, 0xFFFFFFFF):
            assert verdict(machine, number) == errno.ENOSYS

    def test_another_architecture_is_stopped(self, machine: str) -> None:
        for other in (0x40000003, 0x40000028, 0xC000003E ^ 1):
            assert verdict(machine, 0, architecture=other) == "trap"

    @pytest.mark.parametrize("bit", range(64))
    def test_namespaces_are_not_made(self, machine: str, bit: int) -> None:
        flag = 1 << bit
        makes = 0x7E020000 & flag
        expected = errno.EPERM if makes else "allow"
        assert verdict(machine, _number("clone", machine), flag | 17) == expected
        unshared = errno.EPERM if makes or flag == 0x80 else "allow"
        assert verdict(machine, _number("unshare", machine), flag) == unshared

    def test_threads_and_children_are_made_by_clone(self, machine: str) -> None:
        assert verdict(machine, _number("clone3", machine)) == errno.ENOSYS
        for flags in (17, 0x3D0F00, 0x01200011, 0x4111):
            assert verdict(machine, _number("clone", machine), flags) == "allow"

    @pytest.mark.parametrize("name", ["socket", "socketpair"])
    def test_sockets_are_of_few_families(self, machine: str, name: str) -> None:
        number = _number(name, machine)
        allowed = {family for family in range(60) if verdict(machine, number, family, 1) == "allow"}
        assert allowed == {1, 2, 10, 16}
        netlink = {kind for kind in range(40) if verdict(machine, number, 16, 3, kind) == "allow"}
        assert netlink == {0, 4, 15, 16}
        assert verdict(machine, number, 16, 3, 12) == errno.EPROTONOSUPPORT
        assert verdict(machine, number, 40, 1) == errno.EAFNOSUPPORT
        assert verdict(machine, number, 2, 1, 6) == "allow"

    def test_terminals_are_not_typed_into(self, machine: str) -> None:
        number = _number("ioctl", machine)
        assert verdict(machine, number, 0, 0x5412) == errno.EPERM
        assert verdict(machine, number, 0, 0x541C) == errno.EPERM
        assert verdict(machine, number, 0, 0x1_0000_5412) == errno.EPERM  # the kernel cuts it, too
        assert verdict(machine, number, 0, 0x5413) == "allow"

    def test_a_personality_may_fix_addresses_but_not_make_data_executable(
        self, machine: str
    ) -> None:
        number = _number("personality", machine)
        assert verdict(machine, number, 0xFFFFFFFF) == "allow"
        assert verdict(machine, number, 0x40000) == "allow"
        assert verdict(machine, number, 0x400000) == errno.EPERM

    def test_the_limit_of_cores_is_kept_where_that_is_asked(self, machine: str) -> None:
        change, both = _number("setrlimit", machine), _number("prlimit64", machine)
        for number, arguments, kept in (
            (change, (4, 0x1000), errno.EPERM),
            (change, (7, 0x1000), "allow"),
            (both, (0, 4, 0x1000), errno.EPERM),
            (both, (0, 4, 0x1_0000_0000), errno.EPERM),
            (both, (0, 4, 0, 0x1000), "allow"),
            (both, (0, 7, 0x1000), "allow"),
        ):
            assert verdict(machine, number, *arguments, keep_core_limit=True) == kept
            assert verdict(machine, number, *arguments) == "allow"

    def test_the_numbers_are_those_of_the_kernels_headers(self, machine: str) -> None:
        header = HEADERS[machine]
        if not header.is_file():
            pytest.skip(f"{header} is not installed")
        defined = re.findall(
            r"^#define __NR(?:3264)?_(\w+)\s+(\d+)", header.read_text(), re.MULTILINE
        )
        theirs = {name: int(number) for name, number in defined}
        assert len(theirs) > 200
        for name in forbidden.NUMBERS:
            ours = forbidden.number(name, machine)
            if ours is not None or name in theirs:
                assert ours == theirs.get(name, ours), name


def test_a_family_says_why() -> None:
    assert all(len(family.reason) > 20 for family in forbidden.FAMILIES)
    named = [name for family in forbidden.FAMILIES for name in family.calls]
    assert len(named) == len(set(named))


def test_an_architecture_without_a_table_has_no_filter() -> None:
    assert seccomp.program("riscv64") is None


def _number(name: str, machine: str) -> int:
    number = forbidden.number(name, machine)
    return -1 if number is None else number
